// Taking a file in as a checkpoint: what kind of file it is, which tensors it holds, and one commit that
// makes them a checkpoint. All of it, or nothing.
import {
  breaths,
  type CheckpointSlice,
  type CheckpointTensor,
  findSavedModel,
  looksLikeTable,
  openArchive,
  openCheckpoint,
  openNpz,
  openSafetensors,
  tensorsOfNpz,
} from '../formats/index.ts'
import type { CheckpointRecord, Json, PartSlice, StagedValue, Staging } from '../store/index.ts'
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
import { type ArrivingFile, arrivingFile } from './arriving-file.ts'
import { unknownCheckpoint } from './checkpoints.ts'
import type { Context } from './context.ts'
import { archiveTools, checksumTools } from './format-tools.ts'
import { once } from './idempotency.ts'
import { checkContainerName, checkLabel } from './names.ts'
import type { SpooledFile, SpoolFolder } from './spool.ts'

/** What an upload says of itself. */
export interface UploadRequest {
  readonly container: string
  readonly step?: number | undefined
  readonly labels: readonly string[]
  /** Which checkpoint of an archive is meant, where there are several: its prefix, or any file of it. */
  readonly prefix?: string | undefined
  readonly idempotencyKey?: string | undefined
  /** Who turns the labels, as their histories are to say. */
  readonly actor?: string | undefined
}

/** What a file is said to be; `any`: its first bytes say. */
export type UploadForm = 'safetensors' | 'npz' | 'sqlite' | 'any'

/** A file that arrives. */
export interface Upload {
  readonly form: UploadForm
  /** Nobody else's: the memory of the chunks is freed. */
  readonly body: AsyncIterable<Uint8Array>
  /** Bytes of the body, where it says so before. */
  readonly byteLength?: number | undefined
}

/** A tensor that a file says to be a part of a partitioned variable. */
export interface PartTensor extends TensorStream {
  readonly slice?: PartSlice | undefined
}

/** What a file holds. */
export interface FileContents {
  readonly tensors: readonly (CheckpointTensor | PartTensor | TensorStream)[]
  /** The step that the file itself says it was saved at. */
  readonly step?: number | undefined
  readonly metadata?: Readonly<Record<string, Json>> | undefined
}

/** Reads a store's own single-file form. */
export type ReadSqlite = (file: SpooledFile, folder: SpoolFolder) => Promise<FileContents>

/** Bytes that tell what a file is. */
const headLength = 16
const sqliteMagic = 'SQLite format 3\0'

/** Takes in a file. Refuses whatever the readers in formats/ refuse, and nothing is kept then. */
export async function importFile(
  context: Context,
  request: UploadRequest,
  upload: Upload,
  readSqlite: ReadSqlite | undefined,
): Promise<CheckpointRecord> {
  checkContainerName(request.container, context.limits)
  for (const label of request.labels) checkLabel(label, context.limits)
  const folder = context.spool.folder(context.limits.uploadBytes)
  const file = arrivingFile(upload.body)
  try {
    const contents = await contentsOf(context, request, { ...upload, file, folder, readSqlite })
    return await importTensors(context, request, contents)
  } finally {
    await file.end()
    await folder.discard()
  }
}

interface Arriving extends Upload {
  readonly file: ArrivingFile
  readonly folder: SpoolFolder
  readonly readSqlite: ReadSqlite | undefined
}

async function contentsOf(
  context: Context,
  { prefix }: UploadRequest,
  { form, file, folder, byteLength, readSqlite }: Arriving,
): Promise<FileContents> {
  const head = await file.peek(headLength)
  if (head.byteLength === 0) {
    throw new Refusal('INVALID_ARGUMENT', 'checkpoint/unknown-kind', 'The uploaded file is empty.')
  }
  const keep = () => folder.keep(file.rest(), true)
  switch (form === 'any' ? kindOf(head) : form) {
    case 'safetensors':
      // Its tensors come in the order in which it names them: they need not wait for its end.
      return contentsOfSafetensors(
        byteLength === undefined ? await keep() : file.forward(byteLength),
      )
    case 'npz':
      return openNpz(await keep(), archiveTools(folder), archiveLimits(context))
    case 'sqlite':
      if (readSqlite === undefined) throw noSqlite()
      return readSqlite(await keep(), folder)
    default:
      return contentsOfArchive(context, await keep(), folder, prefix)
  }
}

/** UNIMPLEMENTED `checkpoint/no-single-file`. */
export function noSqlite(): Refusal {
  return new Refusal(
    'UNIMPLEMENTED',
    'checkpoint/no-single-file',
    'The store of this server has no checkpoints in a single SQLite file.',
    { fix: 'Use safetensors, npz, or a tar of a TensorFlow bundle.' },
  )
}

function archiveLimits({ limits: { archiveMembers, unpackedBytes } }: Context) {
  return { maxMembers: archiveMembers, maxUnpackedBytes: unpackedBytes }
}

function kindOf(head: Uint8Array): 'safetensors' | 'sqlite' | 'archive' {
  if (Buffer.from(head).toString('latin1') === sqliteMagic) return 'sqlite'
  // A header length that leaves room for it, and an opening brace where the header begins.
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  const isSafetensors =
    head.byteLength >= 10 && head[8] === 0x7b && view.getBigUint64(0, true) < 2n ** 32n
  return isSafetensors ? 'safetensors' : 'archive'
}

async function contentsOfSafetensors(source: ByteSource): Promise<FileContents> {
  const { tensors, metadata } = await openSafetensors(source)
  const step = metadata.get('format') === 'holdfast' ? metadata.get('step') : undefined
  const isStep = step !== undefined && /^[0-9]{1,15}$/.test(step)
  return { tensors, step: isStep ? Number(step) : undefined }
}

/** An archive that holds a checkpoint, or a V1 checkpoint that is one file. */
async function contentsOfArchive(
  context: Context,
  file: ByteSource,
  folder: SpoolFolder,
  prefix: string | undefined,
): Promise<FileContents> {
  const limits = { maxEntries: context.limits.checkpointTensors }
  if (await looksLikeTable(file)) {
    return sayingWhatIsMissing(() =>
      openCheckpoint(singleFile(file), undefined, checksumTools, limits),
    )
  }
  const files = await openArchive(file, archiveTools(folder), archiveLimits(context))
  const isNpz = files.names.length > 0 && files.names.every((name) => name.endsWith('.npy'))
  if (isNpz) return tensorsOfNpz(files)
  const model = prefix === undefined ? findSavedModel(files) : undefined
  const wanted = model === undefined ? prefix : `${model}variables/variables`
  return openCheckpoint(files, wanted, checksumTools, limits)
}

/** What is no V1 checkpoint by itself is mostly the index of a bundle, whose values are elsewhere. */
async function sayingWhatIsMissing(open: () => Promise<FileContents>): Promise<FileContents> {
  try {
    return await open()
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason !== 'bundle/bad-header') throw error
    throw new Refusal(
      'INVALID_ARGUMENT',
      'checkpoint/lone-file',
      'The file is one of several that make a checkpoint, such as the index of a bundle; by itself it has no values.',
      { fix: 'Send all of them as one: tar c model.ckpt-7.*', cause: error },
    )
  }
}

function singleFile(file: ByteSource): FileSet {
  return { names: ['model'], open: () => file }
}

async function importTensors(
  context: Context,
  { container, step: givenStep, labels, idempotencyKey, actor }: UploadRequest,
  { tensors, step: ownStep, metadata = {} }: FileContents,
): Promise<CheckpointRecord> {
  if (tensors.length === 0) {
    throw new Refusal('INVALID_ARGUMENT', 'checkpoint/no-tensors', 'The file holds no tensors.')
  }
  const step = givenStep ?? ownStep
  checkCount(context, tensors.length)
  for (const { name } of tensors) checkTensorName(name)
  const staging = context.store.values.stage()
  try {
    const entries = await stageTensors(staging, tensors)
    checkCount(context, entries.length)
    const digests = entries.map(({ name, value }) => [name, value.dtype, value.shape, value.digest])
    const committed = await once(
      context,
      idempotencyKey,
      ['upload', container, step, labels, digests],
      (idempotency) =>
        context.store.catalogue.commit(
          [{ kind: 'import_checkpoint', container, entries, step, metadata, labels, actor }],
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

// As long as the longest that TensorFlow's own tests use.
const longestName = 65_536

/** A tensor's name is an opaque key: 1 to 65,536 characters of Unicode, none of them NUL. */
function checkTensorName(name: string): void {
  const canBe = name.length <= longestName && name.isWellFormed() && !name.includes('\0')
  if (name !== '' && canBe) return
  const shown = name.length > 200 ? `${name.slice(0, 200)}..` : name
  throw new Refusal(
    'INVALID_ARGUMENT',
    'checkpoint/bad-tensor-name',
    `The file holds a tensor named ${JSON.stringify(shown)}; names have 1 to ${longestName} characters of Unicode, and none is NUL.`,
  )
}

interface ImportedEntry {
  readonly name: string
  readonly value: StagedValue
  readonly slice?: PartSlice
}

async function stageTensors(
  staging: Staging,
  tensors: FileContents['tensors'],
): Promise<readonly ImportedEntry[]> {
  const entries: ImportedEntry[] = []
  const names = new Set(tensors.map(({ name }) => name))
  const staged = new Map<string, StagedValue>()
  const breathe = breaths()
  for (const tensor of tensors) {
    await breathe()
    const known = 'aliasOf' in tensor ? staged.get(tensor.aliasOf ?? '') : undefined
    const added =
      known === undefined
        ? await stageTensor(staging, tensor, names)
        : [{ name: tensor.name, value: known }]
    for (const entry of added) {
      if (!('slice' in entry)) staged.set(entry.name, entry.value)
      entries.push(entry)
    }
  }
  return entries
}

/** Takes in a tensor: in slices where the file has it so, each under a name that no other tensor has. */
async function stageTensor(
  staging: Staging,
  tensor: FileContents['tensors'][number],
  names: ReadonlySet<string>,
): Promise<readonly ImportedEntry[]> {
  const { name, dtype, shape: fullShape } = tensor
  if ('slice' in tensor && tensor.slice !== undefined) {
    return [{ name, value: await staging.add(tensor), slice: tensor.slice }]
  }
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
