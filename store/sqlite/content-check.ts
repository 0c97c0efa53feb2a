// Checking much content on all bulk workers at once: what is to be checked, in which portions, and what
// became of it. It knows rows and portions; when a check is made is its callers' affair.
import { Refusal } from '../../tensor/index.ts'
import type { ValueId } from '../port.ts'
import type { ByteReport, DamagedContent } from '../trust.ts'
import type { BulkPool } from './bulk-pool.ts'
import type { WorkerClient } from './calls.ts'
import type { Connection } from './connection.ts'
import { refusalOfFailure } from './errors.ts'
import type {
  BulkCalls,
  Checked,
  DamagedRow,
  TracedChunk,
  TracedEntry,
  TracedVariable,
  WriterCalls,
  WriterNotice,
} from './messages.ts'
import { hexOf } from './records.ts'

/** Bytes of a portion: so long a reader may have to wait for a bulk worker. */
const portionByteLength = 4 * 1024 * 1024
/** Rows of a portion, however small they are. */
const portionCount = 500
/** How long the calling thread plans without a pause. */
const planMs = 5

/** What checking needs of its store. */
export interface CheckHost {
  readonly writer: WorkerClient<WriterCalls, WriterNotice>
  readonly bulk: BulkPool
  readonly connection: Connection
}

type Traced = BulkCalls['trace']['reply']

/** Rows that one bulk worker checks at once. */
export interface Portion {
  readonly chunks: number[]
  readonly inline: ValueId[]
  byteLength: number
}

interface SizedRow {
  readonly id: number
  readonly byte_length: number
}

/** Portions that grow one row at a time. */
export class Portions {
  readonly all: Portion[] = []
  byteLength = 0

  add(kind: 'chunks' | 'inline', id: number, byteLength: number): void {
    let last = this.all.at(-1)
    const isFull =
      last === undefined ||
      last.byteLength >= portionByteLength ||
      last.chunks.length + last.inline.length >= portionCount
    if (isFull || last === undefined) {
      last = { chunks: [], inline: [], byteLength: 0 }
      this.all.push(last)
    }
    last[kind].push(id)
    last.byteLength += byteLength
    this.byteLength += byteLength
  }
}

/** The content of values, each chunk once; in turns that let others have the thread. */
export async function portionsOfValues(
  { connection }: CheckHost,
  valueIds: readonly ValueId[],
): Promise<Portions> {
  const portions = new Portions()
  const seen = new Set<number>()
  let turnBegan = performance.now()
  for (const valueId of new Set(valueIds)) {
    const rows = reading(() =>
      connection.all<SizedRow>(
        `SELECT chunk_id AS id, byte_length FROM value_chunk JOIN chunk USING (chunk_id)
         WHERE value_id = ? ORDER BY ordinal`,
        valueId,
      ),
    )
    for (const { id, byte_length: byteLength } of rows) {
      if (seen.has(id)) continue
      seen.add(id)
      portions.add('chunks', id, byteLength)
    }
    if (rows.length === 0) addInline(connection, valueId, portions)
    if (performance.now() - turnBegan < planMs) continue
    await new Promise((resolve) => setImmediate(resolve))
    turnBegan = performance.now()
  }
  return portions
}

function addInline(connection: Connection, valueId: ValueId, portions: Portions): void {
  const row = reading(() =>
    connection.get<SizedRow>(
      `SELECT value_id AS id, byte_length FROM value WHERE value_id = ?
       AND EXISTS (SELECT 1 FROM inline_content WHERE inline_content.value_id = value.value_id)`,
      valueId,
    ),
  )
  if (row !== undefined) portions.add('inline', row.id, row.byte_length)
}

/** Checks portions on every bulk worker, and marks what is damaged. */
export async function checkPortions(
  { bulk, writer }: CheckHost,
  portions: Portions,
  report: ByteReport = () => undefined,
  signal?: AbortSignal,
): Promise<Checked> {
  const waiting = [...portions.all]
  const damaged: DamagedRow[] = []
  const whole: Checked['whole'][number][] = []
  let chunks = 0
  let byteLength = 0
  let passed = 0
  report(0, portions.byteLength)
  // Every bulk worker takes the next portion as soon as it is done with one.
  await Promise.all(
    bulk.lanes.map(async (lane) => {
      for (let portion = waiting.shift(); portion !== undefined; portion = waiting.shift()) {
        signal?.throwIfAborted()
        const checked = await lane.call('check', portion)
        damaged.push(...checked.damaged)
        whole.push(...checked.whole)
        chunks += checked.chunks
        byteLength += checked.byteLength
        passed += portion.byteLength
        report(passed, portions.byteLength)
      }
    }),
  )
  await mark(writer, damaged, whole)
  return { chunks, byteLength, damaged, whole }
}

async function mark(
  writer: CheckHost['writer'],
  damaged: readonly DamagedRow[],
  whole: Checked['whole'],
): Promise<void> {
  const digests = damaged.flatMap((row) => (row.in === 'chunk' ? [row.digest] : []))
  const inline = damaged.flatMap((row) => (row.in === 'inline' ? [row.id] : []))
  try {
    if (damaged.length > 0) await writer.call('damaged', { digests, inline })
    if (whole.length > 0) await writer.call('whole', { rows: whole })
  } catch (error) {
    // What was found is told even where nothing can be written any more.
    if (!(error instanceof Refusal)) throw error
  }
}

/** Where damaged rows stand in values, in the values' order; of these values alone, where they are given. */
export async function placesOf(
  { bulk }: CheckHost,
  damaged: readonly (Omit<DamagedRow, 'problem'> & { readonly problem?: string })[],
  valueIds?: readonly ValueId[],
): Promise<readonly DamagedContent[]> {
  const chunks = new Map(damaged.filter((row) => row.in === 'chunk').map((row) => [row.id, row]))
  const places: DamagedContent[] = damaged
    .filter((row) => row.in === 'inline')
    .map(({ id, digest, problem }) => ({ valueId: id, ordinal: 0, digest: hexOf(digest), problem }))
  const wanted = valueIds === undefined ? undefined : new Set(valueIds)
  let after: number | undefined = chunks.size === 0 ? undefined : 0
  while (after !== undefined) {
    const ids = [...chunks.keys()]
    const step: Traced = await bulk.next().call('trace', { kind: 'chunks', ids, after })
    for (const { valueId, ordinal, chunkId } of step.rows as readonly TracedChunk[]) {
      const row = chunks.get(chunkId)
      if (row === undefined || wanted?.has(valueId) === false) continue
      places.push({ valueId, ordinal, digest: hexOf(row.digest), problem: row.problem })
    }
    after = step.next
  }
  return places.sort((a, b) => a.valueId - b.valueId || a.ordinal - b.ordinal)
}

/** Variables that values are now; asked of one bulk worker. */
export async function variablesOf(
  { bulk }: Pick<CheckHost, 'bulk'>,
  ids: readonly ValueId[],
): Promise<readonly TracedVariable[]> {
  const { rows } = await bulk.next().call('trace', { kind: 'variables', ids })
  return rows as readonly TracedVariable[]
}

/** Tensors of checkpoints that values are, newest first; `most` of them at most. */
export async function entriesOf(
  { bulk }: Pick<CheckHost, 'bulk'>,
  ids: readonly ValueId[],
  most: number,
): Promise<readonly TracedEntry[]> {
  const found: TracedEntry[] = []
  let after: number | undefined = Number.MAX_SAFE_INTEGER
  while (after !== undefined && found.length < most) {
    const step: Traced = await bulk.next().call('trace', { kind: 'entries', ids, after })
    found.push(...(step.rows as readonly TracedEntry[]))
    after = step.next
  }
  return found.slice(0, most)
}

/** A read of the catalogue whose failures are refusals. */
export function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw refusalOfFailure(error, 'reading the catalogue')
  }
}
