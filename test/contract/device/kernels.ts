// Small kernels that the suites share, written with a builder of their own.
import {
  type Combine,
  type Expression,
  type ExpressionBuilder,
  expressionBuilder,
  type Kernel,
  type ScalarType,
} from '../../../engine/ir/index.ts'

/** A builder with the operations that kernels of tests need under short names. */
export interface Writing {
  readonly build: ExpressionBuilder
  int(value: number): Expression
  add(a: Expression, b: Expression): Expression
  sub(a: Expression, b: Expression): Expression
  mul(a: Expression, b: Expression): Expression
  apply(row: string, ...operands: Expression[]): Expression
}

/** A new {@link Writing}. */
export function writing(): Writing {
  const build = expressionBuilder()
  const apply = (row: string, ...operands: Expression[]) => build.apply(row, operands)
  return {
    build,
    apply,
    int: (value) => build.constant('int32', value),
    add: (a, b) => apply('add', a, b),
    sub: (a, b) => apply('sub', a, b),
    mul: (a, b) => apply('mul', a, b),
  }
}

/** `out[i] = body(in[i])` for `count` elements. */
export function elementwise(
  dtype: ScalarType,
  count: number,
  body: (write: Writing, x: Expression) => Expression,
): Kernel {
  const write = writing()
  const i = write.build.loop(0, count)
  const value = body(write, write.build.load(dtype, 0, i))
  return {
    inputs: [{ dtype, elementCount: count }],
    outputs: [{ dtype: value.dtype, elementCount: count }],
    loops: [count],
    reduced: [],
    reductions: [],
    stores: [{ output: 0, index: i, value }],
    checks: [],
  }
}

/** `out[row] = combine of in[row, column]`. */
export function rowReduction(
  combine: Combine,
  dtype: ScalarType,
  rows: number,
  columns: number,
): Kernel {
  const { build, add, mul, int } = writing()
  const [row, column] = [build.loop(0, rows), build.loop(1, columns)]
  const result = combine.startsWith('arg') ? 'int32' : dtype
  return {
    inputs: [{ dtype, elementCount: rows * columns }],
    outputs: [{ dtype: result, elementCount: rows }],
    loops: [rows],
    reduced: [columns],
    reductions: [
      { combine, dtype, body: build.load(dtype, 0, add(mul(row, int(columns)), column)) },
    ],
    stores: [{ output: 0, index: row, value: build.accumulator(result, 0) }],
    checks: [],
  }
}

/** `out[m, n] = sum of a[m, k] b[k, n]`, and with a bias by column and a floor of 0 where `relu`. */
export function product(
  dtype: ScalarType,
  [m, n, k]: readonly [number, number, number],
  relu: boolean,
): Kernel {
  const { build, add, mul, int, apply } = writing()
  const [i, j, l] = [build.loop(0, m), build.loop(1, n), build.loop(2, k)]
  const a = build.load(dtype, 0, add(mul(i, int(k)), l))
  const b = build.load(dtype, 1, add(mul(l, int(n)), j))
  const sum = build.accumulator(dtype, 0)
  const biased = relu
    ? apply('max', add(sum, build.load(dtype, 2, j)), build.constant(dtype, 0))
    : sum
  return {
    inputs: [
      { dtype, elementCount: m * k },
      { dtype, elementCount: k * n },
      ...(relu ? [{ dtype, elementCount: n }] : []),
    ],
    outputs: [{ dtype, elementCount: m * n }],
    loops: [m, n],
    reduced: [k],
    reductions: [{ combine: 'sum', dtype, body: mul(a, b) }],
    stores: [{ output: 0, index: add(mul(i, int(n)), j), value: biased }],
    checks: [],
  }
}

/** `out[i] = table[ids[i]]`, checked with `code`. */
export function gather(dtype: ScalarType, tableCount: number, count: number, code: number): Kernel {
  const { build, int, apply } = writing()
  const i = build.loop(0, count)
  const id = build.load('int32', 1, i)
  return {
    inputs: [
      { dtype, elementCount: tableCount },
      { dtype: 'int32', elementCount: count },
    ],
    outputs: [{ dtype, elementCount: count }],
    loops: [count],
    reduced: [],
    reductions: [],
    stores: [{ output: 0, index: i, value: build.load(dtype, 0, id) }],
    checks: [
      {
        code,
        ok: apply(
          'logical_and',
          apply('less_equal', int(0), id),
          apply('less', id, int(tableCount)),
        ),
      },
    ],
  }
}
