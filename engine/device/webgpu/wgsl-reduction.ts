// Reductions in WGSL: where an accumulator starts, how it takes a value, how two of them combine.
import { type Combine, limitsOf, type Reduction, rowOf } from '../../ir/index.ts'
import { rowText } from './wgsl-lower.ts'
import { constantText, narrowedText, valueTypeOf } from './wgsl-types.ts'

/** The row that combines two values; argmax and argmin compare. */
const rowNames: Readonly<Record<Exclude<Combine, 'argmax' | 'argmin'>, string>> = {
  sum: 'add',
  product: 'mul',
  max: 'max',
  min: 'min',
  all: 'logical_and',
  any: 'logical_or',
}

/** Whether the result is a position. */
export function isPositional(reduction: Reduction): boolean {
  return reduction.combine === 'argmax' || reduction.combine === 'argmin'
}

/** The value that changes nothing. */
export function identityText({ combine, dtype }: Reduction): string {
  const [lowest, highest] = limitsOf(dtype)
  switch (combine) {
    case 'sum':
    case 'any':
      return constantText(dtype, dtype === 'bool' ? false : 0)
    case 'product':
    case 'all':
      return constantText(dtype, dtype === 'bool' ? true : 1)
    case 'max':
    case 'argmax':
      return constantText(dtype, lowest)
    case 'min':
    case 'argmin':
      return constantText(dtype, highest)
    default:
      return combine satisfies never
  }
}

/** WGSL type of the accumulator. */
export function accumulatorTypeOf({ dtype }: Reduction): string {
  return valueTypeOf(dtype)
}

/** Statements by which the accumulator `name` takes `value`, found at `position` (an i32). */
export function takeText(
  reduction: Reduction,
  name: string,
  value: string,
  position: string,
): string {
  const { combine, dtype } = reduction
  if (combine !== 'argmax' && combine !== 'argmin') {
    const text = rowText(rowOf(rowNames[combine]), dtype, [name, value])
    return `${name} = ${narrowedText(dtype, text ?? '')};`
  }
  const better = combine === 'argmax' ? '>' : '<'
  return `if (${value} ${better} ${name}) { ${name} = ${value}; ${name}_at = ${position}; }`
}

/** Statements by which an accumulator takes another's; of equal values the earlier position stays. */
export function mergeText(reduction: Reduction, name: string, other: string, at: Places): string {
  const { combine, dtype } = reduction
  if (combine !== 'argmax' && combine !== 'argmin') {
    const text = rowText(rowOf(rowNames[combine]), dtype, [name, other])
    return `${name} = ${narrowedText(dtype, text ?? '')};`
  }
  const better = combine === 'argmax' ? '>' : '<'
  const tie = `(${other} == ${name} && ${at.other} < ${at.own})`
  return `if (${other} ${better} ${name} || ${tie}) { ${name} = ${other}; ${at.own} = ${at.other}; }`
}

/** Names of the positions of two accumulators. */
export interface Places {
  readonly own: string
  readonly other: string
}
