// JSON as a file header may hold it, read strictly: UTF-8, no key twice, numbers kept as they are
// written, a bound on depth. JSON.parse hides duplicate keys and rounds numbers.
// Source: RFC 8259
import { Refusal } from '../tensor/index.ts'

/** A value of strict JSON; objects are maps, so that no key is special. */
export type StrictJson =
  | { readonly kind: 'object'; readonly members: ReadonlyMap<string, StrictJson> }
  | { readonly kind: 'array'; readonly items: readonly StrictJson[] }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'word'; readonly text: 'true' | 'false' | 'null' }

const maxDepth = 16
const blanks = /[ \t\r\n]*/y
const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON strings may not hold control characters.
const stringPattern = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const wordPattern = /true|false|null/y

/** The value that `text` holds, and nothing after it but blanks; refuses with that reason. */
export function parseStrictJson(text: string, reason: string, what: string): StrictJson {
  const scanner = { text, at: 0 }
  const broken = (problem: string) =>
    new Refusal('DATA_LOSS', reason, `${what} is no valid JSON: ${problem}.`)
  const value = readValue(scanner, maxDepth, broken)
  match(scanner, blanks)
  if (scanner.at !== text.length) throw broken(`something follows at character ${scanner.at}`)
  return value
}

interface Scanner {
  readonly text: string
  at: number
}

type Broken = (problem: string) => Refusal

function match(scanner: Scanner, pattern: RegExp): string {
  pattern.lastIndex = scanner.at
  const found = pattern.exec(scanner.text)?.[0] ?? ''
  scanner.at += found.length
  return found
}

function accept(scanner: Scanner, sign: string): boolean {
  match(scanner, blanks)
  if (scanner.text[scanner.at] !== sign) return false
  scanner.at++
  return true
}

function readValue(scanner: Scanner, depth: number, broken: Broken): StrictJson {
  if (depth <= 0) throw broken(`it nests deeper than ${maxDepth} levels`)
  if (accept(scanner, '{')) return readObject(scanner, depth, broken)
  if (accept(scanner, '[')) return readArray(scanner, depth, broken)
  if (scanner.text[scanner.at] === '"') return { kind: 'string', text: readString(scanner, broken) }
  const number = match(scanner, numberPattern)
  if (number !== '') return { kind: 'number', text: number }
  const word = match(scanner, wordPattern)
  if (word === 'true' || word === 'false' || word === 'null') return { kind: 'word', text: word }
  throw broken(`a value was expected at character ${scanner.at}`)
}

function readString(scanner: Scanner, broken: Broken): string {
  const quoted = match(scanner, stringPattern)
  if (quoted === '') throw broken(`a string was expected at character ${scanner.at}`)
  return JSON.parse(quoted)
}

function readObject(scanner: Scanner, depth: number, broken: Broken): StrictJson {
  const members = new Map<string, StrictJson>()
  if (accept(scanner, '}')) return { kind: 'object', members }
  do {
    match(scanner, blanks)
    const key = readString(scanner, broken)
    if (members.has(key))
      throw broken(`the key ${JSON.stringify(key.slice(0, 200))} is given twice`)
    if (!accept(scanner, ':')) throw broken(`":" was expected at character ${scanner.at}`)
    members.set(key, readValue(scanner, depth - 1, broken))
  } while (accept(scanner, ','))
  if (!accept(scanner, '}')) throw broken(`"}" was expected at character ${scanner.at}`)
  return { kind: 'object', members }
}

function readArray(scanner: Scanner, depth: number, broken: Broken): StrictJson {
  const items: StrictJson[] = []
  if (accept(scanner, ']')) return { kind: 'array', items }
  do items.push(readValue(scanner, depth - 1, broken))
  while (accept(scanner, ','))
  if (!accept(scanner, ']')) throw broken(`"]" was expected at character ${scanner.at}`)
  return { kind: 'array', items }
}
