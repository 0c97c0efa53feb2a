// A SavedModel on the engine's port without a store: variables from its bundle, its main op run, its
// signatures to call. What the service does with a store and HTTP.

import type { ValueBinding } from '../engine/index.ts'
import {
  collect,
  openBundle,
  readSavedModel,
  selectMetaGraph,
  sliceTensor,
} from '../formats/index.ts'
import { encodeGraphDef } from '../proto/index.ts'
import { stringTensor, type Tensor } from '../tensor/index.ts'
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

/** Loads the model in the folder `path` (tags: serve, or its only graph) under the graph id `id`. */
export async function loadSavedModel(
  { engine, keep }: Bench,
  path: string,
  id: string,
): Promise<LoadedModel> {
  const files = folderFiles(path)
  const model = await readSavedModel(files)
  const [only, ...others] = model.metaGraphs
  const metaGraph = others.length === 0 ? only : selectMetaGraph(model, ['serve'])
  await engine.load(id, encodeGraphDef(metaGraph.graphDef))
  const bindings = new Map<string, ValueBinding>()
  if (model.variables?.format === 'v2' && metaGraph.restore !== undefined) {
    const bundle = await openBundle(files, model.variables.prefix, checksumTools)
    const byKey = new Map(bundle.tensors.map((tensor) => [tensor.name, tensor]))
    for (const { checkpointKey, variable, sliceSpec } of metaGraph.restore.variables) {
      const stored = byKey.get(checkpointKey)
      if (stored === undefined) throw new Error(`no ${checkpointKey} for ${variable}`)
      const tensor = sliceTensor(stored, sliceSpec)
      const value = keep(await collect(tensor.chunks(), tensor.byteLength))
      bindings.set(`\n${variable}`, { dtype: tensor.dtype, shape: tensor.shape, value })
    }
  }
  const session = openSession(engine, id, '', bindings)
  const assets = metaGraph.assets.map(({ tensorName, filename }) => {
    return [tensorName, stringTensor([], [Buffer.from(filename)])] as const
  })
  if (metaGraph.initOp !== undefined) {
    await session.run(Object.fromEntries(assets), [], [metaGraph.initOp])
  }
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
