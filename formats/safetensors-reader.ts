// Reads safetensors: a length, a JSON header that places every tensor, the bytes without gaps.
// Source: https://huggingface.co/docs/safetensors/index#format
import {
  type ByteSource,
  byteLengthOf,
  type DType,
  elementCountOf,
  formatShape,
  Refusal,
  type TensorStream,
} from '../tensor/index.ts'
import { sliceSource, streamRange } from './byte-source.ts'
import { carriedKey, restoreCarried } from './carried-types.ts'
import { parseStrictJson, type StrictJson } from './strict-json.ts'

/** The header may be this long, as in the reference implementation. */
export const maxHeaderLength = 100_000_000

/** The format's names of the element types that it can hold. */
export const safetensorsTypes: Readonly<Partial<Record<DType, string>>> = {
  bool: 'BOOL',
  uint8: 'U8',
  int8: 'I8',
  float8_e5m2: 'F8_E5M2',
  float8_e4m3fn: 'F8_E4M3',
  int16: 'I16',
  uint16: 'U16',
  float16: 'F16',
  bfloat16: 'BF16',
  int32: 'I32',
  uint32: 'U32',
  float32: 'F32',
  complex64: 'C64',
  float64: 'F64',
  int64: 'I64',
  uint64: 'U64',
}

const dtypesByName = new Map(
  Object.entries(safetensorsTypes).map(([dtype, name]) => [name, dtype as DType]),
)

/** The tensors of a file, in the order of their bytes, and its free text. */
export interface Safetensors {
  readonly tensors: readonly TensorStream[]
  readonly metadata: ReadonlyMap<string, string>
}

function damaged(reason: string, problem: string, tensor?: string): Refusal {
  const names: Readonly<Record<string, string>> = tensor === undefined ? {} : { tensor }
  return new Refusal('DATA_LOSS', `safetensors/${reason}`, `${problem}.`, { names })
}

/**
 * Opens a safetensors file. Refuses (DATA_LOSS) with `safetensors/bad-length`, `bad-header`,
 * `bad-tensor`, `unsupported-dtype`, `size-mismatch`, `overlap`, `hole`, `trailing-bytes` or
 * `bad-carried-type`.
 */
export async function openSafetensors(source: ByteSource): Promise<Safetensors> {
  if (source.byteLength < 8) {
    throw damaged('bad-length', `A file of ${source.byteLength} bytes has no header length`)
  }
  const start = await source.read(0, 8)
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true)
  if (length < 2n || length > BigInt(Math.min(maxHeaderLength, source.byteLength - 8))) {
    const of = `in a file of ${source.byteLength} bytes; at most ${maxHeaderLength} are allowed`
    throw damaged('bad-length', `The header claims ${length} bytes ${of}`)
  }
  const headerEnd = 8 + Number(length)
  const members = parseHeader(await source.read(8, Number(length)))
  const metadata = readMetadata(members.get('__metadata__'))
  const body = sliceSource(source, headerEnd, source.byteLength - headerEnd)
  const placed = [...members]
    .filter(([name]) => name !== '__metadata__')
    .map(([name, value]) => readTensor(name, value, body))
  placed.sort((a, b) => a.begin - b.begin || a.end - b.end)
  checkTiling(placed, body.byteLength)
  const tensors = placed.map(({ tensor }) => tensor)
  const carried = metadata.get(carriedKey)
  metadata.delete(carriedKey)
  return { tensors: restoreCarried('safetensors', tensors, carried), metadata }
}

function parseHeader(bytes: Uint8Array): ReadonlyMap<string, StrictJson> {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw damaged('bad-header', 'The header is not UTF-8')
  }
  if (!text.startsWith('{')) throw damaged('bad-header', 'The header does not begin with "{"')
  const json = parseStrictJson(text, 'safetensors/bad-header', 'The header')
  if (json.kind !== 'object') throw damaged('bad-header', 'The header is not an object')
  return json.members
}

function readMetadata(json: StrictJson | undefined): Map<string, string> {
  const metadata = new Map<string, string>()
  if (json === undefined) return metadata
  if (json.kind !== 'object') throw damaged('bad-header', 'The metadata is not an object')
  for (const [key, value] of json.members) {
    if (value.kind !== 'string') {
      throw damaged('bad-header', `The metadata "${key.slice(0, 200)}" is not a string`)
    }
    metadata.set(key, value.text)
  }
  return metadata
}

interface Placed {
  readonly tensor: TensorStream
  readonly begin: number
  readonly end: number
}

function readTensor(name: string, json: StrictJson, body: ByteSource): Placed {
  const shown = `The tensor "${name.slice(0, 200)}"`
  const bad = (problem: string) => damaged('bad-tensor', `${shown} ${problem}`, name)
  if (json.kind !== 'object') throw bad('is not described by an object')
  const unknown = [...json.members.keys()].find(
    (key) => key !== 'dtype' && key !== 'shape' && key !== 'data_offsets',
  )
  if (unknown !== undefined) throw bad(`has the unknown key ${JSON.stringify(unknown)}`)
  const type = json.members.get('dtype')
  if (type?.kind !== 'string') throw bad('has no element type')
  const dtype = dtypesByName.get(type.text)
  if (dtype === undefined) {
    const problem = `${shown} is of ${type.text.slice(0, 100)}, which is not supported`
    throw damaged('unsupported-dtype', problem, name)
  }
  const shape = wholeNumbers(json.members.get('shape'))
  const offsets = wholeNumbers(json.members.get('data_offsets'))
  if (shape === undefined) throw bad('has no shape of whole numbers')
  if (offsets?.length !== 2) throw bad('has no begin and end of whole numbers')
  const [begin, end] = offsets
  if (begin > end || end > body.byteLength) {
    throw bad(`is placed from ${begin} to ${end} of ${body.byteLength} bytes`)
  }
  const byteLength = checkedLength(dtype, shape, shown, name)
  if (byteLength !== end - begin) {
    const wanted = `takes ${byteLength} bytes as ${dtype} ${formatShape(shape)}`
    throw damaged('size-mismatch', `${shown} ${wanted}, and has ${end - begin}`, name)
  }
  const chunks = () => streamRange(body, begin, byteLength)
  return { tensor: { name, dtype, shape, byteLength, chunks }, begin, end }
}

/** The list of whole numbers of 0 or more that fit a double exactly; undefined for anything else. */
function wholeNumbers(json: StrictJson | undefined): number[] | undefined {
  if (json?.kind !== 'array') return undefined
  const numbers = json.items.map((item) =>
    item.kind === 'number' && /^[0-9]{1,16}$/.test(item.text) ? Number(item.text) : Number.NaN,
  )
  return numbers.every(Number.isSafeInteger) ? numbers : undefined
}

function checkedLength(
  dtype: DType,
  shape: readonly number[],
  shown: string,
  name: string,
): number {
  try {
    return elementCountOf(shape) * byteLengthOf(dtype)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    throw damaged('size-mismatch', `${shown} has more elements than can be`, name)
  }
}

/** The bytes after the header must be covered exactly once. */
function checkTiling(placed: readonly Placed[], byteLength: number): void {
  let at = 0
  for (const { tensor, begin, end } of placed) {
    if (begin !== at) {
      const problem = begin < at ? 'overlaps the one before' : 'leaves a hole before it'
      const reason = begin < at ? 'overlap' : 'hole'
      throw damaged(reason, `The tensor "${tensor.name.slice(0, 200)}" ${problem}`, tensor.name)
    }
    at = end
  }
  if (at !== byteLength) {
    throw damaged('trailing-bytes', `${byteLength - at} bytes follow the last tensor`)
  }
}
