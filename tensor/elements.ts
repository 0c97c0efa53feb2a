// Reading and writing single elements of a tensor's bytes: the only place that maps a dtype to a
// JavaScript array type. Numbers are numbers, 64-bit integers are bigints, complex are [re, im].
import { bfloat16BitsOf, numberOfBfloat16 } from './bfloat16.ts'
import type { DType } from './dtype.ts'
import { elementCountOf, type Shape } from './shape.ts'
import { type NumericDType, type NumericTensor, numericTensor } from './tensor.ts'

/** One element of a numeric tensor. */
export type Element = number | bigint | boolean | readonly [number, number]

/** Typed array with the element layout of the type; bfloat16 and float8 as their bits. */
export type ElementArray =
  | Float32Array
  | Float64Array
  | Float16Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array

type ElementArrayConstructor = {
  readonly BYTES_PER_ELEMENT: number
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): ElementArray
}

const constructors: Record<NumericDType, ElementArrayConstructor> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Float16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
  complex64: Float32Array,
  complex128: Float64Array,
  qint8: Int8Array,
  quint8: Uint8Array,
  qint16: Int16Array,
  quint16: Uint16Array,
  qint32: Int32Array,
  float8_e5m2: Uint8Array,
  float8_e4m3fn: Uint8Array,
  int4: Int8Array,
  uint4: Uint8Array,
}

/**
 * The bytes as a typed array of the type's layout (complex: two floats an element). Shares memory
 * where the bytes are aligned, else copies: treat the result as read-only. Assumes a little-endian
 * machine, as every supported one is.
 */
export function elementArrayOf(dtype: NumericDType, bytes: Uint8Array): ElementArray {
  const arrayType = constructors[dtype]
  const size = arrayType.BYTES_PER_ELEMENT
  // Not slice(): a Node Buffer would share its memory, and so its alignment.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes)
  return new arrayType(aligned.buffer, aligned.byteOffset, aligned.byteLength / size)
}

/** Reads element `index` (row-major) of an array made by {@link elementArrayOf}. */
export function readElement(dtype: NumericDType, array: ElementArray, index: number): Element {
  switch (dtype) {
    case 'bool':
      return array[index] !== 0
    case 'bfloat16':
      return numberOfBfloat16(array[index] as number)
    case 'complex64':
    case 'complex128':
      return [array[2 * index] as number, array[2 * index + 1] as number]
    default:
      return array[index]
  }
}

/** Writes element `index` (row-major); integers wrap as the type's width does, floats round. */
export function writeElement(
  dtype: NumericDType,
  array: ElementArray,
  index: number,
  element: Element,
): void {
  switch (dtype) {
    case 'bool':
      array[index] = element ? 1 : 0
      return
    case 'bfloat16':
      array[index] = bfloat16BitsOf(Number(element))
      return
    case 'complex64':
    case 'complex128': {
      const [re, im] = Array.isArray(element) ? element : [Number(element), 0]
      array[2 * index] = re
      array[2 * index + 1] = im
      return
    }
    case 'int64':
    case 'uint64':
      array[index] = typeof element === 'bigint' ? element : BigInt(element as number)
      return
    default:
      array[index] = Number(element)
  }
}

/** Whether JavaScript must hold this type's elements as bigints. */
export function isBigInt(dtype: DType): dtype is 'int64' | 'uint64' {
  return dtype === 'int64' || dtype === 'uint64'
}

/** A tensor from its elements, row-major; for small tensors (tests, JSON, constants). */
export function tensorOfElements(
  dtype: NumericDType,
  shape: Shape,
  elements: ArrayLike<Element>,
): NumericTensor {
  const components = dtype === 'complex64' || dtype === 'complex128' ? 2 : 1
  const count = elementCountOf(shape)
  const bytes = new Uint8Array(count * components * constructors[dtype].BYTES_PER_ELEMENT)
  const array = elementArrayOf(dtype, bytes)
  for (let index = 0; index < elements.length; index++) {
    writeElement(dtype, array, index, elements[index])
  }
  return numericTensor(dtype, shape, bytes)
}

/** The elements of a tensor, row-major; for small tensors (tests, JSON, constants). */
export function elementsOf(tensor: NumericTensor): Element[] {
  const array = elementArrayOf(tensor.dtype, tensor.bytes)
  const count = elementCountOf(tensor.shape)
  return Array.from({ length: count }, (_, index) => readElement(tensor.dtype, array, index))
}
