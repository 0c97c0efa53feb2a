// Assignment to a strided slice: of a variable, or of a tensor that is copied.
import {
  byteLengthOf,
  elementCountOf,
  formatShape,
  type NumericTensor,
  numericTensor,
  Refusal,
  type Shape,
  type StringTensor,
  sameShape,
  stringTensor,
} from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { isKernelType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { gathered } from './host-movement.ts'
import { integersOf } from './shapes.ts'
import { maskAttributes, type StridedSlice, stridedSliceOf } from './strided-slice.ts'
import type { Stretch, TensorValue } from './value.ts'
import { parametersOf, variableIn } from './variables.ts'

/** `target` with the slice that the node's inputs name replaced by its input `value`. */
function withSlice(at: Lowering, target: TensorValue, input: string): TensorValue {
  const slice = stridedSliceOf(at, target.shape)
  const value = at.input(input)
  if (slice.processing.includes(0)) return target
  if (!sameShape(slice.final, value.shape)) {
    throw new Refusal(
      'UNIMPLEMENTED',
      'shape/mismatch',
      `sliced l-value shape ${formatShape(slice.final)} does not match r-value shape ${formatShape(value.shape)}. Automatic broadcasting not yet implemented.`,
      { fix: 'Give a value of the shape of the slice.' },
    )
  }
  if (!isKernelType(target.dtype)) return withSliceOnHost(at, target, value, slice)
  if (at.isWorthPatching(target, elementCountOf(slice.processing))) {
    return at.patched(target, {
      values: at.reshaped(value, slice.processing),
      places: [],
      index: ({ b, axes }) => b.flatten(positionsOf(b, axes, slice), target.shape),
      touched: () => stretchesOf(slice, target.shape),
    })
  }
  return at.compute({
    shape: target.shape,
    dtype: target.dtype,
    inputs: [target, at.reshaped(value, slice.processing)],
    body: ({ b, axes, read }) => {
      const { positions, isInside } = placesOf(b, axes, slice, target.shape)
      return b.select(isInside, read(1, positions, isInside), read(0, axes))
    },
  })
}

/** Where elements of the slice are in what it is a slice of. */
function positionsOf(
  b: Builder,
  axes: readonly Expression[],
  { begin, strides }: StridedSlice,
): readonly Expression[] {
  return axes.map((axis, place) => b.add(b.mul(axis, strides[place]), begin[place]))
}

/** Stretches told of one slice at most. */
const maxStretches = 65_536

/** Elements that the slice covers, in stretches as long as its inner dimensions allow. */
function stretchesOf(
  { begin, strides, processing }: StridedSlice,
  shape: Shape,
): readonly Stretch[] | undefined {
  let inner = shape.length
  let count = 1
  // Dimensions from `inner` on are whole, so that what is inside of the one before them lies together.
  while (inner > 0 && processing[inner - 1] === shape[inner - 1] && strides[inner - 1] === 1) {
    count *= shape[--inner]
  }
  if (inner > 0 && strides[inner - 1] === 1) count *= processing[--inner]
  const outer = processing.slice(0, inner)
  if (elementCountOf(outer) > maxStretches) return undefined
  let offsets = [inner < shape.length ? begin[inner] * elementCountOf(shape.slice(inner + 1)) : 0]
  for (let axis = inner - 1; axis >= 0; axis--) {
    const step = elementCountOf(shape.slice(axis + 1))
    offsets = Array.from({ length: outer[axis] }, (_, place) => {
      return (begin[axis] + place * strides[axis]) * step
    }).flatMap((start) => offsets.map((offset) => start + offset))
  }
  return offsets.sort((a, b) => a - b).map((offset) => ({ offset, count }))
}

/** The same for types that no kernel holds: a kernel says for each element its place in the value. */
function withSliceOnHost(
  at: Lowering,
  target: TensorValue,
  value: TensorValue,
  slice: StridedSlice,
): TensorValue {
  const { shape, dtype } = target
  const places = at.compute({
    shape,
    dtype: 'int32',
    inputs: [],
    body: ({ b, axes }) => {
      const { positions, isInside } = placesOf(b, axes, slice, shape)
      return b.select(isInside, b.flatten(positions, slice.processing), -1)
    },
  })
  const [result] = at.step({
    inputs: [target, value, places],
    outputs: [{ dtype, shape }],
    run: ([before, after, from]) => {
      const sources = integersOf(from)
      const moved = gathered(after, shape, sources)
      if (before.dtype === 'string') {
        const { strings } = moved as StringTensor
        const kept = before.strings.map((text, place) =>
          sources[place] < 0 ? text : strings[place],
        )
        return [stringTensor(shape, kept)]
      }
      const bytes = (moved as NumericTensor).bytes.slice()
      const size = byteLengthOf(before.dtype)
      for (const [place, source] of sources.entries()) {
        const at = place * size
        if (source < 0) bytes.set(before.bytes.subarray(at, at + size), at)
      }
      return [numericTensor(before.dtype, shape, bytes)]
    },
  })
  return result
}

/** Where an element is in the slice, and whether it is in it. */
function placesOf(
  b: Builder,
  axes: readonly Expression[],
  { begin, strides, processing }: StridedSlice,
  shape: Shape,
): { readonly positions: readonly Expression[]; readonly isInside: Expression } {
  const terms: Expression[] = []
  const positions = axes.map((axis, place) => {
    const [from, stride, size] = [begin[place], strides[place], processing[place]]
    if (from === 0 && stride === 1 && size === shape[place]) return axis
    const offset = stride > 0 ? b.sub(axis, from) : b.sub(from, axis)
    const step = Math.abs(stride)
    const position = step === 1 ? offset : b.quotient(offset, step)
    terms.push(b.greaterEqual(offset, 0), b.less(position, size))
    if (step !== 1) terms.push(b.equal(b.mul(position, step), offset))
    return b.min(b.max(position, 0), size - 1)
  })
  return { positions, isInside: b.and(...terms) }
}

const sliceAttributes = ['T: type', 'Index: {int16, int32, int64}', ...maskAttributes]

const sliceInputs = ['begin: Index', 'end: Index', 'strides: Index']

const stridedSliceAssign = defineOp({
  name: 'StridedSliceAssign',
  inputs: ['ref: Ref(T)', ...sliceInputs, 'value: T'],
  outputs: ['output_ref: Ref(T)'],
  attributes: sliceAttributes,
  writes: ['ref'],
  lower: (at) => {
    const variable = variableIn(at, 'ref')
    at.assign(variable, withSlice(at, parametersOf(at, variable), 'value'))
    return [at.reference(variable)]
  },
})

const resourceStridedSliceAssign = defineOp({
  name: 'ResourceStridedSliceAssign',
  inputs: ['ref: resource', ...sliceInputs, 'value: T'],
  attributes: sliceAttributes,
  writes: ['ref'],
  lower: (at) => {
    const variable = variableIn(at, 'ref')
    at.assign(variable, withSlice(at, at.read(variable), 'value'))
    return []
  },
})

const tensorStridedSliceUpdate = defineOp({
  name: 'TensorStridedSliceUpdate',
  inputs: ['input: T', ...sliceInputs, 'value: T'],
  outputs: ['output: T'],
  attributes: sliceAttributes,
  infer: ([shape]) => [shape],
  lower: (at) => [withSlice(at, at.input('input'), 'value')],
})

/** Assignment to slices. */
export const sliceAssignOps: readonly OpDefinition[] = [
  stridedSliceAssign,
  resourceStridedSliceAssign,
  tensorStridedSliceUpdate,
]
