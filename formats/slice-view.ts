// What an index means for a tensor of a given shape: a view, which is where its elements lie in the
// row-major whole. Views are cut into boxes and put into their simplest form here; bytes are
// slice-read.ts's.
import { maxRank, Refusal, type Shape, stridesOf } from '../tensor/index.ts'
import { type BasicIndex, formatBasicIndex, type IndexPart } from './slice-text.ts'

/** An axis of a view: `size` elements, each `stride` elements of the whole after the one before. */
export interface ViewAxis {
  readonly size: number
  readonly stride: number
}

/** Elements of a row-major whole, in row-major order of the axes; the first one is element `offset`. */
export interface View {
  readonly offset: number
  readonly axes: readonly ViewAxis[]
}

/** The shape of what a view shows. */
export function shapeOfView({ axes }: View): Shape {
  return axes.map(({ size }) => size)
}

function outside(index: BasicIndex, problem: string): Refusal {
  const shown = JSON.stringify(formatBasicIndex(index).slice(0, 200))
  return new Refusal(
    'INVALID_ARGUMENT',
    'slice/out-of-bounds',
    `In the slice ${shown}: ${problem}.`,
  )
}

/**
 * The part of a tensor of `shape` that the index names. Ranges are clamped to their axis, as Python
 * does. Refuses (INVALID_ARGUMENT `slice/out-of-bounds`) an integer that lies outside of its axis and
 * more parts than there are axes.
 */
export function viewOf(index: BasicIndex, shape: Shape): View {
  const strides = stridesOf(shape)
  const consuming = index.filter(({ kind }) => kind === 'integer' || kind === 'range').length
  if (consuming > shape.length) {
    throw outside(
      index,
      `too many indices for array: array is ${shape.length}-dimensional, but ${consuming} were indexed`,
    )
  }
  const axes: ViewAxis[] = []
  let offset = 0
  let axis = 0
  const takeWhole = (count: number): void => {
    for (const end = axis + count; axis < end; axis++) {
      axes.push({ size: shape[axis], stride: strides[axis] })
    }
  }
  for (const part of index) {
    switch (part.kind) {
      case 'ellipsis':
        takeWhole(shape.length - consuming)
        break
      case 'newaxis':
        axes.push({ size: 1, stride: 0 })
        break
      case 'integer':
        offset += placeOf(part.value, shape[axis], axis, index) * strides[axis]
        axis++
        break
      case 'range': {
        const { first, count } = placesOf(part, shape[axis])
        offset += first * strides[axis]
        axes.push({ size: count, stride: part.step * strides[axis] })
        axis++
        break
      }
      default:
        throw new Error(`unknown part ${part satisfies never}`)
    }
  }
  takeWhole(shape.length - axis)
  if (axes.length > maxRank) throw outside(index, `the result has ${axes.length} dimensions`)
  return { offset, axes }
}

function placeOf(value: number, size: number, axis: number, index: BasicIndex): number {
  const place = value < 0 ? value + size : value
  if (place >= 0 && place < size) return place
  throw outside(index, `index ${value} is out of bounds for axis ${axis} with size ${size}`)
}

/** Where a range begins on an axis, and how many places it takes: Python's `slice.indices`. */
function placesOf(
  { start, stop, step }: Extract<IndexPart, { kind: 'range' }>,
  size: number,
): { readonly first: number; readonly count: number } {
  const lowest = step > 0 ? 0 : -1
  const highest = step > 0 ? size : size - 1
  const clamp = (bound: number): number =>
    bound < 0 ? Math.max(bound + size, lowest) : Math.min(bound, highest)
  const first = start === undefined ? (step > 0 ? lowest : highest) : clamp(start)
  const end = stop === undefined ? (step > 0 ? highest : lowest) : clamp(stop)
  const count = Math.max(0, Math.ceil((end - first) / step))
  return count === 0 ? { first: 0, count } : { first, count }
}

/** The same elements in the same order with as few axes as possible; [] for one element. */
export function simplestAxes(axes: readonly ViewAxis[]): readonly ViewAxis[] {
  const simple: ViewAxis[] = []
  for (const axis of axes) {
    if (axis.size === 1) continue
    const outer = simple[simple.length - 1]
    if (outer !== undefined && outer.stride === axis.size * axis.stride) {
      simple[simple.length - 1] = { size: outer.size * axis.size, stride: axis.stride }
    } else simple.push(axis)
  }
  return simple
}

/**
 * Elements `from` to `to` (not included) of a view, counted in its order, as boxes: views that
 * together show them in that order, at most two for each axis and one more.
 */
export function boxesOf({ offset, axes }: View, from: number, to: number): readonly View[] {
  if (from >= to) return []
  const [axis, ...inner] = axes
  if (axis === undefined) return [{ offset, axes }]
  const row = inner.reduce((count, { size }) => count * size, 1)
  const first = Math.floor(from / row)
  const last = Math.floor((to - 1) / row)
  const rowAt = (place: number): View => ({ offset: offset + place * axis.stride, axes: inner })
  if (first === last) return boxesOf(rowAt(first), from - first * row, to - first * row)
  const boxes: View[] = []
  const isHeadWhole = from === first * row
  const isTailWhole = to === (last + 1) * row
  const wholeFirst = isHeadWhole ? first : first + 1
  const wholeCount = (isTailWhole ? last + 1 : last) - wholeFirst
  if (!isHeadWhole) boxes.push(...boxesOf(rowAt(first), from - first * row, row))
  if (wholeCount > 0) {
    const start = offset + wholeFirst * axis.stride
    boxes.push({ offset: start, axes: [{ size: wholeCount, stride: axis.stride }, ...inner] })
  }
  if (!isTailWhole) boxes.push(...boxesOf(rowAt(last), 0, to - last * row))
  return boxes
}
