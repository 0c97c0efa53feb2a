// Writes what is kept in scratch bytes: vectors that a tile along the lane axis needs again in every tile of
// the loops inside it, computed once and laid out in the order of their use. Which ones is the tiling's choice.
import type { Expression } from '../../ir/index.ts'
import type { Place } from './address.ts'
import type { Evaluator } from './evaluate.ts'
import type { Segment } from './segment.ts'

const vectorBytes = 16

/** The staged values of a kernel. */
export class StagedWriter {
  readonly #evaluator: Evaluator

  constructor(evaluator: Evaluator) {
    this.#evaluator = evaluator
  }

  /** Writes what is inside of a loop, preceded by the staging if this is the lane axis in full vectors. */
  around(axis: number, segment: Segment, write: () => void): void {
    const { staged, laneAxis } = this.#evaluator.space.tiling
    if (axis !== laneAxis || segment.lanes === 1 || staged.length === 0) {
      write()
      return
    }
    let offset = 0
    for (const expression of staged) offset = this.#fill(expression, segment, axis, offset)
    write()
    for (const expression of staged) this.#evaluator.stage(expression, undefined)
  }

  /** Computes one expression for all reduction loops that it depends on; answers with the next free offset. */
  #fill(expression: Expression, segment: Segment, laneAxis: number, offset: number): number {
    const { space } = this.#evaluator
    const axes = space.reducedAxesOf(expression)
    const step = segment.unroll * vectorBytes
    let bytes = step
    const terms: [axis: number, coefficient: number][] = []
    for (const axis of [...axes].reverse()) {
      terms.push([axis, bytes])
      bytes *= space.extents[axis]!
    }
    const place = (at: number): Place => ({
      constant: offset + at * vectorBytes,
      terms,
      rests: [],
    })
    this.#open(axes, 0, () => {
      const depth = this.#evaluator.writer.depth
      for (const position of space.positionsOver([laneAxis])) {
        const value = this.#evaluator.vector(expression, position)
        const to = this.#evaluator.addresses.staged(place(position[laneAxis] ?? 0), [])
        this.#evaluator.writer.emit(depth, 'local.get', to.local)
        this.#evaluator.writer.emit(depth, 'local.get', value)
        this.#evaluator.writer.emit(depth, 'v128.store', to.offset)
      }
    })
    this.#evaluator.stage(expression, place(0))
    return offset + bytes
  }

  #open(axes: readonly number[], at: number, write: () => void): void {
    const axis = axes[at]
    if (axis === undefined) {
      write()
      return
    }
    const { space, writer } = this.#evaluator
    const end = space.extents[axis]!
    writer.loop({ start: 0, end, step: 1, some: true }, (counter) => {
      space.bind({ axis, depth: writer.depth, counter, unroll: 1, lanes: 1 })
      this.#open(axes, at + 1, write)
      space.unbind(axis)
    })
  }
}
