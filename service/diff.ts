// Two checkpoints side by side, or one and the present variables: what came, what went, what changed, and by
// how much. What both point to needs no reading; of what changed only the chunks that differ are read.
import type {
  CheckpointEntry,
  CheckpointRecord,
  ChunkRecord,
  Page,
  PageRequest,
  ValueRecord,
} from '../store/index.ts'
import { Refusal, sameShape } from '../tensor/index.ts'
import { everyEntry } from './checkpoints.ts'
import type { Context } from './context.ts'
import type { Difference, DifferenceTaker } from './differences.ts'
import { checkGoing } from './operations.ts'
import type { ByteRange } from './readable.ts'
import { type StoredTensor, storedTensorReadable, storedTensors } from './stored-tensors.ts'
import { unknownCheckpoint } from './unknown-checkpoint.ts'
import { everyVariable } from './variables.ts'

export interface DiffRequest {
  /** Id, label or `latest`; undefined: the present variables. */
  readonly with: string | undefined
  /** Of the present variables, and of `latest`; where the first checkpoint came from where absent. */
  readonly container?: string | undefined
  /** Whether to read values, to say by how much they differ. */
  readonly values: boolean
  readonly signal?: AbortSignal | undefined
}

/** How many bytes two values have in common: chunks that the store keeps once. */
export interface SharedChunks {
  /** Chunks of the second value. */
  readonly chunks: number
  /** Those of them that the first value holds too. */
  readonly shared: number
  readonly sharedBytes: number
}

/** One tensor in which two sides differ. */
export type TensorDiff =
  | { readonly kind: 'added' | 'removed'; readonly tensor: StoredTensor }
  | {
      readonly kind: 'changed'
      readonly before: StoredTensor
      readonly after: StoredTensor
      /** Undefined for another type or shape, for strings, and where values were not read. */
      readonly difference: Difference | undefined
      readonly shared: SharedChunks
    }

export interface CheckpointDiff {
  readonly before: CheckpointRecord
  /** Undefined: the present variables. */
  readonly after: CheckpointRecord | undefined
  readonly container: string
  /** Of all tensors, not of the page alone. */
  readonly counts: {
    readonly added: number
    readonly removed: number
    readonly changed: number
    readonly unchanged: number
  }
  /** By name. */
  readonly page: Page<TensorDiff>
}

/** Compares a checkpoint with another, or with the present variables. */
export async function diffCheckpoints(
  context: Context,
  differences: DifferenceTaker,
  ref: string,
  request: DiffRequest,
  page: PageRequest,
): Promise<CheckpointDiff> {
  const { catalogue } = context.store
  const before = await catalogue.checkpoint(ref, request.container)
  if (before === undefined) throw unknownCheckpoint(ref)
  const container = request.container ?? before.container
  let after: CheckpointRecord | undefined
  if (request.with !== undefined) {
    after = await catalogue.checkpoint(request.with, container)
    if (after === undefined) throw unknownCheckpoint(request.with)
  }
  const first = await tensorsByName(everyEntry(context, before.id))
  const second = await tensorsByName(
    after === undefined ? presentEntries(context, container) : everyEntry(context, after.id),
  )
  const counts = { added: 0, removed: 0, changed: 0, unchanged: 0 }
  const names: string[] = []
  for (const name of new Set([...first.keys(), ...second.keys()])) {
    const kind = kindOf(first.get(name), second.get(name))
    counts[kind]++
    if (kind !== 'unchanged') names.push(name)
  }
  const start = nameOfCursor(page.cursor)
  const rest = names.filter((name) => start === undefined || name > start).sort()
  const items: TensorDiff[] = []
  for (const name of rest.slice(0, page.limit)) {
    checkGoing(request.signal)
    items.push(await diffOf(context, differences, [first.get(name), second.get(name)], request))
  }
  const cursor = rest.length > page.limit ? cursorOf(rest[page.limit - 1]) : undefined
  return { before, after, container, counts, page: { items, cursor } }
}

type Sides = readonly [StoredTensor | undefined, StoredTensor | undefined]

async function tensorsByName(
  entries: AsyncIterable<CheckpointEntry>,
): Promise<ReadonlyMap<string, StoredTensor>> {
  const all: CheckpointEntry[] = []
  for await (const entry of entries) all.push(entry)
  return new Map(storedTensors(all).map((tensor) => [tensor.name, tensor]))
}

/** The present variables that have a value, as a checkpoint would hold them. */
async function* presentEntries(
  context: Context,
  container: string,
): AsyncGenerator<CheckpointEntry> {
  for await (const { name, value, slice } of everyVariable(context, {
    container,
    initialized: true,
  })) {
    if (value !== undefined) yield { name, value, slice }
  }
}

function kindOf(
  before: StoredTensor | undefined,
  after: StoredTensor | undefined,
): 'added' | 'removed' | 'changed' | 'unchanged' {
  if (before === undefined) return 'added'
  if (after === undefined) return 'removed'
  return isSame(before, after) ? 'unchanged' : 'changed'
}

/** Whether both point to the same values, cut in the same way. */
function isSame(before: StoredTensor, after: StoredTensor): boolean {
  if (before.form === 'plain' || after.form === 'plain') {
    if (before.form !== after.form) return false
  }
  const [a, b] = [partsOf(before), partsOf(after)]
  return (
    sameShape(before.shape, after.shape) &&
    a.length === b.length &&
    a.every(({ value, starts }, place) => {
      const other = b[place]
      return value.valueId === other.value.valueId && `${starts}` === `${other.starts}`
    })
  )
}

function partsOf(
  tensor: StoredTensor,
): readonly { readonly value: ValueRecord; readonly starts: readonly number[] }[] {
  if (tensor.form === 'plain') return [{ value: tensor.entry.value, starts: [] }]
  return tensor.parts.map(({ entry, slice }) => ({ value: entry.value, starts: slice.starts }))
}

async function diffOf(
  context: Context,
  differences: DifferenceTaker,
  [before, after]: Sides,
  { values, signal }: DiffRequest,
): Promise<TensorDiff> {
  if (before === undefined || after === undefined) {
    const tensor = before ?? after
    if (tensor === undefined) throw new Error('a name has a tensor on one side')
    return { kind: before === undefined ? 'added' : 'removed', tensor }
  }
  const [a, b] = [await chunksOf(context, before), await chunksOf(context, after)]
  const shared = sharedChunks(a, b)
  const isAlike = before.dtype === after.dtype && sameShape(before.shape, after.shape)
  if (!values || !isAlike) return { kind: 'changed', before, after, difference: undefined, shared }
  const isPlain = before.form === 'plain' && after.form === 'plain'
  const stretches = isPlain && before.dtype !== 'string' ? stretchesOf(a, b) : undefined
  const difference = await differences.of(
    storedTensorReadable(context, before),
    storedTensorReadable(context, after),
    stretches,
    signal,
  )
  return { kind: 'changed', before, after, difference, shared }
}

async function chunksOf({ store }: Context, tensor: StoredTensor): Promise<readonly ChunkRecord[]> {
  const chunks: ChunkRecord[] = []
  for (const { value } of partsOf(tensor)) {
    for (const chunk of await store.values.chunks(value.valueId)) chunks.push(chunk)
  }
  return chunks
}

function sharedChunks(before: readonly ChunkRecord[], after: readonly ChunkRecord[]): SharedChunks {
  const known = new Set(before.map(({ digest }) => digest))
  const shared = after.filter(({ digest }) => known.has(digest))
  const sharedBytes = shared.reduce((sum, { byteLength }) => sum + byteLength, 0)
  return { chunks: after.length, shared: shared.length, sharedBytes }
}

/** Bytes in which two values of one length differ, by their chunks; neighbours as one stretch. */
function stretchesOf(
  before: readonly ChunkRecord[],
  after: readonly ChunkRecord[],
): readonly ByteRange[] {
  const stretches: { offset: number; length: number }[] = []
  let offset = 0
  for (const [ordinal, { digest, byteLength }] of before.entries()) {
    if (digest !== after[ordinal].digest) {
      const last = stretches.at(-1)
      if (last !== undefined && last.offset + last.length === offset) last.length += byteLength
      else stretches.push({ offset, length: byteLength })
    }
    offset += byteLength
  }
  return stretches
}

function cursorOf(name: string): string {
  return Buffer.from(`n${name}`).toString('base64url')
}

function nameOfCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined
  const text = Buffer.from(cursor, 'base64url').toString()
  if (text.startsWith('n') && cursorOf(text.slice(1)) === cursor) return text.slice(1)
  throw new Refusal(
    'INVALID_ARGUMENT',
    'page/bad-cursor',
    `${JSON.stringify(cursor)} is not a cursor of such a list.`,
    { fix: 'Send the cursor of the page before, or none.' },
  )
}
