// Draws of any length as the bytes of their elements, made in pieces. What comes does not depend on how
// it is cut: a stream of blocks can be taken up anywhere.
import { byteLengthOf } from '../../tensor/index.ts'
import { groupOf } from './distributions.ts'
import type { PhiloxState } from './philox.ts'
import { type Draw, PieceMaker, pieceBlocks } from './pieces.ts'

/** Draws numbers; what it needs for that is made when the first ones are wanted. */
export class Draws {
  #maker: PieceMaker | undefined

  /** `count` elements of the draw from that place of a stream, little-endian. */
  bytes(draw: Draw, state: PhiloxState, count: number): Uint8Array<ArrayBuffer> {
    this.#maker ??= new PieceMaker()
    const bytes = new Uint8Array(count * byteLengthOf(draw.dtype))
    const blocks = Math.ceil(count / groupOf(draw.dtype))
    let filled = 0
    for (let first = 0; first < blocks; first += pieceBlocks) {
      const piece = this.#maker.make(draw, state, first, Math.min(pieceBlocks, blocks - first))
      bytes.set(piece.subarray(0, bytes.length - filled), filled)
      filled += piece.length
    }
    return bytes
  }
}
