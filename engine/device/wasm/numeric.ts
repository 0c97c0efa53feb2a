// Types as WebAssembly has them: which local holds a scalar type, which vectors hold it in lanes, and the
// instructions that make constants, spread, take apart, load and store. It knows no kernel.
import type { Scalar, ScalarType } from '../../ir/expression.ts'
import { wasmTypeOf } from '../../ir/scalar.ts'
import type { Instruction, ValueType } from './assembler.ts'
import { packFloat, type WordEmitter, widenFloat } from './narrow.ts'

/** The local that holds one value of the type. */
export function localTypeOf(dtype: ScalarType): ValueType {
  const type = wasmTypeOf(dtype)
  if (type === 'u32') return 'i32'
  return type === 'u64' ? 'i64' : type
}

/** Bits that a value is computed in. */
function widthOf(dtype: ScalarType): 32 | 64 {
  return localTypeOf(dtype).endsWith('64') ? 64 : 32
}

/** Whether a vector of so many lanes holds values of the type. A bool is a mask as wide as the lanes. */
export function fitsLanes(dtype: ScalarType, lanes: number): boolean {
  if (lanes === 1) return false
  return dtype === 'bool' || widthOf(dtype) * lanes === 128
}

/** Prefix of the vector instructions for the type. */
export function shapeOf(dtype: ScalarType, lanes: number): string {
  const float = localTypeOf(dtype).startsWith('f')
  return `${float ? 'f' : 'i'}${128 / lanes}x${lanes}`
}

/** The constant on the stack. */
export function constantOf(dtype: ScalarType, value: Scalar): Instruction {
  const type = localTypeOf(dtype)
  return [`${type}.const`, typeof value === 'boolean' ? Number(value) : value]
}

/** The constant in all lanes. */
export function vectorConstantOf(dtype: ScalarType, value: Scalar, lanes: number): Instruction {
  const view = new DataView(new ArrayBuffer(16))
  for (let lane = 0; lane < lanes; lane++) {
    const at = (lane * 16) / lanes
    if (dtype === 'bool') {
      for (let byte = 0; byte < 16 / lanes; byte++) view.setUint8(at + byte, value ? 0xff : 0)
    } else {
      const type = localTypeOf(dtype)
      if (type === 'f32') view.setFloat32(at, Number(value), true)
      else if (type === 'f64') view.setFloat64(at, Number(value), true)
      else if (type === 'i64') view.setBigInt64(at, BigInt.asIntN(64, BigInt(value)), true)
      else view.setInt32(at, Number(value) | 0, true)
    }
  }
  return ['v128.const', new Uint8Array(view.buffer)]
}

/** A value on the stack (bool: 0 or 1) becomes a lane's value (bool: ones or zeros). */
function widenTruth(dtype: ScalarType, lanes: number, push: () => void, out: WordEmitter): void {
  if (dtype !== 'bool') {
    push()
    return
  }
  const type = lanes === 2 ? 'i64' : 'i32'
  out.emit(`${type}.const`, 0)
  push()
  if (lanes === 2) out.emit('i64.extend_i32_u')
  out.emit(`${type}.sub`)
}

/** A vector of one value in all lanes; `push` leaves the value. */
export function splat(dtype: ScalarType, lanes: number, push: () => void, out: WordEmitter): void {
  widenTruth(dtype, lanes, push, out)
  out.emit(`${shapeOf(dtype, lanes)}.splat`)
}

/** A vector on the stack gets a lane replaced; `push` leaves the value. */
export function replaceLane(
  dtype: ScalarType,
  lanes: number,
  lane: number,
  push: () => void,
  out: WordEmitter,
): void {
  widenTruth(dtype, lanes, push, out)
  out.emit(`${shapeOf(dtype, lanes)}.replace_lane`, lane)
}

/** A lane of the vector on the stack. */
export function extractLane(
  dtype: ScalarType,
  lanes: number,
  lane: number,
  out: WordEmitter,
): void {
  out.emit(`${shapeOf(dtype, lanes)}.extract_lane`, lane)
  if (dtype !== 'bool') return
  if (lanes === 2) out.emit('i32.wrap_i64')
  out.emit('i32.const', 1)
  out.emit('i32.and')
}

/** The value in memory at the address on the stack plus `offset`. */
export function loadScalar(dtype: ScalarType, offset: number, out: WordEmitter): void {
  switch (dtype) {
    case 'int8':
    case 'int16':
    case 'uint8':
    case 'uint16': {
      const [sign, bits] = dtype.startsWith('u') ? ['u', dtype.slice(4)] : ['s', dtype.slice(3)]
      out.emit(`i32.load${bits}_${sign}`, offset)
      return
    }
    case 'bool':
      out.emit('i32.load8_u', offset)
      out.emit('i32.const', 0)
      out.emit('i32.ne')
      return
    case 'float16':
    case 'bfloat16':
      out.emit('i32.load16_u', offset)
      widenFloat(dtype, out)
      return
    default:
      out.emit(`${localTypeOf(dtype)}.load`, offset)
      return
  }
}

/** Takes an address and a value from the stack and stores the value. `out` writes scalars. */
export function storeScalar(dtype: ScalarType, offset: number, out: WordEmitter): void {
  switch (dtype) {
    case 'int8':
    case 'uint8':
    case 'bool':
      out.emit('i32.store8', offset)
      return
    case 'int16':
    case 'uint16':
      out.emit('i32.store16', offset)
      return
    case 'float16':
    case 'bfloat16':
      packFloat(dtype, out)
      out.emit('i32.store16', offset)
      return
    default:
      out.emit(`${localTypeOf(dtype)}.store`, offset)
      return
  }
}

/** Whether neighbours in memory load into, and store from, the lanes of one vector. */
export function movesInLanes(dtype: ScalarType, lanes: number): boolean {
  return fitsLanes(dtype, lanes) && (dtype !== 'bool' || lanes === 4)
}

/** Neighbours in memory, from the address on the stack plus `offset`, in the lanes of a vector. */
export function loadLanes(dtype: ScalarType, offset: number, out: WordEmitter): void {
  switch (dtype) {
    case 'int8':
    case 'uint8':
    case 'bool': {
      const sign = dtype === 'int8' ? 's' : 'u'
      out.emit('v128.load32_zero', offset)
      out.emit(`i16x8.extend_low_i8x16_${sign}`)
      out.emit(`i32x4.extend_low_i16x8_${sign}`)
      if (dtype === 'bool') {
        out.emit('v128.const', new Uint8Array(16))
        out.emit('i32x4.ne')
      }
      return
    }
    case 'int16':
      out.emit('v128.load16x4_s', offset)
      return
    case 'uint16':
      out.emit('v128.load16x4_u', offset)
      return
    case 'float16':
    case 'bfloat16':
      out.emit('v128.load16x4_u', offset)
      widenFloat(dtype, out)
      return
    default:
      out.emit('v128.load', offset)
      return
  }
}

/** Takes an address and a vector from the stack and stores its lanes as neighbours. `out` writes lanes. */
export function storeLanes(dtype: ScalarType, offset: number, out: WordEmitter): void {
  switch (dtype) {
    case 'int8':
    case 'uint8':
    case 'bool':
      if (dtype === 'bool') {
        out.emit('v128.const', new Uint8Array(new Int32Array(4).fill(1).buffer))
        out.emit('v128.and')
      }
      gatherBytes(out, 1)
      out.emit('v128.store32_lane', offset, 0)
      return
    case 'float16':
    case 'bfloat16':
    case 'int16':
    case 'uint16':
      if (dtype === 'float16' || dtype === 'bfloat16') packFloat(dtype, out)
      gatherBytes(out, 2)
      out.emit('v128.store64_lane', offset, 0)
      return
    default:
      out.emit('v128.store', offset)
      return
  }
}

/** The low bytes of four words move together to the front of the vector. */
function gatherBytes(out: WordEmitter, bytes: 1 | 2): void {
  const picks = new Uint8Array(16)
  for (let at = 0; at < 4 * bytes; at++) picks[at] = Math.floor(at / bytes) * 4 + (at % bytes)
  const vector = out.temporary()
  out.emit('local.tee', vector)
  out.emit('local.get', vector)
  out.emit('i8x16.shuffle', picks)
}

/** Whether a single element goes from memory to any lane of a vector, and back, in one instruction. */
export function movesByLane(dtype: ScalarType, lanes: number): boolean {
  return ['float32', 'int32', 'uint32'].includes(dtype)
    ? lanes === 4
    : ['float64', 'int64', 'uint64'].includes(dtype) && lanes === 2
}
