import t from 'tap'
import type { Command, Device, KernelId } from '../../../../engine/device/device.ts'
import { wasmDevice } from '../../../../engine/device/wasm/index.ts'
import { type Expression, expressionBuilder, type Kernel } from '../../../../engine/ir/index.ts'
import { gather, product, rowSum } from './kernels.ts'

const bytesOf = (array: Float32Array | Int32Array) => new Uint8Array(array.buffer)
const floatsOf = (bytes: Uint8Array) => new Float32Array(bytes.buffer)

async function runOn(device: Device, kernel: Kernel, inputs: readonly Uint8Array[]) {
  const [id] = (await device.compile([kernel])) as [KernelId]
  const all = [...kernel.inputs, ...kernel.outputs]
  const commands: Command[] = all.map((buffer, at) => ({ kind: 'allocate', buffer: at, ...buffer }))
  for (const [at, bytes] of inputs.entries()) {
    commands.push({ kind: 'write', buffer: at, offset: 0, bytes })
  }
  commands.push({ kind: 'dispatch', kernel: id, buffers: all.map((_, at) => at) })
  for (const [at, { elementCount }] of kernel.outputs.entries()) {
    commands.push({ kind: 'read', buffer: kernel.inputs.length + at, offset: 0, elementCount })
  }
  for (const at of all.keys()) commands.push({ kind: 'release', buffer: at })
  return device.submit(commands)
}

t.test('two threads give the bytes of one', async (t) => {
  const [one, two] = [await wasmDevice({ threads: 1 }), await wasmDevice({ threads: 2 })]
  t.teardown(() => Promise.all([one.close(), two.close()]))
  const kernel = product(301, 130, 151)
  const inputs = kernel.inputs.map(({ elementCount }) =>
    bytesOf(Float32Array.from({ length: elementCount }, (_, at) => Math.sin(at))),
  )
  const want = await runOn(one, kernel, inputs)
  for (let turn = 0; turn < 20; turn++) {
    const got = await runOn(two, kernel, inputs)
    t.ok(Buffer.compare(want.reads[0]!, got.reads[0]!) === 0, `turn ${turn}`)
  }
})

t.test('of all failures the first is told, whichever thread finds it', async (t) => {
  const device = await wasmDevice({ threads: 2 })
  t.teardown(() => device.close())
  const count = 200_000
  const kernel = gather(10, 4, count)
  const table = bytesOf(Float32Array.from({ length: 40 }, (_, at) => at))
  const rows = new Int32Array(count).map((_, at) => at % 10)
  for (const first of [150_001, 70_003, 5]) {
    rows[first] = first % 2 === 0 ? -1 : 2 ** 31 - 1
    const { failure } = await runOn(device, kernel, [table, bytesOf(rows)])
    t.same(failure, { command: 5, code: 42, position: [first, 0] })
  }
  rows.fill(3)
  const { failure, reads } = await runOn(device, kernel, [table, bytesOf(rows)])
  t.equal(failure, undefined)
  t.same(floatsOf(reads[0]!.slice(0, 16)), Float32Array.of(12, 13, 14, 15))
})

t.test('positions that no check lets pass read nothing outside of the buffer', async (t) => {
  const device = await wasmDevice({ threads: 1 })
  t.teardown(() => device.close())
  const kernel = gather(3, 4, 5)
  const table = bytesOf(Float32Array.from({ length: 12 }, () => 1))
  for (const row of [3, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 28]) {
    const rows = bytesOf(new Int32Array(5).fill(row))
    const { failure, reads } = await runOn(device, kernel, [table, rows])
    t.same(failure?.position, [0, 0])
    t.ok(
      floatsOf(reads[0]!).every((value) => value === 1),
      `row ${row}`,
    )
  }
})

t.test('the same kernel made twice is one kernel', async (t) => {
  const device = await wasmDevice({ threads: 1 })
  t.teardown(() => device.close())
  const [a, b] = await device.compile([product(4, 5, 6), product(4, 5, 6)])
  const [c, d] = await device.compile([product(4, 5, 6), product(4, 5, 7)])
  t.equal(a, b)
  t.equal(a, c)
  t.not(a, d)
  t.equal((await device.memory()).kernels, 2)
})

t.test('a chain of five thousand operations on ten inputs is compiled', async (t) => {
  const device = await wasmDevice({ threads: 1 })
  t.teardown(() => device.close())
  const build = expressionBuilder()
  const at = build.loop(0, 9)
  let value: Expression = build.load('float32', 0, at)
  for (let step = 0; step < 5000; step++) {
    const other = build.load('float32', step % 10, at)
    value = build.apply(step % 2 === 0 ? 'sub' : 'add', [value, other])
  }
  const buffer = { dtype: 'float32', elementCount: 9 } as const
  const kernel: Kernel = {
    inputs: Array.from({ length: 10 }, () => buffer),
    outputs: [buffer],
    loops: [9],
    reduced: [],
    reductions: [],
    stores: [{ output: 0, index: at, value }],
    checks: [],
  }
  const inputs = Array.from({ length: 10 }, (_, input) =>
    bytesOf(Float32Array.from({ length: 9 }, (_, element) => input + 16 * element)),
  )
  const { reads } = await runOn(device, kernel, inputs)
  // Inputs 1, 3, .. are added and 0, 2, .. subtracted, 500 times each: 5 * 500 more than input 0.
  const want = Float32Array.from({ length: 9 }, (_, element) => 16 * element + 2500)
  t.same(floatsOf(reads[0]!), want)
})

t.test('loops of no iterations, and of one, do what there is to do', async (t) => {
  const device = await wasmDevice({ threads: 2 })
  t.teardown(() => device.close())
  const nothing = await runOn(device, rowSum(0, 5), [new Uint8Array(0)])
  t.equal(nothing.reads[0]?.length, 0)
  const empty = await runOn(device, rowSum(3, 0), [new Uint8Array(0)])
  t.same(floatsOf(empty.reads[0]!), Float32Array.of(0, 0, 0))
  const one = await runOn(device, rowSum(1, 1), [bytesOf(Float32Array.of(5))])
  t.same(floatsOf(one.reads[0]!), Float32Array.of(5))
})

t.test('a device says what it is, and ends its threads', async (t) => {
  const device = await wasmDevice({ threads: 3 })
  t.match(device.facts, { name: '/device:CPU:0', kind: 'wasm', limits: { threads: 3 } })
  t.equal(device.facts.memoryBytes, 2 ** 32 - 65_536)
  await device.close()
})
