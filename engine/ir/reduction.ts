// What every device must agree on about reductions: what they start from, what combines two values,
// and what type comes out.
import type { Scalar, ScalarType } from './expression.ts'
import type { Combine, Reduction } from './kernel.ts'
import { limitsOf, scalarOf } from './scalar.ts'

/** The row that combines two values; argmax and argmin compare instead. */
export const combiningRows: Readonly<Record<Exclude<Combine, 'argmax' | 'argmin'>, string>> = {
  sum: 'add',
  product: 'mul',
  max: 'max',
  min: 'min',
  all: 'logical_and',
  any: 'logical_or',
}

/** Whether a reduction gives the position of a value instead of a value. */
export function isPositional(combine: Combine): combine is 'argmax' | 'argmin' {
  return combine === 'argmax' || combine === 'argmin'
}

/** The type of a reduction's result: argmax and argmin give positions. */
export function typeOfReduction({
  combine,
  dtype,
}: Pick<Reduction, 'combine' | 'dtype'>): ScalarType {
  return isPositional(combine) ? 'int32' : dtype
}

/** The value that changes nothing: what a reduction starts from and over nothing gives. */
export function startOfReduction({ combine, dtype }: Reduction): Scalar {
  switch (combine) {
    case 'sum':
    case 'any':
      return scalarOf(dtype, 0)
    case 'product':
    case 'all':
      return scalarOf(dtype, 1)
    case 'max':
    case 'argmax':
      return endOf(dtype, 0)
    case 'min':
    case 'argmin':
      return endOf(dtype, 1)
    default:
      return combine satisfies never
  }
}

/** The smallest (0) or largest (1) value of a type. */
function endOf(dtype: ScalarType, end: 0 | 1): Scalar {
  if (dtype === 'int64') return end === 0 ? -(1n << 63n) : (1n << 63n) - 1n
  if (dtype === 'uint64') return end === 0 ? 0n : (1n << 64n) - 1n
  return limitsOf(dtype)[end]
}
