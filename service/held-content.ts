// A value that only a device holds, as content for the store: a big one is brought over in pieces while
// the store takes them in, so that never more than a few megabytes of it are between the two.
import type { Assigned, Engine } from '../engine/index.ts'
import { byteLengthOf, elementCountOf, freeMemory, isNumeric } from '../tensor/index.ts'
import { contentOfTensor, type TensorContent } from './tensor-content.ts'

/** Bytes of a piece, and from which a value is brought over in pieces. */
const pieceBytes = 4 * 2 ** 20

/** The value of a handle, which has to stay until the content was taken in. */
export async function heldContent(
  engine: Engine,
  { handle, dtype, shape }: Pick<Assigned, 'handle' | 'dtype' | 'shape'>,
): Promise<TensorContent> {
  const byteLength = isNumeric(dtype) ? elementCountOf(shape) * byteLengthOf(dtype) : 0
  if (byteLength <= pieceBytes) return contentOfTensor(await engine.read(handle))
  return { dtype, shape, byteLength, chunks: () => pieces(engine, handle, byteLength) }
}

async function* pieces(
  engine: Engine,
  handle: Assigned['handle'],
  byteLength: number,
): AsyncGenerator<Uint8Array> {
  const read = async (offset: number): Promise<Uint8Array> => {
    const length = Math.min(pieceBytes, byteLength - offset)
    return (await engine.readRanges(handle, [{ offset, length }]))[0]
  }
  // One piece is on its way while the one before it is taken in.
  let next = read(0)
  try {
    for (let offset = pieceBytes; offset < byteLength + pieceBytes; offset += pieceBytes) {
      const bytes = await next
      if (offset < byteLength) {
        next = read(offset)
        next.catch(() => undefined)
      }
      yield bytes
      freeMemory(bytes)
    }
  } finally {
    await next.catch(() => undefined)
  }
}
