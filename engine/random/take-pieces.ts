// How a draw is cut into pieces, for each of the threads that make them.
import { byteLengthOf } from '../../tensor/index.ts'
import type { DrawJob } from './crew.ts'
import { groupOf } from './distributions.ts'
import { type PieceMaker, pieceBlocks } from './pieces.ts'

/** Makes the pieces whose numbers `next` gives, until there are none left. */
export function takePieces(
  maker: PieceMaker,
  { draw, state, blocks, target }: DrawJob,
  next: () => number,
): void {
  const blockBytes = groupOf(draw.dtype) * byteLengthOf(draw.dtype)
  for (let first = next() * pieceBlocks; first < blocks; first = next() * pieceBlocks) {
    const piece = maker.make(draw, state, first, Math.min(pieceBlocks, blocks - first))
    const start = first * blockBytes
    target.set(piece.subarray(0, target.length - start), start)
  }
}
