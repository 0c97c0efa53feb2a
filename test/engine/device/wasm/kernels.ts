// Kernels that the tests share: a product of matrices, a row sum, a chain, a padded convolution.
import {
  type Expression,
  expressionBuilder,
  type Kernel,
  type ScalarType,
} from '../../../../engine/ir/index.ts'

const build = expressionBuilder()
const int = (value: number) => build.constant('int32', value)
const add = (a: Expression, b: Expression) => build.apply('add', [a, b])
const mul = (a: Expression, b: Expression) => build.apply('mul', [a, b])

/** `[m, k]` times `[k, n]`. */
export function product(m: number, k: number, n: number, dtype: ScalarType = 'float32'): Kernel {
  const [i, j, r] = [build.loop(0, m), build.loop(1, n), build.loop(2, k)]
  const body = mul(
    build.load(dtype, 0, add(mul(i, int(k)), r)),
    build.load(dtype, 1, add(mul(r, int(n)), j)),
  )
  return {
    inputs: [
      { dtype, elementCount: m * k },
      { dtype, elementCount: k * n },
    ],
    outputs: [{ dtype, elementCount: m * n }],
    loops: [m, n],
    reduced: [k],
    reductions: [{ combine: 'sum', dtype, body }],
    stores: [{ output: 0, index: add(mul(i, int(n)), j), value: build.accumulator(dtype, 0) }],
    checks: [],
  }
}

/** Sums over the rows of `[rows, columns]`. */
export function rowSum(rows: number, columns: number, dtype: ScalarType = 'float32'): Kernel {
  const [i, r] = [build.loop(0, rows), build.loop(1, columns)]
  return {
    inputs: [{ dtype, elementCount: rows * columns }],
    outputs: [{ dtype, elementCount: rows }],
    loops: [rows],
    reduced: [columns],
    reductions: [
      { combine: 'sum', dtype, body: build.load(dtype, 0, add(mul(i, int(columns)), r)) },
    ],
    stores: [{ output: 0, index: i, value: build.accumulator(dtype, 0) }],
    checks: [],
  }
}

/** `max(x * y + x, 0)` over `[rows, columns]`. */
export function chain(rows: number, columns: number, dtype: ScalarType = 'float32'): Kernel {
  const elementCount = rows * columns
  const at = add(mul(build.loop(0, rows), int(columns)), build.loop(1, columns))
  const [x, y] = [build.load(dtype, 0, at), build.load(dtype, 1, at)]
  const value = build.apply('max', [add(mul(x, y), x), build.constant(dtype, 0)])
  return {
    inputs: [
      { dtype, elementCount },
      { dtype, elementCount },
    ],
    outputs: [{ dtype, elementCount }],
    loops: [rows, columns],
    reduced: [],
    reductions: [],
    stores: [{ output: 0, index: at, value }],
    checks: [],
  }
}

/** Images `[height, width, channels]` by filters `[3, 3, channels, filters]`, padded to the same size. */
export function convolution(
  height: number,
  width: number,
  channels: number,
  filters: number,
): Kernel {
  const [y, x, f] = [build.loop(0, height), build.loop(1, width), build.loop(2, filters)]
  const [v, u, c] = [build.loop(3, 3), build.loop(4, 3), build.loop(5, channels)]
  const [row, column] = [
    build.apply('sub', [add(y, v), int(1)]),
    build.apply('sub', [add(x, u), int(1)]),
  ]
  const inside = (at: Expression, size: number) =>
    build.apply('logical_and', [
      build.apply('greater_equal', [at, int(0)]),
      build.apply('less', [at, int(size)]),
    ])
  const guard = build.apply('logical_and', [inside(row, height), inside(column, width)])
  const pixel = add(mul(add(mul(row, int(width)), column), int(channels)), c)
  const weight = add(mul(add(mul(add(mul(v, int(3)), u), int(channels)), c), int(filters)), f)
  const body = mul(build.load('float32', 0, pixel, guard), build.load('float32', 1, weight))
  return {
    inputs: [
      { dtype: 'float32', elementCount: height * width * channels },
      { dtype: 'float32', elementCount: 9 * channels * filters },
    ],
    outputs: [{ dtype: 'float32', elementCount: height * width * filters }],
    loops: [height, width, filters],
    reduced: [3, 3, channels],
    reductions: [{ combine: 'sum', dtype: 'float32', body }],
    stores: [
      {
        output: 0,
        index: add(mul(add(mul(y, int(width)), x), int(filters)), f),
        value: build.accumulator('float32', 0),
      },
    ],
    checks: [],
  }
}

/** Rows of `[rows, width]` at the positions that input 1 holds, each checked to be a row. */
export function gather(rows: number, width: number, count: number): Kernel {
  const [i, j] = [build.loop(0, count), build.loop(1, width)]
  const row = build.load('int32', 1, i)
  const ok = build.apply('logical_and', [
    build.apply('greater_equal', [row, int(0)]),
    build.apply('less', [row, int(rows)]),
  ])
  return {
    inputs: [
      { dtype: 'float32', elementCount: rows * width },
      { dtype: 'int32', elementCount: count },
    ],
    outputs: [{ dtype: 'float32', elementCount: count * width }],
    loops: [count, width],
    reduced: [],
    reductions: [],
    stores: [
      {
        output: 0,
        index: add(mul(i, int(width)), j),
        value: build.load('float32', 0, add(mul(row, int(width)), j)),
      },
    ],
    checks: [{ ok, code: 42 }],
  }
}
