// Run as a program of its own by robustness.test.ts: opens a device, prints the number of its process,
// and waits to be killed.
import { webgpuDevice } from '../../../../engine/device/webgpu/index.ts'
import { softwareVulkan } from '../../../helper/software-vulkan.ts'

const environment = await softwareVulkan()
const device = await webgpuDevice({
  name: '/device:GPU:0',
  allowSoftware: true,
  ...(environment && { environment }),
})
console.log(device.processId)
setInterval(() => undefined, 1000)
