// Checkpoints as files: taking in safetensors, npz and archives of TensorFlow's checkpoints, and giving
// a checkpoint out as one. Files are streamed; what arrives waits in the spool, never in memory.
import {
  findSavedModel,
  type OutputBytes,
  openArchive,
  openCheckpoint,
  openNpz,
  openSafetensors,
  tensorsOfNpz,
  writeBundle,
  writeNpz,
  writeSafetensors,
  writeTar,
} from '../formats/index.ts'
import type { CheckpointRecord, Json, StagedValue } from '../store/index.ts'
import { type ByteSource, type FileSet, Refusal, type TensorStream } from '../tensor/index.ts'
import { everyEntry, unknownCheckpoint } from './checkpoints.ts'
import type { Context } from './context.ts'
import { archiveTools, checksumTools, zipTools } from './format-tools.ts'
import { once } from './idempotency.ts'
import { checkContainerName, checkLabel } from './names.ts'
import { streamOfReadable } from './readable.ts'
import type { SpoolFolder } from './spool.ts'
import { storedReadable } from './stored-values.ts'

/** What an upload says of itself. */
interface UploadRequest {
  readonly container: string
  readonly step?: number | undefined
  readonly labels: readonly string[]
  /** Which bundle of an archive is meant, where there are several. */
  readonly prefix?: string | undefined
  readonly idempotencyKey?: string | undefined
}

/** What a file is said to be; `any`: its first bytes say. */
export type UploadForm = 'safetensors' | 'npz' | 'any'

/** Forms that a checkpoint can be given out in. */
export type DownloadFormat = 'safetensors' | 'tensorflow' | 'npz'

export interface CheckpointFiles {
  /** Takes in a file of the form. All of it becomes a checkpoint, or nothing. */
  upload(
    request: UploadRequest,
    form: UploadForm,
    body: AsyncIterable<Uint8Array>,
  ): Promise<CheckpointRecord>
  download(checkpoint: CheckpointRecord, format: DownloadFormat): Promise<OutputBytes>
}

/** Checkpoint files of a store. */
export function createCheckpointFiles(context: Context): CheckpointFiles {
  return {
    async upload(request, form, body) {
      checkContainerName(request.container, context.limits)
      for (const label of request.labels) checkLabel(label, context.limits)
      const folder = context.spool.folder(context.limits.uploadBytes)
      try {
        const file = await folder.keep(body)
        const tensors = await tensorsOf(context, file, form, folder, request.prefix)
        return await importTensors(context, request, tensors)
      } finally {
        await folder.discard()
      }
    },
    async download(checkpoint, format) {
      const tensors: TensorStream[] = []
      for await (const { name, value } of everyEntry(context, checkpoint.id)) {
        tensors.push(streamOfReadable(name, storedReadable(context.store.values, value)))
      }
      switch (format) {
        case 'safetensors':
          return writeSafetensors(tensors, metadataOf(checkpoint))
        case 'npz':
          return writeNpz(tensors, zipTools)
        case 'tensorflow': {
          const prefix = `model.ckpt-${checkpoint.step ?? checkpoint.id}`
          return writeTar(await writeBundle(prefix, tensors, checksumTools))
        }
        default:
          throw new Error(`unknown format ${format satisfies never}`)
      }
    },
  }
}

/** The tensors of an uploaded file: safetensors, npz, or an archive that holds a checkpoint. */
async function tensorsOf(
  context: Context,
  file: ByteSource,
  form: UploadForm,
  folder: SpoolFolder,
  prefix: string | undefined,
): Promise<readonly TensorStream[]> {
  if (file.byteLength === 0) {
    throw new Refusal('INVALID_ARGUMENT', 'checkpoint/unknown-kind', 'The uploaded file is empty.')
  }
  if (form === 'safetensors') return (await openSafetensors(file)).tensors
  const { archiveMembers, unpackedBytes } = context.limits
  const limits = { maxMembers: archiveMembers, maxUnpackedBytes: unpackedBytes }
  const tools = archiveTools(folder)
  if (form === 'npz') return (await openNpz(file, tools, limits)).tensors
  if (await looksLikeSafetensors(file)) return (await openSafetensors(file)).tensors
  const files = await openArchive(file, tools, limits)
  const isNpz = files.names.length > 0 && files.names.every((name) => name.endsWith('.npy'))
  return isNpz ? (await tensorsOfNpz(files)).tensors : tensorsOfFiles(context, files, prefix)
}

async function tensorsOfFiles(
  context: Context,
  files: FileSet,
  prefix: string | undefined,
): Promise<readonly TensorStream[]> {
  const model = prefix === undefined ? findSavedModel(files) : undefined
  const wanted = model === undefined ? prefix : `${model}variables/variables`
  const limits = { maxEntries: context.limits.checkpointTensors }
  return (await openCheckpoint(files, wanted, checksumTools, limits)).tensors
}

/** A header length that leaves room for it, and an opening brace where the header begins. */
async function looksLikeSafetensors(file: ByteSource): Promise<boolean> {
  if (file.byteLength < 10) return false
  const head = await file.read(0, 9)
  const length = new DataView(head.buffer, head.byteOffset, 8).getBigUint64(0, true)
  return head[8] === 0x7b && length < 2n ** 32n
}

async function importTensors(
  context: Context,
  { container, step, labels, idempotencyKey }: UploadRequest,
  tensors: readonly TensorStream[],
): Promise<CheckpointRecord> {
  if (tensors.length === 0) {
    throw new Refusal('INVALID_ARGUMENT', 'checkpoint/no-tensors', 'The file holds no tensors.')
  }
  if (tensors.length > context.limits.checkpointTensors) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'file/too-many-tensors',
      `The file holds ${tensors.length} tensors; a checkpoint has at most ${context.limits.checkpointTensors}.`,
    )
  }
  const metadata: Record<string, Json> = {}
  const staging = context.store.values.stage()
  try {
    const entries: { readonly name: string; readonly value: StagedValue }[] = []
    for (const tensor of tensors) {
      entries.push({ name: tensor.name, value: await staging.add(tensor) })
    }
    const digests = entries.map(({ name, value }) => [name, value.dtype, value.shape, value.digest])
    const committed = await once(
      context,
      idempotencyKey,
      ['upload', container, step, labels, digests],
      (idempotency) =>
        context.store.catalogue.commit(
          [{ kind: 'import_checkpoint', container, entries, step, metadata, labels }],
          idempotency,
        ),
    )
    const [id] = committed.checkpoints
    const record = await context.store.catalogue.checkpoint(id)
    if (record === undefined) throw unknownCheckpoint(id)
    return record
  } finally {
    await staging.discard()
  }
}

function metadataOf({ id, step }: CheckpointRecord): ReadonlyMap<string, string> {
  const metadata = new Map([
    ['format', 'holdfast'],
    ['checkpoint', id],
  ])
  if (step !== undefined) metadata.set('step', String(step))
  return metadata
}
