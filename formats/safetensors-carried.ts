// Element types that safetensors has no name for (strings, complex128, quantized types): their bytes
// travel as U8, and the file's metadata says under one key what they are. Others read plain bytes;
// we read back what was written.
import {
  byteLengthOf,
  type DType,
  dtypeOfName,
  elementCountOf,
  kindOf,
  Refusal,
  type Shape,
  type TensorStream,
  unpackStrings,
} from '../tensor/index.ts'
import { collect } from './byte-source.ts'
import { parseStrictJson, type StrictJson } from './strict-json.ts'

/** Key of the metadata: a JSON object from tensor names to `{"dtype", "shape"}`. */
export const carriedKey = 'holdfast.carried_types'

const reason = 'safetensors/bad-carried-type'
const maxStringsByteLength = 2 ** 28

/** The tensor as its plain bytes, for a type that the format cannot hold. */
export function carriedAsBytes(tensor: TensorStream): TensorStream {
  return {
    name: tensor.name,
    dtype: 'uint8',
    shape: [tensor.byteLength],
    byteLength: tensor.byteLength,
    chunks: () => tensor.chunks(),
  }
}

/** The metadata's text for tensors that travel as bytes, sorted by name. */
export function carriedText(tensors: readonly TensorStream[]): string {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1))
  const members = sorted.map(({ name, dtype, shape }) => {
    return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}]}`
  })
  return `{${members.join(',')}}`
}

/**
 * The tensors with those that travelled as bytes in their own types again. Refuses (DATA_LOSS,
 * `safetensors/bad-carried-type`) a text that does not fit the tensors.
 */
export function restoreCarried(
  tensors: readonly TensorStream[],
  text: string | undefined,
): readonly TensorStream[] {
  if (text === undefined) return tensors
  const json = parseStrictJson(text, reason, 'The metadata of carried types')
  if (json.kind !== 'object') throw damaged('The metadata of carried types is not an object')
  const types = new Map([...json.members].map(([name, value]) => [name, typeOf(name, value)]))
  const known = new Set(tensors.map(({ name }) => name))
  for (const name of types.keys()) {
    if (!known.has(name)) throw damaged(`The carried tensor "${name.slice(0, 200)}" is not there`)
  }
  return tensors.map((tensor) => {
    const type = types.get(tensor.name)
    return type === undefined ? tensor : restored(tensor, type)
  })
}

interface CarriedType {
  readonly dtype: DType
  readonly shape: Shape
}

function typeOf(name: string, json: StrictJson): CarriedType {
  const dtype = json.kind === 'object' ? json.members.get('dtype') : undefined
  const shape = json.kind === 'object' ? json.members.get('shape') : undefined
  const type = dtype?.kind === 'string' ? dtypeOfName(dtype.text) : undefined
  const sizes = shape?.kind === 'array' ? shape.items.map(sizeOf) : [undefined]
  if (type === undefined || kindOf(type) === 'opaque' || sizes.includes(undefined)) {
    throw damaged(`The carried tensor "${name.slice(0, 200)}" has no element type and shape`)
  }
  return { dtype: type, shape: sizes as number[] }
}

function sizeOf(json: StrictJson): number | undefined {
  const size = json.kind === 'number' ? Number(json.text) : Number.NaN
  return Number.isSafeInteger(size) && size >= 0 ? size : undefined
}

function restored(tensor: TensorStream, { dtype, shape }: CarriedType): TensorStream {
  const { name, byteLength } = tensor
  const isString = dtype === 'string'
  const count = elementCountOf(shape)
  const wanted = count * (isString ? 4 : byteLengthOf(dtype))
  const fits = isString ? byteLength >= wanted : byteLength === wanted
  if (tensor.dtype !== 'uint8' || !fits) {
    throw damaged(`The carried tensor "${name.slice(0, 200)}" has bytes that do not fit its type`)
  }
  return { name, dtype, shape, byteLength, chunks: () => checked(tensor, isString, shape) }
}

async function* checked(
  tensor: TensorStream,
  isString: boolean,
  shape: Shape,
): AsyncGenerator<Uint8Array> {
  if (!isString) {
    yield* tensor.chunks()
    return
  }
  if (tensor.byteLength > maxStringsByteLength) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'safetensors/too-large',
      `The strings of "${tensor.name}" take ${tensor.byteLength} bytes; at most ${maxStringsByteLength} are read.`,
    )
  }
  const bytes = await collect(tensor.chunks(), tensor.byteLength)
  unpackStrings(shape, bytes)
  yield bytes
}

function damaged(problem: string): Refusal {
  return new Refusal('DATA_LOSS', reason, `${problem}.`)
}
