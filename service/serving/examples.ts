// Classify and regress requests: JSON examples as serialized tf.Example messages.
// Source: tensorflow_serving/util/json_tensor.cc; the sentences are TensorFlow Serving's.
import { bytesOfBase64, type Draft, encodeExample } from '../../proto/index.ts'
import { stringTensor, type Tensor } from '../../tensor/index.ts'
import { base64Of, kindName, type ServingJson } from './json.ts'
import { invalid } from './request.ts'
import { shownJson } from './writer.ts'

type Members = ReadonlyMap<string, ServingJson>
type Kind = 'bytes' | 'float' | 'int64'
type FeatureMap = Map<string, Draft<'Feature'>>

/** The examples of a request, serialized: a string tensor of shape `[examples]`. */
export function exampleInputs(request: Members): Tensor {
  const context = request.get('context')
  const shared = context === undefined ? undefined : featuresOf(context)
  const examples = request.get('examples')
  if (examples === undefined) {
    throw invalid(
      `JSON Value: ${shownJson(request)} When method is classify, key 'examples' is expected and was not found`,
    )
  }
  if (!Array.isArray(examples)) {
    throw invalid(
      `JSON Value: ${shownJson(request)} Expecting 'examples' value to be an list/array`,
    )
  }
  if (examples.length === 0) {
    throw invalid(`JSON Value: ${shownJson(request)} 'examples' value is an empty array`)
  }
  const serialized = examples.map((example) =>
    encodeExample({ features: { feature: new Map([...(shared ?? []), ...featuresOf(example)]) } }),
  )
  return stringTensor([examples.length], serialized)
}

function featuresOf(example: ServingJson): FeatureMap {
  if (!(example instanceof Map)) {
    throw invalid(`Example must be JSON object but got JSON ${kindName(example)}`)
  }
  const features: FeatureMap = new Map()
  for (const [name, value] of example as Members) {
    features.set(name, featureOf(name, Array.isArray(value) ? value : [value]))
  }
  return features
}

function featureOf(name: string, values: readonly ServingJson[]): Draft<'Feature'> {
  let kind: Kind | undefined
  const bytes: Uint8Array[] = []
  const floats: number[] = []
  const integers: bigint[] = []
  for (const value of values) {
    const found = kindOf(name, value)
    if (kind !== undefined && kind !== found) {
      throw invalid(`Unexpected element type in feature: ${name} expecting type: ${kind}`)
    }
    kind = found
    if (found === 'bytes') bytes.push(bytesOf(value))
    else if (found === 'float') floats.push(value as number)
    else integers.push(integerOf(name, value as bigint | boolean))
  }
  switch (kind) {
    case undefined:
      return {}
    case 'bytes':
      return { bytes_list: { value: bytes } }
    case 'float':
      return { float_list: { value: floats } }
    case 'int64':
      return { int64_list: { value: integers } }
    default:
      return kind satisfies never
  }
}

function kindOf(name: string, value: ServingJson): Kind {
  if (typeof value === 'string' || base64Of(value) !== undefined) return 'bytes'
  if (typeof value === 'number') return 'float'
  if (typeof value === 'bigint' || typeof value === 'boolean') return 'int64'
  throw invalid(`Feature: ${name} has element with unexpected JSON type: ${kindName(value)}`)
}

function bytesOf(value: ServingJson): Uint8Array {
  if (typeof value === 'string') return new TextEncoder().encode(value)
  const bytes = bytesOfBase64(base64Of(value) ?? '')
  if (bytes === undefined) throw invalid('Unable to base64 decode')
  return bytes
}

function integerOf(name: string, value: bigint | boolean): bigint {
  if (typeof value === 'boolean') return value ? 1n : 0n
  if (value < -(2n ** 63n) || value >= 2n ** 63n) {
    throw invalid(`Feature: ${name} has uint64 element. Only int64_t is supported.`)
  }
  return value
}
