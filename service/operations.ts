// Long work that a request does not wait for: its state, progress, result and end, however it comes: done,
// failed or cancelled. Kept in memory, the newest thousand of them; what was under way when the process
// ended is gone, as its work is.
import { Refusal, type RefusalRecord, recordOfError } from '../tensor/index.ts'
import { checkKey, digestOfRequest, keyOfAnotherRequest } from './idempotency.ts'

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
  readonly state: 'running' | 'done' | 'failed' | 'cancelled'
  /** Whether it was told to stop and has not ended yet. */
  readonly isCancelling: boolean
  readonly progress: Progress
  readonly startedAt: number
  readonly endedAt: number | undefined
  readonly result: unknown
  readonly error: RefusalRecord | undefined
}

/** What work is given: a place to say how far it is, as often as it likes, and a signal to stop. */
export interface Watch {
  report(progress: Progress): void
  readonly signal: AbortSignal
}

/**
 * Work. Once the signal ends it, it should refuse soon, having undone what it did; where it comes to its
 * end all the same, that counts.
 */
type Work = (report: Watch['report'], signal: AbortSignal) => Promise<unknown>

/** A request that may be sent twice but begins its work once. */
export interface OperationKey {
  readonly key: string | undefined
  /** What is asked, in full. */
  readonly described: readonly unknown[]
}

/** Refuses (CANCELLED `operation/cancelled`) to go on once the signal says so. */
export function checkGoing(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return
  throw new Refusal('CANCELLED', 'operation/cancelled', 'The operation was cancelled.')
}

export interface Operations {
  /**
   * Begins `work` and answers at once. Of a key that came before, the operation that it began, unless
   * that has failed or was cancelled. Refuses (INVALID_ARGUMENT `idempotency/mismatch`) a key of another
   * request.
   */
  start(kind: string, work: Work, idempotency?: OperationKey): OperationRecord
  get(id: string): OperationRecord
  list(): readonly OperationRecord[]
  /**
   * The operation as it is, and again whenever it has changed, until it has ended or the signal ends
   * the list. Changes that come together, or faster than they are read, are told as one. After
   * `silenceMs` without any it is told as it is. Refuses NOT_FOUND `operation/unknown`.
   */
  follow(id: string, silenceMs: number, signal: AbortSignal): AsyncIterable<OperationRecord>
  /**
   * Tells an operation to stop, and waits a moment for its end. Refuses (FAILED_PRECONDITION
   * `operation/ended`) one that is done or has failed.
   */
  cancel(id: string): Promise<OperationRecord>
  /** Resolves when nothing is under way. What is not done after `graceMs` is told to stop. */
  idle(graceMs?: number): Promise<void>
}

const mostKept = 1000
/** Changes are told at most once in this time. */
const tellMs = 100
/** How long a cancel waits for the end. */
const cancelMs = 2_000

/** Operations, none of them begun. `log` hears of work that failed by our own mistake. */
export function createOperations(
  clock: () => number,
  log: (message: string, error: unknown) => void,
): Operations {
  const records = new Map<string, OperationRecord>()
  const running = new Map<
    string,
    { readonly ended: Promise<void>; readonly stop: AbortController }
  >()
  const keys = new Map<string, { readonly id: string; readonly digest: string }>()
  const followers = new Map<string, Set<() => void>>()
  let count = 0

  function forgetOldest(): void {
    if (records.size <= mostKept) return
    for (const [id, { state }] of records) {
      if (records.size <= mostKept) break
      if (state !== 'running') records.delete(id)
    }
    for (const [key, { id }] of keys) if (!records.has(id)) keys.delete(key)
  }

  function get(id: string): OperationRecord {
    const record = records.get(id)
    if (record !== undefined) return record
    throw new Refusal('NOT_FOUND', 'operation/unknown', `There is no operation "${id}".`, {
      fix: 'They are listed at GET /v1/operations; those of before the last start are gone.',
      names: { operation: id },
    })
  }

  /** The operation that the key began. */
  function earlier(key: string, digest: string): OperationRecord | undefined {
    const known = keys.get(key)
    const record = known && records.get(known.id)
    if (record === undefined || record.state === 'failed' || record.state === 'cancelled') {
      return undefined
    }
    if (known?.digest === digest) return record
    throw keyOfAnotherRequest(key)
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
    start(kind, work, { key, described } = { key: undefined, described: [] }) {
      const digest = key === undefined ? '' : digestOfRequest([kind, ...described])
      if (key !== undefined) {
        checkKey(key)
        const begun = earlier(key, digest)
        if (begun !== undefined) return begun
      }
      const id = String(++count)
      const begun: OperationRecord = {
        id,
        kind,
        state: 'running',
        isCancelling: false,
        progress: { bytesDone: 0, bytesTotal: undefined },
        startedAt: clock(),
        endedAt: undefined,
        result: undefined,
        error: undefined,
      }
      records.set(id, begun)
      if (key !== undefined) keys.set(key, { id, digest })
      forgetOldest()
      const stop = new AbortController()
      const end = (changes: Partial<OperationRecord>) => {
        running.delete(id)
        change(id, { ...changes, endedAt: clock(), isCancelling: false })
      }
      const ended = work((progress) => change(id, { progress }), stop.signal).then(
        (result) => end({ state: 'done', result }),
        (error: unknown) => {
          if (stop.signal.aborted) return end({ state: 'cancelled' })
          if (!(error instanceof Refusal)) log(`operation ${id} (${kind}) failed`, error)
          end({ state: 'failed', error: recordOfError(error) })
        },
      )
      running.set(id, { ended, stop })
      return begun
    },
    async cancel(id) {
      const { state } = get(id)
      const work = running.get(id)
      if (state === 'cancelled') return get(id)
      if (work === undefined) {
        throw new Refusal(
          'FAILED_PRECONDITION',
          'operation/ended',
          `Operation ${id} cannot be cancelled: it is ${state === 'done' ? 'done' : 'over, it failed'}.`,
          { names: { operation: id } },
        )
      }
      change(id, { isCancelling: true })
      work.stop.abort()
      await within(cancelMs, work.ended)
      return get(id)
    },
    get,
    list: () => [...records.values()].reverse(),
    follow(id, silenceMs, signal) {
      const first = get(id)
      return changesOf(id, first, silenceMs, signal)
    },
    async idle(graceMs) {
      const all = [...running.values()]
      const ended = Promise.all(all.map((one) => one.ended))
      if (graceMs !== undefined) {
        await within(graceMs, ended)
        for (const { stop } of running.values()) stop.abort()
      }
      await ended
    },
  }
}

/** Waits for the end, but no longer than so long. */
async function within(ms: number, ended: Promise<unknown>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  await Promise.race([promise, ended])
  clearTimeout(timer)
}

/** Lets changes gather. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, tellMs))
}
