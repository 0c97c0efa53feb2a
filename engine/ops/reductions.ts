// Reductions over axes, arg extremes, running sums, and what is made of them.
import { elementCountOf, type Shape } from '../../tensor/index.ts'
import { type Combine, type Expression, isFloat, type ScalarType } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { elementwise, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { axisOf, integerOf, integersOf, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** What a reduction does around its sum, product or extreme. */
interface Around {
  /** Type that it accumulates in. */
  readonly dtype?: ScalarType
  readonly before?: (b: Builder, x: Expression) => Expression
  /** `count`: elements reduced into one. */
  readonly after?: (b: Builder, total: Expression, count: number) => Expression
}

/** `input` reduced over `reduced` axes; they stay as 1 where `keep` says so. */
export function reduceAxes(
  at: Lowering,
  input: TensorValue,
  reduced: readonly number[],
  keep: boolean,
  combine: Combine,
  around: Around = {},
): TensorValue {
  const dtype = scalarType(input.dtype)
  const accumulator = around.dtype ?? dtype
  const over = new Set(reduced)
  const kept = [...input.shape.keys()].filter((axis) => !over.has(axis))
  const sorted = [...over].sort((x, y) => x - y)
  const shape = kept.map((axis) => input.shape[axis])
  const final = keep ? input.shape.map((size, axis) => (over.has(axis) ? 1 : size)) : shape
  const { before = (_b, x) => x, after = (_b, total) => total } = around
  const count = elementCountOf(sorted.map((axis) => input.shape[axis]))
  const result = at.compute({
    shape,
    dtype,
    inputs: [input],
    reduce: {
      extents: sorted.map((axis) => input.shape[axis]),
      combine,
      dtype: accumulator,
      body: ({ b, axes, reduced: positions, read }) => {
        const all = new Array<Expression>(input.shape.length)
        for (const [place, axis] of kept.entries()) all[axis] = axes[place]
        for (const [place, axis] of sorted.entries()) all[axis] = positions[place]
        return before(b, b.cast(read(0, all), accumulator))
      },
    },
    body: ({ b, total }) => b.cast(after(b, total, count), dtype),
  })
  return at.reshaped(result, final)
}

/** Axes from an input that names them; a scalar names one. */
function axesOf(at: Lowering, name: string, rank: number): number[] {
  const axes = integersOf(at.contentOf(at.input(name))).map((axis) => {
    if (axis < -rank || axis >= rank) {
      throw invalid(
        'shape/axis',
        `Invalid reduction dimension (${axis} for input with ${rank} dimension(s)`,
      )
    }
    return axisOf(axis, rank)
  })
  if (new Set(axes).size !== axes.length) {
    throw invalid(
      'shape/axis',
      `Invalid reduction arguments: Axes contains duplicate dimension: ${axes.find((one, place) => axes.indexOf(one) !== place)}`,
    )
  }
  return axes
}

/** Narrow floats are summed in float32. */
function accumulatorOf(dtype: ScalarType): ScalarType {
  return dtype === 'float16' || dtype === 'bfloat16' ? 'float32' : dtype
}

function reduction(
  name: string,
  combine: Combine,
  around: (dtype: ScalarType) => Around = (dtype) => ({ dtype: accumulatorOf(dtype) }),
): OpDefinition {
  const isTruth = combine === 'all' || combine === 'any'
  return defineOp({
    name,
    inputs: [isTruth ? 'input: bool' : 'input: T', 'reduction_indices: Tidx'],
    outputs: [isTruth ? 'output: bool' : 'output: T'],
    attributes: [
      'keep_dims: bool = false',
      ...(isTruth ? [] : ['T: type']),
      'Tidx: {int32, int64} = int32',
    ],
    lower: (at) => {
      const input = at.input('input')
      const axes = axesOf(at, 'reduction_indices', input.shape.length)
      const keep = at.attributes.bool('keep_dims')
      const options = isTruth ? {} : around(scalarType(input.dtype))
      return [reduceAxes(at, input, axes, keep, combine, options)]
    },
  })
}

/** The mean; of integers the quotient is cut. */
const mean = (dtype: ScalarType): Around => ({
  dtype: accumulatorOf(dtype),
  after: (b, total, count) =>
    isFloat(dtype)
      ? b.div(total, count)
      : count === 0
        ? b.number(dtype, 0)
        : b.both('truncate_div', total, count),
})

const euclideanNorm = (dtype: ScalarType): Around => ({
  dtype: isFloat(dtype) ? accumulatorOf(dtype) : 'float64',
  before: (b, x) => b.mul(x, x),
  after: (b, total) => b.one('sqrt', total),
})

/** Position of the first largest or smallest element along an axis. */
function argExtreme(name: 'ArgMax' | 'ArgMin'): OpDefinition {
  const combine = name === 'ArgMax' ? 'argmax' : 'argmin'
  return defineOp({
    name,
    inputs: ['input: T', 'dimension: Tidx'],
    outputs: ['output: output_type'],
    attributes: [
      'T: type',
      'Tidx: {int16, int32, int64} = int32',
      'output_type: {int16, uint16, int32, int64} = int64',
    ],
    lower: (at) => {
      const input = at.input('input')
      const rank = input.shape.length
      const axis = axisOf(
        integerOf(at.contentOf(at.input('dimension')), 'dimension'),
        rank,
        'dimension',
      )
      if (input.shape[axis] === 0) {
        throw invalid(
          'shape/invalid',
          `Reduction axis ${axis} is empty in shape [${input.shape.join(',')}]`,
        )
      }
      const dtype = scalarType(input.dtype)
      const output = scalarType(at.attributes.type('output_type'))
      const isTruth = dtype === 'bool'
      const places = at.compute({
        shape: input.shape.toSpliced(axis, 1),
        dtype: 'int32',
        inputs: [input],
        reduce: {
          extents: [input.shape[axis]],
          combine,
          dtype: isTruth ? 'int32' : dtype,
          body: ({ b, axes, reduced, read }) => {
            const value = read(0, axes.toSpliced(axis, 0, reduced[0]))
            return isTruth ? b.cast(value, 'int32') : value
          },
        },
        body: ({ total }) => total,
      })
      return [elementwise(at, [places], output, (b, [place]) => b.cast(place, output))]
    },
  })
}

/** Longest axis whose running sum is computed anew for each element. */
const directScan = 256

/** Sums or products of all elements up to each, along an axis. */
function scan(name: 'Cumsum' | 'Cumprod'): OpDefinition {
  const combine: Combine = name === 'Cumsum' ? 'sum' : 'product'
  return defineOp({
    name,
    inputs: ['x: T', 'axis: Tidx'],
    outputs: ['out: T'],
    attributes: [
      'exclusive: bool = false',
      'reverse: bool = false',
      'T: type',
      'Tidx: {int32, int64} = int32',
    ],
    lower: (at) => {
      const x = at.input('x')
      const axis = axisOf(integerOf(at.contentOf(at.input('axis')), 'axis'), x.shape.length)
      const exclusive = at.attributes.bool('exclusive')
      const reverse = at.attributes.bool('reverse')
      return [scanned(at, x, axis, combine, exclusive, reverse)]
    },
  })
}

/** Long axes go in two levels: running totals of blocks, then within each block. */
function scanned(
  at: Lowering,
  x: TensorValue,
  axis: number,
  combine: Combine,
  exclusive: boolean,
  reverse: boolean,
): TensorValue {
  const dtype = scalarType(x.dtype)
  const length = x.shape[axis]
  const neutral = combine === 'sum' ? 0 : 1
  const counts = (b: Builder, own: Expression, other: Expression): Expression => {
    if (reverse) return exclusive ? b.greater(other, own) : b.greaterEqual(other, own)
    return exclusive ? b.less(other, own) : b.lessEqual(other, own)
  }
  if (length <= directScan) {
    return at.compute({
      shape: x.shape,
      dtype,
      inputs: [x],
      reduce: {
        extents: [length],
        combine,
        dtype: accumulatorOf(dtype),
        body: ({ b, axes, reduced, read }) => {
          const value = b.cast(read(0, axes.with(axis, reduced[0])), accumulatorOf(dtype))
          return b.select(counts(b, axes[axis], reduced[0]), value, neutral)
        },
      },
      body: ({ b, total }) => b.cast(total, dtype),
    })
  }
  const block = Math.ceil(Math.sqrt(length))
  const blocks = Math.ceil(length / block)
  const split: Shape = x.shape.toSpliced(axis, 1, blocks, block)
  const inRange = (b: Builder, place: Expression): Expression => b.less(place, length)
  const blocked = at.compute({
    shape: split,
    dtype,
    inputs: [x],
    body: ({ b, axes, read }) => {
      const place = b.add(b.mul(axes[axis], block), axes[axis + 1])
      const positions = axes.toSpliced(axis, 2, place)
      return b.select(inRange(b, place), read(0, positions, inRange(b, place)), neutral)
    },
  })
  const totals = scanned(
    at,
    reduceAxes(at, blocked, [axis + 1], false, combine),
    axis,
    combine,
    true,
    reverse,
  )
  const within = scanned(at, blocked, axis + 1, combine, exclusive, reverse)
  return at.compute({
    shape: x.shape,
    dtype,
    inputs: [totals, within],
    body: ({ b, axes, read }) => {
      const place = axes[axis]
      const whole = b.quotient(place, block)
      const before = read(0, axes.with(axis, whole))
      const own = read(1, axes.toSpliced(axis, 1, whole, b.remainder(place, block)))
      return b.both(combine === 'sum' ? 'add' : 'mul', before, own)
    },
  })
}

const l2Loss = defineOp({
  name: 'L2Loss',
  inputs: ['t: T'],
  outputs: ['output: T'],
  attributes: ['T: {half, bfloat16, float, double}'],
  lower: (at) => {
    const input = at.input('t')
    const dtype = scalarType(input.dtype)
    return [
      reduceAxes(at, input, [...input.shape.keys()], false, 'sum', {
        dtype: accumulatorOf(dtype),
        before: (b, x) => b.mul(x, x),
        after: (b, total) => b.mul(total, 0.5),
      }),
    ]
  },
})

/** Softmax over the last axis, or its logarithm. */
export function softmax(at: Lowering, logits: TensorValue, logarithm: boolean): TensorValue {
  const dtype = scalarType(logits.dtype)
  const wide = accumulatorOf(dtype)
  const last = logits.shape.length - 1
  const input =
    dtype === wide ? logits : elementwise(at, [logits], wide, (b, [x]) => b.cast(x, wide))
  const largest = reduceAxes(at, input, [last], true, 'max')
  const shifted = elementwise(at, [input, largest], wide, (b, [x, top]) => b.sub(x, top))
  const sum = reduceAxes(at, shifted, [last], true, 'sum', { before: (b, x) => b.one('exp', x) })
  return elementwise(at, [shifted, sum], dtype, (b, [x, total]) =>
    b.cast(logarithm ? b.sub(x, b.one('log', total)) : b.div(b.one('exp', x), total), dtype),
  )
}

const softmaxOp = (name: 'Softmax' | 'LogSoftmax'): OpDefinition =>
  defineOp({
    name,
    inputs: ['logits: T'],
    outputs: [name === 'Softmax' ? 'softmax: T' : 'logsoftmax: T'],
    attributes: ['T: {half, bfloat16, float, double}'],
    infer: (shapes) => shapes,
    lower: (at) => {
      const logits = at.input('logits')
      if (logits.shape.length === 0)
        throw invalid('shape/mismatch', 'logits must have >= 1 dimension, got []')
      return [softmax(at, logits, name === 'LogSoftmax')]
    },
  })

/** Reductions. */
export const reductionOps: readonly OpDefinition[] = [
  reduction('Sum', 'sum'),
  reduction('Prod', 'product'),
  reduction('Max', 'max', () => ({})),
  reduction('Min', 'min', () => ({})),
  reduction('Mean', 'sum', mean),
  reduction('EuclideanNorm', 'sum', euclideanNorm),
  reduction('All', 'all'),
  reduction('Any', 'any'),
  argExtreme('ArgMax'),
  argExtreme('ArgMin'),
  scan('Cumsum'),
  scan('Cumprod'),
  l2Loss,
  softmaxOp('Softmax'),
  softmaxOp('LogSoftmax'),
]
