// The only write connection to the catalogue: batches of commits, pins and holds, steps of the
// sweep. It knows no threads; `write-worker.ts` feeds it.
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Refusal } from '../../tensor/index.ts'
import type { ValueId } from '../port.ts'
import { type Applied, applyCommit } from './apply.ts'
import type { Connection } from './connection.ts'
import { errorCodeOf, isDiskFull, isSyncFailure, refusalOfFailure } from './errors.ts'
import { EventLog, type EventRow, eventRowsOf } from './event-log.ts'
import { KeptPacks } from './kept-packs.ts'
import type { StoreLimits } from './limits.ts'
import type {
  Checked,
  CommitRequest,
  MergePlan,
  ScrubState,
  SealedPack,
  SweepStep,
  WriterStatus,
} from './messages.ts'
import { openCatalogue } from './migrate.ts'
import { packFileOf, packFolderOf } from './pack.ts'
import {
  damagedInlineOf,
  markDamaged,
  markWhole,
  newlyDamaged,
  readScrubState,
  writeScrubState,
} from './scrub-rows.ts'
import { planMerge, Sweep } from './sweep.ts'
import { keyOf, ValueBinder } from './write-values.ts'

/** What became of one commit of a batch. */
export type Outcome =
  | {
      readonly applied: Applied
      readonly unusedPacks: readonly string[]
      readonly error?: undefined
    }
  | { readonly applied?: undefined; readonly error: unknown }

/** What became of a batch: its commits in their order, and the events of all as rows of the log. */
export interface BatchOutcome {
  readonly commits: readonly Outcome[]
  readonly events: readonly EventRow[]
}

/** Pages in the write-ahead log, and how many of them were brought into the catalogue. */
interface LogRow {
  readonly log: number
  readonly checkpointed: number
}

/** How a refused commit of a batch is undone: with all of them, which are then tried again, or alone. */
type UndoMode = 'together' | 'each'

/** A commit was refused after it had written; only undoing all of the batch undoes it. */
class HalfWritten extends Error {}

/** The write connection and what must be remembered beside it. */
export class Writer {
  readonly #directory: string
  readonly #limits: StoreLimits
  readonly #connection: Connection
  readonly #sweep: Sweep
  readonly #events: EventLog
  readonly #pinsByStaging = new Map<number, Set<string>>()
  readonly #pinCounts = new Map<string, number>()
  readonly #holdCounts = new Map<ValueId, number>()
  readonly #damagedInline: Set<ValueId>
  readonly #pageByteLength: number
  readonly #keptPacks = new KeptPacks()
  #readOnlyReason: string | undefined
  /** The number of this opening, where the disk was too full to write it down. */
  #owedGeneration: number | undefined
  #commits = 0
  #batches = 0
  constructor(directory: string, limits: StoreLimits) {
    this.#directory = directory
    this.#limits = limits
    this.#connection = openCatalogue(directory)
    this.#events = new EventLog(this.#connection, limits)
    const protectedRows = {
      isHeld: (valueId: ValueId) => this.#holdCounts.has(valueId),
      isPinned: (key: string) => this.#pinCounts.has(key),
    }
    this.#sweep = new Sweep(this.#connection, limits, protectedRows, this.#events)
    this.#damagedInline = new Set(damagedInlineOf(this.#connection))
    this.#pageByteLength = this.#connection.pragma('page_size') as number
    if (limits.catalogueByteLength !== undefined) {
      const pages = Math.max(1, Math.floor(limits.catalogueByteLength / this.#pageByteLength))
      this.#connection.pragma(`max_page_count = ${pages}`)
    }
  }

  get readOnlyReason(): string | undefined {
    return this.#readOnlyReason
  }

  /** Bytes that wait in the write-ahead log. */
  get logByteLength(): number {
    if (this.#readOnlyReason !== undefined) return 0
    // Only asks: NOOP brings nothing over.
    const row = this.#connection.get<LogRow>('PRAGMA wal_checkpoint(NOOP)')
    return row === undefined ? 0 : (row.log - row.checkpointed) * this.#pageByteLength
  }

  /**
   * Removes files of packs that the catalogue does not name, and counts this opening. `missing`:
   * packs that it names and that are not there.
   */
  start(): { readonly generation: number; readonly missing: string[] } {
    const named = this.#connection
      .all<{ name: string }>('SELECT name FROM pack ORDER BY pack_id')
      .map(({ name }) => name)
    const wanted = new Set(named.map((name) => `${name}.pack`))
    const files = readdirSync(packFolderOf(this.#directory))
    for (const file of files) {
      if (!wanted.has(file)) rmSync(join(packFolderOf(this.#directory), file), { force: true })
    }
    const present = new Set(files)
    const missing = named.filter((name) => !present.has(`${name}.pack`))
    const generation = this.#nextGeneration()
    this.checkpointLog()
    return { generation, missing }
  }

  /** Where the disk is full everything is served all the same; the first write that fits counts the opening. */
  #nextGeneration(): number {
    const known = this.#connection.get<{ generation: number }>('SELECT generation FROM store_state')
    const generation = (known?.generation ?? 0) + 1
    try {
      return this.#transaction('opening', () => {
        this.#connection.run('UPDATE store_state SET generation = ?', generation)
        return generation
      })
    } catch (error) {
      if (!(error instanceof Refusal) || error.reason !== 'store/disk-full') throw error
      this.#owedGeneration = generation
      return generation
    }
  }

  /** Applies commits with one sync. Each is refused or applied for itself. */
  commitBatch(requests: readonly CommitRequest[]): BatchOutcome {
    try {
      const outcome = this.#batch(requests)
      let applied = 0
      for (const commit of outcome.commits) {
        if (commit.applied === undefined) continue
        applied += 1
        this.#removePacks(commit.unusedPacks)
      }
      this.#commits += applied
      if (applied > 0) this.#batches += 1
      return outcome
    } catch (error) {
      // One that was too large must not take its smaller neighbours along.
      const isTooLarge = error instanceof Refusal && error.reason === 'store/disk-full'
      if (isTooLarge && requests.length > 1) {
        const each = requests.map((request) => this.commitBatch([request]))
        return {
          commits: each.flatMap(({ commits }) => commits),
          events: each.flatMap(({ events }) => events),
        }
      }
      return { commits: requests.map(() => ({ error })), events: [] }
    }
  }

  /**
   * First without a savepoint for each commit, which costs a copy of every page that it writes: most
   * commits are not refused, and most refusals come before anything was written.
   */
  #batch(requests: readonly CommitRequest[]): BatchOutcome {
    const attempt = (mode: UndoMode) => (): BatchOutcome => {
      const commits = this.#applyAll(requests, mode)
      const events = eventRowsOf(commits.flatMap(({ applied }) => applied?.events ?? []))
      this.#events.append(events)
      return { commits, events }
    }
    try {
      return this.#transaction('the commit', attempt('together'))
    } catch (error) {
      if (!(error instanceof HalfWritten)) throw error
      return this.#transaction('the commit', attempt('each'))
    }
  }

  #applyAll(requests: readonly CommitRequest[], mode: UndoMode): Outcome[] {
    const state = this.#connection.get<{ sequence: number }>('SELECT sequence FROM store_state')
    const first = state?.sequence ?? 0
    let sequence = first
    const outcomes = requests.map((request) => {
      const outcome = this.#applyOne(request, sequence + 1, mode)
      if (outcome.applied?.committed.replayed === false) sequence += 1
      return outcome
    })
    if (sequence !== first) {
      this.#connection.run('UPDATE store_state SET sequence = ?', sequence)
    }
    return outcomes
  }

  #applyOne(request: CommitRequest, sequence: number, mode: UndoMode): Outcome {
    const connection = this.#connection
    if (mode === 'each') connection.run('SAVEPOINT one')
    const writesBefore = connection.writeCount
    try {
      const binder = new ValueBinder(connection, request, {
        isDamagedInline: (valueId) => this.#damagedInline.has(valueId),
        bound: (valueId) => this.#sweep.forget(valueId),
      })
      const applied = applyCommit(connection, request, sequence, binder)
      if (mode === 'each') connection.run('RELEASE one')
      return { applied, unusedPacks: binder.unusedPacks() }
    } catch (error) {
      const isWhole = isDiskFull(error) || (errorCodeOf(error) ?? '').startsWith('SQLITE_IOERR')
      if (isWhole || !connection.inTransaction) throw error
      if (mode === 'each') {
        connection.run('ROLLBACK TO one')
        connection.run('RELEASE one')
      } else if (connection.writeCount !== writesBefore) {
        throw new HalfWritten('a refused commit had written something')
      }
      return { error: refusalOfFailure(error, 'the commit') }
    }
  }

  /** Which chunks are there and whole; they stay until the staging is unpinned. */
  pin(staging: number, digests: readonly Uint8Array[]): boolean[] {
    let pins = this.#pinsByStaging.get(staging)
    if (pins === undefined) {
      pins = new Set()
      this.#pinsByStaging.set(staging, pins)
    }
    return digests.map((digest) => {
      const row = this.#connection.get<{ damaged: number }>(
        'SELECT damaged FROM chunk WHERE digest = ?',
        digest,
      )
      if (row === undefined || row.damaged !== 0) return false
      const key = keyOf(digest)
      if (!pins.has(key)) {
        pins.add(key)
        this.#pinCounts.set(key, (this.#pinCounts.get(key) ?? 0) + 1)
      }
      return true
    })
  }

  /** Ends what `pin` began. */
  unpin(staging: number): void {
    for (const key of this.#pinsByStaging.get(staging) ?? []) decrement(this.#pinCounts, key)
    this.#pinsByStaging.delete(staging)
  }

  /** Keeps a value although nothing may name it; false where it is gone already. */
  hold(valueId: ValueId): boolean {
    const row = this.#connection.get('SELECT 1 FROM value WHERE value_id = ?', valueId)
    if (row === undefined) return false
    this.#holdCounts.set(valueId, (this.#holdCounts.get(valueId) ?? 0) + 1)
    return true
  }

  /** Ends what `hold` began. */
  release(valueId: ValueId): void {
    decrement(this.#holdCounts, valueId)
  }

  /** The next step begins a new pass. */
  restartSweep(): void {
    this.#sweep.restart()
  }

  /** One bounded step of the sweep; files of dead packs go after their rows are durably gone. */
  sweep(now: number, monotonicMs: number, graceMs: number): SweepStep {
    if (this.#readOnlyReason !== undefined) {
      const nothing = { values: 0, chunks: 0, packs: [], idempotencyKeys: 0, eventRows: 0 }
      return { ...nothing, more: false, merge: undefined }
    }
    const swept = this.#transaction('the sweep', () => this.#sweep.step(now, monotonicMs, graceMs))
    this.#removePacks(swept.packs)
    return { ...swept, merge: planMerge(this.#connection, this.#limits) }
  }

  /** Names a merged pack and moves the chunks that still lie where they lay. */
  merged(pack: SealedPack, plan: MergePlan): { readonly moved: number } {
    return this.#transaction('merging packs', () => {
      const packId = this.#connection.run(
        'INSERT INTO pack (name, total_bytes) VALUES (?, ?)',
        pack.name,
        pack.totalByteLength,
      ).rowId
      let moved = 0
      plan.chunks.forEach(({ chunkId, packId: from }, ordinal) => {
        const { changes } = this.#connection.run(
          `UPDATE chunk SET pack_id = ?, pack_ordinal = ?
           WHERE chunk_id = ? AND pack_id IS ? AND damaged = 0`,
          packId,
          ordinal,
          chunkId,
          from,
        )
        if (changes === 1 && from === null) {
          this.#connection.run('DELETE FROM loose_chunk WHERE chunk_id = ?', chunkId)
        }
        moved += changes
      })
      return { moved }
    })
  }

  /** Marks chunks, and inline contents, that a reader found damaged. */
  damaged(digests: readonly Uint8Array[], inline: readonly ValueId[]): void {
    for (const valueId of inline) this.#damagedInline.add(valueId)
    if (this.#readOnlyReason !== undefined) return
    const found = newlyDamaged(this.#connection, digests, inline)
    if (found.digests.length + found.inline.length === 0) return
    this.#transaction('marking damage', () =>
      markDamaged(this.#connection, found.digests, found.inline),
    )
  }

  /** What was damaged is whole again: its file was put back. */
  whole(rows: Checked['whole']): void {
    this.#transaction('marking what is whole', () => markWhole(this.#connection, rows))
    for (const row of rows) if (row.in === 'inline') this.#damagedInline.delete(row.id)
  }

  /** Where the scrub stands. */
  scrubState(): ScrubState {
    return readScrubState(this.#connection)
  }

  /** Remembers where the scrub stands. */
  scrubbed(state: ScrubState): void {
    this.#transaction('noting where the scrub stands', () =>
      writeScrubState(this.#connection, state),
    )
  }

  /** Leaves the files of packs where they are until `releasePacks`. */
  keepPacks(): void {
    this.#keptPacks.hold()
  }

  /** Ends what `keepPacks` began. */
  releasePacks(): void {
    this.#removePacks(this.#keptPacks.release())
  }

  /** Brings the write-ahead log into the catalogue as far as readers let it. */
  checkpointLog(): void {
    if (this.#readOnlyReason !== undefined) return
    try {
      this.#connection.pragmaRows('wal_checkpoint(PASSIVE)')
    } catch (error) {
      this.#noteFailure(error)
    }
  }

  status(): WriterStatus {
    const reason =
      this.#owedGeneration === undefined
        ? this.#readOnlyReason
        : 'the disk was full when the store was opened; it takes writes again once there is room.'
    return {
      writable: reason === undefined,
      reason,
      commits: this.#commits,
      batches: this.#batches,
    }
  }

  close(): void {
    this.#connection.close()
  }

  /** All or nothing; failures of the disk come out as Refusals. */
  #transaction<T>(what: string, work: () => T): T {
    if (this.#readOnlyReason !== undefined) {
      throw new Refusal(
        'UNAVAILABLE',
        'store/read-only',
        `The store takes no writes: ${this.#readOnlyReason}`,
        { fix: 'Look at the disk, then start the service again.' },
      )
    }
    try {
      this.#connection.run('BEGIN IMMEDIATE')
      if (this.#owedGeneration !== undefined) {
        this.#connection.run('UPDATE store_state SET generation = ?', this.#owedGeneration)
      }
      const result = work()
      this.#connection.run('COMMIT')
      this.#owedGeneration = undefined
      return result
    } catch (error) {
      this.#noteFailure(error)
      if (this.#connection.inTransaction) this.#connection.run('ROLLBACK')
      throw refusalOfFailure(error, what)
    }
  }

  #removePacks(names: readonly string[]): void {
    for (const name of this.#keptPacks.removable(names))
      rmSync(packFileOf(this.#directory, name), { force: true })
  }

  #noteFailure(error: unknown): void {
    if (!isSyncFailure(error)) return
    this.#readOnlyReason ??= `a sync of the catalogue failed (${errorCodeOf(error)}), so what was written last may not be on the disk.`
  }
}

function decrement<Key>(counts: Map<Key, number>, key: Key): void {
  const count = counts.get(key) ?? 0
  if (count > 1) counts.set(key, count - 1)
  else counts.delete(key)
}
