// What the rules of simplification may ask of the builder beside making nodes.
import type { Expression, ScalarType } from './expression.ts'
import type { ExpressionBuilder, Row } from './row.ts'

/** A builder as simplifications see it. */
export interface Interning extends ExpressionBuilder {
  /** Number of a node, in the order of making. */
  idOf(expression: Expression): number
  /** The node as it is, without simplification. */
  plain(row: Row, operands: readonly Expression[], dtype: ScalarType): Expression
}
