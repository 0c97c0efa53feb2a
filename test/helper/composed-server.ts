// A server put together piece by piece, so that a test can wrap the store that its service is built
// on, close it, and open its data directory again.
import type { Server } from 'node:http'
import { join } from 'node:path'
import { createEngine } from '../../engine/index.ts'
import { buildApp } from '../../server/index.ts'
import type { Limits, Service } from '../../service/index.ts'
import { createService } from '../../service/service.ts'
import { openSpool } from '../../service/spool.ts'
import { openStore, type Store } from '../../store/index.ts'

/** How a server is put together. */
export interface Parts {
  /** The data directory, which stays when the server ends. */
  readonly directory: string
  /** Stands between the service and the store. */
  readonly wrapStore?: ((store: Store) => Store) | undefined
  readonly limits?: Partial<Limits> | undefined
}

export interface ComposedServer {
  readonly base: string
  readonly service: Service
  /** The store itself, without what is wrapped around it. */
  readonly store: Store
  /** Node's own server, whose time limits a test may shorten. */
  readonly http: Server
  close(): Promise<void>
}

/** A server on a socket of its own, with the reference device. */
export async function openComposed(parts: Parts): Promise<ComposedServer> {
  const { directory, wrapStore = (store) => store, limits = {} } = parts
  const clock = Date.now
  const log = (): void => undefined
  const store = await openStore({ directory, clock })
  const engineLosses = { count: 0 }
  const engine = await createEngine({
    readValue: (value) => store.values.bytes(value),
    device: 'reference',
    threads: 1,
    allowSoftwareGpu: false,
    gpuEnvironment: undefined,
    log,
    emptied: () => {
      engineLosses.count++
    },
  })
  const spool = await openSpool(join(directory, 'spool'))
  const wrapped = wrapStore(store)
  const service = createService({ store: wrapped, engine, spool, engineLosses, clock, log, limits })
  // Other processes must not make a test's server refuse requests.
  const app = await buildApp({ service, logLevel: 'silent', mostEventLoopDelayMs: 0 })
  const base = await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    base,
    service,
    store,
    http: app.server,
    async close() {
      await app.close()
      await service.close()
    },
  }
}
