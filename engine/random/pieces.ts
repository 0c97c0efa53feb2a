// A piece of a draw: so many blocks of a stream become elements in the routines' memory. How a long draw
// is cut into pieces, and where their bytes go, is draws.ts's.
// Sources as distributions.ts's.
import { byteLengthOf } from '../../tensor/index.ts'
import { addNormalPair, blocksPerElement, groupOf, type RandomDType } from './distributions.ts'
import { type PhiloxState, skipped } from './philox.ts'
import {
  type BlockRoutine,
  compileRoutines,
  instantiateRoutines,
  type Routines,
} from './routines.ts'

/** What is drawn. Whole numbers are `low + word % range`, of words as long as the type. */
export type Draw =
  | {
      readonly kind: 'uniform' | 'normal' | 'truncated_normal' | 'bits'
      readonly dtype: RandomDType
    }
  | {
      readonly kind: 'integers'
      readonly dtype: RandomDType
      readonly low: bigint
      readonly range: bigint
    }

/** Most blocks of a piece: a quarter of a mebibyte, which stays in a core's cache. */
export const pieceBlocks = 2 ** 14

/** Bytes of a block's words, and at most of what comes of them. */
export const blockBytes = 16
const pageBytes = 65_536

// The memory: a piece, a list of blocks that are drawn besides, and those blocks.
const pieceAddress = pageBytes
const listAddress = pieceAddress + pieceBlocks * blockBytes
const moreAddress = listAddress + pieceBlocks * 4
const pages = (moreAddress + pieceBlocks * blockBytes) / pageBytes

/** Makes pieces. What it answers with lies in memory that the next call uses again. */
export class PieceMaker {
  readonly #memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  readonly #routines: Routines
  readonly #list = new Uint32Array(this.#memory.buffer, listAddress, pieceBlocks)
  /** Values that each block of the list has already. */
  readonly #filled = new Uint8Array(pieceBlocks)

  constructor(module = compileRoutines()) {
    this.#routines = instantiateRoutines(module, this.#memory)
  }

  /** Bytes of the elements of blocks `first` up to `first + blocks` of the draw. */
  make(draw: Draw, state: PhiloxState, first: number, blocks: number): Uint8Array {
    const { dtype } = draw
    switch (draw.kind) {
      case 'uniform':
        return this.#uniform(dtype, skipped(state, BigInt(first)), blocks)
      case 'normal':
        this.#normals(dtype, pieceAddress, blocks, skipped(state, BigInt(first)), 1, 0)
        return this.#narrowed(dtype, blocks)
      case 'truncated_normal':
        this.#truncated(dtype, state, first, blocks)
        return this.#narrowed(dtype, blocks)
      case 'bits':
        this.#draw('words', pieceAddress, blocks, skipped(state, BigInt(first)))
        return this.#piece(blocks)
      case 'integers': {
        this.#draw('words', pieceAddress, blocks, skipped(state, BigInt(first)))
        const count = blocks * groupOf(dtype)
        const { integers32, integers64 } = this.#routines
        if (byteLengthOf(dtype) === 8) integers64(pieceAddress, count, draw.low, draw.range)
        else integers32(pieceAddress, count, Number(draw.low), Number(draw.range))
        return this.#piece(blocks)
      }
      default:
        return draw satisfies never
    }
  }

  #draw(
    routine: BlockRoutine,
    address: number,
    blocks: number,
    { key, counter }: PhiloxState,
    step = 1,
    list = 0,
  ): void {
    this.#routines[routine](address, blocks, step, list, ...key, ...counter)
  }

  #piece(blocks: number, byteLength = blocks * blockBytes): Uint8Array {
    return new Uint8Array(this.#memory.buffer, pieceAddress, byteLength)
  }

  #uniform(dtype: RandomDType, state: PhiloxState, blocks: number): Uint8Array {
    if (dtype === 'float32' || dtype === 'float64') {
      this.#draw(dtype === 'float32' ? 'uniform32' : 'uniform64', pieceAddress, blocks, state)
      return this.#piece(blocks)
    }
    this.#draw('words', pieceAddress, blocks, state)
    // As many random bits as the type's fraction; exact in float32 and in the type.
    const bits = dtype === 'float16' ? 10 : 7
    const words = new Uint32Array(this.#memory.buffer, pieceAddress, 4 * blocks)
    const numbers = new Float32Array(this.#memory.buffer, pieceAddress, 4 * blocks)
    const mask = 2 ** bits - 1
    for (let at = 0; at < words.length; at++) numbers[at] = (words[at] & mask) / 2 ** bits
    return this.#narrowed(dtype, blocks)
  }

  /** Normal numbers of blocks: four of float32, two of float64. */
  #normals(
    dtype: RandomDType,
    address: number,
    blocks: number,
    state: PhiloxState,
    step: number,
    list: number,
  ): void {
    if (dtype !== 'float64') {
      this.#draw('normal32', address, blocks, state, step, list)
      return
    }
    this.#draw('words', address, blocks, state, step, list)
    const words = new Uint32Array(this.#memory.buffer, address, 4 * blocks)
    const numbers = new Float64Array(this.#memory.buffer, address, 2 * blocks)
    for (let block = 0; block < blocks; block++) addNormalPair(words, 4 * block, numbers, 2 * block)
  }

  /** Standard normal numbers within two deviations; each group has a stretch of the stream of its own. */
  #truncated(dtype: RandomDType, state: PhiloxState, first: number, groups: number): void {
    const group = groupOf(dtype)
    const stretch = (group * Number(blocksPerElement)) / 4
    const here = skipped(state, BigInt(first) * BigInt(stretch))
    this.#normals(dtype, pieceAddress, groups, here, stretch, 0)
    const Numbers = dtype === 'float64' ? Float64Array : Float32Array
    const numbers = new Numbers(this.#memory.buffer, pieceAddress, groups * group)
    const more = new Numbers(this.#memory.buffer, moreAddress, groups * group)
    const list = this.#list
    const filled = this.#filled
    let open = 0
    for (let at = 0; at < groups; at++) {
      const kept = keepWithin(numbers, at * group, 0, numbers, at * group, group)
      if (kept === group) continue
      filled[at] = kept
      list[open++] = at * stretch
    }
    // The list says how far behind `here` the block lies that was looked at last.
    while (open > 0) {
      for (let place = 0; place < open; place++) list[place]++
      this.#normals(dtype, moreAddress, open, here, 0, listAddress)
      const looked = open
      open = 0
      for (let place = 0; place < looked; place++) {
        const at = Math.floor(list[place] / stretch)
        filled[at] = keepWithin(more, place * group, filled[at], numbers, at * group, group)
        if (filled[at] < group) list[open++] = list[place]
      }
    }
  }

  /** The piece's float32 numbers as bytes of the type; float64 ones as they are. */
  #narrowed(dtype: RandomDType, blocks: number): Uint8Array {
    if (dtype === 'float32' || dtype === 'float64') return this.#piece(blocks)
    const count = 4 * blocks
    if (dtype === 'float16') {
      const numbers = new Float32Array(this.#memory.buffer, pieceAddress, count)
      const halves = new Float16Array(this.#memory.buffer, moreAddress, count)
      halves.set(numbers)
      return new Uint8Array(this.#memory.buffer, moreAddress, 2 * count)
    }
    const bits = new Uint32Array(this.#memory.buffer, pieceAddress, count)
    const halves = new Uint16Array(this.#memory.buffer, moreAddress, count)
    // To the nearest, ties to even; none of the numbers is infinite or NaN.
    for (let at = 0; at < count; at++) {
      halves[at] = (bits[at] + 0x7fff + ((bits[at] >>> 16) & 1)) >>> 16
    }
    return new Uint8Array(this.#memory.buffer, moreAddress, 2 * count)
  }
}

const truncation = 2

/** Adds those of a block's numbers that lie within the bound to a group that has `filled`; how many it has then. */
function keepWithin(
  from: Float32Array | Float64Array,
  start: number,
  filled: number,
  to: Float32Array | Float64Array,
  place: number,
  group: number,
): number {
  let kept = filled
  for (let at = start; at < start + group && kept < group; at++) {
    if (Math.abs(from[at]) < truncation) to[place + kept++] = from[at]
  }
  return kept
}
