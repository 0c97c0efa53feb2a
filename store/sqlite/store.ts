// The port on top of the driver's parts: reads on the calling thread, commits in the store worker,
// events in commit order.
import { Refusal } from '../../tensor/index.ts'
import type {
  Bus,
  Catalogue,
  Change,
  CheckpointEntry,
  Committed,
  EventPlace,
  Idempotency,
  MaintenanceReport,
  Page,
  Store,
  StoreEvent,
  StoreStatus,
  ValueSource,
} from '../port.ts'
import { SqliteBackups } from './backups.ts'
import type { BulkPool } from './bulk-pool.ts'
import type { WorkerClient } from './calls.ts'
import { CommitLane, type CommitSettled } from './commit-lane.ts'
import type { Connection } from './connection.ts'
import { DamageNames } from './damage-names.ts'
import { refusalOfFailure } from './errors.ts'
import { eventsKept, eventsOfNextRow, eventsOfText } from './event-log.ts'
import type { StoreLimits } from './limits.ts'
import type { Lock } from './lock.ts'
import { Maintenance } from './maintenance.ts'
import type { CommitRequest, StagedContent, WriterCalls, WriterNotice } from './messages.ts'
import { meet, type Subjects, subjectsOf } from './order.ts'
import {
  checkpoint,
  checkpointEntries,
  checkpointEntry,
  entryHistory,
  listCheckpoints,
  type Turn,
} from './read-checkpoints.ts'
import { collectionMembers, listCollections } from './read-collections.ts'
import {
  figures,
  label,
  labelHistory,
  listLabels,
  listRetention,
  retention,
} from './read-labels.ts'
import { listPartitioned, partitioned } from './read-partitioned.ts'
import { listScopes, scopes } from './read-scopes.ts'
import { checkpointUse } from './read-use.ts'
import { CatalogueReader, namesPerTurn } from './reader.ts'
import { SqliteSingleFiles } from './single-files.ts'
import { SmallMemory } from './small-memory.ts'
import { type SealedStaging, SqliteStaging, type StagingHost } from './staging.ts'
import { SqliteTrust } from './trust.ts'
import { SqliteValues } from './values.ts'
import { VariableCache } from './variable-cache.ts'

/** The parts that an opened store is made of. */
export interface StoreParts {
  readonly writer: WorkerClient<WriterCalls, WriterNotice>
  readonly bulk: BulkPool
  readonly connection: Connection
  /** Opens another read-only connection to the catalogue. */
  readonly connect: () => Connection
  readonly lock: Lock
  readonly directory: string
  /** Where backups lie. */
  readonly backupDirectory: string
  readonly limits: StoreLimits
  readonly clock: () => number
  readonly log: (message: string) => void
  /** How often the data directory was opened; makes names of packs unique. */
  readonly generation: number
}

/** Entries read without a pause where all of a checkpoint's are asked for. */
const entriesPageCount = 1_000

function sourcesOf(change: Change): readonly ValueSource[] {
  switch (change.kind) {
    case 'create_variable':
    case 'write_value':
    case 'put_graph':
      return [change.value]
    case 'import_checkpoint':
      return change.entries.map(({ value }) => value)
    case 'put_model_version':
      return change.files.map(({ value }) => value)
    default:
      return []
  }
}

function closedStore(): Refusal {
  return new Refusal('UNAVAILABLE', 'store/closed', 'The store has been closed.')
}

/** The store of one data directory. */
export class SqliteStore implements Store {
  readonly catalogue: Catalogue
  readonly values: SqliteValues
  readonly bus: Bus
  readonly trust: SqliteTrust
  readonly backups: SqliteBackups
  readonly singleFiles: SqliteSingleFiles
  readonly #parts: StoreParts
  readonly #reader: CatalogueReader
  readonly #variables = new VariableCache()
  readonly #commits: CommitLane
  readonly #maintenance: Maintenance
  readonly #stagings = new Map<number, SqliteStaging>()
  readonly #listeners = new Set<(event: StoreEvent) => void>()
  readonly #sealing = new Set<{ readonly subjects: Subjects; readonly sent: Promise<unknown> }>()
  readonly #committing = new Set<Promise<unknown>>()
  #lastToken = 0
  #lastPack = 0
  #unwritable: string | undefined
  #closing: Promise<void> | undefined

  constructor(parts: StoreParts) {
    this.#parts = parts
    this.#reader = new CatalogueReader(parts.connection)
    this.#commits = new CommitLane(parts.writer, parts.limits)
    this.catalogue = this.#newCatalogue()
    const stagingHost = this.#newStagingHost()
    const damage = new DamageNames(parts)
    this.values = new SqliteValues({
      writer: parts.writer,
      bulk: parts.bulk,
      reader: this.#reader,
      newStaging: () => new SqliteStaging(stagingHost),
      figures: (valueIds) => this.#read(() => figures(parts.connection, valueIds)),
      checkOpen: () => this.#checkOpen(),
      named: (valueId, error) => damage.named(valueId, error),
    })
    const { eventCommitCount: commitCount, eventByteLength: byteLength } = parts.limits
    this.bus = {
      logKept: { commitCount, byteLength },
      subscribe: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
    }
    this.#maintenance = new Maintenance({
      writer: parts.writer,
      bulk: parts.bulk,
      limits: parts.limits,
      clock: parts.clock,
      nextPackName: () => this.#nextPackName(),
      freed: () => this.values.forget(),
      log: parts.log,
    })
    const { writer, bulk, connection, limits, clock, log } = parts
    const checkOpen = (): void => this.#checkOpen()
    this.trust = new SqliteTrust({ writer, bulk, connection, limits, clock, log, checkOpen })
    this.backups = new SqliteBackups({ ...parts, checkOpen })
    this.singleFiles = new SqliteSingleFiles({ directory: parts.directory, checkOpen })
    this.#maintenance.start()
    this.trust.start()
  }

  async status(): Promise<StoreStatus> {
    this.#checkOpen()
    const { commits, batches, writable, reason } = await this.#writerStatus()
    const sizes = this.#read(() => this.#reader.sizes())
    return { ...sizes, writable, reason, commits, batches }
  }

  sweep(): Promise<MaintenanceReport> {
    this.#checkOpen()
    return this.#maintenance.run(0)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** What the store worker tells unasked. */
  notice(notice: WriterNotice): void {
    switch (notice.kind) {
      case 'events':
        if (this.#listeners.size > 0) for (const text of notice.texts) this.#tellAll(text)
        return
      case 'read-only':
        this.#unwritable ??= notice.reason
        this.#parts.log(`the store takes no writes: ${notice.reason}`)
        return
      case 'log':
        this.#parts.log(notice.message)
        return
      default:
        notice satisfies never
    }
  }

  /** A thread has ended unasked: nothing can be written any more. */
  lost(error: Error): void {
    this.#unwritable ??= `a thread of the store has ended (${error.message}).`
    this.#parts.log(`the store takes no writes: ${this.#unwritable}`)
  }

  #tellAll(text: string): void {
    for (const event of eventsOfText(text)) {
      for (const listener of this.#listeners) this.#tell(listener, event)
    }
  }

  #tell(listener: (event: StoreEvent) => void, event: StoreEvent): void {
    try {
      listener(event)
    } catch (error) {
      this.#parts.log(`a listener failed: ${error instanceof Error ? error.message : error}`)
    }
  }

  async #writerStatus(): Promise<WriterCalls['status']['reply']> {
    try {
      const status = await this.#parts.writer.call('status', null)
      const reason = status.reason ?? this.#unwritable
      return { ...status, writable: reason === undefined, reason }
    } catch {
      return { writable: false, reason: this.#unwritable, commits: 0, batches: 0 }
    }
  }

  async #close(): Promise<void> {
    const { writer, bulk, connection, lock } = this.#parts
    await Promise.all([this.#maintenance.stop(), this.trust.stop(), this.backups.stop()])
    while (this.#committing.size > 0) await Promise.allSettled(this.#committing)
    const closeReaders = async (): Promise<void> => {
      await Promise.allSettled(bulk.lanes.map((lane) => lane.call('close', null)))
      connection.close()
    }
    const closeWriter = (): Promise<unknown> => Promise.allSettled([writer.call('close', null)])
    if (this.#unwritable === undefined) {
      // The last connection brings the log into the catalogue: let it be the one that can write.
      await closeReaders()
      await closeWriter()
    } else {
      // After a failed sync nothing may be taken over from the log before the next start.
      await closeWriter()
      await closeReaders()
    }
    await Promise.all([writer.end(), bulk.end()])
    lock.release()
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw closedStore()
  }

  #read<T>(read: () => T): T {
    this.#checkOpen()
    try {
      return read()
    } catch (error) {
      throw refusalOfFailure(error, 'reading the catalogue')
    }
  }

  readonly #turn: Turn = (read) => this.#read(read)

  #nextPackName(): string {
    this.#lastPack += 1
    return `${this.#parts.generation}-${this.#lastPack}`
  }

  #newStagingHost(): StagingHost {
    const { writer, bulk, limits } = this.#parts
    return {
      writer,
      bulk,
      looseByteLength: limits.looseByteLengthPerCommit,
      small: new SmallMemory(),
      nextToken: () => ++this.#lastToken,
      nextPackName: () => this.#nextPackName(),
      base: (valueId) => this.#read(() => this.#reader.base(valueId)),
      inlineBytes: (valueId) => this.values.bytes(valueId),
      remember: (token, staging) => this.#stagings.set(token, staging),
      forget: (tokens) => {
        for (const token of tokens) this.#stagings.delete(token)
      },
    }
  }

  #newCatalogue(): Catalogue {
    const reader = this.#reader
    const { connection } = this.#parts
    return {
      variable: async (container, name) =>
        this.#read(() =>
          this.#variables.variable(container, name, () => reader.variable(container, name)),
        ),
      variableAtHand: (container, name) => {
        this.#checkOpen()
        return this.#variables.known(container, name)
      },
      declaration: async (container, name) =>
        this.#read(() =>
          this.#variables.declaration(container, name, () => reader.variable(container, name)),
        ),
      variables: async (container, names) =>
        names.length <= namesPerTurn
          ? this.#read(() => reader.variables(container, names))
          : this.#apart((own) => new CatalogueReader(own).manyVariables(container, names)),
      listVariables: async (filter, page) => this.#read(() => reader.listVariables(filter, page)),
      partitioned: async (container, names) =>
        this.#read(() => partitioned(connection, container, names)),
      listPartitioned: async (container, page) =>
        this.#read(() => listPartitioned(connection, container, page)),
      scopes: async (container, paths) => this.#read(() => scopes(connection, container, paths)),
      listScopes: async (filter, page) => this.#read(() => listScopes(connection, filter, page)),
      collections: async (container, page) =>
        this.#read(() => listCollections(connection, container, page)),
      collectionMembers: async (container, collection, page) =>
        this.#read(() => collectionMembers(connection, container, collection, page)),
      eventsAfter: (place, limit) => this.#eventsAfter(place, limit),
      eventsKept: async () => this.#read(() => eventsKept(connection)),
      containers: async () => this.#read(() => reader.containers()),
      checkpoint: async (ref, container) =>
        this.#read(() => checkpoint(connection, ref, container)),
      listCheckpoints: (filter, page) => listCheckpoints(connection, filter, page, this.#turn),
      checkpointUse: (id) => this.#apart((own) => checkpointUse(own, id)),
      entryHistory: (filter, page) => entryHistory(connection, filter, page, this.#turn),
      checkpointEntry: async (id, name) => this.#read(() => checkpointEntry(connection, id, name)),
      checkpointEntries: (id, page) =>
        page === undefined
          ? this.#allEntries(id)
          : Promise.try(() => this.#read(() => checkpointEntries(connection, id, page))),
      graph: async (id) => this.#read(() => reader.graph(id)),
      listGraphs: async (page) => this.#read(() => reader.listGraphs(page)),
      modelVersion: async (model, version) =>
        this.#read(() => reader.modelVersions(model, version)[0]),
      modelVersions: async (model) => this.#read(() => reader.modelVersions(model)),
      labelHistory: async (name, page) => this.#read(() => labelHistory(connection, name, page)),
      label: async (name) => this.#read(() => label(connection, name)),
      listLabels: async (page) => this.#read(() => listLabels(connection, page)),
      retention: async (container) => this.#read(() => retention(connection, container)),
      listRetention: async (page) => this.#read(() => listRetention(connection, page)),
      idempotent: async (key) => this.#read(() => reader.idempotent(key, this.#parts.clock())),
      commit: (changes, idempotency) => this.#commit(changes, idempotency),
    }
  }

  /** Row by row, so that others have the thread in between. What was logged does not change. */
  async #eventsAfter(place: EventPlace, limit: number): Promise<StoreEvent[]> {
    const found: StoreEvent[] = []
    for (let after = place; found.length < limit; after = found[found.length - 1]) {
      const next = this.#read(() =>
        eventsOfNextRow(this.#parts.connection, after, limit - found.length),
      )
      if (next.length === 0) break
      for (const event of next) found.push(event)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return found
  }

  /** On a connection of its own, so that the snapshot is not everybody's meanwhile. */
  async #apart<T>(read: (own: Connection) => Promise<T>): Promise<T> {
    const own = this.#read(() => this.#parts.connect())
    try {
      return await read(own)
    } catch (error) {
      throw refusalOfFailure(error, 'reading the catalogue')
    } finally {
      own.close()
    }
  }

  /** Every entry, in turns that let others have the thread. A checkpoint's entries never change. */
  async #allEntries(id: string): Promise<Page<CheckpointEntry>> {
    const items: CheckpointEntry[] = []
    let cursor: string | undefined
    do {
      const request = { limit: entriesPageCount, cursor }
      const page = this.#read(() => checkpointEntries(this.#parts.connection, id, request))
      for (const item of page.items) items.push(item)
      cursor = page.cursor
      if (cursor !== undefined) await new Promise((resolve) => setImmediate(resolve))
    } while (cursor !== undefined)
    return { items, cursor: undefined }
  }

  #commit(changes: readonly Change[], idempotency: Idempotency | undefined): Promise<Committed> {
    const staged = new Map<number, StagedContent>()
    const stagings = new Set<SqliteStaging>()
    try {
      this.#checkOpen()
      for (const change of changes) {
        for (const source of sourcesOf(change)) {
          if (source === null || !('token' in source)) continue
          const staging = this.#stagings.get(source.token)
          if (staging === undefined) throw closedStaging()
          staged.set(source.token, staging.content(source.token))
          stagings.add(staging)
        }
      }
    } catch (error) {
      return Promise.reject(error)
    }
    const request = { changes, idempotency, staged, now: this.#parts.clock() }
    const { promise, resolve, reject } = Promise.withResolvers<Committed>()
    this.#committing.add(promise)
    for (const staging of stagings) staging.commitBegins()
    this.#send(request, stagings, (committed, error) => {
      this.#committing.delete(promise)
      for (const staging of stagings) staging.commitSettled(committed !== undefined, error)
      if (committed !== undefined) resolve(committed)
      else reject(error)
    })
    return promise
  }

  #send(
    request: Omit<CommitRequest, 'packs' | 'loose'>,
    stagings: ReadonlySet<SqliteStaging>,
    settled: CommitSettled,
  ): void {
    let isBulk = false
    for (const staging of stagings) isBulk ||= staging.isBulk
    // Sent in this very turn, so that commits reach the store worker in the order of the calls.
    if (!isBulk && this.#sealing.size === 0) {
      for (const staging of stagings) staging.sealInline()
      this.#submit(request, [], settled)
      return
    }
    const subjects = subjectsOf(request.changes)
    const before = [...this.#sealing].filter((one) => meet(one.subjects, subjects))
    if (!isBulk && before.length === 0) {
      for (const staging of stagings) staging.sealInline()
      this.#submit(request, [], settled)
      return
    }
    const sent = Promise.withResolvers<void>()
    const turn = { subjects, sent: sent.promise }
    this.#sealing.add(turn)
    const sealed = Promise.all(Array.from(stagings, (staging) => staging.seal()))
    Promise.all([sealed, ...before.map((one) => one.sent)])
      .then(
        ([parts]) => this.#submit(request, parts, settled),
        (error) => settled(undefined, error),
      )
      .finally(() => {
        this.#sealing.delete(turn)
        sent.resolve()
      })
  }

  #submit(
    request: Omit<CommitRequest, 'packs' | 'loose'>,
    sealed: readonly SealedStaging[],
    settled: CommitSettled,
  ): void {
    const packs = sealed.flatMap((part) => part.packs)
    const loose = sealed.flatMap((part) => part.loose)
    const end = this.#variables.begin(request)
    this.#commits.send({ ...request, packs, loose }, (committed, error) => {
      end(committed)
      settled(committed, error)
    })
  }
}

function closedStaging(): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'staging/closed',
    'A staged value was committed or discarded already.',
    { fix: 'Stage the value again.' },
  )
}
