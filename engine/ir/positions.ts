// Simplification of int32 arithmetic, which is what positions are made of. Equal positions come out as
// the same node. Every rule is exact: rules about true values apply only where nothing can wrap.
import type { Expression, ScalarType } from './expression.ts'
import type { Interning } from './interning.ts'
import { fits, type Linear, linearFormOf, rangeOfLinear, timesLinear } from './linear.ts'
import { type Range, rangeOf } from './range.ts'
import type { Row } from './row.ts'
import { rowOf } from './rows.ts'

/** A simpler expression for a row of int32 operands, or undefined where there is none. */
export function simplifyPosition(
  build: Interning,
  row: Row,
  operands: readonly Expression[],
  dtype: ScalarType,
): Expression | undefined {
  const [a, b] = operands
  if (a?.dtype === 'int32' && dtype === 'bool' && b !== undefined) {
    return comparedByRange(build, row.name, rangeOf(a), rangeOf(b))
  }
  if (dtype !== 'int32' || a?.dtype !== 'int32') return undefined
  if (b === undefined) return row.name === 'neg' ? sum(build, row, operands) : undefined
  switch (row.name) {
    case 'add':
    case 'sub':
      return sum(build, row, operands)
    case 'mul':
      if (a.kind === 'constant' || b.kind === 'constant') return sum(build, row, operands)
      return build.idOf(a) > build.idOf(b) ? build.plain(row, [b, a], dtype) : undefined
    case 'floor_div':
      return b.kind === 'constant' ? quotient(build, a, Number(b.value)) : undefined
    case 'floor_mod':
      return b.kind === 'constant' ? remainder(build, a, Number(b.value)) : undefined
    case 'truncate_div':
    case 'truncate_mod':
      if (rangeOf(a)[0] < 0 || rangeOf(b)[0] <= 0) return undefined
      return build.apply(row.name === 'truncate_div' ? 'floor_div' : 'floor_mod', operands)
    case 'min':
    case 'max':
      return extreme(row.name, a, b)
    default:
      return undefined
  }
}

function comparedByRange(
  build: Interning,
  name: string,
  a: Range,
  b: Range,
): Expression | undefined {
  const answer = (value: boolean | undefined) =>
    value === undefined ? undefined : build.constant('bool', value)
  const apart = a[1] < b[0] || b[1] < a[0]
  switch (name) {
    case 'less':
      return answer(a[1] < b[0] ? true : a[0] >= b[1] ? false : undefined)
    case 'less_equal':
      return answer(a[1] <= b[0] ? true : a[0] > b[1] ? false : undefined)
    case 'greater':
      return answer(a[0] > b[1] ? true : a[1] <= b[0] ? false : undefined)
    case 'greater_equal':
      return answer(a[0] >= b[1] ? true : a[1] < b[0] ? false : undefined)
    case 'equal':
      return answer(apart ? false : undefined)
    case 'not_equal':
      return answer(apart ? true : undefined)
    default:
      return undefined
  }
}

function extreme(name: 'min' | 'max', a: Expression, b: Expression): Expression | undefined {
  const [low, high] = [rangeOf(a), rangeOf(b)]
  if (low[1] <= high[0]) return name === 'min' ? a : b
  if (high[1] <= low[0]) return name === 'min' ? b : a
  return undefined
}

/** A sum in its one order: by loop axis, then by age; positive terms before negative ones. */
function sum(build: Interning, row: Row, operands: readonly Expression[]): Expression | undefined {
  const linear = linearFormOf({ kind: 'apply', dtype: 'int32', row: row.name, operands })
  return linear === undefined ? undefined : write(build, joinParts(build, linear))
}

/** `D * ck + M * k` is `x * k` where D is `x // c` and M is `x % c`; also one level of `D % b`. */
function joinParts(build: Interning, linear: Linear): Linear {
  let { terms } = linear
  for (let round = 0; round < 8; round++) {
    const joined = joinOne(build, terms)
    if (joined === undefined) break
    terms = joined
  }
  if (terms === linear.terms) return linear
  // Joined terms may be sums themselves.
  return linearFormOf(write(build, { terms, constant: linear.constant })) ?? linear
}

function joinOne(
  build: Interning,
  terms: ReadonlyMap<Expression, number>,
): ReadonlyMap<Expression, number> | undefined {
  for (const [rest, scale] of terms) {
    const low = dividedBy(rest, 'floor_mod')
    if (low === undefined) continue
    for (const [high, coefficient] of terms) {
      if (high === rest || coefficient !== scale * low.divisor) continue
      const joined = joinPair(build, high, low)
      if (joined === undefined) continue
      const next = new Map(terms)
      next.delete(rest)
      next.delete(high)
      next.set(joined, (next.get(joined) ?? 0) + scale)
      if (next.get(joined) === 0) next.delete(joined)
      return next
    }
  }
  return undefined
}

interface Division {
  readonly dividend: Expression
  readonly divisor: number
}

function joinPair(build: Interning, high: Expression, low: Division): Expression | undefined {
  const whole = build.apply('floor_div', [low.dividend, int(build, low.divisor)])
  if (high === whole) return low.dividend
  const outer = dividedBy(high, 'floor_mod')
  const modulus = low.divisor * (outer?.divisor ?? 0)
  if (outer === undefined || outer.dividend !== whole || modulus >= 2 ** 31) return undefined
  return build.apply('floor_mod', [low.dividend, int(build, modulus)])
}

/** Dividend and divisor of a division by a positive constant. */
function dividedBy(node: Expression, row: string): Division | undefined {
  if (node.kind !== 'apply' || node.row !== row) return undefined
  const [dividend, divisor] = node.operands as [Expression, Expression]
  if (divisor.kind !== 'constant' || Number(divisor.value) <= 0) return undefined
  return { dividend, divisor: Number(divisor.value) }
}

function int(build: Interning, value: number): Expression {
  return build.constant('int32', value)
}

/** The expression of a linear form, always the same for the same form. */
function write(build: Interning, linear: Linear): Expression {
  const rank = (term: Expression) => (term.kind === 'loop' ? term.axis : Infinity)
  const ordered = [...linear.terms].sort(([a, x], [b, y]) => {
    if (x > 0 !== y > 0) return x > 0 ? -1 : 1
    const [p, q] = [rank(a), rank(b)]
    return p === q ? build.idOf(a) - build.idOf(b) : p - q
  })
  const plain = (name: string, a: Expression, b: Expression) =>
    build.plain(rowOf(name), [a, b], 'int32')
  const constant = int(build, linear.constant)
  const allNegative = ordered.every(([, coefficient]) => coefficient < 0)
  let total = allNegative ? constant : undefined
  for (const [term, coefficient] of ordered) {
    const size = Math.abs(coefficient)
    const part = size === 1 ? term : plain('mul', term, int(build, size))
    total = total === undefined ? part : plain(coefficient > 0 ? 'add' : 'sub', total, part)
  }
  if (total === undefined || allNegative || linear.constant === 0) return total ?? constant
  return plain('add', total, constant)
}

/** `q * c + r` with what `c` divides in `q`; the constant of `r` is in `0 .. c - 1`. */
function split(linear: Linear, c: number): { q: Linear; r: Linear } {
  const quotients = new Map<Expression, number>()
  const rests = new Map<Expression, number>()
  for (const [term, coefficient] of linear.terms) {
    if (coefficient % c === 0) quotients.set(term, coefficient / c)
    else rests.set(term, coefficient)
  }
  const whole = Math.floor(linear.constant / c)
  return {
    q: { terms: quotients, constant: whole },
    r: { terms: rests, constant: linear.constant - whole * c },
  }
}

/** Greatest common divisor of all coefficients and `c`. */
function commonDivisor(linear: Linear, c: number): number {
  let divisor = c
  for (const coefficient of linear.terms.values()) {
    let [a, b] = [divisor, Math.abs(coefficient)]
    while (b !== 0) [a, b] = [b, a % b]
    divisor = a
  }
  return divisor
}

function divideLinear(linear: Linear, divisor: number): Linear {
  const terms = new Map<Expression, number>()
  for (const [term, coefficient] of linear.terms) terms.set(term, coefficient / divisor)
  return { terms, constant: Math.floor(linear.constant / divisor) }
}

/** `a // c` in floor division, for a constant `c`. */
function quotient(build: Interning, a: Expression, c: number): Expression | undefined {
  if (c <= 0) return undefined
  const [low, high] = rangeOf(a)
  if (Math.floor(low / c) === Math.floor(high / c)) return int(build, Math.floor(low / c))
  const inner = dividedBy(a, 'floor_div')
  if (inner !== undefined && inner.divisor * c < 2 ** 31) {
    return build.apply('floor_div', [inner.dividend, int(build, inner.divisor * c)])
  }
  const modulus = dividedBy(a, 'floor_mod')
  if (modulus !== undefined && modulus.divisor % c === 0) {
    const part = build.apply('floor_div', [modulus.dividend, int(build, c)])
    return build.apply('floor_mod', [part, int(build, modulus.divisor / c)])
  }
  const linear = linearFormOf(a)
  if (linear === undefined || !fits(linear)) return undefined
  const { q, r } = split(linear, c)
  const divisor = commonDivisor(r, c)
  const [restLow, restHigh] = rangeOfLinear(r)
  const settled = Math.floor(restLow / c) === Math.floor(restHigh / c)
  if (q.terms.size === 0 && q.constant === 0 && divisor === 1 && !settled) return undefined
  if (!fits(r)) return undefined
  const rest = settled
    ? int(build, Math.floor(restLow / c))
    : build.apply('floor_div', [write(build, divideLinear(r, divisor)), int(build, c / divisor)])
  return build.apply('add', [write(build, q), rest])
}

/** `a % c` with the sign of `c`, for a constant `c`. */
function remainder(build: Interning, a: Expression, c: number): Expression | undefined {
  if (c <= 0) return undefined
  const [low, high] = rangeOf(a)
  const whole = Math.floor(low / c)
  if (whole === Math.floor(high / c)) return build.apply('sub', [a, int(build, whole * c)])
  const inner = dividedBy(a, 'floor_mod')
  if (inner !== undefined && inner.divisor % c === 0) {
    return build.apply('floor_mod', [inner.dividend, int(build, c)])
  }
  const linear = linearFormOf(a)
  if (linear === undefined || !fits(linear)) return undefined
  const { q, r } = split(linear, c)
  if (!fits(r)) return undefined
  if (q.terms.size > 0 || q.constant !== 0) {
    return build.apply('floor_mod', [write(build, r), int(build, c)])
  }
  const divisor = commonDivisor(r, c)
  if (divisor === 1) return undefined
  const part = build.apply('floor_mod', [
    write(build, divideLinear(r, divisor)),
    int(build, c / divisor),
  ])
  return write(
    build,
    addConstant(
      timesLinear(linearFormOf(part) ?? { terms: new Map([[part, 1]]), constant: 0 }, divisor),
      r.constant % divisor,
    ),
  )
}

function addConstant(linear: Linear, constant: number): Linear {
  return { terms: linear.terms, constant: linear.constant + constant }
}
