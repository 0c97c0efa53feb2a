// Checkpoints as files: taking them in (checkpoint-import.ts says how) and giving them out, streamed and
// from any place on, the same bytes every time.
import { createHash } from 'node:crypto'
import {
  breaths,
  gathered,
  type OutputBytes,
  type OutputSlice,
  type OutputTensor,
  writeBundle,
  writeNpz,
  writeSafetensors,
  writeTar,
} from '../formats/index.ts'
import type { CheckpointEntry, CheckpointRecord } from '../store/index.ts'
import {
  importFile,
  noSqlite,
  type ReadSqlite,
  type Upload,
  type UploadRequest,
} from './checkpoint-import.ts'
import { everyEntry } from './checkpoints.ts'
import { createChecksumMemory } from './checksum-memory.ts'
import type { Context } from './context.ts'
import { checksumTools, zipTools } from './format-tools.ts'
import { type ReadableValue, streamOfReadable } from './readable.ts'
import { type StoredTensor, storedTensorReadable, storedTensors } from './stored-tensors.ts'
import { storedReadable } from './stored-values.ts'

/** Forms that a checkpoint can be given out in. */
export type DownloadFormat = 'safetensors' | 'tensorflow' | 'npz' | 'sqlite'

/** A checkpoint as a file. */
export interface CheckpointFile extends OutputBytes {
  /** Names the bytes of the file: where two are equal, so are the files. Without quotes. */
  readonly tag: string
}

export interface CheckpointFiles {
  /** Takes in a file. All of it becomes a checkpoint, or nothing. */
  upload(request: UploadRequest, upload: Upload): Promise<CheckpointRecord>
  download(checkpoint: CheckpointRecord, format: DownloadFormat): Promise<CheckpointFile>
}

/** A store's own form of a checkpoint in a single file. */
export interface SqliteForm {
  readonly read: ReadSqlite
  write(checkpoint: CheckpointRecord): Promise<CheckpointFile>
}

/** Checkpoint files of a store; `sqlite` where the store has a form of its own. */
export function createCheckpointFiles(context: Context, sqlite?: SqliteForm): CheckpointFiles {
  const known = createChecksumMemory()
  return {
    upload: (request, upload) => importFile(context, request, upload, sqlite?.read),
    async download(checkpoint, format) {
      if (format === 'sqlite') {
        if (sqlite === undefined) throw noSqlite()
        return sqlite.write(checkpoint)
      }
      const entries: CheckpointEntry[] = []
      const breathe = breaths()
      for await (const entry of everyEntry(context, checkpoint.id)) {
        await breathe()
        entries.push(entry)
      }
      const tensors = storedTensors(entries)
      const whole = (tensor: StoredTensor) =>
        outputOfReadable(tensor.name, storedTensorReadable(context, tensor))
      const metadata = metadataOf(checkpoint)
      const tag = tagOf(format, metadata, entries)
      switch (format) {
        case 'safetensors':
          return fileOf(writeSafetensors(tensors.map(whole), metadata), tag)
        case 'npz':
          return fileOf(writeNpz(tensors.map(whole), { ...zipTools, known }), tag)
        case 'tensorflow': {
          const prefix = `model.ckpt-${checkpoint.step ?? checkpoint.id}`
          const sliced = tensors.map((tensor) => ({
            ...whole(tensor),
            slices: slicesOf(context, tensor),
          }))
          const files = await writeBundle(prefix, sliced, { ...checksumTools, known })
          return fileOf(writeTar(files), tag)
        }
        default:
          throw new Error(`unknown format ${format satisfies never}`)
      }
    },
  }
}

function fileOf({ byteLength, chunks }: OutputBytes, tag: string): CheckpointFile {
  return { byteLength, tag, chunks: (range) => gathered(chunks(range)) }
}

function outputOfReadable(name: string, value: ReadableValue): OutputTensor {
  return {
    ...streamOfReadable(name, value),
    content: value.digest,
    readRange: (range) => value.read(range),
  }
}

/** The slices that TensorFlow's Saver would write of a partitioned variable. */
function slicesOf(
  { store: { values } }: Context,
  tensor: StoredTensor,
): readonly OutputSlice[] | undefined {
  if (tensor.form === 'plain') return undefined
  return tensor.parts.map(({ entry, slice: { starts, shape } }) => {
    const { content, chunks, readRange } = outputOfReadable(
      entry.name,
      storedReadable(values, entry.value),
    )
    return { starts, shape, chunks, content, readRange }
  })
}

function metadataOf({ id, step }: CheckpointRecord): ReadonlyMap<string, string> {
  const metadata = new Map([
    ['format', 'holdfast'],
    ['checkpoint', id],
  ])
  if (step !== undefined) metadata.set('step', String(step))
  return metadata
}

// To be raised when a writer gives other bytes than before for the same checkpoint.
const writerVersion = 1

function tagOf(
  format: DownloadFormat,
  metadata: ReadonlyMap<string, string>,
  entries: readonly CheckpointEntry[],
): string {
  const hash = createHash('sha256')
  hash.update(JSON.stringify([writerVersion, format, [...metadata]]))
  for (const { name, value, slice } of entries) {
    const { dtype, shape, digest } = value
    hash.update(JSON.stringify([name, dtype, shape, digest, slice ?? null]))
  }
  return hash.digest('base64url')
}
