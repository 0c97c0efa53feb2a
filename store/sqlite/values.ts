// Values on the calling thread: small ones are read here, large ones by bulk workers, a few chunks
// ahead of whoever takes them.
import { createHash } from 'node:crypto'
import { crc32c } from '@node-rs/crc32'
import { freeMemory, Refusal } from '../../tensor/index.ts'
import type {
  ChunkRecord,
  Json,
  Staging,
  ValueId,
  ValueRecord,
  Values,
  Verification,
} from '../port.ts'
import type { BulkPool } from './bulk-pool.ts'
import type { WorkerClient } from './calls.ts'
import { damagedChunk } from './chunk-reader.ts'
import { chunkByteLength } from './limits.ts'
import type { DamagedChunk, WriterCalls, WriterNotice } from './messages.ts'
import type { CatalogueReader } from './reader.ts'
import { hexOf } from './records.ts'
import { SmallValues } from './small-values.ts'

/** Chunks that a stream reads ahead. */
const readAheadCount = 4
/** Chunks that one question to a bulk worker verifies. */
const verifyCount = 8

/** What reading values needs of its store. */
export interface ValuesHost {
  readonly writer: WorkerClient<WriterCalls, WriterNotice>
  readonly bulk: BulkPool
  readonly reader: CatalogueReader
  newStaging(): Staging
  figures(valueIds: readonly ValueId[]): ReadonlyMap<ValueId, Json>
  checkOpen(): void
  /** The error of a read, with the names of whom it concerns. */
  named(valueId: ValueId, error: unknown): Promise<unknown>
}

function unknownValue(): Refusal {
  return new Refusal('NOT_FOUND', 'value/unknown', 'The value is no longer in the store.', {
    fix: 'Read again what named it.',
  })
}

interface Range {
  readonly offset: number
  readonly length: number
}

function checkRange({ offset, length }: Range, byteLength: number): void {
  const isWhole = Number.isSafeInteger(offset) && Number.isSafeInteger(length)
  if (isWhole && offset >= 0 && length >= 0 && offset + length <= byteLength) return
  throw new Refusal(
    'OUT_OF_RANGE',
    'value/range',
    `The value has ${byteLength} bytes; ${length} bytes from ${offset} were asked for.`,
  )
}

/** The values of the SQLite store. */
export class SqliteValues implements Values {
  readonly #host: ValuesHost
  readonly #small = new SmallValues()

  constructor(host: ValuesHost) {
    this.#host = host
  }

  /** Values were freed: what is in memory may be of one of them. */
  forget(): void {
    this.#small.clear()
  }

  stage(): Staging {
    this.#host.checkOpen()
    return this.#host.newStaging()
  }

  async record(valueId: ValueId): Promise<ValueRecord | undefined> {
    this.#host.checkOpen()
    return this.#host.reader.record(valueId)
  }

  async *read(valueId: ValueId, range?: Range): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#read(valueId, range)
    } catch (error) {
      throw await this.#host.named(valueId, error)
    }
  }

  async *#read(valueId: ValueId, range?: Range): AsyncGenerator<Uint8Array> {
    const record = this.#small.get(valueId)?.record ?? this.#known(valueId)
    const wanted = range ?? { offset: 0, length: record.byteLength }
    checkRange(wanted, record.byteLength)
    const inline = this.#inline(record)
    if (inline !== undefined) {
      if (wanted.length > 0) yield inline.subarray(wanted.offset, wanted.offset + wanted.length)
    } else if (wanted.length > 0) {
      yield* this.#readChunks(valueId, wanted)
    }
  }

  atHand(valueId: ValueId): Uint8Array | undefined {
    this.#host.checkOpen()
    return this.#small.get(valueId)?.bytes
  }

  async bytes(valueId: ValueId): Promise<Uint8Array> {
    try {
      return await this.#bytes(valueId)
    } catch (error) {
      throw await this.#host.named(valueId, error)
    }
  }

  async #bytes(valueId: ValueId): Promise<Uint8Array> {
    const record = this.#small.get(valueId)?.record ?? this.#known(valueId)
    const inline = this.#inline(record)
    if (inline !== undefined) return inline
    const bytes = new Uint8Array(record.byteLength)
    let offset = 0
    for await (const piece of this.#readChunks(valueId, { offset: 0, length: bytes.byteLength })) {
      bytes.set(piece, offset)
      offset += piece.byteLength
      freeMemory(piece)
    }
    return bytes
  }

  /** Re-reads every chunk against its SHA-256. Refuses (NOT_FOUND) a value that is gone. */
  async verify(valueId: ValueId): Promise<Verification> {
    const record = this.#known(valueId)
    const inline = this.#host.reader.inlineContent(valueId)
    if (inline !== undefined) return this.#verifyInline(record, inline.bytes)
    const count = Math.ceil(record.byteLength / chunkByteLength)
    const damaged: DamagedChunk[] = []
    const parts = Array.from({ length: Math.ceil(count / verifyCount) }, (_, part) => part)
    await this.#whileHeld(valueId, async () => {
      // Every bulk worker takes the next part as soon as it is done with one.
      await Promise.all(
        this.#host.bulk.lanes.map(async (lane) => {
          for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
            const ordinal = part * verifyCount
            const request = { valueId, ordinal, count: Math.min(verifyCount, count - ordinal) }
            damaged.push(...(await lane.call('verify', request)).damaged)
          }
        }),
      )
    })
    damaged.sort((a, b) => a.ordinal - b.ordinal)
    if (damaged.length > 0) await this.#noteDamage(damaged.map(({ digest }) => digest))
    return {
      chunks: count,
      damaged: damaged.map((one) => ({ ...one, digest: hexOf(one.digest) })),
    }
  }

  async figures(valueIds: readonly ValueId[]): Promise<ReadonlyMap<ValueId, Json>> {
    return this.#host.figures(valueIds)
  }

  /** Chunks of the content in order, so that shared ones can be counted; an inline value is one. */
  async chunks(valueId: ValueId): Promise<readonly ChunkRecord[]> {
    const { digest, byteLength } = this.#known(valueId)
    const chunks = this.#host.reader.chunks(valueId)
    return chunks.length > 0 ? chunks : [{ digest, byteLength }]
  }

  #known(valueId: ValueId): ValueRecord {
    this.#host.checkOpen()
    const record = this.#host.reader.record(valueId)
    if (record === undefined) throw unknownValue()
    return record
  }

  /** Bytes that are the caller's own, checked; undefined where the value lies in chunks. */
  #inline(record: ValueRecord): Uint8Array | undefined {
    this.#host.checkOpen()
    const known = this.#small.get(record.valueId)
    const inline = known ?? this.#host.reader.inlineContent(record.valueId)
    if (inline === undefined) return undefined
    const isWhole = inline.bytes.byteLength === record.byteLength
    if (isWhole && crc32c(inline.bytes) === inline.crc32c) {
      if (known === undefined) this.#small.keep({ record, ...inline })
      return new Uint8Array(inline.bytes)
    }
    void this.#noteDamage([], [record.valueId])
    throw damagedChunk(0, Buffer.from(record.digest, 'hex'), 'its crc32c differs')
  }

  async #verifyInline(record: ValueRecord, bytes: Uint8Array): Promise<Verification> {
    const digest = createHash('sha256').update(bytes).digest('hex')
    if (digest === record.digest) return { chunks: 1, damaged: [] }
    await this.#noteDamage([], [record.valueId])
    const damage = { ordinal: 0, digest: record.digest, problem: 'its SHA-256 differs' }
    return { chunks: 1, damaged: [damage] }
  }

  async *#readChunks(valueId: ValueId, { offset, length }: Range): AsyncGenerator<Uint8Array> {
    const end = offset + length
    const last = Math.floor((end - 1) / chunkByteLength)
    let next = Math.floor(offset / chunkByteLength)
    let ordinal = next
    const ahead: Promise<ArrayBuffer>[] = []
    await this.#hold(valueId)
    try {
      for (; ordinal <= last; ordinal++) {
        for (; next <= last && ahead.length < readAheadCount; next++) {
          const piece = this.#host.bulk.next().call('read', { valueId, ordinal: next })
          piece.catch(() => undefined)
          ahead.push(piece)
        }
        const bytes = new Uint8Array(await (ahead.shift() as Promise<ArrayBuffer>))
        const start = ordinal * chunkByteLength
        yield bytes.subarray(Math.max(0, offset - start), Math.min(bytes.byteLength, end - start))
      }
    } catch (error) {
      if (error instanceof Refusal && error.reason === 'store/chunk-damaged') {
        await this.#noteDamage([new Uint8Array(Buffer.from(String(error.names.digest), 'hex'))])
      }
      throw error
    } finally {
      this.#release(valueId)
    }
  }

  async #whileHeld(valueId: ValueId, work: () => Promise<void>): Promise<void> {
    await this.#hold(valueId)
    try {
      await work()
    } finally {
      this.#release(valueId)
    }
  }

  async #hold(valueId: ValueId): Promise<void> {
    if (!(await this.#host.writer.call('hold', { valueId }))) throw unknownValue()
  }

  #release(valueId: ValueId): void {
    // Where the store worker is lost there is nothing left to release.
    this.#host.writer.call('release', { valueId }).catch(() => undefined)
  }

  /** So that the same content, sent again, is taken in anew. Reading goes on if that fails. */
  async #noteDamage(
    digests: readonly Uint8Array[],
    inline: readonly ValueId[] = [],
  ): Promise<void> {
    await Promise.allSettled([this.#host.writer.call('damaged', { digests, inline })])
  }
}
