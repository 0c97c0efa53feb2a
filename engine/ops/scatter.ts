// Updates of slices that indices name: the part that all scatter ops share. Indices are read on the
// host, which finds for every slice the updates that it takes, in their order; a kernel then makes each
// element of the result, so that duplicates give the same bits on every device. Where few slices of a
// large array are named, it makes only those.
import {
  elementCountOf,
  type NumericTensor,
  numericTensor,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { type Expression, isFloat, type ScalarType } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { isKernelType, scalarType } from './common.ts'
import type { ComputeSpec, Lowering } from './definition.ts'
import { type ScatterCombine, scatteredOnHost } from './scatter-host.ts'
import { integersOf } from './shapes.ts'
import { type PickRequest, rowPatch, touchedRows } from './touched-rows.ts'
import type { BodyScope, ComputeCheck, TensorValue } from './value.ts'

export type { ScatterCombine } from './scatter-host.ts'

/** A scatter into a value of `shape`. */
export interface Scatter {
  readonly shape: Shape
  readonly dtype: TensorValue['dtype']
  /** What is updated; undefined: zeros. */
  readonly current: TensorValue | undefined
  /** Leading dimensions of the shape that indices name. */
  readonly depth: number
  readonly indices: TensorValue
  /** Flat place of the slice that each update goes to, -1 where it is dropped. Refuses bad indices. */
  readonly slicesOf: (indices: Tensor) => Int32Array
  /** As many slices as there are places, in their order; or one element for all. */
  readonly updates: TensorValue
  /** How many slices `slicesOf` gives. */
  readonly count: number
  readonly combine: ScatterCombine
}

/** Updates of one slice that a kernel takes one after the other; where there are more, the host does it. */
const maxRounds = 8

/** The value with the updates applied, duplicates in their order. */
export function scattered(at: Lowering, scatter: Scatter): TensorValue {
  const { shape, dtype, current, depth, indices, slicesOf, updates, count, combine } = scatter
  if (count === 0 && current !== undefined) return current
  if (!isKernelType(dtype)) return onHost(at, scatter)
  const width = elementCountOf(shape.slice(depth))
  if (current !== undefined && at.isWorthPatching(current, count * width)) {
    return withRows(at, scatter, current)
  }
  const picks = picksOf(at, {
    indices,
    slicesOf,
    count,
    slices: elementCountOf(shape.slice(0, depth)),
    lastOnly: combine === 'update',
    most: maxRounds,
  })
  const rounds = picks.shape[0]
  if (rounds > maxRounds) return onHost(at, scatter)
  if (rounds === 0 && current !== undefined) return current
  const rest = shape.slice(depth)
  const isScalar = updates.shape.length === 0
  const inputs = [picks, isScalar ? updates : at.reshaped(updates, [count, ...rest])]
  return at.compute({
    shape,
    dtype,
    inputs: current === undefined ? inputs : [...inputs, current],
    ...updatedElement(scatter, rounds, ({ b, axes, read }) => {
      const slice = b.flatten(axes.slice(0, depth), shape.slice(0, depth))
      return {
        pickOf: (round) => read(0, [b.index(round), slice]),
        updateAt: (place) => read(1, isScalar ? [] : [place, ...axes.slice(depth)]),
        before: current === undefined ? b.number(dtype, 0) : read(2, axes),
      }
    }),
  })
}

/** The array with new content in the slices that indices name, and everything else as it was. */
function withRows(at: Lowering, scatter: Scatter, current: TensorValue): TensorValue {
  const { shape, dtype, depth, indices, slicesOf, updates, count, combine } = scatter
  const slices = elementCountOf(shape.slice(0, depth))
  const rest = shape.slice(depth)
  const { rows, picks, rounds } = touchedRows(at, {
    indices,
    slicesOf,
    count,
    slices,
    lastOnly: combine === 'update',
    most: maxRounds,
  })
  const table = at.reshaped(current, [slices, ...rest])
  const isScalar = updates.shape.length === 0
  const given = isScalar ? updates : at.reshaped(updates, [count, ...rest])
  if (rounds === 0) {
    const before = rowsOf(at, table, rows)
    const values = rowsOnHost(at, scatter, before, rows)
    return at.reshaped(at.patched(table, rowPatch(rows, values)), shape)
  }
  const values = at.compute({
    shape: [count, ...rest],
    dtype: scalarType(dtype),
    inputs: [picks, given, rows, table],
    ...updatedElement(scatter, rounds, ({ b, axes: [entry, ...inside], read }) => {
      const row = b.max(b.min(read(2, [entry]), slices - 1), 0)
      return {
        pickOf: (round) => read(0, [b.index(round), entry]),
        updateAt: (place) => read(1, isScalar ? [] : [place, ...inside]),
        before: combine === 'update' ? b.number(scalarType(dtype), 0) : read(3, [row, ...inside]),
      }
    }),
  })
  return at.reshaped(at.patched(table, rowPatch(rows, values)), shape)
}

/** The named rows of a table; any row for -1. */
export function rowsOf(at: Lowering, table: TensorValue, rows: TensorValue): TensorValue {
  const [slices, ...rest] = table.shape
  return at.compute({
    shape: [...rows.shape, ...rest],
    dtype: scalarType(table.dtype),
    inputs: [rows, table],
    body: ({ b, axes: [entry, ...inside], read }) =>
      read(1, [b.max(b.min(read(0, [entry]), slices - 1), 0), ...inside]),
  })
}

/** New content of rows that take very many updates. */
function rowsOnHost(
  at: Lowering,
  { shape, dtype, depth, indices, slicesOf, updates, combine }: Scatter,
  before: TensorValue,
  rows: TensorValue,
): TensorValue {
  const width = elementCountOf(shape.slice(depth))
  const [values] = at.step({
    inputs: [indices, updates, before, rows],
    outputs: [{ dtype, shape: before.shape }],
    run: ([picked, given, former, named]) => {
      const entries = new Map(integersOf(named).map((row, entry) => [row, entry]))
      const places = slicesOf(picked).map((row) => (row < 0 ? -1 : (entries.get(row) ?? -1)))
      const target = { dtype, shape: before.shape, before: former }
      return [scatteredOnHost(target, places, width, given, combine)]
    },
  })
  return values
}

/** What an element is made from: the update that each round picks (-1: none), and what was there before. */
interface Rounds {
  readonly pickOf: (round: number) => Expression
  readonly updateAt: (place: Expression) => Expression
  readonly before: Expression
}

/** Body and checks of an element that takes its updates in rounds. */
function updatedElement(
  { dtype, count, combine }: Scatter,
  rounds: number,
  roundsAt: (scope: BodyScope) => Rounds,
): Pick<ComputeSpec, 'body' | 'checks'> {
  const type = scalarType(dtype)
  const roundOf = (
    b: Builder,
    { pickOf, updateAt }: Rounds,
    round: number,
  ): { readonly isUpdated: Expression; readonly update: Expression } => {
    const pick = pickOf(round)
    const update = updateAt(b.max(b.min(pick, count - 1), 0))
    return { isUpdated: b.greaterEqual(pick, 0), update }
  }
  const body = (scope: BodyScope): Expression => {
    const { b } = scope
    const at = roundsAt(scope)
    let value = at.before
    for (let round = 0; round < rounds; round++) {
      const { isUpdated, update } = roundOf(b, at, round)
      value = b.select(isUpdated, combined(b, combine, type, value, update), value)
    }
    return value
  }
  if (combine !== 'div' || isFloat(type)) return { body }
  const checks = (scope: BodyScope): readonly ComputeCheck[] =>
    Array.from({ length: rounds }, (_, round): ComputeCheck => {
      const { b } = scope
      const { isUpdated, update } = roundOf(b, roundsAt(scope), round)
      return {
        ok: b.or(b.not(isUpdated), b.notEqual(update, 0)),
        message: () => ({
          code: 'INVALID_ARGUMENT',
          reason: 'run/division-by-zero',
          message: 'Integer division by zero',
        }),
      }
    })
  return { body, checks }
}

function combined(
  b: Builder,
  combine: ScatterCombine,
  dtype: ScalarType,
  value: Expression,
  update: Expression,
): Expression {
  switch (combine) {
    case 'update':
      return update
    case 'add':
      return dtype === 'bool' ? b.or(value, update) : b.add(value, update)
    case 'sub':
    case 'mul':
    case 'min':
    case 'max':
      return b.both(combine, value, update)
    case 'div':
      return b.both(isFloat(dtype) ? 'div' : 'truncate_div', value, update)
    default:
      return combine satisfies never
  }
}

/**
 * For each round and slice the update that it takes, -1 for none: int32 `[rounds, slices]`, or
 * `[most + 1, 0]` where a slice takes more than `most`. The number of rounds depends on the content of
 * the indices, so planning may go on only once they are there.
 */
export function picksOf(at: Lowering, request: PickRequest): TensorValue {
  const { indices, slicesOf, count, slices, lastOnly, most } = request
  const isSingle = lastOnly || count === 1
  const [picks] = at.step({
    inputs: [indices],
    outputs: [{ dtype: 'int32', shape: isSingle ? [1, slices] : undefined }],
    always: true,
    run: ([content]) => [roundsOf(slicesOf(content), slices, isSingle, most)],
  })
  return picks
}

function roundsOf(
  places: Int32Array,
  slices: number,
  isSingle: boolean,
  most: number,
): NumericTensor {
  const seen = new Int32Array(isSingle ? 0 : slices)
  let rounds = isSingle ? 1 : 0
  if (!isSingle) {
    for (const place of places) if (place >= 0) rounds = Math.max(rounds, ++seen[place])
    seen.fill(0)
  }
  if (rounds > most) return tensorOfElements('int32', [most + 1, 0], [])
  const picks = new Int32Array(rounds * slices).fill(-1)
  for (const [update, place] of places.entries()) {
    if (place < 0) continue
    const round = isSingle ? 0 : seen[place]++
    picks[round * slices + place] = update
  }
  return numericTensor('int32', [rounds, slices], new Uint8Array(picks.buffer))
}

function onHost(at: Lowering, scatter: Scatter): TensorValue {
  const { shape, dtype, current, depth, indices, slicesOf, updates, combine } = scatter
  const [result] = at.step({
    inputs: [indices, updates, ...(current === undefined ? [] : [current])],
    outputs: [{ dtype, shape }],
    always: true,
    run: ([picks, values, before]) => [
      scatteredOnHost(
        { dtype, shape, before },
        slicesOf(picks),
        elementCountOf(shape.slice(depth)),
        values,
        combine,
      ),
    ],
  })
  return result
}
