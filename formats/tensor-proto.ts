// TensorProto to and from tensors, in every form: raw content, one typed list, short lists whose last
// value repeats, no values at all.
// Source: tensorflow/core/framework/tensor.cc (Tensor::FromProto)
import type { Draft, TensorProto } from '../proto/index.ts'
import {
  byteLengthOf,
  dtypeOfNumber,
  elementArrayOf,
  elementCountOf,
  formatShape,
  isNumeric,
  kindOf,
  type NumericDType,
  numberOfDType,
  numericTensor,
  Refusal,
  type Shape,
  stringTensor,
  type Tensor,
} from '../tensor/index.ts'

const defaultMaxByteLength = 1024 * 1024 * 1024

function refusal(reason: string, problem: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', `tensor-proto/${reason}`, `A TensorProto ${problem}.`)
}

/** The shape that a TensorProto declares; refuses one that is not wholly known. */
function shapeOfProto({ tensor_shape: proto }: TensorProto): Shape {
  const shape = proto?.dim.map(({ size }) => size) ?? []
  if (proto?.unknown_rank === true || shape.some((size) => size < 0)) {
    throw refusal('bad-shape', 'has a shape that is not wholly known')
  }
  return shape
}

/**
 * The tensor that a TensorProto holds. A list shorter than the shape repeats its last value; no
 * values at all are zeros. Refuses INVALID_ARGUMENT (`tensor-proto/…`) and, before allocating,
 * RESOURCE_EXHAUSTED (`tensor-proto/too-large`) what takes more than `maxByteLength`.
 */
export function tensorOfProto(
  proto: TensorProto,
  maxByteLength: number = defaultMaxByteLength,
): Tensor {
  const dtype = dtypeOfNumber(proto.dtype)
  const shape = shapeOfProto(proto)
  if (dtype === undefined || (dtype !== 'string' && !isNumeric(dtype))) {
    throw refusal('unsupported-dtype', `is of the element type ${dtype ?? proto.dtype}`)
  }
  const count = elementCountOf(shape)
  // A string that repeats is held once; its place in the list takes a pointer.
  const byteLength = count * (dtype === 'string' ? 8 : byteLengthOf(dtype))
  if (byteLength > maxByteLength) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'tensor-proto/too-large',
      `A TensorProto of ${dtype} ${formatShape(shape)} takes ${byteLength} bytes; at most ${maxByteLength} are allowed.`,
    )
  }
  if (dtype === 'string') return stringTensor(shape, stringsOf(proto, count))
  return numericTensor(dtype, shape, bytesOf(proto, dtype, count))
}

function bytesOf(proto: TensorProto, dtype: NumericDType, count: number): Uint8Array {
  const byteLength = count * byteLengthOf(dtype)
  const content = proto.tensor_content
  if (content.byteLength > 0) {
    if (content.byteLength === byteLength) return content
    throw refusal('size-mismatch', `has ${content.byteLength} bytes of content for ${byteLength}`)
  }
  const bytes = new Uint8Array(byteLength)
  if (count === 0) return bytes
  const values = valuesOf(proto, dtype)
  const perElement = kindOf(dtype) === 'complex' ? 2 : 1
  if (values.length > count * perElement || values.length % perElement !== 0) {
    throw refusal('size-mismatch', `has ${values.length} values for ${count} elements`)
  }
  if (values.length === 0) return bytes
  const array = elementArrayOf(layoutOf(dtype), bytes)
  for (let index = 0; index < values.length; index++) array[index] = values[index]
  repeatLast(bytes, values.length / perElement, byteLengthOf(dtype))
  return bytes
}

/** half_val holds bits, not numbers. */
function layoutOf(dtype: NumericDType): NumericDType {
  return dtype === 'float16' ? 'uint16' : dtype
}

/** Fills the rest with the last of the `given` elements, doubling the filled part. */
function repeatLast(bytes: Uint8Array, given: number, itemLength: number): void {
  const start = (given - 1) * itemLength
  let filled = start + itemLength
  while (filled < bytes.byteLength) {
    const length = Math.min(filled - start, bytes.byteLength - filled)
    bytes.copyWithin(filled, start, start + length)
    filled += length
  }
}

/** The list in which a TensorProto has elements of that type; half and bfloat16 are bits. */
export function valuesOf(proto: TensorProto, dtype: NumericDType): ArrayLike<number | bigint> {
  switch (dtype) {
    case 'float32':
      return proto.float_val
    case 'float64':
      return proto.double_val
    case 'float16':
    case 'bfloat16':
      return proto.half_val
    case 'complex64':
      return proto.scomplex_val
    case 'complex128':
      return proto.dcomplex_val
    case 'int64':
      return proto.int64_val
    case 'uint64':
      return proto.uint64_val
    case 'uint32':
      return proto.uint32_val
    case 'bool':
      return proto.bool_val.map((value) => (value ? 1 : 0))
    case 'float8_e5m2':
    case 'float8_e4m3fn':
      return proto.float8_val
    case 'int32':
    case 'int16':
    case 'int8':
    case 'int4':
    case 'uint16':
    case 'uint8':
    case 'uint4':
    case 'qint8':
    case 'quint8':
    case 'qint16':
    case 'quint16':
    case 'qint32':
      return proto.int_val
    default:
      return dtype satisfies never
  }
}

function stringsOf(proto: TensorProto, count: number): Uint8Array[] {
  const given =
    proto.tensor_content.byteLength > 0 && count > 0
      ? stringsOfContent(proto.tensor_content, count)
      : proto.string_val
  if (given.length > count && count > 0) {
    throw refusal('size-mismatch', `has ${given.length} strings for ${count} elements`)
  }
  const last = given.at(-1) ?? new Uint8Array()
  return Array.from({ length: count }, (_, index) => given[index] ?? last)
}

/** Strings in raw content: every length as a varint, then the bytes. */
function stringsOfContent(content: Uint8Array, count: number): Uint8Array[] {
  const lengths: number[] = []
  let at = 0
  for (let index = 0; index < count; index++) {
    let length = 0
    let unit = 1
    let byte = 0x80
    while (byte >= 0x80) {
      if (at >= content.byteLength || unit > 2 ** 35) {
        throw refusal('size-mismatch', 'has raw content that does not hold its strings')
      }
      byte = content[at++]
      length += (byte & 0x7f) * unit
      unit *= 128
    }
    lengths.push(length)
  }
  const strings = lengths.map((length) => {
    at += length
    return content.subarray(at - length, at)
  })
  if (at === content.byteLength) return strings
  throw refusal('size-mismatch', 'has raw content that does not hold its strings')
}

/** A TensorProto with the tensor's bytes as raw content; strings go into `string_val`. */
export function protoOfTensor(tensor: Tensor): Draft<'TensorProto'> {
  const dtype = numberOfDType(tensor.dtype)
  const tensor_shape = { dim: tensor.shape.map((size) => ({ size })) }
  if (tensor.dtype === 'string') return { dtype, tensor_shape, string_val: tensor.strings }
  return { dtype, tensor_shape, tensor_content: tensor.bytes }
}
