// Rows (slices) of a large array that indices name: told apart on the host, so that a kernel makes new
// content for them alone. What it costs grows with the indices, not with the array.
import {
  elementCountOf,
  type NumericTensor,
  numericTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import type { Lowering, PatchSpec } from './definition.ts'
import { integersOf } from './shapes.ts'
import type { Stretch, TensorValue } from './value.ts'

/** Updates of slices, to be told apart. */
export interface PickRequest {
  readonly indices: TensorValue
  /** Flat place of the slice that each update goes to, -1 where it is dropped. Refuses bad indices. */
  readonly slicesOf: (indices: Tensor) => Int32Array
  /** How many slices `slicesOf` gives. */
  readonly count: number
  /** How many slices there are. */
  readonly slices: number
  /** Only the last update of a slice counts. */
  readonly lastOnly: boolean
  /** Rounds that are of use; where there are more, the picks are left out. */
  readonly most: number
}

/** The rows that indices name. */
export interface TouchedRows {
  /** Each row once, ascending, then -1 up to as many as there are indices: int32 `[count]`. */
  readonly rows: TensorValue
  /** For each round and entry of `rows` the update that it takes, -1 for none: int32 `[rounds, count]`. */
  readonly picks: TensorValue
  /** 0 where one row takes more updates than were asked for at most; `picks` has none then. */
  readonly rounds: number
}

/**
 * The rows that `request.slicesOf` finds. Where a row may take several updates, the number of rounds
 * depends on the content of the indices, so that planning may go on only once they are there.
 */
export function touchedRows(at: Lowering, request: PickRequest): TouchedRows {
  const { indices, slicesOf, count, lastOnly, most } = request
  const isSingle = lastOnly || count === 1
  const [rows, picks] = at.step({
    inputs: [indices],
    outputs: [
      { dtype: 'int32', shape: [count] },
      { dtype: 'int32', shape: isSingle ? [1, count] : undefined },
    ],
    always: true,
    run: ([content]) => rowsOf(slicesOf(content), isSingle, most),
  })
  return { rows, picks, rounds: picks.shape[0] }
}

function rowsOf(
  places: Int32Array,
  isSingle: boolean,
  most: number,
): readonly [NumericTensor, NumericTensor] {
  const count = places.length
  const order = updatesByPlace(places)
  const rows = new Int32Array(count).fill(-1)
  /** Entry of `rows`, and round there, of each update in `order`. */
  const entries = new Int32Array(order.length)
  const turns = new Int32Array(order.length)
  let distinct = 0
  let needed = 1
  for (let at = 0; at < order.length; at++) {
    const place = places[order[at]]
    const isNew = at === 0 || place !== rows[distinct - 1]
    if (isNew) rows[distinct++] = place
    turns[at] = isNew || isSingle ? 0 : turns[at - 1] + 1
    entries[at] = distinct - 1
    needed = Math.max(needed, turns[at] + 1)
  }
  const rowTensor = numericTensor('int32', [count], new Uint8Array(rows.buffer))
  // Powers of two, so that few plans serve all contents.
  const rounds = 2 ** Math.ceil(Math.log2(needed))
  if (rounds > most) return [rowTensor, tensorOfElements('int32', [0, count], [])]
  const picks = new Int32Array(rounds * count).fill(-1)
  // The last one stays where only that counts.
  for (let at = 0; at < order.length; at++) picks[turns[at] * count + entries[at]] = order[at]
  return [rowTensor, numericTensor('int32', [rounds, count], new Uint8Array(picks.buffer))]
}

/** Numbers of the updates that are not dropped, by their places, those of one place in their order. */
function updatesByPlace(places: Int32Array): Float64Array | Int32Array {
  const kept = Int32Array.from(places.keys()).filter((update) => places[update] >= 0)
  const count = places.length
  if (places.reduce((most, place) => Math.max(most, place), 0) * count > Number.MAX_SAFE_INTEGER) {
    return kept.sort((a, b) => places[a] - places[b] || a - b)
  }
  // Sorting numbers by themselves is many times as fast as by a function.
  const keys = Float64Array.from(kept, (update) => places[update] * count + update).sort()
  return keys.map((key) => key % count)
}

/** Puts `values`, `[count, ..]`, at the rows of an array that has `width` elements in each. */
export function rowPatch(rows: TensorValue, values: TensorValue): PatchSpec {
  const width = elementCountOf(values.shape.slice(1))
  return {
    values,
    places: [rows],
    index: ({ b, axes: [entry, ...rest], read }) =>
      b.add(b.mul(read(0, [entry]), width), b.flatten(rest, values.shape.slice(1))),
    touched: ([places]) => stretchesOf(integersOf(places), width),
  }
}

function stretchesOf(rows: readonly number[], width: number): readonly Stretch[] {
  const stretches: { offset: number; count: number }[] = []
  for (const row of rows) {
    if (row < 0) break
    const last = stretches.at(-1)
    if (last !== undefined && last.offset + last.count === row * width) last.count += width
    else stretches.push({ offset: row * width, count: width })
  }
  return stretches
}
