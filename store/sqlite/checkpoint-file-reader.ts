// Reading a checkpoint in a single SQLite file that anybody may have made: nothing of it is believed before it
// was looked at, and nothing of it is run.
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import Database from 'better-sqlite3'
import {
  byteLengthOf,
  type DType,
  dtypes,
  kindOf,
  Refusal,
  type Shape,
} from '../../tensor/index.ts'
import type { Json, PartSlice } from '../port.ts'
import type { FileTensor, SingleFileHead } from '../single-files.ts'
import { fileApplicationId, fileTables, fileVersion } from './checkpoint-file.ts'
import { Connection } from './connection.ts'
import { isDamage } from './errors.ts'
import { chunkByteLength } from './limits.ts'

/** What a reader lets pass. */
export interface FileLimits {
  readonly tensors: number
  /** Bytes of all tensors together. */
  readonly byteLength: number
}

interface TensorRow {
  readonly tensor_id: number
  readonly name: string
  readonly dtype: string
  readonly shape: string
  readonly byte_length: number
  readonly sha256: Uint8Array
  readonly slice: string | null
}

const longestName = 262_144
const longestText = 65_536
const longestMetadata = 4 * 1024 * 1024

/**
 * A file that came from anywhere, opened. Refuses (INVALID_ARGUMENT `checkpoint/foreign-file`) whatever has
 * not exactly these tables, and (DATA_LOSS `checkpoint/damaged-file`) what does not fit together. Nothing of
 * the file is run: it has no views, triggers or expressions, or it is refused.
 */
export class CheckpointFileReader {
  readonly head: SingleFileHead
  readonly tensors: readonly FileTensor[]
  readonly #connection: Connection
  readonly #ids: readonly number[]

  constructor(path: string, limits: FileLimits) {
    checkHeader(path)
    this.#connection = new Connection(path, { readonly: true })
    try {
      // Read from the disk, not mapped: a file that shrinks must not end the process.
      this.#connection.pragma('mmap_size = 0')
      this.#connection.pragma('query_only = ON')
      this.#connection.pragma('cache_size = -1024')
      this.#checkSchema()
      const answer = this.#connection.pragma('quick_check(1)')
      if (answer !== 'ok') throw damagedFile(String(answer).replaceAll(/\s+/g, ' '))
      this.head = this.#head()
      const rows = this.#tensorRows(limits)
      this.#ids = rows.map((row) => row.tensor_id)
      this.tensors = rows.map((row, index) => this.#tensorOf(row, index))
    } catch (error) {
      this.#connection.close()
      throw refusalOfFile(error)
    }
  }

  /** The bytes of a tensor's chunk, checked against their SHA-256. */
  chunk(index: number, ordinal: number): Uint8Array {
    try {
      const wanted = this.tensors[index]
      const row = this.#connection.get<{ sha256: Uint8Array; bytes: Uint8Array }>(
        `SELECT sha256, bytes FROM tensor_chunk JOIN chunk USING (chunk_id)
         WHERE tensor_id = ? AND ordinal = ?`,
        this.#ids[index],
        ordinal,
      )
      const digest = row && createHash('sha256').update(row.bytes).digest()
      if (row !== undefined && digest?.equals(row.sha256)) return row.bytes
      throw damagedFile(`chunk ${ordinal} of the tensor ${wanted.name} has another SHA-256`)
    } catch (error) {
      throw refusalOfFile(error)
    }
  }

  close(): void {
    this.#connection.close()
  }

  /** Exactly the tables that a writer makes, down to the text. */
  #checkSchema(): void {
    const schema = 'SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid LIMIT 20'
    const model = new Database(':memory:')
    for (const sql of fileTables) model.exec(sql)
    const wanted = JSON.stringify(model.prepare(schema).all())
    model.close()
    const long = this.#connection.get<{ count: number }>(
      `SELECT count(*) AS count FROM sqlite_schema WHERE octet_length(sql) > ${longestText}`,
    )
    const isAlike = long?.count === 0 && JSON.stringify(this.#connection.all(schema)) === wanted
    if (!isAlike) throw foreignFile('it has other tables than a checkpoint')
  }

  #head(): SingleFileHead {
    const long = this.#connection.get<{ count: number }>(
      `SELECT count(*) AS count FROM checkpoint
       WHERE octet_length(id) > ${longestText} OR octet_length(metadata) > ${longestMetadata}`,
    )
    const row =
      long?.count === 0
        ? this.#connection.get<{
            id: string
            step: number | null
            metadata: string
            created_at: number
          }>('SELECT id, step, metadata, created_at FROM checkpoint')
        : undefined
    if (row === undefined) throw damagedFile('it does not say what it is a checkpoint of')
    if (row.step !== null && !isCount(row.step)) throw damagedFile(`its step is ${row.step}`)
    const metadata = jsonOf(row.metadata, 'its metadata')
    if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
      throw damagedFile('its metadata is no object')
    }
    const { id, created_at: createdAt } = row
    return {
      id,
      step: row.step ?? undefined,
      metadata: metadata as SingleFileHead['metadata'],
      createdAt,
    }
  }

  #tensorRows(limits: FileLimits): readonly TensorRow[] {
    const sums = this.#connection.get<{ count: number; bytes: number | null; long: number | null }>(
      `SELECT count(*) AS count, total(byte_length) AS bytes,
         sum(octet_length(name) > ${longestName} OR octet_length(dtype) > 20
           OR octet_length(shape) > ${longestText} OR octet_length(sha256) <> 32
           OR octet_length(slice) > ${longestName + longestText} OR byte_length < 0) AS long
       FROM tensor`,
    )
    const count = sums?.count ?? 0
    if (count > limits.tensors) {
      throw tooLarge(`${count} tensors; a checkpoint has at most ${limits.tensors}`)
    }
    if ((sums?.bytes ?? 0) > limits.byteLength) {
      throw tooLarge(`${sums?.bytes} bytes of tensors; at most ${limits.byteLength} are taken`)
    }
    if ((sums?.long ?? 0) > 0) throw damagedFile('a tensor has a column that cannot be so long')
    return this.#connection.all<TensorRow>('SELECT * FROM tensor ORDER BY name')
  }

  #tensorOf(row: TensorRow, index: number): FileTensor {
    const { name, byte_length: byteLength } = row
    const dtype = dtypes.find((one) => one === row.dtype)
    if (dtype === undefined || kindOf(dtype) === 'opaque')
      throw damagedFile(`the tensor ${name} has the dtype ${row.dtype}`)
    const shape = shapeOf(jsonOf(row.shape, `the shape of ${name}`), name)
    checkByteLength(name, dtype, shape, byteLength)
    const chunkCount = Math.ceil(byteLength / chunkByteLength)
    const digest = this.#digestOf(row, chunkCount)
    const slice = row.slice === null ? undefined : sliceOf(jsonOf(row.slice, name), name)
    return { index, name, dtype, shape, byteLength, digest, chunkCount, slice }
  }

  /** Every chunk is there and as long as it has to be, and their SHA-256 make up the tensor's. */
  #digestOf(
    { tensor_id: id, name, byte_length: byteLength, sha256 }: TensorRow,
    count: number,
  ): string {
    const rows = this.#connection.all<{ ordinal: number; sha256: Uint8Array; length: number }>(
      `SELECT ordinal, CASE WHEN octet_length(sha256) = 32 THEN sha256 END AS sha256,
         octet_length(bytes) AS length
       FROM tensor_chunk JOIN chunk USING (chunk_id) WHERE tensor_id = ? ORDER BY ordinal LIMIT ?`,
      id,
      count + 1,
    )
    const isWhole =
      rows.length === count &&
      rows.every(
        (row, place) =>
          row.ordinal === place &&
          row.sha256 !== null &&
          row.length === Math.min(chunkByteLength, byteLength - place * chunkByteLength),
      )
    if (!isWhole) throw damagedFile(`the chunks of the tensor ${name} do not make up its bytes`)
    const hash = createHash('sha256')
    for (const row of rows) hash.update(row.sha256)
    const digest = count === 1 ? Buffer.from(rows[0].sha256) : hash.digest()
    if (digest.equals(sha256)) return digest.toString('hex')
    throw damagedFile(`the tensor ${name} has another SHA-256 than its chunks`)
  }
}

/** What the file says in its first hundred bytes. Source: sqlite.org/fileformat2.html, section 1.3. */
function checkHeader(path: string): void {
  const header = Buffer.alloc(100)
  const file = openSync(path, 'r')
  let byteLength: number
  try {
    readSync(file, header, 0, 100, 0)
    byteLength = fstatSync(file).size
  } finally {
    closeSync(file)
  }
  if (header.toString('latin1', 0, 16) !== 'SQLite format 3\0') {
    throw foreignFile('it is no SQLite database')
  }
  const applicationId = header.readUInt32BE(68)
  if (applicationId !== fileApplicationId) {
    throw foreignFile(`its application id is ${applicationId}, not ${fileApplicationId}`)
  }
  const version = header.readUInt32BE(60)
  if (version !== fileVersion) {
    throw foreignFile(`its version is ${version}; this release reads version ${fileVersion}`)
  }
  // In the write-ahead mode SQLite would look for other files beside it.
  if (header[18] !== 1 || header[19] !== 1) throw foreignFile('it is in write-ahead mode')
  const stored = header.readUInt16BE(16)
  const pageByteLength = stored === 1 ? 65_536 : stored
  const pages = header.readUInt32BE(28)
  if (pages * pageByteLength !== byteLength) {
    throw damagedFile(`it has ${byteLength} bytes; its header speaks of ${pages * pageByteLength}`)
  }
}

function checkByteLength(name: string, dtype: DType, shape: Shape, byteLength: number): void {
  const isFixed = dtype !== 'string'
  // A count that no number can hold is refused here, and not where it is first needed.
  const elements = shape.reduce((product, size) => product * size, 1)
  const wanted = isFixed ? elements * byteLengthOf(dtype) : byteLength
  if (Number.isSafeInteger(elements) && wanted === byteLength) return
  throw damagedFile(
    `the tensor ${name} has ${byteLength} bytes; ${dtype} of shape [${shape.join(', ')}] has ${wanted}`,
  )
}

function jsonOf(text: string, what: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    throw damagedFile(`${what} is not JSON`)
  }
}

function shapeOf(value: Json | undefined, name: string): Shape {
  if (Array.isArray(value) && value.length <= 254 && value.every(isCount)) return value
  throw damagedFile(`the tensor ${name} has a shape that cannot be`)
}

function sliceOf(value: Json, name: string): PartSlice {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Record<string, Json>
  const { fullName, fullShape, offset } = given
  if (typeof fullName !== 'string' || !fullName.isWellFormed()) {
    throw damagedFile(`the part ${name} does not say of what it is one`)
  }
  return { fullName, fullShape: shapeOf(fullShape, name), offset: shapeOf(offset, name) }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function refusalOfFile(error: unknown): unknown {
  if (error instanceof Refusal) return error
  const code = (error as { readonly code?: unknown } | null)?.code
  const isOfFile =
    isDamage(error) || /^SQLITE_(CANTOPEN|ERROR|TOOBIG|READONLY|IOERR)/.test(String(code))
  return isOfFile ? damagedFile('SQLite cannot read it', error) : error
}

/** INVALID_ARGUMENT `checkpoint/foreign-file`. */
function foreignFile(problem: string): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'checkpoint/foreign-file',
    `The SQLite file is no checkpoint of Holdfast: ${problem}.`,
    { fix: 'Send a file that GET /v1/checkpoints/{id}:download?format=sqlite gave.' },
  )
}

/** DATA_LOSS `checkpoint/damaged-file`. */
function damagedFile(problem: string, cause?: unknown): Refusal {
  return new Refusal(
    'DATA_LOSS',
    'checkpoint/damaged-file',
    `The SQLite file is damaged: ${problem}.`,
    {
      cause,
    },
  )
}

function tooLarge(problem: string): Refusal {
  return new Refusal('RESOURCE_EXHAUSTED', 'file/too-large', `The SQLite file holds ${problem}.`, {
    fix: 'See GET /v1/limits.',
  })
}
