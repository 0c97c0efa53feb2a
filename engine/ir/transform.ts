// Expressions made over: each node once, operands first, memoized by identity.
import { remake } from './build.ts'
import type { Accumulator, Apply, Expression, Load, Loop, ScalarType } from './expression.ts'
import type { ExpressionBuilder, Row } from './row.ts'
import { rowOf } from './rows.ts'
import { orderOf } from './walk.ts'

/**
 * The expressions again, made by `build`. `replace` sees each node whose operands are replaced already
 * and answers with another expression, or undefined to keep it.
 */
function mapExpressions(
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

/**
 * The expressions in rows that a device has itself: whatever `isNative` denies is replaced by its
 * expansion, and that again, until all are native. `operandType` is the type of the first operand that
 * is not a condition. Asserts that a row which is not native has an expansion.
 */
export function expandRows(
  build: ExpressionBuilder,
  roots: readonly Expression[],
  isNative: (row: Row, operandType: ScalarType, node: Apply) => boolean,
): readonly Expression[] {
  const settled = new Map<Expression, Expression>()
  const place = (operand: Expression) => settled.get(operand) as Expression
  // Each entry: a node to settle, or a node whose expansion is settled by now.
  const pending: (Expression | { readonly node: Expression; readonly by: Expression })[] = [
    ...orderOf(roots),
  ].reverse()
  while (pending.length > 0) {
    const next = pending.pop() as (typeof pending)[number]
    if ('by' in next) {
      settled.set(next.node, place(next.by))
      continue
    }
    if (settled.has(next)) continue
    const again = remake(build, next, place)
    const expanded = again === next ? expansionOf(build, again, isNative) : again
    if (expanded === again && again === next) {
      settled.set(next, next)
      continue
    }
    pending.push({ node: next, by: expanded })
    const order = orderOf([expanded], (node) => settled.has(node)).reverse()
    for (const node of order) pending.push(node)
  }
  return roots.map(place)
}

/** The node itself where it is native, else one step of its expansion. */
function expansionOf(
  build: ExpressionBuilder,
  node: Expression,
  isNative: (row: Row, operandType: ScalarType, node: Apply) => boolean,
): Expression {
  if (node.kind !== 'apply') return node
  const row = rowOf(node.row)
  const operandType = (node.operands[node.row === 'select' ? 1 : 0] as Expression).dtype
  if (isNative(row, operandType, node)) return node
  const asked = row.result === 'bool' ? operandType : node.dtype
  const expanded = row.expand?.(build, asked, ...node.operands)
  if (expanded === undefined || expanded === node) {
    throw new Error(`the device has no ${row.name} of ${operandType}, and it has no expansion`)
  }
  return expanded
}
