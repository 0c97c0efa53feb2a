// Dawn inside the GPU process: which adapters there are, and the one device made on one of them.
import assert from 'node:assert'
import { Refusal } from '../../../../tensor/index.ts'
import type { Adapter, OpenAnswer, OpenRequest } from '../protocol.ts'

/** What this process uses of the `webgpu` package. */
interface Dawn {
  create(options: string[]): GPU
  readonly globals: object
}

/**
 * Dawn's instances. They are held for the process's life: letting one be collected while work is
 * pending aborts the process.
 */
export class Instances {
  readonly #held: GPU[] = []
  #dawn: Dawn | undefined

  async create(options: readonly string[]): Promise<GPU> {
    this.#dawn ??= (await import('webgpu')) as Dawn
    const instance = this.#dawn.create([...options])
    this.#held.push(instance)
    return instance
  }
}

const backendOrder = ['vulkan', 'metal', 'd3d12', 'd3d11', 'opengl', 'opengles']

/**
 * The adapters of this machine, distinct by backend and name, hardware before software and native
 * backends first. Dawn's binding names them only in the text of the error for an unknown name.
 */
export async function adaptersOf(instances: Instances): Promise<readonly Adapter[]> {
  const text = await (await instances.create(['adapter=\u0001']))
    .requestAdapter()
    .then(() => '')
    .catch((error: unknown) => String(error))
  const found = new Map<string, Adapter>()
  for (const [, backend, name] of text.matchAll(/backend: '([^']+)', name: '(.*)'/g)) {
    const key = `${backend}/${name}`
    if (found.has(key) || !backendOrder.includes(backend)) continue
    const instance = await instances.create([`backend=${backend}`, `adapter=${name}`])
    const adapter = await instance.requestAdapter().catch(() => null)
    if (!adapter?.features.has('core-features-and-limits')) continue
    const { info } = adapter
    const { description } = info
    found.set(key, { name, backend, description, software: info.isFallbackAdapter })
  }
  const rank = (one: Adapter): number =>
    (one.software ? backendOrder.length : 0) + backendOrder.indexOf(one.backend)
  return [...found.values()].sort((a, b) => rank(a) - rank(b))
}

/** The device, and what was asked for with it: all that the adapter can do. */
export interface OpenedDevice {
  readonly device: GPUDevice
  readonly answer: OpenAnswer
}

/** Makes the device with the adapter's own limits; UNAVAILABLE where the adapter is not there. */
export async function openDevice(
  instances: Instances,
  request: OpenRequest,
): Promise<OpenedDevice> {
  const options = [`backend=${request.backend}`, `adapter=${request.name}`]
  const instance = await instances.create(options)
  const adapter = await instance.requestAdapter().catch(() => null)
  if (!adapter) {
    const message = `adapter '${request.name}' (${request.backend}) is not there`
    throw new Refusal('UNAVAILABLE', 'device/no-adapter', message)
  }
  const limits: Record<string, number> = {}
  for (const name in adapter.limits) {
    const limit = Reflect.get(adapter.limits, name)
    if (typeof limit === 'number') limits[name] = limit
  }
  assert(limits.maxStorageBufferBindingSize > 0, 'an adapter states its limits')
  const device = await adapter.requestDevice({ requiredLimits: limits })
  const { info } = adapter
  const description = `${request.name} (${request.backend}; ${info.description || info.vendor})`
  return { device, answer: { description, software: info.isFallbackAdapter, limits } }
}
