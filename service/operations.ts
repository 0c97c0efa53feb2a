// Long work that a request does not wait for: its state, result and end. Kept in memory, the newest
// thousand of them; what was under way when the process ended is gone, as its work is.
import { Refusal, type RefusalRecord, recordOfError } from '../tensor/index.ts'

/** A piece of work. */
export interface OperationRecord {
  readonly id: string
  readonly kind: string
  readonly state: 'running' | 'done' | 'failed'
  readonly startedAt: number
  readonly endedAt: number | undefined
  readonly result: unknown
  readonly error: RefusalRecord | undefined
}

export interface Operations {
  /** Begins `work` and answers at once. */
  start(kind: string, work: () => Promise<unknown>): OperationRecord
  get(id: string): OperationRecord
  list(): readonly OperationRecord[]
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
}

const mostKept = 1000

/** Operations, none of them begun. `log` hears of work that failed by our own mistake. */
export function createOperations(
  clock: () => number,
  log: (message: string, error: unknown) => void,
): Operations {
  const records = new Map<string, OperationRecord>()
  const running = new Set<Promise<void>>()
  let count = 0

  function forgetOldest(): void {
    for (const [id, { state }] of records) {
      if (records.size <= mostKept) return
      if (state !== 'running') records.delete(id)
    }
  }

  return {
    start(kind, work) {
      const id = String(++count)
      const begun: OperationRecord = {
        id,
        kind,
        state: 'running',
        startedAt: clock(),
        endedAt: undefined,
        result: undefined,
        error: undefined,
      }
      records.set(id, begun)
      forgetOldest()
      const ended = work().then(
        (result) => {
          records.set(id, { ...begun, state: 'done', endedAt: clock(), result })
        },
        (error: unknown) => {
          if (!(error instanceof Refusal)) log(`operation ${id} (${kind}) failed`, error)
          records.set(id, {
            ...begun,
            state: 'failed',
            endedAt: clock(),
            error: recordOfError(error),
          })
        },
      )
      running.add(ended)
      void ended.then(() => running.delete(ended))
      return begun
    },
    get(id) {
      const record = records.get(id)
      if (record !== undefined) return record
      throw new Refusal('NOT_FOUND', 'operation/unknown', `There is no operation "${id}".`, {
        names: { operation: id },
      })
    },
    list: () => [...records.values()].reverse(),
    async idle() {
      await Promise.all(running)
    },
  }
}
