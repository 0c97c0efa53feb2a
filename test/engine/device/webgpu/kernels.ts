// Small kernels that tests run in every form.
import {
  type Combine,
  type Expression,
  expressionBuilder,
  type Kernel,
  type ScalarType,
} from '../../../../engine/ir/index.ts'

const build = expressionBuilder()
const int = (value: number): Expression => build.constant('int32', value)
const add = (a: Expression, b: Expression): Expression => build.apply('add', [a, b])
const mul = (a: Expression, b: Expression): Expression => build.apply('mul', [a, b])
const at = (row: Expression, width: number, column: Expression): Expression =>
  add(mul(row, int(width)), column)

/** `relu(a [m, k] x b [k, n] + bias [n])`. */
export function denseKernel(m: number, k: number, n: number): Kernel {
  const [row, column, inner] = [build.loop(0, m), build.loop(1, n), build.loop(2, k)]
  const a = build.load('float32', 0, at(row, k, inner))
  const b = build.load('float32', 1, at(inner, n, column))
  const sum = add(build.accumulator('float32', 0), build.load('float32', 2, column))
  return {
    inputs: [m * k, k * n, n].map((elementCount) => ({ dtype: 'float32', elementCount })),
    outputs: [{ dtype: 'float32', elementCount: m * n }],
    loops: [m, n],
    reduced: [k],
    reductions: [{ combine: 'sum', dtype: 'float32', body: mul(a, b) }],
    stores: [
      {
        output: 0,
        index: at(row, n, column),
        value: build.apply('max', [sum, build.constant('float32', 0)]),
      },
    ],
    checks: [],
  }
}

/** One reduction over the last two of `[rows, outer, inner]`. */
export function rowKernel(
  combine: Combine,
  dtype: ScalarType,
  rows: number,
  outer: number,
  inner: number,
): Kernel {
  const position = at(
    at(build.loop(0, rows), outer, build.loop(1, outer)),
    inner,
    build.loop(2, inner),
  )
  const result = combine.startsWith('arg') ? 'int32' : dtype
  return {
    inputs: [{ dtype, elementCount: rows * outer * inner }],
    outputs: [{ dtype: result, elementCount: rows }],
    loops: [rows],
    reduced: [outer, inner],
    reductions: [{ combine, dtype, body: build.load(dtype, 0, position) }],
    stores: [{ output: 0, index: build.loop(0, rows), value: build.accumulator(result, 0) }],
    checks: [],
  }
}

/** One row (in the sense of an operation) for every element. */
export function mapKernel(
  dtype: ScalarType,
  elementCount: number,
  inputs: number,
  value: (...operands: Expression[]) => Expression,
): Kernel {
  const place = build.loop(0, elementCount)
  const loads = Array.from({ length: inputs }, (_, input) => build.load(dtype, input, place))
  const stored = value(...loads)
  return {
    inputs: loads.map(() => ({ dtype, elementCount })),
    outputs: [{ dtype: stored.dtype, elementCount }],
    loops: [elementCount],
    reduced: [],
    reductions: [],
    stores: [{ output: 0, index: place, value: stored }],
    checks: [],
  }
}

/** A row applied to operands, for {@link mapKernel}. */
export function apply(
  row: string,
  operands: readonly Expression[],
  dtype?: ScalarType,
): Expression {
  return build.apply(row, operands, dtype)
}

/** `table [count][indices [n]]`, each index checked with code 7. */
export function gatherKernel(count: number, n: number): Kernel {
  const index = build.load('int32', 1, build.loop(0, n))
  const low = build.apply('greater_equal', [index, int(0)])
  const high = build.apply('less', [index, int(count)])
  return {
    inputs: [
      { dtype: 'float32', elementCount: count },
      { dtype: 'int32', elementCount: n },
    ],
    outputs: [{ dtype: 'float32', elementCount: n }],
    loops: [n],
    reduced: [],
    reductions: [],
    stores: [{ output: 0, index: build.loop(0, n), value: build.load('float32', 0, index) }],
    checks: [{ ok: build.apply('logical_and', [low, high]), code: 7 }],
  }
}

/** `variable += gradient * rate; slot = variable before`, both in place. */
export function updateKernel(n: number): Kernel {
  const place = build.loop(0, n)
  const [variable, slot, gradient] = [0, 1, 2].map((input) => build.load('float32', input, place))
  return {
    inputs: [0, 1, 2].map(() => ({ dtype: 'float32', elementCount: n })),
    outputs: [
      { dtype: 'float32', elementCount: n, inPlaceOf: 0 },
      { dtype: 'float32', elementCount: n, inPlaceOf: 1 },
    ],
    loops: [n],
    reduced: [],
    reductions: [],
    stores: [
      { output: 0, index: place, value: add(variable, mul(gradient, slot)) },
      { output: 1, index: place, value: variable },
    ],
    checks: [],
  }
}

/** `x [n]` with `before` and `after` zeros around it, by a guarded load. */
export function padKernel(n: number, before: number, after: number): Kernel {
  const size = before + n + after
  const place = build.loop(0, size)
  const source = build.apply('sub', [place, int(before)])
  const guard = build.apply('logical_and', [
    build.apply('greater_equal', [source, int(0)]),
    build.apply('less', [source, int(n)]),
  ])
  return {
    inputs: [{ dtype: 'float32', elementCount: n }],
    outputs: [{ dtype: 'float32', elementCount: size }],
    loops: [size],
    reduced: [],
    reductions: [],
    stores: [{ output: 0, index: place, value: build.load('float32', 0, source, guard) }],
    checks: [],
  }
}

/** So many steps for each of 64 outputs that no software driver is done within seconds. */
export function endlessKernel(): Kernel {
  const counters = [build.loop(1, 30_000), build.loop(2, 30_000)]
  const value = build.apply('bitwise_xor', [counters[0], counters[1]])
  const load = build.load('int32', 0, build.apply('bitwise_and', [value, int(63)]))
  return {
    inputs: [{ dtype: 'int32', elementCount: 64 }],
    outputs: [{ dtype: 'int32', elementCount: 8192 }],
    loops: [8192],
    reduced: [30_000, 30_000],
    reductions: [{ combine: 'sum', dtype: 'int32', body: load }],
    stores: [{ output: 0, index: build.loop(0, 8192), value: build.accumulator('int32', 0) }],
    checks: [],
  }
}

/** Sums `inputs` buffers of two elements. */
export function wideKernel(inputs: number): Kernel {
  return mapKernel('float32', 2, inputs, (...operands) => operands.reduce(add))
}
