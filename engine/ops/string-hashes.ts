// Hash buckets and fingerprints of strings.
import { elementCountOf, formatShape, numericTensor, type Tensor } from '../../tensor/index.ts'
import { fingerprint64, hash64, sipHash } from '../text/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { invalid } from './shapes.ts'
import { mapToNumbers, stringsOf } from './string-values.ts'
import type { TensorValue } from './value.ts'

/** The bucket of each string. */
function buckets(
  at: Lowering,
  input: TensorValue,
  hash: (bytes: Uint8Array) => bigint,
): readonly TensorValue[] {
  const count = at.attributes.bigint('num_buckets')
  return [mapToNumbers(at, input, 'int64', (bytes) => hash(bytes) % count)]
}

function bucketOp(name: string, input: string, hash: (bytes: Uint8Array) => bigint): OpDefinition {
  return defineOp({
    name,
    inputs: [`${input}: string`],
    outputs: ['output: int64'],
    attributes: ['num_buckets: int >= 1'],
    infer: (shapes) => shapes,
    lower: (at) => buckets(at, at.input(input), hash),
  })
}

const strong = defineOp({
  name: 'StringToHashBucketStrong',
  inputs: ['input: string'],
  outputs: ['output: int64'],
  attributes: ['num_buckets: int >= 1', 'key: list(int)'],
  infer: (shapes) => shapes,
  lower: (at) => {
    const words = at.attributes.raw('key')?.list?.i ?? []
    if (words.length !== 2) {
      throw invalid('graph/attribute', 'Key must have 2 elements')
    }
    const key = [BigInt.asUintN(64, words[0]), BigInt.asUintN(64, words[1])] as const
    return buckets(at, at.input('input'), (bytes) => sipHash(bytes, key))
  },
})

/** Eight bytes for each string, or for each row of numbers as its bytes lie in memory. */
const fingerprint = defineOp({
  name: 'Fingerprint',
  inputs: ['data: T', 'method: string'],
  outputs: ['fingerprint: uint8'],
  attributes: ['T: type'],
  lower: (at) => {
    const input = at.input('data')
    const [method] = stringsOf(at.contentOf(at.input('method')))
    const name = new TextDecoder().decode(method)
    if (name !== 'farmhash64') {
      throw invalid('graph/attribute', `Unsupported fingerprint method: ${name}`)
    }
    if (input.shape.length === 0) {
      throw invalid(
        'shape/mismatch',
        `Data's shape must have at least one dimension, got ${formatShape(input.shape)}`,
      )
    }
    const [rows] = input.shape
    return at.step({
      inputs: [input],
      outputs: [{ dtype: 'uint8', shape: [rows, 8] }],
      run: ([tensor]) => [fingerprintsOf(tensor, rows)],
    })
  },
})

function fingerprintsOf(tensor: Tensor, rows: number): Tensor {
  const words = new BigUint64Array(rows)
  if (tensor.dtype === 'string') {
    const width = elementCountOf(tensor.shape) / Math.max(rows, 1)
    for (let row = 0; row < rows; row++) {
      const prints = tensor.strings.slice(row * width, (row + 1) * width).map(fingerprint64)
      // Several strings of a row are fingerprinted by their fingerprints.
      const joined = new Uint8Array(BigUint64Array.from(prints).buffer)
      words[row] = tensor.shape.length === 1 ? prints[0] : fingerprint64(joined)
    }
  } else {
    const width = tensor.bytes.byteLength / Math.max(rows, 1)
    for (let row = 0; row < rows; row++) {
      words[row] = fingerprint64(tensor.bytes.subarray(row * width, (row + 1) * width))
    }
  }
  return numericTensor('uint8', [rows, 8], new Uint8Array(words.buffer))
}

/** Hashes of strings. */
export const hashOps: readonly OpDefinition[] = [
  bucketOp('StringToHashBucketFast', 'input', fingerprint64),
  bucketOp('StringToHashBucket', 'string_tensor', hash64),
  strong,
  fingerprint,
]
