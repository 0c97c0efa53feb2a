// Philox 4x32-10: random words as a function of a key and a counter, so that a stream can be taken up
// anywhere. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011);
// TensorFlow's use of it in tsl/lib/random/philox_random.h.

const multiplier0 = 0xd2511f53
const multiplier1 = 0xcd9e8d57
const weyl0 = 0x9e3779b9
const weyl1 = 0xbb67ae85
const rounds = 10

/** A place in a stream: the key, and the 128-bit counter as four words, lowest first. */
export interface PhiloxState {
  readonly key: readonly [number, number]
  readonly counter: readonly [number, number, number, number]
}

/** High 32 bits of a product of unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16]
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const carry = (middle & 0xffff) + aLow * bHigh
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0
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
  readonly #key: readonly [number, number]
  readonly #counter: [number, number, number, number]
  /** The four words drawn last. */
  readonly words = new Uint32Array(4)

  constructor({ key, counter }: PhiloxState) {
    this.#key = key
    this.#counter = [...counter]
  }

  /** Draws the next block into {@link Philox.words}. */
  next(): Uint32Array {
    let [c0, c1, c2, c3] = this.#counter
    let [k0, k1] = this.#key
    for (let round = 0; round < rounds; round++) {
      const high0 = multiplyHigh(multiplier0, c0)
      const low0 = Math.imul(multiplier0, c0) >>> 0
      const high1 = multiplyHigh(multiplier1, c2)
      const low1 = Math.imul(multiplier1, c2) >>> 0
      c0 = (high1 ^ c1 ^ k0) >>> 0
      c1 = low1
      c2 = (high0 ^ c3 ^ k1) >>> 0
      c3 = low0
      k0 = (k0 + weyl0) >>> 0
      k1 = (k1 + weyl1) >>> 0
    }
    this.words[0] = c0
    this.words[1] = c1
    this.words[2] = c2
    this.words[3] = c3
    this.#advance()
    return this.words
  }

  #advance(): void {
    const counter = this.#counter
    for (let word = 0; word < 4; word++) {
      counter[word] = (counter[word] + 1) >>> 0
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
