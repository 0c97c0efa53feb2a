// The recorded cases: how they are written down, and when an answer counts as theirs.
import {
  dtypeOfName,
  type Element,
  elementsOf,
  formatShape,
  isNumeric,
  type NumericTensor,
  numericTensor,
  sameShape,
  stringTensor,
  type Tensor,
} from '../tensor/index.ts'

/** A tensor as the recordings spell it. */
export interface RecordedTensor {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data?: string
  readonly strings?: readonly string[]
}

export interface Tolerance {
  readonly abs: number
  readonly rel: number
}

export interface Step {
  readonly feeds: Readonly<Record<string, RecordedTensor>>
  readonly targets?: readonly string[]
  readonly fetches: Readonly<Record<string, RecordedTensor>> | null
  readonly error?: { readonly code: string; readonly message: string }
}

/** Session runs on one session, in order. */
export interface SessionCase {
  readonly name: string
  readonly ops: readonly string[]
  readonly graph: string
  readonly steps: readonly Step[]
  readonly tolerance?: Tolerance
}

/** The tensor that a recording stands for. */
export function tensorOfRecorded(recorded: RecordedTensor): Tensor {
  const dtype = dtypeOfName(recorded.dtype)
  if (dtype === 'string') {
    const strings = (recorded.strings ?? []).map((one) => Buffer.from(one, 'base64'))
    return stringTensor(recorded.shape, strings)
  }
  if (dtype === undefined || !isNumeric(dtype)) throw new Error(`unknown dtype ${recorded.dtype}`)
  return numericTensor(dtype, recorded.shape, Buffer.from(recorded.data ?? '', 'base64'))
}

/** What differs between an answer and what was recorded; undefined where it passes. */
export function differenceOf(
  got: Tensor,
  recorded: RecordedTensor,
  tolerance: Tolerance | undefined,
): string | undefined {
  const want = tensorOfRecorded(recorded)
  if (got.dtype !== want.dtype) return `dtype ${got.dtype}, wanted ${want.dtype}`
  if (!sameShape(got.shape, want.shape)) {
    return `shape ${formatShape(got.shape)}, wanted ${formatShape(want.shape)}`
  }
  if (got.dtype === 'string' || want.dtype === 'string') {
    if (got.dtype !== 'string' || want.dtype !== 'string') return 'strings against numbers'
    const at = got.strings.findIndex((one, index) => !Buffer.from(one).equals(want.strings[index]))
    return at < 0 ? undefined : `string ${at} differs`
  }
  return numericDifferenceOf(got, want, tolerance)
}

function numericDifferenceOf(
  got: NumericTensor,
  want: NumericTensor,
  tolerance: Tolerance | undefined,
): string | undefined {
  const gotElements = elementsOf(got)
  const wantElements = elementsOf(want)
  for (let index = 0; index < wantElements.length; index++) {
    if (!passes(gotElements[index], wantElements[index], tolerance)) {
      return `element ${index}: ${gotElements[index]}, wanted ${wantElements[index]}`
    }
  }
  return undefined
}

function passes(got: Element, want: Element, tolerance: Tolerance | undefined): boolean {
  if (Array.isArray(got) && Array.isArray(want)) {
    if (tolerance === undefined)
      return passes(got[0], want[0], tolerance) && passes(got[1], want[1], tolerance)
    const distance = Math.hypot(got[0] - want[0], got[1] - want[1])
    const size = Math.hypot(want[0], want[1])
    return (
      distance <= tolerance.abs + tolerance.rel * size ||
      (passes(got[0], want[0], tolerance) && passes(got[1], want[1], tolerance))
    )
  }
  if (typeof got === 'number' && typeof want === 'number') {
    if (Number.isNaN(want)) return Number.isNaN(got)
    if (Object.is(got, want)) return true
    if (tolerance === undefined || !Number.isFinite(want)) return got === want && want !== 0
    return Math.abs(got - want) <= tolerance.abs + tolerance.rel * Math.abs(want)
  }
  if (typeof got === 'bigint' && typeof want === 'bigint' && tolerance !== undefined) {
    return Math.abs(Number(got - want)) <= tolerance.abs + tolerance.rel * Math.abs(Number(want))
  }
  return got === want
}
