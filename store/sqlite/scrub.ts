// The scrub: goes over all content again and again, slowly, and remembers where it stands. A step is
// small and waits while readers have work for the bulk workers.
import type { ByteReport, ScrubStatus } from '../trust.ts'
import { type CheckHost, checkPortions, Portions, reading } from './content-check.ts'
import type { StoreLimits } from './limits.ts'
import type { Checked, DamagedRow, ScrubPlace, ScrubState } from './messages.ts'

/** Bytes of a step in the background, and of one that is in a hurry, for each bulk worker. */
const slowStepByteLength = 1024 * 1024
const fastStepByteLength = 16 * 1024 * 1024
/** Rows of a step, however small they are. */
const stepCount = 2_000
/** Where the pass stands is written down this often. */
const noteMs = 10_000
/** A step waits so long for readers at most, so that a pass ends also where there are always some. */
const yieldMs = 1_000
const yieldStepMs = 10
const mostDelayMs = 60_000

/** What the scrub needs of its store. */
export interface ScrubHost extends CheckHost {
  readonly limits: StoreLimits
  /** Milliseconds since the epoch. */
  readonly clock: () => number
  /** Damage that was not told of before. */
  found(damaged: readonly DamagedRow[]): void
  log(message: string): void
}

interface Step {
  readonly portions: Portions
  /** Where the pass stands after it. */
  readonly place: ScrubPlace
  readonly isLast: boolean
}

const nothingChecked = { chunkId: 0, valueId: 0 }

/** Passes on a timer until `stop`; `run` makes a whole one at once. */
export class Scrub {
  readonly #host: ScrubHost
  #state: ScrubState | undefined
  #notedMs = 0
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<unknown> = Promise.resolve()
  readonly #stopping = new AbortController()

  constructor(host: ScrubHost) {
    this.#host = host
  }

  start(): void {
    const { scrubBytesPerSecond, scrubFirstStepMs } = this.#host.limits
    if (scrubBytesPerSecond > 0) this.#schedule(scrubFirstStepMs)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    clearTimeout(this.#timer)
    await this.#turn
    const state = this.#state
    if (state?.startedAt !== undefined) await this.#note(state)
  }

  async status(): Promise<ScrubStatus> {
    const { scrubBytesPerSecond: bytesPerSecond } = this.#host.limits
    const state = await this.#known()
    const { startedAt, chunks, byteLength, finished } = state
    const pass = startedAt === undefined ? undefined : { startedAt, chunks, byteLength }
    const isOff = bytesPerSecond === 0
    return {
      state: pass !== undefined ? 'running' : isOff ? 'off' : 'waiting',
      bytesPerSecond,
      pass,
      finished,
      nextAt: isOff || pass !== undefined ? undefined : this.#nextAt(state),
    }
  }

  /** A whole pass from the start, as fast as readers let it. One that was under way is given up. */
  run(report: ByteReport = () => undefined, signal?: AbortSignal): Promise<Checked> {
    return this.#exclusively(async () => {
      const { bulk, clock } = this.#host
      const extent = (await bulk.next().call('extent', null)).byteLength
      const damaged: DamagedRow[] = []
      const { finished } = await this.#known()
      this.#state = freshPass(clock(), finished)
      for (;;) {
        signal?.throwIfAborted()
        this.#stopping.signal.throwIfAborted()
        await this.#yield()
        const done = await this.#step(fastStepByteLength * bulk.lanes.length)
        damaged.push(...done.checked.damaged)
        if (done.isLast) break
        report(done.byteLength, Math.max(extent, done.byteLength))
        await this.#noteNowAndThen()
      }
      const { chunks = 0, byteLength = 0 } = this.#state?.finished ?? {}
      report(byteLength, byteLength)
      return { chunks, byteLength, damaged, whole: [] }
    })
  }

  #nextAt({ finished }: ScrubState): number {
    return finished === undefined
      ? this.#host.clock()
      : finished.at + this.#host.limits.scrubIntervalMs
  }

  async #known(): Promise<ScrubState> {
    this.#state ??= await this.#host.writer.call('scrubState', null)
    return this.#state
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  #schedule(delayMs: number): void {
    if (this.#stopping.signal.aborted) return
    this.#timer = setTimeout(() => void this.#tick(), Math.min(delayMs, mostDelayMs))
    this.#timer.unref()
  }

  async #tick(): Promise<void> {
    let delayMs = mostDelayMs
    try {
      delayMs = await this.#exclusively(() => this.#slowStep())
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      this.#host.log(`the scrub failed: ${error instanceof Error ? error.message : error}`)
    }
    this.#schedule(delayMs)
  }

  /** One step in the background; how long to wait until the next. */
  async #slowStep(): Promise<number> {
    const { clock, limits } = this.#host
    const state = await this.#known()
    if (state.startedAt === undefined) {
      const waitMs = this.#nextAt(state) - clock()
      if (waitMs > 0) return waitMs
      this.#state = freshPass(clock(), state.finished)
    }
    await this.#yield()
    const { checked } = await this.#step(slowStepByteLength)
    await this.#noteNowAndThen()
    return (checked.byteLength * 1000) / limits.scrubBytesPerSecond
  }

  /** Waits until no reader has work for the bulk workers, but not for ever. */
  async #yield(): Promise<void> {
    const { lanes } = this.#host.bulk
    const begun = performance.now()
    while (lanes.some(({ pending }) => pending > 0) && performance.now() - begun < yieldMs) {
      await new Promise((resolve) => setTimeout(resolve, yieldStepMs))
    }
  }

  async #step(
    byteLength: number,
  ): Promise<{ readonly checked: Checked; readonly byteLength: number; readonly isLast: boolean }> {
    const before = await this.#known()
    const { portions, place, isLast } = this.#plan(before.place, byteLength)
    const checked = await checkPortions(this.#host, portions, undefined, this.#stopping.signal)
    if (checked.damaged.length > 0) this.#host.found(checked.damaged)
    const after: ScrubState = {
      ...before,
      place,
      chunks: before.chunks + checked.chunks,
      byteLength: before.byteLength + checked.byteLength,
    }
    this.#state = after
    if (isLast) {
      const at = this.#host.clock()
      const finished = { at, chunks: after.chunks, byteLength: after.byteLength }
      const place = nothingChecked
      this.#state = { startedAt: undefined, place, chunks: 0, byteLength: 0, finished }
      await this.#note(this.#state)
    }
    return { checked, byteLength: after.byteLength, isLast }
  }

  /** What comes after a place: chunks by their ids, then inline contents by theirs. */
  #plan({ chunkId, valueId }: ScrubPlace, byteLength: number): Step {
    const { connection } = this.#host
    const portions = new Portions()
    const place = { chunkId, valueId }
    const chunks = sizes(connection, 'chunk_id', 'chunk', chunkId)
    for (const { id, byte_length: length } of chunks) {
      if (portions.byteLength >= byteLength) return { portions, place, isLast: false }
      portions.add('chunks', id, length)
      place.chunkId = id
    }
    if (chunks.length === stepCount) return { portions, place, isLast: false }
    const inline = sizes(
      connection,
      'value_id',
      'inline_content JOIN value USING (value_id)',
      valueId,
    )
    for (const { id, byte_length: length } of inline) {
      if (portions.byteLength >= byteLength) return { portions, place, isLast: false }
      portions.add('inline', id, length)
      place.valueId = id
    }
    return { portions, place, isLast: inline.length < stepCount }
  }

  async #noteNowAndThen(): Promise<void> {
    const nowMs = performance.now()
    const state = this.#state
    if (state?.startedAt === undefined || nowMs - this.#notedMs < noteMs) return
    this.#notedMs = nowMs
    await this.#note(state)
  }

  /** Where that fails the pass is merely begun again after the next start. */
  async #note(state: ScrubState): Promise<void> {
    await Promise.allSettled([this.#host.writer.call('scrubbed', { state })])
  }
}

function freshPass(startedAt: number, finished: ScrubState['finished']): ScrubState {
  return { startedAt, place: nothingChecked, chunks: 0, byteLength: 0, finished }
}

interface SizedRow {
  readonly id: number
  readonly byte_length: number
}

function sizes(
  connection: ScrubHost['connection'],
  key: 'chunk_id' | 'value_id',
  table: string,
  after: number,
): SizedRow[] {
  return reading(() =>
    connection.all<SizedRow>(
      `SELECT ${key} AS id, byte_length FROM ${table} WHERE ${key} > ? ORDER BY ${key} LIMIT ?`,
      after,
      stepCount,
    ),
  )
}
