// Expressions made over: each node once, operands first, memoized by identity.
import { remake } from './build.ts'
import type { Accumulator, Expression, Load, Loop } from './expression.ts'
import type { ExpressionBuilder } from './row.ts'
import { orderOf } from './walk.ts'

/**
 * The expressions again, made by `build`. `replace` sees each node whose operands are replaced already
 * and answers with another expression, or undefined to keep it.
 */
export function mapExpressions(
  build: ExpressionBuilder,
  roots: readonly Expression[],
  replace: (node: Expression) => Expression | undefined = () => undefined,
): readonly Expression[] {
  const made = new Map<Expression, Expression>()
  const place = (operand: Expression) => made.get(operand) as Expression
  for (const node of orderOf(roots)) {
    const again = remake(build, node, place)
    made.set(node, replace(again) ?? again)
  }
  return roots.map(place)
}

/** {@link mapExpressions} of one expression. */
export function mapExpression(
  build: ExpressionBuilder,
  expression: Expression,
  replace?: (node: Expression) => Expression | undefined,
): Expression {
  return mapExpressions(build, [expression], replace)[0] as Expression
}

/** What {@link substitute} puts in place of leaves; undefined keeps the leaf. */
export interface Substitution {
  readonly loop?: (loop: Loop) => Expression | undefined
  /** The load comes with its index and guard replaced already. */
  readonly load?: (load: Load) => Expression | undefined
  readonly accumulator?: (accumulator: Accumulator) => Expression | undefined
}

/** The expression with other leaves. What is put in is not looked into again. */
export function substitute(
  build: ExpressionBuilder,
  expression: Expression,
  leaves: Substitution,
): Expression {
  return mapExpression(build, expression, (node) => {
    if (node.kind === 'loop') return leaves.loop?.(node)
    if (node.kind === 'load') return leaves.load?.(node)
    return node.kind === 'accumulator' ? leaves.accumulator?.(node) : undefined
  })
}
