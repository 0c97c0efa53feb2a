// The engine as its owner sees it: a worker thread that is asked by messages, and replaced when a run
// outlasts its deadline or the thread dies. Graphs are loaded again by themselves after that.
import { Worker } from 'node:worker_threads'
import {
  Refusal,
  recordOfError,
  refusalOfRecord,
  type Tensor,
  type TensorType,
} from '../../tensor/index.ts'
import type {
  ByteRange,
  DeviceStatus,
  Engine,
  EngineOptions,
  GraphSummary,
  Handle,
  RunEffects,
  RunReply,
  RunRequest,
  ValueKey,
} from '../engine.ts'
import {
  type FromWorker,
  type Method,
  packed,
  type ToldRun,
  type ToWorker,
  type WorkerStart,
} from './messages.ts'
import { ToldLists } from './variable-lists.ts'

/**
 * Starts an engine. Refuses a device that is unknown or not there. Deadlines count from the call; a
 * run that outlasts its own ends the worker with everything in it: handles are void then, other runs
 * fail with UNAVAILABLE, and the next call finds a new worker.
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const engine = new WorkerEngine(options)
  await engine.start()
  return engine
}

interface Call {
  readonly resolve: (result: never) => void
  readonly reject: (error: Error) => void
}

interface Life {
  readonly worker: Worker
  readonly ready: Promise<void>
  readonly calls: Map<number, Call>
  /** Graphs that this worker has. */
  readonly loaded: Map<string, Promise<unknown>>
  /** Lists of variables that this worker has. */
  readonly lists: ToldLists
}

/** Effects remembered for each graph. */
const maxEffects = 256

class WorkerEngine implements Engine {
  readonly #options: EngineOptions
  readonly #graphs = new Map<string, Uint8Array>()
  /** By graph, then by what is run: effects follow from the graph alone, and a thread hop costs more. */
  readonly #effects = new Map<string, Map<string, Promise<RunEffects>>>()
  #life: Life | undefined
  #nextCall = 0
  #closed = false

  constructor(options: EngineOptions) {
    this.#options = options
  }

  start(): Promise<void> {
    return this.#living().ready
  }

  #living(): Life {
    if (this.#closed) throw unavailable('The engine is closed.')
    this.#life ??= this.#begin()
    return this.#life
  }

  #begin(): Life {
    const { device, threads, memoryBytes, gpuEnvironment, allowSoftwareGpu, idleMs } = this.#options
    const workerData: WorkerStart = {
      devices: { device, threads, memoryBytes, gpuEnvironment, allowSoftwareGpu },
      idleMs,
    }
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData, execArgv: [] })
    const calls = new Map<number, Call>()
    const ready = new Promise<void>((resolve, reject) => {
      const life = (): Life => this.#life as Life
      worker.on('message', (message: FromWorker) => {
        switch (message.kind) {
          case 'ready':
            resolve()
            return
          case 'failed':
            reject(refusalOfRecord(message.error))
            this.#end(life(), refusalOfRecord(message.error))
            return
          case 'reply':
            calls.get(message.id)?.resolve(message.result as never)
            calls.delete(message.id)
            return
          case 'error':
            calls.get(message.id)?.reject(refusalOfRecord(message.error))
            calls.delete(message.id)
            return
          case 'read-value':
            void this.#giveValue(worker, message.id, message.value)
            return
          case 'log':
            this.#options.log?.(message.level, message.message)
            return
          case 'closed':
            return
          default:
            message satisfies never
        }
      })
      worker.on('error', (error) => {
        this.#options.log?.('error', `the engine's thread failed: ${error.stack ?? error.message}`)
        reject(error)
      })
      worker.on('exit', () => {
        reject(unavailable('The engine ended while it started.'))
        if (this.#life?.worker === worker) this.#end(this.#life, unavailable('The engine ended.'))
      })
    })
    ready.catch(() => undefined)
    return { worker, ready, calls, loaded: new Map(), lists: new ToldLists() }
  }

  /** Ends a worker; whatever it was asked fails with `error`. */
  #end(life: Life | undefined, error: Error): void {
    if (life === undefined) return
    if (this.#life === life) {
      this.#life = undefined
      this.#options.emptied?.()
    }
    for (const call of life.calls.values()) call.reject(error)
    life.calls.clear()
    void life.worker.terminate()
  }

  async #giveValue(worker: Worker, id: number, value: ValueKey): Promise<void> {
    try {
      const given = await this.#options.readValue(value)
      const { buffer } = given
      const isWhole = given.byteLength === buffer.byteLength && buffer instanceof ArrayBuffer
      const bytes = isWhole ? (given as Uint8Array<ArrayBuffer>) : new Uint8Array(given)
      const message: ToWorker = { kind: 'value', id, bytes }
      worker.postMessage(message, [bytes.buffer])
    } catch (error) {
      const message: ToWorker = { kind: 'value-error', id, error: recordOfError(error) }
      worker.postMessage(message)
    }
  }

  async #call<Result>(
    method: Method,
    args: unknown[],
    transfer: readonly ArrayBuffer[] = [],
    life: Life = this.#living(),
  ): Promise<Result> {
    await life.ready
    return new Promise<Result>((resolve, reject) => {
      const id = this.#nextCall++
      life.calls.set(id, { resolve, reject })
      const message: ToWorker = { kind: 'call', id, method, args }
      life.worker.postMessage(message, transfer)
    })
  }

  /** Has the graph in the living worker, loading it again where the worker is a new one. */
  async #withGraph(id: string): Promise<Life> {
    const life = this.#living()
    const bytes = this.#graphs.get(id)
    if (bytes === undefined) return life
    let loading = life.loaded.get(id)
    if (loading === undefined) {
      loading = this.#call('load', [id, bytes], [], life)
      life.loaded.set(id, loading)
    }
    await loading
    return life
  }

  async load(id: string, graphDef: Uint8Array): Promise<GraphSummary> {
    const life = this.#living()
    const bytes = Uint8Array.from(graphDef)
    const loading = this.#call<GraphSummary>('load', [id, bytes], [], life)
    life.loaded.set(id, loading)
    try {
      const summary = await loading
      this.#graphs.set(id, bytes)
      this.#effects.delete(id)
      return summary
    } catch (error) {
      // A graph that was there under the name before is there still.
      if (!this.#graphs.has(id)) life.loaded.delete(id)
      else life.loaded.set(id, Promise.resolve())
      throw error
    }
  }

  async unload(id: string): Promise<void> {
    this.#graphs.delete(id)
    this.#effects.delete(id)
    this.#life?.loaded.delete(id)
    await this.#call('unload', [id])
  }

  async effects(run: Parameters<Engine['effects']>[0]): Promise<RunEffects> {
    const key = JSON.stringify([run.feeds, run.fetches, run.targets, run.container])
    const known = this.#effects.get(run.graph) ?? new Map<string, Promise<RunEffects>>()
    const remembered = known.get(key)
    if (remembered !== undefined) return remembered
    const life = await this.#withGraph(run.graph)
    const asked = this.#call<RunEffects>('effects', [run], [], life)
    if (this.#graphs.has(run.graph)) this.#effects.set(run.graph, known)
    known.set(key, asked)
    if (known.size > maxEffects) known.delete(known.keys().next().value as string)
    asked.catch(() => known.delete(key))
    return asked
  }

  async run(request: RunRequest): Promise<RunReply> {
    const { deadlineMs } = request
    const life = await this.#withGraph(request.graph)
    const buffers = new Set<ArrayBuffer>()
    const feeds = Object.fromEntries(
      Object.entries(request.feeds).map(([name, tensor]) => [name, packed(tensor, buffers)]),
    )
    const variables = life.lists.told(request.variables)
    const told: ToldRun = { ...request, feeds, variables }
    const running = this.#call<RunReply>('run', [told], [...buffers], life)
    if (deadlineMs === undefined) return running
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(
          new Refusal(
            'DEADLINE_EXCEEDED',
            'run/deadline',
            `The run took longer than ${deadlineMs} ms.`,
          ),
        )
        this.#end(
          life,
          unavailable('The engine was restarted, because a run outlasted its deadline.'),
        )
      }, deadlineMs)
    })
    // Ending the worker rejects the run as well; the deadline's own words come first.
    running.catch(() => undefined)
    try {
      return await Promise.race([late, running])
    } finally {
      clearTimeout(timer)
    }
  }

  read(handle: Handle): Promise<Tensor> {
    return this.#call('read', [handle])
  }

  readRanges(handle: Handle, ranges: readonly ByteRange[]): Promise<readonly Uint8Array[]> {
    return this.#call('readRanges', [handle, ranges])
  }

  adopt(handle: Handle, value: ValueKey): Promise<void> {
    return this.#call('adopt', [handle, value])
  }

  release(handle: Handle): Promise<void> {
    return this.#call('release', [handle])
  }

  prefetch(
    device: string,
    values: readonly (TensorType & { readonly value: ValueKey })[],
  ): Promise<void> {
    return this.#call('prefetch', [device, values])
  }

  evict(device: string, values?: readonly ValueKey[]): Promise<void> {
    return this.#call('evict', [device, values])
  }

  dropState(container: string): Promise<void> {
    return this.#call('dropState', [container])
  }

  devices(): Promise<readonly DeviceStatus[]> {
    return this.#call('devices', [])
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const life = this.#life
    if (life === undefined) return
    await life.ready.catch(() => undefined)
    const message: ToWorker = { kind: 'close' }
    const ended = new Promise<void>((resolve) => life.worker.once('exit', () => resolve()))
    life.worker.postMessage(message)
    await ended
  }
}

function unavailable(message: string): Refusal {
  return new Refusal('UNAVAILABLE', 'engine/restarted', message)
}
