// Writes a kernel's expressions in rows that have a WGSL form: the others are expanded, until none is
// left. It prints nothing.
import assert from 'node:assert'
import { remake } from '../../ir/build.ts'
import {
  type Apply,
  type Expression,
  expressionBuilder,
  type Kernel,
  orderOf,
  type Row,
  rowOf,
  type ScalarType,
} from '../../ir/index.ts'
import { valueTypeOf } from './wgsl-types.ts'

/** Expansions within expansions; more means that two rows expand to each other. */
const maxNesting = 32

/** The type that a row is asked with: its first operand's that is not the condition of a select. */
export function operandTypeOf(node: Apply): ScalarType {
  const operand = node.operands[node.row === 'select' ? 1 : 0]
  assert(operand, 'a row has operands')
  return operand.dtype
}

/** WGSL of a row for operands given as texts; undefined where the row has to be expanded. */
export function rowText(row: Row, dtype: ScalarType, operands: readonly string[]) {
  return row.wgsl?.(valueTypeOf(dtype), ...operands)
}

/** The kernel with every row expanded that has no WGSL form; interned in one builder. */
export function lowerKernel(kernel: Kernel): Kernel {
  const build = expressionBuilder()
  const lowered = new Map<Expression, Expression>()
  const lower = (root: Expression, nesting: number): Expression => {
    assert(nesting <= maxNesting, 'rows expand to each other without end')
    for (const node of orderOf([root], (seen) => lowered.has(seen))) {
      const place = (operand: Expression): Expression => lowered.get(operand) ?? operand
      lowered.set(node, lowerNode(node, place, nesting + 1))
    }
    const result = lowered.get(root)
    assert(result, 'a lowered expression')
    return result
  }
  const lowerNode = (
    node: Expression,
    place: (operand: Expression) => Expression,
    nesting: number,
  ): Expression => {
    if (node.kind !== 'apply') return remake(build, node, place)
    const row = rowOf(node.row)
    const operandType = operandTypeOf(node)
    const operands = node.operands.map(place)
    if (rowText(row, operandType, ['a', 'b', 'c']) !== undefined) {
      const made = build.apply(node.row, operands, node.dtype)
      // Making it again may simplify it into rows that are not lowered yet.
      if (made.kind !== 'apply' || made.row === node.row) return made
      return lower(made, nesting)
    }
    assert(row.expand, `${row.name} of ${operandType} has neither a WGSL form nor an expansion`)
    const asked = row.result === 'bool' ? operandType : node.dtype
    return lower(row.expand(build, asked, ...operands), nesting)
  }
  return {
    ...kernel,
    reductions: kernel.reductions.map((one) => ({ ...one, body: lower(one.body, 0) })),
    stores: kernel.stores.map((one) => ({
      ...one,
      index: lower(one.index, 0),
      value: lower(one.value, 0),
    })),
    checks: kernel.checks.map((one) => ({ ...one, ok: lower(one.ok, 0) })),
  }
}
