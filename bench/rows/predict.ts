// Models on the engine (worker hop included, no HTTP) against tfjs' WebAssembly backend running the same
// network with the same weights in the same process.
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import * as tf from '@tensorflow/tfjs-core'
import { withDevice } from '../../conformance/devices.ts'
import { checksumTools, folderFiles } from '../../conformance/folder.ts'
import { loadSavedModel } from '../../conformance/saved-model.ts'
import { collect, openBundle } from '../../formats/index.ts'
import { numericTensor } from '../../tensor/index.ts'
import { type Row, rateOf } from '../frame.ts'

const models = resolve(import.meta.dirname, '../../test/golden/saved_models')

interface Network {
  readonly model: string
  readonly signature: string
  readonly input: string
  /** Without the batch. */
  readonly shape: readonly number[]
  readonly rival: (weights: Weights, x: tf.Tensor) => tf.Tensor
}

type Weights = (name: string) => tf.Tensor

const kerasVariable = (index: number): string => `variables/${index}/.ATTRIBUTES/VARIABLE_VALUE`

const networks: readonly Network[] = [
  {
    model: 'keras_mlp',
    signature: 'serving_default',
    input: 'keras_tensor',
    shape: [20],
    rival: mlp,
  },
  {
    model: 'convnet_tf1',
    signature: 'serving_default',
    input: 'image',
    shape: [28, 28, 1],
    rival: convnet,
  },
]

/** Dense and relu, batch normalization, dense and gelu, dense and softmax: the layers of keras_mlp. */
function mlp(weights: Weights, x: tf.Tensor): tf.Tensor {
  const named = (index: number) => weights(kerasVariable(index))
  const hidden = tf.relu(tf.add(tf.matMul(x as tf.Tensor2D, named(0) as tf.Tensor2D), named(1)))
  const scale = tf.mul(tf.rsqrt(tf.add(named(5), 0.001)), named(2))
  const normal = tf.add(tf.mul(hidden, scale), tf.sub(named(3), tf.mul(named(4), scale)))
  const second = tf.add(tf.matMul(normal as tf.Tensor2D, named(7) as tf.Tensor2D), named(8))
  const gelu = tf.mul(tf.mul(second, 0.5), tf.add(tf.erf(tf.mul(second, Math.SQRT1_2)), 1))
  return tf.softmax(tf.add(tf.matMul(gelu as tf.Tensor2D, named(9) as tf.Tensor2D), named(10)))
}

/** Two convolutions with relu and pooling, then a dense layer: the layers of convnet_tf1. */
function convnet(weights: Weights, x: tf.Tensor): tf.Tensor {
  const layer = (input: tf.Tensor, name: string): tf.Tensor => {
    const filter = weights(`${name}/weights`) as tf.Tensor4D
    const convolved = tf.conv2d(input as tf.Tensor4D, filter, 1, 'same')
    return tf.maxPool(
      tf.relu(tf.add(convolved, weights(`${name}/biases`))) as tf.Tensor4D,
      2,
      2,
      'same',
    )
  }
  const features = tf.reshape(layer(layer(x, 'conv1'), 'conv2'), [-1, 784])
  const logits = tf.matMul(features as tf.Tensor2D, weights('fc/weights') as tf.Tensor2D)
  return tf.softmax(tf.add(logits, weights('fc/biases')))
}

/** Has tfjs compute by WebAssembly. */
export async function useTfjs(): Promise<void> {
  const wasmFolder = resolve(
    import.meta.dirname,
    '../node_modules/@tensorflow/tfjs-backend-wasm/dist',
  )
  setWasmPaths(`${pathToFileURL(wasmFolder).pathname}/`)
  await tf.setBackend('wasm')
}

/** Rows at batch 1 and 32; `close` ends the engine. */
export async function predictRows(): Promise<{
  readonly rows: readonly Row[]
  close(): Promise<void>
}> {
  await useTfjs()
  const rows: Row[] = []
  const closing = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  const engine = withDevice('cpu', async (bench) => {
    for (const network of networks) {
      const loaded = await loadSavedModel(bench, join(models, network.model), network.model)
      const weights = await weightsOf(network.model)
      for (const batch of [1, 32]) rows.push(rowOf(network, batch, loaded, weights))
    }
    opened.resolve()
    await closing.promise
  })
  engine.catch(opened.reject)
  await opened.promise
  return {
    rows,
    async close() {
      closing.resolve()
      await engine
    },
  }
}

function rowOf(
  network: Network,
  batch: number,
  loaded: Awaited<ReturnType<typeof loadSavedModel>>,
  weights: Weights,
): Row {
  const shape = [batch, ...network.shape]
  const count = shape.reduce((product, size) => product * size, 1)
  const values = Float32Array.from({ length: count }, (_, index) => Math.sin(index))
  const ours = (): Promise<unknown> => {
    const input = numericTensor('float32', shape, new Uint8Array(values.slice().buffer))
    return loaded.call(network.signature, { [network.input]: input })
  }
  const theirs = async (): Promise<unknown> => {
    const x = tf.tensor(values, [...shape])
    const y = tf.tidy(() => network.rival(weights, x))
    const answer = await y.data()
    tf.dispose([x, y])
    return answer
  }
  return {
    name: `predict ${network.model}, batch ${batch}, CPU`,
    unit: 'runs/s',
    ours: () => rateOf(ours),
    against: { name: 'tfjs-wasm', sample: () => rateOf(theirs) },
    wanted: 2,
  }
}

async function weightsOf(model: string): Promise<Weights> {
  const files = folderFiles(join(models, model))
  const bundle = await openBundle(files, 'variables/variables', checksumTools)
  const weights = new Map<string, tf.Tensor>()
  for (const tensor of bundle.tensors.filter(({ dtype }) => dtype === 'float32')) {
    const bytes = await collect(tensor.chunks(), tensor.byteLength)
    weights.set(tensor.name, tf.tensor(new Float32Array(bytes.slice().buffer), [...tensor.shape]))
  }
  return (name) => {
    const found = weights.get(name)
    if (found === undefined) throw new Error(`${model} has no ${name}`)
    return found
  }
}
