// Conversions between scalar types: casts as C++ on x86 makes them, and bitcasts. `cast` and `bitcast`
// are what the planner writes; they become one row for each computed type, `truncate_cast`, `to_..`, `whole_..`, `bits_of_..` and `.._of_bits`.
import type { Expression, Scalar, ScalarType } from '../expression.ts'
import type { ExpressionBuilder, Row, WasmInstructions, WasmType } from '../row.ts'
import {
  bitsOf,
  bitsOfScalar,
  isFloat,
  isUnsigned,
  isWide,
  limitsOf,
  scalarOf,
  scalarOfBits,
} from '../scalar.ts'
import { everything, floats, formula } from './form.ts'

/** The integer that x86 makes of a float on its way to `dtype`; what does not fit is the smallest value. */
function integerOfFloat(dtype: ScalarType, value: number): bigint {
  const viaWide = dtype === 'uint32' || isWide(dtype)
  const limit = viaWide ? 2 ** 63 : 2 ** 31
  const whole = Math.trunc(value)
  if (dtype === 'uint64' && whole >= limit && whole < 2 ** 64) return BigInt(whole)
  return whole >= -limit && whole < limit ? BigInt(whole) : BigInt(-limit)
}

/** An integer or truth value as one of `dtype`, still to be rounded or wrapped; floats pass to floats. */
function converted(dtype: ScalarType, value: Scalar): Scalar {
  if (dtype === 'bool') return typeof value === 'boolean' ? value : Number(value) !== 0
  return typeof value === 'boolean' ? scalarOf(dtype, Number(value)) : value
}

type Conversions = Partial<Record<WasmType, WasmInstructions>>

const nothing: WasmInstructions = { scalar: [], vector: [] }
const scalar = (...names: string[]): WasmInstructions => ({ scalar: names })
const both = (name: string, lanes: string): WasmInstructions => ({
  scalar: [name],
  vector: [lanes],
})

const toFloat32: Conversions = {
  f32: nothing,
  f64: scalar('f32.demote_f64'),
  i32: both('f32.convert_i32_s', 'f32x4.convert_i32x4_s'),
  u32: both('f32.convert_i32_u', 'f32x4.convert_i32x4_u'),
  i64: scalar('f32.convert_i64_s'),
  u64: scalar('f32.convert_i64_u'),
}
const toFloat64: Conversions = {
  f32: scalar('f64.promote_f32'),
  f64: nothing,
  i32: scalar('f64.convert_i32_s'),
  u32: scalar('f64.convert_i32_u'),
  i64: scalar('f64.convert_i64_s'),
  u64: scalar('f64.convert_i64_u'),
}
const toWord: Conversions = {
  i32: nothing,
  u32: nothing,
  i64: scalar('i32.wrap_i64'),
  u64: scalar('i32.wrap_i64'),
}
const toWide: Conversions = {
  i32: scalar('i64.extend_i32_s'),
  u32: scalar('i64.extend_i32_u'),
  i64: nothing,
  u64: nothing,
}

function direct(
  name: string,
  types: readonly ScalarType[],
  wgslName: string | undefined,
  wasm: Conversions,
): Row {
  const row: Row = {
    name,
    arity: 1,
    types,
    result: 'given',
    ulp: 0,
    value: converted,
    wasm,
  }
  return wgslName === undefined ? row : { ...row, wgsl: (_type, a) => `${wgslName}(${a})` }
}

const notFloats = everything.filter((type) => !isFloat(type))

/**
 * Conversions without surprises: every operand has its exact or once rounded value. The given type is
 * one that is computed as the row's (`to_float32` also to float16: the narrowing follows by itself).
 * Integers keep their low bits.
 */
const directs: readonly Row[] = [
  { ...direct('to_float32', everything, 'f32', toFloat32), ulp: 1 },
  direct('to_float64', everything, undefined, toFloat64),
  direct('to_int32', notFloats, 'i32', toWord),
  direct('to_uint32', notFloats, 'u32', toWord),
  direct('to_int64', notFloats, undefined, toWide),
  direct('to_uint64', notFloats, undefined, toWide),
]

/** Whole part of a float that is known to fit the type; of any other float some value, without a trap. */
function unchecked(
  name: string,
  wgslName: string | undefined,
  wasmName: string,
  lanes?: string,
): Row {
  const row: Row = {
    name,
    arity: 1,
    types: floats,
    result: 'given',
    ulp: 0,
    value: (dtype, a) => {
      const [low, high] = limitsOf(dtype)
      const whole = Math.trunc(Number(a))
      return Number.isNaN(whole) ? 0n : whole <= low ? BigInt(low) : saturated(dtype, whole, high)
    },
    wasm: {
      f32: {
        scalar: [`${wasmName.replace('?', 'f32')}`],
        ...(lanes === undefined ? {} : { vector: [lanes] }),
      },
      f64: { scalar: [`${wasmName.replace('?', 'f64')}`] },
    },
  }
  return wgslName === undefined ? row : { ...row, wgsl: (_type, a) => `${wgslName}(${a})` }
}

function saturated(dtype: ScalarType, whole: number, high: number): bigint {
  if (whole < high) return BigInt(whole)
  return isWide(dtype) ? BigInt(high) - 1n : BigInt(high)
}

const uncheckeds: readonly Row[] = [
  unchecked('whole_int32', 'i32', 'i32.trunc_sat_?_s', 'i32x4.trunc_sat_f32x4_s'),
  unchecked('whole_uint32', 'u32', 'i32.trunc_sat_?_u', 'i32x4.trunc_sat_f32x4_u'),
  unchecked('whole_int64', undefined, 'i64.trunc_sat_?_s'),
  unchecked('whole_uint64', undefined, 'i64.trunc_sat_?_u'),
]

/** The type that `dtype` is computed in, as a scalar type. */
export function computedTypeOf(dtype: ScalarType): ScalarType {
  if (dtype === 'float16' || dtype === 'bfloat16') return 'float32'
  if (isFloat(dtype) || isWide(dtype)) return dtype
  if (dtype === 'bool') return 'bool'
  return isUnsigned(dtype) ? 'uint32' : 'int32'
}

/** A float to an integer type, as {@link integerOfFloat} has it. */
function castFloatToInteger(
  build: ExpressionBuilder,
  dtype: ScalarType,
  a: Expression,
): Expression {
  const wide = computedTypeOf(a.dtype)
  const f = formula(build, wide)
  const x = a.dtype === wide ? a : build.apply('to_float32', [a], wide)
  if (dtype === 'uint32') return lowWordOfFloat(build, x)
  const limit = isWide(dtype) ? 2 ** 63 : 2 ** 31
  const signed = isWide(dtype) ? 'int64' : 'int32'
  const smallest = build.constant(signed, isWide(dtype) ? -(1n << 63n) : -(2 ** 31))
  const fits = f.less(f.apply('abs', x), limit)
  const whole = build.apply('select', [fits, build.apply(`whole_${signed}`, [x], signed), smallest])
  if (dtype !== 'uint64') return narrowed(build, dtype, whole)
  const high = build.apply('logical_and', [
    f.apply('greater_equal', x, limit),
    f.less(x, limit * 2),
  ])
  return build.apply('select', [
    high,
    build.apply('whole_uint64', [x], 'uint64'),
    build.apply('to_uint64', [whole], 'uint64'),
  ])
}

/** Whole part of a float modulo 2^32, 0 where it does not fit 64 bits: cast to uint32. */
function lowWordOfFloat(build: ExpressionBuilder, x: Expression): Expression {
  if (x.dtype === 'float64') {
    return build.apply('to_uint32', [castFloatToInteger(build, 'int64', x)], 'uint32')
  }
  const f = formula(build, 'uint32')
  const word = build.apply('bits_of_float32', [x], 'uint32')
  const exponent = f.apply('bitwise_and', f.apply('unchecked_shift_right', word, 23), 0xff)
  const mantissa = f.apply('bitwise_or', f.apply('bitwise_and', word, 0x7fffff), 0x800000)
  const right = f.apply('min', f.sub(150, f.apply('min', exponent, 150)), 31)
  const left = f.sub(f.apply('max', exponent, 150), 150)
  const magnitude = f.select(
    f.less(left, 32),
    f.apply(
      'unchecked_shift_left',
      f.apply('unchecked_shift_right', mantissa, right),
      f.apply('min', left, 31),
    ),
    0,
  )
  const negative = f.apply('greater_equal', word, 0x80000000)
  return f.select(negative, f.sub(0, magnitude), magnitude)
}

/** An integer or bool in another integer type: its low bits. */
function narrowed(build: ExpressionBuilder, dtype: ScalarType, a: Expression): Expression {
  return a.dtype === dtype ? a : build.apply(`to_${computedTypeOf(dtype)}`, [a], dtype)
}

function expandCast(build: ExpressionBuilder, dtype: ScalarType, a: Expression): Expression {
  if (a.dtype === dtype) return a
  if (dtype === 'bool') {
    return build.apply('not_equal', [a, formula(build, a.dtype).lift(0)])
  }
  // A double becomes a narrow float by way of float32, as in TensorFlow.
  if (isFloat(dtype)) return build.apply(`to_${computedTypeOf(dtype)}`, [a], dtype)
  return narrowed(build, dtype, a)
}

const casts: readonly Row[] = [
  {
    // A GPU may take the float on the other side of an integer that no float32 holds.
    // The builder writes casts of floats to integers as `truncate_cast`.
    name: 'cast',
    arity: 1,
    types: everything,
    result: 'given',
    ulp: 1,
    value: converted,
    expand: expandCast,
  },
  {
    // Float to integer, without the fraction; what does not fit is what x86 makes of it.
    name: 'truncate_cast',
    arity: 1,
    types: floats,
    result: 'given',
    ulp: 0,
    value: (dtype, a) => integerOfFloat(dtype, a as number),
    expand: castFloatToInteger,
  },
]

/** Bits of a float of 32 or 64 bits, as the unsigned integer of its width, and the way back. */
function reinterpretations(float: 'float32' | 'float64', unsigned: 'uint32' | 'uint64'): Row[] {
  const [f, u, scalarFloat, scalarInteger] =
    float === 'float32'
      ? (['f32', 'u32', 'f32', 'i32'] as const)
      : (['f64', 'u64', 'f64', 'i64'] as const)
  const out: Row = {
    name: `bits_of_${float}`,
    arity: 1,
    types: [float],
    result: 'given',
    ulp: 0,
    value: (_dtype, a) => bitsOfScalar(float, a),
    wasm: { [f]: { scalar: [`${scalarInteger}.reinterpret_${scalarFloat}`], vector: [] } },
  }
  const back: Row = {
    name: `${float}_of_bits`,
    arity: 1,
    types: [unsigned],
    result: 'given',
    ulp: 0,
    value: (_dtype, a) => scalarOfBits(float, BigInt(a)),
    wasm: { [u]: { scalar: [`${scalarFloat}.reinterpret_${scalarInteger}`], vector: [] } },
  }
  if (float === 'float64') return [out, back]
  return [
    { ...out, wgsl: (_type, a) => `bitcast<u32>(${a})` },
    { ...back, wgsl: (_type, a) => `bitcast<f32>(${a})` },
  ]
}

/** Bits of a narrow float as a uint16, and the way back, out of the float32 that it is computed as. */
function narrowReinterpretations(float: 'float16' | 'bfloat16'): Row[] {
  return [
    {
      name: `bits_of_${float}`,
      arity: 1,
      types: [float],
      result: 'given',
      ulp: 0,
      value: (_dtype, a) => bitsOfScalar(float, a),
      expand: (build, _dtype, a) => {
        const word = bitsOfExpression(build, build.apply('cast', [a], 'float32'))
        const bits = float === 'bfloat16' ? upperHalf(build, word) : halfBits(build, word)
        return build.apply('to_uint32', [bits], 'uint16')
      },
    },
    {
      name: `${float}_of_bits`,
      arity: 1,
      types: ['uint16'],
      result: 'given',
      ulp: 0,
      value: (_dtype, a) => scalarOfBits(float, BigInt(a)),
      expand: (build, _dtype, a) => {
        const half = build.apply('to_uint32', [a], 'uint32')
        const word =
          float === 'bfloat16'
            ? formula(build, 'uint32').apply('unchecked_shift_left', half, 16)
            : wordOfHalf(build, half)
        return build.apply('to_float32', [expressionOfBits(build, 'float32', word)], float)
      },
    },
  ]
}

/** Upper half of the bits of a float32 that is a bfloat16; every NaN becomes the same one. */
function upperHalf(build: ExpressionBuilder, word: Expression): Expression {
  const f = formula(build, 'uint32')
  const nan = f.less(0x7f800000, f.apply('bitwise_and', word, 0x7fffffff))
  return f.select(nan, 0x7fc0, f.apply('unchecked_shift_right', word, 16))
}

/** Bits of the float16 that the bits of a float32 stand for exactly; every NaN becomes the same one. */
function halfBits(build: ExpressionBuilder, word: Expression): Expression {
  const f = formula(build, 'uint32')
  const magnitude = f.apply('bitwise_and', word, 0x7fffffff)
  const sign = f.apply('bitwise_and', f.apply('unchecked_shift_right', word, 16), 0x8000)
  const normal = f.apply('unchecked_shift_right', f.sub(magnitude, 0x38000000), 13)
  const real = formula(build, 'float32')
  const scaled = real.mul(expressionOfBits(build, 'float32', magnitude), 2 ** 24)
  const tiny = build.apply('whole_uint32', [scaled], 'uint32')
  const finite = f.select(f.less(magnitude, 0x38800000), tiny, normal)
  const infinite = f.select(f.less(magnitude, 0x7f800000), finite, 0x7c00)
  return f.select(f.less(0x7f800000, magnitude), 0x7e00, f.apply('bitwise_or', infinite, sign))
}

/** Bits of the float32 that the bits of a float16 stand for. */
function wordOfHalf(build: ExpressionBuilder, half: Expression): Expression {
  const f = formula(build, 'uint32')
  const magnitude = f.apply('bitwise_and', half, 0x7fff)
  const sign = f.apply('unchecked_shift_left', f.apply('bitwise_and', half, 0x8000), 16)
  const wide = f.apply('unchecked_shift_left', magnitude, 13)
  const normal = f.add(wide, 0x38000000)
  const real = formula(build, 'float32')
  const count = build.apply('to_float32', [magnitude], 'float32')
  const tiny = bitsOfExpression(build, real.mul(count, 2 ** -24))
  const special = f.apply('bitwise_or', wide, 0x7f800000)
  const finite = f.select(f.less(magnitude, 0x400), tiny, normal)
  return f.apply('bitwise_or', f.select(f.less(magnitude, 0x7c00), finite, special), sign)
}

const unsignedOf: Readonly<Record<number, ScalarType>> = {
  8: 'uint8',
  16: 'uint16',
  32: 'uint32',
  64: 'uint64',
}

/** Bits of a float expression, as an unsigned integer of its width. */
export function bitsOfExpression(build: ExpressionBuilder, a: Expression): Expression {
  return build.apply(`bits_of_${a.dtype}`, [a], unsignedOf[bitsOf(a.dtype)])
}

/** The float of type `dtype` whose bits are the unsigned integer `a` of its width. */
export function expressionOfBits(
  build: ExpressionBuilder,
  dtype: ScalarType,
  a: Expression,
): Expression {
  return build.apply(`${dtype}_of_bits`, [a], dtype)
}

/** The bits of `a` read as a value of another type of the same width; bool has none. */
export function expandBitcast(
  build: ExpressionBuilder,
  dtype: ScalarType,
  a: Expression,
): Expression {
  if (a.dtype === dtype) return a
  const bits = isFloat(a.dtype) ? bitsOfExpression(build, a) : a
  if (!isFloat(dtype)) return build.apply('cast', [bits], dtype)
  const unsigned = unsignedOf[bitsOf(dtype)] as ScalarType
  return expressionOfBits(build, dtype, build.apply('cast', [bits], unsigned))
}

/** The float next to x in the direction of y, as C's nextafter has it. */
const neighbour: Row = {
  name: 'next_after',
  arity: 2,
  types: ['float32', 'float64'],
  result: 'operand',
  ulp: 0,
  value: (dtype, a, b) => {
    const [x, y] = [a as number, b as number]
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.NaN
    if (x === y) return y
    if (x === 0) return Math.sign(y) * Number(scalarOfBits(dtype, 1n))
    return scalarOfBits(dtype, bitsOfScalar(dtype, x) + (x < y === x > 0 ? 1n : -1n))
  },
  expand: (build, dtype, x, y) => {
    const f = formula(build, dtype)
    const word = bitsOfExpression(build, x)
    const u = formula(build, word.dtype)
    const rises = build.apply('logical_xor', [f.less(x, y), f.less(x, 0)])
    const stepped = u.select(rises, u.add(word, 1), u.sub(word, 1))
    const moved = expressionOfBits(build, dtype, stepped)
    const least = expressionOfBits(build, dtype, u.lift(1))
    const fromZero = f.select(f.less(y, 0), f.apply('neg', least), least)
    const away = f.select(f.apply('equal', x, 0), fromZero, moved)
    const isNan = build.apply('logical_or', [
      build.apply('is_nan', [x]),
      build.apply('is_nan', [y]),
    ])
    return f.select(isNan, Number.NaN, f.select(f.apply('equal', x, y), y, away))
  },
}

/** Rows of conversion. */
export const conversion: readonly Row[] = [
  neighbour,
  ...directs,
  ...uncheckeds,
  ...casts,
  ...reinterpretations('float32', 'uint32'),
  ...reinterpretations('float64', 'uint64'),
  ...narrowReinterpretations('float16'),
  ...narrowReinterpretations('bfloat16'),
]
