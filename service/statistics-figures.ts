// The figures of a value, from its bytes in two passes: the first finds the extremes and the mean, the
// second the deviations from it and the histogram. It knows element types and arithmetic; threads and
// where bytes come from are others' affair.
import { byteLengthOf, elementArrayOf, kindOf, type NumericDType } from '../tensor/index.ts'

/** An exact extreme: a bigint for the 64-bit integers. */
export type Extreme = number | bigint

/** What is known of a value. Extremes, mean, deviation and histogram are those of its finite elements. */
export interface Figures {
  readonly count: number
  readonly zeros: number
  readonly nans: number
  readonly positiveInfinities: number
  readonly negativeInfinities: number
  /** Undefined, like the three after it, where no element is finite. */
  readonly min: Extreme | undefined
  readonly max: Extreme | undefined
  readonly mean: number | undefined
  /** Of the whole population: the root of the mean square deviation. */
  readonly std: number | undefined
  readonly histogram: Histogram
}

/** Bins of equal width; each holds its lower edge, the last one its upper edge too. */
export interface Histogram {
  readonly counts: readonly number[]
  /** One more than there are bins; none where no element is finite. */
  readonly edges: readonly number[]
}

// Elements summed plainly before the sum joins the corrected one: a piece of what pairwise sums do.
const blockCount = 1024
// Sums and squares stay below a double's limits once they are scaled by these.
const sumScale = 2 ** 64
const sumLimit = 2 ** 900
const squareScale = 2 ** 530
const squareLimit = 2 ** 500

/** Takes the bytes of one value twice, in order, each piece whole elements. */
export class FigureTaker {
  readonly #dtype: NumericDType
  readonly #bins: number
  readonly #wide: WideExtremes | undefined
  #pass: 1 | 2 = 1
  #count = 0
  #zeros = 0
  #nans = 0
  #positive = 0
  #negative = 0
  #min = Infinity
  #max = -Infinity
  readonly #sum = new CorrectedSum()
  /** The parts of the sum that would be too large: divided by `sumScale`. */
  readonly #largeSum = new CorrectedSum()
  readonly #deviations = new CorrectedSum()
  readonly #squares = new CorrectedSum()
  #mean = 0
  #scale = 1
  #edges: Float64Array = new Float64Array(0)
  readonly #counts: Float64Array

  constructor(dtype: NumericDType, bins: number) {
    this.#dtype = dtype
    this.#bins = bins
    this.#counts = new Float64Array(bins)
    const isWide = dtype === 'int64' || dtype === 'uint64'
    this.#wide = isWide ? new WideExtremes(dtype === 'int64') : undefined
  }

  /** The next bytes. */
  take(bytes: Uint8Array): void {
    const numbers = numbersOf(this.#dtype, bytes)
    for (let start = 0; start < numbers.length; start += blockCount) {
      const end = Math.min(numbers.length, start + blockCount)
      if (this.#pass === 1) this.#takeFirst(numbers, start, end)
      else this.#takeSecond(numbers, start, end)
    }
    if (this.#pass === 1) this.#wide?.take(bytes)
  }

  /** All bytes came once; they come again. */
  turn(): void {
    this.#pass = 2
    const finite = this.#finiteCount
    if (finite === 0) return
    const [min, max] = [this.#min, this.#max]
    const mean = this.#sum.total / finite + (this.#largeSum.total / finite) * sumScale
    this.#mean = Math.min(max, Math.max(min, mean))
    const largest = Math.max(Math.abs(min), Math.abs(max))
    if (largest > squareLimit) this.#scale = 1 / squareScale
    else if (largest < 1 / squareLimit) this.#scale = squareScale
    this.#edges = edgesOf(min, max, this.#bins)
  }

  /** All bytes came twice. */
  figures(): Figures {
    const finite = this.#finiteCount
    const isEmpty = finite === 0
    const shift = this.#deviations.total
    const square = isEmpty
      ? 0
      : Math.max(0, this.#squares.total - (shift * shift) / finite) / finite
    return {
      count: this.#count,
      zeros: this.#zeros,
      nans: this.#nans,
      positiveInfinities: this.#positive,
      negativeInfinities: this.#negative,
      min: isEmpty ? undefined : (this.#wide?.min ?? this.#min),
      max: isEmpty ? undefined : (this.#wide?.max ?? this.#max),
      mean: isEmpty ? undefined : this.#mean,
      std: isEmpty ? undefined : Math.sqrt(square) / this.#scale,
      histogram: { counts: [...this.#counts], edges: [...this.#edges] },
    }
  }

  get #finiteCount(): number {
    return this.#count - this.#nans - this.#positive - this.#negative
  }

  #takeFirst(numbers: ArrayLike<number>, start: number, end: number): void {
    let [min, max, sum, zeros] = [this.#min, this.#max, 0, 0]
    for (let index = start; index < end; index++) {
      const number = numbers[index]
      // NaN and the infinities are the numbers that do not cancel themselves.
      if (number - number !== 0) {
        this.#takeOdd(number)
        continue
      }
      if (number === 0) zeros++
      if (number < min) min = number
      if (number > max) max = number
      sum += number
    }
    this.#count += end - start
    this.#zeros += zeros
    this.#min = min
    this.#max = max
    if (Math.abs(sum) < sumLimit) this.#sum.add(sum)
    else if (Number.isFinite(sum)) this.#largeSum.add(sum / sumScale)
    else this.#largeSum.add(scaledSum(numbers, start, end))
  }

  #takeOdd(number: number): void {
    if (number > 0) this.#positive++
    else if (number < 0) this.#negative++
    else this.#nans++
  }

  #takeSecond(numbers: ArrayLike<number>, start: number, end: number): void {
    const scale = this.#scale
    const mean = this.#mean * scale
    let [sum, squares] = [0, 0]
    for (let index = start; index < end; index++) {
      const number = numbers[index]
      if (number - number !== 0) continue
      const deviation = number * scale - mean
      sum += deviation
      squares += deviation * deviation
      this.#putIntoBin(number)
    }
    this.#deviations.add(sum)
    this.#squares.add(squares)
  }

  /** Puts a finite number into its bin; what rounding put beside it is put right by the edges. */
  #putIntoBin(number: number): void {
    const edges = this.#edges
    const last = this.#bins - 1
    const [first, end] = [edges[0], edges[last + 1]]
    const range = end - first
    const part = Number.isFinite(range)
      ? (number - first) / range
      : (number / 2 - first / 2) / (end / 2 - first / 2)
    let bin = Math.min(last, Math.floor(part * this.#bins))
    if (bin > 0 && number < edges[bin]) bin--
    else if (bin < last && number >= edges[bin + 1]) bin++
    this.#counts[bin]++
  }
}

function scaledSum(numbers: ArrayLike<number>, start: number, end: number): number {
  let sum = 0
  for (let index = start; index < end; index++) {
    const number = numbers[index] / sumScale
    if (number - number === 0) sum += number
  }
  return sum
}

/** Edges of bins of equal width from `min` to `max`; half a unit to both sides where these are equal. */
function edgesOf(min: number, max: number, bins: number): Float64Array {
  const [first, last] = min === max ? [min - 0.5, max + 0.5] : [min, max]
  const step = (last - first) / bins
  const edges = new Float64Array(bins + 1)
  for (let edge = 0; edge < bins; edge++) {
    edges[edge] = Number.isFinite(step)
      ? first + edge * step
      : first * (1 - edge / bins) + last * (edge / bins)
  }
  edges[bins] = last
  return edges
}

/** A sum with what rounding took from it (Neumaier's variant of Kahan's). */
class CorrectedSum {
  #sum = 0
  #lost = 0

  add(number: number): void {
    const sum = this.#sum + number
    this.#lost +=
      Math.abs(this.#sum) >= Math.abs(number) ? this.#sum - sum + number : number - sum + this.#sum
    this.#sum = sum
  }

  get total(): number {
    return this.#sum + this.#lost
  }
}

/** The extremes of 64-bit integers, which doubles cannot hold, by their halves. */
class WideExtremes {
  readonly #isSigned: boolean
  #min: readonly [number, number] | undefined
  #max: readonly [number, number] | undefined

  constructor(isSigned: boolean) {
    this.#isSigned = isSigned
  }

  get min(): bigint | undefined {
    return bigintOf(this.#min)
  }

  get max(): bigint | undefined {
    return bigintOf(this.#max)
  }

  take(bytes: Uint8Array): void {
    const low = elementArrayOf('uint32', bytes) as Uint32Array
    const high = (this.#isSigned ? elementArrayOf('int32', bytes) : low) as Int32Array
    if (low.length === 0) return
    let [minHigh, minLow] = this.#min ?? [high[1], low[0]]
    let [maxHigh, maxLow] = this.#max ?? [high[1], low[0]]
    for (let index = 0; index < low.length; index += 2) {
      const [lower, upper] = [low[index], high[index + 1]]
      if (upper < minHigh || (upper === minHigh && lower < minLow)) {
        minHigh = upper
        minLow = lower
      }
      if (upper > maxHigh || (upper === maxHigh && lower > maxLow)) {
        maxHigh = upper
        maxLow = lower
      }
    }
    this.#min = [minHigh, minLow]
    this.#max = [maxHigh, maxLow]
  }
}

function bigintOf(halves: readonly [number, number] | undefined): bigint | undefined {
  return halves && (BigInt(halves[0]) << 32n) + BigInt(halves[1])
}

/** The elements as doubles: 64-bit integers rounded to the nearest, complex ones by their magnitude. */
export function numbersOf(dtype: NumericDType, bytes: Uint8Array): ArrayLike<number> {
  switch (dtype) {
    case 'int64':
    case 'uint64':
      return numbersOfWide(bytes, dtype === 'int64')
    case 'bfloat16': {
      const bits = elementArrayOf(dtype, bytes) as Uint16Array
      return new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer)
    }
    case 'float8_e5m2': {
      const numbers = new Float16Array(
        Uint16Array.from({ length: 256 }, (_, bits) => bits << 8).buffer,
      )
      return Float32Array.from(bytes, (bits) => numbers[bits])
    }
    case 'float8_e4m3fn':
      return numbersOfE4m3(bytes)
    case 'bool':
      return bytes.map((byte) => (byte === 0 ? 0 : 1))
    default:
      return kindOf(dtype) === 'complex'
        ? magnitudesOf(dtype, bytes)
        : (elementArrayOf(dtype, bytes) as Float32Array)
  }
}

function numbersOfWide(bytes: Uint8Array, isSigned: boolean): Float64Array {
  const low = elementArrayOf('uint32', bytes) as Uint32Array
  const high = isSigned ? (elementArrayOf('int32', bytes) as Int32Array) : low
  const numbers = new Float64Array(low.length / 2)
  for (let index = 0; index < numbers.length; index++) {
    numbers[index] = high[2 * index + 1] * 2 ** 32 + low[2 * index]
  }
  return numbers
}

/** Sign, four bits of exponent with bias 7, three of fraction; no infinities, NaN where all are set. */
function numbersOfE4m3(bytes: Uint8Array): Float32Array {
  const numbers = Float32Array.from({ length: 256 }, (_, bits) => {
    const exponent = (bits >> 3) & 15
    const fraction = (bits & 7) / 8
    if (exponent === 15 && fraction === 7 / 8) return Number.NaN
    const size = exponent === 0 ? fraction * 2 ** -6 : (1 + fraction) * 2 ** (exponent - 7)
    return bits > 127 ? -size : size
  })
  return Float32Array.from(bytes, (bits) => numbers[bits])
}

function magnitudesOf(dtype: NumericDType, bytes: Uint8Array): Float64Array {
  const parts = elementArrayOf(dtype, bytes) as Float64Array
  const numbers = new Float64Array(bytes.byteLength / byteLengthOf(dtype))
  for (let index = 0; index < numbers.length; index++) {
    const [re, im] = [parts[2 * index], parts[2 * index + 1]]
    // Math.hypot takes an infinite part for more than a NaN; here NaN is NaN.
    numbers[index] = Number.isNaN(re) || Number.isNaN(im) ? Number.NaN : Math.hypot(re, im)
  }
  return numbers
}
