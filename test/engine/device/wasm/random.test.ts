// Random kernels, under the tiling that is chosen and under others, against the interpreter.
import t from 'tap'
import { interpret } from '../../../../engine/device/reference/interpret.ts'
import { lowering, mapKernel } from '../../../../engine/device/wasm/lower.ts'
import { expressionBuilder, type Kernel, verifyKernel } from '../../../../engine/ir/index.ts'
import { collapseLoops } from '../../../../engine/tile/collapse.ts'
import { chooseWasmTiling, type ForcedWasmTiling } from '../../../../engine/tile/wasm.ts'
import { byteLengthOf, elementArrayOf } from '../../../../tensor/index.ts'
import { Dice, type RandomKernel, randomKernel } from './random-kernel.ts'
import { runKernel } from './run.ts'

/** A tiling that the rules would not choose, legal all the same. */
function oddTiling(kernel: Kernel, dice: Dice): ForcedWasmTiling {
  const build = expressionBuilder()
  const collapsed = mapKernel(collapseLoops(kernel, build), lowering(build))
  const extents = [...collapsed.loops, ...collapsed.reduced]
  const { lanes } = chooseWasmTiling(collapsed, { registers: 15 })
  const order = collapsed.loops.map((_, axis) => axis)
  if (dice.roll(2) === 0) order.reverse()
  const unroll = extents.map(() => 1 + dice.roll(3))
  if (lanes === 1 || extents.length === 0) return { lanes: 1, laneAxis: undefined, unroll, order }
  const staging = dice.roll(2) === 0
  return { lanes, laneAxis: dice.roll(extents.length), unroll, order, staging }
}

function failureOf(kernel: Kernel, least: bigint | undefined) {
  if (least === undefined) return undefined
  const checks = BigInt(kernel.checks.length)
  const position: number[] = []
  let rest = least / checks
  for (const extent of [...kernel.loops, ...kernel.reduced].reverse()) {
    position.unshift(Number(rest % BigInt(extent)))
    rest /= BigInt(extent)
  }
  return { code: kernel.checks[Number(least % checks)]!.code, position }
}

/** What differs from the interpreter, or undefined. */
function difference({ kernel, inputs }: RandomKernel, tiling?: ForcedWasmTiling) {
  const want = kernel.outputs.map(
    ({ dtype, elementCount }) => new Uint8Array(elementCount * byteLengthOf(dtype)),
  )
  const failure = interpret(
    kernel,
    inputs.map((bytes, at) => elementArrayOf(kernel.inputs[at]!.dtype, bytes.slice())),
    want.map((bytes, at) => elementArrayOf(kernel.outputs[at]!.dtype, bytes)),
  )
  const ran = runKernel(kernel, inputs, { tiling, pieces: 2 })
  const gotFailure = failureOf(kernel, ran.failure)
  if (JSON.stringify(gotFailure) !== JSON.stringify(failure)) return { failure, gotFailure }
  if (failure !== undefined) return undefined
  const at = want.findIndex((bytes, place) => Buffer.compare(bytes, ran.outputs[place]!) !== 0)
  return at < 0 ? undefined : { output: at, want: want[at], got: ran.outputs[at] }
}

t.test(
  'random kernels give the bytes and failures of the interpreter, however tiled',
  async (t) => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = randomKernel(seed)
      verifyKernel(random.kernel)
      t.equal(difference(random), undefined, `seed ${seed}, tiling as chosen`)
      const dice = new Dice(seed)
      for (let choice = 0; choice < 2; choice++) {
        const tiling = oddTiling(random.kernel, dice)
        t.equal(difference(random, tiling), undefined, `seed ${seed}, ${JSON.stringify(tiling)}`)
      }
    }
  },
)
