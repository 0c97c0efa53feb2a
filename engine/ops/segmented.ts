// Rows of a value reduced in groups that another value names: the part that all segment ops share. The
// host finds the members of every group; a kernel reduces them. Where a few groups hold most rows, the
// table of members would be mostly empty, and the host reduces as well.
import {
  byteLengthOf,
  type Element,
  elementArrayOf,
  elementCountOf,
  isBigInt,
  type NumericDType,
  numericTensor,
  readElement,
  type Shape,
  type Tensor,
  tensorOfElements,
  writeElement,
} from '../../tensor/index.ts'
import { type Expression, isFloat, type Scalar, type ScalarType, zeroOf } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { isKernelType } from './common.ts'
import type { Lowering } from './definition.ts'
import { boundedRows } from './indices.ts'
import { combineElement } from './scatter-host.ts'
import type { TensorValue } from './value.ts'

/** Which row goes to which segment. */
export interface Entries {
  /** Row of each entry; undefined: the entry's own place. */
  readonly rows: Int32Array | undefined
  /** Segment of each entry, -1 where it is dropped. */
  readonly places: Int32Array
  readonly segments: number
}

export interface Segmentation {
  /** `[rows, ...]`. */
  readonly values: TensorValue
  /** What says which row goes where. */
  readonly inputs: readonly TensorValue[]
  /** Refuses what is wrong with them. */
  readonly entriesOf: (tensors: readonly Tensor[]) => Entries
  /** Number of segments, where it does not depend on content. */
  readonly segments: number | undefined
  readonly combine: 'sum' | 'product' | 'max' | 'min'
  /** What a sum is divided by: how many it is of, or the root of that. */
  readonly divide?: 'count' | 'root'
  /** What an empty segment holds; `limit`: the lowest or highest value, and no result is beyond it. */
  readonly empty: 'zero' | 'one' | 'limit'
}

/** One row for each segment: `[segments, ...]`. */
export function segmented(at: Lowering, what: Segmentation): TensorValue {
  const { values, inputs, entriesOf, segments } = what
  const isExtreme = what.combine === 'max' || what.combine === 'min'
  const [members, counts] = at.step({
    inputs,
    outputs: [
      { dtype: 'int32', shape: undefined },
      { dtype: 'int32', shape: segments === undefined ? undefined : [segments] },
    ],
    always: true,
    run: (tensors) => membersOf(entriesOf(tensors), isExtreme),
  })
  const { dtype } = values
  const shape = [counts.shape[0], ...values.shape.slice(1)]
  const isSkewed = members.shape[0] < shape[0]
  if (!isKernelType(dtype) || (isSkewed && values.shape[0] > 0)) return onHost(at, what, shape)
  const empty = emptyOf(dtype, what)
  if (values.shape[0] === 0) {
    return at.compute({ shape, dtype, inputs: [], body: ({ b }) => b.constant(dtype, empty) })
  }
  const wide = dtype === 'float16' || dtype === 'bfloat16' ? 'float32' : dtype
  return at.compute({
    shape,
    dtype,
    inputs: [values, members, counts],
    reduce: {
      extents: [members.shape[1]],
      combine: what.combine,
      dtype: wide,
      body: ({ b, axes, reduced, read }) => {
        const member = read(1, [axes[0], reduced[0]])
        const row = b.max(b.min(member, values.shape[0] - 1), 0)
        const value = b.cast(read(0, [row, ...axes.slice(1)]), wide)
        if (isExtreme) return value
        return b.select(b.greaterEqual(member, 0), value, what.combine === 'sum' ? 0 : 1)
      },
    },
    body: ({ b, axes, read, total }) => {
      const count = read(2, [axes[0]])
      const result = b.cast(divided(b, total, count, wide, what), dtype)
      const bounded =
        what.empty === 'limit' ? b.both(what.combine, result, b.constant(dtype, empty)) : result
      return b.select(b.greater(count, 0), bounded, b.constant(dtype, empty))
    },
  })
}

function divided(
  b: Builder,
  total: Expression,
  count: Expression,
  dtype: ScalarType,
  { divide }: Segmentation,
): Expression {
  if (divide === undefined) return total
  if (!isFloat(dtype)) return b.both('truncate_div', total, b.cast(b.max(count, 1), dtype))
  const number = b.cast(count, dtype)
  return b.div(total, divide === 'root' ? b.one('sqrt', number) : number)
}

/** Entries of the table of members for each row and segment, above which it is left out. */
const maxSparsity = 4

/**
 * Rows of each segment, int32 `[segments, most]`, padded with -1 or with its first row again, and how
 * many they are. The table has no rows where it would be mostly padding.
 */
function membersOf({ rows, places, segments }: Entries, repeats: boolean): readonly Tensor[] {
  const counts = new Int32Array(boundedRows(segments))
  for (const place of places) if (place >= 0) counts[place]++
  const most = counts.reduce((largest, count) => Math.max(largest, count), 1)
  const sizes = numericTensor('int32', [segments], new Uint8Array(counts.buffer))
  if (segments * most > maxSparsity * (places.length + segments) + 64) {
    return [tensorOfElements('int32', [0, 0], []), sizes]
  }
  const members = new Int32Array(segments * most).fill(-1)
  const filled = new Int32Array(segments)
  for (const [entry, place] of places.entries()) {
    if (place < 0) continue
    members[place * most + filled[place]++] = rows === undefined ? entry : rows[entry]
  }
  if (repeats) {
    for (const [place, count] of counts.entries()) {
      members.fill(members[place * most], place * most + count, (place + 1) * most)
    }
  }
  return [numericTensor('int32', [segments, most], new Uint8Array(members.buffer)), sizes]
}

/** The value of a segment without rows. */
function emptyOf(dtype: ScalarType, { empty, combine }: Segmentation): Scalar {
  if (empty === 'limit') return limitOf(dtype, combine === 'max')
  if (empty === 'zero') return zeroOf(dtype)
  return isBigInt(dtype) ? 1n : 1
}

/** The lowest or highest finite value of a type. */
function limitOf(dtype: NumericDType, isLowest: boolean): Scalar {
  switch (dtype) {
    case 'float64':
      return isLowest ? -Number.MAX_VALUE : Number.MAX_VALUE
    case 'float16':
      return isLowest ? -65504 : 65504
    case 'bfloat16':
      return (isLowest ? -1 : 1) * (2 - 2 ** -7) * 2 ** 127
    case 'float32':
      return (isLowest ? -1 : 1) * (2 - 2 ** -23) * 2 ** 127
    case 'int64':
      return isLowest ? -(1n << 63n) : (1n << 63n) - 1n
    case 'uint64':
      return isLowest ? 0n : (1n << 64n) - 1n
    default: {
      const bits = 8 * byteLengthOf(dtype)
      if (dtype.startsWith('u')) return isLowest ? 0 : 2 ** bits - 1
      return isLowest ? -(2 ** (bits - 1)) : 2 ** (bits - 1) - 1
    }
  }
}

function onHost(at: Lowering, what: Segmentation, shape: Shape): TensorValue {
  const { values, inputs, entriesOf } = what
  const [result] = at.step({
    inputs: [values, ...inputs],
    outputs: [{ dtype: values.dtype, shape }],
    run: ([rows, ...tensors]) => [reducedOnHost(rows, entriesOf(tensors), shape, what)],
  })
  return result
}

const combines = { sum: 'add', product: 'mul', max: 'max', min: 'min' } as const

function reducedOnHost(
  values: Tensor,
  { rows, places, segments }: Entries,
  shape: Shape,
  what: Segmentation,
): Tensor {
  if (values.dtype === 'string') throw new Error('strings have no segments')
  const { dtype } = values
  const width = elementCountOf(shape.slice(1))
  const bytes = new Uint8Array(elementCountOf(shape) * byteLengthOf(dtype))
  const array = elementArrayOf(dtype, bytes)
  const source = elementArrayOf(dtype, values.bytes)
  const counts = new Int32Array(segments)
  for (const [entry, place] of places.entries()) {
    if (place < 0) continue
    const row = rows === undefined ? entry : rows[entry]
    const combine = counts[place]++ === 0 ? 'update' : combines[what.combine]
    for (let one = 0; one < width; one++) {
      const element = readElement(dtype, source, row * width + one)
      combineElement(dtype, array, place * width + one, element, combine)
    }
  }
  const empty = isKernelType(dtype) ? emptyOf(dtype, what) : what.empty === 'one' ? 1 : 0
  for (let place = 0; place < shape[0] * width; place++) {
    const count = counts[Math.floor(place / width)]
    if (count === 0) writeElement(dtype, array, place, empty)
    else if (what.divide !== undefined) {
      const total = readElement(dtype, array, place)
      writeElement(dtype, array, place, quotient(dtype, total, count, what.divide))
    } else if (what.empty === 'limit') {
      combineElement(dtype, array, place, empty, combines[what.combine])
    }
  }
  return numericTensor(dtype, shape, bytes)
}

function quotient(
  dtype: NumericDType,
  total: Element,
  count: number,
  divide: 'count' | 'root',
): Element {
  const by = divide === 'root' ? Math.sqrt(count) : count
  if (typeof total === 'bigint') return total / BigInt(count)
  if (Array.isArray(total)) return [total[0] / by, total[1] / by]
  const exact = Number(total) / by
  return /int/.test(dtype) ? Math.trunc(exact) : exact
}
