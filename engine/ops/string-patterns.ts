// Regular expressions over strings, as RE2 takes them.
import { codesOf, Matcher, PatternError, parsePattern } from '../text/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { invalid } from './shapes.ts'
import { joinBytes, mapStrings, mapToNumbers, stringsOf, textOf } from './string-values.ts'
import type { TensorValue } from './value.ts'

/** The pattern made ready; refuses one that is none. */
function matcherOf(pattern: Uint8Array): Matcher {
  try {
    return new Matcher(parsePattern(textOf(pattern)))
  } catch (error) {
    if (!(error instanceof PatternError)) throw error
    throw invalid('run/pattern', `Invalid pattern: ${textOf(pattern)}, error: ${error.message}`)
  }
}

/** A rewrite: bytes, and numbers of groups whose text is put in. */
type Rewrite = readonly (Uint8Array | number)[]

/** Reads `\1` and `\\`; undefined where the pattern has not so many groups, or the rewrite is wrong. */
function rewriteOf(text: Uint8Array, groups: number): Rewrite | undefined {
  const parts: (Uint8Array | number)[] = []
  let from = 0
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== 0x5c) continue
    parts.push(text.slice(from, at))
    const next = text[++at]
    from = at + 1
    if (next === 0x5c) parts.push(Uint8Array.of(0x5c))
    else if (next >= 0x30 && next <= 0x39 && next - 0x30 <= groups) parts.push(next - 0x30)
    else return undefined
  }
  return [...parts, text.slice(from)]
}

/** The string with the first match, or all that do not overlap, rewritten. */
function replaced(
  bytes: Uint8Array,
  matcher: Matcher,
  rewrite: Rewrite | undefined,
  isGlobal: boolean,
): Uint8Array {
  if (rewrite === undefined) return bytes
  const { codes, offsets } = codesOf(bytes)
  const part = (from: number, to: number): Uint8Array => bytes.subarray(offsets[from], offsets[to])
  const out: Uint8Array[] = []
  let at = 0
  let lastEnd = -1
  while (at <= codes.length) {
    const match = matcher.find(codes, at)
    if (match === undefined) break
    const [begin, end] = match
    out.push(part(at, begin))
    if (begin === end && begin === lastEnd) {
      // Nothing matched right behind a match: one character goes by.
      if (begin < codes.length) out.push(part(begin, begin + 1))
      at = begin + 1
      continue
    }
    for (const one of rewrite) {
      if (typeof one !== 'number') out.push(one)
      else if (match[2 * one] >= 0) out.push(part(match[2 * one], match[2 * one + 1]))
    }
    at = end
    lastEnd = end
    if (!isGlobal) break
  }
  if (at < codes.length) out.push(part(at, codes.length))
  return joinBytes(out)
}

function replaceAll(
  at: Lowering,
  input: TensorValue,
  pattern: Uint8Array,
  rewriteText: Uint8Array,
): TensorValue {
  const matcher = matcherOf(pattern)
  const rewrite = rewriteOf(rewriteText, matcher.groups)
  const isGlobal = at.attributes.bool('replace_global')
  return mapStrings(at, input, (bytes) => replaced(bytes, matcher, rewrite, isGlobal))
}

const staticRegexReplace = defineOp({
  name: 'StaticRegexReplace',
  inputs: ['input: string'],
  outputs: ['output: string'],
  attributes: ['pattern: string', 'rewrite: string', 'replace_global: bool = true'],
  infer: (shapes) => shapes,
  lower: (at) => [
    replaceAll(
      at,
      at.input('input'),
      at.attributes.bytes('pattern'),
      at.attributes.bytes('rewrite'),
    ),
  ],
})

/** The one string of a scalar input. */
function scalarText(at: Lowering, name: string): Uint8Array {
  const value = at.input(name)
  const strings = stringsOf(at.contentOf(value))
  if (value.shape.length === 0 && strings.length === 1) return strings[0]
  throw invalid('shape/mismatch', `${name} must be scalar, but received [${value.shape}]`)
}

const regexReplace = defineOp({
  name: 'RegexReplace',
  inputs: ['input: string', 'pattern: string', 'rewrite: string'],
  outputs: ['output: string'],
  attributes: ['replace_global: bool = true'],
  infer: ([shape]) => [shape],
  lower: (at) => [
    replaceAll(at, at.input('input'), scalarText(at, 'pattern'), scalarText(at, 'rewrite')),
  ],
})

function matchesWhole(at: Lowering, input: TensorValue, pattern: Uint8Array): TensorValue {
  const matcher = matcherOf(pattern)
  return mapToNumbers(
    at,
    input,
    'bool',
    (bytes) => matcher.find(codesOf(bytes).codes, 0, true) !== undefined,
  )
}

const staticRegexFullMatch = defineOp({
  name: 'StaticRegexFullMatch',
  inputs: ['input: string'],
  outputs: ['output: bool'],
  attributes: ['pattern: string'],
  infer: (shapes) => shapes,
  lower: (at) => [matchesWhole(at, at.input('input'), at.attributes.bytes('pattern'))],
})

const regexFullMatch = defineOp({
  name: 'RegexFullMatch',
  inputs: ['input: string', 'pattern: string'],
  outputs: ['output: bool'],
  infer: ([shape]) => [shape],
  lower: (at) => [matchesWhole(at, at.input('input'), scalarText(at, 'pattern'))],
})

/** Regular expressions. */
export const patternOps: readonly OpDefinition[] = [
  staticRegexReplace,
  regexReplace,
  staticRegexFullMatch,
  regexFullMatch,
]
