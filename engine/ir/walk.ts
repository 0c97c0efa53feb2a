// Ways through expressions: every node once, operands before users, never recursive, so that a graph
// as deep as it likes costs linear time and no stack.
import type { Expression } from './expression.ts'

/** What a node is made of; a load's index and guard count. */
export function operandsOf(node: Expression): readonly Expression[] {
  if (node.kind === 'apply') return node.operands
  if (node.kind !== 'load') return []
  return node.guard === undefined ? [node.index] : [node.index, node.guard]
}

/** Every node that `roots` reach, once, operands first. Nodes that `skip` holds of are left out, with what only they reach. */
export function orderOf(
  roots: readonly Expression[],
  skip: (node: Expression) => boolean = () => false,
): Expression[] {
  const order: Expression[] = []
  const state = new Map<Expression, 'open' | 'done'>()
  const stack = [...roots].reverse()
  while (stack.length > 0) {
    const node = stack[stack.length - 1] as Expression
    if (state.has(node) || skip(node)) {
      stack.pop()
      if (state.get(node) === 'open') {
        state.set(node, 'done')
        order.push(node)
      }
      continue
    }
    state.set(node, 'open')
    const operands = operandsOf(node)
    for (let index = operands.length - 1; index >= 0; index--) {
      const operand = operands[index] as Expression
      if (!state.has(operand)) stack.push(operand)
    }
  }
  return order
}

/** Calls `see` with every node that the expressions reach, once, operands first. */
export function visit(
  roots: Expression | readonly Expression[],
  see: (node: Expression) => void,
): void {
  for (const node of orderOf('kind' in roots ? [roots] : roots)) see(node)
}
