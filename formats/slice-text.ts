// NumPy's basic index as text: `0:10, :, -1`, `::-2`, `..., None`. It knows the notation, and what it
// means as attributes of StridedSlice; no tensor.
// Source: https://numpy.org/doc/stable/user/basics.indexing.html, and _slice_helper in
// tensorflow/python/ops/array_ops.py for the attributes.
import { maxRank, Refusal } from '../tensor/index.ts'

/** One place of an index. */
export type IndexPart =
  /** Takes one place along an axis, and drops the axis. */
  | { readonly kind: 'integer'; readonly value: number }
  /** Takes places along an axis, as Python's `slice(start, stop, step)`. */
  | {
      readonly kind: 'range'
      readonly start: number | undefined
      readonly stop: number | undefined
      readonly step: number
    }
  /** As many whole axes as are left. */
  | { readonly kind: 'ellipsis' }
  /** A new axis of size 1. */
  | { readonly kind: 'newaxis' }

/** A basic index: at most one ellipsis. */
export type BasicIndex = readonly IndexPart[]

// As many as there can be axes, new ones and the ellipsis with them.
const maxParts = 2 * maxRank + 1
// Room for that many parts of three short numbers each.
const maxTextLength = 8192

function bad(text: string, problem: string): Refusal {
  const shown = JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}..` : text)
  return new Refusal('INVALID_ARGUMENT', 'slice/invalid', `The slice ${shown} ${problem}.`, {
    fix: 'Write it as NumPy would, for example slice=0:10,:,-1 or slice=...,::2',
  })
}

/**
 * The index that a text such as `0:10,:,-1` gives; square brackets around it, blanks and one trailing
 * comma are allowed. Refuses (INVALID_ARGUMENT `slice/invalid`) another text, a step of zero, two
 * ellipses, numbers beyond 2^53 and texts longer than any tensor could need.
 */
export function parseBasicIndex(text: string): BasicIndex {
  if (text.length > maxTextLength) {
    throw bad(text, `has ${text.length} characters; at most ${maxTextLength} are read`)
  }
  const trimmed = text.trim()
  const inner = trimmed.startsWith('[') && trimmed.endsWith(']') ? trimmed.slice(1, -1) : trimmed
  const words = inner.split(',').map((word) => word.trim())
  if (words.length > 1 && words[words.length - 1] === '') words.pop()
  if (words.length > maxParts) throw bad(text, `has ${words.length} parts`)
  const parts = words.map((word) => parsePart(word, text))
  if (parts.filter(({ kind }) => kind === 'ellipsis').length > 1) {
    throw bad(text, "has more than one ellipsis ('...'); an index can only have a single one")
  }
  return parts
}

function parsePart(word: string, text: string): IndexPart {
  if (word === '...' || word === 'Ellipsis') return { kind: 'ellipsis' }
  if (word === 'None' || word === 'newaxis' || word === 'np.newaxis') return { kind: 'newaxis' }
  const bounds = word.split(':').map((bound) => bound.trim())
  if (word === '' || bounds.length > 3) throw badPart(word, text)
  const numbers = bounds.map((bound) => parseNumber(bound, word, text))
  if (bounds.length === 1) {
    const [value] = numbers
    if (value === undefined) throw badPart(word, text)
    return { kind: 'integer', value }
  }
  const [start, stop, step = 1] = numbers
  if (step === 0) throw bad(text, 'has a step of 0; slice step cannot be zero')
  return { kind: 'range', start, stop, step }
}

function badPart(word: string, text: string): Refusal {
  const shown = word === '' ? 'an empty part' : JSON.stringify(word.slice(0, 100))
  return bad(text, `holds ${shown}, which is no integer, start:stop:step, ... or newaxis (None)`)
}

function parseNumber(bound: string, word: string, text: string): number | undefined {
  if (bound === '' || bound === 'None') return undefined
  if (!/^[+-]?\d+$/.test(bound)) throw badPart(word, text)
  const value = Number(bound)
  if (!Number.isSafeInteger(value)) {
    throw bad(text, `holds ${JSON.stringify(bound.slice(0, 30))}, which is beyond 2^53`)
  }
  // Not -0, which would be seen in texts.
  return value + 0
}

/** The inputs and attributes of TensorFlow's StridedSlice (and its assignment) that mean an index. */
export interface StridedSliceSpec {
  readonly begin: readonly number[]
  readonly end: readonly number[]
  readonly strides: readonly number[]
  readonly begin_mask: number
  readonly end_mask: number
  readonly ellipsis_mask: number
  readonly new_axis_mask: number
  readonly shrink_axis_mask: number
}

// The masks are 32-bit integers with a sign.
const maxMaskBits = 31

/**
 * The index as StridedSlice takes it. Refuses (INVALID_ARGUMENT `slice/invalid`) one of more parts
 * than its masks have bits for.
 */
export function stridedSliceOf(index: BasicIndex): StridedSliceSpec {
  if (index.length > maxMaskBits) {
    throw bad(formatBasicIndex(index), `has ${index.length} parts; ${maxMaskBits} can be given`)
  }
  const bits = (holds: (part: IndexPart) => boolean): number =>
    index.reduce((mask, part, place) => (holds(part) ? mask | (1 << place) : mask), 0)
  return {
    begin: index.map((part) => {
      if (part.kind === 'integer') return part.value
      return part.kind === 'range' ? (part.start ?? 0) : 0
    }),
    end: index.map((part) => {
      if (part.kind === 'integer') return part.value + 1
      return part.kind === 'range' ? (part.stop ?? 0) : 0
    }),
    strides: index.map((part) => (part.kind === 'range' ? part.step : 1)),
    begin_mask: bits((part) => part.kind === 'range' && part.start === undefined),
    end_mask: bits((part) => part.kind === 'range' && part.stop === undefined),
    ellipsis_mask: bits(({ kind }) => kind === 'ellipsis'),
    new_axis_mask: bits(({ kind }) => kind === 'newaxis'),
    shrink_axis_mask: bits(({ kind }) => kind === 'integer'),
  }
}

/** The index as text, the shortest way. */
export function formatBasicIndex(index: BasicIndex): string {
  return index.map(formatPart).join(',')
}

function formatPart(part: IndexPart): string {
  switch (part.kind) {
    case 'integer':
      return String(part.value)
    case 'range': {
      const step = part.step === 1 ? '' : `:${part.step}`
      return `${part.start ?? ''}:${part.stop ?? ''}${step}`
    }
    case 'ellipsis':
      return '...'
    case 'newaxis':
      return 'newaxis'
    default:
      throw new Error(`unknown part ${part satisfies never}`)
  }
}
