// The object graph that TF2 checkpoints carry: which key holds the variable of which name.
// Source: tensorflow/core/protobuf/trackable_object_graph.proto
import { decodeTrackableObjectGraph, type TrackableObjectGraph } from '../proto/index.ts'
import { type TensorStream, unpackStrings } from '../tensor/index.ts'
import { collect } from './byte-source.ts'
import { refusingWireErrors } from './refusal-of-wire.ts'

/** The key of the scalar string tensor that holds a serialized TrackableObjectGraph. */
export const objectGraphKey = '_CHECKPOINTABLE_OBJECT_GRAPH'

/** The object graph of a checkpoint; undefined where it is a name-based (TF1) one. */
export async function readObjectGraph({
  tensors,
}: {
  readonly tensors: readonly TensorStream[]
}): Promise<TrackableObjectGraph | undefined> {
  const tensor = tensors.find(({ name }) => name === objectGraphKey)
  if (tensor === undefined || tensor.dtype !== 'string' || tensor.shape.length > 0) return undefined
  const bytes = await collect(tensor.chunks(), tensor.byteLength)
  const [serialized] = unpackStrings([], bytes).strings
  return refusingWireErrors('bundle/bad-object-graph', 'The object graph of the checkpoint', () =>
    decodeTrackableObjectGraph(serialized),
  )
}

/**
 * Checkpoint keys by the names that the variables have in TF1's sense. A name that several
 * variables share is left out: it says nothing.
 */
export function checkpointKeysByName(graph: TrackableObjectGraph): ReadonlyMap<string, string> {
  const keys = new Map<string, string>()
  const shared = new Set<string>()
  for (const { full_name: name, checkpoint_key: key } of graph.nodes.flatMap(
    ({ attributes }) => attributes,
  )) {
    if (name === '' || key === '') continue
    if (keys.has(name) && keys.get(name) !== key) shared.add(name)
    keys.set(name, key)
  }
  for (const name of shared) keys.delete(name)
  return keys
}
