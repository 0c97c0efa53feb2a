// JSON text laid out as TensorFlow Serving lays it out, and its spelling of decimal numbers.
// Source: RapidJSON's PrettyWriter as json_tensor.cc uses it.
import type { ServingJson } from './json.ts'

interface Level {
  readonly isList: boolean
  count: number
}

const indent = '    '

/** Writes values one after the other; `singleLine` keeps lists on one line while it is true. */
export class ServingWriter {
  singleLine = false
  readonly #parts: string[] = []
  readonly #levels: Level[] = []

  open(sign: '{' | '['): void {
    this.#prefix()
    this.#parts.push(sign)
    this.#levels.push({ isList: sign === '[', count: 0 })
  }

  close(): void {
    const level = this.#levels.pop()
    if (level === undefined) throw new Error('nothing is open')
    const broken = level.count > 0 && !(level.isList && this.singleLine)
    if (broken) this.#newLine()
    this.#parts.push(level.isList ? ']' : '}')
  }

  /** A key, or any value that is text already. */
  raw(text: string): void {
    this.#prefix()
    this.#parts.push(text)
  }

  key(name: string): void {
    this.raw(JSON.stringify(name))
  }

  text(): string {
    return this.#parts.join('')
  }

  #prefix(): void {
    const level = this.#levels.at(-1)
    if (level === undefined) return
    if (level.isList) {
      if (level.count > 0) this.#parts.push(this.singleLine ? ', ' : ',')
      if (!this.singleLine) this.#newLine()
    } else if (level.count % 2 === 1) {
      this.#parts.push(': ')
    } else {
      if (level.count > 0) this.#parts.push(',')
      this.#newLine()
    }
    level.count++
  }

  #newLine(): void {
    this.#parts.push('\n', indent.repeat(this.#levels.length))
  }
}

const longestShown = 1000

/** A value as messages show it; a long one is cut off. */
export function shownJson(value: ServingJson): string {
  const writer = new ServingWriter()
  // Iterative, as the value may be nested as deep as it likes; `undefined` closes what is open.
  const waiting: { readonly value?: ServingJson; readonly key?: string }[] = [{ value }]
  let steps = 0
  for (
    let next = waiting.pop();
    next !== undefined && steps++ < longestShown;
    next = waiting.pop()
  ) {
    if (next.key !== undefined) writer.key(next.key)
    else if (next.value === undefined) writer.close()
    else if (Array.isArray(next.value)) {
      writer.open('[')
      waiting.push(
        {},
        ...next.value
          .slice(0, longestShown)
          .map((item) => ({ value: item }))
          .reverse(),
      )
    } else if (next.value instanceof Map) {
      writer.open('{')
      const members = [...next.value].slice(0, longestShown).reverse()
      waiting.push({}, ...members.flatMap(([key, item]) => [{ value: item }, { key }]))
    } else writer.raw(scalarText(next.value as Exclude<ServingJson, object>))
  }
  const text = writer.text()
  return text.length > longestShown ? `${text.slice(0, longestShown)}..` : text
}

function scalarText(value: null | boolean | bigint | number | string): string {
  if (typeof value === 'number') return decimalText(value, 'float64')
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value)
}

const fullDigits = { float32: 9, float64: 17, float16: 9, bfloat16: 9 } as const
const shortDigits = 6

/**
 * A decimal as TensorFlow Serving spells it: six digits where they give the number back, else all
 * that it takes; `.0` after whole numbers; NaN, Infinity and -Infinity as bare words.
 */
export function decimalText(value: number, dtype: keyof typeof fullDigits): string {
  if (!Number.isFinite(value)) return String(value)
  if (Number.isInteger(value) && Math.abs(value) < wholeBelow && !Object.is(value, -0)) {
    return `${value}.0`
  }
  const short = general(value, shortDigits)
  const back = dtype === 'float64' ? Number(short) : Math.fround(Number(short))
  const spelled = back === value ? short : general(value, fullDigits[dtype])
  return /[.e]/.test(spelled) ? spelled : `${spelled}.0`
}

// Six digits hold these whole numbers.
const wholeBelow = 1e6
/** Below this, `%g` writes an exponent. */
const smallest = 1e-4

/** `printf("%.*g", digits, value)`. */
function general(value: number, digits: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0'
  // toPrecision changes to exponents later than %g does, at 1e-6; in between it is told to.
  const isSmall = Math.abs(value) < smallest
  const text = isSmall ? value.toExponential(digits - 1) : value.toPrecision(digits)
  const exponent = text.indexOf('e')
  if (exponent === -1) return withoutZeros(text)
  const [sign, size] = [text[exponent + 1], text.slice(exponent + 2)]
  return `${withoutZeros(text.slice(0, exponent))}e${sign}${size.padStart(2, '0')}`
}

function withoutZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}
