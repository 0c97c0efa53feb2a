// The words of protobuf's text format: names, numbers, quoted bytes and punctuation.
// Source: https://protobuf.dev/reference/protobuf/textformat-spec/
import { WireError } from './wire.ts'

/** One word. `bytes` is there for quoted ones. */
export interface TextToken {
  readonly kind: 'name' | 'number' | 'quoted' | 'sign' | 'end'
  readonly text: string
  readonly bytes: Uint8Array | undefined
  readonly offset: number
}

const nameStart = /[A-Za-z_]/
const blank = /(?:[ \t\r\n\f\v]|#[^\n]*)*/y
const namePattern = /[A-Za-z_][A-Za-z0-9_]*/y
const numberPattern = /(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fF]?/y
const signs = '{}<>[]:;,-/.'
const encoder = new TextEncoder()

/** Reads words one by one; `peek` shows the next without taking it. */
export class TextTokens {
  readonly #text: string
  #offset = 0
  #next: TextToken | undefined

  constructor(text: string) {
    this.#text = text
  }

  peek(): TextToken {
    this.#next ??= this.#read()
    return this.#next
  }

  take(): TextToken {
    const token = this.peek()
    this.#next = undefined
    return token
  }

  /** Takes the next word if it is that sign. */
  accept(sign: string): boolean {
    const token = this.peek()
    if (token.kind !== 'sign' || token.text !== sign) return false
    this.#next = undefined
    return true
  }

  expect(sign: string): void {
    if (!this.accept(sign)) throw this.error(`"${sign}" was expected`)
  }

  error(problem: string): WireError {
    const { offset } = this.peek()
    const line = this.#text.slice(0, offset).split('\n').length
    return new WireError(`In line ${line} ${problem}.`, offset)
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#offset
    const found = pattern.exec(this.#text)?.[0] ?? ''
    this.#offset += found.length
    return found
  }

  #read(): TextToken {
    this.#match(blank)
    const offset = this.#offset
    const letter = this.#text[offset]
    if (letter === undefined) return { kind: 'end', text: '', bytes: undefined, offset }
    if (letter === '"' || letter === "'") {
      return { kind: 'quoted', text: '', bytes: this.#quoted(letter), offset }
    }
    if (nameStart.test(letter)) {
      return { kind: 'name', text: this.#match(namePattern), bytes: undefined, offset }
    }
    const number = this.#match(numberPattern)
    if (number !== '') return { kind: 'number', text: number, bytes: undefined, offset }
    if (!signs.includes(letter)) throw this.#broken(`the character ${JSON.stringify(letter)}`)
    this.#offset++
    return { kind: 'sign', text: letter, bytes: undefined, offset }
  }

  #broken(problem: string): WireError {
    const line = this.#text.slice(0, this.#offset).split('\n').length
    return new WireError(`In line ${line} stands ${problem}.`, this.#offset)
  }

  #quoted(quote: string): Uint8Array {
    const parts: Uint8Array[] = []
    this.#offset++
    let plainStart = this.#offset
    for (;;) {
      const letter = this.#text[this.#offset]
      if (letter === undefined || letter === '\n') throw this.#broken('a string without its end')
      if (letter !== quote && letter !== '\\') {
        this.#offset++
        continue
      }
      if (this.#offset > plainStart) {
        parts.push(encoder.encode(this.#text.slice(plainStart, this.#offset)))
      }
      this.#offset++
      if (letter === quote) return joined(parts)
      parts.push(this.#escape())
      plainStart = this.#offset
    }
  }

  #escape(): Uint8Array {
    const letter = this.#text[this.#offset++]
    const simple = simpleEscapes.get(letter)
    if (simple !== undefined) return Uint8Array.of(simple)
    this.#offset--
    const octal = this.#match(/[0-7]{1,3}/y)
    if (octal !== '') {
      const value = Number.parseInt(octal, 8)
      if (value <= 0xff) return Uint8Array.of(value)
    } else if (letter === 'x' || letter === 'X') {
      this.#offset++
      const digits = this.#match(/[0-9a-fA-F]{1,2}/y)
      if (digits !== '') return Uint8Array.of(Number.parseInt(digits, 16))
    } else if (letter === 'u' || letter === 'U') {
      this.#offset++
      const digits = this.#match(letter === 'u' ? /[0-9a-fA-F]{4}/y : /[0-9a-fA-F]{8}/y)
      const code = Number.parseInt(digits, 16)
      if (code <= 0x10ffff) return encoder.encode(String.fromCodePoint(code))
    }
    throw this.#broken('an escape that does not exist')
  }
}

const simpleEscapes = new Map([
  ['n', 10],
  ['r', 13],
  ['t', 9],
  ['a', 7],
  ['b', 8],
  ['f', 12],
  ['v', 11],
  ['\\', 92],
  ["'", 39],
  ['"', 34],
  ['?', 63],
])

/** The parts one after another. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let offset = 0
  for (const part of parts) {
    bytes.set(part, offset)
    offset += part.byteLength
  }
  return bytes
}
