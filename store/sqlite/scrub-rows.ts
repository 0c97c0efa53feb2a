// What the catalogue remembers of damage and of the scrub: rows in and out, and nothing of when.
import type { ValueId } from '../port.ts'
import type { Connection } from './connection.ts'
import type { Checked, ScrubState } from './messages.ts'

interface ScrubRow {
  readonly started_at: number | null
  readonly chunk_id: number
  readonly value_id: number
  readonly chunks: number
  readonly byte_length: number
  readonly finished_at: number | null
  readonly finished_chunks: number
  readonly finished_byte_length: number
}

/** Where the scrub stands. */
export function readScrubState(connection: Connection): ScrubState {
  const row = connection.get<ScrubRow>('SELECT * FROM scrub_state')
  if (row === undefined) throw new Error('scrub_state has its one row')
  return {
    startedAt: row.started_at ?? undefined,
    place: { chunkId: row.chunk_id, valueId: row.value_id },
    chunks: row.chunks,
    byteLength: row.byte_length,
    finished:
      row.finished_at === null
        ? undefined
        : {
            at: row.finished_at,
            chunks: row.finished_chunks,
            byteLength: row.finished_byte_length,
          },
  }
}

/** Lets the scrub stand there. */
export function writeScrubState(connection: Connection, state: ScrubState): void {
  connection.run(
    `UPDATE scrub_state SET started_at = ?, chunk_id = ?, value_id = ?, chunks = ?,
       byte_length = ?, finished_at = ?, finished_chunks = ?, finished_byte_length = ?`,
    state.startedAt ?? null,
    state.place.chunkId,
    state.place.valueId,
    state.chunks,
    state.byteLength,
    state.finished?.at ?? null,
    state.finished?.chunks ?? 0,
    state.finished?.byteLength ?? 0,
  )
}

/** Which of these chunks and inline contents are not yet known to be damaged. */
export function newlyDamaged(
  connection: Connection,
  digests: readonly Uint8Array[],
  inline: readonly ValueId[],
): { readonly digests: readonly Uint8Array[]; readonly inline: readonly ValueId[] } {
  const isWholeChunk = 'SELECT 1 FROM chunk WHERE digest = ? AND damaged = 0'
  const isWholeInline = `SELECT 1 FROM inline_content WHERE value_id = ?
    AND value_id NOT IN (SELECT value_id FROM damaged_inline)`
  return {
    digests: digests.filter((digest) => connection.get(isWholeChunk, digest) !== undefined),
    inline: inline.filter((valueId) => connection.get(isWholeInline, valueId) !== undefined),
  }
}

/** Marks them as damaged, inside the caller's transaction. */
export function markDamaged(
  connection: Connection,
  digests: readonly Uint8Array[],
  inline: readonly ValueId[],
): void {
  for (const digest of digests) {
    connection.run('UPDATE chunk SET damaged = 1 WHERE digest = ?', digest)
  }
  for (const valueId of inline) {
    connection.run('INSERT OR IGNORE INTO damaged_inline (value_id) VALUES (?)', valueId)
  }
}

/** Forgets that they are damaged, inside the caller's transaction. */
export function markWhole(connection: Connection, rows: Checked['whole']): void {
  for (const { id, in: place } of rows) {
    if (place === 'chunk') {
      connection.run('UPDATE chunk SET damaged = 0 WHERE chunk_id = ?', id)
    } else connection.run('DELETE FROM damaged_inline WHERE value_id = ?', id)
  }
}

/** Values whose inline content is known to be damaged. */
export function damagedInlineOf(connection: Connection): ValueId[] {
  return connection
    .all<{ value_id: number }>('SELECT value_id FROM damaged_inline ORDER BY value_id')
    .map((row) => row.value_id)
}

/** How many chunks and inline contents are known to be damaged. */
export function damagedCountOf(connection: Connection): number {
  const row = connection.get<{ count: number }>(
    `SELECT (SELECT count(*) FROM chunk WHERE damaged <> 0)
       + (SELECT count(*) FROM damaged_inline) AS count`,
  )
  return row?.count ?? 0
}

/** Content that is known to be damaged: chunks first, by their ids; `limit` of both at most. */
export function damagedRowsOf(
  connection: Connection,
  limit: number,
): { readonly id: number; readonly in: 'chunk' | 'inline'; readonly digest: Uint8Array }[] {
  const chunks = connection.all<{ id: number; digest: Uint8Array }>(
    `SELECT chunk_id AS id, digest FROM chunk WHERE damaged <> 0 ORDER BY chunk_id LIMIT ?`,
    limit,
  )
  const inline = connection.all<{ id: number; digest: Uint8Array }>(
    `SELECT value_id AS id, digest FROM damaged_inline JOIN value USING (value_id)
     ORDER BY value_id LIMIT ?`,
    limit - chunks.length,
  )
  return [
    ...chunks.map((row) => ({ ...row, in: 'chunk' as const })),
    ...inline.map((row) => ({ ...row, in: 'inline' as const })),
  ]
}
