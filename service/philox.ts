// Philox 4x32-10: a random generator that is a function of a key and a counter. Words only; what
// they mean as numbers is initial-values.ts's affair.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011), and
// tensorflow/core/lib/random/philox_random.h for the order of the words.

/** Key and starting counter as TensorFlow's random ops build them from `seed` and `seed2`. */
export interface PhiloxKey {
  readonly seed: bigint
  readonly seed2: bigint
}

const multiplierA = 0xd2511f53
const multiplierB = 0xcd9e8d57
const bumpA = 0x9e3779b9
const bumpB = 0xbb67ae85
const rounds = 10

function highWord(a: number, b: number): number {
  const aHigh = a >>> 16
  const aLow = a & 0xffff
  const bHigh = b >>> 16
  const bLow = b & 0xffff
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 65536)
  const middleLow = (middle % 65536) + aLow * bHigh
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(middleLow / 65536)) >>> 0
}

/** Writes the four words at `counter` (below 2^53) into `words`. */
export function philoxBlock(key: PhiloxKey, counter: number, words: Uint32Array): void {
  let key0 = Number(key.seed & 0xffffffffn)
  let key1 = Number((key.seed >> 32n) & 0xffffffffn)
  let c0 = counter >>> 0
  let c1 = Math.floor(counter / 2 ** 32) >>> 0
  let c2 = Number(key.seed2 & 0xffffffffn)
  let c3 = Number((key.seed2 >> 32n) & 0xffffffffn)
  for (let round = 0; round < rounds; round++) {
    const highA = highWord(multiplierA, c0)
    const lowA = Math.imul(multiplierA, c0) >>> 0
    const highB = highWord(multiplierB, c2)
    const lowB = Math.imul(multiplierB, c2) >>> 0
    c0 = (highB ^ c1 ^ key0) >>> 0
    c1 = lowB
    c2 = (highA ^ c3 ^ key1) >>> 0
    c3 = lowA
    key0 = (key0 + bumpA) >>> 0
    key1 = (key1 + bumpB) >>> 0
  }
  words[0] = c0
  words[1] = c1
  words[2] = c2
  words[3] = c3
}

// tensorflow/python/framework/random_seed.py: the graph seed where only an op seed is given.
const defaultGraphSeed = 87_654_321n
const seedModulus = 2n ** 31n - 1n

/** The key of a random op with that op seed in a graph without a seed (random_seed.get_seed). */
export function keyOfOpSeed(seed: number): PhiloxKey {
  return {
    seed: defaultGraphSeed,
    seed2: ((BigInt(seed) % seedModulus) + seedModulus) % seedModulus,
  }
}
