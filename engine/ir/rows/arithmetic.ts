// Arithmetic: sums, products, quotients, remainders, roots, rounding, extremes.
import type { Expression, ScalarType } from '../expression.ts'
import { rangeOf } from '../range.ts'
import type { ExpressionBuilder, Row } from '../row.ts'
import { bitsOf, isFloat, isUnsigned, limitsOf, roundTo } from '../scalar.ts'
import {
  call,
  floats,
  formula,
  infix,
  integers,
  isNanText,
  numbers,
  valued,
  wasmOf,
  widened,
} from './form.ts'
import { remainderOfFloats } from './remainder.ts'

const everyWasm = ['f32', 'f64', 'i32', 'u32', 'i64', 'u64'] as const
const floatWasm = ['f32', 'f64'] as const

/** `x / y` without its fraction; `x / 0 = x`, and the smallest integer over -1 is itself, as in WGSL. */
function quotient(dtype: ScalarType, x: number | bigint, y: number | bigint): number | bigint {
  if (isFloat(dtype)) return Math.trunc(roundTo(dtype, Number(x) / Number(y)) as number)
  if (typeof x === 'bigint' && typeof y === 'bigint') return y === 0n ? x : x / y
  return Number(y) === 0 ? x : Math.trunc(Number(x) / Number(y))
}

/** What {@link quotient} leaves; `x mod 0 = 0` for integers. */
function remainder(dtype: ScalarType, x: number | bigint, y: number | bigint): number | bigint {
  if (typeof x === 'bigint' && typeof y === 'bigint') return y === 0n ? 0n : x % y
  if (isFloat(dtype)) return Number(x) % Number(y)
  return Number(y) === 0 ? 0 : Number(x) % Number(y)
}

function floorRemainder(
  dtype: ScalarType,
  x: number | bigint,
  y: number | bigint,
): number | bigint {
  const rest = remainder(dtype, x, y)
  if (typeof rest === 'bigint') {
    return rest !== 0n && rest < 0n !== (y as bigint) < 0n ? rest + (y as bigint) : rest
  }
  return rest !== 0 && rest < 0 !== Number(y) < 0 ? rest + Number(y) : rest
}

function floorQuotient(dtype: ScalarType, x: number | bigint, y: number | bigint): number | bigint {
  const whole = quotient(dtype, x, y)
  const rest = remainder(dtype, x, y)
  if (typeof whole === 'bigint') {
    return (rest as bigint) !== 0n && (rest as bigint) < 0n !== (y as bigint) < 0n
      ? whole - 1n
      : whole
  }
  return (rest as number) !== 0 && (rest as number) < 0 !== Number(y) < 0 ? whole - 1 : whole
}

const base: readonly Row[] = [
  {
    name: 'add',
    arity: 2,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: valued(
      (a, b) => a + b,
      (a, b) => a + b,
    ),
    wgsl: infix('+'),
    wasm: wasmOf(everyWasm, 'add'),
  },
  {
    name: 'sub',
    arity: 2,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: valued(
      (a, b) => a - b,
      (a, b) => a - b,
    ),
    wgsl: infix('-'),
    wasm: wasmOf(everyWasm, 'sub'),
  },
  {
    name: 'mul',
    arity: 2,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: (dtype, a, b) => {
      if (typeof a === 'bigint') return a * (b as bigint)
      return isFloat(dtype) ? (a as number) * (b as number) : Math.imul(a as number, b as number)
    },
    wgsl: infix('*'),
    wasm: wasmOf(everyWasm, 'mul'),
  },
  {
    // Of floats only; integers have truncate_div and floor_div. A GPU may be 2.5 ULP off.
    name: 'div',
    arity: 2,
    types: floats,
    result: 'operand',
    ulp: 2.5,
    value: valued((a, b) => a / b),
    wgsl: infix('/'),
    wasm: wasmOf(floatWasm, 'div'),
  },
  {
    name: 'neg',
    arity: 1,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: valued(
      (a) => -a,
      (a) => -a,
    ),
    wgsl: (type, a) => (type === 'u32' ? `(0u - ${a})` : `(-${a})`),
    wasm: wasmOf(floatWasm, 'neg'),
    expand: (build, dtype, a) => formula(build, dtype).sub(0, a),
  },
  {
    name: 'abs',
    arity: 1,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: valued(Math.abs, (a) => (a < 0n ? -a : a)),
    wgsl: (_type, a) => `abs(${a})`,
    wasm: wasmOf(floatWasm, 'abs'),
    expand: (build, dtype, a) => {
      const f = formula(build, dtype)
      return isUnsigned(dtype) ? a : f.select(f.less(a, 0), f.sub(0, a), a)
    },
  },
  {
    // NaN stays NaN and a zero keeps its sign.
    name: 'sign',
    arity: 1,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: valued(Math.sign, (a) => (a > 0n ? 1n : a < 0n ? -1n : 0n)),
    expand: (build, dtype, a) => {
      const f = formula(build, dtype)
      const positive = f.select(f.less(0, a), 1, a)
      return isUnsigned(dtype) ? positive : f.select(f.less(a, 0), -1, positive)
    },
  },
  extreme('min', Math.min, 'less'),
  extreme('max', Math.max, 'greater'),
]

/** The smaller or larger of two; NaN if either is NaN. Of zeros with unlike signs either may come. */
function extreme(
  name: 'min' | 'max',
  ofNumbers: (a: number, b: number) => number,
  better: string,
): Row {
  return {
    name,
    arity: 2,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: valued(ofNumbers, (a, b) => ((name === 'min') === a < b ? a : b)),
    wgsl: (type, a, b) => {
      if (type !== 'f32') return `${name}(${a}, ${b})`
      return `select(select(${name}(${a}, ${b}), ${b}, ${isNanText(b)}), ${a}, ${isNanText(a)})`
    },
    wasm: wasmOf(floatWasm, name),
    expand: (build, dtype, a, b) => {
      const f = formula(build, dtype)
      return f.select(f.apply(better, a, b), a, b)
    },
  }
}

/** A rounding to whole numbers: native on every device. */
function rounding(
  name: string,
  value: (a: number) => number,
  wgslName: string,
  wasmName: string,
): Row {
  return {
    name,
    arity: 1,
    types: floats,
    result: 'operand',
    ulp: 0,
    value: valued(value),
    wgsl: call(wgslName, ['f32']),
    wasm: wasmOf(floatWasm, wasmName),
  }
}

/** `a` rounded to a whole number, ties to even; keeps the sign of zero. */
function roundHalfToEven(a: number): number {
  if (!Number.isFinite(a) || Math.abs(a) >= 2 ** 52) return a
  const down = Math.floor(a)
  const fraction = a - down
  const up = fraction > 0.5 || (fraction === 0.5 && down % 2 !== 0)
  const whole = up ? down + 1 : down
  return whole === 0 && (a < 0 || Object.is(a, -0)) ? -0 : whole
}

const roots: readonly Row[] = [
  rounding('floor', Math.floor, 'floor', 'floor'),
  rounding('ceil', Math.ceil, 'ceil', 'ceil'),
  rounding('trunc', Math.trunc, 'trunc', 'trunc'),
  rounding('round', roundHalfToEven, 'round', 'nearest'),
  {
    // WGSL's sqrt inherits from 1 / inverseSqrt: about 2.5 ULP.
    name: 'sqrt',
    arity: 1,
    types: floats,
    result: 'operand',
    ulp: 2.5,
    value: valued(Math.sqrt),
    wgsl: call('sqrt', ['f32']),
    wasm: wasmOf(floatWasm, 'sqrt'),
  },
  {
    name: 'rsqrt',
    arity: 1,
    types: floats,
    result: 'operand',
    ulp: 3,
    value: valued((a) => 1 / Math.sqrt(a)),
    expand: widened('rsqrt', (build, dtype, a) => {
      const f = formula(build, dtype)
      return f.div(1, f.apply('sqrt', a))
    }),
  },
  {
    name: 'square',
    arity: 1,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: (dtype, a) => {
      if (typeof a === 'bigint') return a * a
      return isFloat(dtype) ? (a as number) ** 2 : Math.imul(a as number, a as number)
    },
    expand: (build, dtype, a) => formula(build, dtype).mul(a, a),
  },
  {
    name: 'reciprocal',
    arity: 1,
    types: floats,
    result: 'operand',
    ulp: 2.5,
    value: valued((a) => 1 / a),
    expand: (build, dtype, a) => formula(build, dtype).div(1, a),
  },
]

/** A divisor that no machine traps on, and that gives what the rows of division promise. */
function safeDivisor(
  build: ExpressionBuilder,
  dtype: ScalarType,
  x: Expression,
  y: Expression,
): Expression {
  const f = formula(build, dtype)
  let bad = f.apply('equal', y, 0)
  if (!isUnsigned(dtype) && bitsOf(dtype) >= 32) {
    const smallest = dtype === 'int64' ? -(1n << 63n) : limitsOf(dtype)[0]
    const overflows = build.apply('logical_and', [
      f.apply('equal', x, build.constant(dtype, smallest)),
      f.apply('equal', y, -1),
    ])
    bad = build.apply('logical_or', [bad, overflows])
  }
  return f.select(bad, 1, y)
}

const divisions: readonly Row[] = [
  {
    // Promises of the caller: y is not 0, and not -1 where x is the smallest value.
    name: 'unchecked_div',
    arity: 2,
    types: integers,
    result: 'operand',
    ulp: 0,
    value: (dtype, x, y) => quotient(dtype, x as number, y as number),
    wgsl: infix('/'),
    wasm: {
      ...wasmOf(['i32', 'i64'], 'div_s', { scalarOnly: true }),
      ...wasmOf(['u32', 'u64'], 'div_u', { scalarOnly: true }),
    },
  },
  {
    name: 'unchecked_mod',
    arity: 2,
    types: integers,
    result: 'operand',
    ulp: 0,
    value: (dtype, x, y) => remainder(dtype, x as number, y as number),
    wgsl: infix('%'),
    wasm: {
      ...wasmOf(['i32', 'i64'], 'rem_s', { scalarOnly: true }),
      ...wasmOf(['u32', 'u64'], 'rem_u', { scalarOnly: true }),
    },
  },
  {
    name: 'truncate_div',
    arity: 2,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: (dtype, x, y) => quotient(dtype, x as number, y as number),
    expand: (build, dtype, x, y) => {
      const f = formula(build, dtype)
      if (isFloat(dtype)) return f.apply('trunc', f.div(x, y))
      return f.apply('unchecked_div', x, safeDivisor(build, dtype, x, y))
    },
  },
  {
    // Of floats this is C's fmod: exact.
    name: 'truncate_mod',
    arity: 2,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: (dtype, x, y) => remainder(dtype, x as number, y as number),
    expand: widened('truncate_mod', (build, dtype, x, y) => {
      if (isFloat(dtype)) return remainderOfFloats(build, dtype, x as Expression, y as Expression)
      const divisor = safeDivisor(build, dtype, x as Expression, y as Expression)
      return formula(build, dtype).apply('unchecked_mod', x as Expression, divisor)
    }),
  },
  {
    name: 'floor_div',
    arity: 2,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: (dtype, x, y) =>
      isFloat(dtype)
        ? Math.floor(roundTo(dtype, (x as number) / (y as number)) as number)
        : floorQuotient(dtype, x as number, y as number),
    expand: (build, dtype, x, y) => {
      const f = formula(build, dtype)
      if (isFloat(dtype)) return f.apply('floor', f.div(x, y))
      const shift = shiftFor(x, y)
      if (shift !== undefined) return f.apply('unchecked_shift_right', x, shift)
      const divisor = safeDivisor(build, dtype, x, y)
      const whole = f.apply('unchecked_div', x, divisor)
      if (isNatural(dtype, x, y)) return whole
      const rest = f.sub(x, f.mul(whole, divisor))
      return f.select(crossesZero(build, dtype, rest, y), f.sub(whole, 1), whole)
    },
  },
  {
    name: 'floor_mod',
    arity: 2,
    types: numbers,
    result: 'operand',
    ulp: 0,
    value: (dtype, x, y) => floorRemainder(dtype, x as number, y as number),
    expand: (build, dtype, x, y) => {
      const f = formula(build, dtype)
      const shift = shiftFor(x, y)
      if (shift !== undefined) return f.apply('bitwise_and', x, 2 ** shift - 1)
      const rest = isFloat(dtype)
        ? f.apply('truncate_mod', x, y)
        : f.apply('unchecked_mod', x, safeDivisor(build, dtype, x, y))
      if (isNatural(dtype, x, y)) return rest
      return f.select(crossesZero(build, dtype, rest, y), f.add(rest, y), rest)
    },
  },
]

/** Whether neither operand can be negative, so that rounding down and rounding to zero are the same. */
function isNatural(dtype: ScalarType, x: Expression, y: Expression): boolean {
  return isUnsigned(dtype) || (dtype === 'int32' && rangeOf(x)[0] >= 0 && rangeOf(y)[0] >= 0)
}

/** The power of two that an int32 is divided by: floor division is a shift then, whatever the sign. */
function shiftFor(x: Expression, y: Expression): number | undefined {
  if (x.dtype !== 'int32' || y.kind !== 'constant') return undefined
  const power = Math.log2(Number(y.value))
  return Number.isInteger(power) && power >= 0 ? power : undefined
}

/** Whether a remainder is not zero and its sign is not the divisor's. */
function crossesZero(
  build: ExpressionBuilder,
  dtype: ScalarType,
  rest: Expression,
  y: Expression,
): Expression {
  const f = formula(build, dtype)
  return build.apply('logical_and', [
    f.apply('not_equal', rest, 0),
    build.apply('logical_xor', [f.less(rest, 0), f.less(y, 0)]),
  ])
}

/** Rows of arithmetic. */
export const arithmetic: readonly Row[] = [...base, ...roots, ...divisions]
