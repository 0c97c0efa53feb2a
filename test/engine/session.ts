// A small TensorFlow session for tests: one graph on an engine of the calling thread, variables kept as
// handles from run to run, and a device that counts what it is asked.
import type { Command, Device } from '../../engine/device/device.ts'
import { referenceDevice } from '../../engine/device/reference/index.ts'
import {
  createEngineInThread,
  type Engine,
  type RunReply,
  type ValueBinding,
} from '../../engine/index.ts'
import { elementsOf, Refusal, type Tensor } from '../../tensor/index.ts'

/** What a device was asked so far. */
export interface Asked {
  compiled: number
  allocated: number
  dispatched: number
}

/** A device that counts, over another. */
export function countingDevice(device: Device, asked: Asked): Device {
  const count = (command: Command): void => {
    if (command.kind === 'allocate') asked.allocated++
    if (command.kind === 'dispatch') asked.dispatched++
  }
  return {
    facts: device.facts,
    get generation() {
      return device.generation
    },
    compile(kernels) {
      asked.compiled += kernels.length
      return device.compile(kernels)
    },
    submit(commands) {
      commands.forEach(count)
      return device.submit(commands)
    },
    memory: () => device.memory(),
    renew: () => device.renew(),
    close: () => device.close(),
  }
}

export interface TestSession {
  readonly engine: Engine
  readonly asked: Asked
  /** Runs and keeps what was assigned. */
  run(
    fetches: readonly string[],
    feeds?: Readonly<Record<string, Tensor>>,
    targets?: readonly string[],
  ): Promise<RunReply>
  /** Elements of the fetched tensors. */
  values(
    fetches: readonly string[],
    feeds?: Readonly<Record<string, Tensor>>,
    targets?: readonly string[],
  ): Promise<unknown[]>
  close(): Promise<void>
}

/** Loads a graph on a reference device (or the ones given). */
export async function openTestSession(
  graph: Uint8Array,
  options: { readonly devices?: readonly Device[]; readonly fuse?: boolean } = {},
): Promise<TestSession> {
  const asked: Asked = { compiled: 0, allocated: 0, dispatched: 0 }
  const devices = (options.devices ?? [referenceDevice()]).map((one) => countingDevice(one, asked))
  let seed = 0n
  const engine = createEngineInThread({
    devices,
    readValue: () => Promise.reject(new Error('there are no stored values here')),
    randomSeed: () => ++seed,
    ...(options.fuse === undefined ? {} : { fuse: options.fuse }),
  })
  await engine.load('g', graph)
  const bindings = new Map<string, ValueBinding>()
  const run: TestSession['run'] = async (fetches, feeds = {}, targets = []) => {
    const request = { graph: 'g', fetches, targets, container: '' }
    const effects = await engine.effects({ ...request, feeds: Object.keys(feeds) })
    const names = new Map(
      [...effects.reads, ...effects.writes].map((one) => [`${one.container}/${one.name}`, one]),
    )
    const variables = [...names].map(([key, one]) => ({
      ...one,
      binding: bindings.get(key) ?? null,
    }))
    const reply = await engine.run({ ...request, feeds, variables, device: '', report: true })
    for (const { container, name, handle, dtype, shape } of reply.assigned) {
      const before = bindings.get(`${container}/${name}`)
      bindings.set(`${container}/${name}`, { dtype, shape, handle })
      if (before !== undefined && 'handle' in before) await engine.release(before.handle)
    }
    return reply
  }
  return {
    engine,
    asked,
    run,
    async values(fetches, feeds, targets) {
      const { fetches: got } = await run(fetches, feeds, targets)
      const decoder = new TextDecoder()
      return got.map((one) =>
        one.dtype === 'string' ? one.strings.map((item) => decoder.decode(item)) : elementsOf(one),
      )
    },
    close: () => engine.close(),
  }
}

/** The Refusal that a promise rejects with; any other outcome is an error. */
export async function refusalOf(work: Promise<unknown>): Promise<Refusal> {
  try {
    await work
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('nothing was refused')
}
