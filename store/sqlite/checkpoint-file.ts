// A checkpoint in a single SQLite file: its tables, and writing one. Reading one is checkpoint-file-reader.ts's.
//
//   checkpoint    one row: the id it had, its step, its metadata as JSON, when it was made (ms since the epoch)
//   tensor        name, dtype (NumPy's name), shape (JSON), bytes, SHA-256, and which part of what it is (JSON)
//   chunk         content by SHA-256: 1 MiB each, a tensor's last one less
//   tensor_chunk  the chunks of a tensor, from 0
//
// Bytes are row-major and little-endian, strings in the form of `packStrings`. A tensor's SHA-256 is that of
// its bytes where one chunk holds them, else that of its chunks' SHA-256 one after another. Equal checkpoints
// give equal files.
import type { FileTensor, SingleFileHead } from '../single-files.ts'
import { Connection } from './connection.ts'

/** `HOLC`, in the header of every such file. */
export const fileApplicationId = 0x484f4c43
/** Of the form of the file. */
export const fileVersion = 1

/** Its tables, down to the text. */
export const fileTables: readonly string[] = [
  `CREATE TABLE checkpoint (
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  id TEXT NOT NULL,
  step INTEGER,
  metadata TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT`,
  `CREATE TABLE tensor (
  tensor_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  dtype TEXT NOT NULL,
  shape TEXT NOT NULL,
  byte_length INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  slice TEXT
) STRICT`,
  `CREATE TABLE chunk (
  chunk_id INTEGER PRIMARY KEY,
  sha256 BLOB NOT NULL UNIQUE,
  bytes BLOB NOT NULL
) STRICT`,
  `CREATE TABLE tensor_chunk (
  tensor_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  chunk_id INTEGER NOT NULL,
  PRIMARY KEY (tensor_id, ordinal)
) STRICT, WITHOUT ROWID`,
]

/** Content above this goes into large pages. */
const smallPagesByteLength = 16 * 1024 * 1024

/** What is written of one tensor. */
export interface WrittenTensor extends Omit<FileTensor, 'index' | 'chunkCount' | 'digest'> {
  readonly digest: Uint8Array
}

/** A file being written; nobody reads it before `finish`. */
export class CheckpointFileWriter {
  readonly #connection: Connection
  #lastTensor = 0

  constructor(path: string, contentByteLength: number) {
    this.#connection = new Connection(path, { readonly: false })
    const pageByteLength = contentByteLength <= smallPagesByteLength ? 4096 : 65536
    this.#connection.pragma(`page_size = ${pageByteLength}`)
    // A file that is not finished is thrown away, and one that is lives until it is sent.
    this.#connection.pragma('journal_mode = MEMORY')
    this.#connection.pragma('synchronous = OFF')
    this.#connection.pragma('cache_size = -1024')
    this.#connection.exec('BEGIN EXCLUSIVE')
    this.#connection.pragma(`application_id = ${fileApplicationId}`)
    this.#connection.pragma(`user_version = ${fileVersion}`)
    for (const sql of fileTables) this.#connection.exec(sql)
  }

  head({ id, step, metadata, createdAt }: SingleFileHead): void {
    this.#connection.run(
      'INSERT INTO checkpoint VALUES (1, ?, ?, ?, ?)',
      id,
      step ?? null,
      JSON.stringify(metadata),
      createdAt,
    )
  }

  /** Adds a tensor; its chunks follow. Returns its number. */
  tensor({ name, dtype, shape, byteLength, digest, slice }: WrittenTensor): number {
    this.#lastTensor += 1
    this.#connection.run(
      'INSERT INTO tensor VALUES (?, ?, ?, ?, ?, ?, ?)',
      this.#lastTensor,
      name,
      dtype,
      JSON.stringify(shape),
      byteLength,
      digest,
      slice === undefined ? null : JSON.stringify(slice),
    )
    return this.#lastTensor
  }

  /** Adds the next chunk of a tensor. `read` gives its bytes where no tensor before has them. */
  chunk(tensor: number, ordinal: number, digest: Uint8Array, read: () => Uint8Array): void {
    const known = this.#connection.get<{ chunk_id: number }>(
      'SELECT chunk_id FROM chunk WHERE sha256 = ?',
      digest,
    )
    const chunkId =
      known?.chunk_id ??
      this.#connection.run('INSERT INTO chunk (sha256, bytes) VALUES (?, ?)', digest, read()).rowId
    this.#connection.run('INSERT INTO tensor_chunk VALUES (?, ?, ?)', tensor, ordinal, chunkId)
  }

  finish(): void {
    this.#connection.exec('COMMIT')
    this.#connection.close()
  }

  abandon(): void {
    this.#connection.close()
  }
}
