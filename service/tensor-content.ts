// Content: a tensor without a name, as the store takes it in: at hand, or one that repeats elements and is
// made piece by piece, giving way to other work in between.
import { setImmediate as giveWay } from 'node:timers/promises'
import {
  byteLengthOf,
  type DType,
  elementArrayOf,
  elementCountOf,
  elementsOf,
  isNumeric,
  type NumericTensor,
  packStrings,
  type Shape,
  stringTensor,
  type Tensor,
  type TensorStream,
  writeElement,
} from '../tensor/index.ts'

/** A tensor's content without a name, as the store takes it in. */
export type TensorContent = Omit<TensorStream, 'name'>

// Small enough that a piece takes a few milliseconds.
const pieceElements = 65_536

/** A tensor at hand as content for the store. */
export function contentOfTensor(tensor: Tensor): TensorContent {
  const bytes = tensor.dtype === 'string' ? packStrings(tensor) : tensor.bytes
  return {
    dtype: tensor.dtype,
    shape: tensor.shape,
    byteLength: bytes.byteLength,
    async *chunks() {
      yield bytes
    },
  }
}

/** Content of that shape with the elements of `given` in order, the last of them repeated to the end. */
export function repeatedContent(dtype: DType, shape: Shape, given: Tensor): TensorContent {
  const count = elementCountOf(shape)
  if (given.dtype === 'string') {
    const last = given.strings[given.strings.length - 1] ?? new Uint8Array(0)
    const strings = Array.from({ length: count }, (_, index) => given.strings[index] ?? last)
    return contentOfTensor(stringTensor(shape, strings))
  }
  if (!isNumeric(dtype)) throw new Error(`${dtype} is not filled with numbers`)
  const byteLength = count * byteLengthOf(dtype)
  return { dtype, shape, byteLength, chunks: () => pieces(given, count) }
}

async function* pieces(given: NumericTensor, count: number): AsyncIterable<Uint8Array> {
  const { dtype } = given
  const elements = elementsOf(given)
  for (let start = 0; start < count; start += pieceElements) {
    const length = Math.min(pieceElements, count - start)
    const bytes = new Uint8Array(length * byteLengthOf(dtype))
    const array = elementArrayOf(dtype, bytes)
    for (let index = 0; index < length; index++) {
      const place = Math.min(start + index, elements.length - 1)
      writeElement(dtype, array, index, elements[place])
    }
    yield bytes
    await giveWay()
  }
}
