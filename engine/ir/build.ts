// Makes expressions: interned, constants folded, simplified where no bit of a result changes. What a
// simplification is allowed to assume comes from the rows; int32 positions have their own rules in
// positions.ts.
import assert from 'node:assert'
import type { Expression, Scalar, ScalarType } from './expression.ts'
import type { Interning } from './interning.ts'
import { simplifyPosition } from './positions.ts'
import { rangeOfApply } from './range.ts'
import type { ExpressionBuilder, Row } from './row.ts'
import { expandBitcast } from './rows/conversion.ts'
import { rowOf } from './rows.ts'
import { isFloat, roundTo, zeroOf } from './scalar.ts'
import { simplify } from './simplify.ts'
import { orderOf } from './walk.ts'

/**
 * A builder. Nodes of another builder are taken over when they come as operands. Operand types are
 * asserted against the row: a mismatch is a mistake of the caller's code. `bitcast` is no row: it
 * is written in other rows at once.
 */
export function expressionBuilder(): ExpressionBuilder {
  const interned = new Map<string, Expression>()
  const ids = new Map<Expression, number>()
  const adopted = new WeakMap<Expression, Expression>()

  const intern = (key: string, node: () => Expression): Expression => {
    const known = interned.get(key)
    if (known !== undefined) return known
    const made = node()
    interned.set(key, made)
    ids.set(made, ids.size)
    return made
  }

  const own = (expression: Expression): Expression => {
    if (ids.has(expression)) return expression
    for (const node of orderOf([expression], (seen) => ids.has(seen) || adopted.has(seen))) {
      adopted.set(
        node,
        rebuild(node, (operand) => adopted.get(operand) ?? operand),
      )
    }
    return adopted.get(expression) as Expression
  }

  const rebuild = (node: Expression, place: (operand: Expression) => Expression): Expression =>
    remake(builder, node, place)

  const idOf = (expression: Expression): number => {
    const id = ids.get(expression)
    assert(id !== undefined, 'an expression of this builder')
    return id
  }

  const builder: Interning = {
    idOf,
    constant(dtype, value) {
      const rounded = roundTo(dtype, value)
      const text = Object.is(rounded, -0) ? '-0' : String(rounded)
      return intern(`c ${dtype} ${text}`, () => ({ kind: 'constant', dtype, value: rounded }))
    },
    loop(axis, extent) {
      assert(Number.isInteger(axis) && axis >= 0, 'an axis is a whole number from 0')
      assert(Number.isInteger(extent) && extent >= 0, 'an extent is a whole number from 0')
      if (extent === 1) return builder.constant('int32', 0)
      return intern(`i ${axis} ${extent}`, () => ({ kind: 'loop', dtype: 'int32', axis, extent }))
    },
    load(dtype, input, index, guard) {
      const ownIndex = own(index)
      assert(ownIndex.dtype === 'int32', 'an index is an int32 expression')
      let ownGuard = guard === undefined ? undefined : own(guard)
      assert(ownGuard === undefined || ownGuard.dtype === 'bool', 'a guard is a truth value')
      if (ownGuard?.kind === 'constant') {
        if (ownGuard.value === false) return builder.constant(dtype, zeroOf(dtype))
        ownGuard = undefined
      }
      const key = `l ${dtype} ${input} ${idOf(ownIndex)} ${ownGuard ? idOf(ownGuard) : ''}`
      return intern(key, () => ({
        kind: 'load',
        dtype,
        input,
        index: ownIndex,
        guard: ownGuard,
      }))
    },
    accumulator(dtype, reduction) {
      return intern(`a ${dtype} ${reduction}`, () => ({ kind: 'accumulator', dtype, reduction }))
    },
    apply(name, operands, dtype) {
      const owned = operands.map(own)
      if (name === 'bitcast') {
        assert(dtype !== undefined, 'bitcast needs the type of its result')
        return expandBitcast(builder, dtype, owned[0] as Expression)
      }
      const [first] = owned
      const ofFloat = first !== undefined && isFloat(first.dtype) && !isFloat(dtype ?? 'float32')
      const row = rowOf(name === 'cast' && ofFloat && dtype !== 'bool' ? 'truncate_cast' : name)
      const result = resultTypeOf(row, owned, dtype)
      return (
        folded(builder, row, owned, result) ??
        simplify(builder, row, owned, result) ??
        simplifyPosition(builder, row, owned, result) ??
        builder.plain(row, owned, result)
      )
    },
    plain(row, operands, dtype) {
      const key = `${row.name} ${dtype} ${operands.map(idOf).join(' ')}`
      return intern(key, () => {
        const node = { kind: 'apply', dtype, row: row.name, operands } as const
        const range = rangeOfApply(node)
        return range === undefined ? node : { ...node, range }
      })
    },
  }
  return builder
}

/** The type of a row's result for these operands; asserts that the operands suit the row. */
export function resultTypeOf(
  row: Row,
  operands: readonly Expression[],
  given?: ScalarType,
): ScalarType {
  assert(operands.length === row.arity, `${row.name} takes ${row.arity} operands`)
  const values = row.name === 'select' ? operands.slice(1) : operands
  if (row.name === 'select') assert(operands[0]?.dtype === 'bool', 'select asks a truth value')
  const dtype = (values[0] as Expression).dtype
  for (const operand of values) {
    assert(
      operand.dtype === dtype,
      `${row.name} takes operands of one type, got ${dtype} and ${operand.dtype}`,
    )
  }
  assert(row.types.includes(dtype), `${row.name} is not defined for ${dtype}`)
  if (row.result === 'given') {
    assert(given !== undefined, `${row.name} needs the type of its result`)
    return given
  }
  const result = row.result === 'bool' ? 'bool' : dtype
  assert(given === undefined || given === result, `${row.name} gives ${result}, not ${given}`)
  return result
}

/** The constant that a row gives of constants. */
function folded(
  build: ExpressionBuilder,
  row: Row,
  operands: readonly Expression[],
  result: ScalarType,
): Expression | undefined {
  const values: Scalar[] = []
  for (const operand of operands) {
    if (operand.kind !== 'constant') return undefined
    values.push(operand.value)
  }
  return build.constant(result, evaluate(row, result, operands[0]?.dtype as ScalarType, values))
}

/**
 * What a row gives of values: `value`, rounded or wrapped. `operandType` is the first operand's;
 * rows whose result is a truth value are asked with it.
 */
export function evaluate(
  row: Row,
  result: ScalarType,
  operandType: ScalarType,
  values: readonly Scalar[],
): Scalar {
  const asked = row.result === 'bool' ? operandType : result
  return roundTo(result, row.value(asked, ...values))
}

/** A node again, made by `build`, with its operands replaced. */
export function remake(
  build: ExpressionBuilder,
  node: Expression,
  place: (operand: Expression) => Expression,
): Expression {
  switch (node.kind) {
    case 'constant':
      return build.constant(node.dtype, node.value)
    case 'loop':
      return build.loop(node.axis, node.extent)
    case 'load':
      return build.load(
        node.dtype,
        node.input,
        place(node.index),
        node.guard === undefined ? undefined : place(node.guard),
      )
    case 'accumulator':
      return build.accumulator(node.dtype, node.reduction)
    case 'apply':
      return build.apply(node.row, node.operands.map(place), node.dtype)
    default:
      return node satisfies never
  }
}
