// The port of the store: what the rest of the house may ask of it, whatever keeps the bytes.
// Three narrow parts: catalogue (metadata, versions, labels), values (immutable bytes by content),
// bus (what changed). Every call is a promise; nothing here assumes SQLite or a single process.
import type { DType, PartialShape, Shape, TensorStream } from '../tensor/index.ts'
import type { SingleFiles } from './single-files.ts'
import type { Backups, Trust } from './trust.ts'
import type { Json, PartSlice, ValueId } from './words.ts'

export type { Json, PartSlice, ValueId } from './words.ts'

/** An immutable value: a type and bytes named by their content. */
export interface ValueRecord {
  readonly valueId: ValueId
  readonly dtype: DType
  readonly shape: Shape
  /** Bytes of the content (strings in the form of `packStrings`). */
  readonly byteLength: number
  /** Lower-case hex SHA-256 of the content's bytes where one chunk holds it, else of its chunks' digests. */
  readonly digest: string
}

/** A partitioned variable: a name for ordinary variables `name/part_0`, `name/part_1`, .. seen as one. */
export interface PartitionedRecord {
  readonly container: string
  readonly name: string
  readonly dtype: DType
  readonly shape: Shape
  /** Number of parts of each axis. */
  readonly partitions: readonly number[]
  /** In order; all of them, read in one snapshot. */
  readonly parts: readonly VariableRecord[]
}

/** A member of a collection: a variable, or any JSON value. */
export type CollectionMember = { readonly variable: string } | { readonly value: Json }

/** A collection that has members. */
export interface CollectionRecord {
  readonly name: string
  readonly memberCount: number
}

/** The defaults that a scope was given, kept as given. */
export interface ScopeRecord {
  readonly container: string
  /** `a/b`; empty for the root. */
  readonly path: string
  readonly arguments: Json
}

/** A variable as the catalogue knows it. */
export interface VariableRecord {
  readonly container: string
  readonly name: string
  readonly dtype: DType
  /** The declared shape; may be partly unknown (validate_shape false). */
  readonly shape: PartialShape
  readonly trainable: boolean
  /** Collections that it belongs to, in order of joining. */
  readonly collections: readonly string[]
  /** Device string as it was requested; empty where none was. */
  readonly device: string
  /** How it is initialized, as given; null where it has no initializer. */
  readonly initializer: Json
  /** Grows with every write of the name, also across delete and restore; 0 before the first value. */
  readonly version: number
  /** Where it is one part of a partitioned variable: which one. */
  readonly slice?: PartSlice | undefined
  /** The present value; undefined while uninitialized. */
  readonly value: ValueRecord | undefined
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  readonly updatedAt: number
}

/** What a value of a variable has to be. */
export type VariableDeclaration = Pick<VariableRecord, 'dtype' | 'shape' | 'slice'>

/** A set of (name, value) rows under a store-wide id. */
export interface CheckpointRecord {
  /** Decimal sequence number, never used twice. */
  readonly id: string
  readonly container: string
  readonly step: number | undefined
  readonly metadata: { readonly [key: string]: Json }
  readonly labels: readonly string[]
  readonly pinned: boolean
  readonly tensorCount: number
  readonly byteLength: number
  readonly createdAt: number
}

/** One tensor of a checkpoint. */
export interface CheckpointEntry {
  readonly name: string
  readonly value: ValueRecord
  /** Where it is one part of a partitioned variable: which one, as the variable said when it was saved. */
  readonly slice?: PartSlice | undefined
}

export interface GraphRecord {
  /** Lower-case hex SHA-256 of the serialized GraphDef. */
  readonly id: string
  readonly value: ValueRecord
  /** What an upload learned of it (inputs, outputs, ops, ..), kept as given. */
  readonly summary: Json
  readonly createdAt: number
}

export interface ModelVersionRecord {
  readonly model: string
  readonly version: number
  /** Files as uploaded (saved_model.pb, assets/..), by path; variables are not among them. */
  readonly files: readonly { readonly path: string; readonly value: ValueRecord }[]
  /** What loading learned of it (signatures, state, ..), kept as given. */
  readonly description: Json
  readonly createdAt: number
}

/** A page of a list: `cursor` continues it and is undefined at its end. */
export interface Page<T> {
  readonly items: readonly T[]
  readonly cursor: string | undefined
}

export interface PageRequest {
  /** 1 to 1000. */
  readonly limit: number
  readonly cursor?: string | undefined
}

export interface VariableFilter {
  readonly container: string
  /** Names that start so. */
  readonly prefix?: string | undefined
  readonly collection?: string | undefined
  readonly trainable?: boolean | undefined
  readonly initialized?: boolean | undefined
  readonly dtype?: DType | undefined
}

/** A value whose bytes were taken in but which no commit names yet. */
export interface StagedValue {
  readonly dtype: DType
  readonly shape: Shape
  readonly byteLength: number
  /** The digest that its {@link ValueRecord} will have. */
  readonly digest: string
  /** The driver's own handle. */
  readonly token: number
}

/**
 * Where bytes wait between arriving and being committed. A crash or `discard` leaves no trace.
 * After a commit that used any of its values, and after `discard`, it takes nothing more.
 */
export interface Staging {
  /** Takes in one value as a stream; hashes and writes off the calling thread. */
  add(tensor: Omit<TensorStream, 'name'>): Promise<StagedValue>
  /**
   * Takes in the content of the value `base` with stretches of it replaced; reads, hashes and writes
   * only the chunks that these touch. Stretches ascend, do not overlap and lie inside. Not for strings.
   */
  addPatched(
    base: ValueId,
    patches: AsyncIterable<{ readonly offset: number; readonly bytes: Uint8Array }>,
  ): Promise<StagedValue>
  /** Gives back whatever no commit has used. Safe to call twice and after a commit. */
  discard(): Promise<void>
}

/** A value to bind: taken in just now, already in the store, or none (uninitialized). */
export type ValueSource = StagedValue | { readonly valueId: ValueId } | null

/** What is asked of a variable before a change may touch it. */
export interface Expectation {
  /** The version that it must have (0: exists, uninitialized). */
  readonly version?: number
  /** Must not exist (false) or must exist (true). */
  readonly exists?: boolean
}

/** Which variables of a container a save takes, as they are at its moment. */
export interface SavedAmong {
  /** Members of any of these collections; absent: all. */
  readonly collections?: readonly string[] | undefined
  /** Only names that start so. */
  readonly prefix?: string | undefined
  /**
   * Leaves out what has no value, which else is refused (FAILED_PRECONDITION `variable/uninitialized`).
   * None at all are refused too (FAILED_PRECONDITION `checkpoint/empty`).
   */
  readonly onlyInitialized: boolean
}

/** One change of a commit. A commit is all or nothing and is seen whole or not at all. */
export type Change =
  | {
      readonly kind: 'create_variable'
      readonly container: string
      readonly name: string
      readonly dtype: DType
      readonly shape: PartialShape
      readonly trainable: boolean
      readonly collections: readonly string[]
      readonly device: string
      readonly initializer: Json
      readonly slice?: PartSlice | undefined
      readonly value: ValueSource
    }
  | {
      /** Makes a name for parts, which the same commit makes or which are there; refuses a name in use. */
      readonly kind: 'create_partitioned'
      readonly container: string
      readonly name: string
      readonly dtype: DType
      readonly shape: Shape
      readonly partitions: readonly number[]
      /** Names of the variables that are its parts, in order. */
      readonly parts: readonly string[]
    }
  | {
      /** Deletes the name and its parts. */
      readonly kind: 'delete_partitioned'
      readonly container: string
      readonly name: string
    }
  | {
      readonly kind: 'write_value'
      readonly container: string
      readonly name: string
      readonly value: ValueSource
      /** Also declares the value's shape as the variable's (assign with validate_shape false). */
      readonly redeclareShape?: boolean
      readonly expect?: Expectation
    }
  | {
      readonly kind: 'update_variable'
      readonly container: string
      readonly name: string
      readonly trainable?: boolean
      readonly collections?: readonly string[]
      readonly device?: string
      readonly expect?: Expectation
    }
  | {
      readonly kind: 'delete_variable'
      readonly container: string
      readonly name: string
      readonly expect?: Expectation
    }
  | { readonly kind: 'delete_container'; readonly container: string }
  | {
      /** Replaces the scope's own defaults. */
      readonly kind: 'put_scope'
      readonly container: string
      readonly path: string
      readonly arguments: Json
    }
  | { readonly kind: 'delete_scope'; readonly container: string; readonly path: string }
  | {
      /** Appends members, in order; a member may be in a collection more than once. */
      readonly kind: 'add_to_collection'
      readonly container: string
      readonly collection: string
      readonly members: readonly CollectionMember[]
    }
  | {
      /** Removes every member. */
      readonly kind: 'clear_collection'
      readonly container: string
      readonly collection: string
    }
  | {
      /** Saves present values inside the transaction: one consistent snapshot, rows only. */
      readonly kind: 'save_checkpoint'
      readonly container: string
      /** Variables to save; absent: every initialized one of the container, or those of `among`. */
      readonly names?: readonly string[]
      /** In place of names: chosen inside the transaction. */
      readonly among?: SavedAmong
      /** Stored name by variable name, where they differ. */
      readonly rename?: Readonly<Record<string, string>>
      readonly step?: number | undefined
      readonly metadata: { readonly [key: string]: Json }
      readonly labels: readonly string[]
      /** Who turns the labels. */
      readonly actor?: string | undefined
    }
  | {
      /** Makes a checkpoint of values that came from outside. */
      readonly kind: 'import_checkpoint'
      readonly container: string
      readonly entries: readonly {
        readonly name: string
        readonly value: ValueSource
        readonly slice?: PartSlice | undefined
      }[]
      readonly step?: number | undefined
      readonly metadata: { readonly [key: string]: Json }
      readonly labels: readonly string[]
      /** Who turns the labels. */
      readonly actor?: string | undefined
    }
  | {
      readonly kind: 'delete_checkpoint'
      readonly id: string
      /** Leaves alone, instead of refusing, what is pinned, labelled or gone. */
      readonly unlessKept?: boolean
      /** Who takes its labels off. */
      readonly actor?: string | undefined
    }
  | {
      readonly kind: 'update_checkpoint'
      readonly id: string
      readonly pinned?: boolean
      readonly metadata?: { readonly [key: string]: Json }
    }
  | {
      /** `checkpoint` null removes the label. `expect`: where it must point now (null: nowhere). */
      readonly kind: 'set_label'
      readonly label: string
      readonly checkpoint: string | null
      readonly expect?: string | null
      /** Who turns it, as the history is to say. */
      readonly actor?: string | undefined
    }
  | {
      /**
       * Points a label where it pointed before its last turn. Refuses (FAILED_PRECONDITION) where that is
       * nowhere (`label/nothing-before`) or gone (`label/checkpoint-gone`). `expect` as in set_label.
       */
      readonly kind: 'rollback_label'
      readonly label: string
      readonly expect?: string | null
      readonly actor?: string | undefined
    }
  | {
      /** What may go of a container's checkpoints, kept as given; null: nothing is said of it. */
      readonly kind: 'put_retention'
      readonly container: string
      readonly rules: Json
    }
  | {
      /** Keeps figures of a value beside it, until it goes. Nothing happens where it is gone. */
      readonly kind: 'keep_figures'
      readonly valueId: ValueId
      readonly figures: Json
    }
  | {
      readonly kind: 'put_graph'
      readonly id: string
      readonly value: ValueSource
      readonly summary: Json
    }
  | { readonly kind: 'delete_graph'; readonly id: string }
  | {
      readonly kind: 'put_model_version'
      readonly model: string
      readonly version: number
      readonly files: readonly { readonly path: string; readonly value: ValueSource }[]
      readonly description: Json
    }
  | {
      readonly kind: 'update_model_version'
      readonly model: string
      readonly version: number
      readonly description: Json
    }
  | { readonly kind: 'delete_model_version'; readonly model: string; readonly version: number }

/** A commit that re-sending must not apply twice. */
export interface Idempotency {
  readonly key: string
  /** Digest of the request: the same key with another digest is refused. */
  readonly digest: string
  /** Milliseconds that the outcome is kept. */
  readonly keepMs: number
  /** Kept with the outcome and given back with it: what the reply says beyond what the commit did. */
  readonly note?: Json | undefined
}

/** What a commit did. Versions and ids are in the order of the changes that made them. */
export interface Committed {
  /** Store-wide sequence number of the commit; grows. */
  readonly sequence: number
  /** Milliseconds since the epoch: when it was made. */
  readonly at: number
  readonly variables: readonly {
    readonly container: string
    readonly name: string
    readonly version: number
    readonly valueId: ValueId | undefined
  }[]
  readonly checkpoints: readonly string[]
  /** True where an earlier commit with the same idempotency key had done it. */
  readonly replayed: boolean
  /** As the commit's {@link Idempotency} gave it. */
  readonly note?: Json | undefined
}

/** One turn in the history of a label. */
export interface LabelChange {
  /** Sequence number of the commit that turned it. */
  readonly sequence: number
  /** Where it pointed from then on; undefined: nowhere. */
  readonly checkpoint: string | undefined
  /** Milliseconds since the epoch. */
  readonly changedAt: number
  /** Who turned it; undefined where nobody said. */
  readonly actor: string | undefined
}

/** A label that points somewhere, and its last turn. */
export interface LabelRecord extends LabelChange {
  readonly label: string
  readonly checkpoint: string
  /** The checkpoint's. */
  readonly container: string
}

/** Which checkpoints a list shows: those that everything given lets through. */
export interface CheckpointFilter {
  readonly container?: string | undefined
  readonly label?: string | undefined
  readonly step?: number | undefined
  readonly minStep?: number | undefined
  readonly maxStep?: number | undefined
  /** Milliseconds since the epoch; made at that time or later. */
  readonly createdFrom?: number | undefined
  /** Made before that time. */
  readonly createdBefore?: number | undefined
  /** Values by key: a string that is the same, else JSON that means the same number or word. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

/** What a checkpoint takes on the disk: bytes of content, each counted once. */
export interface CheckpointUse {
  /** Nothing else names these: deleting the checkpoint frees them. */
  readonly ownBytes: number
  /** Variables, other checkpoints or other values hold these too. */
  readonly sharedBytes: number
}

/** One checkpoint in the history of a name: what it holds under it. */
export interface HeldEntries {
  readonly checkpoint: CheckpointRecord
  /** The entry of that name, or else those of the parts `name/part_i`. */
  readonly entries: readonly CheckpointEntry[]
}

/** What may go of a container's checkpoints. */
export interface RetentionRecord {
  readonly container: string
  /** As it was given. */
  readonly rules: Json
}

/** Metadata. Reads see the last commit; each call sees one consistent state. */
export interface Catalogue {
  variable(container: string, name: string): Promise<VariableRecord | undefined>
  /** The same where it is in memory and need not be waited for; undefined says nothing of the variable. */
  variableAtHand(container: string, name: string): VariableRecord | undefined
  /** How a variable is declared, for a write that {@link commit} holds against the variable itself. */
  declaration(container: string, name: string): Promise<VariableDeclaration | undefined>
  /** Those that exist, in the order asked, from one snapshot. */
  variables(container: string, names: readonly string[]): Promise<readonly VariableRecord[]>
  listVariables(filter: VariableFilter, page: PageRequest): Promise<Page<VariableRecord>>
  /** The partitioned variables of those names that exist, in the order asked, with their parts, from one snapshot. */
  partitioned(container: string, names: readonly string[]): Promise<readonly PartitionedRecord[]>
  listPartitioned(container: string, page: PageRequest): Promise<Page<PartitionedRecord>>
  containers(): Promise<readonly string[]>
  /** Scopes of those paths that were given defaults, from one snapshot. */
  scopes(container: string, paths: readonly string[]): Promise<readonly ScopeRecord[]>
  /** By path, bytewise; only those at or below `below` where it is given. */
  listScopes(
    filter: { readonly container: string; readonly below?: string | undefined },
    page: PageRequest,
  ): Promise<Page<ScopeRecord>>
  /** Those with members, by name. */
  collections(container: string, page: PageRequest): Promise<Page<CollectionRecord>>
  /** In order of joining. */
  collectionMembers(
    container: string,
    collection: string,
    page: PageRequest,
  ): Promise<Page<CollectionMember>>
  /** Events after that place, oldest first, at most `limit`; what is kept of them, {@link eventsKept} says. */
  eventsAfter(place: EventPlace, limit: number): Promise<readonly StoreEvent[]>
  /** The first and the last event that can be had; both {sequence 0, ordinal 0} in an empty store. */
  eventsKept(): Promise<{ readonly first: EventPlace; readonly last: EventPlace }>
  /** By id, by label, or `latest` (newest of the container). */
  checkpoint(ref: string, container?: string): Promise<CheckpointRecord | undefined>
  /** Newest first. */
  listCheckpoints(filter: CheckpointFilter, page: PageRequest): Promise<Page<CheckpointRecord>>
  /** What deleting the checkpoint would free. Refuses (NOT_FOUND) one that is not there. */
  checkpointUse(id: string): Promise<CheckpointUse>
  /** Checkpoints that hold a tensor of that name, or parts of one, newest first. */
  entryHistory(
    filter: { readonly name: string; readonly container?: string | undefined },
    page: PageRequest,
  ): Promise<Page<HeldEntries>>
  /** One tensor by its stored name; undefined where the checkpoint or the tensor is not there. */
  checkpointEntry(id: string, name: string): Promise<CheckpointEntry | undefined>
  /** Sorted by name, bytewise. */
  checkpointEntries(id: string, page?: PageRequest): Promise<Page<CheckpointEntry>>
  /** Where a label pointed, newest first; also after the checkpoints are gone. */
  labelHistory(label: string, page: PageRequest): Promise<Page<LabelChange>>
  label(label: string): Promise<LabelRecord | undefined>
  /** By name, bytewise. */
  listLabels(page: PageRequest): Promise<Page<LabelRecord>>
  retention(container: string): Promise<RetentionRecord | undefined>
  /** By container, bytewise. */
  listRetention(page: PageRequest): Promise<Page<RetentionRecord>>
  graph(id: string): Promise<GraphRecord | undefined>
  listGraphs(page: PageRequest): Promise<Page<GraphRecord>>
  modelVersion(model: string, version: number): Promise<ModelVersionRecord | undefined>
  modelVersions(model?: string): Promise<readonly ModelVersionRecord[]>
  /** Outcome of an earlier commit under this key, with the digest it was made with. */
  idempotent(
    key: string,
  ): Promise<{ readonly digest: string; readonly committed: Committed } | undefined>
  /**
   * Applies all changes or none; resolves once they are on stable storage. Commits that arrive
   * together share one sync. Refuses with NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION
   * (`variable/version-mismatch`, an expectation that does not hold), or UNAVAILABLE where the disk fails.
   */
  commit(changes: readonly Change[], idempotency?: Idempotency): Promise<Committed>
}

/** A chunk of a value, named by its content; equal names are shared bytes. */
export interface ChunkRecord {
  /** Lower-case hex SHA-256 of its bytes. */
  readonly digest: string
  readonly byteLength: number
}

/** What checking a value found. */
export interface Verification {
  /** Chunks that were read; a value without chunks of its own counts as one. */
  readonly chunks: number
  readonly damaged: readonly {
    readonly ordinal: number
    /** Lower-case hex SHA-256 that the chunk should have. */
    readonly digest: string
    readonly problem: string
  }[]
}

/** Immutable bytes by content. */
export interface Values {
  stage(): Staging
  record(valueId: ValueId): Promise<ValueRecord | undefined>
  /**
   * The content's bytes from `offset`, as a stream of pieces, each checked against its checksum
   * (rejects with DATA_LOSS `store/chunk-damaged`). Reads only the chunks it needs. The memory of a
   * piece is the reader's own, to be changed, given away or freed.
   */
  read(
    valueId: ValueId,
    range?: { readonly offset: number; readonly length: number },
  ): AsyncIterable<Uint8Array>
  /** The whole content in one piece; for values known to be small enough to hold. */
  bytes(valueId: ValueId): Promise<Uint8Array>
  /**
   * The whole content where it is in memory already and need not be waited for; checked when it came
   * there. Shared: not to be changed or given away. Undefined says nothing of the value.
   */
  atHand(valueId: ValueId): Uint8Array | undefined
  /** Re-reads every chunk against its SHA-256. Refuses (NOT_FOUND) a value that is gone. */
  verify(valueId: ValueId): Promise<Verification>
  /** Figures that were kept beside values, as they were given; nothing for those without. */
  figures(valueIds: readonly ValueId[]): Promise<ReadonlyMap<ValueId, Json>>
  /** The chunks of the content in order, so that shared ones can be counted. */
  chunks(valueId: ValueId): Promise<readonly ChunkRecord[]>
}

/** Where an event stands: the commit that made it, and its number (from 1) among that commit's. */
export interface EventPlace {
  readonly sequence: number
  readonly ordinal: number
}

/** What a commit changed, told after it is durable, in commit order. */
export interface StoreEvent extends EventPlace {
  readonly kind:
    | 'variable'
    | 'checkpoint'
    | 'label'
    | 'graph'
    | 'model'
    | 'collection'
    | 'scope'
    | 'container'
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly action: 'created' | 'written' | 'updated' | 'deleted'
  readonly container: string
  readonly name: string
  readonly version: number | undefined
}

export interface Bus {
  /** How much of what it told the log keeps at most: the newest commits, in so many bytes. */
  readonly logKept: { readonly commitCount: number; readonly byteLength: number }
  /** Calls `listener` for every later event; the returned function ends it. */
  subscribe(listener: (event: StoreEvent) => void): () => void
}

/** How the store is doing, for health and the metrics. */
export interface StoreStatus {
  readonly writable: boolean
  /** Why it is not writable. */
  readonly reason: string | undefined
  readonly catalogueBytes: number
  /** Bytes of the catalogue that hold nothing now and are used again first. */
  readonly catalogueFreeBytes: number
  readonly packCount: number
  readonly packBytes: number
  /** Bytes in packs that something names; the rest goes when packs are merged. */
  readonly packLiveBytes: number
  readonly looseBytes: number
  readonly sequence: number
  /** Commits acknowledged since the store was opened .. */
  readonly commits: number
  /** .. and the syncs that they shared. */
  readonly batches: number
  /** Chunks and inline values that are known to be damaged. */
  readonly damaged: number
}

/** What was freed and moved. */
export interface MaintenanceReport {
  readonly values: number
  readonly chunks: number
  readonly packs: number
  readonly mergedChunks: number
}

export interface Store {
  readonly catalogue: Catalogue
  readonly values: Values
  readonly bus: Bus
  readonly trust: Trust
  readonly backups: Backups
  readonly singleFiles: SingleFiles
  status(): Promise<StoreStatus>
  /**
   * Frees now what nothing names and nobody reads, and tidies what is kept. By itself that happens
   * in the background, after a time of grace.
   */
  sweep(): Promise<MaintenanceReport>
  /** Finishes what is queued and lets go of the data directory. */
  close(): Promise<void>
}
