// Which values an int32 expression can have: an inclusive range, kept on the node when it is made.
import type { Apply, Expression } from './expression.ts'
import { limitsOf } from './scalar.ts'

/** Smallest and largest value, inclusive. */
export type Range = readonly [number, number]

const everything: Range = [-(2 ** 31), 2 ** 31 - 1]

/** The range of an integer or truth value of at most 32 bits; of anything else, all numbers. */
export function rangeOf(expression: Expression): Range {
  switch (expression.kind) {
    case 'constant':
      if (typeof expression.value === 'bigint') return [-Infinity, Infinity]
      return [Number(expression.value), Number(expression.value)]
    case 'loop':
      return [0, Math.max(0, expression.extent - 1)]
    case 'load':
    case 'accumulator':
      return limitsOf(expression.dtype)
    case 'apply':
      return expression.range ?? limitsOf(expression.dtype)
    default:
      return expression satisfies never
  }
}

/** The range, where it lies within int32; undefined where a sum or product may wrap. */
function within(low: number, high: number): Range | undefined {
  return low >= everything[0] && high <= everything[1] ? [low + 0, high + 0] : undefined
}

/** Range of `a * b` as a whole number of any size. */
function timesRange(a: Range, b: Range): Range {
  const products = [a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]]
  return [Math.min(...products), Math.max(...products)]
}

/** The range of a new int32 node, from its operands'; undefined where nothing is known. */
export function rangeOfApply(node: Apply): Range | undefined {
  if (node.dtype !== 'int32') return undefined
  const [first, second, third] = node.operands
  const a = first === undefined ? everything : rangeOf(first)
  const b = second === undefined ? everything : rangeOf(second)
  switch (node.row) {
    case 'add':
      return within(a[0] + b[0], a[1] + b[1])
    case 'sub':
      return within(a[0] - b[1], a[1] - b[0])
    case 'neg':
      return within(-a[1], -a[0])
    case 'mul':
      return within(...timesRange(a, b))
    case 'min':
      return [Math.min(a[0], b[0]), Math.min(a[1], b[1])]
    case 'max':
      return [Math.max(a[0], b[0]), Math.max(a[1], b[1])]
    case 'floor_div':
    case 'truncate_div':
    case 'unchecked_div':
      return quotientRange(node.row === 'floor_div', a, b)
    case 'floor_mod':
      return b[0] > 0 ? [0, Math.min(b[1] - 1, a[0] >= 0 ? a[1] : Infinity)] : undefined
    case 'truncate_mod':
    case 'unchecked_mod':
      return b[0] > 0 && a[0] >= 0 ? [0, Math.min(b[1] - 1, a[1])] : undefined
    case 'select':
      return unionOf(b, third === undefined ? everything : rangeOf(third))
    case 'bitwise_and':
      return a[0] >= 0 || b[0] >= 0
        ? [0, Math.min(a[0] >= 0 ? a[1] : Infinity, b[0] >= 0 ? b[1] : Infinity)]
        : undefined
    case 'cast':
    case 'to_int32':
      return first !== undefined && isSmall(first) ? within(a[0], a[1]) : undefined
    default:
      return undefined
  }
}

function isSmall(expression: Expression): boolean {
  return ['int8', 'int16', 'int32', 'uint8', 'uint16', 'uint32', 'bool'].includes(expression.dtype)
}

function unionOf(a: Range, b: Range): Range {
  return [Math.min(a[0], b[0]), Math.max(a[1], b[1])]
}

function quotientRange(floors: boolean, a: Range, b: Range): Range | undefined {
  if (b[0] <= 0) return undefined
  const round = floors ? Math.floor : Math.trunc
  const ends = [a[0] / b[0], a[0] / b[1], a[1] / b[0], a[1] / b[1]].map(round)
  return [Math.min(...ends) + 0, Math.max(...ends) + 0]
}
