// Sine and its kin. Angles are reduced exactly, however large they are (M. Payne, R. Hanek, "Radian
// reduction for trigonometric functions", 1983), in integers of the float's own width.
import type { Expression, ScalarType } from '../expression.ts'
import type { ExpressionBuilder, Row } from '../row.ts'
import {
  asinCoefficients,
  atanCoefficients,
  cosCoefficients,
  sinCoefficients,
} from './coefficients.ts'
import { bitsOfExpression } from './conversion.ts'
import { fitted, floatRow, isNegative, widthOf } from './exponential.ts'
import { type Formula, floats, formula, valued, widened } from './form.ts'

/** Binary digits of 2 / pi after the point, in words, with one word of zeros before. */
const twoOverPi32 = [
  0, 0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561,
]
const twoOverPi64 = [
  0n,
  0xa2f9836e4e441529n,
  0xfc2757d1f534ddc0n,
  0xdb6295993c439041n,
  0xfe5163abdebbc561n,
  0xb7246e3a424dd2e0n,
  0x06492eea09d1921cn,
  0xfe1deb1cb129a73en,
  0xe88235f52ebb4484n,
  0xe99c7026b45f7e41n,
  0x3991d639835339f4n,
  0x9c845f8bbdf9283bn,
  0x1ff897ffde05980fn,
  0xef2f118b5a0a6d1fn,
  0x6d367ecf27cb09b7n,
  0x4f463f669e5fea2dn,
  0x7527bac7ebe5f17bn,
  0x3d0739f78a5292ean,
  0x6bfb5fb11f8d5d08n,
  0x56033046fc7b6babn,
]

/** An angle as `quadrant pi / 2 + rest`, for the angle without its sign. */
interface Angle {
  /** A whole number; only its two lowest bits mean anything. */
  readonly quadrant: Expression
  readonly rest: Expression
}

/** Integers of the float's width, for the long product. */
interface Words {
  readonly u: Formula
  readonly bits: number
  shift(side: 'left' | 'right', a: Expression, count: Expression | number): Expression
}

function wordsOf(build: ExpressionBuilder, dtype: ScalarType): Words {
  const u = formula(build, dtype === 'float64' ? 'uint64' : 'uint32')
  return {
    u,
    bits: widthOf(dtype, 32, 64),
    shift: (side, a, count) => u.apply(`unchecked_shift_${side}`, a, count),
  }
}

/** Upper half of the product of two words. */
function upperProduct({ u, bits, shift }: Words, a: Expression, b: Expression): Expression {
  const half = bits / 2
  const lowHalf = (x: Expression) => shift('right', shift('left', x, half), half)
  const highHalf = (x: Expression) => shift('right', x, half)
  const [a1, a0, b1, b0] = [highHalf(a), lowHalf(a), highHalf(b), lowHalf(b)]
  const middle = u.add(u.mul(a0, b1), highHalf(u.mul(a0, b0)))
  const other = u.add(u.mul(a1, b0), lowHalf(middle))
  return u.add(u.add(u.mul(a1, b1), highHalf(middle)), highHalf(other))
}

/** Three words of 2 / pi from its binary digit `offset` on. */
function digitsFrom(
  build: ExpressionBuilder,
  dtype: ScalarType,
  words: Words,
  offset: Expression,
): [Expression, Expression, Expression] {
  const { u, bits, shift } = words
  const table: readonly (number | bigint)[] = dtype === 'float64' ? twoOverPi64 : twoOverPi32
  const first = shift('right', offset, Math.log2(bits))
  const count = u.apply('bitwise_and', offset, bits - 1)
  const most = table.length - 4
  const isAt = Array.from({ length: most }, (_, place) => u.apply('equal', first, place))
  const word = (place: number): Expression => {
    let chosen = build.constant(u.dtype, table[most + place] as number)
    for (let start = most - 1; start >= 0; start--) {
      const here = build.constant(u.dtype, table[start + place] as number)
      chosen = u.select(isAt[start] as Expression, here, chosen)
    }
    return chosen
  }
  const digits = [word(0), word(1), word(2), word(3)]
  const joined = (place: number): Expression => {
    const low = shift('right', digits[place + 1] as Expression, 1)
    const rest = shift('right', low, u.sub(bits - 1, count))
    return u.apply('bitwise_or', shift('left', digits[place] as Expression, count), rest)
  }
  return [joined(0), joined(1), joined(2)]
}

/** Reduces `|x|`; exact up to one rounding of the rest. */
function reducedAngle(build: ExpressionBuilder, dtype: ScalarType, magnitude: Expression): Angle {
  const f = formula(build, dtype)
  const words = wordsOf(build, dtype)
  const { u, bits, shift } = words
  const digits = widthOf(dtype, 23, 52)
  const word = bitsOfExpression(build, magnitude)
  const field = shift('right', word, digits)
  const implicit = build.constant(u.dtype, dtype === 'float64' ? 1n << 52n : 1 << 23)
  const fraction = u.apply('bitwise_and', word, u.sub(implicit, 1))
  const mantissa = u.apply('bitwise_or', fraction, implicit)
  // Below pi / 4 the exponent may be too small for the table; that result is not used.
  const least = widthOf(dtype, 120, 1013)
  const offset = u.sub(u.apply('max', field, least), least)
  const [w0, w1, w2] = digitsFrom(build, dtype, words, offset)
  const low = u.mul(mantissa, w1)
  const lowSum = u.add(low, upperProduct(words, mantissa, w2))
  const carry = u.select(u.less(lowSum, low), 1, 0)
  const high = u.add(u.add(u.mul(mantissa, w0), upperProduct(words, mantissa, w1)), carry)
  // The two highest bits count quarter turns; rounding up takes them to the nearest.
  const half = build.constant(u.dtype, dtype === 'float64' ? 1n << 61n : 1 << 29)
  const turns = shift('right', u.add(high, half), bits - 2)
  const part = u.apply('bitwise_or', shift('left', high, 2), shift('right', lowSum, bits - 2))
  const rest = fractionOfTurn(build, dtype, words, part, shift('left', lowSum, 2))
  const near = f.less(magnitude, Math.PI / 4)
  return {
    quadrant: build.apply('select', [
      near,
      build.constant('int32', 0),
      build.apply('cast', [turns], 'int32'),
    ]),
    rest: f.select(near, magnitude, rest),
  }
}

/** A signed fraction of a quarter turn in two words, in radians. */
function fractionOfTurn(
  build: ExpressionBuilder,
  dtype: ScalarType,
  { u, bits }: Words,
  part: Expression,
  lower: Expression,
): Expression {
  const f = formula(build, dtype)
  const signed = dtype === 'float64' ? 'int64' : 'int32'
  const spare = widthOf(dtype, 0xff, 0x7ff)
  const tail = u.apply('bitwise_and', part, spare)
  const head = build.apply('cast', [u.sub(part, tail)], signed)
  const exact = f.mul(build.apply('cast', [head], dtype), 2 ** -bits)
  const lowerPart = f.mul(build.apply('cast', [lower], dtype), 2 ** -bits)
  const small = f.mul(f.add(build.apply('cast', [tail], dtype), lowerPart), 2 ** -bits)
  const quarter = Math.PI / 2
  const quarterLow = widthOf(dtype, quarter - Math.fround(quarter), 6.123233995736766e-17)
  return f.add(f.mul(exact, quarter), f.add(f.mul(exact, quarterLow), f.mul(small, quarter)))
}

/** Sine and cosine of an angle within an eighth of a turn. */
function sineAndCosine(f: Formula, r: Expression): { sine: Expression; cosine: Expression } {
  const z = f.mul(r, r)
  const sine = f.add(r, f.mul(f.mul(r, z), fitted(f, z, sinCoefficients)))
  const half = f.mul(z, 0.5)
  const near = f.sub(1, half)
  // What 1 - z / 2 lost when it was rounded.
  const lost = f.sub(f.sub(1, near), half)
  const cosine = f.add(near, f.add(lost, f.mul(f.mul(z, z), fitted(f, z, cosCoefficients))))
  return { sine, cosine }
}

/** Sine (`turn` 0) or cosine (`turn` 1) of `|x|`; NaN for infinities. */
function wave(
  build: ExpressionBuilder,
  dtype: ScalarType,
  magnitude: Expression,
  turn: 0 | 1,
): Expression {
  const f = formula(build, dtype)
  const i = formula(build, 'int32')
  const { quadrant, rest } = reducedAngle(build, dtype, magnitude)
  const { sine, cosine } = sineAndCosine(f, rest)
  const turned = i.add(quadrant, turn)
  const isOdd = i.apply('not_equal', i.apply('bitwise_and', turned, 1), 0)
  const isBelow = i.apply('not_equal', i.apply('bitwise_and', turned, 2), 0)
  const size = f.select(isOdd, cosine, sine)
  const y = f.select(isBelow, f.apply('neg', size), size)
  return f.select(build.apply('is_finite', [magnitude]), y, Number.NaN)
}

/** `y` with the sign of `x`, where y has none of its own yet. */
export function signedAs(build: ExpressionBuilder, x: Expression, y: Expression): Expression {
  const f = formula(build, x.dtype)
  return f.select(isNegative(build, x), f.apply('neg', y), y)
}

function tanOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const i = formula(build, 'int32')
  const magnitude = f.apply('abs', x)
  const { quadrant, rest } = reducedAngle(build, dtype, magnitude)
  const { sine, cosine } = sineAndCosine(f, rest)
  const isOdd = i.apply('not_equal', i.apply('bitwise_and', quadrant, 1), 0)
  const above = f.select(isOdd, f.apply('neg', cosine), sine)
  const y = f.div(above, f.select(isOdd, sine, cosine))
  const finite = f.select(build.apply('is_finite', [x]), y, Number.NaN)
  return signedAs(build, x, finite)
}

/** `asin(s) - s` over `s`, for `s^2 = z <= 1/4`. */
function asinTail(f: Formula, z: Expression): Expression {
  return f.mul(z, fitted(f, z, asinCoefficients))
}

/** asin for magnitudes above 1/2 goes by the half angle: `pi / 2 - 2 asin(sqrt((1 - x) / 2))`. */
function asinOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const magnitude = f.apply('abs', x)
  const isLarge = f.less(0.5, magnitude)
  const z = f.select(isLarge, f.mul(f.sub(1, magnitude), 0.5), f.mul(x, x))
  const s = f.select(isLarge, f.apply('sqrt', f.apply('max', z, 0)), magnitude)
  const tail = f.mul(s, asinTail(f, z))
  const doubled = f.mul(f.sub(s, f.sub(quarterLow(dtype), tail)), 2)
  const large = f.sub(Math.PI / 2, f.sub(doubled, quarterLow(dtype) * -1))
  const y = f.select(isLarge, large, f.add(s, tail))
  const inside = f.apply('less_equal', magnitude, 1)
  return f.select(inside, signedAs(build, x, y), Number.NaN)
}

/** What pi / 2 loses when it is rounded to the type. */
function quarterLow(dtype: ScalarType): number {
  return widthOf(dtype, Math.PI / 2 - Math.fround(Math.PI / 2), 6.123233995736766e-17)
}

function acosOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const magnitude = f.apply('abs', x)
  const isLarge = f.less(0.5, magnitude)
  const z = f.select(isLarge, f.mul(f.sub(1, magnitude), 0.5), f.mul(x, x))
  const s = f.select(isLarge, f.apply('sqrt', f.apply('max', z, 0)), x)
  const tail = f.mul(s, asinTail(f, z))
  const low = quarterLow(dtype)
  const middle = f.sub(Math.PI / 2, f.sub(s, f.sub(low, tail)))
  const doubled = f.mul(f.add(s, tail), 2)
  const below = f.sub(Math.PI, f.sub(doubled, 2 * low))
  const large = f.select(f.less(x, 0), below, doubled)
  const inside = f.apply('less_equal', magnitude, 1)
  return f.select(inside, f.select(isLarge, large, middle), Number.NaN)
}

/** atan of a magnitude, by the angles 0, pi / 4 and pi / 2 nearest to it. */
function atanOfMagnitude(f: Formula, a: Expression): Expression {
  const isLarge = f.less(Math.tan((3 * Math.PI) / 8), a)
  const isMiddle = f.less(Math.tan(Math.PI / 8), a)
  const above = f.select(isLarge, -1, f.select(isMiddle, f.sub(a, 1), a))
  const below = f.select(isLarge, a, f.select(isMiddle, f.add(a, 1), 1))
  const r = f.div(above, below)
  const z = f.mul(r, r)
  const tail = f.mul(f.mul(r, z), fitted(f, z, atanCoefficients))
  const angle = f.select(isLarge, Math.PI / 2, f.select(isMiddle, Math.PI / 4, 0))
  const low = quarterLow(f.dtype)
  const angleLow = f.select(isLarge, low, f.select(isMiddle, low / 2, 0))
  return f.add(angle, f.add(r, f.add(tail, angleLow)))
}

function atanOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  return signedAs(build, x, atanOfMagnitude(f, f.apply('abs', x)))
}

function atan2Of(
  build: ExpressionBuilder,
  dtype: ScalarType,
  y: Expression,
  x: Expression,
): Expression {
  const f = formula(build, dtype)
  const [above, below] = [f.apply('abs', y), f.apply('abs', x)]
  const bothInfinite = build.apply('logical_and', [
    build.apply('is_inf', [y]),
    build.apply('is_inf', [x]),
  ])
  const ratio = f.select(bothInfinite, 1, f.div(above, below))
  const settled = f.select(f.apply('equal', y, 0), 0, ratio)
  const angle = atanOfMagnitude(f, settled)
  const low = quarterLow(dtype)
  const turned = f.sub(Math.PI, f.sub(angle, 2 * low))
  const size = signedAs(build, y, f.select(isNegative(build, x), turned, angle))
  const isNan = build.apply('logical_or', [build.apply('is_nan', [x]), build.apply('is_nan', [y])])
  return f.select(isNan, Number.NaN, size)
}

/** Rows of trigonometry. */
export const trigonometric: readonly Row[] = [
  floatRow('sin', Math.sin, 3, (build, dtype, x) => {
    const magnitude = formula(build, dtype).apply('abs', x)
    return signedAs(build, x, wave(build, dtype, magnitude, 0))
  }),
  floatRow('cos', Math.cos, 3, (build, dtype, x) =>
    wave(build, dtype, formula(build, dtype).apply('abs', x), 1),
  ),
  floatRow('tan', Math.tan, 5, tanOf),
  floatRow('asin', Math.asin, 3, asinOf),
  floatRow('acos', Math.acos, 3, acosOf),
  floatRow('atan', Math.atan, 3, atanOf),
  {
    // atan2(y, x), with C's rules for zeros and infinities.
    name: 'atan2',
    arity: 2,
    types: floats,
    result: 'operand',
    ulp: 4,
    value: valued((y, x) => Math.atan2(y as number, x as number)),
    expand: widened('atan2', (build, dtype, y, x) =>
      atan2Of(build, dtype, y as Expression, x as Expression),
    ),
  },
]
