// What a checkpoint takes on the disk: which bytes only it names, and which others hold too. Content is
// counted once, however many of its tensors are the same.
import type { CheckpointUse } from '../port.ts'
import type { Connection } from './connection.ts'
import { pause, unknownCheckpoint } from './read-checkpoints.ts'
import { checkpointNumberOf } from './records.ts'

/** Entries, and values, that are looked at without a pause. */
const rowsPerTurn = 1_000

interface ChunkRow {
  readonly chunk_id: number
  readonly byte_length: number
  readonly reference_count: number
  readonly times: number
}

/** A chunk that several values hold, or one value several times. */
interface Shared {
  readonly byteLength: number
  /** Rows that name it which are not of the checkpoint's own values; 0: it is its own. */
  others: number
}

/**
 * Counts in turns, on a connection that nobody else reads from meanwhile: all turns see one state.
 * Refuses (NOT_FOUND) a checkpoint that is not there.
 */
export async function checkpointUse(connection: Connection, id: string): Promise<CheckpointUse> {
  const number = checkpointNumberOf(id) ?? 0
  connection.run('BEGIN')
  try {
    const known = connection.get('SELECT 1 FROM checkpoint WHERE checkpoint_id = ?', number)
    if (known === undefined) throw unknownCheckpoint(id)
    const times = await timesByValue(connection, number)
    const count = { ownBytes: 0, sharedBytes: 0 }
    const shared = new Map<number, Shared>()
    let looked = 0
    for (const [valueId, entries] of times) {
      looked += countValue(connection, { valueId, entries }, count, shared)
      if (looked < rowsPerTurn) continue
      looked = 0
      await pause()
    }
    for (const { byteLength, others } of shared.values()) {
      if (others === 0) count.ownBytes += byteLength
      else count.sharedBytes += byteLength
    }
    return count
  } finally {
    connection.run('COMMIT')
  }
}

/** How many entries of the checkpoint name each value. */
async function timesByValue(
  connection: Connection,
  number: number,
): Promise<ReadonlyMap<number, number>> {
  const times = new Map<number, number>()
  let after: string | undefined
  do {
    const rows = connection.all<{ name: string; value_id: number }>(
      `SELECT name, value_id FROM checkpoint_entry
       WHERE checkpoint_id = ? ${after === undefined ? '' : 'AND name > ?'} ORDER BY name LIMIT ?`,
      number,
      ...(after === undefined ? [] : [after]),
      rowsPerTurn,
    )
    for (const row of rows) times.set(row.value_id, (times.get(row.value_id) ?? 0) + 1)
    after = rows.length < rowsPerTurn ? undefined : rows[rows.length - 1].name
    await pause()
  } while (after !== undefined)
  return times
}

/** Adds one value to the count; gives how many rows it took. */
function countValue(
  connection: Connection,
  { valueId, entries }: { readonly valueId: number; readonly entries: number },
  count: { ownBytes: number; sharedBytes: number },
  shared: Map<number, Shared>,
): number {
  const value = connection.get<{ byte_length: number; reference_count: number }>(
    'SELECT byte_length, reference_count FROM value WHERE value_id = ?',
    valueId,
  )
  if (value === undefined) throw new Error('an entry names a value')
  const isOwn = value.reference_count === entries
  const chunks = connection.all<ChunkRow>(
    `SELECT chunk_id, byte_length, reference_count, count(*) AS times
     FROM value_chunk JOIN chunk USING (chunk_id) WHERE value_id = ? GROUP BY chunk_id`,
    valueId,
  )
  if (chunks.length === 0) {
    if (isOwn) count.ownBytes += value.byte_length
    else count.sharedBytes += value.byte_length
  }
  for (const chunk of chunks) {
    const { byte_length: byteLength } = chunk
    const isAlone = chunk.reference_count === chunk.times
    if (isAlone && isOwn) count.ownBytes += byteLength
    else if (isAlone) count.sharedBytes += byteLength
    else {
      const known = shared.get(chunk.chunk_id) ?? { byteLength, others: chunk.reference_count }
      if (isOwn) known.others -= chunk.times
      shared.set(chunk.chunk_id, known)
    }
  }
  return 1 + chunks.length
}
