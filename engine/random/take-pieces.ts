// How a draw is cut into pieces, for each of the threads that make them.
import { byteLengthOf } from '../../tensor/index.ts'
import type { DrawJob } from './crew-words.ts'
import { groupOf } from './distributions.ts'
import { type Draw, type PieceMaker, pieceBlocks } from './pieces.ts'

/** Bytes of the elements of one block. */
export function bytesOfBlock({ dtype }: Draw): number {
  return groupOf(dtype) * byteLengthOf(dtype)
}

/** Makes the pieces whose numbers `next` gives, until there are none left; `target` takes what it has room for. */
export function takePieces(
  maker: PieceMaker,
  { draw, state, first, blocks }: DrawJob,
  target: Uint8Array,
  next: () => number,
): void {
  const stride = bytesOfBlock(draw)
  for (let done = next() * pieceBlocks; done < blocks; done = next() * pieceBlocks) {
    const piece = maker.make(draw, state, first + done, Math.min(pieceBlocks, blocks - done))
    target.set(piece.subarray(0, target.length - done * stride), done * stride)
  }
}
