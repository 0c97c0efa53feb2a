// The threads of the CPU device: the calling one and its workers on the same memory. It knows how a job is
// opened, shared out and closed; what the job computes it does not know.
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import {
  controlLength,
  controlWords,
  failureAddress,
  gateClosed,
  type KernelFunction,
  type ModuleMessage,
  scratchWord,
  takePieces,
} from './control.ts'
import type { WorkerStart } from './worker.ts'

/** A job that is shared out: a kernel's outermost loop, in pieces. */
export interface Job {
  readonly kernel: number
  readonly run: KernelFunction
  readonly extent: number
  readonly piece: number
}

/** Looks at the gate so often before going to sleep until the last worker has left. */
const spins = 5000

/** The calling thread and `threads - 1` workers. */
export class Crew {
  readonly threads: number
  readonly #control: Int32Array
  readonly #workers: { readonly worker: Worker; readonly port: MessagePort }[] = []

  constructor(memory: WebAssembly.Memory, threads: number) {
    this.threads = threads
    this.#control = new Int32Array(memory.buffer, 0, controlLength)
    this.#control[controlWords.gate] = gateClosed
    for (let thread = 1; thread < threads; thread++) {
      const { port1, port2 } = new MessageChannel()
      const start: WorkerStart = { memory, port: port2, thread }
      const worker = new Worker(new URL('./worker.ts', import.meta.url), {
        workerData: start,
        transferList: [port2],
        execArgv: [],
      })
      worker.unref()
      port1.unref()
      this.#workers.push({ worker, port: port1 })
    }
  }

  /** Tells the workers of a module; they know it before they take part in a later job. */
  teach(message: ModuleMessage): void {
    for (const { port } of this.#workers) port.postMessage(message)
    this.#call()
  }

  /** Runs a job on all threads and returns when it is done. Throws if a worker's call failed. */
  run(job: Job): void {
    const control = this.#control
    control[controlWords.kernel] = job.kernel
    control[controlWords.extent] = job.extent
    control[controlWords.piece] = job.piece
    control[controlWords.next] = 0
    Atomics.store(control, controlWords.gate, 0)
    this.#call()
    try {
      takePieces(control, job.run, 0)
    } finally {
      this.#close()
    }
    if (Atomics.exchange(control, controlWords.fault, 0) !== 0) {
      throw new Error(`kernel ${job.kernel} failed on a worker thread`)
    }
  }

  /** Says where the scratch bytes of each thread are. */
  setScratch(addresses: readonly number[]): void {
    for (const [thread, address] of addresses.entries()) {
      this.#control[scratchWord(thread)] = address
    }
  }

  /** Address of the calling thread's scratch bytes. */
  get scratch(): number {
    return this.#control[scratchWord(0)]!
  }

  /** Forgets all failures. */
  clearFailures(): void {
    for (let thread = 0; thread < this.threads; thread++) {
      this.#control[failureAddress(thread) / 4] = -1
      this.#control[failureAddress(thread) / 4 + 1] = -1
    }
  }

  /** The least failure of all threads, or undefined. */
  leastFailure(): bigint | undefined {
    let least: bigint | undefined
    for (let thread = 0; thread < this.threads; thread++) {
      const word = failureAddress(thread) / 4
      const low = this.#control[word]!
      const high = this.#control[word + 1]!
      if (low === -1 && high === -1) continue
      const key = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
      if (least === undefined || key < least) least = key
    }
    return least
  }

  /** Ends the workers. */
  async close(): Promise<void> {
    Atomics.store(this.#control, controlWords.stop, 1)
    this.#call()
    for (const { port } of this.#workers) port.close()
    await Promise.all(this.#workers.map(({ worker }) => worker.terminate()))
    this.#workers.length = 0
  }

  #call(): void {
    if (this.#workers.length === 0) return
    Atomics.add(this.#control, controlWords.call, 1)
    Atomics.notify(this.#control, controlWords.call)
  }

  /** Lets no further worker in, and waits for those inside. A worker that still sleeps is not waited for. */
  #close(): void {
    const control = this.#control
    let inside = Atomics.or(control, controlWords.gate, gateClosed)
    for (let spin = 0; (inside & ~gateClosed) !== 0; spin++) {
      inside = Atomics.load(control, controlWords.gate)
      if (spin > spins && (inside & ~gateClosed) !== 0) {
        Atomics.wait(control, controlWords.gate, inside)
      }
    }
  }
}
