// Reads a SavedModel: the graphs in saved_model.pb (or .pbtxt), and where variables and assets are.
// It runs nothing and restores nothing.
// Source: tensorflow/cc/saved_model/{reader,loader}.cc, python/saved_model/constants.py
import {
  type AssetFileDef,
  decodeAssetFileDef,
  decodeSavedModel,
  type GraphDef,
  type MetaGraphDef,
  parseText,
  type SavedModel,
  type SavedObjectGraph,
  type SaverDef,
  type SignatureDef,
} from '../proto/index.ts'
import { type FileSet, Refusal } from '../tensor/index.ts'
import { readAll } from './byte-source.ts'
import { refusingWireErrors } from './refusal-of-wire.ts'
import { type RestoreMap, restoreMapOf } from './restore-map.ts'

/** A file that a graph reads, fed by name at loading. */
interface ModelAsset {
  /** The tensor to feed with the file's path. */
  readonly tensorName: string
  readonly filename: string
  /** Name of the file in the set that the model was read from. */
  readonly file: string
}

/** One graph of a SavedModel, with what is needed to load it. */
export interface MetaGraph {
  readonly tags: readonly string[]
  readonly graphDef: GraphDef
  /** Signatures to be called; the one that only names the init operation is not among them. */
  readonly signatures: ReadonlyMap<string, SignatureDef>
  /** The operation to run once after the variables are restored. */
  readonly initOp: string | undefined
  readonly assets: readonly ModelAsset[]
  readonly saverDef: SaverDef | undefined
  /** What the graph's restore operation puts where; undefined where it has none. */
  readonly restore: RestoreMap | undefined
  readonly objectGraph: SavedObjectGraph | undefined
  /** The message that all this was read from. */
  readonly metaGraphDef: MetaGraphDef
}

/** A SavedModel. */
export interface SavedModelContents {
  /** The folder of the model in the set of files, with its slash; empty for the set's own. */
  readonly root: string
  readonly metaGraphs: readonly MetaGraph[]
  /** Where the values of the variables are; undefined where the model has none. */
  readonly variables: { readonly format: 'v2' | 'v1'; readonly prefix: string } | undefined
}

/** Limits on a SavedModel that is read. */
export interface SavedModelLimits {
  /** Bytes of saved_model.pb or saved_model.pbtxt. */
  readonly maxModelBytes?: number
}

const defaultMaxModelBytes = 1024 * 1024 * 1024
const binaryName = 'saved_model.pb'
const textName = 'saved_model.pbtxt'
const initSignature = '__saved_model_init_op'
const initCollections = ['saved_model_main_op', 'legacy_init_op']

function refusal(reason: string, message: string): Refusal {
  return new Refusal('DATA_LOSS', `saved-model/${reason}`, message)
}

/**
 * The folder of the SavedModel in a set of files, with its slash: the shallowest that holds
 * saved_model.pb or saved_model.pbtxt. Undefined where there is none; refuses INVALID_ARGUMENT
 * (`saved-model/ambiguous-root`) several at one depth.
 */
export function findSavedModel(files: FileSet): string | undefined {
  const found = files.names
    .filter((name) => [binaryName, textName].includes(name.slice(name.lastIndexOf('/') + 1)))
    .map((name) => name.slice(0, name.lastIndexOf('/') + 1))
  const depthOf = (folder: string) => folder.split('/').length
  const depth = Math.min(...found.map(depthOf))
  const roots = new Set(found.filter((folder) => depthOf(folder) === depth))
  if (roots.size > 1) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'saved-model/ambiguous-root',
      `The files hold several SavedModels at one depth: ${[...roots].slice(0, 20).join(', ')}.`,
      { fix: 'Send one model at a time.' },
    )
  }
  return [...roots][0]
}

/**
 * Reads the SavedModel in a set of files. Refuses NOT_FOUND (`saved-model/not-found`), DATA_LOSS
 * (`saved-model/…`) for a file that is damaged or contradicts itself, RESOURCE_EXHAUSTED
 * (`file/too-large`).
 */
export async function readSavedModel(
  files: FileSet,
  limits: SavedModelLimits = {},
): Promise<SavedModelContents> {
  const root = findSavedModel(files)
  if (root === undefined) {
    const message = `The files hold neither ${binaryName} nor ${textName}.`
    throw new Refusal('NOT_FOUND', 'saved-model/not-found', message)
  }
  const isText = !files.names.includes(`${root}${binaryName}`)
  const name = `${root}${isText ? textName : binaryName}`
  const bytes = await readAll(files.open(name), limits.maxModelBytes ?? defaultMaxModelBytes, name)
  const proto = refusingWireErrors('saved-model/unreadable', name, () => decodeModel(bytes, isText))
  // Hub modules leave the version out; TensorFlow itself does not look at it.
  if (![0, 1].includes(proto.saved_model_schema_version) || proto.meta_graphs.length === 0) {
    const { saved_model_schema_version: version, meta_graphs: graphs } = proto
    throw refusal(
      'unreadable',
      `${name} is of schema version ${version} with ${graphs.length} graphs; version 1 with at least one is wanted.`,
    )
  }
  const metaGraphs = proto.meta_graphs.map((one) => readMetaGraph(files, root, one))
  const tagSets = metaGraphs.map(({ tags }) => [...tags].sort().join())
  if (new Set(tagSets).size !== tagSets.length) {
    throw refusal('duplicate-tags', `${name} holds two graphs with the same tags.`)
  }
  return { root, metaGraphs, variables: findVariables(files, root) }
}

function decodeModel(bytes: Uint8Array, isText: boolean): SavedModel {
  if (!isText) return decodeSavedModel(bytes)
  return parseText('SavedModel', new TextDecoder().decode(bytes))
}

/**
 * The graph whose tags are exactly `tags`, in any order. Refuses NOT_FOUND
 * (`saved-model/unknown-tags`), listing what is there.
 */
export function selectMetaGraph(
  { metaGraphs }: SavedModelContents,
  tags: readonly string[],
): MetaGraph {
  const wanted = new Set(tags)
  const found = metaGraphs.find(
    (one) => one.tags.length === wanted.size && one.tags.every((tag) => wanted.has(tag)),
  )
  if (found !== undefined) return found
  const listed = metaGraphs.map((one) => `{${one.tags.join(', ')}}`)
  throw new Refusal(
    'NOT_FOUND',
    'saved-model/unknown-tags',
    `The model has no graph with the tags {${tags.join(', ')}}; it has ${listed.join(', ')}.`,
  )
}

function readMetaGraph(files: FileSet, root: string, metaGraphDef: MetaGraphDef): MetaGraph {
  const graphDef = metaGraphDef.graph_def
  if (graphDef === undefined) throw refusal('unreadable', 'The model holds a graph without nodes.')
  const saverDef = metaGraphDef.saver_def
  const restoreOp = saverDef?.restore_op_name ?? ''
  const signatures = new Map(metaGraphDef.signature_def)
  signatures.delete(initSignature)
  checkSignatures(graphDef, signatures)
  return {
    tags: metaGraphDef.meta_info_def?.tags ?? [],
    graphDef,
    signatures,
    initOp: findInitOp(metaGraphDef),
    assets: readAssets(files, root, metaGraphDef),
    saverDef,
    restore: restoreOp === '' ? undefined : restoreMapOf(graphDef, restoreOp),
    objectGraph: metaGraphDef.object_graph_def,
    metaGraphDef,
  }
}

function checkSignatures(graphDef: GraphDef, signatures: ReadonlyMap<string, SignatureDef>): void {
  const nodes = new Set(graphDef.node.map(({ name }) => name))
  for (const [key, { inputs, outputs }] of signatures) {
    for (const [, { name = '' }] of [...inputs, ...outputs]) {
      if (name === '' || nodes.has(name.split(':')[0])) continue
      throw new Refusal(
        'DATA_LOSS',
        'saved-model/bad-signature',
        `The signature "${key}" names the tensor "${name}", which the graph does not have.`,
        { names: { signature: key, tensor: name } },
      )
    }
  }
}

/** TensorFlow's order: the init signature, then the two collections. */
function findInitOp({ signature_def, collection_def }: MetaGraphDef): string | undefined {
  const signature = signature_def.get(initSignature)
  if (signature !== undefined) {
    const names = [...signature.outputs.values()].map(({ name }) => name ?? '')
    return onlyInitOp(names)
  }
  for (const key of initCollections) {
    const names = collection_def.get(key)?.node_list?.value
    if (names !== undefined) return onlyInitOp(names)
  }
  return undefined
}

function onlyInitOp(names: readonly string[]): string {
  if (names.length === 1 && names[0] !== '') return names[0].split(':')[0]
  throw new Refusal(
    'FAILED_PRECONDITION',
    'saved-model/main-op',
    `Expected exactly one main op in the model; it names ${names.length}.`,
  )
}

function readAssets(files: FileSet, root: string, metaGraphDef: MetaGraphDef): ModelAsset[] {
  const packed = metaGraphDef.collection_def.get('saved_model_assets')?.any_list?.value ?? []
  const assets: readonly AssetFileDef[] =
    metaGraphDef.asset_file_def.length > 0
      ? metaGraphDef.asset_file_def
      : packed.map(({ value }) =>
          refusingWireErrors('saved-model/unreadable', 'An asset of the model', () =>
            decodeAssetFileDef(value),
          ),
        )
  return assets.map(({ tensor_info, filename }) => {
    const file = `${root}assets/${filename}`
    const isPlain = !filename.split(/[/\\]/).some((part) => ['', '.', '..'].includes(part))
    if (!isPlain || !files.names.includes(file)) {
      throw refusal('bad-asset', `The model names the asset "${filename}", which it does not hold.`)
    }
    return { tensorName: tensor_info?.name ?? '', filename, file }
  })
}

function findVariables(files: FileSet, root: string): SavedModelContents['variables'] {
  const prefix = `${root}variables/variables`
  if (files.names.includes(`${prefix}.index`)) return { format: 'v2', prefix }
  const isV1 = files.names.some(
    (name) =>
      name === prefix ||
      (name.startsWith(`${prefix}-`) && /^-\d{5}-of-\d{5}$/.test(name.slice(prefix.length))),
  )
  return isV1 ? { format: 'v1', prefix } : undefined
}
