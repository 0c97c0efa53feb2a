// Checkpoints as single SQLite files: taking them in, and giving them out. The store writes and reads them;
// here is what becomes of the files: they lie in the spool, and one that was just made stays a while, so
// that who was cut off can go on without it being made again.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { CheckpointRecord, FileTensor, OpenedFile } from '../store/index.ts'
import { elementCountOf, Refusal } from '../tensor/index.ts'
import type { CheckpointFile, SqliteForm } from './checkpoint-files.ts'
import { everyEntry } from './checkpoints.ts'
import type { Context } from './context.ts'
import type { SpoolFolder } from './spool.ts'

/** How long a file stays after it was asked for last. */
const keptMs = 60_000
/** Files that stay at most, beside those being sent. */
const mostKept = 4
const pieceByteLength = 1024 * 1024

interface MadeFile {
  readonly folder: SpoolFolder
  readonly made: Promise<{ readonly path: string; readonly byteLength: number }>
  users: number
  timer: NodeJS.Timeout | undefined
}

/** The SQLite form of a store's checkpoints; `end` deletes what is kept of it. */
export interface CheckpointSqlite extends SqliteForm {
  end(): Promise<void>
}

/** Single-file checkpoints of a service. */
export function createCheckpointSqlite(context: Context): CheckpointSqlite {
  const files = new Map<string, MadeFile>()

  async function forget(tag: string): Promise<void> {
    const file = files.get(tag)
    files.delete(tag)
    clearTimeout(file?.timer)
    await file?.folder.discard()
  }

  function keepAWhile(tag: string, file: MadeFile): void {
    clearTimeout(file.timer)
    if (file.users > 0 || files.get(tag) !== file) return
    file.timer = setTimeout(() => void forget(tag), keptMs)
    file.timer.unref()
    const idle = [...files].filter(([, one]) => one.users === 0)
    for (const [oldest] of idle.slice(0, -mostKept)) void forget(oldest)
  }

  function fileOf(tag: string, checkpoint: CheckpointRecord): MadeFile {
    const known = files.get(tag)
    if (known !== undefined) {
      // The newest last.
      files.delete(tag)
      files.set(tag, known)
      return known
    }
    const folder = context.spool.folder(Number.MAX_SAFE_INTEGER)
    const file: MadeFile = { folder, made: make(folder, checkpoint), users: 0, timer: undefined }
    files.set(tag, file)
    file.made.catch(() => void forget(tag))
    return file
  }

  async function make(folder: SpoolFolder, { id }: CheckpointRecord) {
    const path = folder.newPath()
    await context.store.singleFiles.write(id, path)
    return { path, byteLength: (await stat(path)).size }
  }

  async function write(checkpoint: CheckpointRecord): Promise<CheckpointFile> {
    const tag = await tagOf(context, checkpoint)
    const file = fileOf(tag, checkpoint)
    file.users += 1
    try {
      const { path, byteLength } = await file.made
      return {
        tag,
        byteLength,
        async *chunks({ offset, length } = { offset: 0, length: byteLength }) {
          file.users += 1
          try {
            if (length > 0) yield* stretchOf(path, offset, length)
          } finally {
            file.users -= 1
            keepAWhile(tag, file)
          }
        },
      }
    } finally {
      file.users -= 1
      keepAWhile(tag, file)
    }
  }

  return {
    write,
    async read(file, folder) {
      const { checkpointTensors: tensors, unpackedBytes: byteLength } = context.limits
      const opened = await context.store.singleFiles.open(file.path, { tensors, byteLength })
      folder.beforeDiscard(() => opened.close())
      const { step, metadata } = opened.head
      return { step, metadata, tensors: opened.tensors.map((tensor) => streamOf(opened, tensor)) }
    },
    async end() {
      await Promise.all([...files.keys()].map(forget))
    },
  }
}

/** Metadata may change after a checkpoint was made; everything else of it stays. */
async function tagOf(
  context: Context,
  { id, step, metadata, createdAt }: CheckpointRecord,
): Promise<string> {
  const hash = createHash('sha256')
  hash.update(JSON.stringify(['sqlite', id, step ?? null, metadata, createdAt]))
  for await (const { name, value, slice } of everyEntry(context, id)) {
    const { dtype, shape, digest } = value
    hash.update(JSON.stringify([name, dtype, shape, digest, slice ?? null]))
  }
  return hash.digest('hex')
}

function stretchOf(path: string, offset: number, length: number): AsyncIterable<Uint8Array> {
  const end = offset + length - 1
  return createReadStream(path, { start: offset, end, highWaterMark: pieceByteLength })
}

function streamOf(opened: OpenedFile, tensor: FileTensor) {
  const { name, dtype, shape, byteLength, slice } = tensor
  const chunks = () => opened.chunks(tensor)
  return {
    name,
    dtype,
    shape,
    byteLength,
    slice,
    chunks: dtype === 'string' ? () => checkedStrings(tensor, chunks()) : chunks,
  }
}

/** The chunks of a string tensor; refuses (DATA_LOSS) lengths that do not add up to its bytes. */
async function* checkedStrings(
  { name, shape, byteLength }: FileTensor,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const headByteLength = 4 * elementCountOf(shape)
  let sum = headByteLength
  let seen = 0
  for await (const chunk of chunks) {
    // Chunks are whole numbers of lengths long, but for the last.
    const end = Math.min(chunk.byteLength, headByteLength - seen)
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    for (let place = 0; place + 4 <= end; place += 4) sum += view.getUint32(place, true)
    seen += chunk.byteLength
    yield chunk
  }
  if (sum === byteLength && seen >= headByteLength) return
  throw new Refusal(
    'DATA_LOSS',
    'checkpoint/damaged-file',
    `The strings of the tensor ${name} do not add up to its ${byteLength} bytes.`,
  )
}
