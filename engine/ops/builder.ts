// A short way to write expressions in the definitions of ops: arithmetic with plain numbers lifted to
// the type of the other operand. It makes nothing that the expression builder would not.
import {
  type Expression,
  type ExpressionBuilder,
  isFloat,
  roundTo,
  type Scalar,
  type ScalarType,
  scalarOf,
} from '../ir/index.ts'

/** An expression, or a number to be lifted to the type of its neighbour. */
export type Operand = Expression | number

/** Writes expressions. Positions are int32. */
export class Builder {
  readonly build: ExpressionBuilder

  constructor(build: ExpressionBuilder) {
    this.build = build
  }

  /** `value` rounded or wrapped to the type; 0 and 1 for bool. */
  number(dtype: ScalarType, value: number): Expression {
    if (dtype !== 'bool' && isFloat(dtype)) return this.build.constant(dtype, roundTo(dtype, value))
    return this.build.constant(dtype, scalarOf(dtype, value))
  }

  constant(dtype: ScalarType, value: Scalar): Expression {
    return this.build.constant(dtype, value)
  }

  /** A position. */
  index(value: number): Expression {
    return this.build.constant('int32', value)
  }

  apply(row: string, operands: readonly Expression[], dtype?: ScalarType): Expression {
    return this.build.apply(row, operands, dtype)
  }

  /** Two operands of one type; numbers take the type of the other, int32 if both are numbers. */
  both(row: string, x: Operand, y: Operand): Expression {
    const dtype = typeof x !== 'number' ? x.dtype : typeof y !== 'number' ? y.dtype : 'int32'
    const lift = (operand: Operand): Expression =>
      typeof operand === 'number' ? this.number(dtype, operand) : operand
    return this.build.apply(row, [lift(x), lift(y)])
  }

  add(x: Operand, y: Operand): Expression {
    return this.both('add', x, y)
  }
  sub(x: Operand, y: Operand): Expression {
    return this.both('sub', x, y)
  }
  mul(x: Operand, y: Operand): Expression {
    return this.both('mul', x, y)
  }
  /** Of floats. */
  div(x: Operand, y: Operand): Expression {
    return this.both('div', x, y)
  }
  /** Quotient of positions that are not negative by a positive number. */
  quotient(x: Operand, y: number): Expression {
    return this.both('floor_div', x, y)
  }
  /** What {@link Builder.quotient} leaves. */
  remainder(x: Operand, y: number): Expression {
    return this.both('floor_mod', x, y)
  }
  min(x: Operand, y: Operand): Expression {
    return this.both('min', x, y)
  }
  max(x: Operand, y: Operand): Expression {
    return this.both('max', x, y)
  }
  less(x: Operand, y: Operand): Expression {
    return this.both('less', x, y)
  }
  lessEqual(x: Operand, y: Operand): Expression {
    return this.both('less_equal', x, y)
  }
  greater(x: Operand, y: Operand): Expression {
    return this.both('greater', x, y)
  }
  greaterEqual(x: Operand, y: Operand): Expression {
    return this.both('greater_equal', x, y)
  }
  equal(x: Operand, y: Operand): Expression {
    return this.both('equal', x, y)
  }
  notEqual(x: Operand, y: Operand): Expression {
    return this.both('not_equal', x, y)
  }

  /** Conjunction; true for none. */
  and(...terms: readonly Expression[]): Expression {
    return terms.reduce(
      (all, term) => this.build.apply('logical_and', [all, term]),
      this.build.constant('bool', true),
    )
  }
  or(x: Expression, y: Expression): Expression {
    return this.build.apply('logical_or', [x, y])
  }
  not(x: Expression): Expression {
    return this.build.apply('logical_not', [x])
  }

  /** `x` where the condition holds, else `y`. */
  select(condition: Expression, x: Operand, y: Operand): Expression {
    const dtype = typeof x !== 'number' ? x.dtype : typeof y !== 'number' ? y.dtype : 'int32'
    const lift = (operand: Operand): Expression =>
      typeof operand === 'number' ? this.number(dtype, operand) : operand
    return this.build.apply('select', [condition, lift(x), lift(y)])
  }

  cast(x: Expression, dtype: ScalarType): Expression {
    return x.dtype === dtype ? x : this.build.apply('cast', [x], dtype)
  }

  /** One operand. */
  one(row: string, x: Expression): Expression {
    return this.build.apply(row, [x])
  }

  /** Whether `low <= x < high`, for positions. */
  within(x: Expression, low: number, high: number): Expression {
    return this.and(this.greaterEqual(x, low), this.less(x, high))
  }

  /** Flat row-major position of `positions` in `shape`. */
  flatten(positions: readonly Expression[], shape: readonly number[]): Expression {
    let flat = this.index(0)
    let stride = 1
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (shape[axis] !== 1) flat = this.add(this.mul(positions[axis], stride), flat)
      stride *= Math.max(shape[axis], 1)
    }
    return flat
  }

  /** Positions in `shape` of a flat row-major one. */
  unflatten(flat: Expression, shape: readonly number[]): Expression[] {
    const positions = new Array<Expression>(shape.length)
    let rest = flat
    const first = shape.findIndex((size) => size > 1)
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const size = shape[axis]
      if (size <= 1) positions[axis] = this.index(0)
      else if (axis === first) positions[axis] = rest
      else {
        positions[axis] = this.remainder(rest, size)
        rest = this.quotient(rest, size)
      }
    }
    return positions
  }
}
