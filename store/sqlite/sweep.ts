// Freeing what nothing names any more, in bounded steps: values, then chunks, then packs; and
// choosing which chunks should be copied into a new pack. Runs in the store worker, between
// commits, so that no decision about a reference is ever made beside another one.
import type { ValueId } from '../port.ts'
import type { Connection } from './connection.ts'
import type { EventLog } from './event-log.ts'
import type { StoreLimits } from './limits.ts'
import type { MergePlan } from './messages.ts'
import { keyOf } from './write-values.ts'

/** What the sweep must leave alone although no row names it. */
export interface Protected {
  isHeld(valueId: ValueId): boolean
  isPinned(digestKey: string): boolean
}

/** What one step deleted from the catalogue. */
export interface SweptRows {
  readonly values: number
  readonly chunks: number
  /** Names of packs that no chunk lies in; their files may go once this is durable. */
  readonly packs: string[]
  readonly idempotencyKeys: number
  readonly eventRows: number
  readonly more: boolean
}

/** Goes through unreferenced rows from where the last step ended. */
export class Sweep {
  readonly #connection: Connection
  readonly #limits: StoreLimits
  readonly #protected: Protected
  readonly #events: EventLog
  /** When a value was first seen unreferenced, on the worker's own monotonic clock. */
  readonly #firstSeenMs = new Map<ValueId, number>()
  /** Where the next step of this pass begins; undefined once the pass has seen the last one. */
  #valueCursor: number | undefined = 0
  #chunkCursor: number | undefined = 0
  #sweptInPass = 0
  /** Passes in the background keep a distance: with many values in their time of grace each is long. */
  #nextPassMs = 0

  constructor(
    connection: Connection,
    limits: StoreLimits,
    protectedRows: Protected,
    events: EventLog,
  ) {
    this.#connection = connection
    this.#limits = limits
    this.#protected = protectedRows
    this.#events = events
  }

  /** A value is named again: if it is dropped later, its time of grace starts anew. */
  forget(valueId: ValueId): void {
    this.#firstSeenMs.delete(valueId)
  }

  /** Begins a new pass with the next step. */
  restart(): void {
    this.#valueCursor = 0
    this.#chunkCursor = 0
    this.#sweptInPass = 0
    this.#nextPassMs = 0
  }

  /**
   * Deletes rows inside the caller's transaction. `now`: milliseconds since the epoch, for the
   * expiry of idempotency keys; `monotonicMs`: for the time of grace, of which passes keep a twelfth as
   * their distance. `more`: the pass goes on or, where there is no grace, has freed something and so
   * deserves another.
   */
  step(now: number, monotonicMs: number, graceMs: number): SweptRows {
    const idempotencyKeys = this.#connection.run(
      `DELETE FROM idempotency WHERE key IN (
         SELECT key FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`,
      now,
      this.#limits.sweepStepCount,
    ).changes
    const eventRows = this.#trimEvents()
    const entries = this.#sweepEntries()
    const isPause = monotonicMs < this.#nextPassMs
    const values = isPause ? 0 : this.#sweepValues(monotonicMs, graceMs)
    const chunks = isPause ? 0 : this.#sweepChunks()
    const packs = this.#connection
      .all<{ name: string }>('DELETE FROM pack WHERE live_bytes = 0 RETURNING name')
      .map(({ name }) => name)
    this.#sweptInPass += values + chunks + idempotencyKeys + packs.length + eventRows + entries
    const swept = { values, chunks, packs, idempotencyKeys, eventRows }
    if (isPause) return { ...swept, more: idempotencyKeys + eventRows + entries > 0 }
    const isPassDone = this.#valueCursor === undefined && this.#chunkCursor === undefined
    if (!isPassDone) return { ...swept, more: true }
    const more = this.#sweptInPass > 0
    this.restart()
    this.#nextPassMs = graceMs === 0 ? 0 : monotonicMs + graceMs / 12
    return { ...swept, more: entries > 0 || (more && graceMs === 0) }
  }

  #trimEvents(): number {
    const state = this.#connection.get<{ sequence: number }>('SELECT sequence FROM store_state')
    return this.#events.trim(state?.sequence ?? 0)
  }

  /** Takes entries of a deleted checkpoint away; what they named is counted less, and may go later. */
  #sweepEntries(): number {
    const deleted = this.#connection.get<{ checkpoint_id: number }>(
      'SELECT checkpoint_id FROM deleted_checkpoint ORDER BY checkpoint_id LIMIT 1',
    )
    if (deleted === undefined) return 0
    const { checkpoint_id: id } = deleted
    const { changes } = this.#connection.run(
      `DELETE FROM checkpoint_entry WHERE checkpoint_id = ? AND name IN (
         SELECT name FROM checkpoint_entry WHERE checkpoint_id = ? ORDER BY name LIMIT ?)`,
      id,
      id,
      this.#limits.sweepStepCount,
    )
    if (changes < this.#limits.sweepStepCount) {
      this.#connection.run('DELETE FROM deleted_checkpoint WHERE checkpoint_id = ?', id)
    }
    return changes + 1
  }

  #sweepValues(monotonicMs: number, graceMs: number): number {
    if (this.#valueCursor === undefined) return 0
    const limit = this.#limits.sweepStepCount
    const rows = this.#connection.all<{ value_id: number }>(
      `SELECT value_id FROM value WHERE reference_count = 0 AND value_id > ?
       ORDER BY value_id LIMIT ?`,
      this.#valueCursor,
      limit,
    )
    this.#valueCursor = rows.length < limit ? undefined : rows[rows.length - 1].value_id
    let swept = 0
    for (const { value_id: valueId } of rows) {
      const firstSeenMs = this.#firstSeenMs.get(valueId) ?? monotonicMs
      this.#firstSeenMs.set(valueId, firstSeenMs)
      if (monotonicMs - firstSeenMs < graceMs || this.#protected.isHeld(valueId)) continue
      this.#connection.run('DELETE FROM value_chunk WHERE value_id = ?', valueId)
      this.#connection.run('DELETE FROM value WHERE value_id = ?', valueId)
      this.#firstSeenMs.delete(valueId)
      swept += 1
    }
    return swept
  }

  #sweepChunks(): number {
    if (this.#chunkCursor === undefined) return 0
    const limit = this.#limits.sweepStepCount
    const rows = this.#connection.all<{ chunk_id: number; digest: Uint8Array }>(
      `SELECT chunk_id, digest FROM chunk WHERE reference_count = 0 AND chunk_id > ?
       ORDER BY chunk_id LIMIT ?`,
      this.#chunkCursor,
      limit,
    )
    this.#chunkCursor = rows.length < limit ? undefined : rows[rows.length - 1].chunk_id
    let swept = 0
    for (const { chunk_id: chunkId, digest } of rows) {
      if (this.#protected.isPinned(keyOf(digest))) continue
      this.#connection.run('DELETE FROM chunk WHERE chunk_id = ?', chunkId)
      swept += 1
    }
    return swept
  }
}

/** Bytes of the chunks that lie in the catalogue itself. */
export function looseByteLengthOf(connection: Connection): number {
  const row = connection.get<{ bytes: number }>(
    'SELECT coalesce(sum(byte_length), 0) AS bytes FROM chunk WHERE pack_id IS NULL',
  )
  return row?.bytes ?? 0
}

/**
 * Packs to copy out of: one that is mostly dead, else small ones where there are many. Copying must
 * empty them, or they would be found here again and again: damaged chunks cannot be copied.
 */
function packsToMerge(connection: Connection, limits: StoreLimits): number[] {
  const dead = connection.get<{ pack_id: number }>(
    `SELECT pack_id FROM pack WHERE live_bytes * 2 < total_bytes AND EXISTS (
       SELECT 1 FROM chunk WHERE chunk.pack_id = pack.pack_id AND damaged = 0
     ) ORDER BY pack_id LIMIT 1`,
  )
  if (dead !== undefined) return [dead.pack_id]
  const count = Math.max(2, limits.mergePackCount)
  const small = connection.all<{ pack_id: number }>(
    `SELECT pack_id FROM pack WHERE total_bytes < ? AND NOT EXISTS (
       SELECT 1 FROM chunk WHERE chunk.pack_id = pack.pack_id AND damaged = 1
     ) ORDER BY pack_id LIMIT ?`,
    limits.smallPackByteLength,
    count,
  )
  return small.length < count ? [] : small.map(({ pack_id: packId }) => packId)
}

/** The next chunks worth copying into a new pack; undefined where all is well. */
export function planMerge(connection: Connection, limits: StoreLimits): MergePlan | undefined {
  const isLooseFull = looseByteLengthOf(connection) >= limits.mergeLooseByteLength
  const packs: (number | null)[] = isLooseFull ? [null] : packsToMerge(connection, limits)
  const chunks: MergePlan['chunks'][number][] = []
  let byteLength = 0
  for (const packId of packs) {
    const rows = connection.all<{ chunk_id: number; byte_length: number }>(
      `SELECT chunk_id, byte_length FROM chunk
       WHERE pack_id IS ? AND damaged = 0 ORDER BY pack_ordinal`,
      packId,
    )
    for (const row of rows) {
      if (byteLength >= limits.mergeStepByteLength) break
      chunks.push({ chunkId: row.chunk_id, packId })
      byteLength += row.byte_length
    }
  }
  return chunks.length === 0 ? undefined : { chunks }
}
