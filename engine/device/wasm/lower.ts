// Writes expressions in rows that WebAssembly has instructions for: rows without a form for their type
// become what they expand to. What the rows mean is in ir/rows; nothing is known here of any one.
import { remake } from '../../ir/build.ts'
import type { Apply, Expression } from '../../ir/expression.ts'
import type { Kernel } from '../../ir/kernel.ts'
import { rangeOf } from '../../ir/range.ts'
import type { ExpressionBuilder, WasmInstructions } from '../../ir/row.ts'
import { rowOf } from '../../ir/rows.ts'
import { wasmTypeOf } from '../../ir/scalar.ts'
import { orderOf } from '../../ir/walk.ts'

/** Expansions within expansions; more means that two rows expand to each other. */
const maxNesting = 32

/** The type that a row's instructions go by: the first operand's, or the choices' of a `select`. */
function operandTypeOf(node: Apply): Expression['dtype'] {
  const operand = node.operands[node.row === 'select' ? 1 : 0]!
  return operand.dtype
}

/** The instructions of a node, where it has them. */
export function instructionsOf(node: Apply): WasmInstructions | undefined {
  return rowOf(node.row).wasm?.[wasmTypeOf(operandTypeOf(node))]
}

/** The machine's division, where positions are known to need no more: not negative, by more than 0. */
function plainDivisionOf({ row, dtype, operands }: Apply): string | undefined {
  const [dividend, divisor] = operands
  if (dtype !== 'int32' || dividend === undefined || divisor === undefined) return undefined
  if (rangeOf(dividend)[0] < 0 || rangeOf(divisor)[0] <= 0) return undefined
  if (row === 'floor_div' || row === 'truncate_div') return 'unchecked_div'
  return row === 'floor_mod' || row === 'truncate_mod' ? 'unchecked_mod' : undefined
}

/**
 * A function that writes expressions of `build` in rows with instructions. It remembers what it has seen. Throws
 * where a row has neither instructions nor an expansion.
 */
export function lowering(build: ExpressionBuilder): (expression: Expression) => Expression {
  const lowered = new Map<Expression, Expression>()

  function lower(root: Expression, nesting: number): Expression {
    if (nesting > maxNesting) throw new Error('rows expand to each other without end')
    for (const node of orderOf([root], (seen) => lowered.has(seen))) {
      const made = remake(build, node, (operand) => lowered.get(operand)!)
      const result = made.kind === 'apply' ? expanded(made, nesting) : made
      lowered.set(node, result)
      lowered.set(result, result)
    }
    return lowered.get(root)!
  }

  function expanded(node: Apply, nesting: number): Expression {
    if (instructionsOf(node) !== undefined) return node
    const quotient = plainDivisionOf(node)
    if (quotient !== undefined) return build.apply(quotient, node.operands)
    const row = rowOf(node.row)
    if (row.expand === undefined) {
      throw new Error(`row ${node.row} has no form for ${operandTypeOf(node)} in WebAssembly`)
    }
    const dtype = row.result === 'bool' ? operandTypeOf(node) : node.dtype
    return lower(row.expand(build, dtype, ...node.operands), nesting + 1)
  }

  return (expression) => lower(expression, 0)
}

/** The kernel with all of its expressions put through `place`. */
export function mapKernel(kernel: Kernel, place: (expression: Expression) => Expression): Kernel {
  return {
    ...kernel,
    checks: kernel.checks.map((check) => ({ ...check, ok: place(check.ok) })),
    reductions: kernel.reductions.map((one) => ({ ...one, body: place(one.body) })),
    stores: kernel.stores.map((store) => ({
      ...store,
      index: place(store.index),
      value: place(store.value),
    })),
  }
}
