// Opening a service: the data directory, the engine, and the values that the one hands the other.
import { join } from 'node:path'
import { createEngine } from '../engine/index.ts'
import { openStore } from '../store/index.ts'
import { demoFiles, demoModel } from './demo.ts'
import type { Limits } from './limits.ts'
import { createService, type Service } from './service.ts'
import { openSpool } from './spool.ts'

/** How a service is opened. */
export interface ServiceOptions {
  /** The data directory, made if missing. */
  readonly directory: string
  /** Where backups lie; in the data directory unless given. */
  readonly backupDirectory?: string | undefined
  /** Bytes a second that the background scrub reads at most; 0: none. */
  readonly scrubBytesPerSecond?: number | undefined
  readonly clock: () => number
  /** Default device, as the engine takes it. */
  readonly device: string
  /** Threads of the CPU device. */
  readonly threads: number
  /** Bytes that values may take on devices; as much as each can hold where absent. */
  readonly memoryBytes?: { readonly cpu?: number | undefined; readonly gpu?: number | undefined }
  readonly allowSoftwareGpu: boolean
  /** Whether to load the demonstration model at the first start. */
  readonly demo: boolean
  readonly gpuEnvironment?: Readonly<Record<string, string>> | undefined
  readonly limits?: Partial<Limits> | undefined
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void
}

/** Opens the data directory and starts the engine. Refuses what the store refuses (lock, schema). */
export async function openService(options: ServiceOptions): Promise<Service> {
  const { directory, clock, log } = options
  const { backupDirectory, scrubBytesPerSecond } = options
  const store = await openStore({
    directory,
    backupDirectory,
    clock,
    log: (message) => log('warn', message),
    limits: scrubBytesPerSecond === undefined ? {} : { scrubBytesPerSecond },
  })
  try {
    const spool = await openSpool(join(directory, 'spool'))
    const engineLosses = { count: 0 }
    const engine = await createEngine({
      readValue: (value) => store.values.bytes(value),
      device: options.device,
      threads: options.threads,
      ...(options.memoryBytes === undefined ? {} : { memoryBytes: options.memoryBytes }),
      allowSoftwareGpu: options.allowSoftwareGpu,
      gpuEnvironment: options.gpuEnvironment,
      log,
      emptied: () => {
        engineLosses.count++
      },
    })
    const limits = options.limits ?? {}
    const isFresh = (await store.status()).sequence === 0
    const service = createService({ store, engine, spool, engineLosses, clock, log, limits })
    if (options.demo && isFresh) {
      await service.models.putFiles(demoModel.name, demoModel.version, await demoFiles())
    }
    // Models load in the background; who asks one before waits for it.
    service.models.warm().catch((error) => log('error', `the models were not loaded: ${error}`))
    return service
  } catch (error) {
    await store.close()
    throw error
  }
}
