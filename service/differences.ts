// By how much two values of the same type differ, taken off the calling thread: both are read as streams,
// side by side, and only where their chunks are not the same anyhow.
import { Worker } from 'node:worker_threads'
import { wholeItems } from '../formats/index.ts'
import { byteLengthOf, elementCountOf, isNumeric, type NumericDType } from '../tensor/index.ts'
import {
  type DifferenceFigures,
  differenceOf,
  joinFigures,
  noDifference,
} from './difference-figures.ts'
import type { DifferenceOrder, DifferenceReply } from './difference-worker.ts'
import { checkGoing } from './operations.ts'
import type { ByteRange, ReadableValue } from './readable.ts'

/** By how much the elements of two values differ. */
export interface Difference {
  readonly elements: number
  /** NaN equals NaN here, and 0 equals -0. */
  readonly differing: number
  /** Of these, those whose difference is no finite number; they are left out of what follows. */
  readonly notFinite: number
  readonly greatest: number
  /** Over all other elements; undefined where there are none. */
  readonly mean: number | undefined
}

export interface DifferenceTaker {
  /**
   * Compares two values of the same numeric type and shape. `stretches`: bytes outside of which they are
   * known to be the same; whole elements. Undefined for strings.
   */
  of(
    before: ReadableValue,
    after: ReadableValue,
    stretches?: readonly ByteRange[],
    signal?: AbortSignal,
  ): Promise<Difference | undefined>
  close(): Promise<void>
}

// Values up to this length take less time than telling a thread of them.
const directBytes = 64 * 1024
// Pairs of pieces that wait in the thread at most, of one comparison.
const pairsAhead = 3

/** Compares; the thread starts with the first values that are large enough. */
export function createDifferences(): DifferenceTaker {
  const thread = new DifferenceThread()
  return {
    async of(before, after, stretches, signal) {
      const { dtype, shape, byteLength } = before
      if (!isNumeric(dtype)) return undefined
      const all = stretches ?? [{ offset: 0, length: byteLength }]
      const isSmall = all.reduce((sum, { length }) => sum + length, 0) <= directBytes
      let figures = noDifference
      for (const range of all) {
        const pairs = pairsOf(before.read(range), after.read(range), byteLengthOf(dtype))
        const taken = isSmall ? takeHere(dtype, pairs) : thread.take(dtype, pairs, signal)
        figures = joinFigures(figures, await taken)
      }
      const elements = elementCountOf(shape)
      const finite = elements - figures.notFinite
      return {
        elements,
        differing: figures.differing,
        notFinite: figures.notFinite,
        greatest: figures.greatest,
        mean: finite === 0 ? undefined : figures.sum / finite,
      }
    },
    close: () => thread.close(),
  }
}

type Pair = readonly [Uint8Array, Uint8Array]

/** Two streams of as many bytes as pairs of pieces of one length, whole items, the reader's own. */
async function* pairsOf(
  before: AsyncIterable<Uint8Array>,
  after: AsyncIterable<Uint8Array>,
  itemLength: number,
): AsyncGenerator<Pair> {
  const others = wholeItems(after, itemLength)[Symbol.asyncIterator]()
  const nothing = new Uint8Array(0)
  let other: Uint8Array = nothing
  try {
    for await (const piece of wholeItems(before, itemLength)) {
      let rest: Uint8Array = piece
      while (rest.byteLength > 0) {
        if (other.byteLength === 0) {
          const next = await others.next()
          if (next.done) throw new Error('two values of one type have one length')
          other = next.value
        }
        const length = Math.min(rest.byteLength, other.byteLength)
        // What is cut may not be given away: its other half lies in the same memory.
        const pair: Pair = [
          length === piece.byteLength ? piece : rest.slice(0, length),
          length === other.byteLength ? other : other.slice(0, length),
        ]
        rest = length === rest.byteLength ? nothing : rest.subarray(length)
        other = length === other.byteLength ? nothing : other.subarray(length)
        yield pair
      }
    }
  } finally {
    await others.return?.(undefined)
  }
}

async function takeHere(
  dtype: NumericDType,
  pairs: AsyncIterable<Pair>,
): Promise<DifferenceFigures> {
  let figures = noDifference
  for await (const [before, after] of pairs) {
    figures = joinFigures(figures, differenceOf(dtype, before, after))
  }
  return figures
}

interface Waiting {
  resolve(figures: DifferenceFigures): void
  reject(error: unknown): void
}

/** A thread that compares pairs; started when wanted, and again after it failed. */
class DifferenceThread {
  #worker: Worker | undefined
  #lastId = 0
  readonly #waiting = new Map<number, Waiting>()

  /** The figures of all pairs, which are given away. A signal ends it with its reason. */
  async take(
    dtype: NumericDType,
    pairs: AsyncIterable<Pair>,
    signal: AbortSignal | undefined,
  ): Promise<DifferenceFigures> {
    let figures = noDifference
    const underway: Promise<DifferenceFigures>[] = []
    try {
      for await (const [before, after] of pairs) {
        checkGoing(signal)
        const answer = this.#ask(dtype, before, after)
        // It is awaited below; until then nobody hears that it failed.
        answer.catch(() => undefined)
        underway.push(answer)
        if (underway.length < pairsAhead) continue
        figures = joinFigures(figures, await (underway.shift() as Promise<DifferenceFigures>))
      }
      for (const answer of underway) figures = joinFigures(figures, await answer)
      return figures
    } finally {
      if (this.#waiting.size === 0) this.#worker?.unref()
    }
  }

  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  #ask(dtype: NumericDType, before: Uint8Array, after: Uint8Array): Promise<DifferenceFigures> {
    const worker = this.#started()
    worker.ref()
    const id = ++this.#lastId
    const { promise, resolve, reject } = Promise.withResolvers<DifferenceFigures>()
    this.#waiting.set(id, { resolve, reject })
    const order: DifferenceOrder = { id, dtype, before, after }
    const buffers = [before.buffer, after.buffer].filter((buffer) => buffer instanceof ArrayBuffer)
    worker.postMessage(order, buffers)
    return promise
  }

  #started(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const worker = new Worker(new URL('./difference-worker.ts', import.meta.url), { execArgv: [] })
    worker.on('message', ({ id, figures }: DifferenceReply) => {
      this.#waiting.get(id)?.resolve(figures)
      this.#waiting.delete(id)
    })
    const lose = (error: unknown): void => {
      if (this.#worker === worker) this.#worker = undefined
      for (const { reject } of this.#waiting.values()) reject(error)
      this.#waiting.clear()
    }
    worker.once('error', lose)
    worker.once('exit', () => lose(new Error('the thread that compares values has ended')))
    this.#worker = worker
    return worker
  }
}
