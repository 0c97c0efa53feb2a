// How Python prints and reads what TensorFlow's sentences hold: shapes, types, lists, strings, whole
// numbers. It knows spelling only, and no rule.
import type { DType, PartialShape } from '../../tensor/index.ts'

/** A shape as `str(TensorShape)`: `(2, 3)`, `(2,)`, `()`; `None` for an unknown size, `<unknown>` for an unknown rank. */
export function pythonShape(shape: PartialShape): string {
  if (shape === undefined) return '<unknown>'
  const sizes = shape.map((size) => (size === -1 ? 'None' : String(size)))
  return sizes.length === 1 ? `(${sizes[0]},)` : `(${sizes.join(', ')})`
}

/** A type as `str(DType)`: `<dtype: 'float32'>`. */
export function pythonDType(dtype: DType): string {
  return `<dtype: '${dtype}'>`
}

/** A list of numbers: `[3, 1]`. */
export function pythonList(numbers: readonly number[]): string {
  return `[${numbers.join(', ')}]`
}

/** A string as `repr` prints it, for printable text: `'x'`, or `"x'y"` where it holds a quote. */
export function pythonString(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  if (!text.includes("'")) return `'${escaped}'`
  return text.includes('"') ? `'${escaped.replaceAll("'", "\\'")}'` : `"${escaped}"`
}

/** What `int(text)` gives; undefined where Python refuses, and beyond 2^53 - 1. */
export function pythonInteger(text: string): number | undefined {
  const digits = text.trim()
  if (!/^[+-]?[0-9]+(_[0-9]+)*$/.test(digits)) return undefined
  const value = Number(digits.replaceAll('_', ''))
  return Number.isSafeInteger(value) ? value : undefined
}
