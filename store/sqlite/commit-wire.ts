// Commits and their outcomes as they cross between threads: many in one message, as one text and one
// stretch of memory, because copying nested objects costs more than what most commits do.
import type { DType, Shape } from '../../tensor/index.ts'
import type { Change, Committed, Idempotency, Json, ValueId } from '../port.ts'
import type { CommitBulk, CommitGroup, CommitRequest, StagedContent } from './messages.ts'

const digestByteLength = 32

/** A staged value in the text: its digest follows in the bytes, then its content or its chunks' digests. */
type WireValue = readonly [
  token: number,
  dtype: DType,
  shape: Shape,
  byteLength: number,
  /** Of inline content; -1 for one in chunks. */
  crc32c: number,
  chunkCount: number,
]

interface WireCommit {
  readonly changes: readonly Change[]
  readonly staged: readonly WireValue[]
  readonly idempotency: Idempotency | undefined
  readonly now: number
}

/** Bytes that a commit adds to a group. */
export function wireByteLengthOf({ staged }: Pick<CommitRequest, 'staged'>): number {
  let sum = 0
  for (const { byteLength, content } of staged.values()) {
    const chunkCount = content.kind === 'inline' ? 0 : content.chunks.length
    sum += digestByteLength * (1 + chunkCount)
    if (content.kind === 'inline') sum += byteLength
  }
  return sum
}

/** A change without what the staged value says already. */
function wireChange(change: Change): Change {
  if (change.kind !== 'write_value' || change.value === null) return change
  if (!('token' in change.value)) return change
  return { ...change, value: { token: change.value.token } as typeof change.value }
}

/** Puts commits into one message. */
export function groupOf(requests: readonly CommitRequest[]): CommitGroup {
  const bytes = new Uint8Array(requests.reduce((sum, one) => sum + wireByteLengthOf(one), 0))
  const bulk = new Map<number, CommitBulk>()
  let offset = 0
  const put = (part: Uint8Array): void => {
    bytes.set(part, offset)
    offset += part.byteLength
  }
  const commits = requests.map(({ changes, staged, idempotency, now, packs, loose }, index) => {
    const values: WireValue[] = []
    for (const [token, { dtype, shape, byteLength, digest, content }] of staged) {
      put(digest)
      if (content.kind === 'inline') {
        put(content.bytes)
        values.push([token, dtype, shape, byteLength, content.crc32c, 0])
      } else {
        for (const chunk of content.chunks) put(chunk)
        values.push([token, dtype, shape, byteLength, -1, content.chunks.length])
      }
    }
    if (packs.length > 0 || loose.length > 0) bulk.set(index, { packs, loose })
    const commit: WireCommit = {
      changes: changes.map(wireChange),
      staged: values,
      idempotency,
      now,
    }
    return commit
  })
  return { text: JSON.stringify(commits), bytes, bulk }
}

/** The commits of a message. */
export function requestsOf({ text, bytes, bulk }: CommitGroup): CommitRequest[] {
  let offset = 0
  const take = (byteLength: number): Uint8Array => {
    offset += byteLength
    return bytes.subarray(offset - byteLength, offset)
  }
  return (JSON.parse(text) as WireCommit[]).map(({ changes, staged, idempotency, now }, index) => {
    const contents = new Map<number, StagedContent>()
    for (const [token, dtype, shape, byteLength, crc32c, chunkCount] of staged) {
      const digest = take(digestByteLength)
      const content =
        chunkCount === 0
          ? ({ kind: 'inline', crc32c, bytes: take(byteLength) } as const)
          : ({
              kind: 'chunked',
              chunks: Array.from({ length: chunkCount }, () => take(digestByteLength)),
            } as const)
      contents.set(token, { dtype, shape, byteLength, digest, content })
    }
    const { packs, loose } = bulk.get(index) ?? { packs: [], loose: [] }
    return { changes, idempotency, now, staged: contents, packs, loose }
  })
}

type WireVariable = readonly [
  container: string,
  name: string,
  version: number,
  valueId: ValueId | null,
]

type WireOutcome = readonly [
  sequence: number,
  at: number,
  replayed: boolean,
  variables: readonly WireVariable[],
  checkpoints: readonly string[],
  /** Absent where there is none; null is one. */
  note?: Json,
]

/** What commits did, as text; null where one was refused. */
export function textOfOutcomes(outcomes: readonly (Committed | undefined)[]): string {
  return JSON.stringify(
    outcomes.map((committed): WireOutcome | null => {
      if (committed === undefined) return null
      const { sequence, at, replayed, variables, checkpoints, note } = committed
      const wire = variables.map(
        (one): WireVariable => [one.container, one.name, one.version, one.valueId ?? null],
      )
      const outcome = [sequence, at, replayed, wire, checkpoints] as const
      return note === undefined ? outcome : [...outcome, note]
    }),
  )
}

/** What {@link textOfOutcomes} said. */
export function outcomesOfText(text: string): (Committed | undefined)[] {
  return (JSON.parse(text) as (WireOutcome | null)[]).map((wire) => {
    if (wire === null) return undefined
    const [sequence, at, replayed, variables, checkpoints, note] = wire
    return {
      sequence,
      at,
      replayed,
      variables: variables.map(([container, name, version, valueId]) => ({
        container,
        name,
        version,
        valueId: valueId ?? undefined,
      })),
      checkpoints,
      ...(note === undefined ? {} : { note }),
    }
  })
}
