// The forms of elementwise ops: one or two operands, the result of their type.
import type { Expression, ScalarType } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { elementwise, scalarType } from './common.ts'
import { complexElementwise, isComplex } from './complex-ops.ts'
import { defineOp, type OpDefinition } from './definition.ts'

/** What one operand becomes. */
export type One = (b: Builder, x: Expression, dtype: ScalarType) => Expression
/** What two operands become. */
export type Two = (b: Builder, x: Expression, y: Expression, dtype: ScalarType) => Expression

/** A scalar row by its name. */
export const row =
  (name: string): One =>
  (b, x) =>
    b.one(name, x)

/** A scalar row of two operands by its name. */
export const both =
  (name: string): Two =>
  (b, x, y) =>
    b.both(name, x, y)

/** An op of one operand whose result has its type. */
export function unary(
  name: string,
  body: One = row(name.toLowerCase()),
  [input, output]: readonly [string, string] = ['x', 'y'],
): OpDefinition {
  return defineOp({
    name,
    inputs: [`${input}: T`],
    outputs: [`${output}: T`],
    attributes: ['T: type'],
    infer: (shapes) => shapes,
    lower: (at) => {
      const x = at.input(input)
      if (isComplex(x.dtype)) return [complexElementwise(at, [x])]
      const dtype = scalarType(x.dtype)
      return [elementwise(at, [x], dtype, (b, [operand]) => body(b, operand, dtype))]
    },
  })
}

/** An op of two operands that broadcast; the result has their type. */
export function binary(name: string, body: Two): OpDefinition {
  return defineOp({
    name,
    inputs: ['x: T', 'y: T'],
    outputs: ['z: T'],
    attributes: ['T: type'],
    lower: (at) => {
      const operands = [at.input('x'), at.input('y')]
      if (isComplex(operands[0].dtype)) return [complexElementwise(at, operands)]
      const dtype = scalarType(operands[0].dtype)
      return [elementwise(at, operands, dtype, (b, [x, y]) => body(b, x, y, dtype))]
    },
  })
}
