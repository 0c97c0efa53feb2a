// Indices on the host: whether they are within a dimension, and how TensorFlow shows those that are not.
import { Refusal, type Shape, type Tensor } from '../../tensor/index.ts'
import { integersOf, invalid } from './shapes.ts'

/** Position of a flat place in a shape as TensorFlow shows it: nothing for a scalar, else `[0,1]`. */
export function formatPosition(flat: number, shape: Shape): string {
  if (shape.length === 0) return ''
  const position: number[] = []
  let rest = flat
  for (const size of shape.toReversed()) {
    position.unshift(rest % size)
    rest = Math.floor(rest / size)
  }
  return `[${position.join(',')}]`
}

/**
 * The indices as places of a dimension of `size`; refuses (`run/index`) one outside of it with what
 * `message` says, by default as the scatter ops do.
 */
export function placesWithin(
  indices: Tensor,
  size: number,
  message: (place: number, index: number) => string = (place, index) =>
    `indices${formatPosition(place, indices.shape)} = ${index} is not in [0, ${size})`,
): Int32Array {
  const places = integersOf(indices)
  const bad = places.findIndex((place) => place < 0 || place >= size)
  if (bad >= 0) throw invalid('run/index', message(bad, places[bad]))
  return Int32Array.from(places)
}

/** Rows that the host makes a list of. */
const maxRows = 2 ** 26

/** The count as it is; refuses (`run/too-large`) more rows than the host makes a list of. */
export function boundedRows(count: number): number {
  if (count <= maxRows) return count
  throw new Refusal(
    'RESOURCE_EXHAUSTED',
    'run/too-large',
    `A result of ${count} rows is asked for; at most ${maxRows} are made.`,
  )
}
