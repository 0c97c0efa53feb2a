// What goes wrong on a GPU ends as a refusal, and the device works again afterwards.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Device } from '../../../../engine/device/device.ts'
import { Connection } from '../../../../engine/device/webgpu/connection.ts'
import { listAdapters, webgpuDevice } from '../../../../engine/device/webgpu/index.ts'
import {
  type CompileAnswer,
  jsonBody,
  kinds,
  type Program,
  parseJsonBody,
} from '../../../../engine/device/webgpu/protocol.ts'
import { runKernel, softwareDevice, softwareEnvironment } from './device.ts'
import { endlessKernel, mapKernel, wideKernel } from './kernels.ts'

const lostRefusal = { code: 'UNAVAILABLE', reason: 'device/lost' }
const identity = mapKernel('float32', 2, 1, (a) => a)
const ones = new Uint8Array(new Float32Array([1, 1]).buffer)

/** Whether a process is there; one that ended and waits to be reaped is not. */
function lives(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return !readFileSync(`/proc/${processId}/stat`, 'latin1').includes(') Z ')
  } catch {
    return false
  }
}

async function gone(processId: number): Promise<boolean> {
  for (let tries = 0; tries < 200 && lives(processId); tries++) await sleep(10)
  return !lives(processId)
}

async function works(device: Device): Promise<boolean> {
  const { reads } = await runKernel(device, identity, [ones])
  return Buffer.from(ones).equals(reads[0])
}

t.test('a killed process rejects what is under way and comes back empty', async (t) => {
  const device = await softwareDevice(t)
  if (!device) return
  const [endless] = await device.compile([endlessKernel()])
  await device.submit([
    { kind: 'allocate', buffer: 1, dtype: 'int32', elementCount: 64 },
    { kind: 'allocate', buffer: 2, dtype: 'int32', elementCount: 8192 },
  ])
  const before = device.processId ?? 0
  const running = device.submit([{ kind: 'dispatch', kernel: endless, buffers: [1, 2] }])
  const queued = device.memory()
  setTimeout(() => process.kill(before, 'SIGKILL'), 100)
  await t.rejects(running, lostRefusal)
  await t.rejects(queued, lostRefusal)
  t.equal(device.generation, 2)
  t.same(await device.memory(), { liveBuffers: 0, liveBytes: 0, reservedBytes: 0, kernels: 0 })
  const stale = device.submit([{ kind: 'dispatch', kernel: endless, buffers: [1, 2] }])
  await t.rejects(stale, lostRefusal, 'a kernel of the earlier life')
  const read = device.submit([{ kind: 'read', buffer: 1, offset: 0, elementCount: 1 }])
  await t.rejects(read, lostRefusal, 'a buffer of the earlier life')
  t.ok(await works(device))
  t.not(device.processId, before)
})

t.test('a lost GPU device ends like a killed process, as often as it happens', async (t) => {
  const device = await softwareDevice(t)
  if (!device) return
  for (let life = 1; life <= 4; life++) {
    t.ok(await works(device))
    t.equal(device.generation, life)
    await t.rejects(device.loseDevice(), lostRefusal)
  }
  t.ok(await works(device))
})

t.test('a kernel over its deadline ends its process', async (t) => {
  const device = await softwareDevice(t, { deadlineMs: 1500 })
  if (!device) return
  const started = Date.now()
  await t.rejects(runKernel(device, endlessKernel(), [new Uint8Array(256)]), {
    code: 'DEADLINE_EXCEEDED',
    reason: 'device/deadline',
  })
  t.ok(Date.now() - started < 20_000)
  t.equal(device.generation, 2)
  t.ok(await works(device))
})

t.test('memory over the budget is refused and changes nothing', async (t) => {
  const device = await softwareDevice(t, { memoryBytes: 1000 })
  if (!device) return
  const outOfMemory = { code: 'RESOURCE_EXHAUSTED', reason: 'device/out-of-memory' }
  const make = (buffer: number, elementCount: number) =>
    ({ kind: 'allocate', buffer, dtype: 'float32', elementCount }) as const
  await device.submit([make(1, 200)])
  const write = { kind: 'write', buffer: 1, offset: 0, bytes: ones } as const
  await t.rejects(device.submit([write, make(2, 51)]), outOfMemory, '800 and 204 bytes')
  await t.rejects(device.submit([{ ...make(2, 1), elementCount: 2 ** 29 }]), outOfMemory)
  const { reads } = await device.submit([{ kind: 'read', buffer: 1, offset: 0, elementCount: 2 }])
  t.same(reads, [new Uint8Array(8)])
  t.same(await device.memory(), { liveBuffers: 1, liveBytes: 800, reservedBytes: 800, kernels: 0 })
  await device.submit([{ kind: 'release', buffer: 1 }, make(2, 250)])
  t.same(await device.memory(), {
    liveBuffers: 1,
    liveBytes: 1000,
    reservedBytes: 1000,
    kernels: 0,
  })
  t.equal(device.generation, 1)
})

t.test('memory that the driver does not have is refused too', async (t) => {
  const device = await softwareDevice(t, { memoryBytes: 2 ** 45 })
  if (!device) return
  const elementCount = device.facts.maxBufferBytes / 4
  const huge = Array.from({ length: 64 }, (_, place) => {
    return { kind: 'allocate', buffer: place + 1, dtype: 'float32', elementCount } as const
  })
  await t.rejects(device.submit(huge), {
    code: 'RESOURCE_EXHAUSTED',
    reason: 'device/out-of-memory',
  })
  t.same(await device.memory(), { liveBuffers: 0, liveBytes: 0, reservedBytes: 0, kernels: 0 })
  t.ok(await works(device))
})

t.test('large, small and narrow reads come in their order, again and again', async (t) => {
  const device = await softwareDevice(t)
  if (!device) return
  const count = 200_000
  const words = Float32Array.from({ length: count }, (_, place) => place)
  const small = Int8Array.from({ length: count }, (_, place) => place)
  await device.submit([
    { kind: 'allocate', buffer: 1, dtype: 'float32', elementCount: count },
    { kind: 'allocate', buffer: 2, dtype: 'int8', elementCount: count },
    { kind: 'write', buffer: 1, offset: 0, bytes: new Uint8Array(words.buffer) },
    { kind: 'write', buffer: 2, offset: 0, bytes: new Uint8Array(small.buffer) },
  ])
  const rounds = Array.from({ length: 5 }, () =>
    device.submit([
      { kind: 'read', buffer: 2, offset: 3, elementCount: 2 },
      { kind: 'read', buffer: 1, offset: 0, elementCount: count },
      { kind: 'read', buffer: 1, offset: 7, elementCount: 1 },
      { kind: 'read', buffer: 2, offset: 0, elementCount: count },
    ]),
  )
  for (const { reads } of await Promise.all(rounds)) {
    t.same(reads[0], Uint8Array.of(3, 4))
    t.ok(Buffer.from(words.buffer).equals(reads[1]))
    t.same(reads[2], new Uint8Array(Float32Array.of(7).buffer))
    t.ok(Buffer.from(small.buffer).equals(reads[3]))
    t.same(
      reads.map((read) => read.byteLength),
      reads.map((read) => read.buffer.byteLength),
    )
  }
})

t.test('commands take effect in their order', async (t) => {
  const device = await softwareDevice(t)
  if (!device) return
  const [id] = await device.compile([identity])
  const twos = new Uint8Array(new Float32Array([2, 2]).buffer)
  const read = { kind: 'read', buffer: 2, offset: 0, elementCount: 2 } as const
  const make = { kind: 'allocate', buffer: 2, dtype: 'float32', elementCount: 2 } as const
  const { reads } = await device.submit([
    { ...make, buffer: 1 },
    make,
    { kind: 'write', buffer: 1, offset: 0, bytes: ones },
    { kind: 'dispatch', kernel: id, buffers: [1, 2] },
    { kind: 'write', buffer: 1, offset: 0, bytes: twos },
    read,
    { kind: 'copy', from: 1, to: 2 },
    read,
    { kind: 'release', buffer: 2 },
    make,
    read,
    { kind: 'dispatch', kernel: id, buffers: [1, 2] },
    read,
  ])
  t.same(reads, [ones, twos, new Uint8Array(8), twos])
  t.same(await device.memory(), { liveBuffers: 2, liveBytes: 16, reservedBytes: 16, kernels: 1 })
})

t.test('a list that makes no sense is our mistake and harms nothing', async (t) => {
  const device = await softwareDevice(t)
  if (!device) return
  const [id] = await device.compile([identity])
  const make = (buffer: number) =>
    ({ kind: 'allocate', buffer, dtype: 'float32', elementCount: 2 }) as const
  await device.submit([make(1), make(2)])
  const bad = [
    [make(1)],
    [{ kind: 'release', buffer: 9 }],
    [{ kind: 'dispatch', kernel: id, buffers: [1] }],
    [{ kind: 'dispatch', kernel: id, buffers: [1, 1] }],
    [{ kind: 'dispatch', kernel: id + 1, buffers: [1, 2] }],
    [{ kind: 'copy', from: 1, to: 1 }],
    [{ kind: 'read', buffer: 1, offset: 1, elementCount: 2 }],
    [{ kind: 'write', buffer: 1, offset: 2, bytes: ones }],
    [{ kind: 'write', buffer: 1, offset: 0, bytes: ones.subarray(1) }],
  ] as const
  for (const commands of bad) await t.rejects(device.submit(commands), Error)
  t.same(await device.memory(), { liveBuffers: 2, liveBytes: 16, reservedBytes: 16, kernels: 1 })
})

t.test('a kernel with more buffers or other types than the device has is refused', async (t) => {
  const device = await softwareDevice(t)
  if (!device) return
  const { maxBuffersPerKernel } = device.facts
  await t.rejects(device.compile([wideKernel(maxBuffersPerKernel)]), {
    code: 'UNIMPLEMENTED',
    reason: 'device/too-many-buffers',
  })
  const most = wideKernel(maxBuffersPerKernel - 1)
  const { reads } = await runKernel(
    device,
    most,
    most.inputs.map(() => ones),
  )
  t.same([...new Float32Array(reads[0].buffer)], [most.inputs.length, most.inputs.length])
  await t.rejects(device.compile([mapKernel('float64', 2, 1, (a) => a)]), {
    code: 'UNIMPLEMENTED',
    reason: 'device/unsupported-type',
  })
})

t.test('a shader that does not compile says why, and the process goes on', async (t) => {
  const environment = await softwareEnvironment(t)
  if (!environment) return
  const [{ backend, name }] = await listAdapters({ environment })
  const connection = new Connection({ environment, deadlineMs: 10_000, log: () => undefined })
  t.teardown(() => connection.end('the test is over'))
  await connection.ask(kinds.open, [jsonBody({ backend, name, memoryBytes: 1000 })])
  const program = (id: number, wgsl: string): Program => {
    return { id, wgsl, bindings: [], workgroups: [1, 1, 1], statusWords: 0 }
  }
  const body = jsonBody([
    program(1, 'fn main( {'),
    program(2, '@compute @workgroup_size(1) fn main() {}'),
    program(3, '@compute @workgroup_size(4096) fn main() {}'),
  ])
  const compiled = await connection.ask(kinds.compile, [body])
  const answer = parseJsonBody<CompileAnswer>(compiled.body)
  t.match(answer[0], /expected '\)'/)
  t.equal(answer[1], null)
  t.match(answer[2], /4096/)
  const memory = parseJsonBody((await connection.ask(kinds.memory, [])).body)
  t.same(memory, { liveBuffers: 0, liveBytes: 0, reservedBytes: 0, kernels: 1 })
})

t.test('closing leaves no process, and nothing is answered afterwards', async (t) => {
  const device = await softwareDevice(t)
  if (!device) return
  const { processId = 0 } = device
  t.ok(lives(processId))
  const pending = t.rejects(device.memory(), { code: 'UNAVAILABLE' })
  await device.close()
  await pending
  t.notOk(lives(processId))
  t.equal(device.processId, undefined)
  await t.rejects(device.memory(), { code: 'UNAVAILABLE', reason: 'device/closed' })
  await device.close()
})

t.test('the process ends by itself when its parent is killed', async (t) => {
  if (!(await softwareEnvironment(t))) return
  const parent = spawn(process.execPath, [join(import.meta.dirname, 'orphan.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const processId = await new Promise<number>((resolve) => {
    parent.stdout.once('data', (chunk) => resolve(Number(chunk)))
  })
  t.ok(lives(processId))
  parent.kill('SIGKILL')
  t.ok(await gone(processId))
})

t.test('a software adapter is never taken unasked, and no driver means no adapter', async (t) => {
  const environment = await softwareEnvironment(t)
  if (!environment) return
  const found = await listAdapters({ environment })
  t.match(found, [{ name: /SwiftShader/, backend: 'vulkan', software: true }])
  const refusal = { code: 'UNAVAILABLE', reason: 'device/no-adapter' }
  await t.rejects(webgpuDevice({ name: '/device:GPU:0', environment }), refusal)
  const second = { name: '/device:GPU:1', environment, allowSoftware: true }
  await t.rejects(webgpuDevice(second), refusal)
})
