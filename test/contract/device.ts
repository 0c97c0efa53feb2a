// What every device must do, as one suite of facts. A device's own test calls it.
import type { Test } from 'tap'
import type { Device } from '../../engine/device/device.ts'
import { bufferNumbers } from './device/bench.ts'
import { largeFacts } from './device/large.ts'
import { memoryFacts } from './device/memory.ts'
import { positionFacts } from './device/positions.ts'
import { reductionFacts } from './device/reductions.ts'
import { rowFacts } from './device/rows.ts'

/**
 * Runs the suite on one device, which it makes and closes. Small enough for a software GPU: a few
 * hundred kernels of some hundred iterations.
 */
export async function deviceContract(t: Test, makeDevice: () => Promise<Device>): Promise<void> {
  const device = await makeDevice()
  t.teardown(() => device.close())
  const number = bufferNumbers()
  const before = await device.memory()
  await t.test('buffers and lists', (t) => memoryFacts(t, device, number))
  await t.test('positions', (t) => positionFacts(t, device, number))
  await t.test('reductions', (t) => reductionFacts(t, device, number))
  await t.test('rows', (t) => rowFacts(t, device, number))
  await t.test('large kernels', (t) => largeFacts(t, device, number))
  await t.test('nothing is left behind', async (t) => {
    const after = await device.memory()
    t.equal(after.liveBuffers, before.liveBuffers)
    t.equal(after.liveBytes, before.liveBytes)
  })
}
