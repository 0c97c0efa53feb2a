// Values of scalar types in JavaScript: rounding and wrapping to a type, bits, zeros, and what each
// type is computed as. It knows nothing of rows and expressions.
import { bfloat16BitsOf, numberOfBfloat16, roundToBfloat16 } from '../../tensor/index.ts'
import type { Scalar, ScalarType } from './expression.ts'
import type { WasmType, WgslType } from './row.ts'

/** Floating types, narrow ones included. */
export const floatTypes = ['float32', 'float64', 'float16', 'bfloat16'] as const

/** Signed and unsigned integer types. */
export const integerTypes = [
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
] as const

/** Every scalar type. */
export const scalarTypes: readonly ScalarType[] = [...floatTypes, ...integerTypes, 'bool']

/** Whether values of the type are floating-point numbers. */
export function isFloat(dtype: ScalarType): boolean {
  return (floatTypes as readonly ScalarType[]).includes(dtype)
}

/** Whether values of the type are integers; bool is not. */
export function isInteger(dtype: ScalarType): boolean {
  return (integerTypes as readonly ScalarType[]).includes(dtype)
}

/** Whether the type is an integer type without a sign. */
export function isUnsigned(dtype: ScalarType): boolean {
  return dtype.startsWith('uint')
}

/** Whether values of the type are bigints. */
export function isWide(dtype: ScalarType): boolean {
  return dtype === 'int64' || dtype === 'uint64'
}

/** Width in bits as the bytes of a tensor hold it; bool takes 8. */
export function bitsOf(dtype: ScalarType): number {
  if (dtype === 'bool') return 8
  if (dtype === 'bfloat16') return 16
  return Number(/\d+$/.exec(dtype)?.[0])
}

/** Zero of the type; false for bool. */
export function zeroOf(dtype: ScalarType): Scalar {
  if (dtype === 'bool') return false
  return isWide(dtype) ? 0n : 0
}

/** `value`, a whole number of any size, as a scalar of the type; 0 and 1 also for bool. */
export function scalarOf(dtype: ScalarType, value: number): Scalar {
  if (dtype === 'bool') return value !== 0
  return isWide(dtype) ? roundTo(dtype, BigInt(value)) : roundTo(dtype, value)
}

/**
 * Smallest and largest value of an integer type, inclusive; infinities for floating types. For 64-bit
 * types the numbers are the nearest doubles.
 */
export function limitsOf(dtype: ScalarType): readonly [number, number] {
  if (isFloat(dtype)) return [-Infinity, Infinity]
  if (dtype === 'bool') return [0, 1]
  const bits = bitsOf(dtype)
  return isUnsigned(dtype) ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
}

/**
 * `value` rounded (floats, to nearest even; narrow floats through float32, as they are computed) or
 * wrapped (integers) to the type. A bool takes booleans only.
 */
export function roundTo(dtype: ScalarType, value: Scalar): Scalar {
  switch (dtype) {
    case 'float32':
      return float32Of(value)
    case 'float64':
      return Number(value)
    case 'float16':
      return Math.f16round(float32Of(value))
    case 'bfloat16':
      return roundToBfloat16(float32Of(value))
    case 'int8':
      return (wordOf(value) << 24) >> 24
    case 'int16':
      return (wordOf(value) << 16) >> 16
    case 'int32':
      return wordOf(value)
    case 'uint8':
      return wordOf(value) & 0xff
    case 'uint16':
      return wordOf(value) & 0xffff
    case 'uint32':
      return wordOf(value) >>> 0
    case 'int64':
      return BigInt.asIntN(64, BigInt(value))
    case 'uint64':
      return BigInt.asUintN(64, BigInt(value))
    case 'bool':
      if (typeof value !== 'boolean') throw new Error(`bool takes true or false, got ${value}`)
      return value
    default:
      return dtype satisfies never
  }
}

/** The low 32 bits of a whole number, as an int32. */
function wordOf(value: Scalar): number {
  if (typeof value === 'bigint') return Number(BigInt.asIntN(32, value))
  return Number(value) | 0
}

/** A number rounded once to float32; large bigints too, which `Number` would round a first time. */
function float32Of(value: Scalar): number {
  if (typeof value !== 'bigint') return Math.fround(Number(value))
  const magnitude = value < 0n ? -value : value
  if (magnitude < 1n << 53n) return Math.fround(Number(value))
  // Keeps a sticky bit below the 40 leading ones, so that the two roundings act as one.
  const drop = BigInt(magnitude.toString(2).length - 40)
  const sticky = (magnitude & ((1n << drop) - 1n)) === 0n ? 0n : 1n
  const kept = Number((((magnitude >> drop) << 1n) | sticky) << (drop - 1n))
  return Math.fround(value < 0n ? -kept : kept)
}

/** Same value of the same type: NaN equals NaN, and -0 does not equal 0. */
export function sameScalar(a: Scalar, b: Scalar): boolean {
  return Object.is(a, b)
}

/** Writes a value of the type into `view` at `offset`, little-endian. */
export function setScalar(view: DataView, offset: number, dtype: ScalarType, value: Scalar): void {
  switch (dtype) {
    case 'float32':
      view.setFloat32(offset, value as number, true)
      return
    case 'float64':
      view.setFloat64(offset, value as number, true)
      return
    case 'float16':
      view.setFloat16(offset, value as number, true)
      return
    case 'bfloat16':
      view.setUint16(offset, bfloat16BitsOf(value as number), true)
      return
    case 'int8':
    case 'uint8':
      view.setUint8(offset, value as number)
      return
    case 'bool':
      view.setUint8(offset, value ? 1 : 0)
      return
    case 'int16':
    case 'uint16':
      view.setUint16(offset, value as number, true)
      return
    case 'int32':
    case 'uint32':
      view.setUint32(offset, value as number, true)
      return
    case 'int64':
    case 'uint64':
      view.setBigUint64(offset, BigInt.asUintN(64, value as bigint), true)
      return
    default:
      dtype satisfies never
  }
}

/** Bits of a value of the type, as an unsigned whole number. */
export function bitsOfScalar(dtype: ScalarType, value: Scalar): bigint {
  const view = new DataView(new ArrayBuffer(8))
  setScalar(view, 0, dtype, value)
  return view.getBigUint64(0, true)
}

/** The value of the type with those bits (the low ones, as many as it has). */
export function scalarOfBits(dtype: ScalarType, bits: bigint): Scalar {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, BigInt.asUintN(64, bits), true)
  switch (dtype) {
    case 'float32':
      return view.getFloat32(0, true)
    case 'float64':
      return view.getFloat64(0, true)
    case 'float16':
      return view.getFloat16(0, true)
    case 'bfloat16':
      return numberOfBfloat16(view.getUint16(0, true))
    case 'bool':
      return view.getUint8(0) !== 0
    case 'uint64':
    case 'int64':
      return roundTo(dtype, view.getBigInt64(0, true))
    default:
      return roundTo(dtype, view.getInt32(0, true))
  }
}

/** The WebAssembly type that a scalar type is computed in; bool is 0 or 1 in an i32. */
export function wasmTypeOf(dtype: ScalarType): WasmType {
  if (dtype === 'float64') return 'f64'
  if (isFloat(dtype)) return 'f32'
  if (dtype === 'int64') return 'i64'
  if (dtype === 'uint64') return 'u64'
  return isUnsigned(dtype) ? 'u32' : 'i32'
}

/** The WGSL type that a scalar type is computed in; undefined for 64-bit types. */
export function wgslTypeOf(dtype: ScalarType): WgslType | undefined {
  if (dtype === 'float64' || isWide(dtype)) return undefined
  if (dtype === 'bool') return 'bool'
  if (isFloat(dtype)) return 'f32'
  return isUnsigned(dtype) ? 'u32' : 'i32'
}
