// Checkpoints as files: taking in safetensors, npz and archives of TensorFlow's checkpoints, and giving
// a checkpoint out as one. Files are streamed; what arrives waits in the spool, never in memory.
import {
  type CheckpointSlice,
  type CheckpointTensor,
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
import type {
  CheckpointEntry,
  CheckpointRecord,
  Json,
  PartSlice,
  StagedValue,
  Staging,
} from '../store/index.ts'
import {
  type ByteSource,
  byteLengthOf,
  elementCountOf,
  type FileSet,
  Refusal,
  type Shape,
  stridesOf,
  type TensorStream,
} from '../tensor/index.ts'
import { everyEntry, unknownCheckpoint } from './checkpoints.ts'
import type { Context } from './context.ts'
import { archiveTools, checksumTools, zipTools } from './format-tools.ts'
import { once } from './idempotency.ts'
import { checkContainerName, checkLabel } from './names.ts'
import { streamOfReadable } from './readable.ts'
import type { SpoolFolder } from './spool.ts'
import { type StoredTensor, storedTensorReadable, storedTensors } from './stored-tensors.ts'

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
      const entries: CheckpointEntry[] = []
      for await (const entry of everyEntry(context, checkpoint.id)) entries.push(entry)
      const tensors = storedTensors(entries)
      const whole = (tensor: StoredTensor) =>
        streamOfReadable(tensor.name, storedTensorReadable(context, tensor))
      switch (format) {
        case 'safetensors':
          return writeSafetensors(tensors.map(whole), metadataOf(checkpoint))
        case 'npz':
          return writeNpz(tensors.map(whole), zipTools)
        case 'tensorflow': {
          const prefix = `model.ckpt-${checkpoint.step ?? checkpoint.id}`
          const sliced = tensors.map((tensor) => ({
            ...whole(tensor),
            slices: slicesOf(context, tensor),
          }))
          return writeTar(await writeBundle(prefix, sliced, checksumTools))
        }
        default:
          throw new Error(`unknown format ${format satisfies never}`)
      }
    },
  }
}

/** The slices that TensorFlow's Saver would write of a partitioned variable. */
function slicesOf(
  { store: { values } }: Context,
  tensor: StoredTensor,
): readonly CheckpointSlice[] | undefined {
  if (tensor.form === 'plain') return undefined
  return tensor.parts.map(({ entry, slice: { starts, shape } }) => ({
    starts,
    shape,
    chunks: () => values.read(entry.value.valueId),
  }))
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
  checkCount(context, tensors.length)
  const metadata: Record<string, Json> = {}
  const staging = context.store.values.stage()
  try {
    const entries: ImportedEntry[] = []
    const names = new Set(tensors.map(({ name }) => name))
    for (const tensor of tensors) entries.push(...(await importTensor(staging, tensor, names)))
    checkCount(context, entries.length)
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

function checkCount({ limits: { checkpointTensors } }: Context, count: number): void {
  if (count <= checkpointTensors) return
  throw new Refusal(
    'RESOURCE_EXHAUSTED',
    'file/too-many-tensors',
    `The file holds ${count} tensors; a checkpoint has at most ${checkpointTensors}.`,
  )
}

interface ImportedEntry {
  readonly name: string
  readonly value: StagedValue
  readonly slice?: PartSlice
}

/** Takes in a tensor: in slices where the file has it so, each under a name that no other tensor has. */
async function importTensor(
  staging: Staging,
  tensor: CheckpointTensor | TensorStream,
  names: ReadonlySet<string>,
): Promise<readonly ImportedEntry[]> {
  const { name, dtype, shape: fullShape } = tensor
  const slices = ('slices' in tensor && tensor.slices) || []
  const ordered = [...slices].sort((a, b) => placeOf(fullShape, a) - placeOf(fullShape, b))
  const isTaken = ordered.some((_, place) => names.has(`${name}/part_${place}`))
  if (ordered.length < 2 || isTaken) return [{ name, value: await staging.add(tensor) }]
  const entries: ImportedEntry[] = []
  for (const [place, { starts, shape, chunks }] of ordered.entries()) {
    const byteLength = elementCountOf(shape) * byteLengthOf(dtype)
    const value = await staging.add({ dtype, shape, byteLength, chunks })
    const slice = { fullName: name, fullShape, offset: starts }
    entries.push({ name: `${name}/part_${place}`, value, slice })
  }
  return entries
}

/** Where a slice begins in the row-major whole. */
function placeOf(fullShape: Shape, { starts }: CheckpointSlice): number {
  const strides = stridesOf(fullShape)
  return starts.reduce((place, start, axis) => place + start * strides[axis], 0)
}

function metadataOf({ id, step }: CheckpointRecord): ReadonlyMap<string, string> {
  const metadata = new Map([
    ['format', 'holdfast'],
    ['checkpoint', id],
  ])
  if (step !== undefined) metadata.set('step', String(step))
  return metadata
}
