// The rules of StridedSlice: masks, an ellipsis, new axes, and negative positions.
// Source: tensorflow/core/util/strided_slice_op.cc (ValidateStridedSliceOp).
import type { Shape } from '../../tensor/index.ts'
import type { Lowering } from './definition.ts'
import { integersOf, invalid } from './shapes.ts'

/** Attributes that every op on a strided slice has. */
export const maskAttributes = [
  'begin_mask: int = 0',
  'end_mask: int = 0',
  'ellipsis_mask: int = 0',
  'new_axis_mask: int = 0',
  'shrink_axis_mask: int = 0',
] as const

/** A strided slice of a known shape: what is read, and the shape that it ends in. */
export interface StridedSlice {
  readonly begin: readonly number[]
  readonly strides: readonly number[]
  /** Elements of each dimension of the input that are read. */
  readonly processing: Shape
  /** The same elements, with axes dropped and added. */
  readonly final: Shape
}

/** The slice that a node's inputs and masks say of an input of that shape. */
export function stridedSliceOf(at: Lowering, shape: Shape): StridedSlice {
  const given = {
    begin: integersOf(at.contentOf(at.input('begin'))),
    end: integersOf(at.contentOf(at.input('end'))),
    strides: integersOf(at.contentOf(at.input('strides'))),
  }
  const mask = (name: string): ((place: number) => boolean) => {
    const bits = at.attributes.int(`${name}_mask`)
    return (place) => ((bits >> place) & 1) === 1
  }
  const [isBegin, isEnd, isEllipsis] = [mask('begin'), mask('end'), mask('ellipsis')]
  const [isNew, isShrunk] = [mask('new_axis'), mask('shrink_axis')]
  const count = given.begin.length
  if (given.end.length !== count || given.strides.length !== count) {
    throw invalid('shape/mismatch', 'Expected begin, end, and strides to be 1D equal size tensors')
  }
  const places = [...given.begin.keys()]
  const ellipses = places.filter(isEllipsis)
  if (ellipses.length > 1) {
    throw invalid('shape/slice', 'Multiple ellipses in slice spec not allowed')
  }
  const ellipsis = ellipses[0] ?? count
  const used = places.filter((place) => place !== ellipsis && !isNew(place)).length
  const skipped = shape.length - used
  if (skipped < 0) {
    throw invalid(
      'shape/slice',
      `Index out of range using input dim ${shape.length}; input has only ${shape.length} dims`,
    )
  }
  const begin: number[] = []
  const strides: number[] = []
  const processing: number[] = []
  const final: number[] = []
  const whole = (axis: number): void => {
    begin.push(0)
    strides.push(1)
    processing.push(shape[axis])
    final.push(shape[axis])
  }
  for (let place = 0; place <= count; place++) {
    if (place === ellipsis) {
      const wanted = place === count ? shape.length - begin.length : skipped
      for (let one = 0; one < wanted; one++) whole(begin.length)
      continue
    }
    if (place === count) break
    if (isNew(place)) {
      final.push(1)
      continue
    }
    const axis = begin.length
    const one = dimension(shape[axis], axis, {
      begin: isBegin(place) ? undefined : given.begin[place],
      end: isEnd(place) ? undefined : given.end[place],
      stride: given.strides[place],
      shrinks: isShrunk(place),
    })
    begin.push(one.begin)
    strides.push(one.stride)
    processing.push(one.size)
    if (!isShrunk(place)) final.push(one.size)
  }
  while (begin.length < shape.length) whole(begin.length)
  return { begin, strides, processing, final }
}

interface DimensionSpec {
  /** Undefined: masked. */
  readonly begin: number | undefined
  readonly end: number | undefined
  readonly stride: number
  readonly shrinks: boolean
}

function dimension(
  size: number,
  axis: number,
  { begin, end, stride, shrinks }: DimensionSpec,
): { readonly begin: number; readonly stride: number; readonly size: number } {
  if (stride === 0) throw invalid('shape/slice', `strides[${axis}] must be non-zero`)
  if (shrinks) {
    if (stride <= 0) throw invalid('shape/slice', 'only stride 1 allowed on non-range indexing.')
    const place = begin ?? 0
    const from = place < 0 ? place + size : place
    if (from < 0 || from >= size) {
      throw invalid('shape/slice', `slice index ${place} of dimension ${axis} out of bounds.`)
    }
    return { begin: from, stride: 1, size: 1 }
  }
  const [low, high] = stride > 0 ? [0, size] : [-1, size - 1]
  const clamp = (value: number): number => {
    const from = value < 0 ? value + size : value
    return Math.min(Math.max(from, low), high)
  }
  const first = begin === undefined ? (stride > 0 ? low : high) : clamp(begin)
  const last = end === undefined ? (stride > 0 ? high : low) : clamp(end)
  return { begin: first, stride, size: Math.max(Math.ceil((last - first) / stride), 0) }
}
