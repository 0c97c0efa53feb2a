// Hyperbolic functions and their inverses, out of exponentials and logarithms.
import type { Expression, ScalarType } from '../expression.ts'
import type { ExpressionBuilder, Row } from '../row.ts'
import { sinhCoefficients, tanhCoefficients } from './coefficients.ts'
import { expScaled, fitted, floatRow, log1pOf, widthOf } from './exponential.ts'
import { formula } from './form.ts'
import { signedAs } from './trigonometric.ts'

function sinhOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const magnitude = f.apply('abs', x)
  const half = expScaled(build, dtype, magnitude, -1)
  const large = signedAs(build, x, f.sub(half, f.div(0.25, half)))
  const z = f.mul(x, x)
  const small = f.add(x, f.mul(f.mul(x, z), fitted(f, z, sinhCoefficients)))
  return f.select(f.less(magnitude, 1), small, large)
}

function coshOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const half = expScaled(build, dtype, f.apply('abs', x), -1)
  return f.add(half, f.div(0.25, half))
}

function tanhOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const magnitude = f.apply('abs', x)
  const power = expScaled(build, dtype, f.mul(f.apply('min', magnitude, 40), 2), 0)
  const large = f.sub(1, f.div(2, f.add(power, 1)))
  const z = f.mul(x, x)
  const small = f.add(magnitude, f.mul(f.mul(magnitude, z), fitted(f, z, tanhCoefficients)))
  return signedAs(build, x, f.select(f.less(magnitude, 0.55), small, large))
}

function asinhOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const magnitude = f.apply('abs', x)
  const isLarge = f.less(widthOf(dtype, 2 ** 28, 2 ** 57), magnitude)
  const square = f.mul(magnitude, magnitude)
  const root = f.apply('sqrt', f.add(square, 1))
  const inside = f.add(magnitude, f.div(square, f.add(root, 1)))
  const y = log1pOf(build, dtype, f.select(isLarge, magnitude, inside))
  return signedAs(build, x, f.add(y, f.select(isLarge, Math.LN2, 0)))
}

function acoshOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const isLarge = f.less(widthOf(dtype, 2 ** 28, 2 ** 57), x)
  const above = f.sub(x, 1)
  const root = f.apply('sqrt', f.apply('max', f.mul(above, f.add(above, 2)), 0))
  const y = log1pOf(build, dtype, f.select(isLarge, x, f.add(above, root)))
  const whole = f.add(y, f.select(isLarge, Math.LN2, 0))
  return f.select(f.less(x, 1), Number.NaN, whole)
}

function atanhOf(build: ExpressionBuilder, dtype: ScalarType, x: Expression): Expression {
  const f = formula(build, dtype)
  const magnitude = f.apply('abs', x)
  const ratio = f.div(f.mul(magnitude, 2), f.sub(1, magnitude))
  return signedAs(build, x, f.mul(log1pOf(build, dtype, ratio), 0.5))
}

/** Rows of hyperbolic functions. */
export const hyperbolic: readonly Row[] = [
  floatRow('sinh', Math.sinh, 3, sinhOf),
  floatRow('cosh', Math.cosh, 3, coshOf),
  floatRow('tanh', Math.tanh, 3, tanhOf),
  floatRow('asinh', Math.asinh, 4, asinhOf),
  floatRow('acosh', Math.acosh, 4, acoshOf),
  floatRow('atanh', Math.atanh, 4, atanhOf),
]
