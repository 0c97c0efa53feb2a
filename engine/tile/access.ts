// What positions look like: which loops an expression depends on, and how a position splits into
// multiples of loop counters and a rest. Tilings and code generators read loads and stores by it.
import type { Expression } from '../ir/expression.ts'
import { linearFormOf } from '../ir/linear.ts'
import { rangeOf } from '../ir/range.ts'
import { operandsOf, orderOf } from '../ir/walk.ts'

/** A term that is no multiple of a loop counter. */
export interface Rest {
  readonly expression: Expression
  readonly coefficient: number
}

/** A position: `constant + sum of coefficient * counter + sum of coefficient * rest`, as an int32. */
export interface Affine {
  readonly constant: number
  /** Coefficient of each loop's counter, by axis; none of them 0. */
  readonly terms: ReadonlyMap<number, number>
  readonly rests: readonly Rest[]
}

/** What an expression depends on. */
export interface Dependence {
  /** Bit `a` is set where the counter of axis `a` matters; a kernel has at most 16 axes. */
  readonly axes: number
  /** Whether a load matters: then its value is data, known only when the kernel runs. */
  readonly data: boolean
  /** Whether the result of a reduction matters. */
  readonly reduced: boolean
}

/** How {@link dependenceOf} remembers nodes; one for each kernel in work. */
export type Analysis = Map<Expression, Dependence>

/** What `expression` depends on, through its loads' positions and guards as well. */
export function dependenceOf(analysis: Analysis, expression: Expression): Dependence {
  const known = analysis.get(expression)
  if (known !== undefined) return known
  for (const node of orderOf([expression], (seen) => analysis.has(seen))) {
    let axes = node.kind === 'loop' ? 1 << node.axis : 0
    let data = node.kind === 'load'
    let reduced = node.kind === 'accumulator'
    for (const operand of operandsOf(node)) {
      const inner = analysis.get(operand)!
      axes |= inner.axes
      data ||= inner.data
      reduced ||= inner.reduced
    }
    analysis.set(node, { axes, data, reduced })
  }
  return analysis.get(expression)!
}

/** The position as multiples of loop counters and rests; one rest where it is no sum. */
export function affineOf(expression: Expression): Affine {
  const linear = linearFormOf(expression)
  if (linear === undefined) {
    return { constant: 0, terms: new Map(), rests: [{ expression, coefficient: 1 }] }
  }
  const terms = new Map<number, number>()
  const rests: Rest[] = []
  for (const [term, coefficient] of linear.terms) {
    if (term.kind === 'loop') terms.set(term.axis, coefficient)
    else rests.push({ expression: term, coefficient })
  }
  return { constant: linear.constant, terms, rests }
}

/** Smallest and largest value of the counters' part over the whole loops, for the axes named. */
export function spanOf(
  terms: Iterable<readonly [axis: number, coefficient: number]>,
  extents: readonly number[],
): readonly [number, number] {
  let low = 0
  let high = 0
  for (const [axis, coefficient] of terms) {
    const end = coefficient * Math.max(0, (extents[axis] ?? 1) - 1)
    if (end < 0) low += end
    else high += end
  }
  return [low, high]
}

/** Smallest and largest value of a position; wider than the truth where rests are not known better. */
export function boundsOf(
  affine: Affine,
  extents: readonly number[],
): readonly [low: number, high: number] {
  let [low, high] = spanOf(affine.terms, extents)
  for (const { expression, coefficient } of affine.rests) {
    const range = rangeOf(expression)
    const ends = [range[0] * coefficient, range[1] * coefficient]
    low += Math.min(...ends)
    high += Math.max(...ends)
  }
  return [low + affine.constant, high + affine.constant]
}
