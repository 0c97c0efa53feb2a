// Models: versions of SavedModels, kept in the store, their variables ordinary ones in a container of
// their own, their graphs loaded into the engine. What they answer is predict.ts's.

import { type MetaGraph, openArchive, readSavedModel } from '../formats/index.ts'
import { encodeGraphDef, type SignatureDef } from '../proto/index.ts'
import type { Change, Json, ModelVersionRecord, ValueRecord } from '../store/index.ts'
import { type ByteSource, type DType, type FileSet, Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { archiveTools } from './format-tools.ts'
import { type ModelContents, readModel, servedGraph } from './model-load.ts'
import { checkModelName } from './names.ts'
import type { Runs } from './runs.ts'

/** States of a version, as TensorFlow Serving names them. */
type ModelState = 'START' | 'LOADING' | 'AVAILABLE' | 'UNLOADING' | 'END'

/** How a version of a model is doing. */
export interface ModelStatus {
  readonly model: string
  readonly version: number
  readonly state: ModelState
  /** Why it did not load. */
  readonly error: Refusal | undefined
  readonly container: string
  readonly signatures: readonly string[]
  readonly createdAt: number
}

/** A version that can be asked. */
export interface ServedModel {
  readonly model: string
  readonly version: number
  /** Id of its graph in the engine. */
  readonly graph: string
  readonly container: string
  readonly signatures: ReadonlyMap<string, SignatureDef>
  /** Element types of the graph's placeholders, by tensor name. */
  readonly inputTypes: ReadonlyMap<string, DType>
}

export interface Models {
  /** Takes in an archive of a SavedModel as a version. All of it is kept, or nothing. */
  put(model: string, version: number, body: AsyncIterable<Uint8Array>): Promise<ModelStatus>
  /** The same from files at hand. */
  putFiles(model: string, version: number, files: FileSet): Promise<ModelStatus>
  remove(model: string, version: number): Promise<void>
  /** Every version, by model, newest first. */
  list(): Promise<readonly ModelStatus[]>
  /** Versions of a model, newest first; empty where there is no such model. */
  versions(model: string): Promise<readonly ModelStatus[]>
  /** The version asked for, else the newest one that loads. Loads it where it is not loaded. */
  served(model: string, version: number | undefined): Promise<ServedModel>
  /** Begins to load every version. */
  warm(): Promise<void>
}

interface Slot {
  state: ModelState
  error: Refusal | undefined
  readonly loading: Promise<ServedModel>
  /** The engine's losses when it was loaded: after another, its tables are gone. */
  readonly losses: number
}

/** The container of a version's variables. */
export function modelContainer(model: string, version: number): string {
  return `models/${model}/${version}`
}

/** The models of a store. */
export function createModels(context: Context, runs: Runs): Models {
  const { catalogue } = context.store
  const slots = new Map<string, Slot>()

  function open(record: ModelVersionRecord): Slot {
    const key = modelContainer(record.model, record.version)
    const known = slots.get(key)
    const losses = context.engineLosses.count
    if (known !== undefined && known.losses === losses) return known
    const loading = load(context, runs, record)
    const slot: Slot = { state: 'LOADING', error: undefined, loading, losses }
    slots.set(key, slot)
    slot.loading.then(
      () => {
        slot.state = 'AVAILABLE'
      },
      (error: unknown) => {
        slot.state = 'END'
        slot.error = error instanceof Refusal ? error : loadFailed(record, error)
      },
    )
    return slot
  }

  function statusOf(record: ModelVersionRecord): ModelStatus {
    const { model, version, createdAt } = record
    const slot = open(record)
    const { signatures } = record.description as { signatures: readonly string[] }
    const container = modelContainer(model, version)
    const { state, error } = slot
    return { model, version, state, error, container, signatures, createdAt }
  }

  async function settled(record: ModelVersionRecord): Promise<ModelStatus> {
    await open(record).loading.catch(() => undefined)
    return statusOf(record)
  }

  async function find(model: string, version: number): Promise<ModelVersionRecord> {
    const record = await catalogue.modelVersion(model, version)
    if (record === undefined) throw unknownVersion(model, version)
    return record
  }

  async function keep(model: string, version: number, files: FileSet): Promise<ModelStatus> {
    const contents = await readModel(context, files)
    await commitModel(context, model, version, files, contents)
    const status = await settled(await find(model, version))
    if (status.error === undefined) return status
    await removeVersion(model, version)
    throw status.error
  }

  async function removeVersion(model: string, version: number): Promise<void> {
    const container = modelContainer(model, version)
    await catalogue.commit([
      { kind: 'delete_model_version', model, version },
      { kind: 'delete_container', container },
    ])
    const slot = slots.get(container)
    slots.delete(container)
    await slot?.loading.catch(() => undefined)
    runs.forget(container)
    await context.engine.unload(container)
    await context.engine.dropState(container)
  }

  return {
    async put(model, version, body) {
      await checkNew(context, model, version)
      const folder = context.spool.folder(context.limits.uploadBytes)
      try {
        const { archiveMembers, unpackedBytes } = context.limits
        const limits = { maxMembers: archiveMembers, maxUnpackedBytes: unpackedBytes }
        const files = await openArchive(await folder.keep(body), archiveTools(folder), limits)
        return await keep(model, version, files)
      } finally {
        await folder.discard()
      }
    },
    async putFiles(model, version, files) {
      await checkNew(context, model, version)
      return keep(model, version, files)
    },
    async remove(model, version) {
      await find(model, version)
      await removeVersion(model, version)
    },
    async list() {
      const records = await catalogue.modelVersions()
      return records.map(statusOf).sort(byModelNewestFirst)
    },
    async versions(model) {
      const records = await catalogue.modelVersions(model)
      return records.map(statusOf).sort(byModelNewestFirst)
    },
    async served(model, version) {
      if (version !== undefined) return open(await find(model, version)).loading
      const records = [...(await catalogue.modelVersions(model))]
      records.sort((a, b) => b.version - a.version)
      for (const record of records) {
        const status = await settled(record)
        if (status.state === 'AVAILABLE') return open(record).loading
      }
      throw unknownVersion(model, undefined)
    },
    async warm() {
      const records = await catalogue.modelVersions()
      await Promise.all(records.map(settled))
    },
  }
}

function byModelNewestFirst(a: ModelStatus, b: ModelStatus): number {
  if (a.model !== b.model) return a.model < b.model ? -1 : 1
  return b.version - a.version
}

async function checkNew(context: Context, model: string, version: number): Promise<void> {
  checkModelName(model, context.limits)
  if ((await context.store.catalogue.modelVersion(model, version)) === undefined) return
  throw new Refusal(
    'ALREADY_EXISTS',
    'model/exists',
    `Version ${version} of model ${model} exists already.`,
    { fix: 'Delete it first, or upload as another version.', names: { model, version } },
  )
}

/** Stages files and values and commits the version with its variables. */
async function commitModel(
  context: Context,
  model: string,
  version: number,
  files: FileSet,
  contents: ModelContents,
): Promise<void> {
  const container = modelContainer(model, version)
  const staging = context.store.values.stage()
  try {
    const changes: Change[] = [{ kind: 'delete_container', container }]
    const kept = []
    for (const name of contents.files) {
      const source = files.open(name)
      const value = await staging.add({
        dtype: 'uint8',
        shape: [source.byteLength],
        byteLength: source.byteLength,
        chunks: () => streamOf(source),
      })
      kept.push({ path: name.slice(contents.root.length), value })
    }
    const signatures = [...contents.metaGraph.signatures.keys()].sort()
    const description: Json = { signatures }
    changes.push({ kind: 'put_model_version', model, version, files: kept, description })
    for (const { name, tensor, trainable } of contents.variables) {
      changes.push({
        kind: 'create_variable',
        container,
        name,
        dtype: tensor.dtype,
        shape: tensor.shape,
        trainable,
        collections: trainable ? ['variables', 'trainable_variables'] : ['variables'],
        device: '',
        initializer: null,
        value: await staging.add(tensor),
      })
    }
    await context.store.catalogue.commit(changes)
  } finally {
    await staging.discard()
  }
}

const pieceBytes = 1024 * 1024

async function* streamOf(source: ByteSource): AsyncIterable<Uint8Array> {
  for (let at = 0; at < source.byteLength; at += pieceBytes) {
    yield await source.read(at, Math.min(pieceBytes, source.byteLength - at))
  }
}

/** Loads a stored version into the engine and runs its init operation. */
async function load(
  context: Context,
  runs: Runs,
  record: ModelVersionRecord,
): Promise<ServedModel> {
  const { model, version } = record
  const files = storedFiles(context, record)
  const maxModelBytes = context.limits.graphBytes
  const metaGraph = servedGraph(await readSavedModel(files, { maxModelBytes }))
  const graph = modelContainer(model, version)
  const { inputs } = await context.engine.load(graph, encodeGraphDef(metaGraph.graphDef))
  const inputTypes = new Map(inputs.map(({ name, dtype }) => [name, dtype]))
  const { signatures } = metaGraph
  const served = { model, version, graph, container: graph, signatures, inputTypes }
  try {
    await runInit(context, runs, metaGraph, served)
  } catch (error) {
    if (!isBearable(error)) throw error
  }
  return served
}

/**
 * Runs the init operation, which fills tables. Where it writes variables too, those writes are the
 * model's first values and are kept only while the variables have none.
 */
async function runInit(
  context: Context,
  runs: Runs,
  { initOp, assets }: MetaGraph,
  { graph, container }: ServedModel,
): Promise<void> {
  if (initOp === undefined) return
  const asset = (file: string) => ({
    dtype: 'string' as const,
    shape: [],
    strings: [new TextEncoder().encode(file)],
  })
  const feeds = Object.fromEntries(
    assets.map(({ tensorName, filename }) => [tensorName, asset(`assets/${filename}`)]),
  )
  const form = { graph, fetches: [], targets: [initOp], container }
  const { writes } = await context.engine.effects({ ...form, feeds: Object.keys(feeds) })
  const names = writes.map(({ name }) => name)
  const present = await context.store.catalogue.variables(container, names)
  if (writes.length > 0 && present.some(({ value }) => value !== undefined)) return
  await runs.run({ ...form, feeds, device: '', report: false })
}

/**
 * Whether a model can be served although its init operation was refused: what that needs may be
 * missing for some signatures only, and those say so when they are asked.
 */
function isBearable(error: unknown): boolean {
  return error instanceof Refusal && ['UNIMPLEMENTED', 'PERMISSION_DENIED'].includes(error.code)
}

/** The kept files of a version, and of its variables only the names that say they are there. */
function storedFiles(context: Context, { files }: ModelVersionRecord): FileSet {
  const byPath = new Map(files.map(({ path, value }) => [path, value]))
  return {
    names: [...byPath.keys()],
    open(name) {
      const value = byPath.get(name)
      if (value === undefined) throw new Error(`the model keeps no file ${name}`)
      return sourceOf(context, value)
    },
  }
}

function sourceOf(context: Context, value: ValueRecord): ByteSource {
  return {
    byteLength: value.byteLength,
    async read(offset, length) {
      const bytes = new Uint8Array(length)
      let at = 0
      for await (const chunk of context.store.values.read(value.valueId, { offset, length })) {
        bytes.set(chunk, at)
        at += chunk.byteLength
      }
      return bytes
    },
  }
}

/** NOT_FOUND `model/unknown`, in TensorFlow Serving's words. */
function unknownVersion(model: string, version: number | undefined): Refusal {
  const wanted = version === undefined ? `Latest(${model})` : `Specific(${model}, ${version})`
  return new Refusal('NOT_FOUND', 'model/unknown', `Servable not found for request: ${wanted}`, {
    names: version === undefined ? { model } : { model, version },
  })
}

function loadFailed({ model, version }: ModelVersionRecord, cause: unknown): Refusal {
  return new Refusal(
    'INTERNAL',
    'model/load-failed',
    `Version ${version} of model ${model} did not load.`,
    { cause, names: { model, version } },
  )
}
