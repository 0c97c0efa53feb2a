// Updates of slices that indices name: the part that all scatter ops share. Indices are read on the
// host, which finds for every slice the updates that it takes, in their order; a kernel then makes each
// element of the result, so that duplicates give the same bits on every device.
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
import { isKernelType } from './common.ts'
import type { Lowering } from './definition.ts'
import { type ScatterCombine, scatteredOnHost } from './scatter-host.ts'
import type { ComputeCheck, TensorValue } from './value.ts'

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
  /** Round `round` of the element: whether there is an update, and the update. */
  const roundOf = (
    {
      b,
      axes,
      read,
    }: Pick<Parameters<Parameters<Lowering['compute']>[0]['body']>[0], 'b' | 'axes' | 'read'>,
    round: number,
  ): { readonly isUpdated: Expression; readonly update: Expression } => {
    const slice = b.flatten(axes.slice(0, depth), shape.slice(0, depth))
    const pick = read(0, [b.index(round), slice])
    const place = b.max(b.min(pick, count - 1), 0)
    const update = read(1, isScalar ? [] : [place, ...axes.slice(depth)])
    return { isUpdated: b.greaterEqual(pick, 0), update }
  }
  const divides = combine === 'div' && !isFloat(dtype)
  return at.compute({
    shape,
    dtype,
    inputs: current === undefined ? inputs : [...inputs, current],
    body: (scope) => {
      const { b, axes, read } = scope
      let value = current === undefined ? b.number(dtype, 0) : read(2, axes)
      for (let round = 0; round < rounds; round++) {
        const { isUpdated, update } = roundOf(scope, round)
        value = b.select(isUpdated, combined(b, combine, dtype, value, update), value)
      }
      return value
    },
    ...(divides
      ? {
          checks: (scope) =>
            Array.from({ length: rounds }, (_, round): ComputeCheck => {
              const { isUpdated, update } = roundOf(scope, round)
              const { b } = scope
              return {
                ok: b.or(b.not(isUpdated), b.notEqual(update, 0)),
                message: () => ({
                  code: 'INVALID_ARGUMENT',
                  reason: 'run/division-by-zero',
                  message: 'Integer division by zero',
                }),
              }
            }),
        }
      : {}),
  })
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

/** What {@link picksOf} is asked for. */
export interface PickRequest extends Pick<Scatter, 'indices' | 'slicesOf' | 'count'> {
  readonly slices: number
  /** Only the last update of a slice counts. */
  readonly lastOnly: boolean
  /** Rounds that are of use; where there are more, the picks are left out. */
  readonly most: number
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
