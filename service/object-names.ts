// Names of variables in checkpoints of TensorFlow 2, which keep them by their place in a graph of objects.
// The graph travels along and says what each variable is called, so that programs that go by names can
// restore from it, as TensorFlow 1's Saver does.
import { checkpointKeysByName, objectGraphKey, readObjectGraph } from '../formats/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { streamOfReadable } from './readable.ts'
import { type StoredTensor, storedTensorReadable } from './stored-tensors.ts'

/** What a checkpoint of objects says of its tensors. */
export interface ObjectNames {
  /** The name of the variable by stored name, where it has one that no other tensor goes by. */
  readonly byKey: ReadonlyMap<string, string>
  /** The stored name of the graph itself, which is no variable's value. */
  readonly graph: string | undefined
}

const maxGraphBytes = 64 * 2 ** 20

/** The names among those tensors; none where they come from no graph of objects, or one that is damaged. */
export async function objectNamesOf(
  context: Context,
  tensors: readonly StoredTensor[],
): Promise<ObjectNames> {
  const tensor = tensors.find(({ name }) => name === objectGraphKey)
  const value = tensor && storedTensorReadable(context, tensor)
  if (value?.dtype !== 'string' || value.shape.length > 0 || value.byteLength > maxGraphBytes) {
    return { byKey: new Map(), graph: undefined }
  }
  const stored = new Set(tensors.map(({ name }) => name))
  const byKey = new Map<string, string>()
  for (const [name, key] of await keysOf(streamOfReadable(objectGraphKey, value))) {
    if (stored.has(key) && !stored.has(name)) byKey.set(key, name)
  }
  return { byKey, graph: objectGraphKey }
}

async function keysOf(
  tensor: ReturnType<typeof streamOfReadable>,
): Promise<ReadonlyMap<string, string>> {
  try {
    const graph = await readObjectGraph({ tensors: [tensor] })
    return graph === undefined ? new Map() : checkpointKeysByName(graph)
  } catch (error) {
    if (error instanceof Refusal && error.reason.startsWith('bundle/')) return new Map()
    throw error
  }
}
