// How the bytes of a row-major whole alternate between parts along one axis.
import type { SliceSpec } from '../formats/index.ts'
import { elementCountOf, type Shape } from '../tensor/index.ts'

/** `rowCount` rows, each of which has a stretch of every part, one after another. */
export interface Cut {
  readonly rowCount: number
  /** Bytes of a row. */
  readonly rowLength: number
  /** Bytes of each part's stretch of a row. */
  readonly widths: readonly number[]
  /** Where each part's stretch begins within a row, in bytes. */
  readonly starts: readonly number[]
}

/**
 * The cut of a tensor into `slices`, `itemLength` bytes an element. Undefined where they do not follow one
 * another along one axis from its beginning to its end.
 */
export function cutOf(
  shape: Shape,
  slices: readonly SliceSpec[],
  itemLength: number,
): Cut | undefined {
  const found = shape.findIndex((size, place) => slices[0]?.shape[place] !== size)
  const axis = Math.max(0, found)
  let start = 0
  for (const slice of slices) {
    const fits = shape.every((size, place) =>
      place === axis
        ? slice.starts[place] === start
        : slice.starts[place] === 0 && slice.shape[place] === size,
    )
    if (!fits) return undefined
    start += slice.shape[axis] ?? 1
  }
  if (start !== (shape[axis] ?? slices.length)) return undefined
  const inner = elementCountOf(shape.slice(axis + 1)) * itemLength
  return {
    rowCount: elementCountOf(shape.slice(0, axis)),
    rowLength: inner * (shape[axis] ?? 1),
    widths: slices.map((slice) => inner * (slice.shape[axis] ?? 1)),
    starts: slices.map((slice) => inner * (slice.starts[axis] ?? 0)),
  }
}
