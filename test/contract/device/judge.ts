// Whether a device's result is acceptable: the interval that a row's error bound leaves around the exact
// result, and what GPUs are allowed besides (denormals as zeros, zeros of either sign).

import type { DeviceFacts } from '../../../engine/device/device.ts'
import {
  evaluate,
  isFloat,
  type Row,
  roundTo,
  type Scalar,
  type ScalarType,
} from '../../../engine/ir/index.ts'

/** Digits and smallest normal exponent of float types. */
const forms: Partial<Record<ScalarType, { digits: number; least: number }>> = {
  float64: { digits: 53, least: -1022 },
  float32: { digits: 24, least: -126 },
  float16: { digits: 11, least: -14 },
  bfloat16: { digits: 8, least: -126 },
}

/** Distance of neighbours at `value` in a float type. */
export function unitInLastPlace(dtype: ScalarType, value: number): number {
  const { digits, least } = forms[dtype] ?? { digits: 53, least: -1022 }
  const size = Math.abs(value)
  let exponent = size > 0 ? Math.floor(Math.log2(size)) : least
  if (2 ** exponent > size) exponent--
  if (2 ** (exponent + 1) <= size) exponent++
  return 2 ** (Math.max(exponent, least) - digits + 1)
}

/** Whether a number is one that a GPU may take for zero. */
function isDenormal(dtype: ScalarType, value: Scalar): boolean {
  if (!isFloat(dtype) || typeof value !== 'number' || value === 0) return false
  return Math.abs(value) < 2 ** (forms[dtype]?.least ?? 0)
}

/** Same bits, but for the sign of NaN, and of zero where `zeros`. */
export function isSame(a: Scalar, b: Scalar, zeros: boolean): boolean {
  return Object.is(a, b) || (zeros && a === 0 && b === 0)
}

/** Whether `got` lies within `ulps` of `exact`, judged in the type; infinities may be one step away. */
function isNear(
  dtype: ScalarType,
  exact: number,
  got: number,
  ulps: number,
  judgedFrom = 0,
): boolean {
  const rounded = roundTo(dtype, exact) as number
  if (Object.is(rounded, got) || (rounded === 0 && got === 0)) return true
  if (Number.isNaN(rounded) || Number.isNaN(got)) return false
  const { digits, least } = forms[dtype] ?? { digits: 53, least: -1022 }
  const largest = (2 - 2 ** (1 - digits)) * 2 ** (1 - least)
  const bounded = (value: number) => Math.max(-largest, Math.min(largest, value))
  // One half for the rounding of the exact result itself.
  const allowed =
    (ulps + 0.5) * unitInLastPlace(dtype, Math.max(Math.abs(bounded(exact)), judgedFrom))
  return Math.abs(bounded(got) - bounded(exact)) <= allowed
}

/** One application of a row, with what came out. */
export interface Application {
  readonly row: Row
  readonly operandTypes: readonly ScalarType[]
  readonly result: ScalarType
  readonly operands: readonly Scalar[]
  readonly got: Scalar
}

/** Why a result is not acceptable, or undefined. */
export function complaintAbout(facts: DeviceFacts, applied: Application): string | undefined {
  const { row, operandTypes, operands, result, got } = applied
  if (isAcceptable(facts, applied, operands)) return undefined
  if (facts.kind === 'webgpu') {
    const flushed = operands.map((operand, place) =>
      isDenormal(operandTypes[place] as ScalarType, operand) ? 0 : operand,
    )
    if (flushed.some((operand, place) => operand !== operands[place])) {
      if (isAcceptable(facts, applied, flushed)) return undefined
    }
  }
  const want = evaluate(row, result, valueTypeOf(applied), operands)
  return `${row.name}(${operands.map(show).join(', ')}) as ${result} is ${show(want)}, got ${show(got)}`
}

function show(value: Scalar): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

function valueTypeOf({ row, operandTypes }: Application): ScalarType {
  return operandTypes[row.name === 'select' ? 1 : 0] as ScalarType
}

function isAcceptable(
  facts: DeviceFacts,
  applied: Application,
  operands: readonly Scalar[],
): boolean {
  const { row, result, got } = applied
  const type = valueTypeOf(applied)
  const want = evaluate(row, result, type, operands)
  const isGpu = facts.kind === 'webgpu'
  const zeros = isGpu || row.name === 'min' || row.name === 'max' || row.ulp > 0
  if (isSame(want, got, zeros)) return true
  if (!isFloat(result)) return false
  if (isGpu && got === 0 && isDenormal(result, want)) return true
  // Where WebAssembly has the operation itself, it is exact on the CPU.
  const isExact = row.ulp === 0 || (!isGpu && (row.wasm !== undefined || row.name === 'cast'))
  const exact = row.value(result, ...operands) as number
  if (!isExact) return isNear(result, exact, got as number, row.ulp, row.judgedFrom)
  // A quotient that is off by an ULP or two may round to the next whole number.
  if (isGpu && (row.name === 'floor_div' || row.name === 'truncate_div')) {
    const [x, y] = operands as [number, number]
    const round = row.name === 'floor_div' ? Math.floor : Math.trunc
    const quotient = x / y
    const slack = 4 * unitInLastPlace(type, quotient)
    return got === round(quotient - slack) || got === round(quotient + slack)
  }
  return false
}
