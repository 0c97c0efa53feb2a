// The devices that cases run on, each by an engine that uses only it (and the CPU for what it cannot do).
import { availableParallelism } from 'node:os'
import { createEngine, type Engine, type ValueKey } from '../engine/index.ts'
import { softwareVulkan } from '../test/helper/software-vulkan.ts'

/** `reference`: the interpreter; `cpu`: WebAssembly; `gpu`: WebGPU on a real adapter, else on software Vulkan. */
export const deviceNames = ['reference', 'cpu', 'gpu'] as const

const engineDevices: Readonly<Record<string, string>> = {
  reference: 'reference',
  cpu: '/device:CPU:0',
  gpu: '/device:GPU:0',
}

/** An engine, and a place for values that it may ask for. */
export interface Bench {
  readonly engine: Engine
  /** Keeps a value's bytes and gives the key that the engine can ask them by. */
  keep(bytes: Uint8Array): ValueKey
}

/** Calls `use` with an engine on the device, and ends the engine. */
export async function withDevice(
  name: string,
  use: (bench: Bench) => Promise<void>,
): Promise<void> {
  const device = engineDevices[name]
  if (device === undefined)
    throw new Error(`no device ${name}; there are ${deviceNames.join(', ')}`)
  const values: Uint8Array[] = []
  const engine = await createEngine({
    readValue: async (value) => values[value].slice(),
    device,
    threads: Math.min(2, availableParallelism()),
    allowSoftwareGpu: true,
    gpuEnvironment: name === 'gpu' ? await softwareVulkan() : undefined,
    log: (level, message) => {
      if (level !== 'info') process.stderr.write(`${level}: ${message}\n`)
    },
  })
  try {
    await use({ engine, keep: (bytes) => values.push(bytes) - 1 })
  } finally {
    await engine.close()
  }
}
