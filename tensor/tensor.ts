// A tensor: an element type, a shape, and dense row-major little-endian bytes (or byte strings).
// Bytes may be a view into a larger buffer and need not be aligned; see elements.ts for reading them.
import { byteLengthOf, type DType, kindOf } from './dtype.ts'
import { Refusal } from './refusal.ts'
import { elementCountOf, formatShape, type Shape } from './shape.ts'

/** The types whose elements have a fixed number of bytes. */
export type NumericDType = Exclude<DType, 'string' | 'resource' | 'variant'>

/** A tensor of fixed-size elements: `bytes` is row-major and little-endian, without gaps. */
export interface NumericTensor {
  readonly dtype: NumericDType
  readonly shape: Shape
  readonly bytes: Uint8Array
}

/** A tensor of byte strings, row-major. */
export interface StringTensor {
  readonly dtype: 'string'
  readonly shape: Shape
  readonly strings: readonly Uint8Array[]
}

export type Tensor = NumericTensor | StringTensor

/** Element type and shape, without the values. */
export interface TensorType {
  readonly dtype: DType
  readonly shape: Shape
}

/** Whether the type's elements have a fixed number of bytes. */
export function isNumeric(dtype: DType): dtype is NumericDType {
  return kindOf(dtype) !== 'string' && kindOf(dtype) !== 'opaque'
}

/** A tensor over `bytes`; refuses a length that differs from shape times element size. */
export function numericTensor(dtype: NumericDType, shape: Shape, bytes: Uint8Array): NumericTensor {
  const wanted = elementCountOf(shape) * byteLengthOf(dtype)
  if (bytes.byteLength !== wanted) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'tensor/size-mismatch',
      `A ${dtype} tensor of shape ${formatShape(shape)} takes ${wanted} bytes; ${bytes.byteLength} were given.`,
    )
  }
  return { dtype, shape, bytes }
}

/** A tensor over `strings`; refuses a count that differs from the shape's. */
export function stringTensor(shape: Shape, strings: readonly Uint8Array[]): StringTensor {
  const wanted = elementCountOf(shape)
  if (strings.length !== wanted) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'tensor/size-mismatch',
      `A string tensor of shape ${formatShape(shape)} holds ${wanted} strings; ${strings.length} were given.`,
    )
  }
  return { dtype: 'string', shape, strings }
}
