// A thread that writes or reads single-file checkpoints, one at a time: what a stranger's file may do to
// SQLite stays out of the threads that the store lives on.
import { parentPort } from 'node:worker_threads'
import { Refusal } from '../../tensor/index.ts'
import type { FileTensor, SingleFileHead } from '../single-files.ts'
import { WorkerServer } from './calls.ts'
import { CheckpointFileWriter } from './checkpoint-file.ts'
import { CheckpointFileReader, type FileLimits } from './checkpoint-file-reader.ts'
import { ChunkReader } from './chunk-reader.ts'
import { Connection } from './connection.ts'
import { refusalOfFailure } from './errors.ts'
import {
  type CheckpointRow,
  checkpointColumns,
  checkpointNumberOf,
  checkpointOf,
  sliceOf,
  type ValueRow,
  valueColumns,
  valueRecordOf,
} from './records.ts'

/** What the thread can be asked. */
export interface FileCalls {
  write: {
    request: {
      readonly catalogue: string
      readonly directory: string
      readonly checkpoint: string
      readonly path: string
    }
    reply: null
  }
  open: {
    request: { readonly path: string; readonly limits: FileLimits }
    reply: { readonly head: SingleFileHead; readonly tensors: readonly FileTensor[] }
  }
  chunk: {
    request: { readonly tensor: number; readonly ordinal: number }
    reply: ArrayBuffer
  }
  close: { request: null; reply: null }
}

interface EntryRow extends ValueRow {
  readonly name: string
  readonly slice: string | null
}

interface ContentRow {
  readonly ordinal: number
  readonly digest: Uint8Array
}

class CheckpointExport {
  readonly #connection: Connection
  readonly #chunks: ChunkReader
  readonly #number: number
  readonly #path: string

  constructor({ catalogue, directory, checkpoint, path }: FileCalls['write']['request']) {
    this.#connection = new Connection(catalogue, { readonly: true })
    this.#chunks = new ChunkReader(directory, 8)
    this.#number = checkpointNumberOf(checkpoint) ?? 0
    this.#path = path
  }

  write(): void {
    const row = this.#connection.get<CheckpointRow>(
      `SELECT ${checkpointColumns} FROM checkpoint WHERE checkpoint_id = ?`,
      this.#number,
    )
    if (row === undefined) throw goneCheckpoint(this.#number)
    const record = checkpointOf(row)
    const writer = new CheckpointFileWriter(this.#path, record.byteLength)
    try {
      writer.head(record)
      const count = this.#entries(writer)
      if (count !== record.tensorCount) throw goneCheckpoint(this.#number)
      writer.finish()
    } catch (error) {
      writer.abandon()
      throw error
    }
  }

  close(): void {
    this.#chunks.close()
    this.#connection.close()
  }

  #entries(writer: CheckpointFileWriter): number {
    const rows = this.#connection.all<EntryRow>(
      `SELECT name, slice, ${valueColumns} FROM checkpoint_entry JOIN value USING (value_id)
       WHERE checkpoint_id = ? ORDER BY name`,
      this.#number,
    )
    for (const row of rows) this.#entry(writer, row)
    return rows.length
  }

  #entry(writer: CheckpointFileWriter, row: EntryRow): void {
    const value = valueRecordOf(row)
    if (value === undefined) throw new Error('an inner join found a value')
    const { dtype, shape, byteLength, valueId } = value
    const digest = new Uint8Array(Buffer.from(value.digest, 'hex'))
    const tensor = writer.tensor({
      name: row.name,
      dtype,
      shape,
      byteLength,
      digest,
      slice: sliceOf(row.slice),
    })
    const contents = this.#connection.all<ContentRow>(
      `SELECT ordinal, digest FROM value_chunk JOIN chunk USING (chunk_id)
       WHERE value_id = ? ORDER BY ordinal`,
      valueId,
    )
    for (const { ordinal, digest: chunk } of contents) {
      writer.chunk(tensor, ordinal, chunk, () => this.#chunks.read(valueId, ordinal))
    }
    if (contents.length > 0 || byteLength === 0) return
    writer.chunk(tensor, 0, digest, () => this.#chunks.readInline(valueId))
  }
}

function goneCheckpoint(number: number): Refusal {
  return new Refusal('NOT_FOUND', 'checkpoint/unknown', `There is no checkpoint "${number}".`, {
    names: { checkpoint: String(number) },
  })
}

class FileWorker {
  readonly #server: WorkerServer<FileCalls>
  #opened: CheckpointFileReader | undefined

  constructor(server: WorkerServer<FileCalls>) {
    this.#server = server
  }

  receive<Kind extends keyof FileCalls>(
    kind: Kind,
    request: FileCalls[Kind]['request'],
    call: number,
  ): void {
    const message = { kind, request } as {
      [Each in keyof FileCalls]: { kind: Each; request: FileCalls[Each]['request'] }
    }[keyof FileCalls]
    try {
      if (message.kind === 'chunk') {
        const bytes = this.#chunk(message.request)
        this.#server.reply(call, bytes, [bytes])
      } else this.#server.reply(call, this.#answer(message))
    } catch (error) {
      this.#server.fail(call, refusalOfFailure(error, 'a checkpoint in a file'))
    }
  }

  #answer(
    message: {
      [Each in keyof FileCalls]: { kind: Each; request: FileCalls[Each]['request'] }
    }[Exclude<keyof FileCalls, 'chunk'>],
  ): unknown {
    switch (message.kind) {
      case 'write': {
        const made = new CheckpointExport(message.request)
        try {
          made.write()
          return null
        } finally {
          made.close()
        }
      }
      case 'open': {
        const { path, limits } = message.request
        this.#opened = new CheckpointFileReader(path, limits)
        const { head, tensors } = this.#opened
        return { head, tensors }
      }
      case 'close':
        this.#opened?.close()
        this.#opened = undefined
        return null
      default:
        return message satisfies never
    }
  }

  #chunk({ tensor, ordinal }: FileCalls['chunk']['request']): ArrayBuffer {
    if (this.#opened === undefined) throw new Error('a file is opened before it is read')
    const bytes = this.#opened.chunk(tensor, ordinal)
    const isWhole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength
    return (isWhole ? bytes.buffer : new Uint8Array(bytes).buffer) as ArrayBuffer
  }
}

if (parentPort === null) throw new Error('file-worker.ts runs as a worker')
const server = new WorkerServer<FileCalls>(parentPort)
const worker = new FileWorker(server)
server.listen((kind, request, call) => worker.receive(kind, request, call))
