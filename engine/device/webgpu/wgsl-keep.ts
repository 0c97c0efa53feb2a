// Where a compiler must not see through a float32 value. WGSL allows compilers to reassociate, and the
// ones behind Dawn do: `(x + 1) - 1` becomes `x`, which undoes every correction of a rounding error
// that a row may hold. Narrow floats need nothing: their narrowing goes through bits already.
import type { Apply, Expression } from '../../ir/index.ts'

const sums = new Set(['add', 'sub'])
const products = new Set(['mul', 'div'])

/**
 * Whether `operand` has to be kept from being merged with `user`, the node that it is an operand of:
 * a sum under a sum, a product under a product where both have a constant or an operand in common
 * (`(x / y) * y`), two products under a sum with a common factor (`x * y + x * z`).
 */
export function mustKeep(user: Apply, operand: Expression): boolean {
  if (user.dtype !== 'float32' || operand.kind !== 'apply') return false
  if (sums.has(user.row)) {
    return sums.has(operand.row) || (operand.row === 'mul' && sharesFactor(user, operand))
  }
  if (!products.has(user.row) || !products.has(operand.row)) return false
  const others = user.operands.filter((other) => other !== operand)
  return operand.operands.some(
    (inner) =>
      others.includes(inner) ||
      (inner.kind === 'constant' && others.some((other) => other.kind === 'constant')),
  )
}

/** Whether the first operand of a sum is this product, and the other a product with a factor of it. */
function sharesFactor(user: Apply, product: Apply): boolean {
  const [first, second] = user.operands
  if (first !== product || second?.kind !== 'apply' || second.row !== 'mul') return false
  return second.operands.some((factor) => product.operands.includes(factor))
}
