// The way of commits to the store worker: those of one turn of the event loop go in one message, and
// while two messages are unanswered the next one grows. It knows messages, and not what commits do.
import type { Committed } from '../port.ts'
import type { WorkerClient } from './calls.ts'
import { groupOf, outcomesOfText, wireByteLengthOf } from './commit-wire.ts'
import { errorOf } from './errors.ts'
import type { StoreLimits } from './limits.ts'
import type { CommitRequest, WriterCalls, WriterNotice } from './messages.ts'

/** So that the worker finds the next message there when it has finished one. */
const messagesUnderway = 2

/** Tells what became of a commit; exactly one of the two is given. */
export type CommitSettled = (committed: Committed | undefined, error: unknown) => void

interface Waiting {
  readonly request: CommitRequest
  readonly settled: CommitSettled
}

/** Sends commits in the order in which they come. */
export class CommitLane {
  readonly #writer: WorkerClient<WriterCalls, WriterNotice>
  readonly #limits: StoreLimits
  #waiting: Waiting[] = []
  #underway = 0
  #isScheduled = false

  constructor(writer: WorkerClient<WriterCalls, WriterNotice>, limits: StoreLimits) {
    this.#writer = writer
    this.#limits = limits
  }

  /** Sends a commit with the next message. */
  send(request: CommitRequest, settled: CommitSettled): void {
    this.#waiting.push({ request, settled })
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#underway < messagesUnderway) {
      this.#underway += 1
      void this.#exchange(this.#take())
    }
  }

  /** As many as one sync may cover. */
  #take(): Waiting[] {
    const { batchCount, batchByteLength } = this.#limits
    let count = 0
    let byteLength = 0
    while (count < this.#waiting.length && count < batchCount && byteLength < batchByteLength) {
      const { request } = this.#waiting[count]
      byteLength += wireByteLengthOf(request)
      for (const loose of request.loose) byteLength += loose.byteLength
      count += 1
    }
    return this.#waiting.splice(0, count)
  }

  async #exchange(commits: readonly Waiting[]): Promise<void> {
    try {
      const group = groupOf(commits.map(({ request }) => request))
      const { text, failures } = await this.#writer.call('commits', group, [group.bytes.buffer])
      const outcomes = outcomesOfText(text)
      commits.forEach(({ settled }, index) => {
        const failure = failures.get(index)
        settled(outcomes[index], failure === undefined ? undefined : errorOf(failure))
      })
    } catch (error) {
      for (const { settled } of commits) settled(undefined, error)
    } finally {
      this.#underway -= 1
      this.#flush()
    }
  }
}
