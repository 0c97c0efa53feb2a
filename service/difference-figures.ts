// By how much two pieces of the same type differ, element by element. It knows element types and
// arithmetic; where the pieces come from is differences.ts's.
import { byteLengthOf, elementArrayOf, kindOf, type NumericDType } from '../tensor/index.ts'
import { numbersOf } from './statistics-figures.ts'

/** What is known of the difference of two values, or of two pieces. Figures are reckoned in doubles. */
export interface DifferenceFigures {
  /** Elements that are not equal; NaN equals NaN here, and 0 equals -0. */
  readonly differing: number
  /** Of these, those whose difference is no finite number: one of the two is NaN or infinite. */
  readonly notFinite: number
  /** Of the finite absolute differences: the greatest. */
  readonly greatest: number
  /** And their sum. */
  readonly sum: number
}

/** Of pieces without a difference. */
export const noDifference: DifferenceFigures = { differing: 0, notFinite: 0, greatest: 0, sum: 0 }

/** Figures of two stretches put together. */
export function joinFigures(a: DifferenceFigures, b: DifferenceFigures): DifferenceFigures {
  return {
    differing: a.differing + b.differing,
    notFinite: a.notFinite + b.notFinite,
    greatest: Math.max(a.greatest, b.greatest),
    sum: a.sum + b.sum,
  }
}

/** Figures of two pieces of as many bytes, whole elements. Of complex ones: magnitudes of the differences. */
export function differenceOf(
  dtype: NumericDType,
  before: Uint8Array,
  after: Uint8Array,
): DifferenceFigures {
  if (before.byteLength !== after.byteLength) throw new Error('pieces of two lengths')
  if (kindOf(dtype) === 'complex') return complexDifference(dtype, before, after)
  if (dtype === 'int64' || dtype === 'uint64') return wideDifference(dtype, before, after)
  const [a, b] = [numbersOf(dtype, before), numbersOf(dtype, after)]
  return taken(a.length, (index) => {
    const [x, y] = [a[index], b[index]]
    return isSame(x, y) ? 0 : x - y
  })
}

function isSame(x: number, y: number): boolean {
  return x === y || (Number.isNaN(x) && Number.isNaN(y))
}

// Elements whose differences are summed plainly before they join the sum.
const blockCount = 1024

/** Figures of `count` differences: 0 where elements are equal, NaN where that is no number. */
function taken(count: number, differenceAt: (index: number) => number): DifferenceFigures {
  let [differing, notFinite, greatest, sum] = [0, 0, 0, 0]
  for (let start = 0; start < count; start += blockCount) {
    const end = Math.min(count, start + blockCount)
    let blockSum = 0
    for (let index = start; index < end; index++) {
      const difference = Math.abs(differenceAt(index))
      if (difference === 0) continue
      differing++
      if (difference - difference !== 0) notFinite++
      else {
        blockSum += difference
        if (difference > greatest) greatest = difference
      }
    }
    sum += blockSum
  }
  return { differing, notFinite, greatest, sum }
}

/** 64-bit integers by their halves: rounded once, and not at all up to 2^53. */
function wideDifference(
  dtype: 'int64' | 'uint64',
  before: Uint8Array,
  after: Uint8Array,
): DifferenceFigures {
  const highType = dtype === 'int64' ? 'int32' : 'uint32'
  const [lowA, lowB] = [halvesOf('uint32', before), halvesOf('uint32', after)]
  const [highA, highB] = [halvesOf(highType, before), halvesOf(highType, after)]
  return taken(lowA.length / 2, (index) => {
    const [low, high] = [2 * index, 2 * index + 1]
    return (highA[high] - highB[high]) * 2 ** 32 + (lowA[low] - lowB[low])
  })
}

function halvesOf(dtype: 'int32' | 'uint32', bytes: Uint8Array): ArrayLike<number> {
  return elementArrayOf(dtype, bytes) as Uint32Array
}

function complexDifference(
  dtype: NumericDType,
  before: Uint8Array,
  after: Uint8Array,
): DifferenceFigures {
  const a = elementArrayOf(dtype, before) as Float64Array
  const b = elementArrayOf(dtype, after) as Float64Array
  return taken(before.byteLength / byteLengthOf(dtype), (index) => {
    const [re, im] = [2 * index, 2 * index + 1]
    const real = isSame(a[re], b[re]) ? 0 : a[re] - b[re]
    const imaginary = isSame(a[im], b[im]) ? 0 : a[im] - b[im]
    // Math.hypot takes an infinite part for more than a NaN; here neither is a finite difference.
    return Number.isNaN(real + imaginary) ? Number.NaN : Math.hypot(real, imaginary)
  })
}
