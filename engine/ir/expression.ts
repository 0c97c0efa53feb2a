// Scalar expressions: what one element of a kernel's output is, as a graph of scalar operations over
// loads, loop counters and constants. Positions are int32 expressions of the same language. This file
// knows their form; build.ts makes them (interned and simplified), rows.ts says what each row means.
import type { NumericDType } from '../../tensor/index.ts'

/** The element types that kernels compute with. Complex and quantized values are host steps. */
export type ScalarType = Exclude<
  NumericDType,
  | 'complex64'
  | 'complex128'
  | 'qint8'
  | 'quint8'
  | 'qint16'
  | 'quint16'
  | 'qint32'
  | 'float8_e5m2'
  | 'float8_e4m3fn'
  | 'int4'
  | 'uint4'
>

/** A value of a scalar type in JavaScript: int64 and uint64 as bigint, bool as boolean. */
export type Scalar = number | bigint | boolean

/**
 * One node. Nodes of one builder are interned: structurally equal nodes are the same object, so a
 * device that remembers a node's place by identity computes nothing twice.
 */
export type Expression = Constant | Loop | Load | Accumulator | Apply

export interface Constant {
  readonly kind: 'constant'
  readonly dtype: ScalarType
  readonly value: Scalar
}

/** Counter of a loop of the kernel, from 0 to `extent - 1`. Parallel loops come first. */
export interface Loop {
  readonly kind: 'loop'
  readonly dtype: 'int32'
  readonly axis: number
  readonly extent: number
}

/**
 * Element `index` (flat, row-major) of input `input`. Where `guard` is given and false nothing is
 * read and the value is 0 (false): that is how padding stays in bounds. Without a guard the planner
 * promises that the index is in bounds, or a check of the kernel covers it; a device clamps
 * positions that a check covers, so that no other memory is ever read.
 */
export interface Load {
  readonly kind: 'load'
  readonly dtype: ScalarType
  readonly input: number
  readonly index: Expression
  readonly guard: Expression | undefined
}

/** Result of a reduction of the kernel; only in stores, after the reduction loops. */
export interface Accumulator {
  readonly kind: 'accumulator'
  readonly dtype: ScalarType
  readonly reduction: number
}

/**
 * A scalar operation. `dtype` is the result's type. Narrow types (float16, bfloat16, int8, int16,
 * uint8, uint16) are computed in float32 or 32-bit integers and narrowed after every row, so
 * that fusing changes no bit.
 */
export interface Apply {
  readonly kind: 'apply'
  readonly dtype: ScalarType
  readonly row: string
  readonly operands: readonly Expression[]
  /** Of an int32 node: smallest and largest value it can have, where the builder knows them. */
  readonly range?: readonly [number, number]
}
