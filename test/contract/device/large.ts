// Kernels with more iterations than a grid has workgroups on one axis, and expressions that are deep.
import type { Test } from 'tap'
import type { BufferId, Device, KernelId } from '../../../engine/device/device.ts'
import { valuesOf } from './bench.ts'
import { elementwise } from './kernels.ts'

/** All facts about size. */
export async function largeFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  await t.test('a chain of two thousand operations', async (t) => {
    const kernel = elementwise('int32', 3, ({ apply, int }, x) => {
      let value = x
      for (let step = 0; step < 1000; step++) {
        value = apply('bitwise_xor', apply('mul', value, int(5)), int(step))
      }
      return value
    })
    const bytes = new Uint8Array(new Int32Array([1, 2, 3]).buffer)
    const [id] = await device.compile([kernel])
    const [a, b] = [number(), number()]
    const { reads } = await device.submit([
      { kind: 'allocate', buffer: a, dtype: 'int32', elementCount: 3 },
      { kind: 'allocate', buffer: b, dtype: 'int32', elementCount: 3 },
      { kind: 'write', buffer: a, offset: 0, bytes },
      { kind: 'dispatch', kernel: id as KernelId, buffers: [a, b] },
      { kind: 'read', buffer: b, offset: 0, elementCount: 3 },
      { kind: 'release', buffer: a },
      { kind: 'release', buffer: b },
    ])
    const want = [1, 2, 3].map((x) => {
      let value = x
      for (let step = 0; step < 1000; step++) value = Math.imul(value, 5) ^ step
      return value
    })
    t.same(valuesOf('int32', reads[0] as Uint8Array), want)
  })
  const skip = device.facts.kind === 'reference' && 'an interpreter takes too long for it'
  await t.test('more than 65,535 workgroups of 64', { skip }, async (t) => {
    const count = 65_535 * 64 + 77
    const kernel = elementwise('int32', count, ({ build, add }, x) => add(x, build.loop(0, count)))
    const [id] = await device.compile([kernel])
    const [a, b] = [number(), number()]
    const { reads } = await device.submit([
      { kind: 'allocate', buffer: a, dtype: 'int32', elementCount: count },
      { kind: 'allocate', buffer: b, dtype: 'int32', elementCount: count },
      { kind: 'dispatch', kernel: id as KernelId, buffers: [a, b] },
      { kind: 'read', buffer: b, offset: 0, elementCount: 2 },
      { kind: 'read', buffer: b, offset: 65_535 * 32 - 1, elementCount: 2 },
      { kind: 'read', buffer: b, offset: count - 2, elementCount: 2 },
      { kind: 'release', buffer: a },
      { kind: 'release', buffer: b },
    ])
    const starts = [0, 65_535 * 32 - 1, count - 2]
    for (const [place, start] of starts.entries()) {
      t.same(valuesOf('int32', reads[place] as Uint8Array), [start, start + 1])
    }
  })
}
