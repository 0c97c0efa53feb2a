// Distributions as TensorFlow draws them from Philox words, with as many words and in the same order.
// Source: tsl/lib/random/random_distributions.h, tensorflow/core/kernels/random_op_cpu.h.
import { byteLengthOf, type NumericDType } from '../../tensor/index.ts'
import { Philox, type PhiloxState, PhiloxWords } from './philox.ts'

/** Types that can be drawn. */
export type RandomDType = Extract<
  NumericDType,
  'float32' | 'float64' | 'float16' | 'bfloat16' | 'int32' | 'int64' | 'uint32' | 'uint64'
>

/** Blocks that a run of an op uses up for each element, used or not. */
export const blocksPerElement = 256n

/** Elements made of one block: 4, or 2 of a 64-bit type. */
export function groupOf(dtype: RandomDType): 2 | 4 {
  return byteLengthOf(dtype) === 8 ? 2 : 4
}

/** In `[0, 1)`, of the low 20 bits of one word and all of another: exactly what the bits of a float64 give. */
export function uniformFloat64(word0: number, word1: number): number {
  return ((word0 & 0xfffff) * 2 ** 32 + (word1 >>> 0)) / 2 ** 52
}

const smallest = 1e-7

/** Two independent normal numbers of four words (Box and Muller); may overwrite the words. */
export function addNormalPair(
  words: Uint32Array,
  start: number,
  numbers: Float64Array,
  place: number,
): void {
  const uniform = Math.max(uniformFloat64(words[start], words[start + 1]), smallest)
  const angle = 2 * Math.PI * uniformFloat64(words[start + 2], words[start + 3])
  const radius = Math.sqrt(-2 * Math.log(uniform))
  numbers[place] = Math.sin(angle) * radius
  numbers[place + 1] = Math.cos(angle) * radius
}

/** Places `0 .. count - 1` in a random order (Fisher and Yates, forwards). */
export function shuffledPlaces(state: PhiloxState, count: number): Uint32Array {
  const words = new PhiloxWords(state)
  const places = new Uint32Array(count)
  for (let place = 0; place < count; place++) places[place] = place
  for (let place = 0; place + 1 < count; place++) {
    const other = place + (words.next() % (count - place))
    const held = places[place]
    places[place] = places[other]
    places[other] = held
  }
  return places
}

/** Draws classes by their unnormalized log probabilities, `samples` for each row. */
export function fillMultinomial(
  state: PhiloxState,
  logits: ArrayLike<number>,
  rows: number,
  classes: number,
  samples: number,
): Int32Array {
  const words = new PhiloxWords(state)
  const drawn = new Int32Array(rows * samples)
  const sums = new Float64Array(classes)
  for (let row = 0; row < rows; row++) {
    const total = addUp(logits, row * classes, sums)
    for (let sample = 0; sample < samples; sample++) {
      const wanted = uniformFloat64(words.next(), words.next()) * total
      drawn[row * samples + sample] = firstAbove(sums, wanted)
    }
  }
  return drawn
}

/** Sums of the probabilities up to each class, relative to the likeliest one; answers with their total. */
function addUp(logits: ArrayLike<number>, start: number, sums: Float64Array): number {
  let largest = Number.NEGATIVE_INFINITY
  for (let place = 0; place < sums.length; place++) {
    const logit = logits[start + place]
    if (Number.isFinite(logit) && logit > largest) largest = logit
  }
  let total = 0
  for (let place = 0; place < sums.length; place++) {
    const logit = logits[start + place]
    if (Number.isFinite(logit)) total += Math.exp(logit - largest)
    sums[place] = total
  }
  return total
}

/** Place of the first of the ascending sums that is above `wanted`; the last place where none is. */
function firstAbove(sums: Float64Array, wanted: number): number {
  let low = 0
  let high = sums.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sums[middle] > wanted) high = middle
    else low = middle + 1
  }
  return low
}

/** The stream of a stateless op: its two seeds are scrambled into a key and a counter. */
export function statelessState(seed0: bigint, seed1: bigint): PhiloxState {
  const low = (value: bigint): number => Number(BigInt.asUintN(32, value))
  const high = (value: bigint): number => Number(BigInt.asUintN(32, value >> 32n))
  const words = new Philox({
    key: [0x3ec8f720, 0x02461e29],
    counter: [low(seed0), high(seed0), low(seed1), high(seed1)],
  }).next()
  return { key: [words[0], words[1]], counter: [0, 0, words[2], words[3]] }
}
