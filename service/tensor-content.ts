// Content: a tensor without a name, as the store takes it in: at hand, or one that repeats elements and is
// made piece by piece, giving way to other work in between.
import { setImmediate as giveWay } from 'node:timers/promises'
import {
  byteLengthOf,
  type DType,
  elementCountOf,
  isNumeric,
  type NumericTensor,
  packStrings,
  type Shape,
  stringTensor,
  type Tensor,
  type TensorStream,
} from '../tensor/index.ts'

/** A tensor's content without a name, as the store takes it in. Whoever takes its pieces leaves them as they are. */
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
  const size = byteLengthOf(dtype)
  const known = given.bytes.length / size
  const last = given.bytes.subarray(given.bytes.length - size)
  let repeated: Uint8Array | undefined
  for (let start = 0; start < count; start += pieceElements) {
    const length = Math.min(pieceElements, count - start) * size
    if (start < known) {
      const bytes = new Uint8Array(length)
      bytes.set(given.bytes.subarray(start * size, start * size + length))
      fill(bytes, (known - start) * size, last)
      yield bytes
    } else {
      // Whoever takes pieces copies them: the same one serves again and again.
      repeated ??= fill(new Uint8Array(pieceElements * size), 0, last)
      yield repeated.subarray(0, length)
    }
    await giveWay()
  }
}

/** Repeats an element from byte `from` to the end. */
function fill(bytes: Uint8Array, from: number, element: Uint8Array): Uint8Array {
  if (from >= bytes.length) return bytes
  bytes.set(element, from)
  for (let filled = element.length; from + filled < bytes.length; filled *= 2) {
    bytes.copyWithin(from + filled, from, from + Math.min(filled, bytes.length - from - filled))
  }
  return bytes
}

/**
 * Content of a matrix of zeros with `element` (of one element) on a diagonal: in each row at the column
 * that lies `shift` behind the row.
 */
export function diagonalContent(
  shape: readonly [rows: number, columns: number],
  element: NumericTensor,
  shift = 0,
): TensorContent {
  const { dtype, bytes: unit } = element
  const [rows, columns] = shape
  const size = unit.length
  const byteLength = rows * columns * size
  async function* chunks(): AsyncIterable<Uint8Array> {
    for (let start = 0; start < rows * columns; start += pieceElements) {
      const end = Math.min(start + pieceElements, rows * columns)
      const bytes = new Uint8Array((end - start) * size)
      for (let row = Math.floor(start / columns); row * columns < end; row++) {
        const place = row * columns + row + shift
        const isInRow = row + shift >= 0 && row + shift < columns
        if (isInRow && place >= start && place < end) bytes.set(unit, (place - start) * size)
      }
      yield bytes
      await giveWay()
    }
  }
  return { dtype, shape, byteLength, chunks }
}
