// The largest elements of rows, in order. Sorting is no expression: it is done on the host.
import {
  byteLengthOf,
  elementArrayOf,
  elementCountOf,
  formatShape,
  isNumeric,
  type NumericDType,
  type NumericTensor,
  numericTensor,
  readElement,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { gathered } from './host-movement.ts'
import { reduceAxes } from './reductions.ts'
import { integerOf, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** Whether element `x` goes before `y` where the largest are wanted; NaN is the largest. */
type Before = (x: number | bigint, y: number | bigint) => number

const largestFirst: Before = (x, y) => {
  if (x === y) return 0
  if (typeof x === 'number' && Number.isNaN(x)) return Number.isNaN(y) ? 0 : -1
  if (typeof y === 'number' && Number.isNaN(y)) return 1
  return x > y ? -1 : 1
}

/** Elements of a tensor that compare as numbers do. */
function comparable(tensor: NumericTensor): (number | bigint)[] {
  const array = elementArrayOf(tensor.dtype, tensor.bytes)
  return Array.from(
    { length: array.length },
    (_, place) => readElement(tensor.dtype, array, place) as number | bigint,
  )
}

/** Places of the `k` largest of `size` elements from `start` on, largest first, the first of equals first. */
function largestPlaces(
  elements: readonly (number | bigint)[],
  start: number,
  size: number,
  k: number,
): number[] {
  const order = (x: number, y: number): number => largestFirst(elements[x], elements[y]) || x - y
  if (k * 16 >= size) {
    return Array.from({ length: size }, (_, place) => start + place)
      .sort(order)
      .slice(0, k)
  }
  const best: number[] = []
  for (let place = start; place < start + size; place++) {
    if (best.length === k && (k === 0 || order(best[k - 1], place) < 0)) continue
    let low = 0
    let high = best.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (order(best[middle], place) < 0) low = middle + 1
      else high = middle
    }
    best.splice(low, 0, place)
    if (best.length > k) best.pop()
  }
  return best
}

function topOf(at: Lowering, input: TensorValue, k: number): readonly TensorValue[] {
  if (input.shape.length === 0) {
    throw invalid('shape/mismatch', 'input must be >= 1-D, got shape []')
  }
  const size = input.shape[input.shape.length - 1]
  if (k < 0) throw invalid('shape/invalid', `Need k >= 0, got ${k}`)
  if (size < k) throw invalid('shape/invalid', 'input must have at least k columns')
  const shape = [...input.shape.slice(0, -1), k]
  const isTyped = at.node.op === 'TopKV2'
  const dtype = isTyped ? (at.attributes.type('index_type') as NumericDType) : 'int32'
  return at.step({
    inputs: [input],
    outputs: [
      { dtype: input.dtype, shape },
      { dtype, shape },
    ],
    run: ([tensor]) => {
      if (!isNumeric(tensor.dtype)) throw invalid('op/type', `TopK cannot order ${tensor.dtype}`)
      const elements = comparable(tensor as NumericTensor)
      const rows = elementCountOf(shape.slice(0, -1))
      const places: number[] = []
      for (let row = 0; row < rows; row++) {
        for (const place of largestPlaces(elements, row * size, size, k)) places.push(place)
      }
      const columns = places.map((place) => place % size)
      const indices = dtype === 'int64' ? columns.map(BigInt) : columns
      return [gathered(tensor, shape, places), tensorOfElements(dtype, shape, indices)]
    },
  })
}

const topK = defineOp({
  name: 'TopK',
  inputs: ['input: T'],
  outputs: ['values: T', 'indices: int32'],
  attributes: ['k: int >= 0', 'sorted: bool = true', 'T: realnumbertype'],
  lower: (at) => topOf(at, at.input('input'), at.attributes.int('k')),
})

const topKV2 = defineOp({
  name: 'TopKV2',
  inputs: ['input: T', 'k: Tk'],
  outputs: ['values: T', 'indices: index_type'],
  attributes: [
    'sorted: bool = true',
    'T: realnumbertype',
    'Tk: {int16, int32, int64} = int32',
    'index_type: {int16, int32, int64} = int32',
  ],
  lower: (at) => topOf(at, at.input('input'), integerOf(at.contentOf(at.input('k')), 'k')),
})

/** Whether the prediction of each row's target is among the `k` highest; ties are in. */
function inTop(
  at: Lowering,
  predictions: TensorValue,
  targets: TensorValue,
  k: TensorValue,
): TensorValue {
  const { shape } = predictions
  if (shape.length !== 2) throw invalid('shape/mismatch', 'predictions must be 2-dimensional')
  if (targets.shape.length !== 1) throw invalid('shape/mismatch', 'targets must be 1-dimensional')
  const [rows, classes] = shape
  if (targets.shape[0] !== rows) {
    throw invalid(
      'shape/mismatch',
      `First dimension of predictions ${rows} must match length of targets ${targets.shape[0]}`,
    )
  }
  const higher = at.compute({
    shape: [rows],
    dtype: 'int32',
    inputs: [predictions, targets],
    reduce: {
      extents: [classes],
      combine: 'sum',
      dtype: 'int32',
      body: ({ b, axes, reduced, read }) => {
        const target = b.cast(read(1, axes), 'int32')
        const own = read(0, [axes[0], b.max(b.min(target, classes - 1), 0)])
        return b.cast(b.greater(read(0, [axes[0], reduced[0]]), own), 'int32')
      },
    },
    body: ({ total }) => total,
  })
  const finite = at.compute({
    shape,
    dtype: 'bool',
    inputs: [predictions],
    body: ({ b, axes, read }) => b.one('is_finite', read(0, axes)),
  })
  const sayable = reduceAxes(at, finite, [1], false, 'all')
  return at.compute({
    shape: [rows],
    dtype: 'bool',
    inputs: [targets, higher, sayable, k],
    body: ({ b, axes, read }) => {
      const target = read(0, axes)
      const inRange = b.and(b.greaterEqual(target, 0), b.less(target, classes))
      const place = read(1, axes)
      const isTop = b.less(b.cast(place, k.dtype === 'int64' ? 'int64' : 'int32'), read(3, []))
      return b.and(inRange, read(2, axes), isTop)
    },
  })
}

const inTopK = defineOp({
  name: 'InTopK',
  inputs: ['predictions: float', 'targets: T'],
  outputs: ['precision: bool'],
  attributes: ['k: int', 'T: {int32, int64} = int32'],
  lower: (at) => {
    const k = at.known(tensorOfElements('int64', [], [at.attributes.bigint('k')]))
    return [inTop(at, at.input('predictions'), at.input('targets'), k)]
  },
})

const inTopKV2 = defineOp({
  name: 'InTopKV2',
  inputs: ['predictions: float', 'targets: T', 'k: T'],
  outputs: ['precision: bool'],
  attributes: ['T: {int32, int64} = int32'],
  lower: (at) => [inTop(at, at.input('predictions'), at.input('targets'), at.input('k'))],
})

/** The n-th smallest (or largest) of each row. */
const nthElement = defineOp({
  name: 'NthElement',
  inputs: ['input: T', 'n: int32'],
  outputs: ['values: T'],
  attributes: ['reverse: bool = false', 'T: realnumbertype'],
  lower: (at) => {
    const input = at.input('input')
    const n = integerOf(at.contentOf(at.input('n')), 'n')
    if (input.shape.length === 0) {
      throw invalid('shape/mismatch', `Input must be >= 1-D, got shape ${formatShape(input.shape)}`)
    }
    const size = input.shape[input.shape.length - 1]
    if (n < 0) throw invalid('shape/invalid', `n must be non-negative, got ${n}`)
    if (n >= size) throw invalid('shape/invalid', `Input must have at least n+1 columns`)
    const place = at.attributes.bool('reverse') ? n : size - 1 - n
    const shape = input.shape.slice(0, -1)
    return at.step({
      inputs: [input],
      outputs: [{ dtype: input.dtype, shape }],
      run: ([tensor]) => [nthOf(tensor, shape, size, place)],
    })
  },
})

function nthOf(tensor: Tensor, shape: readonly number[], size: number, place: number): Tensor {
  const elements = comparable(tensor as NumericTensor)
  const picks = Array.from(
    { length: elementCountOf(shape) },
    (_, row) => largestPlaces(elements, row * size, size, size)[place],
  )
  return gathered(tensor, shape, picks)
}

/** How many values fall into each of `nbins` equal bins of a range; values beyond it go to the outer bins. */
const histogram = defineOp({
  name: 'HistogramFixedWidth',
  inputs: ['values: T', 'value_range: T', 'nbins: int32'],
  outputs: ['out: dtype'],
  attributes: ['T: {int32, int64, float, double}', 'dtype: {int32, int64} = int32'],
  lower: (at) => {
    const bins = integerOf(at.contentOf(at.input('nbins')), 'nbins')
    if (bins <= 0) {
      throw invalid('shape/invalid', `nbins should be a positive number, but got '${bins}'`)
    }
    const range = at.input('value_range')
    if (range.shape.length !== 1 || range.shape[0] !== 2) {
      throw invalid(
        'shape/mismatch',
        `value_range should be a vector of 2 elements, but got shape ${formatShape(range.shape)}`,
      )
    }
    const dtype = at.attributes.type('dtype') === 'int64' ? 'int64' : 'int32'
    return at.step({
      inputs: [at.input('values'), range],
      outputs: [{ dtype, shape: [bins] }],
      run: ([values, ends]) => {
        const [low, high] = comparable(ends as NumericTensor).map(Number)
        if (!(low < high)) {
          throw invalid(
            'run/range',
            `value_range should satisfy value_range[0] < value_range[1], but got '[${low}, ${high}]'`,
          )
        }
        const narrow = values.dtype === 'float32' ? Math.fround : (number: number) => number
        const width = narrow(high - low) / bins
        const array = elementArrayOf(dtype, new Uint8Array(bins * byteLengthOf(dtype)))
        const counts = new Float64Array(bins)
        for (const value of comparable(values as NumericTensor)) {
          const bin = Math.trunc(narrow(Math.max(Number(value), low) - low) / width)
          counts[Math.min(Number.isNaN(bin) ? 0 : bin, bins - 1)]++
        }
        for (const [bin, count] of counts.entries()) {
          array[bin] = dtype === 'int64' ? BigInt(count) : count
        }
        return [numericTensor(dtype, [bins], new Uint8Array(array.buffer))]
      },
    })
  },
})

/** Ordering. */
export const sortingOps: readonly OpDefinition[] = [
  topK,
  topKV2,
  inTopK,
  inTopKV2,
  nthElement,
  histogram,
]
