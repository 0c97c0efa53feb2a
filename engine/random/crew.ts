// Threads that make the pieces of one draw together: the calling one, and workers that come along as they
// wake. It knows how a draw is opened, shared out and closed; what a piece is it does not know.
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import {
  closedGate,
  crewWords,
  type DrawJob,
  type DrawWorkerStart,
  type ToldJob,
} from './crew-words.ts'
import { blockBytes, type PieceMaker, pieceBlocks } from './pieces.ts'
import { compileRoutines } from './routines.ts'
import { bytesOfBlock, takePieces } from './take-pieces.ts'

/** Most blocks of a job. */
export const crewBlocks = 16 * pieceBlocks

/** The calling thread and `threads - 1` workers, which are started here. */
export class DrawCrew {
  // One for all jobs: memory that was sent to a thread is free only when that thread has collected it.
  readonly #area = new Uint8Array(new SharedArrayBuffer(crewBlocks * blockBytes))
  readonly #control = new Int32Array(new SharedArrayBuffer(256))
  readonly #workers: { readonly worker: Worker; readonly port: MessagePort }[] = []
  #number = 0

  constructor(threads: number, module = compileRoutines()) {
    this.#control[crewWords.gate] = closedGate
    for (let thread = 1; thread < threads; thread++) {
      const { port1, port2 } = new MessageChannel()
      const start: DrawWorkerStart = {
        control: this.#control,
        area: this.#area,
        module,
        port: port2,
      }
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

  /** The job's bytes, made by `maker` and the workers together, in memory that the next job uses again. */
  run(maker: PieceMaker, job: DrawJob): Uint8Array {
    const control = this.#control
    const told: ToldJob = { ...job, number: ++this.#number }
    for (const { port } of this.#workers) port.postMessage(told)
    Atomics.store(control, crewWords.next, 0)
    // The number first: whoever gets in looks for the job of that number.
    Atomics.store(control, crewWords.call, told.number)
    Atomics.store(control, crewWords.gate, 0)
    Atomics.notify(control, crewWords.call)
    try {
      takePieces(maker, job, this.#area, () => Atomics.add(control, crewWords.next, 1))
    } finally {
      this.#close()
    }
    if (Atomics.exchange(control, crewWords.fault, 0) !== 0) {
      throw new Error('a thread failed to draw')
    }
    return this.#area.subarray(0, job.blocks * bytesOfBlock(job.draw))
  }

  /** Lets no further worker in, and waits for those inside. */
  #close(): void {
    const control = this.#control
    let inside = Atomics.or(control, crewWords.gate, closedGate) & ~closedGate
    while (inside !== 0) {
      Atomics.wait(control, crewWords.gate, inside | closedGate)
      inside = Atomics.load(control, crewWords.gate) & ~closedGate
    }
  }

  /** Ends the workers. */
  async close(): Promise<void> {
    Atomics.store(this.#control, crewWords.stop, 1)
    Atomics.add(this.#control, crewWords.call, 1)
    Atomics.notify(this.#control, crewWords.call)
    for (const { port } of this.#workers) port.close()
    await Promise.all(this.#workers.map(({ worker }) => worker.terminate()))
    this.#workers.length = 0
  }
}
