// Shape rules that many ops share: broadcasting, axes, shapes given as values.
import {
  elementArrayOf,
  formatShape,
  type NumericTensor,
  Refusal,
  type Shape,
  type Tensor,
} from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'

/** An INVALID_ARGUMENT with one of the reasons for wrong values of inputs. */
export function invalid(reason: string, message: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', reason, message)
}

/** The shape that two shapes broadcast to; refuses (`shape/mismatch`) in TensorFlow's words. */
export function broadcastShape(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length)
  const shape: number[] = []
  for (let axis = 0; axis < rank; axis++) {
    const x = a[axis - rank + a.length] ?? 1
    const y = b[axis - rank + b.length] ?? 1
    if (x !== y && x !== 1 && y !== 1) {
      throw invalid(
        'shape/mismatch',
        `Incompatible shapes: ${formatShape(a)} vs. ${formatShape(b)}`,
      )
    }
    shape.push(x === 1 ? y : x)
  }
  return shape
}

/** Positions in a value of `shape` that was broadcast to a space with `axes` of `space`. */
export function broadcastPositions(
  b: Builder,
  axes: readonly Expression[],
  shape: Shape,
): readonly Expression[] {
  const skipped = axes.length - shape.length
  return shape.map((size, axis) => (size === 1 ? b.index(0) : axes[axis + skipped]))
}

/** An axis from 0; refuses one outside of `-rank .. rank - 1`. */
export function axisOf(axis: number, rank: number, what = 'axis'): number {
  if (axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis
  throw invalid('shape/axis', `Expected ${what} in the range [-${rank}, ${rank}), but got ${axis}`)
}

/** Whole numbers of a small integer tensor. */
export function integersOf(tensor: Tensor): number[] {
  return Array.from(
    elementArrayOf((tensor as NumericTensor).dtype, (tensor as NumericTensor).bytes) as Int32Array,
    Number,
  )
}

/** The one number of a scalar tensor; refuses other shapes. */
export function integerOf(tensor: Tensor, what: string): number {
  const all = integersOf(tensor)
  if (all.length !== 1) {
    throw invalid(
      'shape/mismatch',
      `${what} must be a scalar, but has shape ${formatShape(tensor.shape)}`,
    )
  }
  return all[0]
}

/** Shape that a vector of sizes says; refuses negative sizes and other ranks. */
export function shapeFrom(tensor: Tensor, what = 'shape'): Shape {
  if (tensor.shape.length > 1) {
    throw invalid(
      'shape/mismatch',
      `${what} must be a vector, but has shape ${formatShape(tensor.shape)}`,
    )
  }
  const sizes = integersOf(tensor)
  const negative = sizes.find((size) => size < 0)
  if (negative !== undefined) {
    throw invalid('shape/invalid', `Dimension ${negative} of ${what} must be >= 0`)
  }
  return sizes
}
