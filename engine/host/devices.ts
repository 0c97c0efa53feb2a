// Opens the devices that an engine was asked for, in the order in which its kernels try them.
import { Refusal } from '../../tensor/index.ts'
import type { Device } from '../device/device.ts'
import { referenceDevice } from '../device/reference/index.ts'
import { compileOptimizedAtOnce, wasmDevice } from '../device/wasm/index.ts'
import { listAdapters, webgpuDevice } from '../device/webgpu/index.ts'
import type { EngineOptions } from '../engine.ts'

/** What of the engine's options concerns devices; it can cross to a worker. */
export type DeviceOptions = Pick<
  EngineOptions,
  'device' | 'threads' | 'memoryBytes' | 'gpuEnvironment' | 'allowSoftwareGpu'
>

type Log = NonNullable<EngineOptions['log']>

/**
 * The devices of an engine, the default one first; the CPU is always among them. Refuses a device
 * that does not exist (NOT_FOUND, `device/unknown`) and a GPU that is not there (UNAVAILABLE).
 */
export async function openDevices(options: DeviceOptions, log: Log): Promise<readonly Device[]> {
  if (options.device === 'reference') return [referenceDevice()]
  compileOptimizedAtOnce()
  const cpu = await wasmDevice({
    threads: options.threads,
    memoryBytes: options.memoryBytes?.cpu,
    log,
  })
  try {
    if (options.device === cpu.facts.name) return [cpu]
    if (options.device === 'auto') return [...(await realGpus(options, log)), cpu]
    if (/^\/device:GPU:\d+$/.test(options.device)) {
      return [await openGpu(options.device, undefined, options, log), cpu]
    }
    throw unknownDevice(options.device, 'auto, reference, /device:CPU:0 or /device:GPU:0')
  } catch (error) {
    await cpu.close()
    throw error
  }
}

/** The refusal of a device that is not there. */
export function unknownDevice(device: string, wanted?: string): Refusal {
  const what = `There is no device "${device}"${wanted === undefined ? '' : `; wanted ${wanted}`}.`
  return new Refusal('NOT_FOUND', 'device/unknown', what, { names: { device } })
}

/** Every adapter that is no software driver; none where WebGPU cannot be had at all. */
async function realGpus(options: DeviceOptions, log: Log): Promise<readonly Device[]> {
  const environment = options.gpuEnvironment ?? {}
  try {
    const adapters = await listAdapters({ environment, log: (line) => log('info', line) })
    const real = adapters.filter((adapter) => !adapter.software)
    const devices: Device[] = []
    for (const index of real.keys()) {
      const withoutSoftware = { ...options, allowSoftwareGpu: false }
      devices.push(await openGpu(`/device:GPU:${index}`, index, withoutSoftware, log))
    }
    return devices
  } catch (error) {
    log('info', `no GPU is used: ${(error as Error).message}`)
    return []
  }
}

function openGpu(
  name: string,
  adapterIndex: number | undefined,
  options: DeviceOptions,
  log: Log,
): Promise<Device> {
  return webgpuDevice({
    name,
    ...(adapterIndex === undefined ? {} : { adapterIndex }),
    environment: options.gpuEnvironment ?? {},
    ...(options.memoryBytes?.gpu === undefined ? {} : { memoryBytes: options.memoryBytes.gpu }),
    allowSoftware: options.allowSoftwareGpu ?? false,
    log: (line) => log('info', line),
  })
}
