// Narrow types: how values that are computed in 32 bits are rounded or wrapped to them, and how float16
// and bfloat16 lie in memory. By bit arithmetic without branches, the same for one value and for four lanes.
import type { ScalarType } from '../../ir/expression.ts'
import type { Instruction } from './assembler.ts'

/** Where instructions go, and temporary locals. `lanes`: four values in a v128 instead of one. */
export interface WordEmitter {
  readonly lanes: boolean
  emit(...instruction: Instruction): void
  /** A new local of the word's type (i32, or v128). */
  temporary(): number
}

/** Short forms of the instructions on words, scalar or in lanes. */
class Words {
  readonly #out: WordEmitter

  constructor(out: WordEmitter) {
    this.#out = out
  }

  get(local: number): this {
    this.#out.emit('local.get', local)
    return this
  }

  set(): number {
    const local = this.#out.temporary()
    this.#out.emit('local.set', local)
    return local
  }

  word(value: number): this {
    if (this.#out.lanes) {
      this.#out.emit('v128.const', new Uint8Array(new Int32Array(4).fill(value).buffer))
    } else this.#out.emit('i32.const', value)
    return this
  }

  bits(name: 'and' | 'or' | 'xor', value?: number): this {
    if (value !== undefined) this.word(value)
    this.#out.emit(`${this.#out.lanes ? 'v128' : 'i32'}.${name}`)
    return this
  }

  shift(name: 'shl' | 'shr_u' | 'shr_s', count: number): this {
    this.#out.emit('i32.const', count)
    this.#out.emit(`${this.#out.lanes ? 'i32x4' : 'i32'}.${name}`)
    return this
  }

  sum(name: 'add' | 'sub', value?: number): this {
    if (value !== undefined) this.word(value)
    this.#out.emit(`${this.#out.lanes ? 'i32x4' : 'i32'}.${name}`)
    return this
  }

  /** `+`, `-` or `*` with a float constant, on words that hold floats' bits; leaves bits. */
  float(name: 'add' | 'sub' | 'mul', bits: number): this {
    if (this.#out.lanes) {
      this.word(bits)
      this.#out.emit(`f32x4.${name}`)
      return this
    }
    this.#out.emit('f32.reinterpret_i32')
    this.word(bits)
    this.#out.emit('f32.reinterpret_i32')
    this.#out.emit(`f32.${name}`)
    this.#out.emit('i32.reinterpret_f32')
    return this
  }

  /** A mask of ones where the word, which has no sign bit, is at least `value`. */
  atLeast(value: number): this {
    if (this.#out.lanes) {
      this.word(value)
      this.#out.emit('i32x4.ge_s')
      return this
    }
    // The sign of `value - 1 - word`, spread.
    const local = this.set()
    return this.word(value - 1)
      .get(local)
      .sum('sub')
      .shift('shr_s', 31)
  }

  /** Of three words on the stack: bits of the first where the mask (third) is set, else of the second. */
  choose(): this {
    if (this.#out.lanes) this.#out.emit('v128.bitselect')
    else this.#out.emit('select')
    return this
  }
}

const half = 0x3f000000
const smallestNormalHalf = 0x38800000
const infinity = 0x7f800000

/** Float bits on the stack become the bits of the nearest float16, still as a float32. */
function roundToHalf(out: WordEmitter): void {
  const words = new Words(out)
  const word = words.set()
  const magnitude = words.get(word).bits('and', 0x7fffffff).set()
  const tiny = words.get(magnitude).float('add', half).float('sub', half).set()
  const kept = words.get(magnitude).shift('shr_u', 13).bits('and', 1).sum('add', 0xfff).set()
  const normal = words.get(magnitude).get(kept).sum('add').bits('and', ~0x1fff).set()
  const overflows = words.get(normal).atLeast(0x47800000).set()
  const finite = words.word(infinity).get(normal).get(overflows).choose().set()
  const notTiny = words.get(magnitude).atLeast(smallestNormalHalf).set()
  const number = words.get(finite).get(tiny).get(notTiny).choose().set()
  const nan = words.get(magnitude).bits('or', 0x400000).bits('and', ~0x1fff).set()
  const isNan = words
    .get(magnitude)
    .atLeast(infinity + 1)
    .set()
  words.get(nan).get(number).get(isNan).choose()
  words.get(word).bits('and', 0x80000000).bits('or')
}

/** Float bits on the stack become the bits of the nearest bfloat16, still as a float32. */
function roundToBfloat16(out: WordEmitter): void {
  const words = new Words(out)
  const word = words.set()
  const nan = words.get(word).bits('or', 0x400000).set()
  const kept = words.get(word).shift('shr_u', 16).bits('and', 1).sum('add', 0x7fff).set()
  const number = words.get(word).get(kept).sum('add').set()
  const isNan = words
    .get(word)
    .bits('and', 0x7fffffff)
    .atLeast(infinity + 1)
    .set()
  words.get(nan).get(number).get(isNan).choose().bits('and', ~0xffff)
}

/** 16 bits of a float16 on the stack become the bits of the same float32. */
function widenHalf(out: WordEmitter): void {
  const words = new Words(out)
  const word = words.set()
  const shifted = words.get(word).bits('and', 0x7fff).shift('shl', 13).set()
  const special = words.get(shifted).atLeast(0x0f800000).bits('and', infinity).set()
  // Times 2^112: what the exponents' biases differ by; it also makes small numbers normal.
  words.get(shifted).float('mul', 0x77800000).get(special).bits('or')
  words.get(word).bits('and', 0x8000).shift('shl', 16).bits('or')
}

/** Bits of a float32 that a float16 holds exactly, on the stack, become the float16's 16 bits. */
function packHalf(out: WordEmitter): void {
  const words = new Words(out)
  const word = words.set()
  const magnitude = words.get(word).bits('and', 0x7fffffff).set()
  const tiny = words.get(magnitude).float('add', half).sum('sub', half).set()
  const normal = words.get(magnitude).sum('sub', 0x38000000).shift('shr_u', 13).set()
  const special = words.get(magnitude).shift('shr_u', 13).bits('and', 0x3ff).set()
  const notTiny = words.get(magnitude).atLeast(smallestNormalHalf).set()
  const finite = words.get(normal).get(tiny).get(notTiny).choose().set()
  const isSpecial = words.get(magnitude).atLeast(infinity).set()
  words.get(special).bits('or', 0x7c00).get(finite).get(isSpecial).choose()
  words.get(word).shift('shr_u', 16).bits('and', 0x8000).bits('or')
}

/** A value of `dtype` on the stack, computed in 32 bits, is narrowed to what the type holds. */
export function narrow(dtype: ScalarType, out: WordEmitter): void {
  const reinterpret = (name: string) => {
    if (!out.lanes) out.emit(name)
  }
  const words = new Words(out)
  switch (dtype) {
    case 'int8':
      words.shift('shl', 24).shift('shr_s', 24)
      return
    case 'int16':
      words.shift('shl', 16).shift('shr_s', 16)
      return
    case 'uint8':
      words.bits('and', 0xff)
      return
    case 'uint16':
      words.bits('and', 0xffff)
      return
    case 'float16':
    case 'bfloat16':
      reinterpret('i32.reinterpret_f32')
      if (dtype === 'float16') roundToHalf(out)
      else roundToBfloat16(out)
      reinterpret('f32.reinterpret_i32')
      return
    default:
  }
}

/** Whether values of the type have to be narrowed after they were computed. */
export function isNarrow(dtype: ScalarType): boolean {
  return ['int8', 'int16', 'uint8', 'uint16', 'float16', 'bfloat16'].includes(dtype)
}

/** 16 stored bits on the stack (as a word) become a value, for the 16-bit floats. */
export function widenFloat(dtype: 'float16' | 'bfloat16', out: WordEmitter): void {
  if (dtype === 'float16') widenHalf(out)
  else new Words(out).shift('shl', 16)
  if (!out.lanes) out.emit('f32.reinterpret_i32')
}

/** A value on the stack becomes 16 bits to store (as a word), for the 16-bit floats. */
export function packFloat(dtype: 'float16' | 'bfloat16', out: WordEmitter): void {
  if (!out.lanes) out.emit('i32.reinterpret_f32')
  if (dtype === 'float16') packHalf(out)
  else new Words(out).shift('shr_u', 16)
}
