// Tensors as JSON: nested lists, or raw bytes as base64, with the element type and the shape beside.
// Nothing is rounded to fit: 64-bit integers that a double cannot hold are strings, and what does
// not fit its type is refused.
import { base64OfBytes, bytesOfBase64, type JsonValue } from '../proto/index.ts'
import {
  type DType,
  dtypeOfName,
  type Element,
  elementArrayOf,
  elementCountOf,
  fitsShape,
  formatShape,
  isNumeric,
  kindOf,
  type NumericDType,
  numericTensor,
  type PartialShape,
  Refusal,
  readElement,
  roundToBfloat16,
  type Shape,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../tensor/index.ts'

/** Limits on a tensor that is read from JSON, and what is known of it beforehand. */
export interface WantedTensor {
  readonly dtype?: DType | undefined
  /** Sizes of -1 are free. */
  readonly shape?: PartialShape
  /** Elements that a list may hold; ten times as many fit into base64 of the same length. */
  readonly maxElements?: number
}

const defaultMaxElements = 1_000_000

/** How a tensor's values are written. */
export interface JsonEncoding {
  /** `b64`: raw little-endian bytes as base64 in place of a nested list. Strings stay a list. */
  readonly encoding?: 'b64' | undefined
}

/** A tensor as a JSON value: `{dtype, shape, value}` or `{dtype, shape, b64}`. */
export function tensorToJson(tensor: Tensor, { encoding }: JsonEncoding = {}): JsonValue {
  const { dtype, shape } = tensor
  if (encoding === 'b64' && tensor.dtype !== 'string') {
    return { dtype, shape, b64: base64OfBytes(tensor.bytes) }
  }
  return { dtype, shape, value: tensorValueToJson(tensor) }
}

/** The values of a tensor as nested lists; a scalar's value alone. */
export function tensorValueToJson(tensor: Tensor): JsonValue {
  let at = 0
  const next = nextElement(tensor)
  const build = (axis: number): JsonValue => {
    if (axis === tensor.shape.length) return next(at++)
    return Array.from({ length: tensor.shape[axis] }, () => build(axis + 1))
  }
  return build(0)
}

function nextElement(tensor: Tensor): (index: number) => JsonValue {
  if (tensor.dtype === 'string') return (index) => jsonOfString(tensor.strings[index])
  const { dtype } = tensor
  const array = elementArrayOf(dtype, tensor.bytes)
  return (index) => jsonOfElement(dtype, readElement(dtype, array, index))
}

function jsonOfString(bytes: Uint8Array): JsonValue {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return { b64: base64OfBytes(bytes) }
  }
}

function jsonOfElement(dtype: NumericDType, element: Element): JsonValue {
  if (typeof element === 'boolean') return element
  if (typeof element === 'bigint') {
    const number = Number(element)
    return Number.isSafeInteger(number) ? number : String(element)
  }
  if (typeof element === 'number') return jsonOfNumber(dtype, element)
  const part = dtype === 'complex64' ? 'float32' : 'float64'
  return element.map((component) => jsonOfNumber(part, component))
}

function jsonOfNumber(dtype: NumericDType, value: number): JsonValue {
  if (!Number.isFinite(value)) return String(value)
  const round = rounders[dtype]
  if (round === undefined || Number.isInteger(value)) return value
  for (let digits = 2; digits <= 9; digits++) {
    const shorter = Number(value.toPrecision(digits))
    if (round(shorter) === value) return shorter
  }
  return value
}

/** To the nearest value of a type narrower than a double. */
const rounders: Readonly<Partial<Record<DType, (value: number) => number>>> = {
  float32: Math.fround,
  float16: (value) => new Float16Array([value])[0],
  bfloat16: roundToBfloat16,
}

/**
 * The text of a JSON value. Unlike JSON.stringify it keeps the sign of a negative zero, which JSON
 * can say and tensors can hold.
 */
export function jsonText(value: JsonValue): string {
  if (Object.is(value, -0)) return '-0'
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (isList(value)) return `[${value.map(jsonText).join(',')}]`
  const members = Object.entries(value)
  return `{${members.map(([key, item]) => `${JSON.stringify(key)}:${jsonText(item)}`).join(',')}}`
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function refusal(reason: string, message: string, fix?: string): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    `tensor/${reason}`,
    message,
    fix === undefined ? {} : { fix },
  )
}

const knownKeys = new Set(['dtype', 'shape', 'value', 'b64'])

/**
 * The tensor that a JSON value gives: an object as {@link tensorToJson} makes it, or a bare nested
 * list where the type is wanted beforehand. Refuses INVALID_ARGUMENT (`tensor/…`): a type or shape
 * that is unknown or not the wanted one, ragged lists, values that the type cannot hold; and
 * RESOURCE_EXHAUSTED (`tensor/too-many-elements`).
 */
export function tensorOfJson(json: JsonValue, wanted: WantedTensor = {}): Tensor {
  const isObject = typeof json === 'object' && json !== null && !isList(json)
  const isBytes = isObject && wanted.dtype === 'string' && isBase64Object(json)
  if (!isObject || isBytes) return tensorOfValue(json, dtypeOf(undefined, wanted), wanted)
  const members: { readonly [key: string]: JsonValue } = json
  const unknown = Object.keys(members).find((key) => !knownKeys.has(key))
  if (unknown !== undefined) {
    const shown = JSON.stringify(unknown.slice(0, 100))
    throw refusal('bad-json', `A tensor has no ${shown}; it has dtype, shape and value or b64.`)
  }
  const { value, b64 } = members
  if ((value === undefined) === (b64 === undefined)) {
    throw refusal('bad-json', 'A tensor has either "value" or "b64".')
  }
  const dtype = dtypeOf(members.dtype, wanted)
  const shape = shapeOf(members.shape, wanted)
  if (value !== undefined) return tensorOfValue(value, dtype, { ...wanted, shape })
  return tensorOfBase64(b64, dtype, shape)
}

function dtypeOf(given: JsonValue | undefined, wanted: WantedTensor): DType {
  if (given === undefined) {
    if (wanted.dtype !== undefined) return wanted.dtype
    throw refusal('dtype-missing', 'The element type is not known: give "dtype".')
  }
  const dtype = typeof given === 'string' ? dtypeOfName(given) : undefined
  if (dtype === undefined || (dtype !== 'string' && !isNumeric(dtype))) {
    const shown = JSON.stringify(given).slice(0, 100)
    throw refusal('unknown-dtype', `The element type ${shown} is none that a tensor can have.`)
  }
  if (wanted.dtype === undefined || wanted.dtype === dtype) return dtype
  throw refusal('dtype-mismatch', `A tensor of ${wanted.dtype} is wanted; ${dtype} was given.`)
}

function shapeOf(given: JsonValue | undefined, wanted: WantedTensor): PartialShape {
  if (given === undefined) return wanted.shape
  const sizes = isList(given) ? given : undefined
  if (sizes === undefined || !sizes.every((size) => Number.isSafeInteger(size))) {
    const shown = JSON.stringify(given).slice(0, 100)
    throw refusal('bad-json', `A shape is a list of whole numbers; ${shown} was given.`)
  }
  const shape = sizes as readonly number[]
  elementCountOf(shape)
  if (fitsShape(shape, wanted.shape)) return shape
  throw shapeMismatch(shape, wanted.shape)
}

function shapeMismatch(given: Shape, wanted: PartialShape): Refusal {
  const message = `A tensor of shape ${formatShape(wanted)} is wanted; ${formatShape(given)} was given.`
  return refusal('shape-mismatch', message)
}

function tensorOfBase64(json: JsonValue, dtype: DType, shape: PartialShape): Tensor {
  const bytes = typeof json === 'string' ? bytesOfBase64(json) : undefined
  if (bytes === undefined) throw refusal('bad-json', '"b64" is not base64.')
  if (!isNumeric(dtype)) {
    throw refusal(
      'bad-json',
      'Strings are given one by one, as "value": each may be {"b64": ".."}.',
    )
  }
  if (shape === undefined || shape.some((size) => size < 0)) {
    throw refusal('shape-missing', 'The shape is not known: give "shape" beside "b64".')
  }
  return numericTensor(dtype, shape, bytes)
}

function isBase64Object(json: JsonValue): boolean {
  if (typeof json !== 'object' || json === null || isList(json)) return false
  return Object.keys(json).length === 1 && Object.hasOwn(json, 'b64')
}

function tensorOfValue(json: JsonValue, dtype: DType, wanted: WantedTensor): Tensor {
  const isComplex = kindOf(dtype) === 'complex'
  const shape = nestedShape(json, isComplex, wanted.shape)
  if (!fitsShape(shape, wanted.shape)) throw shapeMismatch(shape, wanted.shape)
  const count = elementCountOf(shape)
  const maxElements = wanted.maxElements ?? defaultMaxElements
  if (count > maxElements) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'tensor/too-many-elements',
      `A JSON tensor may hold ${maxElements} elements; ${count} were given.`,
      { fix: 'Send application/x-npy, application/x-safetensors or application/octet-stream.' },
    )
  }
  const leaves: JsonValue[] = []
  collectLeaves(json, shape, 0, leaves)
  if (!isComplex && leaves.some(isList)) {
    throw refusal(
      'ragged',
      `The lists are ragged: a list stands where a value was expected (shape ${formatShape(shape)}).`,
    )
  }
  if (dtype === 'string') return stringTensor(shape, leaves.map(bytesOfJson))
  if (!isNumeric(dtype)) throw refusal('unknown-dtype', `A tensor of ${dtype} has no JSON form.`)
  return tensorOfElements(
    dtype,
    shape,
    leaves.map((leaf) => elementOfJson(leaf, dtype)),
  )
}

/** The sizes along the first items; after an empty list, those that are wanted. */
function nestedShape(json: JsonValue, isComplex: boolean, wanted: PartialShape): Shape {
  const shape: number[] = []
  let item: JsonValue | undefined = json
  while (item !== undefined && isList(item) && !(isComplex && isComplexPair(item))) {
    shape.push(item.length)
    if (shape.length > 254) throw refusal('ragged', 'A tensor has at most 254 dimensions.')
    item = item[0]
  }
  if (shape.at(-1) !== 0 || wanted === undefined) return shape
  return [...shape, ...wanted.slice(shape.length)]
}

/** A list of two components. A list of lists is none, nor is an empty one. */
function isComplexPair(json: readonly JsonValue[]): boolean {
  return json.length === 2 && json.every((part) => !isList(part))
}

function collectLeaves(json: JsonValue, shape: Shape, axis: number, leaves: JsonValue[]): void {
  if (axis === shape.length) {
    leaves.push(json)
    return
  }
  if (!isList(json) || json.length !== shape[axis]) {
    const has = isList(json) ? `a list of ${json.length}` : 'a value'
    const problem = `${has} stands where a list of ${shape[axis]} was expected`
    throw refusal('ragged', `The lists are ragged: ${problem} (shape ${formatShape(shape)}).`)
  }
  for (const item of json) collectLeaves(item, shape, axis + 1, leaves)
}

function bytesOfJson(json: JsonValue): Uint8Array {
  if (typeof json === 'string') return new TextEncoder().encode(json)
  if (isBase64Object(json)) {
    const { b64 } = json as { readonly b64: JsonValue }
    const bytes = typeof b64 === 'string' ? bytesOfBase64(b64) : undefined
    if (bytes !== undefined) return bytes
  }
  throw wrongValue(json, 'string', 'a string or {"b64": ".."}')
}

function wrongValue(json: JsonValue, dtype: DType, wanted: string): Refusal {
  // A number too large for a double was parsed as infinite, which JSON.stringify would show as null.
  const shown = typeof json === 'number' ? String(json) : JSON.stringify(json).slice(0, 100)
  const message = `${shown} cannot be an element of ${dtype}: ${wanted} is wanted.`
  return refusal('bad-value', message)
}

const integerRanges: Readonly<Partial<Record<DType, readonly [bigint, bigint]>>> = {
  int4: [-8n, 7n],
  uint4: [0n, 15n],
  int8: [-(2n ** 7n), 2n ** 7n - 1n],
  uint8: [0n, 2n ** 8n - 1n],
  int16: [-(2n ** 15n), 2n ** 15n - 1n],
  uint16: [0n, 2n ** 16n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  qint8: [-(2n ** 7n), 2n ** 7n - 1n],
  quint8: [0n, 2n ** 8n - 1n],
  qint16: [-(2n ** 15n), 2n ** 15n - 1n],
  quint16: [0n, 2n ** 16n - 1n],
  qint32: [-(2n ** 31n), 2n ** 31n - 1n],
  float8_e5m2: [0n, 255n],
  float8_e4m3fn: [0n, 255n],
}

function elementOfJson(json: JsonValue, dtype: NumericDType): Element {
  if (dtype === 'bool') {
    if (typeof json === 'boolean') return json
    throw wrongValue(json, dtype, 'true or false')
  }
  if (dtype === 'complex64' || dtype === 'complex128') {
    if (!isList(json) || !isComplexPair(json)) throw wrongValue(json, dtype, '[re, im]')
    const part = dtype === 'complex64' ? 'float32' : 'float64'
    return [floatOfJson(json[0], part), floatOfJson(json[1], part)]
  }
  const range = integerRanges[dtype]
  return range === undefined ? floatOfJson(json, dtype) : integerOfJson(json, dtype, range)
}

function integerOfJson(
  json: JsonValue,
  dtype: NumericDType,
  [least, most]: readonly [bigint, bigint],
): number | bigint {
  const isText = typeof json === 'string' && /^-?[0-9]{1,20}$/.test(json)
  if (!isText && !Number.isSafeInteger(json)) {
    const fix = 'a whole number is wanted, as a string where it is beyond 2^53'
    throw refusal('bad-value', `${JSON.stringify(json).slice(0, 100)} is no ${dtype}: ${fix}.`)
  }
  const value = BigInt(json as string | number)
  if (value < least || value > most) {
    throw wrongValue(json, dtype, `a number from ${least} to ${most}`)
  }
  return dtype === 'int64' || dtype === 'uint64' ? value : Number(value)
}

function floatOfJson(json: JsonValue, dtype: NumericDType): number {
  if (json === 'NaN') return Number.NaN
  if (json === 'Infinity') return Number.POSITIVE_INFINITY
  if (json === '-Infinity') return Number.NEGATIVE_INFINITY
  if (typeof json !== 'number' || !Number.isFinite(json)) {
    throw wrongValue(json, dtype, 'a finite number, "NaN", "Infinity" or "-Infinity"')
  }
  if (Number.isFinite(rounders[dtype]?.(json) ?? json)) return json
  throw wrongValue(json, dtype, 'a number within its range')
}
