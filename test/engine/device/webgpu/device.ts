// What tests of the WebGPU device share: a device on the software driver, and one run of one kernel.

import type { Device, Submitted } from '../../../../engine/device/device.ts'
import {
  type WebgpuDevice,
  type WebgpuOptions,
  webgpuDevice,
} from '../../../../engine/device/webgpu/index.ts'
import type { Kernel } from '../../../../engine/ir/index.ts'
import { softwareVulkan } from '../../../helper/software-vulkan.ts'

interface Test {
  pass(message: string, extra: { readonly skip: string }): unknown
  fail(message: string): unknown
  teardown(end: () => Promise<void>): unknown
}

/** The environment of the software driver; undefined where there is none: skipped, failed under CI. */
export async function softwareEnvironment(
  t: Omit<Test, 'teardown'>,
): Promise<Record<string, string> | undefined> {
  const environment = await softwareVulkan()
  if (!environment && process.env.CI) t.fail('the software Vulkan driver is missing')
  else if (!environment) t.pass('a device', { skip: 'no software Vulkan driver for this machine' })
  return environment
}

/** A device on the software driver, closed with the test; undefined where there is none. */
export async function softwareDevice(
  t: Test,
  options: Partial<WebgpuOptions> = {},
): Promise<WebgpuDevice | undefined> {
  const environment = await softwareEnvironment(t)
  if (!environment) return undefined
  const name = '/device:GPU:0'
  const device = await webgpuDevice({ name, environment, allowSoftware: true, ...options })
  t.teardown(() => device.close())
  return device
}

/** Runs a kernel once on fresh buffers and reads all its outputs, those in place too. */
export async function runKernel(
  device: Device,
  kernel: Kernel,
  inputs: readonly Uint8Array[],
): Promise<Submitted> {
  const [id] = await device.compile([kernel])
  const fresh = kernel.outputs.filter(({ inPlaceOf }) => inPlaceOf === undefined)
  const bound = [...kernel.inputs, ...fresh]
  const buffers = bound.map((_, place) => place + 1)
  let next = kernel.inputs.length
  const results = kernel.outputs.map(({ inPlaceOf }) => buffers[inPlaceOf ?? next++])
  return device.submit([
    ...bound.map(({ dtype, elementCount }, place) => {
      return { kind: 'allocate', buffer: buffers[place], dtype, elementCount } as const
    }),
    ...inputs.map((bytes, place) => {
      return { kind: 'write', buffer: buffers[place], offset: 0, bytes } as const
    }),
    { kind: 'dispatch', kernel: id, buffers },
    ...results.map((buffer, place) => {
      const { elementCount } = kernel.outputs[place]
      return { kind: 'read', buffer, offset: 0, elementCount } as const
    }),
    ...buffers.map((buffer) => ({ kind: 'release', buffer }) as const),
  ])
}
