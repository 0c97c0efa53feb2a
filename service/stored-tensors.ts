// The tensors of a checkpoint: an entry each, but for the parts of a partitioned variable, which are one
// tensor together where they cover it.
import { checkTiling, type SliceSpec } from '../formats/index.ts'
import type { CheckpointEntry } from '../store/index.ts'
import { elementCountOf, Refusal, type Shape, sameShape, type TensorType } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { cutOf } from './part-cut.ts'
import { joinedReadable } from './partitioned.ts'
import type { ReadableValue } from './readable.ts'
import { storedReadable } from './stored-values.ts'

/** A tensor that is one entry. */
export interface PlainTensor extends TensorType {
  readonly form: 'plain'
  readonly name: string
  readonly entry: CheckpointEntry
}

/** A tensor that is several entries. */
export interface SlicedTensor extends TensorType {
  readonly form: 'sliced'
  readonly name: string
  /** In order of their place in the whole. */
  readonly parts: readonly StoredPart[]
}

export interface StoredPart {
  readonly entry: CheckpointEntry
  readonly slice: SliceSpec
}

export type StoredTensor = PlainTensor | SlicedTensor

/** An entry as a tensor of its own. */
export function plainTensor(entry: CheckpointEntry): PlainTensor {
  const { dtype, shape } = entry.value
  return { form: 'plain', name: entry.name, dtype, shape, entry }
}

/**
 * The wholes among entries that say of which tensor they are a slice, in the order of their first
 * entries. Slices that leave a hole, or differ in what they say of the whole, are none.
 */
export function wholesOf(entries: readonly CheckpointEntry[]): readonly SlicedTensor[] {
  const groups = new Map<string, StoredPart[]>()
  for (const entry of entries) {
    const { slice } = entry
    if (slice === undefined) continue
    const name = wholeNameOf(entry)
    const { fullShape, offset: starts } = slice
    const part = { entry, slice: { fullShape, starts, shape: entry.value.shape } }
    const known = groups.get(name)
    if (known === undefined) groups.set(name, [part])
    else known.push(part)
  }
  return [...groups].flatMap(([name, parts]) => wholeOf(name, parts) ?? [])
}

/** Entries as tensors, wholes put together, by name. */
export function storedTensors(entries: readonly CheckpointEntry[]): readonly StoredTensor[] {
  const wholes = wholesOf(entries)
  if (wholes.length === 0) return entries.map(plainTensor)
  const taken = new Set(wholes.flatMap(({ parts }) => parts.map(({ entry }) => entry.name)))
  const plain = entries.filter(({ name }) => !taken.has(name)).map(plainTensor)
  const names = new Set(plain.map(({ name }) => name))
  // A name means one tensor: where an entry has a whole's name, the whole's parts stay apart.
  const apart = wholes.filter(({ name }) => names.has(name))
  const rest = apart.flatMap(({ parts }) => parts.map(({ entry }) => plainTensor(entry)))
  const joined = wholes.filter(({ name }) => !names.has(name))
  return [...plain, ...rest, ...joined].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** A tensor's value. */
export function storedTensorReadable(context: Context, tensor: StoredTensor): ReadableValue {
  const { values } = context.store
  if (tensor.form === 'plain') return storedReadable(values, tensor.entry.value)
  const parts = tensor.parts.map(({ entry, slice }) => ({ slice, value: entry.value }))
  return joinedReadable(values, tensor, parts, context.limits.feedBytes)
}

/**
 * The name of the tensor that an entry is a slice of: what it says itself, unless it was saved under
 * another name, `other/part_3`: then `other`.
 */
function wholeNameOf({ name, slice }: CheckpointEntry): string {
  const found = /^(.+)\/part_[0-9]+$/.exec(name)
  return found?.[1] ?? slice?.fullName ?? name
}

function wholeOf(name: string, parts: readonly StoredPart[]): SlicedTensor | undefined {
  const [{ entry, slice }] = parts
  const { dtype } = entry.value
  const shape = slice.fullShape
  const isAlike = parts.every(
    (part) => part.entry.value.dtype === dtype && sameShape(part.slice.fullShape, shape),
  )
  if (!isAlike) return undefined
  const ordered = [...parts].sort((a, b) => compareStarts(a.slice.starts, b.slice.starts))
  if (!tiles(name, shape, ordered)) return undefined
  return { form: 'sliced', name, dtype, shape, parts: ordered }
}

function compareStarts(a: readonly number[], b: readonly number[]): number {
  const axis = a.findIndex((start, place) => start !== b[place])
  return axis === -1 ? 0 : a[axis] - b[axis]
}

/** Whether slices in order of their places cover the whole, each element once. */
function tiles(name: string, shape: Shape, parts: readonly StoredPart[]): boolean {
  const covered = parts.reduce((sum, { slice }) => sum + elementCountOf(slice.shape), 0)
  if (covered !== elementCountOf(shape)) return false
  const slices = parts.map(({ slice }) => slice)
  // What partitioning gives, however many they are.
  if (cutOf(shape, slices, 1) !== undefined) return true
  try {
    checkTiling(name, shape, slices)
    return true
  } catch (error) {
    if (error instanceof Refusal) return false
    throw error
  }
}
