// How reductions combine two values, on scalars and on lanes. It writes
// instructions on accumulators in locals; loops and bodies it does not know.

import type { Combine, Reduction, ScalarType } from '../../ir/index.ts'
import type { WordEmitter } from './narrow.ts'
import { localTypeOf, shapeOf } from './numeric.ts'

/** One running value: its local and, for argmax and argmin, the local of its position. */
export interface Running {
  readonly local: number
  readonly place: number | undefined
}

/** Name of the instruction that combines two values, or undefined where a comparison chooses. */
function instructionOf(combine: Combine, dtype: ScalarType, lanes: number): string | undefined {
  const type = localTypeOf(dtype)
  const prefix = lanes === 1 ? type : shapeOf(dtype, lanes)
  switch (combine) {
    case 'sum':
      return `${prefix}.add`
    case 'product':
      return `${prefix}.mul`
    case 'all':
    case 'any':
      return `${lanes === 1 ? 'i32' : 'v128'}.${combine === 'all' ? 'and' : 'or'}`
    case 'max':
    case 'min':
      if (type.startsWith('f')) return `${prefix}.${combine}`
      return lanes === 4 ? `${prefix}.${combine}_${signOf(dtype)}` : undefined
    case 'argmax':
    case 'argmin':
      return undefined
    default:
      return combine satisfies never
  }
}

function signOf(dtype: ScalarType): 's' | 'u' {
  return dtype.startsWith('uint') ? 'u' : 's'
}

/** Name of the comparison that holds where the new value is better. */
function betterOf(combine: Combine, dtype: ScalarType, lanes: number): string {
  const name = combine === 'max' || combine === 'argmax' ? 'gt' : 'lt'
  const type = localTypeOf(dtype)
  const prefix = lanes === 1 ? type : shapeOf(dtype, lanes)
  return type.startsWith('f') ? `${prefix}.${name}` : `${prefix}.${name}_${signOf(dtype)}`
}

/**
 * Takes the value in local `value` into the accumulator. For argmax and argmin `place` is the local of the
 * value's position; it counts as better at the same value only where `tie` is set and it is smaller.
 */
export function combineInto(
  { combine, dtype }: Reduction,
  into: Running,
  value: number,
  place: number | undefined,
  lanes: number,
  out: WordEmitter,
  tie = false,
): void {
  const name = instructionOf(combine, dtype, lanes)
  if (name !== undefined) {
    out.emit('local.get', into.local)
    out.emit('local.get', value)
    out.emit(name)
    out.emit('local.set', into.local)
    return
  }
  const choose = lanes === 1 ? 'select' : 'v128.bitselect'
  const better = out.temporary()
  out.emit('local.get', value)
  out.emit('local.get', into.local)
  out.emit(betterOf(combine, dtype, lanes))
  if (tie && place !== undefined) {
    const bits = lanes === 1 ? 'i32' : 'v128'
    out.emit('local.get', value)
    out.emit('local.get', into.local)
    out.emit(`${lanes === 1 ? localTypeOf(dtype) : shapeOf(dtype, lanes)}.eq`)
    out.emit('local.get', place)
    out.emit('local.get', into.place!)
    out.emit(lanes === 1 ? 'i32.lt_s' : 'i32x4.lt_s')
    out.emit(`${bits}.and`)
    out.emit(`${bits}.or`)
  }
  out.emit('local.set', better)
  const take = (from: number, to: number) => {
    out.emit('local.get', from)
    out.emit('local.get', to)
    out.emit('local.get', better)
    out.emit(choose)
    out.emit('local.set', to)
  }
  take(value, into.local)
  if (place !== undefined) take(place, into.place!)
}
