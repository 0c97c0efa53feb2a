// Reductions in WGSL: where an accumulator starts, how it takes a value, how two of them combine.
import {
  combiningRows,
  isPositional,
  type Reduction,
  rowOf,
  startOfReduction,
} from '../../ir/index.ts'
import { rowText } from './wgsl-lower.ts'
import { constantText, narrowedText, valueTypeOf } from './wgsl-types.ts'

/** The value that changes nothing. */
export function identityText(reduction: Reduction): string {
  return constantText(reduction.dtype, startOfReduction(reduction))
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
  if (!isPositional(combine)) {
    const text = rowText(rowOf(combiningRows[combine]), dtype, [name, value])
    return `${name} = ${narrowedText(dtype, text ?? '')};`
  }
  const better = combine === 'argmax' ? '>' : '<'
  return `if (${value} ${better} ${name}) { ${name} = ${value}; ${name}_at = ${position}; }`
}

/** Statements by which an accumulator takes another's; of equal values the earlier position stays. */
export function mergeText(reduction: Reduction, name: string, other: string, at: Places): string {
  const { combine, dtype } = reduction
  if (!isPositional(combine)) {
    const text = rowText(rowOf(combiningRows[combine]), dtype, [name, other])
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
