// Where a value differs from another, in bytes: from the stretches of elements that patches touched.
import { byteLengthOf, elementCountOf, isNumeric, type TensorType } from '../../tensor/index.ts'
import type { ByteRange } from '../engine.ts'
import type { Stretch } from '../ops/index.ts'

/** Ranges told at most; more are not worth telling apart. */
const maxRanges = 65_536

/**
 * The ranges, ascending and apart from each other, that stretches of several patches cover together.
 * Undefined where a patch does not tell, and where most of the value is covered.
 */
export function dirtyRanges(
  { dtype, shape }: TensorType,
  touched: readonly (readonly Stretch[] | undefined)[],
): readonly ByteRange[] | undefined {
  if (!isNumeric(dtype)) return undefined
  const size = byteLengthOf(dtype)
  const all: Stretch[] = []
  for (const stretches of touched) {
    if (stretches === undefined || all.length + stretches.length > maxRanges) return undefined
    for (const stretch of stretches) if (stretch.count > 0) all.push(stretch)
  }
  all.sort((a, b) => a.offset - b.offset)
  const merged: { offset: number; length: number }[] = []
  let covered = 0
  for (const { offset, count } of all) {
    const from = offset * size
    const to = from + count * size
    const last = merged.at(-1)
    const end = last === undefined ? -1 : last.offset + last.length
    if (last !== undefined && from <= end) {
      covered += Math.max(to - end, 0)
      last.length = Math.max(to, end) - last.offset
    } else {
      covered += to - from
      merged.push({ offset: from, length: to - from })
    }
  }
  return covered * 2 > elementCountOf(shape) * size ? undefined : merged
}
