import t from 'tap'
import type { Command } from '../../../../engine/device/device.ts'
import { Buffers } from '../../../../engine/device/wasm/buffers.ts'
import { wasmDevice } from '../../../../engine/device/wasm/index.ts'
import { DeviceHeap, largestMemoryBytes } from '../../../../engine/device/wasm/memory.ts'

const allocate = (buffer: number, elementCount: number): Command => ({
  kind: 'allocate',
  buffer,
  dtype: 'uint8',
  elementCount,
})
const release = (buffer: number): Command => ({ kind: 'release', buffer })

t.test('blocks are aligned, apart, and used again', async (t) => {
  const heap = new DeviceHeap()
  const [a, b, c] = [heap.allocate(1)!, heap.allocate(100)!, heap.allocate(64)!]
  for (const { address, fresh } of [a, b, c]) {
    t.equal(address % 64, 0)
    t.equal(fresh, true)
  }
  t.ok(b.address >= a.address + 1 + 16, 'sixteen bytes behind a block can be read')
  heap.release(b.address)
  heap.release(a.address)
  t.same(heap.allocate(150), { address: a.address, fresh: false }, 'neighbours were merged')
})

t.test('a released block can be taken back where it was', async (t) => {
  const heap = new DeviceHeap()
  const [a, b, c] = [heap.allocate(64)!, heap.allocate(64)!, heap.allocate(64)!]
  heap.release(a.address)
  heap.release(b.address)
  heap.reclaim(b.address, 64)
  t.same(heap.allocate(64), { address: a.address, fresh: false })
  heap.release(c.address)
  t.ok(heap.allocate(64)!.address !== b.address)
})

t.test('a block at the end of what was used grows instead of leaving a hole', async (t) => {
  const heap = new DeviceHeap()
  const { address } = heap.allocate(1000)!
  heap.release(address)
  t.same(heap.allocate(5_000_000), { address, fresh: false })
  t.ok(heap.bytes.length >= address + 5_000_000)
})

t.test('more than 4 GiB is no block', async (t) => {
  const heap = new DeviceHeap()
  t.equal(heap.allocate(largestMemoryBytes), undefined)
  t.ok(heap.allocate(64), 'and the heap works on')
})

t.test('a list that does not fit is refused whole, with nothing changed', async (t) => {
  const device = await wasmDevice({ threads: 1, memoryBytes: 1000 })
  t.teardown(() => device.close())
  await device.submit([
    allocate(1, 600),
    { kind: 'write', buffer: 1, offset: 599, bytes: Uint8Array.of(7) },
  ])
  const list = [release(1), allocate(2, 900), allocate(3, 200)]
  await t.rejects(device.submit(list), {
    code: 'RESOURCE_EXHAUSTED',
    reason: 'device/out-of-memory',
  })
  t.match(await device.memory(), { liveBuffers: 1, liveBytes: 600 })
  const read: Command = { kind: 'read', buffer: 1, offset: 598, elementCount: 2 }
  const { reads } = await device.submit([read])
  t.same(reads[0], Uint8Array.of(0, 7), 'the released buffer is still there')
  await device.submit([release(1), allocate(2, 900), release(2), allocate(3, 200)])
  t.match(await device.memory(), { liveBuffers: 1, liveBytes: 200 })
})

t.test('what a list releases, a later buffer of the list may use, as zeros', async (t) => {
  const heap = new DeviceHeap()
  const buffers = new Buffers(heap, 10_000)
  const [first] = buffers.plan([allocate(1, 500)])
  buffers.allocate(1, first!)
  heap.bytes.fill(9, buffers.get(1).address, buffers.get(1).address + 500)
  const { address } = buffers.get(1)
  const [second] = buffers.plan([release(1), allocate(2, 500)])
  t.equal(heap.bytes[address], 9, 'planning changes no bytes')
  buffers.release(1)
  buffers.allocate(2, second!)
  t.equal(buffers.get(2).address, address)
  t.ok(heap.bytes.subarray(address, address + 500).every((byte) => byte === 0))
})

t.test('a list with a mistake in it leaves buffers and memory in agreement', async (t) => {
  const device = await wasmDevice({ threads: 1, memoryBytes: 1000 })
  t.teardown(() => device.close())
  const beyond: Command = { kind: 'write', buffer: 1, offset: 99, bytes: Uint8Array.of(1, 2) }
  await t.rejects(device.submit([allocate(1, 100), beyond, allocate(2, 300), release(1)]))
  t.match(await device.memory(), { liveBuffers: 1, liveBytes: 300 })
  await t.rejects(device.submit([allocate(3, 100), release(4)]), 'nor one that releases nothing')
  t.match(await device.memory(), { liveBuffers: 1, liveBytes: 300 })
  await device.submit([release(2), allocate(5, 1000)])
})

t.test('a renewed device is empty, works, and has given its memory back', async (t) => {
  const device = await wasmDevice({ threads: 2 })
  t.teardown(() => device.close())
  const mebibyte = 2 ** 20
  const size = 192 * mebibyte
  const before = process.memoryUsage().rss
  await device.submit([allocate(1, size)])
  const bytes = new Uint8Array(mebibyte).fill(1)
  for (let offset = 0; offset < size; offset += mebibyte) {
    await device.submit([{ kind: 'write', buffer: 1, offset, bytes }])
  }
  await device.submit([release(1)])
  t.ok((await device.memory()).reservedBytes >= size, 'what was released is kept for others')
  const { generation } = device
  t.equal(await device.renew(), true)
  t.equal(device.generation, generation + 1)
  t.match(await device.memory(), { liveBuffers: 0, liveBytes: 0, kernels: 0 })
  t.ok((await device.memory()).reservedBytes < mebibyte)
  await device.submit([allocate(1, 100)])
  const read: Command = { kind: 'read', buffer: 1, offset: 98, elementCount: 2 }
  t.same((await device.submit([read])).reads, [Uint8Array.of(0, 0)])
  t.ok(process.memoryUsage().rss - before < size / 2, 'the system has it again')
})
