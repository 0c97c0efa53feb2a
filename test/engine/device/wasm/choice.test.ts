// Padding after arithmetic: a choice by the same condition that guards the loads in it.
import t from 'tap'
import { interpret } from '../../../../engine/device/reference/interpret.ts'
import { assemble, disassemble } from '../../../../engine/device/wasm/assembler.ts'
import { compileKernel } from '../../../../engine/device/wasm/compile.ts'
import { type Expression, expressionBuilder, type Kernel } from '../../../../engine/ir/index.ts'
import { runKernel } from './run.ts'

const build = expressionBuilder()
const int = (value: number) => build.constant('int32', value)
const float = (value: number) => build.constant('float32', value)
const add = (a: Expression, b: Expression) => build.apply('add', [a, b])
const mul = (a: Expression, b: Expression) => build.apply('mul', [a, b])

/**
 * Sums over 3 by 3 of `(inside ? max(x + 1, 0) : outside) * w` over `[height, width, channels]`.
 */
function kernelOf(height: number, width: number, channels: number, outside: number): Kernel {
  const [y, x, c] = [build.loop(0, height), build.loop(1, width), build.loop(2, channels)]
  const [v, u] = [build.loop(3, 3), build.loop(4, 3)]
  const [row, column] = [add(add(y, v), int(-1)), add(add(x, u), int(-1))]
  const inside = (at: Expression, size: number) =>
    build.apply('logical_and', [
      build.apply('greater_equal', [at, int(0)]),
      build.apply('less', [at, int(size)]),
    ])
  const guard = build.apply('logical_and', [inside(row, height), inside(column, width)])
  const pixel = add(mul(add(mul(row, int(width)), column), int(channels)), c)
  const shifted = add(build.load('float32', 0, pixel, guard), float(1))
  const padded = build.apply('select', [
    guard,
    build.apply('max', [shifted, float(0)]),
    float(outside),
  ])
  const weight = build.load('float32', 1, add(mul(add(mul(v, int(3)), u), int(channels)), c))
  const elementCount = height * width * channels
  const index = add(mul(add(mul(y, int(width)), x), int(channels)), c)
  return {
    inputs: [
      { dtype: 'float32', elementCount },
      { dtype: 'float32', elementCount: 9 * channels },
    ],
    outputs: [{ dtype: 'float32', elementCount }],
    loops: [height, width, channels],
    reduced: [3, 3],
    reductions: [{ combine: 'sum', dtype: 'float32', body: mul(padded, weight) }],
    stores: [{ output: 0, index, value: build.accumulator('float32', 0) }],
    checks: [],
  }
}

t.test(
  'a choice gives what the interpreter gives at edges and inside, however tiled',
  async (t) => {
    for (const [height, width, channels] of [
      [7, 9, 8],
      [12, 12, 5],
      [3, 16, 4],
    ] as const) {
      const kernel = kernelOf(height, width, channels, 5)
      const inputs = kernel.inputs.map(({ elementCount }, input) =>
        Float32Array.from({ length: elementCount }, (_, at) => ((at * 7 + input) % 11) - 5),
      )
      const want = new Float32Array(height * width * channels)
      interpret(kernel, inputs, [want])
      const bytes = inputs.map((values) => new Uint8Array(values.buffer))
      for (const laneAxis of [undefined, 0, 1, 2, 3, 4]) {
        for (const unroll of [
          [1, 1, 1, 1, 1],
          [2, 3, 1, 1, 1],
          [1, 2, 2, 1, 3],
          [3, 1, 1, 2, 1],
        ]) {
          for (const order of [
            [0, 1, 2],
            [2, 1, 0],
          ]) {
            const lanes = laneAxis === undefined ? 1 : 4
            const { outputs } = runKernel(kernel, bytes, {
              tiling: { lanes, laneAxis, unroll, order },
            })
            const got = new Float32Array(outputs[0]!.slice().buffer)
            t.same(got, want, `${height} ${width} ${channels}: ${laneAxis} ${unroll} ${order}`)
          }
        }
      }
    }
  },
)

t.test('inside of an image nothing is chosen in the inner loop', async (t) => {
  const { code } = compileKernel(kernelOf(32, 32, 8, 5), { name: 'kernel', relaxedSimd: true })
  t.ok(WebAssembly.validate(assemble([code!])))
  const loops = disassemble(code!)
    .split('loop')
    .filter((part) => part.includes('relaxed_madd'))
    .map((loop) => loop.slice(0, loop.indexOf('br_if')))
  t.ok(loops.some((loop) => !loop.includes('bitselect')))
  t.ok(loops.some((loop) => loop.includes('bitselect')))
})
