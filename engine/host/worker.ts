// The engine's thread: makes the devices, runs the core, answers messages.
import { parentPort, workerData } from 'node:worker_threads'
import {
  Refusal,
  type RefusalRecord,
  recordOfError,
  refusalOfRecord,
  type Tensor,
} from '../../tensor/index.ts'
import type { Device } from '../device/device.ts'
import type { RunReply, RunRequest } from '../engine.ts'
import { EngineCore } from './core.ts'
import { openDevices } from './devices.ts'
import {
  buffersOf,
  type FromWorker,
  type ToldRun,
  type ToWorker,
  type WorkerStart,
} from './messages.ts'
import { HeardLists } from './variable-lists.ts'

function start(): void {
  const port = parentPort
  if (port === null) throw new Error('this module is a worker')
  const { devices: options, idleMs } = workerData as WorkerStart
  const waiting = new Map<
    number,
    { readonly resolve: (bytes: Uint8Array) => void; readonly reject: (error: Error) => void }
  >()
  let nextValue = 0
  const send = (message: FromWorker, transfer: readonly ArrayBuffer[] = []): void =>
    port.postMessage(message, transfer)
  const log = (level: 'info' | 'warn' | 'error', message: string): void =>
    send({ kind: 'log', level, message })
  const errorOf = (error: unknown): RefusalRecord => {
    const record = recordOfError(error)
    if (!(error instanceof Refusal))
      log('error', error instanceof Error ? `${error.stack}` : `${error}`)
    return record
  }
  const readValue = (value: number): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      const id = nextValue++
      waiting.set(id, { resolve, reject })
      send({ kind: 'read-value', id, value })
    })

  const lists = new HeardLists()
  const heard = (run: ToldRun): RunRequest => ({ ...run, variables: lists.heard(run.variables) })

  let core: EngineCore | undefined
  const answer = async (message: Extract<ToWorker, { readonly kind: 'call' }>): Promise<void> => {
    const { id, method, args } = message
    try {
      if (core === undefined) throw new Error('the engine is not ready')
      const call = core[method] as (...args: unknown[]) => Promise<unknown>
      const result = await call.apply(core, method === 'run' ? [heard(args[0] as ToldRun)] : args)
      send({ kind: 'reply', id, result }, transferable(method, result))
    } catch (error) {
      send({ kind: 'error', id, error: errorOf(error) })
    }
  }

  port.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'call':
        void answer(message)
        return
      case 'value':
        waiting.get(message.id)?.resolve(message.bytes)
        waiting.delete(message.id)
        return
      case 'value-error':
        waiting.get(message.id)?.reject(refusalOfRecord(message.error))
        waiting.delete(message.id)
        return
      case 'close':
        void (core?.close() ?? Promise.resolve()).finally(() => {
          send({ kind: 'closed' })
          port.close()
        })
        return
      default:
        message satisfies never
    }
  })

  openDevices(options, log).then(
    (devices: readonly Device[]) => {
      core = new EngineCore({ devices, readValue, idleMs })
      send({ kind: 'ready' })
    },
    (error: unknown) => send({ kind: 'failed', error: errorOf(error) }),
  )
}

function transferable(method: string, result: unknown): ArrayBuffer[] {
  if (method === 'run') return buffersOf((result as RunReply).fetches)
  if (method === 'readRanges') {
    const buffers = (result as readonly Uint8Array[]).map(({ buffer }) => buffer)
    return [...new Set(buffers)].filter((buffer) => buffer instanceof ArrayBuffer)
  }
  return method === 'read' ? buffersOf([result as Tensor]) : []
}

start()
