// Element types that safetensors or NumPy have no name for (strings, quantized types, bfloat16 ..): they
// travel as plain bytes or unsigned numbers, and a text that travels along says what they are. Others read
// the plain numbers; we read back what was written.
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
import type { OutputTensor } from './output.ts'
import { parseStrictJson, type StrictJson } from './strict-json.ts'

/** Where the text is: key of safetensors' metadata, name of an array of its bytes in .npz. */
export const carriedKey = 'holdfast.carried_types'

/** The formats that carry types so. */
type Area = 'safetensors' | 'npz'

const maxStringsByteLength = 2 ** 28

/** The tensor as its plain bytes, for a type that the format cannot hold. */
export function carriedAsBytes(tensor: OutputTensor): OutputTensor {
  return { ...tensor, dtype: 'uint8', shape: [tensor.byteLength] }
}

const unsigned: Readonly<Partial<Record<number, DType>>> = { 1: 'uint8', 2: 'uint16', 4: 'uint32' }

/** The same, but of numbers that are as wide as the elements, where there are such. */
export function carriedAsNumbers(tensor: OutputTensor): OutputTensor {
  const dtype = tensor.dtype === 'string' ? undefined : unsigned[byteLengthOf(tensor.dtype)]
  return dtype === undefined ? carriedAsBytes(tensor) : { ...tensor, dtype }
}

/** The text for tensors that travel as bytes, sorted by name. */
export function carriedText(tensors: readonly TensorStream[]): string {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1))
  const members = sorted.map(({ name, dtype, shape }) => {
    return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}]}`
  })
  return `{${members.join(',')}}`
}

/**
 * The tensors with those that travelled in another form in their own types again. Refuses (DATA_LOSS,
 * `safetensors/bad-carried-type`, `npz/bad-carried-type`) a text that does not fit the tensors.
 */
export function restoreCarried(
  area: Area,
  tensors: readonly TensorStream[],
  text: string | undefined,
): readonly TensorStream[] {
  if (text === undefined) return tensors
  const json = parseStrictJson(text, reasonOf(area), 'The text of carried types')
  if (json.kind !== 'object') throw damaged(area, 'The text of carried types is not an object')
  const types = new Map([...json.members].map(([name, value]) => [name, typeOf(area, name, value)]))
  const known = new Set(tensors.map(({ name }) => name))
  for (const name of types.keys()) {
    if (!known.has(name)) throw damaged(area, `The carried ${shownName(name)} is not there`)
  }
  return tensors.map((tensor) => {
    const type = types.get(tensor.name)
    return type === undefined ? tensor : restored(area, tensor, type)
  })
}

function shownName(name: string): string {
  return `tensor "${name.slice(0, 200)}"`
}

interface CarriedType {
  readonly dtype: DType
  readonly shape: Shape
}

function typeOf(area: Area, name: string, json: StrictJson): CarriedType {
  const dtype = json.kind === 'object' ? json.members.get('dtype') : undefined
  const shape = json.kind === 'object' ? json.members.get('shape') : undefined
  const type = dtype?.kind === 'string' ? dtypeOfName(dtype.text) : undefined
  const sizes = shape?.kind === 'array' ? shape.items.map(sizeOf) : [undefined]
  if (type === undefined || kindOf(type) === 'opaque' || sizes.includes(undefined)) {
    throw damaged(area, `The carried ${shownName(name)} has no element type and shape`)
  }
  return { dtype: type, shape: sizes as number[] }
}

function sizeOf(json: StrictJson): number | undefined {
  const size = json.kind === 'number' ? Number(json.text) : Number.NaN
  return Number.isSafeInteger(size) && size >= 0 ? size : undefined
}

function restored(area: Area, tensor: TensorStream, { dtype, shape }: CarriedType): TensorStream {
  const { name, byteLength } = tensor
  const isString = dtype === 'string'
  const wanted = leastLength(area, name, { dtype, shape })
  const fits = isString ? byteLength >= wanted : byteLength === wanted
  if (!Object.values(unsigned).includes(tensor.dtype) || !fits) {
    throw damaged(area, `The carried ${shownName(name)} has bytes that do not fit its type`)
  }
  return { name, dtype, shape, byteLength, chunks: () => checked(tensor, isString, shape) }
}

/** Bytes that the tensor has at least; numbers have just so many. */
function leastLength(area: Area, name: string, { dtype, shape }: CarriedType): number {
  try {
    return elementCountOf(shape) * (dtype === 'string' ? 4 : byteLengthOf(dtype))
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    throw damaged(area, `The carried ${shownName(name)} has more elements than can be`)
  }
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

function reasonOf(area: Area): string {
  return `${area}/bad-carried-type`
}

function damaged(area: Area, problem: string): Refusal {
  return new Refusal('DATA_LOSS', reasonOf(area), `${problem}.`)
}
