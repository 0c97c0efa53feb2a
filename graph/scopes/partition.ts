// Partitioned variables: how a shape is cut into parts along one axis.
// Source: tensorflow/python/ops/partitioned_variables.py, variable_scope.py (_call_partitioner, _iter_slices).
import type { PartialShape, Shape } from '../../tensor/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { pythonList, pythonShape } from './python-text.ts'

/**
 * How to cut: a number of parts along the first axis (at most its size), the same along another axis
 * (counted from the end where negative), or the number of parts of every axis.
 */
export type Partitions =
  | number
  | { readonly count: number; readonly axis?: number }
  | readonly number[]

/** One part of a variable, as a saved slice names it. */
export interface Slice {
  readonly fullName: string
  readonly fullShape: Shape
  readonly offset: readonly number[]
  readonly shape: Shape
}

/** Limit of ours: parts of one variable. */
export const maxParts = 10_000

/**
 * Number of parts of each axis. Refuses (INVALID_ARGUMENT, `partition/..`) a shape that is not fully
 * known or a scalar, an axis that is not there, no parts, parts along two axes, too many.
 */
export function partitionsOf(partitions: Partitions, shape: PartialShape): readonly number[] {
  if (shape === undefined || shape.includes(-1)) {
    throw refuse(
      'shape-unknown',
      `Shape of a new partitioned variable must be fully defined, but instead was ${pythonShape(shape)}.`,
    )
  }
  if (shape.length === 0) {
    throw refuse(
      'rank',
      `A partitioned Variable must have rank at least 1, shape: ${pythonShape(shape)}`,
    )
  }
  const counts = countsOf(partitions, shape)
  const shown = pythonList(counts)
  if (counts.length !== shape.length) {
    throw refuse(
      'rank',
      `Partitioner returned a partition list that does not match the Variable's rank: ${shown} vs. ${pythonShape(shape)}`,
    )
  }
  if (counts.some((count) => count < 1)) {
    throw refuse('zero', `Partitioner returned zero partitions for some axes: ${shown}`)
  }
  if (counts.filter((count) => count > 1).length > 1) {
    throw refuse(
      'axes',
      `Can only slice a variable along one dimension: shape: ${pythonShape(shape)}, partitioning: ${shown}`,
    )
  }
  if (Math.max(...counts) > maxParts) {
    throw refuse('too-many', `A variable has at most ${maxParts} parts; ${shown} were asked for.`)
  }
  return counts
}

function countsOf(partitions: Partitions, shape: Shape): readonly number[] {
  if (Array.isArray(partitions)) return wholeNumbers(partitions)
  const { count, axis = 0 } =
    typeof partitions === 'number'
      ? { count: partitions }
      : (partitions as { readonly count: number; readonly axis?: number })
  wholeNumbers([count, axis])
  const counts = shape.map(() => 1)
  const place = axis < 0 ? axis + shape.length : axis
  if (place < 0 || place >= shape.length) {
    throw refuse(
      'axis',
      `There is no axis ${axis} to cut in a variable of shape ${pythonShape(shape)}.`,
    )
  }
  counts[place] = Math.min(count, shape[place])
  return counts
}

function wholeNumbers(numbers: readonly number[]): readonly number[] {
  if (numbers.every(Number.isSafeInteger)) return numbers
  throw refuse('count', `Partitions are whole numbers; ${pythonList(numbers)} were given.`)
}

/**
 * The parts in order: sizes along the cut axis differ by one at most, the larger first. `partitions`
 * is what {@link partitionsOf} gave. Refuses (INVALID_ARGUMENT, `partition/empty-part`) a part that
 * would begin at the end of an axis.
 */
export function slicesOf(
  fullName: string,
  fullShape: Shape,
  partitions: readonly number[],
): readonly Slice[] {
  const axis = Math.max(
    partitions.findIndex((count) => count > 1),
    0,
  )
  const count = partitions[axis]
  const size = Math.floor(fullShape[axis] / count)
  const larger = fullShape[axis] % count
  const slices: Slice[] = []
  let start = 0
  for (let part = 0; part < count; part++) {
    const offset = fullShape.map((_, place) => (place === axis ? start : 0))
    const empty = fullShape.findIndex((full, place) => offset[place] >= full)
    if (empty >= 0) {
      throw refuse(
        'empty-part',
        `Expected 0 <= offset < shape but found offset=${offset[empty]}, shape=${fullShape[empty]} for var_offset=${pythonList(offset)}, full_shape=${pythonList(fullShape)}`,
      )
    }
    const length = size + (part < larger ? 1 : 0)
    const shape = fullShape.map((full, place) => (place === axis ? length : full))
    slices.push({ fullName, fullShape, offset, shape })
    start += length
  }
  return slices
}

function refuse(word: string, message: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', `partition/${word}`, message)
}
