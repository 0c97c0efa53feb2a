// The bulk workers as the calling thread sees them: which one takes the next chunk, and how many
// may be on their way.
import { WorkerClient } from './calls.ts'
import { chunkByteLength } from './limits.ts'
import type { BulkCalls, BulkSetup, SpareBuffers } from './messages.ts'

/** One bulk worker. */
export type BulkLane = WorkerClient<BulkCalls>

/** A bulk worker with room for a chunk; give it back with `release`. */
export interface Lease {
  readonly lane: BulkLane
  release(): void
}

/** A fixed number of bulk workers. */
export class BulkPool {
  readonly lanes: readonly BulkLane[]
  readonly #inFlight: number[]
  readonly #limit: number
  readonly #waiting: ((lease: Lease) => void)[] = []
  /** Touching fresh memory costs more than filling a chunk: buffers are used again. */
  readonly #spares: ArrayBuffer[] = []
  #turn = 0

  constructor(
    count: number,
    setup: BulkSetup,
    chunksInFlight: number,
    onLost: (error: Error) => void,
  ) {
    const file = new URL('./bulk-worker.ts', import.meta.url)
    this.lanes = Array.from({ length: count }, () => new WorkerClient(file, setup, { onLost }))
    this.#inFlight = this.lanes.map(() => 0)
    this.#limit = chunksInFlight
  }

  /** Room for one chunk in the least busy worker; waits, first come first served. */
  lease(): Promise<Lease> {
    const index = this.#leastBusy()
    if (this.#inFlight[index] < this.#limit) return Promise.resolve(this.#take(index))
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Memory for a chunk; what is in it is of no meaning. Give it back with `recycle`. */
  chunkBuffer(): ArrayBuffer {
    return this.#spares.pop() ?? new ArrayBuffer(chunkByteLength)
  }

  /** Takes memory back. As many buffers are kept as can be on their way at once. */
  recycle(buffers: SpareBuffers): void {
    for (const buffer of buffers) {
      const isFull = this.#spares.length >= this.#limit * this.lanes.length
      if (!isFull && buffer.byteLength === chunkByteLength) this.#spares.push(buffer)
    }
  }

  /** The worker that the next read goes to. */
  next(): BulkLane {
    this.#turn = (this.#turn + 1) % this.lanes.length
    const candidate = this.lanes[this.#turn]
    const other = this.lanes[(this.#turn + 1) % this.lanes.length]
    return other.pending < candidate.pending ? other : candidate
  }

  async end(): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.end()))
  }

  #leastBusy(): number {
    let best = 0
    for (let index = 1; index < this.lanes.length; index++) {
      if (this.#inFlight[index] < this.#inFlight[best]) best = index
    }
    return best
  }

  #take(index: number): Lease {
    this.#inFlight[index] += 1
    let isHeld = true
    return {
      lane: this.lanes[index],
      release: () => {
        if (!isHeld) return
        isHeld = false
        this.#inFlight[index] -= 1
        const waiting = this.#waiting.shift()
        if (waiting !== undefined) waiting(this.#take(index))
      },
    }
  }
}
