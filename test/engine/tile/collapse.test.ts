import t from 'tap'
import { type Expression, expressionBuilder, type Kernel } from '../../../engine/ir/index.ts'
import { affineOf } from '../../../engine/tile/access.ts'
import { collapseLoops } from '../../../engine/tile/collapse.ts'
import { chain, product, rowSum } from '../device/wasm/kernels.ts'

const build = expressionBuilder()
const int = (value: number) => build.constant('int32', value)
const add = (a: Expression, b: Expression) => build.apply('add', [a, b])
const mul = (a: Expression, b: Expression) => build.apply('mul', [a, b])

/** `out[i, j] = in[i, j] + offset[position]` over `[a, b]`. */
function withBias(
  a: number,
  b: number,
  position: (i: Expression, j: Expression) => Expression,
): Kernel {
  const [i, j] = [build.loop(0, a), build.loop(1, b)]
  const at = add(mul(i, int(b)), j)
  return {
    inputs: [
      { dtype: 'float32', elementCount: a * b },
      { dtype: 'float32', elementCount: a * b },
    ],
    outputs: [{ dtype: 'float32', elementCount: a * b }],
    loops: [a, b],
    reduced: [],
    reductions: [],
    stores: [
      {
        output: 0,
        index: at,
        value: add(build.load('float32', 0, at), build.load('float32', 1, position(i, j))),
      },
    ],
    checks: [],
  }
}

t.test('loops that all positions walk as one become one', async (t) => {
  const { loops, stores } = collapseLoops(chain(6, 7), build)
  t.same(loops, [42])
  t.same([...affineOf(stores[0]!.index).terms], [[0, 1]])
})

t.test('loops of one iteration go away, also between loops that join', async (t) => {
  t.same(collapseLoops(chain(1, 7), build).loops, [7])
  t.same(collapseLoops(product(1, 5, 7), build).loops, [7])
  t.same(collapseLoops(product(1, 1, 1), build).reduced, [])
})

t.test('a position that walks otherwise keeps loops apart', async (t) => {
  t.same(
    collapseLoops(
      withBias(4, 5, (_, j) => j),
      build,
    ).loops,
    [4, 5],
  )
  t.same(
    collapseLoops(
      withBias(4, 5, (i) => i),
      build,
    ).loops,
    [4, 5],
  )
  t.same(
    collapseLoops(
      withBias(5, 5, (i, j) => add(mul(j, int(5)), i)),
      build,
    ).loops,
    [5, 5],
  )
})

t.test(
  'parallel and reduction loops never join, and a value of a counter keeps its loop',
  async (t) => {
    const { loops, reduced } = collapseLoops(rowSum(4, 5), build)
    t.same([loops, reduced], [[4], [5]])
    const kernel = chain(4, 5)
    const counter = build.apply('cast', [build.loop(1, 5)], 'float32')
    const stores = kernel.stores.map((store) => ({ ...store, value: add(store.value, counter) }))
    t.same(collapseLoops({ ...kernel, stores }, build).loops, [4, 5])
  },
)

t.test('an empty loop stays as it is', async (t) => {
  t.same(collapseLoops(chain(0, 7), build).loops, [0, 7])
})
