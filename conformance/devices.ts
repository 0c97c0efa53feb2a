// The devices that cases run on, each by an engine that uses only it (and the CPU for what it cannot do).
import { availableParallelism } from 'node:os'
import { createEngine, type Engine } from '../engine/index.ts'
import { softwareVulkan } from '../test/helper/software-vulkan.ts'

/** `reference`: the interpreter; `cpu`: WebAssembly; `gpu`: WebGPU on a real adapter, else on software Vulkan. */
export const deviceNames = ['reference', 'cpu', 'gpu'] as const

const engineDevices: Readonly<Record<string, string>> = {
  reference: 'reference',
  cpu: '/device:CPU:0',
  gpu: '/device:GPU:0',
}

/** Calls `use` with an engine on the device, and ends the engine. */
export async function withDevice(
  name: string,
  use: (engine: Engine) => Promise<void>,
): Promise<void> {
  const device = engineDevices[name]
  if (device === undefined)
    throw new Error(`no device ${name}; there are ${deviceNames.join(', ')}`)
  const engine = await createEngine({
    readValue: async (value) => {
      throw new Error(`no store here, and so no value ${value}`)
    },
    device,
    threads: Math.min(2, availableParallelism()),
    allowSoftwareGpu: true,
    gpuEnvironment: name === 'gpu' ? await softwareVulkan() : undefined,
    log: (level, message) => {
      if (level !== 'info') process.stderr.write(`${level}: ${message}\n`)
    },
  })
  try {
    await use(engine)
  } finally {
    await engine.close()
  }
}
