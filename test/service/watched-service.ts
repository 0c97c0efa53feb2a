// A service whose engine tells which handles are out: every value that a run left must be adopted or
// released in the end.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEngine, type Engine, type Handle, type RunRequest } from '../../engine/index.ts'
import { contentOfTensor, type Limits, type Service } from '../../service/index.ts'
import { createService } from '../../service/service.ts'
import { openSpool } from '../../service/spool.ts'
import { openStore, type Store } from '../../store/index.ts'
import {
  elementsOf,
  type NumericTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'

interface Teardown {
  teardown(work: () => Promise<void>): unknown
}

export interface WatchedService {
  readonly service: Service
  readonly store: Store
  /** Handles that a run left and nobody has ended. */
  readonly out: ReadonlySet<Handle>
  /** Runs so far. */
  readonly runs: readonly RunRequest[]
  readonly hooks: {
    /** Called when a run is done, before its reply. */
    afterRun?: (() => Promise<void>) | undefined
  }
}

/** Starts one that ends with the test. */
export async function openWatched(
  t: Teardown,
  limits: Partial<Limits> = {},
): Promise<WatchedService> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-watched-'))
  const store = await openStore({ directory, clock: Date.now })
  const engine = await createEngine({
    readValue: (value) => store.values.bytes(value),
    device: 'reference',
    threads: 1,
  })
  const out = new Set<Handle>()
  const runs: RunRequest[] = []
  const hooks: WatchedService['hooks'] = {}
  const watched: Engine = {
    load: (id, bytes) => engine.load(id, bytes),
    unload: (id) => engine.unload(id),
    effects: (run) => engine.effects(run),
    run: async (request) => {
      runs.push(request)
      const reply = await engine.run(request)
      for (const { handle } of reply.assigned) out.add(handle)
      await hooks.afterRun?.()
      return reply
    },
    read: (handle) => engine.read(handle),
    readRanges: (handle, ranges) => engine.readRanges(handle, ranges),
    adopt: async (handle, value) => {
      await engine.adopt(handle, value)
      out.delete(handle)
    },
    release: async (handle) => {
      await engine.release(handle)
      out.delete(handle)
    },
    prefetch: (device, values) => engine.prefetch(device, values),
    evict: (device, values) => engine.evict(device, values),
    dropState: (container) => engine.dropState(container),
    devices: () => engine.devices(),
    close: () => engine.close(),
  }
  const service = createService({
    store,
    engine: watched,
    spool: await openSpool(join(directory, 'spool')),
    engineLosses: { count: 0 },
    clock: Date.now,
    log: () => undefined,
    limits,
  })
  t.teardown(async () => {
    await service.close()
    await rm(directory, { recursive: true, force: true })
  })
  return { service, store, out, runs, hooks }
}

/** Makes a variable of that value. */
export async function make(service: Service, name: string, value: Tensor): Promise<void> {
  const { dtype, shape } = value
  await service.variables.create({
    container: '',
    name,
    dtype,
    shape,
    initializer: { kind: 'zeros' },
    validateShape: true,
  })
  await service.writes.assign('', name, async () => contentOfTensor(value), {})
}

/** The elements of a variable's value. */
export async function numbersOf(service: Service, name: string): Promise<readonly unknown[]> {
  const { value } = await service.reads.read('', name)
  return elementsOf((await service.stored.tensor(value)) as NumericTensor)
}

/** Float32 numbers in a row. */
export const vector = (...numbers: readonly number[]) =>
  tensorOfElements('float32', [numbers.length], numbers)
