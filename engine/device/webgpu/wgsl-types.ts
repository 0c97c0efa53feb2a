// How scalar types look in WGSL: in storage (4-byte words), as values (f32, i32, u32, bool), as
// constants, and how a value is narrowed to its type after every row. It knows no kernels.
import assert from 'node:assert'
import { type Scalar, type ScalarType, wgslTypeOf } from '../../ir/index.ts'

/** The types that the WebGPU device stores and computes: those of at most 32 bits. */
export const webgpuTypes: readonly ScalarType[] = [
  'float32',
  'int32',
  'uint32',
  'bool',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'float16',
  'bfloat16',
]

/** WGSL type of a value; asserts that the device has the type. */
export function valueTypeOf(dtype: ScalarType): 'f32' | 'i32' | 'u32' | 'bool' {
  const type = wgslTypeOf(dtype)
  assert(type !== undefined && type !== 'f16', `${dtype} is no type of this device`)
  return type
}

/** WGSL type of an element in a storage buffer. */
export function storedTypeOf(dtype: ScalarType): 'f32' | 'i32' | 'u32' {
  if (dtype === 'float32') return 'f32'
  return valueTypeOf(dtype) === 'i32' ? 'i32' : 'u32'
}

/** The value that a stored element stands for. */
export function loadedText(dtype: ScalarType, stored: string): string {
  if (dtype === 'bool') return `(${stored} != 0u)`
  if (dtype === 'bfloat16') return `bitcast<f32>(${stored} << 16u)`
  return dtype === 'float16' ? `float16_of_bits(${stored})` : stored
}

/** The stored element of a value that is narrow already. */
export function storedText(dtype: ScalarType, value: string): string {
  if (dtype === 'bool') return `select(0u, 1u, ${value})`
  if (dtype === 'bfloat16') return `(bitcast<u32>(${value}) >> 16u)`
  return dtype === 'float16' ? `bits_of_float16(${value})` : value
}

/** Rounds (floats, to nearest even) or wraps (integers) a value to its type. */
export function narrowedText(dtype: ScalarType, value: string): string {
  switch (dtype) {
    case 'int8':
      return `((${value} << 24u) >> 24u)`
    case 'int16':
      return `((${value} << 16u) >> 16u)`
    case 'uint8':
      return `(${value} & 0xffu)`
    case 'uint16':
      return `(${value} & 0xffffu)`
    case 'float16':
      return `to_float16(${value})`
    case 'bfloat16':
      return `to_bfloat16(${value})`
    default:
      return value
  }
}

const word = new DataView(new ArrayBuffer(4))

/**
 * A constant. What compilers may not see through (infinities and NaN, which WGSL forbids in constant
 * expressions) is mixed with a zero that they cannot know.
 */
export function constantText(dtype: ScalarType, value: Scalar): string {
  const type = valueTypeOf(dtype)
  if (type === 'bool') return value ? 'true' : 'false'
  const number = Number(value)
  if (type === 'u32') return `${number}u`
  if (type === 'i32') return number === -(2 ** 31) ? 'bitcast<i32>(0x80000000u)' : `${number}i`
  word.setFloat32(0, number)
  const bits = `0x${word.getUint32(0).toString(16).padStart(8, '0')}u`
  if (!Number.isFinite(number)) return `bitcast<f32>(unknown_zero | ${bits})`
  const ordinary = Math.abs(number) >= 2 ** -126 || Object.is(number, 0)
  return ordinary ? `${decimalOf(number)}f` : `bitcast<f32>(${bits})`
}

function decimalOf(number: number): string {
  const text = String(number)
  return /[.e]/.test(text) ? text : `${text}.0`
}

/**
 * First statement of `main`: a zero that no compiler can know. Every dispatch has one workgroup along
 * the third axis.
 */
export const unknownZeroText = 'unknown_zero = group.z;'

/** Declarations that texts of this file lean on; those that the module uses are added to it. */
const declarations: readonly (readonly [string, string])[] = [
  ['unknown_zero', 'var<private> unknown_zero: u32;'],
  [
    'keep(',
    `fn keep(value: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(value) ^ unknown_zero);
}`,
  ],
  [
    'float16_of_bits',
    `fn float16_of_bits(half: u32) -> f32 {
  let sign = (half & 0x8000u) << 16u;
  let exponent = (half >> 10u) & 0x1fu;
  let mantissa = half & 0x3ffu;
  if (exponent == 0u) {
    return bitcast<f32>(sign | bitcast<u32>(f32(mantissa) * 5.9604644775390625e-8f));
  }
  let wide = select(exponent + 112u, 255u, exponent == 31u);
  return bitcast<f32>(sign | (wide << 23u) | (mantissa << 13u));
}`,
  ],
  [
    'bits_of_float16',
    `fn bits_of_float16(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x47800000u) { return sign | 0x7c00u; }
  if (size < 0x38800000u) { return sign | u32(bitcast<f32>(size) * 16777216.0f); }
  return sign | ((size >> 13u) - 0x1c000u);
}`,
  ],
  [
    'to_float16',
    `fn to_float16(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  let sign = bits & 0x80000000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return value; }
  if (size >= 0x477ff000u) { return bitcast<f32>(sign | (unknown_zero | 0x7f800000u)); }
  if (size < 0x38800000u) {
    let drop = min(126u - min(size >> 23u, 126u), 25u);
    let mantissa = (size & 0x7fffffu) | 0x800000u;
    let kept = mantissa >> drop;
    let rest = mantissa & ((1u << drop) - 1u);
    let half = 1u << (drop - 1u);
    let up = rest > half || (rest == half && (kept & 1u) == 1u);
    let whole = select(kept, kept + 1u, up);
    return bitcast<f32>(sign | bitcast<u32>(f32(whole) * 5.9604644775390625e-8f));
  }
  return bitcast<f32>(sign | ((size + 0xfffu + ((size >> 13u) & 1u)) & 0xffffe000u));
}`,
  ],
  [
    'to_bfloat16',
    `fn to_bfloat16(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return bitcast<f32>((bits | 0x400000u) & 0xffff0000u); }
  return bitcast<f32>((bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u);
}`,
  ],
]

/** The declarations that a module's text needs, in a fixed order. */
export function declarationsFor(text: string): readonly string[] {
  // Later ones use earlier ones: from the back, so that what a declaration uses is found as well.
  const used: string[] = []
  let seen = text
  for (const [name, declaration] of [...declarations].reverse()) {
    if (!seen.includes(name)) continue
    used.unshift(declaration)
    seen += declaration
  }
  return used
}

/** Whether a module's text needs {@link unknownZeroText}, itself or by a declaration that it uses. */
export function usesUnknownZero(text: string): boolean {
  return declarationsFor(text).some((declaration) => declaration.includes('unknown_zero'))
}
