// The GPU process through its lives: started when something is asked of it, given up when lost, started
// again at the next question. It knows nothing of kernels and buffers.
import { setTimeout as sleep } from 'node:timers/promises'
import { Refusal } from '../../../tensor/index.ts'
import { Connection, type ConnectionOptions, lost } from './connection.ts'
import {
  type Adapter,
  jsonBody,
  kinds,
  type OpenAnswer,
  type OpenRequest,
  parseJsonBody,
} from './protocol.ts'

const longestBackoffMs = 2_000
/** A start is no call: loading a driver may take longer than any run is given. */
const startDeadlineMs = 30_000

/** The GPU process through its lives: started when asked for, given up when lost. */
export class GpuProcess {
  readonly #request: OpenRequest
  readonly #options: ConnectionOptions
  #connection: Connection | undefined
  #starting: Promise<OpenAnswer> | undefined
  #ending: Promise<void> = Promise.resolve()
  #failures = 0
  #closed = false
  #generation = 1
  /** Called when a life ends, before its questions are rejected. */
  onLost: () => void = () => undefined

  constructor(adapter: Adapter, memoryBytes: number, options: ConnectionOptions) {
    this.#request = { backend: adapter.backend, name: adapter.name, memoryBytes }
    this.#options = options
  }

  /** Number of the present life; it rises when one ends. */
  get generation(): number {
    return this.#generation
  }

  get processId(): number | undefined {
    return this.#connection?.processId
  }

  /** Counts an answer: the process works, so the next start need not wait. */
  succeeded(): void {
    this.#failures = 0
  }

  /** Starts a process unless one lives; waits longer the more of them were lost in a row. */
  start(): Promise<OpenAnswer> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined
      throw error
    })
    return this.#starting
  }

  async #start(): Promise<OpenAnswer> {
    await this.#ending
    if (this.#failures > 1) {
      await sleep(Math.min(longestBackoffMs, 50 * 2 ** (this.#failures - 2)))
    }
    if (this.#closed) throw closed()
    const connection = new Connection(this.#options, () => this.#lost(connection))
    this.#connection = connection
    const request = [jsonBody(this.#request)]
    const { body } = await connection.ask(kinds.open, request, startDeadlineMs)
    return parseJsonBody<OpenAnswer>(body)
  }

  #lost(connection: Connection): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#starting = undefined
    this.#ending = connection.end('it is over')
    this.#failures++
    this.#generation++
    this.onLost()
  }

  /** The process, ready to be asked. */
  async ready(): Promise<Connection> {
    if (this.#closed) throw closed()
    await this.start()
    if (this.#connection) return this.#connection
    throw lost('its process ended as it started')
  }

  /** Ends the process for good; resolves when it is gone. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#connection?.end('the device is closed')
    await this.#ending
  }
}

function closed(): Refusal {
  return new Refusal('UNAVAILABLE', 'device/closed', 'the GPU device is closed')
}
