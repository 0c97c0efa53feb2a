// What devices promise about buffers: bytes come back as written, new buffers are zeros, lists are run in
// order, memory returns, and what is too large is refused with nothing changed.
import type { Test } from 'tap'
import type { BufferId, Command, Device, KernelId } from '../../../engine/device/device.ts'
import { scalarTypes } from '../../../engine/ir/index.ts'
import { byteLengthOf, Refusal } from '../../../tensor/index.ts'
import { bytesOf, valuesOf } from './bench.ts'
import { elementwise } from './kernels.ts'
import { edgesOf, operandsFor, sequence } from './samples.ts'

const f32 = 'float32' as const

function floats(...values: number[]): Uint8Array {
  return bytesOf({ dtype: f32, values })
}

/** All facts about memory. */
export async function memoryFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  await t.test('elements of every type come back as they were written', async (t) =>
    roundTripFacts(t, device, number),
  )
  await t.test('a new buffer is zeros, also where another one was before', async (t) =>
    zeroFacts(t, device, number),
  )
  await t.test('the commands of a list run in their order', async (t) =>
    orderFacts(t, device, number),
  )
  await t.test('memory comes back when buffers are released', async (t) => {
    const before = await device.memory()
    const buffers = [number(), number(), number()]
    await device.submit(
      buffers.map((buffer) => ({ kind: 'allocate', buffer, dtype: f32, elementCount: 1000 })),
    )
    const during = await device.memory()
    t.equal(during.liveBuffers - before.liveBuffers, 3)
    t.ok(during.liveBytes - before.liveBytes >= 12_000, 'at least the bytes of their elements')
    await device.submit(buffers.map((buffer) => ({ kind: 'release', buffer })))
    const after = await device.memory()
    t.equal(after.liveBuffers, before.liveBuffers)
    t.equal(after.liveBytes, before.liveBytes)
  })
  await t.test(
    'a buffer that is too large is refused, and nothing of its list is done',
    async (t) => refusalFacts(t, device, number),
  )
  const missing = scalarTypes.filter((type) => !device.facts.types.has(type))
  const skip = missing.length === 0 && 'the device has every type'
  await t.test('types that the device does not have are refused', { skip }, async (t) => {
    for (const dtype of missing) {
      await t.rejects(
        device.compile([elementwise(dtype, 4, (_, x) => x)]),
        `${dtype} is not compiled`,
      )
    }
  })
  await t.test('the same kernel compiled again runs as well', async (t) => {
    const kernel = elementwise(f32, 3, ({ add }, x) => add(x, x))
    const [[first], [second]] = [await device.compile([kernel]), await device.compile([kernel])]
    const [a, b] = [number(), number()]
    const { reads } = await device.submit([
      { kind: 'allocate', buffer: a, dtype: f32, elementCount: 3 },
      { kind: 'allocate', buffer: b, dtype: f32, elementCount: 3 },
      { kind: 'write', buffer: a, offset: 0, bytes: floats(1, 2, 3) },
      { kind: 'dispatch', kernel: first as KernelId, buffers: [a, b] },
      { kind: 'dispatch', kernel: second as KernelId, buffers: [b, a] },
      { kind: 'read', buffer: a, offset: 0, elementCount: 3 },
      { kind: 'release', buffer: a },
      { kind: 'release', buffer: b },
    ])
    t.same(valuesOf(f32, reads[0] as Uint8Array), [4, 8, 12])
  })
  await t.test('an empty list is answered', async (t) => {
    t.same(await device.submit([]), { reads: [], failure: undefined })
    t.same(await device.compile([]), [])
  })
}

async function roundTripFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const random = sequence(3)
  for (const dtype of device.facts.types) {
    const odd = operandsFor([dtype], 61, random).flat()
    const values = [...edgesOf(dtype), ...odd]
    const size = byteLengthOf(dtype)
    const [whole, parts] = [number(), number()]
    const elementCount = values.length
    const bytes = bytesOf({ dtype, values })
    const cut = 5
    const { reads } = await device.submit([
      { kind: 'allocate', buffer: whole, dtype, elementCount },
      { kind: 'write', buffer: whole, offset: 0, bytes },
      { kind: 'read', buffer: whole, offset: 0, elementCount },
      { kind: 'allocate', buffer: parts, dtype, elementCount },
      { kind: 'write', buffer: parts, offset: cut, bytes: bytes.slice(cut * size) },
      { kind: 'write', buffer: parts, offset: 0, bytes: bytes.slice(0, cut * size) },
      { kind: 'read', buffer: parts, offset: 0, elementCount },
      { kind: 'read', buffer: parts, offset: 3, elementCount: 7 },
      { kind: 'copy', from: whole, to: parts },
      { kind: 'read', buffer: parts, offset: elementCount - 1, elementCount: 1 },
      { kind: 'release', buffer: whole },
      { kind: 'release', buffer: parts },
    ])
    const read = reads.map((bytes) => valuesOf(dtype, bytes))
    t.same(read[0], values, `${dtype}: whole`)
    t.same(read[1], values, `${dtype}: written in two parts`)
    t.same(read[2], values.slice(3, 10), `${dtype}: a part`)
    t.same(read[3], values.slice(-1), `${dtype}: the last, after a copy`)
  }
}

async function zeroFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const elementCount = 333
  const full = floats(...Array.from({ length: elementCount }, () => 7))
  for (let round = 0; round < 3; round++) {
    const buffer = number()
    const { reads } = await device.submit([
      { kind: 'allocate', buffer, dtype: f32, elementCount },
      { kind: 'read', buffer, offset: 0, elementCount },
      { kind: 'write', buffer, offset: 0, bytes: full },
      { kind: 'release', buffer },
      { kind: 'allocate', buffer, dtype: f32, elementCount },
      { kind: 'read', buffer, offset: 0, elementCount },
      { kind: 'write', buffer, offset: 0, bytes: full },
      { kind: 'release', buffer },
    ])
    t.ok(
      reads[0]?.every((byte) => byte === 0),
      'zeros in a new buffer',
    )
    t.ok(
      reads[1]?.every((byte) => byte === 0),
      'zeros where a number was used again',
    )
  }
}

async function orderFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const step = elementwise(f32, 5, ({ build, add, mul }, x) =>
    add(mul(x, build.constant(f32, 0.5)), build.constant(f32, 3)),
  )
  const [id] = await device.compile([step])
  const [a, b] = [number(), number()]
  const commands: Command[] = [
    { kind: 'allocate', buffer: a, dtype: f32, elementCount: 5 },
    { kind: 'allocate', buffer: b, dtype: f32, elementCount: 5 },
    { kind: 'write', buffer: a, offset: 0, bytes: floats(0, 1, 2, 3, 4) },
  ]
  let want = [0, 1, 2, 3, 4]
  const wanted: number[][] = []
  for (let round = 0; round < 100; round++) {
    const buffers = round % 2 === 0 ? [a, b] : [b, a]
    commands.push({ kind: 'dispatch', kernel: id as KernelId, buffers })
    want = want.map((x) => Math.fround(Math.fround(x * 0.5) + 3))
    if (round % 25 !== 24) continue
    commands.push({ kind: 'read', buffer: buffers[1] as BufferId, offset: 0, elementCount: 5 })
    wanted.push(want)
    const overwritten = buffers[1] as BufferId
    commands.push({ kind: 'write', buffer: overwritten, offset: 2, bytes: floats(round) })
    want = want.map((x, place) => (place === 2 ? round : x))
  }
  commands.push({ kind: 'release', buffer: a }, { kind: 'release', buffer: b })
  const { reads } = await device.submit(commands)
  t.same(
    reads.map((bytes) => valuesOf(f32, bytes).map((value) => Number(value).toPrecision(6))),
    wanted.map((list) => list.map((value) => value.toPrecision(6))),
    'a hundred dispatches with reads and writes between them',
  )
}

async function refusalFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const { maxBufferBytes } = device.facts
  const before = await device.memory()
  const [kept, fresh, huge] = [number(), number(), number()]
  await device.submit([
    { kind: 'allocate', buffer: kept, dtype: f32, elementCount: 2 },
    { kind: 'write', buffer: kept, offset: 0, bytes: floats(1, 2) },
  ])
  const elementCount = Math.floor(maxBufferBytes / 4) + 64
  const refused = device.submit([
    { kind: 'write', buffer: kept, offset: 0, bytes: floats(8, 9) },
    { kind: 'allocate', buffer: fresh, dtype: f32, elementCount: 10 },
    { kind: 'allocate', buffer: huge, dtype: f32, elementCount },
  ])
  const error: unknown = await refused.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  t.ok(error instanceof Refusal, 'a Refusal')
  t.match(error, { code: 'RESOURCE_EXHAUSTED', reason: 'device/out-of-memory' })
  const { reads } = await device.submit([
    { kind: 'read', buffer: kept, offset: 0, elementCount: 2 },
    { kind: 'release', buffer: kept },
  ])
  t.same(valuesOf(f32, reads[0] as Uint8Array), [1, 2], 'the write before it did not happen')
  t.same(await device.memory(), before, 'and nothing was allocated')
}
