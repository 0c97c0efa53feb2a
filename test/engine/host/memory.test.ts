import t from 'tap'
import { wasmDevice } from '../../../engine/device/wasm/index.ts'
import { createEngineInThread } from '../../../engine/index.ts'
import { constant, f32, graphDef, node, type, variable } from '../graph-def.ts'
import { refusalOf } from '../session.ts'

const cpu = '/device:CPU:0'
const elementCount = 1000
const byteLength = 4 * elementCount
const large = { value: 100, dtype: 'float32', shape: [2 ** 25] } as const

/** An engine on a CPU device of `memoryBytes`; value `k` holds k everywhere. */
async function started(memoryBytes: number, idleMs?: number) {
  const device = await wasmDevice({ threads: 1, memoryBytes })
  const reads: number[] = []
  const engine = createEngineInThread({
    devices: [device],
    idleMs,
    readValue: async (value) => {
      reads.push(value)
      const count = value === large.value ? large.shape[0] : elementCount
      return new Uint8Array(new Float32Array(count).fill(value).buffer)
    },
  })
  return { engine, device, reads }
}

const bound = (value: number) => ({ value, dtype: 'float32', shape: [elementCount] }) as const

async function residents(engine: ReturnType<typeof createEngineInThread>) {
  const [{ resident }] = await engine.devices()
  return resident.map(({ value }) => value)
}

t.test(
  'a full device gives up the values that were used least recently, and no more',
  async (t) => {
    const { engine } = await started(4 * byteLength)
    t.teardown(() => engine.close())
    for (const value of [1, 2, 3, 4]) await engine.prefetch(cpu, [bound(value)])
    t.same(await residents(engine), [1, 2, 3, 4])
    await engine.prefetch(cpu, [bound(1)])
    await engine.prefetch(cpu, [bound(5)])
    t.same(await residents(engine), [3, 4, 1, 5], 'only the oldest, 2, had to go')
    const [{ memory }] = await engine.devices()
    t.match(memory, { liveBytes: 4 * byteLength, valueBytes: 4 * byteLength, spareBytes: 0 })
  },
)

t.test('a value that does not fit at all is refused, and work goes on', async (t) => {
  const { engine } = await started(byteLength / 2)
  t.teardown(() => engine.close())
  const refusal = await refusalOf(engine.prefetch(cpu, [bound(1)]))
  t.equal(refusal.reason, 'device/out-of-memory')
  t.same(await residents(engine), [])
})

t.test('a run needs its values and evicts the others', async (t) => {
  const graph = graphDef([
    variable('v', 'float32', [elementCount]),
    constant('axis', { dtype: 'int32', shape: [1], bytes: new Uint8Array(4) } as never),
    node('sum', 'Sum', ['v', 'axis'], { T: type('float32'), Tidx: type('int32') }),
  ])
  const { engine, reads } = await started(2 * byteLength + 512)
  t.teardown(() => engine.close())
  await engine.load('g', graph)
  for (const value of [1, 2, 3, 1]) {
    const binding = bound(value)
    const { fetches } = await engine.run({
      graph: 'g',
      feeds: {},
      fetches: ['sum'],
      targets: [],
      container: '',
      variables: [{ container: '', name: 'v', binding }],
      device: '',
    })
    t.match(fetches[0], f32([], [value * elementCount]))
  }
  t.same(reads, [1, 2, 3, 1], 'the evicted one was asked of the store again')
})

t.test('after a while without work, spare memory goes back and values come again', async (t) => {
  const { engine, device, reads } = await started(2 ** 30, 50)
  t.teardown(() => engine.close())
  await engine.prefetch(cpu, [large])
  t.same(await residents(engine), [large.value])
  await engine.evict(cpu)
  t.match(await device.memory(), { liveBytes: 0 }, 'evicted: on the free list of the device')
  const before = (await device.memory()).reservedBytes
  t.ok(before >= 2 ** 27)
  const end = Date.now() + 10_000
  while ((await device.memory()).reservedBytes === before && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.ok((await device.memory()).reservedBytes < 2 ** 20, 'begun anew')
  await engine.prefetch(cpu, [bound(1)])
  t.same(await residents(engine), [1])
  t.same(reads, [large.value, 1])
})
