// A SavedModel on its way in: which of its graphs is served, which value goes into which variable, and
// what of it is kept. It reads files; it commits nothing and runs nothing.
import {
  type MetaGraph,
  openCheckpoint,
  readSavedModel,
  type SavedModelContents,
  selectMetaGraph,
  sliceTensor,
} from '../formats/index.ts'
import { decodeVariableDef } from '../proto/index.ts'
import { type FileSet, Refusal, type TensorStream } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { checksumTools } from './format-tools.ts'

/** A variable of a model and where its value is in the bundle. */
interface ModelVariable {
  readonly name: string
  readonly tensor: TensorStream
  readonly trainable: boolean
}

/** A SavedModel, read. */
export interface ModelContents {
  readonly root: string
  readonly metaGraph: MetaGraph
  readonly variables: readonly ModelVariable[]
  /** Files to keep, as they are in the set: all but the variables' values. */
  readonly files: readonly string[]
}

const servingTag = 'serve'

/** The graph to serve: the one tagged `serve`, or the only one that there is. */
export function servedGraph(contents: SavedModelContents): MetaGraph {
  const [only, ...others] = contents.metaGraphs
  return only !== undefined && others.length === 0 ? only : selectMetaGraph(contents, [servingTag])
}

/** Reads the SavedModel in `files`. Refuses what is damaged, and variables without a value. */
export async function readModel(context: Context, files: FileSet): Promise<ModelContents> {
  const contents = await readSavedModel(files, { maxModelBytes: context.limits.graphBytes })
  const metaGraph = servedGraph(contents)
  const { root } = contents
  return {
    root,
    metaGraph,
    variables: await variablesOf(context, files, contents, metaGraph),
    files: files.names.filter(
      (name) => name.startsWith(root) && !name.startsWith(`${root}variables/`),
    ),
  }
}

async function variablesOf(
  context: Context,
  files: FileSet,
  contents: SavedModelContents,
  metaGraph: MetaGraph,
): Promise<readonly ModelVariable[]> {
  const wanted = metaGraph.restore?.variables ?? []
  if (wanted.length === 0) return []
  if (contents.variables === undefined) {
    throw new Refusal(
      'DATA_LOSS',
      'saved-model/no-variables',
      `The model restores ${wanted.length} variables, and has no variables/variables.index.`,
    )
  }
  const limits = { maxEntries: context.limits.checkpointTensors }
  const { prefix } = contents.variables
  const checkpoint = await openCheckpoint(files, prefix, checksumTools, limits)
  const byKey = new Map(checkpoint.tensors.map((tensor) => [tensor.name, tensor]))
  const trainable = trainableNames(metaGraph)
  const variables = new Map<string, ModelVariable>()
  for (const { checkpointKey, variable: name, sliceSpec } of wanted) {
    const tensor = byKey.get(checkpointKey)
    if (tensor === undefined) {
      throw new Refusal(
        'DATA_LOSS',
        'saved-model/missing-variable',
        `Key ${checkpointKey} not found in checkpoint`,
        { names: { variable: name, tensor: checkpointKey } },
      )
    }
    const part = sliceTensor(tensor, sliceSpec)
    variables.set(name, { name, tensor: part, trainable: trainable.has(name) })
  }
  return [...variables.values()]
}

/** Names that the model itself calls trainable. */
function trainableNames(metaGraph: MetaGraph): ReadonlySet<string> {
  const listed = metaGraph.metaGraphDef.collection_def.get('trainable_variables')?.bytes_list?.value
  const names = (listed ?? []).map((bytes) => decodeVariableDef(bytes).variable_name.split(':')[0])
  const nodes = metaGraph.objectGraph?.nodes ?? []
  for (const { variable } of nodes) if (variable?.trainable) names.push(variable.name)
  return new Set(names)
}
