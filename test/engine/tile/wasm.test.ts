import t from 'tap'
import { type Expression, expressionBuilder, type Kernel } from '../../../engine/ir/index.ts'
import { chooseWasmTiling } from '../../../engine/tile/wasm.ts'
import { chain, convolution, product, rowSum } from '../device/wasm/kernels.ts'

const facts = { registers: 15 }
const build = expressionBuilder()
const int = (value: number) => build.constant('int32', value)

/** `[rows, columns]` transposed. */
function transpose(rows: number, columns: number): Kernel {
  const [i, j] = [build.loop(0, columns), build.loop(1, rows)]
  const flat = (a: Expression, extent: number, b: Expression) =>
    build.apply('add', [build.apply('mul', [a, int(extent)]), b])
  const buffer = { dtype: 'float32', elementCount: rows * columns } as const
  return {
    inputs: [buffer],
    outputs: [buffer],
    loops: [columns, rows],
    reduced: [],
    reductions: [],
    stores: [
      { output: 0, index: flat(i, rows, j), value: build.load('float32', 0, flat(j, columns, i)) },
    ],
    checks: [],
  }
}

t.test(
  'a product of matrices runs in lanes along its columns, in a tile of six rows by two vectors',
  async (t) => {
    const tiling = chooseWasmTiling(product(512, 512, 512), facts)
    t.match(tiling, { lanes: 4, laneAxis: 1, unroll: [6, 2, 1], order: [1, 0] })
  },
)

t.test('two doubles are a vector', async (t) => {
  t.match(chooseWasmTiling(product(512, 512, 512, 'float64'), facts), { lanes: 2, laneAxis: 1 })
})

t.test('accumulators and shared loads fit the registers', async (t) => {
  for (const registers of [8, 16, 32]) {
    for (const [m, n] of [
      [512, 512],
      [3, 512],
      [512, 4],
      [7, 9],
      [1, 64],
    ] as const) {
      const { unroll, laneAxis } = chooseWasmTiling(product(m, 64, n), { registers })
      const columns = unroll[1]!
      const live = laneAxis === 1 ? columns : unroll[0]! + columns
      t.ok(unroll[0]! * columns + live < registers, `${m} by ${n}: ${unroll}`)
      t.ok(unroll[0]! <= m && 4 * columns <= Math.max(4, n), 'and the loops')
    }
  }
})

t.test('sums of rows run in lanes along the row, sums of columns along the columns', async (t) => {
  t.match(chooseWasmTiling(rowSum(1000, 1000), facts), { laneAxis: 1, unroll: [1, 4] })
  const rows = rowSum(1000, 1000)
  const columns: Kernel = {
    ...rows,
    reductions: [
      {
        combine: 'sum',
        dtype: 'float32',
        body: build.load(
          'float32',
          0,
          build.apply('add', [
            build.apply('mul', [build.loop(1, 1000), int(1000)]),
            build.loop(0, 1000),
          ]),
        ),
      },
    ],
  }
  t.match(chooseWasmTiling(columns, facts), { laneAxis: 0, unroll: [12, 1] })
})

t.test('a chain of operations takes several vectors at once, fewer the longer it is', async (t) => {
  t.match(chooseWasmTiling(chain(1, 4096), facts), { laneAxis: 1, unroll: [1, 4] })
  const at = build.loop(0, 4096)
  let value: Expression = build.load('float32', 0, at)
  for (let step = 0; step < 100; step++)
    value = build.apply('sub', [value, build.load('float32', step % 9, at)])
  const buffer = { dtype: 'float32', elementCount: 4096 } as const
  const long: Kernel = {
    inputs: Array.from({ length: 9 }, () => buffer),
    outputs: [buffer],
    loops: [4096],
    reduced: [],
    reductions: [],
    stores: [{ output: 0, index: at, value }],
    checks: [],
  }
  t.same(chooseWasmTiling(long, facts).unroll, [1])
})

t.test('a loop shorter than a vector has no lanes', async (t) => {
  t.match(chooseWasmTiling(product(3, 3, 3), facts), { lanes: 1, unroll: [1, 1, 1] })
})

t.test('a convolution runs in lanes along its filters, several pixels at once', async (t) => {
  const { laneAxis, unroll } = chooseWasmTiling(convolution(64, 64, 32, 64), facts)
  t.equal(laneAxis, 2)
  t.equal(unroll[2], 2)
  t.ok(Math.max(unroll[0]!, unroll[1]!) >= 4)
})

t.test(
  'what lies scattered and is used again is staged; what is near or used once is not',
  async (t) => {
    t.equal(chooseWasmTiling(product(512, 1024, 512), facts).staged.length, 1)
    t.equal(chooseWasmTiling(product(512, 1024, 512), facts).scratchBytes, 1024 * 8 * 4)
    t.equal(chooseWasmTiling(product(512, 32, 32), facts).staged.length, 0)
    t.equal(chooseWasmTiling(product(1, 1024, 512), facts).staged.length, 0)
    t.equal(
      chooseWasmTiling(product(512, 2 ** 20, 8), facts).staged.length,
      0,
      'too much for a cache',
    )
  },
)

t.test('a transposition loads neighbours, and stores several rows of them together', async (t) => {
  const tiling = chooseWasmTiling(transpose(64, 48), facts)
  t.match(tiling, { lanes: 4, laneAxis: 0, unroll: [1, 8], order: [1, 0] })
})

t.test('single choices can be forced', async (t) => {
  const forced = { laneAxis: 0, unroll: [1, 3, 1], order: [0, 1], staging: false } as const
  t.match(chooseWasmTiling(product(64, 64, 64), facts, forced), {
    lanes: 4,
    laneAxis: 0,
    unroll: [1, 3, 1],
    unrolled: [1],
    order: [0, 1],
    staged: [],
  })
})
