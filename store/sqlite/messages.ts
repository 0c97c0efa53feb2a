// What the calling thread asks of the store worker and of the bulk workers: types only.
import type { DType, Shape } from '../../tensor/index.ts'
import type { Change, Idempotency, ValueId } from '../port.ts'
import type { ErrorRecord } from './errors.ts'
import type { StoreLimits } from './limits.ts'

/** A chunk as its content says. */
export interface ChunkIdentity {
  /** SHA-256 of the bytes. */
  readonly digest: Uint8Array
  readonly crc32c: number
  readonly byteLength: number
}

/** A new chunk whose bytes go into the catalogue. */
export interface LooseChunk extends ChunkIdentity {
  readonly bytes: Uint8Array
}

/** A pack that is on stable storage under its name, to be named by the catalogue. */
export interface SealedPack {
  readonly name: string
  readonly totalByteLength: number
  /** Its chunks; the place in the list is the ordinal in the pack. */
  readonly chunks: readonly ChunkIdentity[]
}

/** A staged value as a commit carries it to the store worker. */
export interface StagedContent {
  readonly dtype: DType
  readonly shape: Shape
  readonly byteLength: number
  readonly digest: Uint8Array
  /** Bytes of an inline value, or the chunks of a large one. */
  readonly content:
    | { readonly kind: 'inline'; readonly crc32c: number; readonly bytes: Uint8Array }
    | { readonly kind: 'chunked'; readonly chunks: readonly Uint8Array[] }
}

export interface CommitRequest {
  readonly changes: readonly Change[]
  readonly idempotency: Idempotency | undefined
  /** Staged values that the changes name, by token. */
  readonly staged: ReadonlyMap<number, StagedContent>
  readonly packs: readonly SealedPack[]
  readonly loose: readonly LooseChunk[]
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** Several commits, in order. */
export interface CommitGroup {
  /** JSON of what each is, but for bytes. */
  readonly text: string
  /** Digests and inline contents, in the order in which the text names them. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** What commits of large values bring along, by their place in the group. */
  readonly bulk: ReadonlyMap<number, CommitBulk>
}

/** Packs and chunks that are new with a commit. */
export interface CommitBulk {
  readonly packs: readonly SealedPack[]
  readonly loose: readonly LooseChunk[]
}

/** Chunks to be copied into one new pack. */
export interface MergePlan {
  readonly chunks: readonly { readonly chunkId: number; readonly packId: number | null }[]
}

/** What one step of the sweep did. */
export interface SweepStep {
  readonly values: number
  readonly chunks: number
  readonly packs: readonly string[]
  readonly idempotencyKeys: number
  readonly eventRows: number
  /** Whether another step has something to look at. */
  readonly more: boolean
  readonly merge: MergePlan | undefined
}

/** Counters of the store worker since it was opened. */
export interface WriterStatus {
  readonly writable: boolean
  readonly reason: string | undefined
  /** Commits that were acknowledged. */
  readonly commits: number
  /** Transactions that carried them: each was one sync. */
  readonly batches: number
}

/** What the store worker can be asked. */
export interface WriterCalls {
  open: { request: null; reply: { readonly generation: number; readonly missing: string[] } }
  /** Applies commits in order. `text`: see `outcomesOfText`; `failures`: by place in the group. */
  commits: {
    request: CommitGroup
    reply: { readonly text: string; readonly failures: ReadonlyMap<number, ErrorRecord> }
  }
  /** Which of the chunks are there (whole); those stay until `unpin`. */
  pin: {
    request: { readonly staging: number; readonly digests: readonly Uint8Array[] }
    reply: boolean[]
  }
  unpin: { request: { readonly staging: number }; reply: null }
  /** Keeps a value from the sweep until `release`; false where it is gone. */
  hold: { request: { readonly valueId: ValueId }; reply: boolean }
  release: { request: { readonly valueId: ValueId }; reply: null }
  /** `restart`: begin a new pass over what nothing names. */
  sweep: {
    request: { readonly now: number; readonly graceMs: number; readonly restart: boolean }
    reply: SweepStep
  }
  /** Names the pack that a merge made. `from`: where each chunk lay when it was planned. */
  merged: {
    request: { readonly pack: SealedPack; readonly plan: MergePlan }
    reply: { readonly moved: number }
  }
  /** Remembers what is damaged, so that a new copy of them is taken in. */
  damaged: {
    request: { readonly digests: readonly Uint8Array[]; readonly inline: readonly ValueId[] }
    reply: null
  }
  /** Where the scrub stands .. */
  scrubState: { request: null; reply: ScrubState }
  /** .. and is to stand from now on. */
  scrubbed: { request: { readonly state: ScrubState }; reply: null }
  /** Keeps files of packs until as many `releasePacks` have come, although nothing may name them. */
  keepPacks: { request: null; reply: null }
  releasePacks: { request: null; reply: null }
  /** Forgets that they are damaged. */
  whole: { request: { readonly rows: Checked['whole'] }; reply: null }
  status: { request: null; reply: WriterStatus }
  close: { request: null; reply: null }
}

/** What the store worker tells unasked. */
export type WriterNotice =
  /** What a group of commits did, as the texts of its rows in the log of events. */
  | { readonly kind: 'events'; readonly texts: readonly string[] }
  | { readonly kind: 'read-only'; readonly reason: string }
  | { readonly kind: 'log'; readonly message: string }

export interface WriterSetup {
  readonly directory: string
  readonly limits: StoreLimits
}

/** A damaged chunk of a value. */
export interface DamagedChunk {
  readonly ordinal: number
  readonly digest: Uint8Array
  readonly problem: string
}

/** Content that is damaged, by the row that names it: a chunk's id, or an inline value's. */
export interface DamagedRow {
  readonly id: number
  readonly in: 'chunk' | 'inline'
  readonly digest: Uint8Array
  readonly problem: string
}

/** What checking some content came to. An inline content counts as one chunk. */
export interface Checked {
  readonly chunks: number
  readonly byteLength: number
  readonly damaged: readonly DamagedRow[]
  /** What was known to be damaged and is whole: the file that holds it was put back. */
  readonly whole: readonly Pick<DamagedRow, 'id' | 'in'>[]
}

/** The last chunk and the last inline value that a pass of the scrub has checked; 0: none yet. */
export interface ScrubPlace {
  readonly chunkId: number
  readonly valueId: ValueId
}

/** Where the scrub stands, as the catalogue keeps it. */
export interface ScrubState {
  /** The pass under way; undefined where none is. Milliseconds since the epoch. */
  readonly startedAt: number | undefined
  readonly place: ScrubPlace
  readonly chunks: number
  readonly byteLength: number
  /** The last whole pass; undefined before the first. */
  readonly finished:
    | { readonly at: number; readonly chunks: number; readonly byteLength: number }
    | undefined
}

/** A chunk's place in a value. */
export interface TracedChunk {
  readonly valueId: ValueId
  readonly ordinal: number
  readonly chunkId: number
}

export interface TracedVariable {
  readonly container: string
  readonly name: string
  readonly valueId: ValueId
}

export interface TracedEntry {
  readonly checkpoint: string
  readonly tensor: string
  readonly valueId: ValueId
}

/** Memory of chunks that are dealt with, to be filled again. */
export type SpareBuffers = readonly ArrayBuffer[]

/** What a bulk worker can be asked. */
export interface BulkCalls {
  /** Hashes a chunk and holds it under `slot` until `keep` or `drop`. */
  hash: {
    request: {
      readonly staging: number
      readonly slot: number
      /** The chunk is its first `byteLength` bytes. */
      readonly buffer: ArrayBuffer
      readonly byteLength: number
    }
    reply: ChunkIdentity
  }
  /** The chunk is new. With a pack name it is written out, else it waits in memory. */
  keep: {
    request: {
      readonly staging: number
      readonly slot: number
      readonly packName: string | undefined
    }
    reply: SpareBuffers
  }
  drop: { request: { readonly staging: number; readonly slot: number }; reply: SpareBuffers }
  /** Ends the intake of a staging; with a pack name everything is written out. */
  seal: {
    request: { readonly staging: number; readonly packName: string | undefined }
    reply: { readonly packs: SealedPack[]; readonly loose: LooseChunk[] }
  }
  /** Forgets a staging. `remove`: also the packs that were sealed for it. */
  discard: { request: { readonly staging: number; readonly remove: boolean }; reply: null }
  /** The bytes of one chunk, checked against its crc32c. */
  read: {
    request: { readonly valueId: ValueId; readonly ordinal: number }
    reply: ArrayBuffer
  }
  /** Checks chunks against their SHA-256. */
  verify: {
    request: { readonly valueId: ValueId; readonly ordinal: number; readonly count: number }
    reply: { readonly damaged: readonly DamagedChunk[] }
  }
  /** Checks rows of content against their SHA-256; those that are gone are not counted. */
  check: {
    request: { readonly chunks: readonly number[]; readonly inline: readonly ValueId[] }
    reply: Checked
  }
  /** Bytes of all content. */
  extent: { request: null; reply: { readonly byteLength: number } }
  /** A step of finding who names content; `next`, where it is given, continues it. */
  trace: {
    request: /** Places of chunks, in values after that one. */
      | { readonly kind: 'chunks'; readonly ids: readonly number[]; readonly after: ValueId }
      /** Variables of values. */
      | { readonly kind: 'variables'; readonly ids: readonly ValueId[] }
      /** Tensors of values, in checkpoints before (older than) that one. */
      | { readonly kind: 'entries'; readonly ids: readonly ValueId[]; readonly after: number }
    reply: {
      readonly rows: readonly (TracedChunk | TracedVariable | TracedEntry)[]
      readonly next: number | undefined
    }
  }
  /** Copies chunks into a new pack; `plan` in the reply are those that are in it. */
  merge: {
    request: { readonly plan: MergePlan; readonly packName: string }
    reply: {
      readonly pack: SealedPack | undefined
      readonly plan: MergePlan
      readonly damaged: readonly Uint8Array[]
    }
  }
  /** Closes packs that are gone. */
  forget: { request: { readonly packs: readonly string[] }; reply: null }
  close: { request: null; reply: null }
}

export interface BulkSetup {
  readonly directory: string
  readonly packByteLength: number
  readonly openPackCount: number
}
