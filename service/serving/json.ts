// JSON as TensorFlow Serving reads it: whole numbers and decimals are told apart, NaN and Infinity are
// words of the language, the first of equal keys counts, and no depth of nesting exhausts the stack.
// Source: tensorflow_serving/util/json_tensor.cc (RapidJSON with kParseNanAndInfFlag).
import { Refusal } from '../../tensor/index.ts'

/** A JSON value; whole numbers are bigints, decimals are numbers. */
export type ServingJson =
  | null
  | boolean
  | bigint
  | number
  | string
  | readonly ServingJson[]
  | ReadonlyMap<string, ServingJson>

type Container =
  | { readonly list: ServingJson[] }
  | { readonly members: Map<string, ServingJson>; key: string }

const number = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
const word = /true|false|null|NaN|-?Inf(?:inity)?/y

const quote = 0x22
const backslash = 0x5c
const firstPrintable = 0x20

const words = new Map<string, ServingJson>([
  ['true', true],
  ['false', false],
  ['null', null],
  ['NaN', Number.NaN],
  ['Inf', Number.POSITIVE_INFINITY],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Inf', Number.NEGATIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
])

/** Parses a request body. Refuses (INVALID_ARGUMENT `json/malformed`) in TensorFlow Serving's words. */
export function parseServingJson(source: string): ServingJson {
  return new Parser(source).parse()
}

class Parser {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  parse(): ServingJson {
    this.#skipBlanks()
    if (this.#at === this.#source.length) throw this.#error('The document is empty.')
    const open: Container[] = []
    for (;;) {
      let value = this.#value(open)
      if (value === undefined) continue
      // The value may be the last of its container, and that of the next one out, and so on.
      for (;;) {
        const container = open.at(-1)
        if (container === undefined) return this.#end(value)
        if ('list' in container) container.list.push(value)
        else if (!container.members.has(container.key)) container.members.set(container.key, value)
        if (this.#continues(container)) break
        open.pop()
        value = 'list' in container ? container.list : container.members
      }
    }
  }

  #end(value: ServingJson): ServingJson {
    this.#skipBlanks()
    if (this.#at === this.#source.length) return value
    throw this.#error('The document root must not be followed by other values.')
  }

  /** The value that comes next; undefined where it opened a container that is not empty. */
  #value(open: Container[]): ServingJson | undefined {
    this.#skipBlanks()
    const sign = this.#source[this.#at]
    if (sign === '[') {
      this.#at++
      this.#skipBlanks()
      if (this.#accept(']')) return []
      open.push({ list: [] })
      return undefined
    }
    if (sign === '{') {
      this.#at++
      this.#skipBlanks()
      if (this.#accept('}')) return new Map()
      open.push({ members: new Map(), key: this.#key() })
      return undefined
    }
    if (sign === '"') return this.#string()
    return sign === '-' || (sign >= '0' && sign <= '9') ? this.#number() : this.#scalar()
  }

  #scalar(): ServingJson {
    const found = this.#match(word)
    if (found !== '') return words.get(found) as ServingJson
    throw this.#error('Invalid value.')
  }

  #number(): ServingJson {
    number.lastIndex = this.#at
    const parts = number.exec(this.#source)
    // A minus sign may also begin -Infinity.
    if (parts === null) return this.#scalar()
    this.#at = number.lastIndex
    const [whole, fraction, exponent] = parts
    if (fraction === undefined && exponent === undefined) return BigInt(whole)
    const value = Number(whole)
    if (Number.isFinite(value)) return value
    throw this.#error('Number too big to be stored in double.')
  }

  /** Whether another member or item follows; steps over the comma, and reads the next key. */
  #continues(container: Container): boolean {
    this.#skipBlanks()
    const isList = 'list' in container
    if (this.#accept(',')) {
      this.#skipBlanks()
      if (!isList) container.key = this.#key()
      return true
    }
    if (this.#accept(isList ? ']' : '}')) return false
    throw this.#error(
      isList
        ? 'Missing a comma or ] after an array element.'
        : 'Missing a comma or } after an object member.',
    )
  }

  #key(): string {
    if (this.#source[this.#at] !== '"') throw this.#error('Missing a name for object member.')
    const key = this.#string()
    this.#skipBlanks()
    if (!this.#accept(':')) throw this.#error('Missing a colon after a name of object member.')
    return key
  }

  #string(): string {
    if (this.#source[this.#at] !== '"') throw this.#error('Invalid value.')
    const start = this.#at
    let hasEscape = false
    for (let at = start + 1; at < this.#source.length; at++) {
      const code = this.#source.charCodeAt(at)
      if (code === quote) {
        this.#at = at + 1
        const quoted = this.#source.slice(start, this.#at)
        return hasEscape ? this.#unescaped(quoted) : quoted.slice(1, -1)
      }
      if (code < firstPrintable) throw this.#error('Invalid encoding in string.')
      if (code === backslash) {
        hasEscape = true
        at++
      }
    }
    throw this.#error('Missing a closing quotation mark in string.')
  }

  #unescaped(quoted: string): string {
    try {
      return JSON.parse(quoted)
    } catch {
      throw this.#error('Invalid escape character in string.')
    }
  }

  #accept(sign: string): boolean {
    if (this.#source[this.#at] !== sign) return false
    this.#at++
    return true
  }

  #skipBlanks(): void {
    for (;;) {
      const code = this.#source.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#source)?.[0] ?? ''
    this.#at += found.length
    return found
  }

  #error(problem: string): Refusal {
    return new Refusal(
      'INVALID_ARGUMENT',
      'json/malformed',
      `JSON Parse error: ${problem} at offset: ${this.#at}`,
    )
  }
}

/** How a value's kind is called in messages. */
export function kindName(value: ServingJson): string {
  if (value === null) return 'Null'
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (typeof value === 'string') return 'String'
  if (Array.isArray(value)) return 'Array'
  return value instanceof Map ? 'Object' : 'Number'
}

/** Whether a value is `{"b64": ".."}` and nothing more. */
export function base64Of(value: ServingJson): string | undefined {
  if (!(value instanceof Map) || value.size !== 1) return undefined
  const encoded: unknown = value.get('b64')
  return typeof encoded === 'string' ? encoded : undefined
}

/** Whether a value is an object that is not a string in base64. */
export function isNamedObject(value: ServingJson): value is ReadonlyMap<string, ServingJson> {
  return value instanceof Map && base64Of(value) === undefined
}
