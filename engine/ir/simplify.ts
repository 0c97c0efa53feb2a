// Simplifications that hold for every type and change no bit of any result. For floats that leaves
// little: -0 and NaN forbid most of what holds for numbers.
import type { Expression, Scalar, ScalarType } from './expression.ts'
import type { ExpressionBuilder, Row } from './row.ts'
import { isFloat, isInteger, isUnsigned, isWide, sameScalar, scalarOf, zeroOf } from './scalar.ts'

/** A simpler expression equal to the row applied to the operands, or undefined where there is none. */
export function simplify(
  build: ExpressionBuilder,
  row: Row,
  operands: readonly Expression[],
  dtype: ScalarType,
): Expression | undefined {
  const [a, b, c] = operands
  if (a === undefined) return undefined
  if (row.arity === 1) return simplifyOne(row, a, dtype)
  if (b === undefined) return undefined
  if (row.name === 'select') return c === undefined ? undefined : simplifySelect(build, a, b, c)
  if (dtype === 'bool') return simplifyTruth(build, row, a, b)
  return isFloat(dtype) ? simplifyFloat(row, a, b) : simplifyInteger(build, row, a, b, dtype)
}

/** Whether the expression is the constant of that value. */
function isConstant(expression: Expression, value: Scalar): boolean {
  return expression.kind === 'constant' && sameScalar(expression.value, value)
}

function simplifyOne(row: Row, a: Expression, dtype: ScalarType): Expression | undefined {
  const inner = a.kind === 'apply' ? (a.operands[0] as Expression) : undefined
  switch (row.name) {
    case 'neg':
    case 'logical_not':
    case 'invert':
      return a.kind === 'apply' && a.row === row.name ? inner : undefined
    case 'abs':
      return isUnsigned(dtype) || (a.kind === 'apply' && a.row === 'abs' && isFloat(dtype))
        ? a
        : undefined
    case 'floor':
    case 'ceil':
    case 'trunc':
    case 'round':
      return a.kind === 'apply' && ['floor', 'ceil', 'trunc', 'round'].includes(a.row)
        ? a
        : undefined
    case 'cast':
      if (a.dtype === dtype) return a
      if (a.kind === 'apply' && a.row === 'cast' && inner?.dtype === dtype) {
        return holdsExactly(a.dtype, dtype) ? inner : undefined
      }
      return undefined
    case 'to_float32':
    case 'to_float64':
    case 'to_int32':
    case 'to_uint32':
    case 'to_int64':
    case 'to_uint64':
      return a.dtype === dtype ? a : undefined
    default:
      return undefined
  }
}

const exactHolders: Partial<Record<ScalarType, readonly ScalarType[]>> = {
  float64: [
    'float32',
    'float16',
    'bfloat16',
    'int32',
    'uint32',
    'int16',
    'uint16',
    'int8',
    'uint8',
  ],
  float32: ['float16', 'bfloat16', 'int16', 'uint16', 'int8', 'uint8'],
  int64: ['int32', 'uint32', 'int16', 'uint16', 'int8', 'uint8', 'bool'],
  int32: ['int16', 'uint16', 'int8', 'uint8', 'bool'],
}

/** Whether every value of `narrow` has its own exact value in `wide`. */
function holdsExactly(wide: ScalarType, narrow: ScalarType): boolean {
  return exactHolders[wide]?.includes(narrow) ?? false
}

function simplifySelect(
  build: ExpressionBuilder,
  condition: Expression,
  a: Expression,
  b: Expression,
): Expression | undefined {
  if (condition.kind === 'constant') return condition.value ? a : b
  if (a === b) return a
  if (a.kind === 'constant' && b.kind === 'constant' && a.dtype === 'bool') {
    return a.value ? condition : build.apply('logical_not', [condition])
  }
  return undefined
}

function simplifyTruth(
  build: ExpressionBuilder,
  row: Row,
  a: Expression,
  b: Expression,
): Expression | undefined {
  const [constant, other] = a.kind === 'constant' ? [a, b] : [b, a]
  switch (row.name) {
    case 'logical_and':
      if (a === b) return a
      if (constant.kind !== 'constant') return undefined
      return constant.value ? other : constant
    case 'logical_or':
      if (a === b) return a
      if (constant.kind !== 'constant') return undefined
      return constant.value ? constant : other
    case 'logical_xor':
      if (a === b) return build.constant('bool', false)
      if (constant.kind !== 'constant') return undefined
      return constant.value ? build.apply('logical_not', [other]) : other
    case 'equal':
    case 'less_equal':
    case 'greater_equal':
      return a === b && !isFloat(a.dtype) ? build.constant('bool', true) : undefined
    case 'not_equal':
    case 'less':
    case 'greater':
      return a === b && !isFloat(a.dtype) ? build.constant('bool', false) : undefined
    default:
      return undefined
  }
}

function simplifyFloat(row: Row, a: Expression, b: Expression): Expression | undefined {
  switch (row.name) {
    case 'mul':
      return isConstant(b, 1) ? a : isConstant(a, 1) ? b : undefined
    case 'div':
      return isConstant(b, 1) ? a : undefined
    case 'add':
      return isConstant(b, -0) ? a : isConstant(a, -0) ? b : undefined
    case 'sub':
      return isConstant(b, 0) ? a : undefined
    case 'min':
    case 'max':
      return a === b ? a : undefined
    default:
      return undefined
  }
}

function simplifyInteger(
  build: ExpressionBuilder,
  row: Row,
  a: Expression,
  b: Expression,
  dtype: ScalarType,
): Expression | undefined {
  if (!isInteger(dtype)) return undefined
  const zero = zeroOf(dtype)
  const one = isWide(dtype) ? 1n : 1
  const nothing = () => build.constant(dtype, zero)
  switch (row.name) {
    case 'add':
    case 'bitwise_or':
      return isConstant(b, zero) ? a : isConstant(a, zero) ? b : undefined
    case 'bitwise_xor':
      if (a === b) return nothing()
      return isConstant(b, zero) ? a : isConstant(a, zero) ? b : undefined
    case 'bitwise_and':
      if (isConstant(a, zero) || isConstant(b, zero)) return nothing()
      return a === b || isConstant(b, scalarOf(dtype, -1)) ? a : undefined
    case 'sub':
      return a === b ? nothing() : isConstant(b, zero) ? a : undefined
    case 'mul':
      if (isConstant(a, zero) || isConstant(b, zero)) return nothing()
      return isConstant(b, one) ? a : isConstant(a, one) ? b : undefined
    case 'truncate_div':
    case 'floor_div':
    case 'unchecked_div':
      return isConstant(b, one) || isConstant(b, zero) ? a : undefined
    case 'truncate_mod':
    case 'floor_mod':
    case 'unchecked_mod':
      return isConstant(b, one) || isConstant(b, zero) ? nothing() : undefined
    case 'shift_left':
    case 'shift_right':
    case 'unchecked_shift_left':
    case 'unchecked_shift_right':
      return isConstant(b, zero) ? a : undefined
    case 'min':
    case 'max':
      return a === b ? a : undefined
    default:
      return undefined
  }
}
