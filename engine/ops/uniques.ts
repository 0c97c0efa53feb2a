// Elements that differ: what is unique, how often it occurs, what one list has and another lacks. How
// many there are depends on content, so it is done on the host.
import {
  elementCountOf,
  elementsOf,
  isNumeric,
  type NumericDType,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { gathered } from './host-movement.ts'
import { axisOf, integersOf, invalid } from './shapes.ts'
import { wholeElements } from './string-values.ts'
import type { TensorValue } from './value.ts'

/** For each element something that is the same for equal elements: NaN is like nothing. */
function keysOf(tensor: Tensor): readonly unknown[] {
  if (tensor.dtype === 'string') {
    return tensor.strings.map((bytes) => Buffer.from(bytes).toString('latin1'))
  }
  return elementsOf(tensor).map((element) => {
    if (Array.isArray(element)) return String(element.map((part) => part + 0))
    return Number.isNaN(element) ? Symbol('NaN') : element
  })
}

/** Unique keys in the order in which they come. */
interface Groups {
  /** Place of the first element of each group. */
  readonly firsts: number[]
  /** Group of each element. */
  readonly groups: number[]
  readonly counts: number[]
}

function groupsOf(keys: readonly unknown[]): Groups {
  const known = new Map<unknown, number>()
  const result: Groups = { firsts: [], groups: [], counts: [] }
  for (const [place, key] of keys.entries()) {
    let group = known.get(key)
    if (group === undefined) {
      group = result.firsts.length
      known.set(key, group)
      result.firsts.push(place)
      result.counts.push(0)
    }
    result.groups.push(group)
    result.counts[group]++
  }
  return result
}

/** `[outer, size, inner]`: a shape around one axis. */
function around(shape: Shape, axis: number): readonly [number, number, number] {
  return [elementCountOf(shape.slice(0, axis)), shape[axis], elementCountOf(shape.slice(axis + 1))]
}

/** A key for each slice across an axis. */
function sliceKeys(tensor: Tensor, axis: number): readonly unknown[] {
  const keys = keysOf(tensor)
  if (tensor.shape.length === 1) return keys
  const [outer, size, inner] = around(tensor.shape, axis)
  const numbers = new Map<unknown, number>()
  const numberOf = (key: unknown): number => {
    const known = numbers.get(key) ?? numbers.size
    numbers.set(key, known)
    return known
  }
  return Array.from({ length: size }, (_, place) => {
    const own: number[] = []
    for (let before = 0; before < outer; before++) {
      for (let after = 0; after < inner; after++) {
        own.push(numberOf(keys[(before * size + place) * inner + after]))
      }
    }
    return own.join(' ')
  })
}

/** The slices of a tensor at some places of an axis. */
function slicesAt(tensor: Tensor, axis: number, places: readonly number[]): Tensor {
  const [outer, size, inner] = around(tensor.shape, axis)
  const sources: number[] = []
  for (let before = 0; before < outer; before++) {
    for (const place of places) {
      const from = (before * size + place) * inner
      for (let after = 0; after < inner; after++) sources.push(from + after)
    }
  }
  return gathered(tensor, tensor.shape.with(axis, places.length), sources)
}

function uniqueOf(at: Lowering, x: TensorValue, axis: number): readonly TensorValue[] {
  const dtype = at.attributes.type('out_idx') as NumericDType
  const hasCounts = at.node.op.startsWith('UniqueWithCounts')
  const whole = (values: readonly number[]): Tensor =>
    tensorOfElements(dtype, [values.length], wholeElements(dtype, values))
  return at.step({
    inputs: [x],
    outputs: [
      { dtype: x.dtype, shape: undefined },
      { dtype, shape: [x.shape[axis]] },
      ...(hasCounts ? [{ dtype, shape: undefined }] : []),
    ],
    run: ([tensor]) => {
      const { firsts, groups, counts } = groupsOf(sliceKeys(tensor, axis))
      const unique = slicesAt(tensor, axis, firsts)
      return [unique, whole(groups), ...(hasCounts ? [whole(counts)] : [])]
    },
  })
}

function unique(name: 'Unique' | 'UniqueWithCounts'): OpDefinition {
  return defineOp({
    name,
    inputs: ['x: T'],
    outputs: ['y: T', 'idx: out_idx', ...(name === 'Unique' ? [] : ['count: out_idx'])],
    attributes: ['T: type', 'out_idx: {int32, int64} = int32'],
    lower: (at) => {
      const x = at.input('x')
      if (x.shape.length !== 1) throw invalid('shape/mismatch', 'unique expects a 1D vector.')
      return uniqueOf(at, x, 0)
    },
  })
}

/** Unique slices across an axis; without one, unique elements of a vector. */
function uniqueV2(name: 'UniqueV2' | 'UniqueWithCountsV2'): OpDefinition {
  return defineOp({
    name,
    inputs: ['x: T', 'axis: Taxis'],
    outputs: ['y: T', 'idx: out_idx', ...(name === 'UniqueV2' ? [] : ['count: out_idx'])],
    attributes: ['T: type', 'Taxis: {int32, int64} = int64', 'out_idx: {int32, int64} = int32'],
    lower: (at) => {
      const x = at.input('x')
      const axes = integersOf(at.contentOf(at.input('axis')))
      if (axes.length > 1) {
        throw invalid('shape/mismatch', 'axis does not support multiple axes')
      }
      if (axes.length === 0 && x.shape.length !== 1) {
        throw invalid('shape/mismatch', 'unique expects a 1D vector.')
      }
      return uniqueOf(at, x, axes.length === 0 ? 0 : axisOf(axes[0], x.shape.length))
    },
  })
}

/** Elements of `x` that `y` has not, in their order, and their places. */
const listDiff = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['x: T', 'y: T'],
    outputs: ['out: T', 'idx: out_idx'],
    attributes: ['T: type', 'out_idx: {int32, int64} = int32'],
    lower: (at) => {
      const [x, y] = [at.input('x'), at.input('y')]
      if (x.shape.length !== 1) throw invalid('shape/mismatch', 'x should be a 1D vector.')
      if (y.shape.length !== 1) throw invalid('shape/mismatch', 'y should be a 1D vector.')
      const dtype = at.attributes.type('out_idx') as NumericDType
      return at.step({
        inputs: [x, y],
        outputs: [
          { dtype: x.dtype, shape: undefined },
          { dtype, shape: undefined },
        ],
        run: ([from, without]) => {
          const taken = new Set(keysOf(without))
          const places = keysOf(from).flatMap((key, place) => (taken.has(key) ? [] : [place]))
          return [
            gathered(from, [places.length], places),
            tensorOfElements(dtype, [places.length], wholeElements(dtype, places)),
          ]
        },
      })
    },
  })

/** Positions of elements that are true, not zero, or not empty. */
const where = defineOp({
  name: 'Where',
  inputs: ['input: T'],
  outputs: ['index: int64'],
  attributes: ['T: type = bool'],
  lower: (at) =>
    at.step({
      inputs: [at.input('input')],
      outputs: [{ dtype: 'int64', shape: undefined }],
      run: ([tensor]) => [positionsOf(tensor)],
    }),
})

function positionsOf(tensor: Tensor): Tensor {
  const { shape } = tensor
  const positions: number[] = []
  let count = 0
  const flags =
    tensor.dtype === 'string'
      ? tensor.strings.map((bytes) => bytes.length > 0)
      : isNumeric(tensor.dtype)
        ? elementsOf(tensor).map((one) => (Array.isArray(one) ? one.some(Boolean) : isSet(one)))
        : []
  for (const [flat, isTrue] of flags.entries()) {
    if (!isTrue) continue
    const start = count++ * shape.length
    let rest = flat
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      positions[start + axis] = rest % shape[axis]
      rest = Math.floor(rest / shape[axis])
    }
  }
  return tensorOfElements('int64', [count, shape.length], positions.map(BigInt))
}

/** NaN is not zero. */
function isSet(element: unknown): boolean {
  return Boolean(element) || Number.isNaN(element)
}

/** Unique elements. */
export const uniqueOps: readonly OpDefinition[] = [
  unique('Unique'),
  unique('UniqueWithCounts'),
  uniqueV2('UniqueV2'),
  uniqueV2('UniqueWithCountsV2'),
  listDiff('ListDiff'),
  listDiff('SetDiff1D'),
  where,
]
