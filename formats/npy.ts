// NumPy's .npy: one array, its header a Python literal that is matched, never evaluated.
// Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
import {
  type ByteSource,
  byteLengthOf,
  type DType,
  elementCountOf,
  formatShape,
  kindOf,
  Refusal,
  type Shape,
  type TensorStream,
} from '../tensor/index.ts'
import { streamRange } from './byte-source.ts'
import {
  joinedOutputs,
  type OutputBytes,
  type OutputTensor,
  outputOf,
  outputOfTensor,
} from './output.ts'
import { wholeItems } from './slice-read.ts'

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
const maxHeader = 1024 * 1024
const alignment = 64
const defaultMaxReordered = 1024 * 1024 * 1024

/** NumPy's codes, without the byte order. */
const codes: Readonly<Partial<Record<DType, string>>> = {
  bool: 'b1',
  int8: 'i1',
  uint8: 'u1',
  int16: 'i2',
  uint16: 'u2',
  float16: 'f2',
  int32: 'i4',
  uint32: 'u4',
  float32: 'f4',
  int64: 'i8',
  uint64: 'u8',
  float64: 'f8',
  complex64: 'c8',
  complex128: 'c16',
}
const dtypesByCode = new Map(Object.entries(codes).map(([dtype, code]) => [code, dtype as DType]))

/** Whether NumPy has that element type. */
export function isNpyType(dtype: DType): boolean {
  return codes[dtype] !== undefined
}

function damaged(reason: string, problem: string, fix?: string): Refusal {
  const extras = fix === undefined ? {} : { fix }
  return new Refusal('DATA_LOSS', `npy/${reason}`, `The array ${problem}.`, extras)
}

/** Limits on an array that is read. */
export interface NpyLimits {
  /** Bytes of an array in Fortran order, which must be held at once to be put in row-major order. */
  readonly maxReorderedBytes?: number
}

/**
 * The array in `source`, as a tensor of that name. Byte order and Fortran order are undone. Refuses
 * (DATA_LOSS) with `npy/bad-magic`, `bad-version`, `bad-header`, `unsupported-dtype` or
 * `size-mismatch`, and RESOURCE_EXHAUSTED (`npy/too-large`).
 */
export async function openNpy(
  source: ByteSource,
  name: string,
  limits: NpyLimits = {},
): Promise<TensorStream> {
  const { header, end } = await readHeader(source)
  const { descr, isFortran, shape } = parseHeader(header)
  const { dtype, isBigEndian } = dtypeOfDescr(descr)
  const byteLength = checkedLength(dtype, shape)
  if (source.byteLength - end !== byteLength) {
    const has = `and ${source.byteLength - end} are there`
    throw damaged(
      'size-mismatch',
      `of ${dtype} ${formatShape(shape)} takes ${byteLength} bytes ${has}`,
    )
  }
  const itemLength = byteLengthOf(dtype)
  const swapLength = kindOf(dtype) === 'complex' ? itemLength / 2 : itemLength
  const isReordered = isFortran && shape.length > 1 && byteLength > 0
  const maxReordered = limits.maxReorderedBytes ?? defaultMaxReordered
  if (isReordered && byteLength > maxReordered) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'npy/too-large',
      `An array in Fortran order has ${byteLength} bytes; at most ${maxReordered} can be reordered.`,
      { fix: 'Save it in C order (numpy.ascontiguousarray).' },
    )
  }
  async function* chunks(): AsyncGenerator<Uint8Array> {
    if (isReordered) {
      const bytes = await source.read(end, byteLength)
      yield isBigEndian
        ? swapBytes(rowMajor(bytes, shape, itemLength), swapLength)
        : rowMajor(bytes, shape, itemLength)
      return
    }
    const stored = streamRange(source, end, byteLength)
    if (!isBigEndian) {
      yield* stored
      return
    }
    for await (const chunk of wholeItems(stored, swapLength)) {
      yield swapBytes(new Uint8Array(chunk), swapLength)
    }
  }
  return { name, dtype, shape, byteLength, chunks }
}

async function readHeader(source: ByteSource): Promise<{ header: string; end: number }> {
  if (source.byteLength < 10) throw damaged('bad-magic', `has ${source.byteLength} bytes only`)
  const start = await source.read(0, 8)
  if (magic.some((byte, index) => start[index] !== byte)) {
    throw damaged('bad-magic', 'does not begin as an .npy file does')
  }
  const [major, minor] = [start[6], start[7]]
  if (major < 1 || major > 3 || minor !== 0) {
    throw damaged('bad-version', `is of version ${major}.${minor}; 1.0, 2.0 and 3.0 are known`)
  }
  const lengthBytes = major === 1 ? 2 : 4
  if (source.byteLength < 8 + lengthBytes) throw damaged('bad-header', 'ends within its header')
  const bytes = await source.read(8, lengthBytes)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const length = major === 1 ? view.getUint16(0, true) : view.getUint32(0, true)
  const end = 8 + lengthBytes + length
  if (length > maxHeader || end > source.byteLength) {
    throw damaged('bad-header', `claims a header of ${length} bytes`)
  }
  const text = await source.read(8 + lengthBytes, length)
  return { header: new TextDecoder(major === 3 ? 'utf-8' : 'latin1').decode(text), end }
}

interface NpyHeader {
  readonly descr: string
  readonly isFortran: boolean
  readonly shape: Shape
}

const keyPattern = /\s*(?:'([a-z_]{1,20})'|"([a-z_]{1,20})")\s*:\s*/y
const stringPattern = /'([^'\\]{0,100})'|"([^"\\]{0,100})"/y
const boolPattern = /True|False/y
const tuplePattern = /\(\s*((?:[0-9]{1,16}L?\s*,\s*)*(?:[0-9]{1,16}L?)?)\s*\)/y
const endPattern = /\s*\}\s*$/y

/** A dictionary of exactly descr, fortran_order and shape, as Python prints it. */
function parseHeader(header: string): NpyHeader {
  const bad = () => damaged('bad-header', 'has a header that is not its description')
  const fields = new Map<string, string>()
  let at = header.startsWith('{') ? 1 : -1
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const found = pattern.exec(header)
    if (found !== null) at += found[0].length
    return found
  }
  while (at > 0 && match(endPattern) === null) {
    const key = match(keyPattern)
    const name = key?.[1] ?? key?.[2] ?? ''
    const pattern = { descr: stringPattern, fortran_order: boolPattern, shape: tuplePattern }[name]
    if (name === 'descr' && header[at] === '[') {
      throw damaged('unsupported-dtype', 'has several fields an element')
    }
    const value = pattern === undefined ? null : match(pattern)
    if (value === null || fields.has(name)) throw bad()
    fields.set(name, value[1] ?? value[2] ?? value[0])
    const separator = match(/\s*,?/y)
    if (!separator?.[0].includes(',') && !/^\s*\}/.test(header.slice(at))) throw bad()
  }
  const [descr, order, sizes] = ['descr', 'fortran_order', 'shape'].map((name) => fields.get(name))
  if (at < 0 || descr === undefined || order === undefined || sizes === undefined) throw bad()
  const parts = sizes.split(',').map((part) => part.trim().replace('L', ''))
  // A tuple of one has a comma after it: without it, it is a number in parentheses.
  if (parts.length === 1 && parts[0] !== '') throw bad()
  const shape = parts.filter((part) => part !== '').map(Number)
  return { descr, isFortran: order === 'True', shape }
}

function dtypeOfDescr(descr: string): { dtype: DType; isBigEndian: boolean } {
  const found = /^([<>|=])([a-zA-Z]\d*)$/.exec(descr)
  const dtype = found === null ? undefined : dtypesByCode.get(found[2])
  if (found !== null && dtype !== undefined) return { dtype, isBigEndian: found[1] === '>' }
  if (/^.?O/.test(descr)) {
    throw damaged('unsupported-dtype', 'holds Python objects, which are never unpickled')
  }
  const fix = /^.?V2$/.test(descr)
    ? 'Two-byte voids may be bfloat16: send them as safetensors, which names the type.'
    : /^.?[SUa]/.test(descr)
      ? 'Send strings as JSON or in a TensorFlow bundle.'
      : undefined
  throw damaged('unsupported-dtype', `is of the element type ${JSON.stringify(descr)}`, fix)
}

function checkedLength(dtype: DType, shape: Shape): number {
  try {
    return elementCountOf(shape) * byteLengthOf(dtype)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    throw damaged('bad-header', 'has more elements than can be')
  }
}

/** Reverses every component of `length` bytes, in place. */
function swapBytes(bytes: Uint8Array, length: number): Uint8Array {
  if (length === 1) return bytes
  for (let at = 0; at < bytes.byteLength; at += length) bytes.subarray(at, at + length).reverse()
  return bytes
}

/** The bytes of an array whose first axis runs fastest, with the last running fastest. */
function rowMajor(bytes: Uint8Array, shape: Shape, itemLength: number): Uint8Array {
  const strides: number[] = []
  let stride = 1
  for (const size of shape) {
    strides.push(stride)
    stride *= size
  }
  const out = new Uint8Array(bytes.byteLength)
  const index = shape.map(() => 0)
  let from = 0
  for (let to = 0; to < out.byteLength; to += itemLength) {
    const start = from * itemLength
    for (let byte = 0; byte < itemLength; byte++) out[to + byte] = bytes[start + byte]
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]
      if (++index[axis] < shape[axis]) break
      from -= strides[axis] * shape[axis]
      index[axis] = 0
    }
  }
  return out
}

/**
 * An .npy file of the tensor, version 1.0, in C order. Refuses (INVALID_ARGUMENT,
 * `npy/unsupported-dtype`) types that NumPy itself does not have.
 */
export function writeNpy(tensor: OutputTensor): OutputBytes {
  const { dtype, shape } = tensor
  const code = codes[dtype]
  if (code === undefined) {
    const fix = dtype === 'string' ? 'Take it as JSON.' : 'Take it as safetensors or raw bytes.'
    const message = `The tensor "${tensor.name}" is of ${dtype}, which .npy cannot name.`
    throw new Refusal('INVALID_ARGUMENT', 'npy/unsupported-dtype', message, { fix })
  }
  const order = byteLengthOf(dtype) === 1 ? '|' : '<'
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const text = `{'descr': '${order}${code}', 'fortran_order': False, 'shape': (${sizes}), }`
  const length = Math.ceil((10 + text.length + 1) / alignment) * alignment
  const header = new Uint8Array(length).fill(0x20)
  header.set([...magic, 1, 0])
  new DataView(header.buffer).setUint16(8, length - 10, true)
  header.set(new TextEncoder().encode(text), 10)
  header[length - 1] = 0x0a
  return joinedOutputs([outputOf(header), outputOfTensor(tensor)])
}
