// Zeros like a value; a variable's handle stands for the variable's value.
import type { DType } from '../../tensor/index.ts'
import { attribute, type Expressions, type Output } from '../builder/index.ts'

/** Zeros like `x`; like the value of the variable that it is a handle of, whose type is `dtype`. */
export function zerosOf(e: Expressions, x: Output, dtype: DType): Output {
  if (x.dtype !== 'resource') return e.zerosLike(x)
  const shape = e.op('VariableShape', [x], { out_type: attribute.type('int32') })
  return e.fill(shape, e.scalar(0, dtype))
}
