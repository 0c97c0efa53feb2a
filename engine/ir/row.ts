// The form of a scalar operation: one row says everything about it. The rows are in rows.ts.
import type { Expression, Scalar, ScalarType } from './expression.ts'

/** Makes expressions; interned and simplified. Implemented in build.ts. */
export interface ExpressionBuilder {
  constant(dtype: ScalarType, value: Scalar): Expression
  loop(axis: number, extent: number): Expression
  load(dtype: ScalarType, input: number, index: Expression, guard?: Expression): Expression
  accumulator(dtype: ScalarType, reduction: number): Expression
  /** `dtype`: the result's type where the row does not follow from its operands (cast, bitcast). */
  apply(row: string, operands: readonly Expression[], dtype?: ScalarType): Expression
}

/** The types of WGSL: what a scalar type is computed as on a GPU. */
export type WgslType = 'f32' | 'i32' | 'u32' | 'bool' | 'f16'

/** The types of WebAssembly: what a scalar type is computed as on the CPU. u32 and i32 differ in instructions. */
export type WasmType = 'f32' | 'f64' | 'i32' | 'u32' | 'i64' | 'u64'

/**
 * Instructions, in order, that take the operands from the stack and leave the result, by
 * their names in the WebAssembly text format. `vector` is the 128-bit form over lanes, where there is one.
 */
export interface WasmInstructions {
  readonly scalar: readonly string[]
  /** A truth value is a lane of ones or zeros here, as wide as the lanes it was computed from. */
  readonly vector?: readonly string[]
  /** Order in which the operands are pushed, where it is not their own: `[1, 2, 0]` for select. */
  readonly order?: readonly number[]
  /**
   * Operand that the vector form takes as one i32 for all lanes (the count of a shift), so that it is
   * of use only where that operand is a constant.
   */
  readonly uniformOperand?: number
}

/** One scalar operation. */
export interface Row {
  readonly name: string
  readonly arity: 1 | 2 | 3
  /** Operand types that it is defined for (of the first operand that is not a condition). */
  readonly types: readonly ScalarType[]
  /** Result: of the operands' type, a truth value, or given by the node (cast). */
  readonly result: 'operand' | 'bool' | 'given'
  /**
   * The truth, for the reference device: the exact result before rounding to `dtype` (floats may be
   * computed in double). Integers come wrapped to `dtype` by the caller.
   */
  readonly value: (dtype: ScalarType, ...operands: Scalar[]) => Scalar
  /** WGSL for operands given as texts; undefined for a type where `expand` is to be used. */
  readonly wgsl?: (type: WgslType, ...operands: string[]) => string | undefined
  readonly wasm?: Partial<Record<WasmType, WasmInstructions>>
  /** The same operation in other rows (polynomials live here), for devices without their own form. */
  readonly expand?: (
    build: ExpressionBuilder,
    dtype: ScalarType,
    ...operands: Expression[]
  ) => Expression
  /** Results smaller than this are judged as if they were this large: by absolute error. */
  readonly judgedFrom?: number
  /** Largest error of any device's form in units in the last place, over the whole range; 0: exact. */
  readonly ulp: number
}
