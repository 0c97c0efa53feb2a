// The error function and the gamma function's logarithm and its derivative.
import type { Expression, ScalarType } from '../expression.ts'
import type { ExpressionBuilder, Row } from '../row.ts'
import {
  erfCoefficients,
  erfcxCoefficients,
  erfLogCoefficients,
  lgammaCoefficients,
} from './coefficients.ts'
import { expScaled, fitted, floatRow, log1pOf, logOf, upperHalfOf, widthOf } from './exponential.ts'
import { formula } from './form.ts'
import { signedAs } from './trigonometric.ts'
import { digamma, erf, erfc, lgamma } from './values.ts'

function erfOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const magnitude = f.apply('abs', x)
  const z = f.mul(x, x)
  const small = f.mul(magnitude, fitted(f, z, erfCoefficients))
  const inside = f.apply('min', magnitude, widthOf(dtype, 4, 6))
  const exponent = f.apply('neg', fitted(f, f.sub(inside, 2.5), erfLogCoefficients))
  const large = f.sub(1, expScaled(build, dtype, exponent, 0))
  return signedAs(build, x, f.select(f.less(magnitude, 1), small, large))
}

/** Below 0.5 it is `1 - erf`; above, `e^(-x^2)` times a function that hardly changes. */
function erfcOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const magnitude = f.apply('min', f.apply('abs', x), widthOf(dtype, 11, 28))
  const square = f.mul(magnitude, magnitude)
  const small = f.sub(1, f.mul(x, fitted(f, square, erfCoefficients)))
  const high = upperHalfOf(build, magnitude)
  const low = f.sub(magnitude, high)
  // What the square lost when it was rounded.
  const lost = f.add(f.sub(f.mul(high, high), square), f.mul(low, f.add(magnitude, high)))
  const gaussian = expScaled(build, dtype, f.apply('neg', square), 0)
  const t = f.div(f.sub(magnitude, 2), f.add(magnitude, 2))
  const shape = f.div(fitted(f, t, erfcxCoefficients), f.add(f.mul(magnitude, 2), 1))
  const tail = f.mul(f.mul(gaussian, f.sub(1, lost)), shape)
  const large = f.select(f.less(x, 0), f.sub(2, tail), tail)
  return f.select(f.less(magnitude, 0.5), small, large)
}

/** `sin(pi r)` of `|r| <= 1/2` where r is x less the nearest whole number, and that number's oddness is lost. */
function sineOfTurns(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const rest = f.sub(x, f.apply('round', x))
  return f.apply('sin', f.mul(rest, Math.PI))
}

/** `lgamma(x)` for positive x: shifted to 1.5 .. 2.5 when it is small, by Stirling when it is large. */
function lgammaOfPositive(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const steps = widthOf(dtype, 6, 12)
  const isLarge = f.less(steps + 1.5, x)
  let rest = f.apply('min', x, steps + 1.5)
  let product = f.lift(1)
  for (let step = 0; step < steps; step++) {
    const isFar = f.less(2.5, rest)
    const down = f.sub(rest, 1)
    product = f.select(isFar, f.mul(product, down), product)
    rest = f.select(isFar, down, rest)
  }
  // Below 1.5: lgamma(x) = lgamma(x + 1) - ln(x), and so again below 0.5.
  const isBelow = f.less(rest, 1.5)
  const isTiny = f.less(rest, 0.5)
  const z = f.select(isTiny, rest, f.select(isBelow, f.sub(rest, 1), f.sub(rest, 2)))
  const factor = f.select(isTiny, f.mul(rest, f.add(rest, 1)), f.select(isBelow, rest, 1))
  const near = f.mul(z, fitted(f, z, lgammaCoefficients))
  const logarithm = logOf(build, dtype, f.select(isBelow, factor, product))
  const exactLog = f.select(isTiny, logarithm, log1pOf(build, dtype, f.select(isBelow, z, 0)))
  const small = f.sub(f.add(near, f.select(isBelow, 0, logarithm)), f.select(isBelow, exactLog, 0))
  const inverse = f.div(1, f.apply('max', x, 1))
  const series = f.mul(inverse, f.polynomial(f.mul(inverse, inverse), stirlingOf(dtype)))
  const half = (Math.log(2 * Math.PI) - 1) / 2
  const ln = f.sub(logOf(build, dtype, x), 1)
  const large = f.add(f.mul(f.sub(x, 0.5), ln), f.add(series, half))
  return f.select(isLarge, large, small)
}

function stirlingOf(dtype: ScalarType): readonly number[] {
  const terms = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156]
  return terms.slice(0, widthOf(dtype, 3, 7))
}

function lgammaOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const magnitude = f.apply('abs', x)
  const isBelow = f.less(x, 0)
  const positive = lgammaOfPositive(build, dtype, magnitude)
  const sine = f.apply('abs', sineOfTurns(build, dtype, x))
  // So close to 0 that lgamma(x) is -ln|x|, and the products below would underflow.
  const isTiny = f.less(magnitude, widthOf(dtype, 2 ** -30, 2 ** -60))
  const factor = f.select(isTiny, magnitude, f.div(f.mul(magnitude, sine), Math.PI))
  const logarithm = f.apply('neg', logOf(build, dtype, factor))
  const reflected = f.sub(logarithm, f.select(isTiny, 0, positive))
  const y = f.select(isBelow, reflected, positive)
  const isWhole = f.apply('equal', f.apply('floor', x), x)
  const isPole = build.apply('logical_and', [f.apply('less_equal', x, 0), isWhole])
  const infinite = build.apply('logical_or', [isPole, build.apply('is_inf', [x])])
  const bounded = f.select(infinite, Infinity, y)
  return f.select(build.apply('is_nan', [x]), x, bounded)
}

function digammaOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const isBelow = f.less(x, 0)
  let far = f.select(isBelow, f.sub(1, x), x)
  let shift = f.lift(0)
  const steps = widthOf(dtype, 7, 12)
  for (let step = 0; step < steps; step++) {
    const isNear = f.less(far, steps)
    shift = f.select(isNear, f.add(shift, f.div(1, far)), shift)
    far = f.select(isNear, f.add(far, 1), far)
  }
  const inverse = f.div(1, far)
  const square = f.mul(inverse, inverse)
  const terms = [1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12]
  const series = f.mul(square, f.polynomial(square, terms.slice(0, widthOf(dtype, 4, 7))))
  const ln = logOf(build, dtype, far)
  const positive = f.sub(f.sub(f.sub(ln, f.mul(inverse, 0.5)), series), shift)
  const rest = f.sub(x, f.apply('round', x))
  const cotangent = f.div(Math.PI, f.apply('tan', f.mul(rest, Math.PI)))
  const y = f.select(isBelow, f.sub(positive, cotangent), positive)
  const isWhole = f.apply('equal', f.apply('floor', x), x)
  const isPole = build.apply('logical_and', [f.apply('less_equal', x, 0), isWhole])
  return f.select(isPole, Number.NaN, f.select(f.apply('equal', x, Infinity), x, y))
}

/** Rows of special functions. lgamma and digamma are judged from 1 on: near their zeros by absolute error. */
export const special: readonly Row[] = [
  floatRow('erf', erf, 4, erfOf),
  floatRow('erfc', erfc, 6, erfcOf),
  { ...floatRow('lgamma', lgamma, 16, lgammaOf), judgedFrom: 1 },
  { ...floatRow('digamma', digamma, 16, digammaOf), judgedFrom: 1 },
]
