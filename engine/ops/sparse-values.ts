// What sparse ops share: index vectors of a sparse tensor, read and checked on the host.
import { formatShape, type Shape, type Tensor } from '../../tensor/index.ts'
import type { Lowering } from './definition.ts'
import { integersOf, invalid, shapeFrom } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** Index vectors of a sparse tensor, `[n, rank]`, as plain numbers. */
export interface IndexRows {
  readonly rank: number
  readonly count: number
  /** All vectors, one after the other. */
  readonly values: readonly number[]
}

/** Index vectors of a matrix; a vector counts as vectors of one, a scalar as one of one. */
export function indexRowsOf(indices: Tensor): IndexRows {
  const values = integersOf(indices)
  const { shape } = indices
  if (shape.length > 2) {
    throw invalid(
      'shape/mismatch',
      `Input indices should be a matrix but received shape ${formatShape(shape)}`,
    )
  }
  return { rank: shape[1] ?? 1, count: shape[0] ?? 1, values }
}

/** Vector `row`. */
export function rowOf({ values, rank }: IndexRows, row: number): readonly number[] {
  return values.slice(row * rank, (row + 1) * rank)
}

/** Flat places of the vectors in a dense shape; refuses one outside with what `message` says. */
export function flatPlaces(
  rows: IndexRows,
  shape: Shape,
  message: (row: number, index: readonly number[]) => string,
): Int32Array {
  if (rows.rank !== shape.length) {
    throw invalid(
      'shape/mismatch',
      `Indices of ${rows.rank} dimensions do not fit the shape ${formatShape(shape)}.`,
    )
  }
  const places = new Int32Array(rows.count)
  for (let row = 0; row < rows.count; row++) {
    let place = 0
    for (let axis = 0; axis < rows.rank; axis++) {
      const index = rows.values[row * rows.rank + axis]
      if (index < 0 || index >= shape[axis])
        throw invalid('run/index', message(row, rowOf(rows, row)))
      place = place * shape[axis] + index
    }
    places[row] = place
  }
  return places
}

/** Order of two index vectors. */
export function compareRows(a: readonly number[], b: readonly number[]): number {
  const axis = a.findIndex((index, place) => index !== b[place])
  return axis < 0 ? 0 : a[axis] - b[axis]
}

/** The dense shape that a named input says. */
export function denseShape(at: Lowering, name: string): Shape {
  return shapeFrom(at.contentOf(at.input(name)), name)
}

/** Refuses indices, values and a shape that do not belong together. */
export function checkSparse(indices: TensorValue, values: TensorValue, rank: number): void {
  if (indices.shape.length !== 2) {
    throw invalid(
      'shape/mismatch',
      `Input indices should be a matrix but received shape ${formatShape(indices.shape)}`,
    )
  }
  if (values.shape.length !== 1 || values.shape[0] !== indices.shape[0]) {
    throw invalid(
      'shape/mismatch',
      `Number of values (${formatShape(values.shape)}) must match the number of indices (${formatShape(indices.shape)})`,
    )
  }
  if (indices.shape[1] !== rank) {
    throw invalid(
      'shape/mismatch',
      `Index rank (${indices.shape[1]}) and shape rank (${rank}) do not match.`,
    )
  }
}
