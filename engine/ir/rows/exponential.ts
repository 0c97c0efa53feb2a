// Exponentials and logarithms, by range reduction and polynomials: no device's own functions are used,
// so that all devices agree to a bit or two.
import type { Expression, ScalarType } from '../expression.ts'
import type { ExpressionBuilder, Row } from '../row.ts'
import { isFloat, roundTo } from '../scalar.ts'
import {
  type Coefficients,
  exp2Coefficients,
  expCoefficients,
  logCoefficients,
  powTailCoefficients,
} from './coefficients.ts'
import { bitsOfExpression, expressionOfBits } from './conversion.ts'
import { type Formula, floats, formula, numbers, valued, widened } from './form.ts'

/** The polynomial for the width of `f`. */
export function fitted(f: Formula, x: Expression, coefficients: Coefficients): Expression {
  return f.polynomial(x, coefficients[f.dtype as 'float32' | 'float64'])
}

/** One of two numbers, by the width of the float. */
export function widthOf(dtype: ScalarType, float32: number, float64: number): number {
  return dtype === 'float64' ? float64 : float32
}

const ln2High32 = 0.693359375
const ln2High64 = 0.6931471803691238

/** ln(2) in two parts; products of the first with exponents are exact. */
function ln2Parts(dtype: ScalarType): readonly [number, number] {
  return dtype === 'float64'
    ? [ln2High64, 1.9082149292705877e-10]
    : [ln2High32, Math.LN2 - ln2High32]
}

/** `2^n` for whole `n` of a float type, within the exponents of normal numbers. */
function powerOfTwo(build: ExpressionBuilder, dtype: ScalarType, n: Expression): Expression {
  if (dtype === 'float64') {
    const f = formula(build, 'float64')
    // The sum has n + 1023 in its lowest bits; its exponent is shifted out.
    const biased = bitsOfExpression(build, f.add(n, 1.5 * 2 ** 52 + 1023))
    const word = formula(build, 'uint64').apply('unchecked_shift_left', biased, 52)
    return expressionOfBits(build, 'float64', word)
  }
  const whole = build.apply('whole_int32', [n], 'int32')
  const i = formula(build, 'int32')
  const word = i.apply('unchecked_shift_left', i.add(whole, 127), 23)
  return expressionOfBits(build, 'float32', build.apply('to_uint32', [word], 'uint32'))
}

/** `y * 2^n` for whole `n` twice as large as exponents go, in two steps: denormals round once. */
function scaled(
  build: ExpressionBuilder,
  dtype: ScalarType,
  y: Expression,
  n: Expression,
): Expression {
  const f = formula(build, dtype)
  const half = f.apply('floor', f.mul(n, 0.5))
  const first = powerOfTwo(build, dtype, half)
  const second = powerOfTwo(build, dtype, f.sub(n, half))
  return f.mul(f.mul(y, first), second)
}

/** `x` as `n ln(2) + r` with whole n and `|r| <= ln(2) / 2`. */
function reduced(f: Formula, x: Expression): { n: Expression; r: Expression } {
  const [high, low] = ln2Parts(f.dtype)
  const n = f.apply('round', f.mul(x, Math.LOG2E))
  const r = f.sub(f.sub(x, f.mul(n, high)), f.mul(n, low))
  return { n, r }
}

/** `e^x 2^shift`, without overflow where only `e^x` has one. */
export function expScaled(
  build: ExpressionBuilder,
  dtype: ScalarType,
  x: Expression,
  shift: number,
): Expression {
  const f = formula(build, dtype)
  const low = f.apply('max', x, widthOf(dtype, -105, -747))
  const { n, r } = reduced(f, f.apply('min', low, widthOf(dtype, 90, 711)))
  const tail = f.mul(f.mul(r, r), fitted(f, r, expCoefficients))
  const y = f.add(f.add(r, tail), 1)
  return scaled(build, dtype, y, shift === 0 ? n : f.add(n, shift))
}

/** `e^x - 1` with all its digits near 0. */
function expm1Of(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const low = f.apply('max', x, widthOf(dtype, -30, -60))
  const { n, r } = reduced(f, f.apply('min', low, widthOf(dtype, 89, 710)))
  const p = f.add(r, f.mul(f.mul(r, r), fitted(f, r, expCoefficients)))
  const half = powerOfTwo(build, dtype, f.sub(n, 1))
  const y = f.mul(f.add(f.mul(half, p), f.sub(half, 0.5)), 2)
  return f.select(f.less(f.apply('abs', x), widthOf(dtype, 2 ** -25, 2 ** -54)), x, y)
}

/** A positive normal number as `2^exponent (1 + fraction)`, the second factor near 1. */
interface Parts {
  readonly exponent: Expression
  readonly fraction: Expression
}

/** Bits of sqrt(1/2), rounded down to a few digits: where factors near 1 begin. */
const nearOne32 = 0x3f3504f3
const nearOne64 = 0x3fe6a09e667f3bcdn

/** Parts of `x`, denormals included; of zeros, negative and non-finite numbers nothing of meaning. */
function partsOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Parts {
  const f = formula(build, dtype)
  const isDouble = dtype === 'float64'
  const grow = widthOf(dtype, 25, 54)
  const tiny = f.less(x, widthOf(dtype, 2 ** -126, 2 ** -1022))
  const word = bitsOfExpression(build, f.select(tiny, f.mul(x, 2 ** grow), x))
  const i = formula(build, isDouble ? 'int64' : 'int32')
  const signed = build.apply('cast', [word], i.dtype)
  const digits = widthOf(dtype, 23, 52)
  const start = isDouble ? build.constant('int64', nearOne64) : nearOne32
  const exponent = i.apply('unchecked_shift_right', i.sub(signed, start), digits)
  const near = i.sub(signed, i.apply('unchecked_shift_left', exponent, digits))
  const factor = build.apply('bitcast', [near], dtype)
  return {
    exponent: f.sub(build.apply('cast', [exponent], dtype), f.select(tiny, grow, 0)),
    fraction: f.sub(factor, 1),
  }
}

/** What logarithms share outside of positive finite numbers. */
function withSpecialLogs(
  build: ExpressionBuilder,
  dtype: ScalarType,
  x: Expression,
  finite: Expression,
): Expression {
  const f = formula(build, dtype)
  const ordinary = build.apply('is_finite', [x])
  const special = f.select(f.less(x, 0), Number.NaN, x)
  const positive = build.apply('logical_and', [ordinary, f.less(0, x)])
  const y = f.select(positive, finite, special)
  return f.select(f.apply('equal', x, 0), -Infinity, y)
}

/** The natural logarithm. */
export function logOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const { exponent, fraction } = partsOf(build, dtype, x)
  const s = f.div(fraction, f.add(fraction, 2))
  const z = f.mul(s, s)
  const half = f.mul(f.mul(fraction, fraction), 0.5)
  const tail = f.mul(s, f.add(half, f.mul(z, fitted(f, z, logCoefficients))))
  const [high, low] = ln2Parts(dtype)
  const small = f.sub(f.sub(half, f.add(tail, f.mul(exponent, low))), fraction)
  return withSpecialLogs(build, dtype, x, f.sub(f.mul(exponent, high), small))
}

/** `ln(1 + x)` with all its digits near 0. */
export function log1pOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const u = f.add(x, 1)
  // What rounding took from 1 + x, as a correction of first order.
  const lost = f.sub(x, f.sub(u, 1))
  const usable = build.apply('logical_and', [f.less(0, u), f.less(u, 2 ** 60)])
  const correction = f.select(usable, f.div(lost, u), 0)
  const y = f.add(logOf(build, dtype, u), correction)
  return f.select(f.less(f.apply('abs', x), widthOf(dtype, 2 ** -25, 2 ** -54)), x, y)
}

/** Whether the sign bit is set: -0 and negative NaN count. */
export function isNegative(build: ExpressionBuilder, x: Expression): Expression {
  const word = bitsOfExpression(build, x)
  const u = formula(build, word.dtype)
  const signBit = u.apply('unchecked_shift_right', word, widthOf(x.dtype, 31, 63))
  return u.apply('not_equal', signBit, 0)
}

/** A number as an unrounded sum of two. */
interface Pair {
  readonly high: Expression
  readonly low: Expression
}

/** The number with the lower half of its digits cut off. */
export function upperHalfOf(build: ExpressionBuilder, x: Expression): Expression {
  const word = bitsOfExpression(build, x)
  const mask =
    x.dtype === 'float64'
      ? build.constant('uint64', 0xfffffffff8000000n)
      : build.constant('uint32', 0xfffff000)
  return expressionOfBits(build, x.dtype, build.apply('bitwise_and', [word, mask]))
}

/** `a b` exactly. */
function exactProduct(build: ExpressionBuilder, a: Expression, b: Expression): Pair {
  const f = formula(build, a.dtype)
  const high = f.mul(a, b)
  const [a1, b1] = [upperHalfOf(build, a), upperHalfOf(build, b)]
  const [a2, b2] = [f.sub(a, a1), f.sub(b, b1)]
  const cross = f.add(f.add(f.sub(f.mul(a1, b1), high), f.mul(a1, b2)), f.mul(a2, b1))
  return { high, low: f.add(cross, f.mul(a2, b2)) }
}

/** `a + b` exactly, where `|a| >= |b|` or a is 0. */
function exactSum(f: Formula, a: Expression, b: Expression): Pair {
  const high = f.add(a, b)
  return { high, low: f.sub(b, f.sub(high, a)) }
}

/** `log2(x)` of a positive number, with about half as many digits again. */
function log2Pair(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Pair {
  const f = formula(build, dtype)
  const { exponent, fraction } = partsOf(build, dtype, x)
  const divisor = exactSum(f, f.lift(2), fraction)
  const s = f.div(fraction, divisor.high)
  const back = exactProduct(build, s, divisor.high)
  const missing = f.sub(f.sub(f.sub(fraction, back.high), back.low), f.mul(s, divisor.low))
  const sLow = f.div(missing, divisor.high)
  const square = exactProduct(build, s, s)
  const squareLow = f.add(square.low, f.mul(f.mul(s, sLow), 2))
  // atanh(s) / s - 1 = z (1/3 + z tail), the third in two parts.
  const third = f.lift(1 / 3)
  const thirdLow = thirdRest(dtype)
  const tail = f.mul(square.high, fitted(f, square.high, powTailCoefficients))
  const first = exactProduct(build, square.high, third)
  const rest = f.add(
    f.add(first.low, f.mul(squareLow, third)),
    f.mul(square.high, f.add(tail, thirdLow)),
  )
  const growth = exactSum(f, first.high, rest)
  // ln = 2 s (1 + growth); log2 = ln / ln(2).
  const grown = exactProduct(build, s, growth.high)
  const ln = exactSum(f, s, grown.high)
  const lnLow = f.add(
    f.add(ln.low, f.add(grown.low, f.mul(s, growth.low))),
    f.mul(sLow, f.add(growth.high, 1)),
  )
  const scale = f.lift(2 / Math.LN2)
  const scaledLn = exactProduct(build, ln.high, scale)
  const scaledLow = f.add(
    f.add(scaledLn.low, f.mul(lnLow, scale)),
    f.mul(ln.high, widthOf(dtype, scaleRest32, scaleRest64)),
  )
  const total = exactSum(f, exponent, scaledLn.high)
  return exactSum(f, total.high, f.add(total.low, scaledLow))
}

const scaleRest32 = 2 / Math.LN2 - Math.fround(2 / Math.LN2)
const scaleRest64 = 4.0710547481862066e-17

/** What 1/3 loses when it is rounded to the type. */
function thirdRest(dtype: ScalarType): number {
  return dtype === 'float64' ? 2 ** -54 / 3 : 1 / 3 - Math.fround(1 / 3)
}

/** `2^(high + low)`. */
function exp2Pair(build: ExpressionBuilder, dtype: ScalarType, exponent: Pair): Expression {
  const f = formula(build, dtype)
  const [least, most] = [widthOf(dtype, -160, -1100), widthOf(dtype, 130, 1030)]
  const inside = f.apply('min', f.apply('max', exponent.high, least), most)
  const n = f.apply('round', inside)
  const isInside = f.apply('equal', inside, exponent.high)
  const r = f.add(f.sub(inside, n), f.select(isInside, exponent.low, 0))
  const y = f.add(f.mul(r, fitted(f, r, exp2Coefficients)), 1)
  return scaled(build, dtype, y, n)
}

/** `x^y` of floats, with C's rules for zeros, infinities and NaN. */
function powOfFloats(
  build: ExpressionBuilder,
  dtype: ScalarType,
  x: Expression,
  y: Expression,
): Expression {
  const f = formula(build, dtype)
  const both = (a: Expression, b: Expression) => build.apply('logical_and', [a, b])
  const either = (a: Expression, b: Expression) => build.apply('logical_or', [a, b])
  const not = (a: Expression) => build.apply('logical_not', [a])
  const magnitude = f.apply('abs', x)
  const far = widthOf(dtype, 2 ** 34, 2 ** 65)
  const exponent = f.apply('max', f.apply('min', y, far), -far)
  const log2 = log2Pair(build, dtype, magnitude)
  const product = exactProduct(build, exponent, log2.high)
  const low = f.add(product.low, f.mul(exponent, log2.low))
  const ordinary = exp2Pair(build, dtype, { high: product.high, low })
  const isWhole = f.apply('equal', f.apply('trunc', y), y)
  const halved = f.mul(y, 0.5)
  const isOdd = both(isWhole, not(f.apply('equal', f.apply('trunc', halved), halved)))
  const grows = f.less(0, y)
  const isZero = f.apply('equal', x, 0)
  const isInfinite = build.apply('is_inf', [x])
  const ofZero = f.select(grows, 0, Infinity)
  const ofInfinity = f.select(grows, Infinity, 0)
  const size = f.select(isZero, ofZero, f.select(isInfinite, ofInfinity, ordinary))
  const negative = isNegative(build, x)
  const signed = f.select(both(negative, isOdd), f.apply('neg', size), size)
  const undefinedRoot = both(both(negative, not(isWhole)), not(either(isZero, isInfinite)))
  const isNan = either(build.apply('is_nan', [x]), build.apply('is_nan', [y]))
  const answer = f.select(either(undefinedRoot, isNan), Number.NaN, signed)
  const isOne = either(f.apply('equal', x, 1), f.apply('equal', y, 0))
  return f.select(isOne, 1, answer)
}

/** `x^y` of integers by squaring, modulo the type's width; y is taken without a sign. */
function powOfIntegers(
  build: ExpressionBuilder,
  dtype: ScalarType,
  x: Expression,
  y: Expression,
): Expression {
  const f = formula(build, dtype)
  const bits = dtype.endsWith('64') ? 64 : dtype.endsWith('32') ? 32 : dtype.endsWith('16') ? 16 : 8
  let result = f.lift(1)
  let power = x
  for (let bit = 0; bit < bits; bit++) {
    const set = f.apply('bitwise_and', f.apply('unchecked_shift_right', y, bit), 1)
    result = f.select(f.apply('equal', set, 1), f.mul(result, power), result)
    power = f.mul(power, power)
  }
  return result
}

function powValue(dtype: ScalarType, x: number | bigint, y: number | bigint): number | bigint {
  if (isFloat(dtype))
    return x === 1 || y === 0 || isUnitToInfinity(x, y) ? 1 : Number(x) ** Number(y)
  const bits = Number(/\d+$/.exec(dtype)?.[0])
  let exponent = BigInt.asUintN(bits, BigInt(y))
  let result = 1n
  for (let power = BigInt(x); exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = BigInt.asUintN(bits, result * power)
    power = BigInt.asUintN(bits, power * power)
  }
  return roundTo(dtype, result) as number | bigint
}

/** C gives 1 for a base of size 1 and an infinite exponent; JavaScript gives NaN. */
function isUnitToInfinity(x: number | bigint, y: number | bigint): boolean {
  return Math.abs(Number(x)) === 1 && Math.abs(Number(y)) === Infinity
}

/** A row of one float with a polynomial of its own. */
export function floatRow(
  name: string,
  value: (x: number) => number,
  ulp: number,
  expand: (build: ExpressionBuilder, dtype: ScalarType, x: Expression) => Expression,
): Row {
  return {
    name,
    arity: 1,
    types: floats,
    result: 'operand',
    ulp,
    value: valued(value),
    expand: widened(name, (build, dtype, x) => expand(build, dtype, x as Expression)),
  }
}

/** Rows of exponentials, logarithms and powers. */
export const exponential: readonly Row[] = [
  floatRow('exp', Math.exp, 2, (build, dtype, x) => expScaled(build, dtype, x, 0)),
  floatRow('expm1', Math.expm1, 3, expm1Of),
  floatRow('log', Math.log, 2, logOf),
  floatRow('log1p', Math.log1p, 3, log1pOf),
  {
    name: 'pow',
    arity: 2,
    types: numbers,
    result: 'operand',
    ulp: 4,
    value: (dtype, x, y) => powValue(dtype, x as number, y as number),
    expand: widened('pow', (build, dtype, x, y) =>
      isFloat(dtype)
        ? powOfFloats(build, dtype, x as Expression, y as Expression)
        : powOfIntegers(build, dtype, x as Expression, y as Expression),
    ),
  },
]
