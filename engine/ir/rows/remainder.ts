// C's fmod: the exact remainder of two floats, by long division of their digits.
import type { Expression, ScalarType } from '../expression.ts'
import type { ExpressionBuilder } from '../row.ts'
import { bitsOfExpression, expressionOfBits } from './conversion.ts'
import { formula } from './form.ts'

/** How the digits of a float lie in its word. */
const layouts = {
  float32: { word: 'uint32', digits: 23, spare: 8, exponents: 254 + 23 },
  float64: { word: 'uint64', digits: 52, spare: 11, exponents: 2046 + 52 },
} as const

/** `x - y trunc(x / y)` without rounding, with the sign of x; NaN where y is 0 or x is infinite. */
export function remainderOfFloats(
  build: ExpressionBuilder,
  dtype: ScalarType,
  x: Expression,
  y: Expression,
): Expression {
  const layout = layouts[dtype as 'float32' | 'float64']
  const f = formula(build, dtype)
  const u = formula(build, layout.word)
  const constant = (value: bigint) =>
    build.constant(layout.word, layout.word === 'uint32' ? Number(value) : value)
  const [above, below] = [f.apply('abs', x), f.apply('abs', y)]
  const parts = (a: Expression) => {
    const word = bitsOfExpression(build, a)
    const field = u.apply('unchecked_shift_right', word, layout.digits)
    const fraction = u.apply('bitwise_and', word, constant((1n << BigInt(layout.digits)) - 1n))
    const implicit = u.select(u.apply('equal', field, 0), 0, constant(1n << BigInt(layout.digits)))
    return { field: u.apply('max', field, 1), mantissa: u.apply('bitwise_or', fraction, implicit) }
  }
  const [dividend, divisor] = [parts(above), parts(below)]
  const safe = u.apply('max', divisor.mantissa, 1)
  const isSmall = f.less(above, below)
  let shifts = u.select(isSmall, 0, u.sub(dividend.field, divisor.field))
  let rest = u.apply('unchecked_mod', dividend.mantissa, safe)
  for (let done = 0; done < layout.exponents; done += layout.spare) {
    const step = u.apply('min', shifts, layout.spare)
    rest = u.apply('unchecked_mod', u.apply('unchecked_shift_left', rest, step), safe)
    shifts = u.sub(shifts, step)
  }
  const unit = expressionOfBits(
    build,
    dtype,
    u.apply('unchecked_shift_left', divisor.field, layout.digits),
  )
  const size = f.mul(f.mul(build.apply('cast', [rest], dtype), 2 ** -layout.digits), unit)
  const negative = u.apply(
    'greater_equal',
    bitsOfExpression(build, x),
    signOf(constant, layout.word),
  )
  const signed = f.select(isSmall, x, f.select(negative, f.apply('neg', size), size))
  const defined = build.apply('logical_and', [
    build.apply('logical_and', [
      build.apply('is_finite', [x]),
      build.apply('logical_not', [build.apply('is_nan', [y])]),
    ]),
    f.apply('not_equal', y, 0),
  ])
  return f.select(defined, signed, Number.NaN)
}

function signOf(constant: (value: bigint) => Expression, word: 'uint32' | 'uint64'): Expression {
  return constant(word === 'uint32' ? 1n << 31n : 1n << 63n)
}
