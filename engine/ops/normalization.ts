// Normalization: by batch statistics, and by neighbouring channels.
import { elementCountOf } from '../../tensor/index.ts'
import type { Expression, ScalarType } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { elementwise, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { reduceAxes } from './reductions.ts'
import type { Read, TensorValue } from './value.ts'
import { layoutOf } from './window.ts'

/** Broadcasts a vector over the channels of an array of `rank`. */
function alongChannels(at: Lowering, value: TensorValue, rank: number, axis: number): TensorValue {
  const shape = new Array<number>(rank).fill(1)
  shape[axis] = elementCountOf(value.shape)
  return at.reshaped(value, shape)
}

interface Moments {
  readonly mean: TensorValue
  readonly variance: TensorValue
}

function momentsOf(at: Lowering, x: TensorValue, channels: number, wide: ScalarType): Moments {
  const axes = [...x.shape.keys()].filter((axis) => axis !== channels)
  const input = elementwise(at, [x], wide, (b, [value]) => b.cast(value, wide))
  const divided = {
    after: (b: Builder, total: Expression, count: number): Expression => b.div(total, count),
  }
  const mean = reduceAxes(at, input, axes, true, 'sum', divided)
  const centered = elementwise(at, [input, mean], wide, (b, [value, one]) => b.sub(value, one))
  const variance = reduceAxes(at, centered, axes, true, 'sum', {
    ...divided,
    before: (b, value) => b.mul(value, value),
  })
  const vector = [x.shape[channels]]
  return { mean: at.reshaped(mean, vector), variance: at.reshaped(variance, vector) }
}

const fusedBatchNorm = (name: string): OpDefinition => {
  const wide = name === 'FusedBatchNorm' ? 'T' : 'U'
  const version3 = name === 'FusedBatchNormV3'
  return defineOp({
    name,
    inputs: ['x: T', `scale: ${wide}`, `offset: ${wide}`, `mean: ${wide}`, `variance: ${wide}`],
    outputs: [
      'y: T',
      `batch_mean: ${wide}`,
      `batch_variance: ${wide}`,
      `reserve_space_1: ${wide}`,
      `reserve_space_2: ${wide}`,
      ...(version3 ? [`reserve_space_3: ${wide}`] : []),
    ],
    attributes: [
      'T: type',
      ...(wide === 'U' ? ['U: type'] : []),
      'epsilon: float = 0.0001',
      'exponential_avg_factor: float = 1.0',
      "data_format: {'NHWC', 'NCHW', 'NDHWC', 'NCDHW'} = 'NHWC'",
      'is_training: bool = true',
    ],
    lower: (at) => {
      const x = at.input('x')
      const [scale, offset] = [at.input('scale'), at.input('offset')]
      const { channels } = layoutOf(at.attributes.text('data_format'))
      const training = at.attributes.bool('is_training')
      const epsilon = at.attributes.float('epsilon')
      const rank = x.shape.length
      const type = scalarType(scale.dtype)
      const given = { mean: at.input('mean'), variance: at.input('variance') }
      const { mean, variance } = training ? momentsOf(at, x, channels, type) : given
      const over = (value: TensorValue): TensorValue => alongChannels(at, value, rank, channels)
      const dtype = scalarType(x.dtype)
      const y = elementwise(
        at,
        [x, over(scale), over(offset), over(mean), over(variance)],
        dtype,
        (b, [value, s, o, m, v]) => {
          const factor = b.mul(s, b.one('rsqrt', b.add(v, epsilon)))
          return b.cast(b.add(b.mul(b.sub(b.cast(value, type), m), factor), o), dtype)
        },
      )
      const count = elementCountOf(x.shape) / Math.max(x.shape[channels], 1)
      const unbiased = training
        ? runningMoments(at, { mean, variance }, given, count)
        : { mean: given.mean, variance: given.variance }
      const nothing = at.compute({
        shape: [],
        dtype: type,
        inputs: [],
        body: ({ b }) => b.number(type, 0),
      })
      return [
        y,
        unbiased.mean,
        unbiased.variance,
        training ? mean : given.mean,
        training ? variance : given.variance,
        ...(version3 ? [nothing] : []),
      ]
    },
  })
}

/** What training hands on: the variance of a sample (Bessel), mixed into the running one. */
function runningMoments(at: Lowering, now: Moments, before: Moments, count: number): Moments {
  const factor = at.attributes.float('exponential_avg_factor')
  const type = scalarType(now.mean.dtype)
  const bessel = count / Math.max(count - 1, 1)
  const mixed = (value: TensorValue, old: TensorValue, scale: number): TensorValue => {
    if (factor === 1) return elementwise(at, [value], type, (b, [x]) => b.mul(x, scale))
    return elementwise(at, [value, old], type, (b, [x, y]) =>
      b.add(b.mul(y, 1 - factor), b.mul(b.mul(x, scale), factor)),
    )
  }
  return {
    mean: mixed(now.mean, before.mean, 1),
    variance: mixed(now.variance, before.variance, bessel),
  }
}

const fusedBatchNormGrad = (name: string): OpDefinition => {
  const wide = name === 'FusedBatchNormGrad' ? 'T' : 'U'
  return defineOp({
    name,
    inputs: [
      'y_backprop: T',
      'x: T',
      name === 'FusedBatchNormGrad' ? 'scale: T' : 'scale: float',
      `reserve_space_1: ${wide}`,
      `reserve_space_2: ${wide}`,
      ...(name === 'FusedBatchNormGradV3' ? [`reserve_space_3: ${wide}`] : []),
    ],
    outputs: [
      'x_backprop: T',
      `scale_backprop: ${wide}`,
      `offset_backprop: ${wide}`,
      `reserve_space_4: ${wide}`,
      `reserve_space_5: ${wide}`,
    ],
    attributes: [
      'T: type',
      ...(wide === 'U' ? ['U: type'] : []),
      'epsilon: float = 0.0001',
      "data_format: {'NHWC', 'NCHW', 'NDHWC', 'NCDHW'} = 'NHWC'",
      'is_training: bool = true',
    ],
    lower: (at) => {
      const [dy, x, scale] = [at.input('y_backprop'), at.input('x'), at.input('scale')]
      const { channels } = layoutOf(at.attributes.text('data_format'))
      const type = scalarType(scale.dtype)
      const dtype = scalarType(x.dtype)
      const epsilon = at.attributes.float('epsilon')
      const rank = x.shape.length
      const axes = [...x.shape.keys()].filter((axis) => axis !== channels)
      const over = (value: TensorValue): TensorValue => alongChannels(at, value, rank, channels)
      const [mean, variance] = [at.input('reserve_space_1'), at.input('reserve_space_2')].map(over)
      const vector = [x.shape[channels]]
      const count = elementCountOf(x.shape) / Math.max(x.shape[channels], 1)
      const slope = elementwise(at, [dy], type, (b, [value]) => b.cast(value, type))
      const normal = elementwise(at, [x, mean, variance], type, (b, [value, m, v]) =>
        b.mul(b.sub(b.cast(value, type), m), b.one('rsqrt', b.add(v, epsilon))),
      )
      const offsetGrad = reduceAxes(at, slope, axes, true, 'sum')
      const product = elementwise(at, [slope, normal], type, (b, [p, q]) => b.mul(p, q))
      const scaleGrad = reduceAxes(at, product, axes, true, 'sum')
      const training = at.attributes.bool('is_training')
      const dx = elementwise(
        at,
        [slope, normal, over(scale), variance, offsetGrad, scaleGrad],
        dtype,
        (b, [g, n, s, v, og, sg]) => {
          const factor = b.mul(s, b.one('rsqrt', b.add(v, epsilon)))
          const centered = training
            ? b.sub(b.sub(g, b.div(og, count)), b.mul(n, b.div(sg, count)))
            : g
          return b.cast(b.mul(centered, factor), dtype)
        },
      )
      const nothing = at.compute({
        shape: [0],
        dtype: type,
        inputs: [],
        body: ({ b }) => b.number(type, 0),
      })
      return [dx, at.reshaped(scaleGrad, vector), at.reshaped(offsetGrad, vector), nothing, nothing]
    },
  })
}

const localResponse = defineOp({
  name: 'LRN',
  inputs: ['input: T'],
  outputs: ['output: T'],
  attributes: [
    'depth_radius: int = 5',
    'bias: float = 1.0',
    'alpha: float = 1.0',
    'beta: float = 0.5',
    'T: {half, bfloat16, float} = float',
  ],
  lower: (at) => {
    const input = at.input('input')
    const radius = at.attributes.int('depth_radius')
    const [bias, alpha, beta] = ['bias', 'alpha', 'beta'].map((name) => at.attributes.float(name))
    const dtype = scalarType(input.dtype)
    const depth = input.shape[3]
    const near = (
      b: Builder,
      axes: readonly Expression[],
      place: Expression,
      read: Read,
    ): Expression => {
      const channel = b.sub(b.add(axes[3], place), radius)
      return read(0, axes.with(3, channel), b.within(channel, 0, depth))
    }
    return [
      at.compute({
        shape: input.shape,
        dtype,
        inputs: [input],
        reduce: {
          extents: [2 * radius + 1],
          combine: 'sum',
          dtype: 'float32',
          body: ({ b, axes, reduced, read }) => {
            const value = b.cast(near(b, axes, reduced[0], read), 'float32')
            return b.mul(value, value)
          },
        },
        body: ({ b, axes, read, total }) => {
          const base = b.add(b.mul(total, alpha), bias)
          const scale = b.both('pow', base, b.number('float32', -beta))
          return b.cast(b.mul(b.cast(read(0, axes), 'float32'), scale), dtype)
        },
      }),
    ]
  },
})

/** Normalization. */
export const normalizationOps: readonly OpDefinition[] = [
  fusedBatchNorm('FusedBatchNorm'),
  fusedBatchNorm('FusedBatchNormV2'),
  fusedBatchNorm('FusedBatchNormV3'),
  fusedBatchNormGrad('FusedBatchNormGrad'),
  fusedBatchNormGrad('FusedBatchNormGradV2'),
  fusedBatchNormGrad('FusedBatchNormGradV3'),
  localResponse,
]
