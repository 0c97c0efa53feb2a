// Normal numbers from words as WebAssembly: Box and Muller's pairs. Logarithm, sine and cosine are
// computed in float64 to some 50 bits and rounded once to float32, as a good library for float32 does.
import {
  chain,
  doubles,
  type FunctionWriter,
  floats,
  longs,
  op,
  type Piece,
  picked,
  words,
} from '../device/wasm/index.ts'
import type { FourWords } from './philox-code.ts'

/** In [0, 1), of the low 23 bits of each word. */
export function uniformFloats(lanes: Piece): Piece {
  const bits = op('v128.or', op('v128.and', lanes, words(0x7fffff)), words(0x3f800000))
  return op('f32x4.sub', bits, floats(1))
}

/** The least uniform number whose logarithm is taken. */
const smallest = 1e-7

/** Two pairs of words to two pairs of normal numbers, in every lane. */
export function addNormals(f: FunctionWriter, [a, b, c, d]: FourWords): FourWords {
  const [sine, cosine] = addPair(f, a, b)
  const [sine2, cosine2] = addPair(f, c, d)
  return [sine, cosine, sine2, cosine2]
}

function addPair(f: FunctionWriter, first: Piece, second: Piece): readonly [Piece, Piece] {
  const uniform = f.keep('v128', op('f32x4.max', uniformFloats(first), floats(smallest)))
  const turn = f.keep('v128', uniformFloats(second))
  const logarithm = addHalves(f, uniform, (half) => [addLogarithm(f, half)])[0]
  const radius = f.keep('v128', op('f32x4.sqrt', op('f32x4.mul', logarithm, floats(-2))))
  const [sine, cosine] = addHalves(f, turn, (half) => {
    // The angle is a float32 before its sine is taken.
    const product = op('f64x2.mul', half, doubles(2 * Math.PI))
    const angle = op('f64x2.promote_low_f32x4', op('f32x4.demote_f64x2_zero', product))
    return addSineAndCosine(f, f.keep('v128', angle))
  })
  return [
    f.keep('v128', op('f32x4.mul', sine, radius)),
    f.keep('v128', op('f32x4.mul', cosine, radius)),
  ]
}

/** Computes in float64 on two lanes at a time; results are rounded to float32. */
function addHalves(
  f: FunctionWriter,
  lanes: Piece,
  compute: (half: Piece) => readonly Piece[],
): readonly Piece[] {
  const [low, high] = [lanes, picked([2, 3, 2, 3], lanes, lanes)].map((half) =>
    compute(f.keep('v128', op('f64x2.promote_low_f32x4', half))).map((result) =>
      f.keep('v128', op('f32x4.demote_f64x2_zero', result)),
    ),
  )
  return low.map((result, place) => f.keep('v128', picked([0, 1, 4, 5], result, high[place])))
}

/** The polynomial with these coefficients, that of the highest power last. */
function polynomial(variable: Piece, coefficients: readonly number[]): Piece {
  return coefficients
    .slice(0, -1)
    .reduceRight(
      (sum, coefficient) => op('f64x2.add', op('f64x2.mul', sum, variable), doubles(coefficient)),
      doubles(coefficients[coefficients.length - 1]),
    )
}

// Added to a small whole number it moves that number into the low bits of a float64's fraction.
const wholeBits = 1.5 * 2 ** 52
const bitsOf = (value: number): bigint => new BigInt64Array(Float64Array.of(value).buffer)[0]

/** Natural logarithm of positive normal numbers: 2 atanh((m - 1) / (m + 1)) + e ln 2. */
function addLogarithm(f: FunctionWriter, x: Piece): Piece {
  const shifted = op('i64x2.sub', x, longs(bitsOf(Math.SQRT1_2)))
  const exponent = f.keep('v128', [...shifted, ['i32.const', 52], ['i64x2.shr_s']])
  const mantissa = f.keep(
    'v128',
    op('i64x2.sub', x, [...exponent, ['i32.const', 52], ['i64x2.shl']]),
  )
  const whole = op(
    'f64x2.sub',
    op('i64x2.add', exponent, longs(bitsOf(wholeBits))),
    doubles(wholeBits),
  )
  const [below, above] = ['sub', 'add'].map((name) => op(`f64x2.${name}`, mantissa, doubles(1)))
  const s = f.keep('v128', op('f64x2.div', below, above))
  const square = f.keep('v128', op('f64x2.mul', s, s))
  const series = Array.from({ length: 9 }, (_, place) => 2 / (2 * place + 1))
  return op(
    'f64x2.add',
    op('f64x2.mul', s, polynomial(square, series)),
    op('f64x2.mul', whole, doubles(Math.LN2)),
  )
}

// A quarter turn in two parts, so that small multiples of the first are exact.
const quarterHigh = Math.floor((Math.PI / 2) * 2 ** 32) / 2 ** 32
const quarterLow = Math.PI / 2 - quarterHigh + 6.123233995736766e-17

/** Sine and cosine of angles from 0 to a full turn. */
function addSineAndCosine(f: FunctionWriter, angle: Piece): readonly [Piece, Piece] {
  const quarters = f.keep('v128', op('f64x2.nearest', op('f64x2.mul', angle, doubles(2 / Math.PI))))
  const rest = f.keep(
    'v128',
    chain(
      'f64x2.sub',
      angle,
      op('f64x2.mul', quarters, doubles(quarterHigh)),
      op('f64x2.mul', quarters, doubles(quarterLow)),
    ),
  )
  const square = f.keep('v128', op('f64x2.mul', rest, rest))
  const sine = f.keep('v128', op('f64x2.mul', rest, polynomial(square, taylor(1))))
  const cosine = f.keep('v128', polynomial(square, taylor(0)))
  const count = f.keep('v128', op('f64x2.add', quarters, doubles(wholeBits)))
  const shiftedLeft = (lanes: Piece, by: number): Piece => [
    ...lanes,
    ['i32.const', by],
    ['i64x2.shl'],
  ]
  const isOdd = f.keep('v128', [...shiftedLeft(count, 63), ['i32.const', 63], ['i64x2.shr_s']])
  // The second lowest bit as a sign.
  const signOf = (lanes: Piece): Piece => shiftedLeft(op('v128.and', lanes, longs(2n)), 62)
  return [
    op('v128.xor', op('v128.bitselect', cosine, sine, isOdd), signOf(count)),
    op(
      'v128.xor',
      op('v128.bitselect', sine, cosine, isOdd),
      signOf(op('i64x2.add', count, longs(1n))),
    ),
  ]
}

/** Taylor's coefficients of the cosine (first power 0), or of the sine over its argument (1). */
function taylor(first: 0 | 1): readonly number[] {
  const coefficients = [1]
  for (let place = 1; place < 8; place++) {
    const power = 2 * place + first
    coefficients.push(-coefficients[place - 1] / (power * (power - 1)))
  }
  return coefficients
}
