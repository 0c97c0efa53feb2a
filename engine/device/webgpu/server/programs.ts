// Compiled programs of the GPU process, and the layouts and bind groups that they share. Everything
// is made once: a dispatch that was seen before makes nothing.
import assert from 'node:assert'
import type { Binding, Program } from '../protocol.ts'
import type { DeviceBuffer } from './memory.ts'
import { caught } from './scope.ts'

/** A program that is ready to run. */
export interface Pipeline {
  readonly program: Program
  readonly gpu: GPUComputePipeline
  readonly layout: GPUBindGroupLayout
}

const computeStage = 4

/** The programs, by the ids that the engine chose. */
export class Programs {
  readonly pipelines = new Map<number, Pipeline>()
  readonly statusLayout: GPUBindGroupLayout
  readonly #device: GPUDevice
  readonly #layouts = new Map<string, GPUBindGroupLayout>()
  readonly #bindGroups = new Map<string, GPUBindGroup>()

  constructor(device: GPUDevice) {
    this.#device = device
    this.statusLayout = device.createBindGroupLayout({ entries: [storageEntry(0, true)] })
  }

  /** Compiles; answers with the reason where it cannot. The device lives on either way. */
  async compile(program: Program): Promise<string | null> {
    const device = this.#device
    const layout = this.#layoutOf(program.bindings)
    const groups = program.statusWords > 0 ? [layout, this.statusLayout] : [layout]
    let module: GPUShaderModule | undefined
    let pending: Promise<GPUComputePipeline | string> | undefined
    const failure = await caught(device, () => {
      module = device.createShaderModule({ code: program.wgsl })
      pending = device
        .createComputePipelineAsync({
          layout: device.createPipelineLayout({ bindGroupLayouts: groups }),
          compute: { module, entryPoint: 'main' },
        })
        .catch((error: unknown) => String(error))
    })
    const gpu = await pending
    if (failure) return failure
    if (typeof gpu === 'string') return gpu
    assert(gpu, 'a pipeline without a failure')
    this.pipelines.set(program.id, { program, gpu, layout })
    return null
  }

  /** The bind group of a program and its buffers, in binding order. */
  bindGroupOf(pipeline: Pipeline, ids: readonly number[], buffers: readonly DeviceBuffer[]) {
    const key = `${pipeline.program.id}:${ids.join()}`
    const known = this.#bindGroups.get(key)
    if (known) return known
    const group = this.#device.createBindGroup({
      layout: pipeline.layout,
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer: buffer.gpu } })),
    })
    this.#bindGroups.set(key, group)
    for (const buffer of buffers) buffer.bindGroups.add(key)
    return group
  }

  /** Forgets the bind groups of a buffer that goes. */
  forget(buffer: DeviceBuffer): void {
    for (const key of buffer.bindGroups) this.#bindGroups.delete(key)
    buffer.bindGroups.clear()
  }

  #layoutOf(bindings: readonly Binding[]): GPUBindGroupLayout {
    const key = bindings.map(({ writable }) => (writable ? 'w' : 'r')).join('')
    const known = this.#layouts.get(key)
    if (known) return known
    const entries = bindings.map(({ writable }, place) => storageEntry(place, writable))
    const layout = this.#device.createBindGroupLayout({ entries })
    this.#layouts.set(key, layout)
    return layout
  }
}

function storageEntry(binding: number, writable: boolean): GPUBindGroupLayoutEntry {
  const type = writable ? 'storage' : 'read-only-storage'
  return { binding, visibility: computeStage, buffer: { type } }
}
