// The one byte form of a string tensor outside TensorFlow's files: what the store keeps, what a
// device-less transfer carries. First every length as 4 bytes little-endian, then the bytes.
import { Refusal } from './refusal.ts'
import { elementCountOf, type Shape } from './shape.ts'
import { type StringTensor, stringTensor } from './tensor.ts'

/** The byte form of a string tensor: `4 * count` bytes of lengths, then the strings in order. */
export function packStrings(tensor: StringTensor): Uint8Array {
  const count = tensor.strings.length
  const byteLength = tensor.strings.reduce((sum, item) => sum + item.byteLength, 4 * count)
  const bytes = new Uint8Array(byteLength)
  const view = new DataView(bytes.buffer)
  let offset = 4 * count
  for (let index = 0; index < count; index++) {
    const item = tensor.strings[index]
    view.setUint32(4 * index, item.byteLength, true)
    bytes.set(item, offset)
    offset += item.byteLength
  }
  return bytes
}

/** The string tensor of that byte form; refuses (DATA_LOSS) bytes that do not add up. */
export function unpackStrings(shape: Shape, bytes: Uint8Array): StringTensor {
  const count = elementCountOf(shape)
  if (bytes.byteLength < 4 * count) throw damaged(count, bytes.byteLength)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const strings = new Array<Uint8Array>(count)
  let offset = 4 * count
  for (let index = 0; index < count; index++) {
    const end = offset + view.getUint32(4 * index, true)
    if (end > bytes.byteLength) throw damaged(count, bytes.byteLength)
    strings[index] = bytes.subarray(offset, end)
    offset = end
  }
  if (offset !== bytes.byteLength) throw damaged(count, bytes.byteLength)
  return stringTensor(shape, strings)
}

function damaged(count: number, byteLength: number): Refusal {
  return new Refusal(
    'DATA_LOSS',
    'tensor/strings-damaged',
    `${byteLength} bytes do not hold ${count} strings.`,
  )
}
