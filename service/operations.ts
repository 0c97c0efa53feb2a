// Long work that a request does not wait for: its state, progress, result and end. Kept in memory, the
// newest thousand of them; what was under way when the process ended is gone, as its work is.
import { Refusal, type RefusalRecord, recordOfError } from '../tensor/index.ts'

/** How far a piece of work is. */
export interface Progress {
  readonly bytesDone: number
  /** Undefined as long as nobody knows. */
  readonly bytesTotal: number | undefined
}

/** A piece of work. */
export interface OperationRecord {
  readonly id: string
  readonly kind: string
  readonly state: 'running' | 'done' | 'failed'
  readonly progress: Progress
  readonly startedAt: number
  readonly endedAt: number | undefined
  readonly result: unknown
  readonly error: RefusalRecord | undefined
}

/** Work, which may say how far it is as often as it likes. */
type Work = (report: (progress: Progress) => void) => Promise<unknown>

export interface Operations {
  /** Begins `work` and answers at once. */
  start(kind: string, work: Work): OperationRecord
  get(id: string): OperationRecord
  list(): readonly OperationRecord[]
  /**
   * The operation as it is, and again whenever it has changed, until it has ended or the signal ends
   * the list. Changes that come together, or faster than they are read, are told as one. After
   * `silenceMs` without any it is told as it is. Refuses NOT_FOUND `operation/unknown`.
   */
  follow(id: string, silenceMs: number, signal: AbortSignal): AsyncIterable<OperationRecord>
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
}

const mostKept = 1000
/** Changes are told at most once in this time. */
const tellMs = 100

/** Operations, none of them begun. `log` hears of work that failed by our own mistake. */
export function createOperations(
  clock: () => number,
  log: (message: string, error: unknown) => void,
): Operations {
  const records = new Map<string, OperationRecord>()
  const running = new Set<Promise<void>>()
  const followers = new Map<string, Set<() => void>>()
  let count = 0

  function forgetOldest(): void {
    for (const [id, { state }] of records) {
      if (records.size <= mostKept) return
      if (state !== 'running') records.delete(id)
    }
  }

  function get(id: string): OperationRecord {
    const record = records.get(id)
    if (record !== undefined) return record
    throw new Refusal('NOT_FOUND', 'operation/unknown', `There is no operation "${id}".`, {
      fix: 'They are listed at GET /v1/operations; those of before the last start are gone.',
      names: { operation: id },
    })
  }

  /** Changes a record that is still running, and tells who follows it. */
  function change(id: string, changes: Partial<OperationRecord>): void {
    const record = records.get(id)
    if (record?.state !== 'running') return
    records.set(id, { ...record, ...changes })
    for (const wake of followers.get(id) ?? []) wake()
  }

  async function* changesOf(
    id: string,
    first: OperationRecord,
    silenceMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<OperationRecord> {
    let told = first
    let wake = (): void => undefined
    const listener = () => wake()
    const listeners = followers.get(id) ?? new Set()
    followers.set(id, listeners.add(listener))
    signal.addEventListener('abort', listener)
    try {
      while (!signal.aborted) {
        yield told
        if (told.state !== 'running') return
        const woken = Promise.withResolvers<void>()
        const timer = setTimeout(woken.resolve, silenceMs)
        wake = woken.resolve
        if (records.get(id) === told && !signal.aborted) await woken.promise
        clearTimeout(timer)
        if (records.get(id)?.state === 'running' && !signal.aborted) await pause()
        told = records.get(id) ?? told
      }
    } finally {
      signal.removeEventListener('abort', listener)
      listeners.delete(listener)
      if (listeners.size === 0) followers.delete(id)
    }
  }

  return {
    start(kind, work) {
      const id = String(++count)
      const begun: OperationRecord = {
        id,
        kind,
        state: 'running',
        progress: { bytesDone: 0, bytesTotal: undefined },
        startedAt: clock(),
        endedAt: undefined,
        result: undefined,
        error: undefined,
      }
      records.set(id, begun)
      forgetOldest()
      const ended = work((progress) => change(id, { progress })).then(
        (result) => change(id, { state: 'done', endedAt: clock(), result }),
        (error: unknown) => {
          if (!(error instanceof Refusal)) log(`operation ${id} (${kind}) failed`, error)
          change(id, { state: 'failed', endedAt: clock(), error: recordOfError(error) })
        },
      )
      running.add(ended)
      void ended.then(() => running.delete(ended))
      return begun
    },
    get,
    list: () => [...records.values()].reverse(),
    follow(id, silenceMs, signal) {
      const first = get(id)
      return changesOf(id, first, silenceMs, signal)
    },
    async idle() {
      await Promise.all(running)
    },
  }
}

/** Lets changes gather. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, tellMs))
}
