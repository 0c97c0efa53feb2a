// The WebGPU device, on a software driver, keeps what every device must.
import t from 'tap'
import { webgpuDevice } from '../../../../engine/device/webgpu/index.ts'
import { deviceContract } from '../../../contract/device.ts'
import { softwareEnvironment } from './device.ts'

t.test('the contract of devices', async (t) => {
  const environment = await softwareEnvironment(t)
  if (!environment) return
  await deviceContract(t, () =>
    webgpuDevice({ name: '/device:GPU:0', environment, allowSoftware: true }),
  )
})
