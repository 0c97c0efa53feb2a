// Distributions as TensorFlow draws them from Philox words, with as many words and in the same order.
// Source: tsl/lib/random/random_distributions.h, tensorflow/core/kernels/random_op_cpu.h.
import { type NumericDType, roundToBfloat16 } from '../../tensor/index.ts'
import { Philox, type PhiloxState, PhiloxWords, skipped } from './philox.ts'

/** Types that can be drawn. */
export type RandomDType = Extract<
  NumericDType,
  'float32' | 'float64' | 'float16' | 'bfloat16' | 'int32' | 'int64' | 'uint32' | 'uint64'
>

/** Blocks that a run of an op uses up for each element, used or not. */
export const blocksPerElement = 256n

const scratch = new DataView(new ArrayBuffer(8))

/** In `[0, 1)`, with as many random bits as the type's fraction. */
function uniformFloat32(word: number): number {
  scratch.setUint32(0, 0x3f800000 | (word & 0x7fffff))
  return scratch.getFloat32(0) - 1
}

/** In `[0, 1)`, of two words. */
export function uniformFloat64(word0: number, word1: number): number {
  scratch.setUint32(0, 0x3ff00000 | (word0 & 0xfffff))
  scratch.setUint32(4, word1)
  return scratch.getFloat64(0) - 1
}

function uniformFloat16(word: number): number {
  scratch.setUint16(0, 0x3c00 | (word & 0x3ff))
  return scratch.getFloat16(0) - 1
}

function uniformBfloat16(word: number): number {
  scratch.setUint32(0, (0x3f80 | (word & 0x7f)) << 16)
  return scratch.getFloat32(0) - 1
}

/** Elements made of one block: 4, or 2 of a 64-bit type. */
function groupOf(dtype: RandomDType): 2 | 4 {
  return dtype === 'float64' || dtype === 'int64' || dtype === 'uint64' ? 2 : 4
}

/** Numbers in `[0, 1)`. */
export function fillUniform(
  state: PhiloxState,
  dtype: RandomDType,
  count: number,
): number[] | Float32Array {
  const philox = new Philox(state)
  if (dtype === 'float32') {
    const words = new Uint32Array(count)
    philox.fill(words, 0, count)
    const numbers = new Float32Array(words.buffer)
    for (let at = 0; at < count; at++) words[at] = 0x3f800000 | (words[at] & 0x7fffff)
    for (let at = 0; at < count; at++) numbers[at] -= 1
    return numbers
  }
  const values = new Array<number>(count)
  const group = groupOf(dtype)
  for (let start = 0; start < count; start += group) {
    const words = philox.next()
    for (let place = 0; place < group && start + place < count; place++) {
      values[start + place] = uniformOf(dtype, words, place)
    }
  }
  return values
}

function uniformOf(dtype: RandomDType, words: Uint32Array, place: number): number {
  switch (dtype) {
    case 'float64':
      return uniformFloat64(words[2 * place], words[2 * place + 1])
    case 'float16':
      return uniformFloat16(words[place])
    case 'bfloat16':
      return uniformBfloat16(words[place])
    default:
      return uniformFloat32(words[place])
  }
}

/** Whole numbers in `[low, high)` of a 32-bit type. */
export function fillIntegers32(
  state: PhiloxState,
  low: number,
  high: number,
  count: number,
): number[] {
  const words = new PhiloxWords(state)
  const range = (high - low) >>> 0
  return Array.from({ length: count }, () => (low + (words.next() % range)) | 0)
}

/** Whole numbers in `[low, high)` of a 64-bit type. */
export function fillIntegers64(
  state: PhiloxState,
  low: bigint,
  high: bigint,
  count: number,
): bigint[] {
  const words = new PhiloxWords(state)
  const range = BigInt.asUintN(64, high - low)
  return Array.from({ length: count }, () => {
    const value = BigInt(words.next()) | (BigInt(words.next()) << 32n)
    return BigInt.asIntN(64, low + (value % range))
  })
}

const smallest = 1e-7

/** Two independent normal numbers of two words (Box and Muller), as float32 arithmetic gives them. */
function normalPair32(word0: number, word1: number): readonly [number, number] {
  const u1 = Math.max(uniformFloat32(word0), Math.fround(smallest))
  const angle = Math.fround(2 * Math.PI * uniformFloat32(word1))
  const radius = Math.fround(Math.sqrt(Math.fround(-2 * Math.fround(Math.log(u1)))))
  return [
    Math.fround(Math.fround(Math.sin(angle)) * radius),
    Math.fround(Math.fround(Math.cos(angle)) * radius),
  ]
}

/** Two independent normal numbers of four words (Box and Muller). */
export function normalPair64(words: readonly number[]): readonly [number, number] {
  const u1 = Math.max(uniformFloat64(words[0], words[1]), smallest)
  const angle = 2 * Math.PI * uniformFloat64(words[2], words[3])
  const radius = Math.sqrt(-2 * Math.log(u1))
  return [Math.sin(angle) * radius, Math.cos(angle) * radius]
}

function narrowed(dtype: RandomDType, value: number): number {
  if (dtype === 'float16') return Math.f16round(value)
  return dtype === 'bfloat16' ? roundToBfloat16(value) : value
}

/** Standard normal numbers. */
export function fillNormal(state: PhiloxState, dtype: RandomDType, count: number): number[] {
  const philox = new Philox(state)
  const values: number[] = []
  while (values.length < count) {
    const words = philox.next()
    const drawn =
      dtype === 'float64'
        ? normalPair64([...words])
        : [...normalPair32(words[0], words[1]), ...normalPair32(words[2], words[3])]
    for (const value of drawn) if (values.length < count) values.push(narrowed(dtype, value))
  }
  return values
}

const truncation = 2

/** Standard normal numbers within two deviations; each group has a stretch of the stream of its own. */
export function fillTruncatedNormal(
  state: PhiloxState,
  dtype: RandomDType,
  count: number,
): number[] {
  const group = groupOf(dtype)
  const stretch = (BigInt(group) * blocksPerElement) / 4n
  const values: number[] = []
  for (let start = 0; start < count; start += group) {
    const words = new PhiloxWords(skipped(state, BigInt(start / group) * stretch))
    const drawn: number[] = []
    while (drawn.length < group) {
      const pair =
        dtype === 'float64'
          ? normalPair64([words.next(), words.next(), words.next(), words.next()])
          : normalPair32(words.next(), words.next())
      for (const value of pair) {
        if (Math.abs(value) < truncation && drawn.length < group) drawn.push(narrowed(dtype, value))
      }
    }
    values.push(...drawn.slice(0, count - start))
  }
  return values
}

/** Places `0 .. count - 1` in a random order (Fisher and Yates, forwards). */
export function shuffledPlaces(state: PhiloxState, count: number): number[] {
  const words = new PhiloxWords(state)
  const places = Array.from({ length: count }, (_, place) => place)
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
): number[] {
  const words = new PhiloxWords(state)
  const drawn: number[] = []
  for (let row = 0; row < rows; row++) {
    const own = Array.from({ length: classes }, (_, place) => logits[row * classes + place])
    const largest = Math.max(...own.filter(Number.isFinite))
    let total = 0
    const cumulative = own.map((logit) => {
      if (Number.isFinite(logit)) total += Math.exp(logit - largest)
      return total
    })
    for (let sample = 0; sample < samples; sample++) {
      const wanted = uniformFloat64(words.next(), words.next()) * total
      const found = cumulative.findIndex((sum) => sum > wanted)
      drawn.push(found < 0 ? classes - 1 : found)
    }
  }
  return drawn
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
