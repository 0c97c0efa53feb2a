// Questions and answers between the calling thread and a worker. It knows threads and errors, and
// nothing of what is asked.
import type { Transferable } from 'node:worker_threads'
import { type MessagePort, Worker } from 'node:worker_threads'
import { Refusal } from '../../tensor/index.ts'
import { type ErrorRecord, errorOf, recordOf } from './errors.ts'

/** What a worker can be asked: request and reply of each kind of call. */
export type CallTable<Table> = {
  readonly [Kind in keyof Table]: { readonly request: unknown; readonly reply: unknown }
}

interface CallMessage {
  readonly call: number
  readonly kind: string
  readonly request: unknown
}

interface AnswerMessage {
  readonly call: number
  readonly reply?: unknown
  readonly error?: ErrorRecord
}

interface NoticeMessage {
  readonly notice: unknown
}

interface Waiting {
  resolve(reply: unknown): void
  reject(error: unknown): void
}

/** The asking side: owns one worker. Once the worker is lost every call is refused (UNAVAILABLE). */
export class WorkerClient<Table extends CallTable<Table>, Notice = never> {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #onNotice: (notice: Notice) => void
  readonly #onLost: (error: Error) => void
  #lastCall = 0
  #lost: Error | undefined

  constructor(
    file: URL,
    workerData: unknown,
    events: {
      readonly onNotice?: (notice: Notice) => void
      readonly onLost: (error: Error) => void
    },
  ) {
    this.#onNotice = events.onNotice ?? (() => undefined)
    this.#onLost = events.onLost
    this.#worker = new Worker(file, { workerData, execArgv: [] })
    this.#worker.on('message', (messages: (AnswerMessage | NoticeMessage)[]) => {
      for (const message of messages) this.#receive(message)
    })
    this.#worker.on('error', (error) => this.#lose(error as Error))
    this.#worker.on('exit', (code) => this.#lose(new Error(`the worker ended with ${code}`)))
  }

  /** Calls that wait for an answer. */
  get pending(): number {
    return this.#waiting.size
  }

  call<Kind extends keyof Table & string>(
    kind: Kind,
    request: Table[Kind]['request'],
    transfer: readonly Transferable[] = [],
  ): Promise<Table[Kind]['reply']> {
    const lost = this.#lost
    if (lost !== undefined) return Promise.reject(lostWorker(lost))
    const call = ++this.#lastCall
    const answer = new Promise<Table[Kind]['reply']>((resolve, reject) => {
      this.#waiting.set(call, { resolve: resolve as Waiting['resolve'], reject })
    })
    const message: CallMessage = { call, kind, request }
    this.#worker.postMessage(message, transfer)
    return answer
  }

  /** Ends the worker. Calls that still wait are refused. */
  async end(): Promise<void> {
    this.#lost ??= new Error('the store was closed')
    await this.#worker.terminate()
    this.#refuseWaiting(this.#lost)
  }

  #receive(message: AnswerMessage | NoticeMessage): void {
    if ('notice' in message) {
      this.#onNotice(message.notice as Notice)
      return
    }
    const waiting = this.#waiting.get(message.call)
    this.#waiting.delete(message.call)
    if (message.error !== undefined) waiting?.reject(errorOf(message.error))
    else waiting?.resolve(message.reply)
  }

  #lose(error: Error): void {
    if (this.#lost !== undefined) return
    this.#lost = error
    this.#onLost(error)
    this.#refuseWaiting(error)
  }

  #refuseWaiting(error: Error): void {
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { reject } of waiting) reject(lostWorker(error))
  }
}

function lostWorker(cause: Error): Refusal {
  return new Refusal('UNAVAILABLE', 'store/worker-lost', 'A thread of the store has ended.', {
    fix: 'Start the service again.',
    cause,
  })
}

/** The answering side, inside the worker: answers may be given later and in any order. */
export class WorkerServer<Table extends CallTable<Table>, Notice = never> {
  readonly #port: MessagePort
  #outgoing: (AnswerMessage | NoticeMessage)[] = []

  constructor(port: MessagePort) {
    this.#port = port
  }

  /** Calls `handle` for every call that comes in. */
  listen(
    handle: <Kind extends keyof Table & string>(
      kind: Kind,
      request: Table[Kind]['request'],
      call: number,
    ) => void,
  ): void {
    this.#port.on('message', (message: CallMessage) => {
      handle(message.kind as keyof Table & string, message.request as never, message.call)
    })
  }

  /** Answers now, moving the memory of `transfer`. */
  reply(call: number, reply: unknown, transfer: readonly Transferable[] = []): void {
    this.#port.postMessage([{ call, reply } satisfies AnswerMessage], transfer)
  }

  /** Answers now with an error. */
  fail(call: number, error: unknown): void {
    this.#port.postMessage([{ call, error: recordOf(error) } satisfies AnswerMessage])
  }

  /** Puts an answer into the message that `flush` sends. */
  queueReply(call: number, reply: unknown): void {
    this.#outgoing.push({ call, reply })
  }

  /** Puts a notice into the message that `flush` sends. */
  queueNotice(notice: Notice): void {
    this.#outgoing.push({ notice })
  }

  /** Sends what was queued, in order. */
  flush(): void {
    if (this.#outgoing.length === 0) return
    const outgoing = this.#outgoing
    this.#outgoing = []
    this.#port.postMessage(outgoing)
  }
}
