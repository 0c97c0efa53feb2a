// JSON bodies read strictly. JSON.parse alone takes the last of two equal keys, half a surrogate pair,
// and any depth; and a decoder alone replaces what is no UTF-8. Here all of these are refused, since
// each would keep something else than was sent. Sources: RFC 8259; RFC 7493 (I-JSON), section 2.
import { isUtf8 } from 'node:buffer'
import { Refusal } from '../tensor/index.ts'

/** Lists and objects within each other. A tensor has at most 254 dimensions. */
export const mostDepth = 1_000
/** Keys of one object. As many names as one request may list. */
export const mostKeys = 10_000

/**
 * The value of a JSON text. Refuses INVALID_ARGUMENT: `http/empty-body`; `http/malformed-json` (no
 * UTF-8, no JSON, half a surrogate pair, or the keys `__proto__` and `constructor.prototype`, which mean
 * something to JavaScript); `http/duplicate-key`; `http/json-depth`;
 * `http/json-keys` (more of them in one object than any request needs).
 */
export function parseJson(bytes: Uint8Array): unknown {
  if (bytes.byteLength === 0) {
    throw new Refusal('INVALID_ARGUMENT', 'http/empty-body', 'The body is empty; JSON is wanted.')
  }
  if (!isUtf8(bytes)) throw malformed('The body is not JSON: it is not UTF-8.')
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  // Before it is parsed, as depth costs stack later on, and keys time; what else it finds only counts
  // where the text is JSON.
  const fault = faultIn(text)
  if (fault !== undefined && costly.has(fault.reason)) throw fault
  try {
    const value: unknown = JSON.parse(text)
    if (fault === undefined) return value
  } catch (error) {
    const problem = error instanceof Error ? error.message : 'it does not parse'
    throw malformed(`The body is not JSON: ${problem}.`)
  }
  throw fault
}

const costly: ReadonlySet<string> = new Set(['http/json-depth', 'http/json-keys'])

const quote = 0x22
const colon = 0x3a
const openList = 0x5b
const closeList = 0x5d
const openObject = 0x7b
const closeObject = 0x7d
const backslash = 0x5c

/** A list (no keys) or an object that is open at a place of the text. */
interface Level {
  readonly keys: Set<string> | undefined
  /** The key whose value it is. */
  readonly under: string | undefined
}

/** The first thing in a text that JSON.parse would let pass. Right for JSON; anything goes for other text. */
function faultIn(text: string): Refusal | undefined {
  const levels: Level[] = []
  const hasEscapes = text.includes('\\u')
  let string = { start: 0, end: 0 }
  let key: string | undefined
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quote: {
        string = { start: at, end: endOfString(text, at) }
        at = string.end
        if (hasEscapes && !said(text, string).isWellFormed()) {
          return malformed('The body holds half of a surrogate pair.')
        }
        break
      }
      case colon: {
        key = said(text, string)
        const fault = faultOfKey(key, levels.at(-1))
        if (fault !== undefined) return fault
        break
      }
      case openObject:
        levels.push({ keys: new Set(), under: key })
        if (levels.length > mostDepth) return tooDeep()
        break
      case openList:
        levels.push({ keys: undefined, under: undefined })
        if (levels.length > mostDepth) return tooDeep()
        key = undefined
        break
      case closeList:
      case closeObject:
        levels.pop()
        break
    }
  }
  return undefined
}

/** Where the string that begins at `start` has its closing quote; the end of the text where it has none. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === backslash) slashes += 1
    if (slashes % 2 === 0) return end
  }
  return text.length
}

/** What the string says. */
function said(
  text: string,
  { start, end }: { readonly start: number; readonly end: number },
): string {
  const raw = text.slice(start + 1, end)
  if (!raw.includes('\\')) return raw
  try {
    return JSON.parse(`"${raw}"`) as string
  } catch {
    return raw
  }
}

function faultOfKey(key: string, level: Level | undefined): Refusal | undefined {
  if (level?.keys === undefined) return undefined
  if (key === '__proto__' || (key === 'prototype' && level.under === 'constructor')) {
    return malformed(`The body holds the key "${key}", which is never taken.`)
  }
  if (!level.keys.has(key)) {
    level.keys.add(key)
    return level.keys.size > mostKeys ? tooManyKeys() : undefined
  }
  const shown = JSON.stringify(key.slice(0, 100))
  return new Refusal(
    'INVALID_ARGUMENT',
    'http/duplicate-key',
    `The body holds the key ${shown} twice in one object.`,
    { fix: 'Send each key once: which of the two was meant cannot be known.' },
  )
}

function tooDeep(): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'http/json-depth',
    `The body holds lists or objects more than ${mostDepth} deep within each other.`,
  )
}

function tooManyKeys(): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'http/json-keys',
    `The body holds an object with more than ${mostKeys} keys.`,
  )
}

function malformed(message: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'http/malformed-json', message)
}
