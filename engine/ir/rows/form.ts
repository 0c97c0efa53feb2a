// What the families of rows share in spelling: type lists, WGSL and WebAssembly forms of the regular
// kind, and a short way to write expansions. It holds no row.
import type { Expression, Scalar, ScalarType } from '../expression.ts'
import type { ExpressionBuilder, Row, WasmInstructions, WasmType, WgslType } from '../row.ts'
import { floatTypes, integerTypes, isFloat, roundTo, scalarOf, scalarTypes } from '../scalar.ts'

export const floats: readonly ScalarType[] = floatTypes
export const integers: readonly ScalarType[] = integerTypes
export const numbers: readonly ScalarType[] = [...floatTypes, ...integerTypes]
export const everything: readonly ScalarType[] = scalarTypes
export const truth: readonly ScalarType[] = ['bool']

const lanesOf: Readonly<Record<WasmType, string>> = {
  f32: 'f32x4',
  f64: 'f64x2',
  i32: 'i32x4',
  u32: 'i32x4',
  i64: 'i64x2',
  u64: 'i64x2',
}

const scalarPrefixOf: Readonly<Record<WasmType, string>> = {
  f32: 'f32',
  f64: 'f64',
  i32: 'i32',
  u32: 'i32',
  i64: 'i64',
  u64: 'i64',
}

/** One instruction of the same name for scalars and lanes, for each of the types. */
export function wasmOf(
  types: readonly WasmType[],
  name: string,
  options: { readonly scalarOnly?: boolean } = {},
): Partial<Record<WasmType, WasmInstructions>> {
  return Object.fromEntries(
    types.map((type) => {
      const scalar = [`${scalarPrefixOf[type]}.${name}`]
      return [
        type,
        options.scalarOnly ? { scalar } : { scalar, vector: [`${lanesOf[type]}.${name}`] },
      ]
    }),
  )
}

/** WGSL of an infix operator. */
export function infix(operator: string): NonNullable<Row['wgsl']> {
  return (_type, a, b) => `(${a} ${operator} ${b})`
}

/** WGSL of a builtin function, for the types named; for others the row expands. */
export function call(name: string, types: readonly WgslType[]): NonNullable<Row['wgsl']> {
  return (type, ...operands) =>
    types.includes(type) ? `${name}(${operands.join(', ')})` : undefined
}

/** WGSL that tells NaN by its bits: comparisons of a value with itself are folded away by compilers. */
export function isNanText(operand: string): string {
  return `((bitcast<u32>(${operand}) & 0x7fffffffu) > 0x7f800000u)`
}

/** A value function over numbers, and one over bigints for 64-bit integers. */
export function valued(
  ofNumbers: (...operands: number[]) => number,
  ofBigints?: (...operands: bigint[]) => bigint,
): Row['value'] {
  return (_dtype, ...operands: Scalar[]) => {
    if (typeof operands[0] !== 'bigint') return ofNumbers(...(operands as number[]))
    if (ofBigints === undefined) throw new Error('this row has no form for 64-bit integers')
    return ofBigints(...(operands as bigint[]))
  }
}

type Operand = Expression | number

/** Arithmetic on expressions of one type, for writing expansions; plain numbers become constants. */
export interface Formula {
  readonly dtype: ScalarType
  lift(operand: Operand): Expression
  add(a: Operand, b: Operand): Expression
  sub(a: Operand, b: Operand): Expression
  mul(a: Operand, b: Operand): Expression
  div(a: Operand, b: Operand): Expression
  apply(row: string, ...operands: Operand[]): Expression
  less(a: Operand, b: Operand): Expression
  select(condition: Expression, a: Operand, b: Operand): Expression
  /** `coefficients[0] + x (coefficients[1] + x (..))`. */
  polynomial(x: Expression, coefficients: readonly number[]): Expression
}

/** A {@link Formula} of the type. Constants are rounded to it. */
export function formula(build: ExpressionBuilder, dtype: ScalarType): Formula {
  const lift = (operand: Operand): Expression => {
    if (typeof operand !== 'number') return operand
    return build.constant(
      dtype,
      isFloat(dtype) ? roundTo(dtype, operand) : scalarOf(dtype, operand),
    )
  }
  const apply = (row: string, ...operands: Operand[]): Expression =>
    build.apply(row, operands.map(lift))
  return {
    dtype,
    lift,
    apply,
    add: (a, b) => apply('add', a, b),
    sub: (a, b) => apply('sub', a, b),
    mul: (a, b) => apply('mul', a, b),
    div: (a, b) => apply('div', a, b),
    less: (a, b) => apply('less', a, b),
    select: (condition, a, b) => build.apply('select', [condition, lift(a), lift(b)]),
    polynomial: (x, coefficients) =>
      coefficients.reduceRight<Expression | undefined>(
        (sum, coefficient) =>
          sum === undefined ? lift(coefficient) : apply('add', apply('mul', sum, x), coefficient),
        undefined,
      ) as Expression,
  }
}

/**
 * An expansion for float32 and float64; narrow floats are widened, expanded as float32, and narrowed
 * once at the end.
 */
export function widened(
  name: string,
  expand: NonNullable<Row['expand']>,
): NonNullable<Row['expand']> {
  return (build, dtype, ...operands) => {
    if (dtype !== 'float16' && dtype !== 'bfloat16') return expand(build, dtype, ...operands)
    const wide = operands.map((operand) => build.apply('cast', [operand], 'float32'))
    return build.apply('cast', [build.apply(name, wide)], dtype)
  }
}
