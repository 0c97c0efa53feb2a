// Checking content against its SHA-256, and finding who names it. Runs in bulk workers, in bounded steps
// on a read-only connection; what is done about damage is decided elsewhere.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { freeMemory } from '../../tensor/index.ts'
import type { ValueId } from '../port.ts'
import type { ChunkReader } from './chunk-reader.ts'
import { Connection } from './connection.ts'
import { refusalOfFailure } from './errors.ts'
import type {
  BulkCalls,
  Checked,
  DamagedRow,
  TracedChunk,
  TracedEntry,
  TracedVariable,
} from './messages.ts'
import { damagedRowsOf } from './scrub-rows.ts'

interface InlineRow {
  readonly value_id: number
  readonly digest: Uint8Array
  readonly byte_length: number
  readonly bytes: Uint8Array
}

const inlineRow = `SELECT value_id, digest, byte_length, bytes
  FROM inline_content JOIN value USING (value_id)`

/** Ids of values, and entries of checkpoints, that one step of tracing goes over. */
const traceStepCount = 20_000

/** Rows known to be damaged that one check minds. */
const mostDamaged = 10_000

function keyOfRow(row: Checked['whole'][number]): string {
  return `${row.in}${row.id}`
}

/** A tally that is still being made. */
class Tally implements Checked {
  chunks = 0
  byteLength = 0
  readonly damaged: DamagedRow[] = []
  readonly whole: Checked['whole'][number][] = []
  readonly #known: ReadonlySet<string>

  /** `known`: rows that were damaged when they were last looked at. */
  constructor(known: readonly Checked['whole'][number][]) {
    this.#known = new Set(known.map(keyOfRow))
  }

  /** `problem`: undefined where the content is whole. */
  add(byteLength: number, row: Omit<DamagedRow, 'problem'>, problem: string | undefined): void {
    this.chunks += 1
    this.byteLength += byteLength
    if (problem !== undefined) this.damaged.push({ ...row, problem })
    else if (this.#known.has(keyOfRow(row))) this.whole.push({ id: row.id, in: row.in })
  }
}

/** Checks content of one data directory; lives until `close`. */
export class ContentChecker {
  readonly #directory: string
  readonly #reader: ChunkReader
  #catalogue: Connection | undefined

  constructor(directory: string, reader: ChunkReader) {
    this.#directory = directory
    this.#reader = reader
  }

  /** Checks these rows. Those that are gone are not counted. */
  check({ chunks, inline }: BulkCalls['check']['request']): Checked {
    const tally = new Tally(damagedRowsOf(this.#opened(), mostDamaged))
    for (const chunkId of chunks) this.#checkChunk(chunkId, tally)
    for (const row of this.#inlineRows(inline)) checkInline(row, tally)
    return tally
  }

  /** Bytes of all content. */
  extent(): number {
    const row = this.#get<{ bytes: number }>(
      `SELECT (SELECT coalesce(sum(byte_length), 0) FROM chunk)
         + (SELECT coalesce(sum(byte_length), 0) FROM value
            WHERE value_id IN (SELECT value_id FROM inline_content)) AS bytes`,
    )
    return row?.bytes ?? 0
  }

  /** One step of finding who names content. */
  trace(request: BulkCalls['trace']['request']): BulkCalls['trace']['reply'] {
    switch (request.kind) {
      case 'chunks':
        return this.#traceChunks(request.ids, request.after)
      case 'variables':
        return { rows: this.#variablesOf(request.ids), next: undefined }
      case 'entries':
        return this.#traceEntries(request.ids, request.after)
      default:
        return request satisfies never
    }
  }

  close(): void {
    this.#catalogue?.close()
    this.#catalogue = undefined
  }

  #checkChunk(chunkId: number, tally: Tally): void {
    const found = this.#reader.readById(chunkId)
    if (found === undefined) return
    const { chunk, bytes } = found
    const isWhole = found.problem === undefined && Buffer.from(chunk.digest).equals(sha256(bytes))
    const problem = isWhole ? undefined : (found.problem ?? 'its SHA-256 differs')
    const damaged = { id: chunkId, in: 'chunk', digest: chunk.digest } as const
    tally.add(chunk.byteLength, damaged, problem)
    freeMemory(bytes)
  }

  #inlineRows(ids: readonly ValueId[]): InlineRow[] {
    if (ids.length === 0) return []
    return this.#all<InlineRow>(
      `${inlineRow} WHERE value_id IN (SELECT value FROM json_each(?))`,
      JSON.stringify(ids),
    )
  }

  #traceChunks(
    ids: readonly number[],
    after: number,
  ): { readonly rows: TracedChunk[]; readonly next: number | undefined } {
    const last = this.#get<{ last: number | null }>('SELECT max(value_id) AS last FROM value')
    const end = after + traceStepCount
    const rows = this.#all<TracedChunk>(
      `SELECT value_id AS valueId, ordinal, chunk_id AS chunkId FROM value_chunk
       WHERE value_id > ? AND value_id <= ? AND chunk_id IN (SELECT value FROM json_each(?))`,
      after,
      end,
      JSON.stringify(ids),
    )
    return { rows, next: end < (last?.last ?? 0) ? end : undefined }
  }

  #variablesOf(ids: readonly ValueId[]): TracedVariable[] {
    return this.#all<TracedVariable>(
      `SELECT container, name, value_id AS valueId FROM variable
       WHERE value_id IN (SELECT value FROM json_each(?)) ORDER BY container, name`,
      JSON.stringify(ids),
    )
  }

  /** Newest checkpoints first, as many of them as hold about {@link traceStepCount} entries. */
  #traceEntries(
    ids: readonly ValueId[],
    before: number,
  ): { readonly rows: TracedEntry[]; readonly next: number | undefined } {
    const checkpoints = this.#all<{ checkpoint_id: number; tensor_count: number }>(
      `SELECT checkpoint_id, tensor_count FROM checkpoint WHERE checkpoint_id < ?
       ORDER BY checkpoint_id DESC LIMIT ?`,
      before,
      traceStepCount / 10,
    )
    let entries = 0
    let first: number | undefined
    for (const { checkpoint_id: id, tensor_count: count } of checkpoints) {
      if (first !== undefined && entries + count > traceStepCount) break
      entries += count
      first = id
    }
    if (first === undefined) return { rows: [], next: undefined }
    const rows = this.#all<TracedEntry>(
      `SELECT CAST(checkpoint_id AS TEXT) AS checkpoint, name AS tensor, value_id AS valueId
       FROM checkpoint_entry WHERE checkpoint_id >= ? AND checkpoint_id < ?
       AND value_id IN (SELECT value FROM json_each(?))
       AND checkpoint_id IN (SELECT checkpoint_id FROM checkpoint)
       ORDER BY checkpoint_id DESC, name`,
      first,
      before,
      JSON.stringify(ids),
    )
    return { rows, next: first }
  }

  #get<Row>(sql: string, ...parameters: (number | string)[]): Row | undefined {
    return this.#all<Row>(sql, ...parameters)[0]
  }

  #all<Row>(sql: string, ...parameters: (number | string)[]): Row[] {
    try {
      return this.#opened().all<Row>(sql, ...parameters)
    } catch (error) {
      throw refusalOfFailure(error, 'reading the catalogue')
    }
  }

  #opened(): Connection {
    this.#catalogue ??= new Connection(join(this.#directory, 'catalog.db'), { readonly: true })
    return this.#catalogue
  }
}

function checkInline(row: InlineRow, tally: Tally): void {
  const isWhole =
    row.bytes.byteLength === row.byte_length && Buffer.from(row.digest).equals(sha256(row.bytes))
  const damaged = { id: row.value_id, in: 'inline', digest: row.digest } as const
  tally.add(row.byte_length, damaged, isWhole ? undefined : 'its SHA-256 differs')
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
