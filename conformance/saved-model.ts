// A SavedModel on the engine's port without a store: variables from its bundle, its main op run, its
// signatures to call. What the service does with a store and HTTP.

import type { ValueBinding } from '../engine/index.ts'
import { collect, openBundle, readSavedModel, selectMetaGraph } from '../formats/index.ts'
import { encodeGraphDef } from '../proto/index.ts'
import type { Tensor } from '../tensor/index.ts'
import type { Bench } from './devices.ts'
import { checksumTools, folderFiles } from './folder.ts'
import { openSession } from './session.ts'

export interface LoadedModel {
  /** Calls a signature: outputs by their names in it. */
  call(
    signature: string,
    inputs: Readonly<Record<string, Tensor>>,
  ): Promise<Readonly<Record<string, Tensor>>>
  close(): Promise<void>
}

/** Loads the model in the folder `path` (tags: serve) under the graph id `id`. */
export async function loadSavedModel(
  { engine, keep }: Bench,
  path: string,
  id: string,
): Promise<LoadedModel> {
  const files = folderFiles(path)
  const model = await readSavedModel(files)
  const metaGraph = selectMetaGraph(model, ['serve'])
  await engine.load(id, encodeGraphDef(metaGraph.graphDef))
  const bindings = new Map<string, ValueBinding>()
  if (model.variables?.format === 'v2' && metaGraph.restore !== undefined) {
    const bundle = await openBundle(files, model.variables.prefix, checksumTools)
    const byKey = new Map(bundle.tensors.map((tensor) => [tensor.name, tensor]))
    for (const { checkpointKey, variable } of metaGraph.restore.variables) {
      const tensor = byKey.get(checkpointKey)
      if (tensor === undefined) throw new Error(`no ${checkpointKey} for ${variable}`)
      const value = keep(await collect(tensor.chunks(), tensor.byteLength))
      bindings.set(`\n${variable}`, { dtype: tensor.dtype, shape: tensor.shape, value })
    }
  }
  const session = openSession(engine, id, '', bindings)
  if (metaGraph.initOp !== undefined) await session.run({}, [], [metaGraph.initOp])
  return {
    async call(name, inputs) {
      const signature = metaGraph.signatures.get(name)
      if (signature === undefined) throw new Error(`no signature ${name}`)
      const feeds = Object.fromEntries(
        Object.entries(inputs).map(([input, tensor]) => {
          const tensorName = signature.inputs.get(input)?.name
          if (tensorName === undefined) throw new Error(`no input ${input} in ${name}`)
          return [tensorName, tensor]
        }),
      )
      const outputs = [...signature.outputs]
      const fetches = outputs.map(([, info]) => info.name ?? '')
      const fetched = await session.run(feeds, fetches, [])
      return Object.fromEntries(outputs.map(([output], index) => [output, fetched[index]]))
    },
    close: () => session.close(),
  }
}
