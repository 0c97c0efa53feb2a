// Shapes: lists of dimension sizes, outermost first, and their checked arithmetic.
import { Refusal } from './refusal.ts'

/** Dimension sizes, outermost first; `[]` is a scalar. */
export type Shape = readonly number[]

/** A shape that may be partly known: -1 is an unknown size, undefined an unknown rank. */
export type PartialShape = readonly number[] | undefined

/** TensorFlow's own limit (`TensorShape::MaxDimensions`). */
export const maxRank = 254

/**
 * Number of elements of `shape`. Refuses (INVALID_ARGUMENT, `shape/invalid`) a size that is
 * negative or not whole, a rank over {@link maxRank}, and a product over 2^53 - 1.
 */
export function elementCountOf(shape: Shape): number {
  if (shape.length > maxRank) {
    throw invalid(shape, `has ${shape.length} dimensions; at most ${maxRank} are allowed`)
  }
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw invalid(shape, `has the size ${size}; sizes are whole numbers of 0 or more`)
    }
  }
  if (shape.includes(0)) return 0
  let count = 1
  for (const size of shape) {
    count *= size
    if (!Number.isSafeInteger(count)) throw invalid(shape, 'holds more than 2^53 - 1 elements')
  }
  return count
}

function invalid(shape: Shape, problem: string): Refusal {
  const shown = shape.length > 16 ? `[${shape.slice(0, 16).join(',')},..]` : formatShape(shape)
  return new Refusal('INVALID_ARGUMENT', 'shape/invalid', `Shape ${shown} ${problem}.`)
}

/** Whether two shapes have the same sizes in the same order. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis])
}

/** Whether a concrete shape fits a partly known one. */
export function fitsShape(shape: Shape, wanted: PartialShape): boolean {
  if (wanted === undefined) return true
  return (
    shape.length === wanted.length &&
    shape.every((size, axis) => wanted[axis] === -1 || wanted[axis] === size)
  )
}

/** A shape as TensorFlow prints it: `[2,3]`, `[]`; unknown sizes as `?`, unknown rank as `<unknown>`. */
export function formatShape(shape: PartialShape): string {
  if (shape === undefined) return '<unknown>'
  return `[${shape.map((size) => (size === -1 ? '?' : String(size))).join(',')}]`
}

/** Row-major strides in elements: `[12, 4, 1]` for `[2, 3, 4]`. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride
    stride *= shape[axis]
  }
  return strides
}
