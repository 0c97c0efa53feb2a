// Figures of values, taken off the calling thread: what is known already, who waits for the same, and
// one value after the other. How figures are taken is statistics-figures.ts's.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { wholeItems } from '../formats/index.ts'
import {
  byteLengthOf,
  elementCountOf,
  isNumeric,
  type NumericDType,
  Refusal,
} from '../tensor/index.ts'
import { waiterGone } from './endings.ts'
import type { Limits } from './limits.ts'
import type { ReadableValue } from './readable.ts'
import { type Figures, FigureTaker } from './statistics-figures.ts'
import type { StatisticsOrder, StatisticsReply } from './statistics-worker.ts'

/** Figures, and what they are figures of. */
export interface Statistics extends Figures {
  /** The elements, the magnitudes of complex ones, or the lengths of strings in bytes. */
  readonly of: 'elements' | 'magnitudes' | 'lengths'
}

export interface StatisticsTaker {
  /**
   * The figures of a value, with `bins` bins of equal width. Refuses (INVALID_ARGUMENT
   * `statistics/invalid`) more bins than the limit `statisticsBins`, and (RESOURCE_EXHAUSTED
   * `statistics/too-many`) where more wait already than the limit `statisticsQueued`. By `signal` the
   * wait ends (CANCELLED `wait/cancelled`); once nobody waits any more, so does the work.
   */
  of(value: ReadableValue, bins: number, signal?: AbortSignal): Promise<Statistics>
  close(): Promise<void>
}

// Of so many values and numbers of bins the figures are remembered.
const knownCount = 256
// Values up to this length take less time than telling a thread of them.
const directBytes = 64 * 1024

/** The bytes that figures are taken of. */
interface Source {
  readonly of: Statistics['of']
  readonly dtype: NumericDType
  read(): AsyncIterable<Uint8Array>
  readonly byteLength: number
}

/** Figures that are taken once for all who wait for them. */
interface Shared {
  readonly figures: Promise<Statistics>
  /** Aborted when nobody waits any more. */
  readonly deserted: AbortController
  waiting: number
}

/** Takes figures; the thread starts with the first value that is large enough. */
export function createStatistics(limits: Limits): StatisticsTaker {
  const known = new Map<string, Shared>()
  const thread = new FigureThread()
  let waiting = 0
  let last: Promise<unknown> = Promise.resolve()

  function inTurn(work: () => Promise<Figures>): Promise<Figures> {
    if (waiting >= limits.statisticsQueued) throw tooMany(limits.statisticsQueued)
    waiting++
    const done = last.then(work).finally(() => waiting--)
    last = done.catch(() => undefined)
    return done
  }

  async function take(source: Source, bins: number, signal: AbortSignal): Promise<Statistics> {
    const figures =
      source.byteLength <= directBytes
        ? await takeHere(source, bins)
        : await inTurn(() => thread.take(source, bins, signal))
    return { of: source.of, ...figures }
  }

  function begun(key: string, value: ReadableValue, bins: number): Shared {
    const deserted = new AbortController()
    const figures = take(sourceOf(value), bins, deserted.signal)
    const shared = { figures, deserted, waiting: 0 }
    known.set(key, shared)
    if (known.size > knownCount) known.delete(known.keys().next().value ?? '')
    const forget = () => {
      if (known.get(key) === shared) known.delete(key)
    }
    figures.catch(forget)
    deserted.signal.addEventListener('abort', forget)
    return shared
  }

  return {
    async of(value, bins, signal) {
      if (signal?.aborted === true) throw waiterGone()
      if (bins > limits.statisticsBins || bins < 1) throw badBins(bins, limits.statisticsBins)
      const key = `${value.dtype} [${value.shape}] ${value.digest} ${bins}`
      const found = known.get(key)
      if (found === undefined) return figuresFor(begun(key, value, bins), signal)
      known.delete(key)
      known.set(key, found)
      return figuresFor(found, signal)
    },
    close: () => thread.close(),
  }
}

/** Waits for the figures; the last one who leaves before they are there ends the work. */
async function figuresFor(shared: Shared, signal: AbortSignal | undefined): Promise<Statistics> {
  const left = Promise.withResolvers<never>()
  const leave = () => left.reject(waiterGone())
  signal?.addEventListener('abort', leave)
  shared.waiting++
  let hasLeft = true
  try {
    const figures = await Promise.race([shared.figures, left.promise])
    hasLeft = false
    return figures
  } finally {
    signal?.removeEventListener('abort', leave)
    shared.waiting--
    if (hasLeft && shared.waiting === 0) shared.deserted.abort()
  }
}

/** Strings are known by their lengths, which stand before them: 4 bytes each. */
function sourceOf(value: ReadableValue): Source {
  const { dtype, byteLength } = value
  if (isNumeric(dtype)) {
    const isComplex = dtype === 'complex64' || dtype === 'complex128'
    const of = isComplex ? 'magnitudes' : 'elements'
    return { of, dtype, byteLength, read: () => wholeItems(value.read(), byteLengthOf(dtype)) }
  }
  const length = 4 * elementCountOf(value.shape)
  const read = () => wholeItems(value.read({ offset: 0, length }), 4)
  return { of: 'lengths', dtype: 'uint32', byteLength: length, read }
}

async function takeHere(source: Source, bins: number): Promise<Figures> {
  const taker = new FigureTaker(source.dtype, bins)
  for await (const piece of source.read()) taker.take(piece)
  taker.turn()
  for await (const piece of source.read()) taker.take(piece)
  return taker.figures()
}

// Pieces that wait in the thread at most.
const piecesAhead = 4

/** A thread that takes one value's figures at a time; started when wanted, and again after it failed. */
class FigureThread {
  #worker: Worker | undefined

  async take(source: Source, bins: number, signal: AbortSignal): Promise<Figures> {
    if (signal.aborted) throw waiterGone()
    const worker = this.#started()
    worker.ref()
    const reply = new Replies(worker)
    const tell = (order: StatisticsOrder, transfer: readonly ArrayBuffer[] = []) =>
      worker.postMessage(order, transfer)
    try {
      tell({ kind: 'begin', dtype: source.dtype, bins })
      for (const pass of [1, 2]) {
        if (pass === 2) tell({ kind: 'turn' })
        for await (const bytes of source.read()) {
          if (signal.aborted) throw waiterGone()
          const { buffer } = bytes
          tell({ kind: 'piece', bytes }, buffer instanceof ArrayBuffer ? [buffer] : [])
          await reply.untilFewer(piecesAhead)
        }
      }
      tell({ kind: 'end' })
      return await reply.figures()
    } catch (error) {
      // What it was told so far belongs to no value any more.
      await this.close()
      throw error
    } finally {
      reply.end()
      worker.unref()
    }
  }

  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  #started(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const worker = new Worker(new URL('./statistics-worker.ts', import.meta.url), { execArgv: [] })
    // Waiting for nothing, it does not keep the process alive.
    worker.unref()
    const forget = () => {
      if (this.#worker === worker) this.#worker = undefined
    }
    worker.once('error', forget)
    worker.once('exit', forget)
    this.#worker = worker
    return worker
  }
}

/** The answers of the thread to one value. */
class Replies {
  readonly #worker: Worker
  readonly #abort = new AbortController()
  readonly #lost: Promise<never>
  readonly #figures = Promise.withResolvers<Figures>()
  #sent = 0
  #wake: () => void = () => undefined

  constructor(worker: Worker) {
    this.#worker = worker
    worker.on('message', this.#hear)
    const { signal } = this.#abort
    this.#lost = Promise.race([
      once(worker, 'exit', { signal }),
      once(worker, 'messageerror', { signal }),
    ]).then(
      () => {
        throw new Error('the thread that takes figures has ended')
      },
      (error: unknown) => {
        throw error
      },
    )
    // Each wait below takes it into account; until the first of them nobody does.
    this.#lost.catch(() => undefined)
  }

  /** One piece more was sent: waits until fewer than `most` are still to be taken. */
  async untilFewer(most: number): Promise<void> {
    this.#sent++
    while (this.#sent >= most) {
      const taken = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      await Promise.race([taken, this.#lost])
    }
  }

  figures(): Promise<Figures> {
    return Promise.race([this.#figures.promise, this.#lost])
  }

  end(): void {
    this.#worker.off('message', this.#hear)
    this.#abort.abort()
  }

  readonly #hear = (reply: StatisticsReply): void => {
    if (reply.kind === 'figures') this.#figures.resolve(reply.figures)
    else {
      this.#sent--
      this.#wake()
    }
  }
}

function badBins(bins: number, most: number): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'statistics/invalid',
    `A histogram has 1 to ${most} bins; ${bins} were asked for.`,
    { fix: 'See statistics_bins of GET /v1/limits.' },
  )
}

function tooMany(most: number): Refusal {
  return new Refusal(
    'RESOURCE_EXHAUSTED',
    'statistics/too-many',
    `${most} values wait already for their statistics to be taken.`,
    { fix: 'Ask again once some of them are done.' },
  )
}
