// Bias and losses of neural networks.
import { formatShape, type Shape, sameShape } from '../../tensor/index.ts'
import { elementwise, narrowIndices, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { productAccumulator } from './linalg.ts'
import { reduceAxes } from './reductions.ts'
import { invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'
import { formats2d } from './windowed.ts'

const biasAdd = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['value: T', 'bias: T'],
    outputs: ['output: T'],
    attributes: ['T: type', ...(name === 'BiasAdd' ? [formats2d] : [])],
    lower: (at) => {
      const [value, bias] = [at.input('value'), at.input('bias')]
      const axis = channelAxis(at, name === 'BiasAdd', value.shape)
      if (bias.shape.length !== 1 || bias.shape[0] !== value.shape[axis]) {
        throw invalid(
          'shape/mismatch',
          `Must provide as many biases as the last dimension of the input tensor: ${formatShape(bias.shape)} vs. ${formatShape(value.shape)}`,
        )
      }
      return [
        at.compute({
          shape: value.shape,
          dtype: scalarType(value.dtype),
          inputs: [value, bias],
          body: ({ b, axes, read }) => b.add(read(0, axes), read(1, [axes[axis]])),
        }),
      ]
    },
  })

function channelAxis(at: Lowering, hasFormat: boolean, shape: Shape): number {
  const first = hasFormat && at.attributes.text('data_format').startsWith('NC')
  if (shape.length < 2) {
    throw invalid('shape/mismatch', `Input tensor must be at least 2D: ${formatShape(shape)}`)
  }
  return first ? 1 : shape.length - 1
}

const biasAddGrad = defineOp({
  name: 'BiasAddGrad',
  inputs: ['out_backprop: T'],
  outputs: ['output: T'],
  attributes: ['T: type', formats2d],
  lower: (at) => {
    const input = at.input('out_backprop')
    const channels = channelAxis(at, true, input.shape)
    const axes = [...input.shape.keys()].filter((axis) => axis !== channels)
    return [
      reduceAxes(at, input, axes, false, 'sum', {
        dtype: productAccumulator(scalarType(input.dtype)),
      }),
    ]
  },
})

/** `log(sum(exp(logits)))` around the largest logit, by row. */
function logSumOf(
  at: Lowering,
  logits: TensorValue,
): { readonly shifted: TensorValue; readonly logSum: TensorValue } {
  const dtype = scalarType(logits.dtype)
  const largest = reduceAxes(at, logits, [1], true, 'max')
  const shifted = elementwise(at, [logits, largest], dtype, (b, [x, top]) => b.sub(x, top))
  const logSum = reduceAxes(at, shifted, [1], true, 'sum', {
    before: (b, x) => b.one('exp', x),
    after: (b, total) => b.one('log', total),
  })
  return { shifted, logSum }
}

const softmaxCrossEntropy = defineOp({
  name: 'SoftmaxCrossEntropyWithLogits',
  inputs: ['features: T', 'labels: T'],
  outputs: ['loss: T', 'backprop: T'],
  attributes: ['T: {half, bfloat16, float, double}'],
  lower: (at) => {
    const [features, labels] = [at.input('features'), at.input('labels')]
    const dtype = scalarType(features.dtype)
    const wide = elementwise(at, [features, labels], dtype, (_b, [x]) => x)
    if (wide.shape.length !== 2)
      throw invalid('shape/mismatch', 'logits and labels must be 2-dimensional')
    const { shifted, logSum } = logSumOf(at, wide)
    const terms = elementwise(at, [shifted, logSum, labels], dtype, (b, [x, sum, label]) =>
      b.select(b.equal(label, 0), 0, b.mul(label, b.sub(sum, x))),
    )
    const loss = reduceAxes(at, terms, [1], false, 'sum')
    const backprop = elementwise(at, [shifted, logSum, labels], dtype, (b, [x, sum, label]) =>
      b.sub(b.one('exp', b.sub(x, sum)), label),
    )
    return [loss, backprop]
  },
})

/** Labels outside of the classes give NaN, as on TensorFlow's GPU; its CPU refuses them, and so do we. */
const sparseSoftmaxCrossEntropy = defineOp({
  name: 'SparseSoftmaxCrossEntropyWithLogits',
  inputs: ['features: T', 'labels: Tlabels'],
  outputs: ['loss: T', 'backprop: T'],
  attributes: ['T: {half, bfloat16, float, double}', 'Tlabels: {int32, int64} = int64'],
  lower: (at) => {
    const features = at.input('features')
    const labels = narrowIndices(at, at.input('labels'), features.shape[1] ?? 0)
    const dtype = scalarType(features.dtype)
    if (features.shape.length !== 2 || !sameShape(labels.shape, features.shape.slice(0, 1))) {
      throw invalid(
        'shape/mismatch',
        `logits and labels must have the same first dimension, got logits shape ${formatShape(features.shape)} and labels shape ${formatShape(labels.shape)}`,
      )
    }
    const classes = features.shape[1]
    const { shifted, logSum } = logSumOf(at, features)
    const loss = at.compute({
      shape: labels.shape,
      dtype,
      inputs: [shifted, logSum, labels],
      body: ({ b, axes, read }) => {
        const label = b.cast(read(2, axes), 'int32')
        return b.sub(read(1, [axes[0], b.index(0)]), read(0, [axes[0], label]))
      },
      checks: ({ b, axes, read }) => [
        {
          ok: b.and(b.greaterEqual(read(2, axes), 0), b.less(read(2, axes), classes)),
          shown: read(2, axes),
          message: (_position, shown) => ({
            code: 'INVALID_ARGUMENT',
            reason: 'run/index',
            message: `Received a label value of ${shown} which is outside the valid range of [0, ${classes}).`,
          }),
        },
      ],
    })
    const backprop = at.compute({
      shape: features.shape,
      dtype,
      inputs: [shifted, logSum, labels],
      body: ({ b, axes, read }) => {
        const probability = b.one('exp', b.sub(read(0, axes), read(1, [axes[0], b.index(0)])))
        const isLabel = b.equal(b.cast(read(2, [axes[0]]), 'int32'), axes[1])
        return b.sub(probability, b.select(isLabel, b.number(dtype, 1), 0))
      },
    })
    return [loss, backprop]
  },
})

/** Bias and losses. */
export const nnOps: readonly OpDefinition[] = [
  biasAdd('BiasAdd'),
  biasAdd('BiasAddV1'),
  biasAddGrad,
  softmaxCrossEntropy,
  sparseSoftmaxCrossEntropy,
]
