// Whether the bytes are still what they were: checks of values and of everything, what is known to be
// damaged, and who is concerned. Reading goes on beside all of it.
import type { ValueId } from '../port.ts'
import type { ByteReport, ContentReport, DamagedContent, Trust, ValueHolders } from '../trust.ts'
import {
  checkPortions,
  entriesOf,
  placesOf,
  portionsOfValues,
  reading,
  variablesOf,
} from './content-check.ts'
import type { DamagedRow } from './messages.ts'
import { Scrub, type ScrubHost } from './scrub.ts'
import { damagedRowsOf } from './scrub-rows.ts'

/** Tensors that are told of as holders of damaged values at most. */
const mostEntries = 10_000
/** Chunks whose damage is written to the log one by one. */
const mostLogged = 20

/** What the parts of this file need of their store. */
export interface TrustHost extends Omit<ScrubHost, 'found'> {
  checkOpen(): void
}

/** The trust of the SQLite store. */
export class SqliteTrust implements Trust {
  readonly #host: TrustHost
  readonly #scrub: Scrub

  constructor(host: TrustHost) {
    this.#host = host
    this.#scrub = new Scrub({ ...host, found: (damaged) => this.#tell(damaged) })
  }

  start(): void {
    this.#scrub.start()
  }

  stop(): Promise<void> {
    return this.#scrub.stop()
  }

  async verify(
    valueIds: readonly ValueId[],
    report?: ByteReport,
    signal?: AbortSignal,
  ): Promise<ContentReport> {
    this.#host.checkOpen()
    const portions = await portionsOfValues(this.#host, valueIds)
    const { chunks, byteLength, damaged } = await checkPortions(
      this.#host,
      portions,
      report,
      signal,
    )
    this.#tell(damaged)
    return { chunks, byteLength, damaged: await placesOf(this.#host, damaged, valueIds) }
  }

  async holders(valueIds: readonly ValueId[]): Promise<readonly ValueHolders[]> {
    this.#host.checkOpen()
    if (valueIds.length === 0) return []
    const variables = await variablesOf(this.#host, valueIds)
    const entries = await entriesOf(this.#host, valueIds, mostEntries)
    return valueIds.map((wanted) => ({
      variables: variables
        .filter(({ valueId }) => valueId === wanted)
        .map(({ container, name }) => ({ container, name })),
      tensors: entries
        .filter(({ valueId }) => valueId === wanted)
        .map(({ checkpoint, tensor }) => ({ checkpoint, tensor })),
    }))
  }

  async damage(limit: number): Promise<readonly DamagedContent[]> {
    this.#host.checkOpen()
    const rows = reading(() => damagedRowsOf(this.#host.connection, limit))
    return placesOf(this.#host, rows)
  }

  scrubStatus(): ReturnType<Trust['scrubStatus']> {
    this.#host.checkOpen()
    return this.#scrub.status()
  }

  async scrub(report?: ByteReport, signal?: AbortSignal): Promise<ContentReport> {
    this.#host.checkOpen()
    const { chunks, byteLength, damaged } = await this.#scrub.run(report, signal)
    return { chunks, byteLength, damaged: await placesOf(this.#host, damaged) }
  }

  #tell(damaged: readonly DamagedRow[]): void {
    for (const { digest, problem } of damaged.slice(0, mostLogged)) {
      const hex = Buffer.from(digest).toString('hex')
      this.#host.log(`the chunk of SHA-256 ${hex} is damaged: ${problem}`)
    }
    const others = damaged.length - mostLogged
    if (others > 0) this.#host.log(`${others} more chunks are damaged`)
  }
}
