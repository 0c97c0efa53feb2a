// Which loops a scalar expression depends on, as a set of bits. Knows expressions only.
import assert from 'node:assert'
import { type Expression, operandsOf, orderOf } from '../ir/index.ts'

/** Most loops (parallel and reduced) that a kernel may have, so that a set fits a number. */
export const maxLoops = 30

/**
 * Remembers for every expression seen the set of axes whose counters it reads: bit `a` for axis `a`.
 * Accumulators count as no axis.
 */
export class AxisSets {
  readonly #sets = new Map<Expression, number>()

  of(expression: Expression): number {
    const known = this.#sets.get(expression)
    if (known !== undefined) return known
    for (const node of orderOf([expression], (seen) => this.#sets.has(seen))) {
      this.#sets.set(node, this.#setOf(node))
    }
    return this.#sets.get(expression) ?? 0
  }

  #setOf(node: Expression): number {
    if (node.kind === 'loop') {
      assert(node.axis < maxLoops, `a kernel has at most ${maxLoops} loops`)
      return 1 << node.axis
    }
    return operandsOf(node).reduce((set, operand) => set | (this.#sets.get(operand) ?? 0), 0)
  }
}
