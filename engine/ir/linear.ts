// Sums of int32 expressions as coefficients of terms. int32 arithmetic wraps, so regrouping a sum never
// changes its bits; what needs the true, unwrapped value asks `fits`.
import type { Expression } from './expression.ts'
import { type Range, rangeOf } from './range.ts'

/** `constant + sum of coefficient * term`; coefficients are not 0, and terms are not sums. */
export interface Linear {
  readonly terms: ReadonlyMap<Expression, number>
  readonly constant: number
}

/** More terms than any position has; longer sums are left as they are, to keep building linear. */
const mostTerms = 16

/** Largest coefficient that products in doubles keep exact. */
const largest = 2 ** 31

/** The linear form, or undefined where there would be too many terms or too large coefficients. */
export function linearFormOf(expression: Expression): Linear | undefined {
  const terms = new Map<Expression, number>()
  let constant = 0
  const pending: [Expression, number][] = [[expression, 1]]
  for (let steps = 0; pending.length > 0; steps++) {
    if (steps > 4 * mostTerms || terms.size > mostTerms) return undefined
    const [node, scale] = pending.pop() as [Expression, number]
    if (Math.abs(scale) > largest) return undefined
    if (node.kind === 'constant') {
      constant += scale * Number(node.value)
      continue
    }
    const parts = partsOf(node)
    if (parts === undefined) {
      const coefficient = (terms.get(node) ?? 0) + scale
      if (coefficient === 0) terms.delete(node)
      else terms.set(node, coefficient)
      continue
    }
    for (const [part, factor] of parts) pending.push([part, scale * factor])
  }
  const small = [constant, ...terms.values()].every((value) => Math.abs(value) <= largest)
  return small ? { terms, constant } : undefined
}

/** The summands of a node that is a sum or a product with a constant. */
function partsOf(node: Expression): (readonly [Expression, number])[] | undefined {
  if (node.kind !== 'apply' || node.dtype !== 'int32') return undefined
  const [a, b] = node.operands as [Expression, Expression]
  switch (node.row) {
    case 'add':
      return [
        [a, 1],
        [b, 1],
      ]
    case 'sub':
      return [
        [a, 1],
        [b, -1],
      ]
    case 'neg':
      return [[a, -1]]
    case 'mul':
      if (b.kind === 'constant') return [[a, Number(b.value)]]
      return a.kind === 'constant' ? [[b, Number(a.value)]] : undefined
    default:
      return undefined
  }
}

/** Range of the sum as a whole number of any size. */
export function rangeOfLinear(linear: Linear): Range {
  let low = linear.constant
  let high = linear.constant
  for (const [term, coefficient] of linear.terms) {
    const [least, most] = rangeOf(term)
    low += Math.min(coefficient * least, coefficient * most)
    high += Math.max(coefficient * least, coefficient * most)
  }
  return [low, high]
}

/** Whether the sum never wraps, so that its value is the true one. */
export function fits(linear: Linear): boolean {
  const [low, high] = rangeOfLinear(linear)
  return low >= -(2 ** 31) && high < 2 ** 31
}

/** `linear` times a whole number. */
export function timesLinear(linear: Linear, factor: number): Linear {
  const terms = new Map<Expression, number>()
  for (const [term, coefficient] of linear.terms) {
    if (factor !== 0) terms.set(term, coefficient * factor)
  }
  return { terms, constant: linear.constant * factor }
}

/** The affine form of a position: coefficients by axis of the loop counters, and a constant. */
export interface AffinePosition {
  readonly coefficients: ReadonlyMap<number, number>
  readonly constant: number
}

/** The affine form of a position in loop counters only; undefined where anything else occurs in it. */
export function linearOf(index: Expression): AffinePosition | undefined {
  const linear = linearFormOf(index)
  if (linear === undefined) return undefined
  const coefficients = new Map<number, number>()
  for (const [term, coefficient] of linear.terms) {
    if (term.kind !== 'loop') return undefined
    coefficients.set(term.axis, (coefficients.get(term.axis) ?? 0) + coefficient)
  }
  return { coefficients, constant: linear.constant }
}
