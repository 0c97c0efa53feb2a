// Philox 4x32-10: random words as a function of a key and a counter, so that a stream can be taken up
// anywhere. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011);
// TensorFlow's use of it in tsl/lib/random/philox_random.h.

const multiplier0 = 0xd2511f53 | 0
const multiplier1 = 0xcd9e8d57 | 0
// The multipliers' halves: products of halves stay within 32 bits, which keeps all of it in integer registers.
const low0 = 0x1f53
const high0 = 0xd251
const low1 = 0x8d57
const high1 = 0xcd9e
const weyl0 = 0x9e3779b9 | 0
const weyl1 = 0xbb67ae85 | 0

/** What the first and third word of a counter are multiplied with in each round. */
export const multipliers: readonly [number, number] = [multiplier0, multiplier1]

/** What is added to the two words of the key after each round. */
export const weyls: readonly [number, number] = [weyl0, weyl1]

/** Rounds of a block. */
export const rounds = 10

/** A place in a stream: the key, and the 128-bit counter as four words, lowest first. */
export interface PhiloxState {
  readonly key: readonly [number, number]
  readonly counter: readonly [number, number, number, number]
}

/** The stream that TensorFlow gives an op with these two seeds. */
export function philoxOfSeeds(seed: bigint, seed2: bigint): PhiloxState {
  const low = (value: bigint): number => Number(BigInt.asUintN(32, value))
  const high = (value: bigint): number => Number(BigInt.asUintN(32, value >> 32n))
  return { key: [low(seed), high(seed)], counter: [0, 0, low(seed2), high(seed2)] }
}

/** The state `blocks` blocks of four words further on. */
export function skipped({ key, counter }: PhiloxState, blocks: bigint): PhiloxState {
  let value = blocks
  for (let word = 3; word >= 0; word--) value += BigInt(counter[word]) << BigInt(32 * word)
  const wordOf = (place: number): number => Number(BigInt.asUintN(32, value >> BigInt(32 * place)))
  return { key, counter: [wordOf(0), wordOf(1), wordOf(2), wordOf(3)] }
}

/** Draws blocks of four words, one after another. */
export class Philox {
  readonly #key: Int32Array
  readonly #counter: Int32Array
  /** The four words drawn last. */
  readonly words = new Uint32Array(4)

  constructor({ key, counter }: PhiloxState) {
    this.#key = Int32Array.from(key, (word) => word | 0)
    this.#counter = Int32Array.from(counter, (word) => word | 0)
  }

  /** Goes to the place so many blocks behind `counter`: `blocks` is a whole number below 2^53. */
  moveTo(counter: PhiloxState['counter'], blocks: number): void {
    let carry = blocks
    for (let word = 0; word < 4; word++) {
      const sum = (counter[word] >>> 0) + (carry % 2 ** 32)
      this.#counter[word] = sum
      carry = Math.floor(carry / 2 ** 32) + (sum >= 2 ** 32 ? 1 : 0)
    }
  }

  /** Draws the next block into {@link Philox.words}. */
  next(): Uint32Array {
    this.fill(this.words, 0, 4)
    return this.words
  }

  /** Draws blocks into `words` from `start` up to `end`; what is left of the last one is lost. */
  fill(words: Uint32Array, start: number, end: number): void {
    const counter = this.#counter
    const key0 = this.#key[0]
    const key1 = this.#key[1]
    for (let at = start; at < end; at += 4) {
      let c0 = counter[0]
      let c1 = counter[1]
      let c2 = counter[2]
      let c3 = counter[3]
      let k0 = key0
      let k1 = key1
      for (let round = 0; round < rounds; round++) {
        // The high words of both products, from products of halves.
        const middle0 = (Math.imul(low0, c0 >>> 16) + (Math.imul(low0, c0 & 0xffff) >>> 16)) | 0
        const carry0 = (Math.imul(high0, c0 & 0xffff) + (middle0 & 0xffff)) | 0
        const top0 = (Math.imul(high0, c0 >>> 16) + (middle0 >>> 16) + (carry0 >>> 16)) | 0
        const middle1 = (Math.imul(low1, c2 >>> 16) + (Math.imul(low1, c2 & 0xffff) >>> 16)) | 0
        const carry1 = (Math.imul(high1, c2 & 0xffff) + (middle1 & 0xffff)) | 0
        const top1 = (Math.imul(high1, c2 >>> 16) + (middle1 >>> 16) + (carry1 >>> 16)) | 0
        const bottom0 = Math.imul(multiplier0, c0)
        const bottom1 = Math.imul(multiplier1, c2)
        c0 = top1 ^ c1 ^ k0
        c1 = bottom1
        c2 = top0 ^ c3 ^ k1
        c3 = bottom0
        k0 = (k0 + weyl0) | 0
        k1 = (k1 + weyl1) | 0
      }
      words[at] = c0
      if (at + 1 < end) words[at + 1] = c1
      if (at + 2 < end) words[at + 2] = c2
      if (at + 3 < end) words[at + 3] = c3
      this.#advance()
    }
  }

  #advance(): void {
    const counter = this.#counter
    for (let word = 0; word < 4; word++) {
      counter[word] += 1
      if (counter[word] !== 0) return
    }
  }
}

/** Words of a stream one by one. */
export class PhiloxWords {
  readonly #philox: Philox
  #used = 4

  constructor(state: PhiloxState) {
    this.#philox = new Philox(state)
  }

  next(): number {
    if (this.#used === 4) {
      this.#philox.next()
      this.#used = 0
    }
    return this.#philox.words[this.#used++]
  }
}
