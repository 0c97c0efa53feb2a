// Comparisons, truth values, choice, and the bits of integers.
import type { ScalarType } from '../expression.ts'
import type { Row, WasmInstructions, WasmType } from '../row.ts'
import { bitsOf, isUnsigned, roundTo } from '../scalar.ts'
import {
  everything,
  floats,
  formula,
  infix,
  integers,
  isNanText,
  numbers,
  truth,
  valued,
  wasmOf,
} from './form.ts'

/** A comparison. Any with NaN is false, but for not_equal. */
function comparison(
  name: string,
  operator: string,
  value: (a: number | bigint, b: number | bigint) => boolean,
  wasmName: string,
  ordered: boolean,
): Row {
  const integerName = (sign: 's' | 'u') => (ordered ? `${wasmName}_${sign}` : wasmName)
  return {
    name,
    arity: 2,
    types: ordered ? numbers : everything,
    result: 'bool',
    ulp: 0,
    value: (_dtype, a, b) => value(a as number, b as number),
    wgsl: infix(operator),
    wasm: {
      ...wasmOf(['f32', 'f64'], wasmName),
      ...wasmOf(['i32', 'i64'], integerName('s')),
      ...wasmOf(['u32'], integerName('u')),
      ...wasmOf(['u64'], integerName('u'), { scalarOnly: ordered }),
    },
  }
}

const comparisons: readonly Row[] = [
  comparison('equal', '==', (a, b) => a === b, 'eq', false),
  {
    ...comparison('not_equal', '!=', (a, b) => a !== b, 'ne', false),
    // WGSL's `!=` is false with NaN on some drivers; its `==` is too, as it should be.
    wgsl: (type, a, b) => (type === 'f32' ? `(!(${a} == ${b}))` : `(${a} != ${b})`),
  },
  comparison('less', '<', (a, b) => a < b, 'lt', true),
  comparison('less_equal', '<=', (a, b) => a <= b, 'le', true),
  comparison('greater', '>', (a, b) => a > b, 'gt', true),
  comparison('greater_equal', '>=', (a, b) => a >= b, 'ge', true),
]

/** An operation on truth values, with its bitwise instruction. */
function connective(
  name: string,
  operator: string,
  value: (a: boolean, b: boolean) => boolean,
  bitwise: string,
): Row {
  return {
    name,
    arity: 2,
    types: truth,
    result: 'bool',
    ulp: 0,
    value: (_dtype, a, b) => value(a as boolean, b as boolean),
    wgsl: infix(operator),
    wasm: { i32: { scalar: [`i32.${bitwise}`], vector: [`v128.${bitwise}`] } },
  }
}

const connectives: readonly Row[] = [
  connective('logical_and', '&&', (a, b) => a && b, 'and'),
  connective('logical_or', '||', (a, b) => a || b, 'or'),
  connective('logical_xor', '!=', (a, b) => a !== b, 'xor'),
  {
    name: 'logical_not',
    arity: 1,
    types: truth,
    result: 'bool',
    ulp: 0,
    value: (_dtype, a) => !a,
    wgsl: (_type, a) => `(!${a})`,
    wasm: { i32: { scalar: ['i32.eqz'], vector: ['v128.not'] } },
  },
]

const choice: WasmInstructions = {
  scalar: ['select'],
  vector: ['v128.bitselect'],
  order: [1, 2, 0],
}

const choices: readonly Row[] = [
  {
    // select(condition, a, b): a where the condition holds.
    name: 'select',
    arity: 3,
    types: everything,
    result: 'operand',
    ulp: 0,
    value: (_dtype, condition, a, b) => (condition ? a : b) as number,
    wgsl: (_type, condition, a, b) => `select(${b}, ${a}, ${condition})`,
    wasm: { f32: choice, f64: choice, i32: choice, u32: choice, i64: choice, u64: choice },
  },
]

const tests: readonly Row[] = [
  {
    name: 'is_nan',
    arity: 1,
    types: floats,
    result: 'bool',
    ulp: 0,
    value: valuedTest(Number.isNaN),
    wgsl: (_type, a) => isNanText(a ?? ''),
    expand: (build, _dtype, a) => build.apply('not_equal', [a, a]),
  },
  {
    name: 'is_inf',
    arity: 1,
    types: floats,
    result: 'bool',
    ulp: 0,
    value: valuedTest((a) => Math.abs(a) === Infinity),
    wgsl: (_type, a) => `((bitcast<u32>(${a}) & 0x7fffffffu) == 0x7f800000u)`,
    expand: (build, dtype, a) => {
      const f = formula(build, dtype)
      return f.apply('equal', f.apply('abs', a), Infinity)
    },
  },
  {
    name: 'is_finite',
    arity: 1,
    types: floats,
    result: 'bool',
    ulp: 0,
    value: valuedTest(Number.isFinite),
    wgsl: (_type, a) => `((bitcast<u32>(${a}) & 0x7fffffffu) < 0x7f800000u)`,
    expand: (build, dtype, a) => {
      const f = formula(build, dtype)
      return f.less(f.apply('abs', a), Infinity)
    },
  },
]

function valuedTest(test: (a: number) => boolean): Row['value'] {
  return (_dtype, a) => test(a as number)
}

const everyInteger: readonly WasmType[] = ['i32', 'u32', 'i64', 'u64']

function bitwise(
  name: string,
  operator: string,
  ofNumbers: (a: number, b: number) => number,
  ofBigints: (a: bigint, b: bigint) => bigint,
  wasmName: string,
): Row {
  return {
    name,
    arity: 2,
    types: integers,
    result: 'operand',
    ulp: 0,
    value: valued(ofNumbers, ofBigints),
    wgsl: infix(operator),
    wasm: Object.fromEntries(
      everyInteger.map((type) => {
        const prefix = type.endsWith('64') ? 'i64' : 'i32'
        return [type, { scalar: [`${prefix}.${wasmName}`], vector: [`v128.${wasmName}`] }]
      }),
    ),
  }
}

/** Shifts whose counts the caller promises to lie in 0 .. 31 (63 for 64-bit types). */
function uncheckedShift(side: 'left' | 'right'): Row {
  const instruction = (type: WasmType): WasmInstructions => {
    const [scalar, lanes] = type.endsWith('64') ? ['i64', 'i64x2'] : ['i32', 'i32x4']
    const name = side === 'left' ? 'shl' : type.startsWith('u') ? 'shr_u' : 'shr_s'
    return { scalar: [`${scalar}.${name}`], vector: [`${lanes}.${name}`], uniformOperand: 1 }
  }
  return {
    name: `unchecked_shift_${side}`,
    arity: 2,
    types: integers,
    result: 'operand',
    ulp: 0,
    value: (dtype, a, b) => shifted(dtype, a as number, b as number, side),
    wgsl: (type, a, b) => {
      const count = type === 'u32' ? b : `u32(${b})`
      return `(${a} ${side === 'left' ? '<<' : '>>'} ${count})`
    },
    wasm: Object.fromEntries(everyInteger.map((type) => [type, instruction(type)])),
  }
}

/** `a` shifted by a count already in range; to the right with the sign for signed types. */
function shifted(
  dtype: ScalarType,
  a: number | bigint,
  b: number | bigint,
  side: 'left' | 'right',
): bigint {
  const wide = BigInt(a)
  return side === 'left' ? roundWide(dtype, wide << BigInt(b)) : wide >> BigInt(b)
}

function roundWide(dtype: ScalarType, value: bigint): bigint {
  return BigInt(roundTo(dtype, value))
}

/** Shifts as TensorFlow has them: counts below 0 are 0, counts past the width are the width less 1. */
function shift(side: 'left' | 'right'): Row {
  const largest = (dtype: ScalarType) => bitsOf(dtype) - 1
  return {
    name: `shift_${side}`,
    arity: 2,
    types: integers,
    result: 'operand',
    ulp: 0,
    value: (dtype, a, b) => {
      const count = BigInt(b)
      const limit = BigInt(largest(dtype))
      const clamped = count < 0n ? 0n : count > limit ? limit : count
      return shifted(dtype, a as number, clamped, side)
    },
    expand: (build, dtype, a, b) => {
      const f = formula(build, dtype)
      const below = f.apply('min', b, largest(dtype))
      const count = isUnsigned(dtype) ? below : f.apply('max', below, 0)
      return f.apply(`unchecked_shift_${side}`, a, count)
    },
  }
}

const bits: readonly Row[] = [
  bitwise(
    'bitwise_and',
    '&',
    (a, b) => a & b,
    (a, b) => a & b,
    'and',
  ),
  bitwise(
    'bitwise_or',
    '|',
    (a, b) => a | b,
    (a, b) => a | b,
    'or',
  ),
  bitwise(
    'bitwise_xor',
    '^',
    (a, b) => a ^ b,
    (a, b) => a ^ b,
    'xor',
  ),
  {
    name: 'invert',
    arity: 1,
    types: integers,
    result: 'operand',
    ulp: 0,
    value: valued(
      (a) => ~a,
      (a) => ~a,
    ),
    wgsl: (_type, a) => `(~${a})`,
    expand: (build, dtype, a) => {
      const f = formula(build, dtype)
      return f.apply('bitwise_xor', a, -1)
    },
  },
  uncheckedShift('left'),
  uncheckedShift('right'),
  shift('left'),
  shift('right'),
]

/** Rows of comparisons, truth values, choice and bits. */
export const logic: readonly Row[] = [...comparisons, ...connectives, ...choices, ...tests, ...bits]
