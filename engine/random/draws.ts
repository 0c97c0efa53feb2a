// Draws of any length as the bytes of their elements, made in pieces and by several threads where there is
// much to draw. What comes does not depend on how it is cut: a stream of blocks can be taken up anywhere.
import { byteLengthOf } from '../../tensor/index.ts'
import { crewBlocks, DrawCrew } from './crew.ts'
import { groupOf } from './distributions.ts'
import type { PhiloxState } from './philox.ts'
import { type Draw, PieceMaker, pieceBlocks } from './pieces.ts'
import { compileRoutines } from './routines.ts'
import { takePieces } from './take-pieces.ts'

/** Pieces from which a draw is shared out. */
const sharedPieces = 4

/** Threads that draw at most: four of them are faster than a disk that takes their numbers. */
const mostThreads = 4

/** Draws numbers; what it needs for that is made when the first ones are wanted. */
export class Draws {
  readonly #threads: number
  #module: WebAssembly.Module | undefined
  #maker: PieceMaker | undefined
  #crew: DrawCrew | undefined

  /** `threads`: those that may draw, the calling one included. */
  constructor(threads = 1) {
    this.#threads = Math.min(threads, mostThreads)
  }

  /** `count` elements of the draw from that place of a stream, little-endian. */
  bytes(draw: Draw, state: PhiloxState, count: number): Uint8Array<ArrayBuffer> {
    this.#module ??= compileRoutines()
    this.#maker ??= new PieceMaker(this.#module)
    const maker = this.#maker
    const blocks = Math.ceil(count / groupOf(draw.dtype))
    const target = new Uint8Array(count * byteLengthOf(draw.dtype))
    if (this.#threads === 1 || blocks < sharedPieces * pieceBlocks) {
      let piece = 0
      takePieces(maker, { draw, state, first: 0, blocks }, target, () => piece++)
      return target
    }
    this.#crew ??= new DrawCrew(this.#threads, this.#module)
    let filled = 0
    for (let first = 0; first < blocks; first += crewBlocks) {
      const job = { draw, state, first, blocks: Math.min(crewBlocks, blocks - first) }
      const made = this.#crew.run(maker, job)
      target.set(made.subarray(0, target.length - filled), filled)
      filled += made.length
    }
    return target
  }

  /** Ends the threads; the next long draw starts others. */
  async close(): Promise<void> {
    const crew = this.#crew
    this.#crew = undefined
    await crew?.close()
  }
}
