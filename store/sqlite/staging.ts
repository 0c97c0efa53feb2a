// Intake on the calling thread: cuts a stream into chunks, hands them to bulk workers to be hashed
// and kept, and remembers what each token stands for until a commit or `discard`.
import { isNumeric, Refusal } from '../../tensor/index.ts'
import type { StagedValue, Staging, ValueId, ValueRecord } from '../port.ts'
import type { BulkLane, BulkPool, Lease } from './bulk-pool.ts'
import type { WorkerClient } from './calls.ts'
import {
  checkSize,
  chunkedContent,
  type Incoming,
  inlineContent,
  piecesOf,
  smallContentOf,
} from './contents.ts'
import { chunkByteLength, inlineByteLength } from './limits.ts'
import type {
  LooseChunk,
  SealedPack,
  StagedContent,
  WriterCalls,
  WriterNotice,
} from './messages.ts'
import { type Patch, type PatchedChunk, patchedChunks } from './patching.ts'
import { hexOf } from './records.ts'
import type { SmallMemory } from './small-memory.ts'
import { keyOf } from './write-values.ts'

/** What a staging needs of its store. */
export interface StagingHost {
  readonly writer: WorkerClient<WriterCalls, WriterNotice>
  readonly bulk: BulkPool
  readonly looseByteLength: number
  readonly small: SmallMemory
  /** Numbers that no other staging, token or pack of this store has. */
  nextToken(): number
  nextPackName(): string
  /** A value that is there, with the digests of its chunks (none: it lies inline); else undefined. */
  base(
    valueId: ValueId,
  ): { readonly record: ValueRecord; readonly chunks: readonly Uint8Array[] } | undefined
  /** The content of a value that lies inline. */
  inlineBytes(valueId: ValueId): Promise<Uint8Array>
  /** Says which staging a token belongs to, so that a commit finds it. */
  remember(token: number, staging: SqliteStaging): void
  forget(tokens: Iterable<number>): void
}

/** What a staging hands to a commit. */
export interface SealedStaging {
  readonly packs: readonly SealedPack[]
  readonly loose: readonly LooseChunk[]
}

function closed(): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'staging/closed',
    'The staging was committed or discarded and takes nothing more.',
    { fix: 'Stage the values again.' },
  )
}

/** One staging. `open` until its first commit or `discard`. */
export class SqliteStaging implements Staging {
  readonly id: number
  readonly #host: StagingHost
  readonly #contents = new Map<number, StagedContent>()
  /** Chunks seen here, by digest; each promise settles once it is known where the chunk is. */
  readonly #decisions = new Map<string, Promise<void>>()
  readonly #lanes = new Set<BulkLane>()
  readonly #adding = new Set<Promise<unknown>>()
  /** Values whose chunks a patched one shares. */
  readonly #held = new Set<ValueId>()
  #state: 'open' | 'sealed' | 'ended' = 'open'
  #sealed: Promise<SealedStaging> | undefined
  /** Commits on their way, and who waits until there are none. */
  #commitCount = 0
  #whenSettled: (() => void)[] = []
  #failure: unknown
  #newByteLength = 0
  #lastSlot = 0
  #isOutcomeUnknown = false
  #isCommitted = false

  constructor(host: StagingHost) {
    this.#host = host
    this.id = host.nextToken()
  }

  add(tensor: Incoming): Promise<StagedValue> {
    return this.#during(this.#add(tensor))
  }

  /** What seals or ends the staging waits for it. */
  async #during(adding: Promise<StagedValue>): Promise<StagedValue> {
    this.#adding.add(adding)
    try {
      return await adding
    } finally {
      this.#adding.delete(adding)
    }
  }

  addPatched(base: ValueId, patches: AsyncIterable<Patch>): Promise<StagedValue> {
    return this.#during(this.#addPatched(base, patches))
  }

  async discard(): Promise<void> {
    while (this.#commitCount > 0) {
      await new Promise<void>((resolve) => this.#whenSettled.push(resolve))
    }
    await this.#end(!this.#isOutcomeUnknown)
  }

  /** What a token stands for. */
  content(token: number): StagedContent {
    const content = this.#contents.get(token)
    if (content === undefined || this.#isCommitted || this.#state === 'ended') throw closed()
    return content
  }

  /** Whether bytes went to bulk workers, so that sealing takes time. */
  get isBulk(): boolean {
    return this.#lanes.size > 0
  }

  /** Ends the intake and brings packs to stable storage. Once done it is done: call it again freely. */
  seal(): Promise<SealedStaging> {
    if (this.#state === 'ended') return Promise.reject(closed())
    this.#state = 'sealed'
    this.#sealed ??= this.#seal()
    return this.#sealed
  }

  /** Ends the intake of a staging that holds inline values only. */
  sealInline(): void {
    this.#state = 'sealed'
  }

  /** A commit that uses it is on its way: `discard` waits for that. */
  commitBegins(): void {
    this.#commitCount += 1
  }

  /** Ends what `commitBegins` began. The success of one ends the staging. */
  commitSettled(isCommitted: boolean, error: unknown): void {
    if (isCommitted) this.#isCommitted = true
    else {
      // The commit may yet turn out to be in the log: then its packs must be there.
      const isRefused = error instanceof Refusal && error.code !== 'UNAVAILABLE'
      if (!isRefused) this.#isOutcomeUnknown = true
    }
    this.#commitCount -= 1
    if (this.#commitCount > 0) return
    if (this.#isCommitted) void this.#end(false)
    const waiting = this.#whenSettled
    this.#whenSettled = []
    for (const resolve of waiting) resolve()
  }

  async #seal(): Promise<SealedStaging> {
    await Promise.allSettled(this.#adding)
    if (this.#failure !== undefined) throw this.#failure
    const spills = this.#newByteLength >= this.#host.looseByteLength
    const parts = await Promise.all(
      [...this.#lanes].map((lane) =>
        lane.call('seal', {
          staging: this.id,
          packName: spills ? this.#host.nextPackName() : undefined,
        }),
      ),
    )
    return {
      packs: parts.flatMap(({ packs }) => packs),
      loose: parts.flatMap(({ loose }) => loose),
    }
  }

  async #end(removePacks: boolean): Promise<void> {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#releaseBases()
    if (this.#adding.size > 0 || this.#sealed !== undefined) {
      await Promise.allSettled([...this.#adding, this.#sealed])
      this.#releaseBases()
    }
    this.#host.forget(this.#contents.keys())
    this.#contents.clear()
    if (!this.isBulk) return
    const request = { staging: this.id, remove: removePacks }
    // Where a worker is lost the next start of the store removes what is left.
    await Promise.allSettled([...this.#lanes].map((lane) => lane.call('discard', request)))
    await Promise.allSettled([this.#host.writer.call('unpin', { staging: this.id })])
  }

  #releaseBases(): void {
    for (const valueId of this.#held) {
      // Where the store worker is lost there is nothing left to release.
      this.#host.writer.call('release', { valueId }).catch(() => undefined)
    }
    this.#held.clear()
  }

  async #add(tensor: Incoming): Promise<StagedValue> {
    checkSize(tensor)
    this.#checkOpen()
    return this.#stagedOf(
      tensor.byteLength <= inlineByteLength
        ? inlineContent(tensor, await smallContentOf(tensor, this.#host.small))
        : await this.#addChunked(tensor),
    )
  }

  #stagedOf(content: StagedContent): StagedValue {
    this.#checkOpen()
    const token = this.#host.nextToken()
    this.#contents.set(token, content)
    this.#host.remember(token, this)
    const { dtype, shape, byteLength, digest } = content
    return { dtype, shape, byteLength, digest: hexOf(digest), token }
  }

  #checkOpen(): void {
    if (this.#state !== 'open') throw closed()
    if (this.#failure !== undefined) throw this.#failure
  }

  async #addChunked(tensor: Incoming): Promise<StagedContent> {
    const digests: Promise<Uint8Array>[] = []
    const allocate = (): ArrayBuffer => this.#host.bulk.chunkBuffer()
    try {
      for await (const piece of piecesOf(tensor, chunkByteLength, allocate)) {
        const lease = await this.#lease()
        const digest = this.#take(lease, piece)
        digest.catch(() => undefined)
        digests.push(digest)
      }
    } finally {
      await Promise.allSettled(digests)
    }
    return chunkedContent(tensor, await Promise.all(digests))
  }

  async #addPatched(valueId: ValueId, patches: AsyncIterable<Patch>): Promise<StagedValue> {
    this.#checkOpen()
    if (!this.#held.has(valueId)) {
      if (!(await this.#host.writer.call('hold', { valueId }))) throw unknownBase()
      if (this.#held.has(valueId) || this.#state === 'ended') {
        await this.#host.writer.call('release', { valueId })
        this.#checkOpen()
      }
      this.#held.add(valueId)
    }
    const base = this.#host.base(valueId)
    if (base === undefined) throw unknownBase()
    const { record, chunks } = base
    if (!isNumeric(record.dtype)) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'value/not-patchable',
        `Bytes of a ${record.dtype} tensor cannot be replaced one by one.`,
        { fix: 'Write the whole value.' },
      )
    }
    return this.#stagedOf(
      chunks.length === 0
        ? await this.#patchInline(record, patches)
        : await this.#patchChunks(record, chunks, patches),
    )
  }

  async #patchInline(record: ValueRecord, patches: AsyncIterable<Patch>): Promise<StagedContent> {
    const bytes = new Uint8Array(await this.#host.inlineBytes(record.valueId))
    const allocate = (): ArrayBuffer => new ArrayBuffer(record.byteLength)
    for await (const chunk of patchedChunks(patches, record.byteLength, allocate)) {
      fillGaps(chunk, bytes)
      bytes.set(chunk.bytes)
    }
    return inlineContent(record, bytes)
  }

  async #patchChunks(
    record: ValueRecord,
    chunks: readonly Uint8Array[],
    patches: AsyncIterable<Patch>,
  ): Promise<StagedContent> {
    const digests: (Uint8Array | Promise<Uint8Array>)[] = [...chunks]
    const allocate = (): ArrayBuffer => this.#host.bulk.chunkBuffer()
    try {
      for await (const chunk of patchedChunks(patches, record.byteLength, allocate)) {
        const lease = await this.#lease()
        const digest = this.#fill(record.valueId, chunk).then(
          () => this.#take(lease, chunk.bytes),
          (error) => {
            this.#failure ??= error
            lease.release()
            throw error
          },
        )
        digest.catch(() => undefined)
        digests[chunk.ordinal] = digest
      }
    } finally {
      await Promise.allSettled(digests)
    }
    return chunkedContent(record, await Promise.all(digests))
  }

  /** Puts what the base has into the gaps of a patched chunk. */
  async #fill(valueId: ValueId, chunk: PatchedChunk): Promise<void> {
    if (chunk.gaps.length === 0) return
    const request = { valueId, ordinal: chunk.ordinal }
    const buffer = await this.#host.bulk.next().call('read', request)
    fillGaps(chunk, new Uint8Array(buffer))
    this.#host.bulk.recycle([buffer])
  }

  /** Room for a chunk in a bulk worker, while the staging takes any. */
  async #lease(): Promise<Lease> {
    const lease = await this.#host.bulk.lease()
    if (this.#state !== 'open' || this.#failure !== undefined) {
      lease.release()
      this.#checkOpen()
    }
    return lease
  }

  async #take({ lane, release }: Lease, piece: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
    try {
      this.#lanes.add(lane)
      const slot = ++this.#lastSlot
      const at = { staging: this.id, slot }
      const { buffer, byteLength } = piece
      const chunk = await lane.call('hash', { ...at, buffer, byteLength }, [buffer])
      const key = keyOf(chunk.digest)
      const known = this.#decisions.get(key)
      if (known !== undefined) {
        await Promise.all([this.#drop(lane, at), known])
        return chunk.digest
      }
      const decision = this.#decide(lane, at, chunk)
      this.#decisions.set(key, decision)
      await decision
      return chunk.digest
    } catch (error) {
      this.#failure ??= error
      throw error
    } finally {
      release()
    }
  }

  async #decide(
    lane: BulkLane,
    at: { readonly staging: number; readonly slot: number },
    chunk: { readonly digest: Uint8Array; readonly byteLength: number },
  ): Promise<void> {
    const pin = { staging: this.id, digests: [chunk.digest] }
    const [isKnown] = await this.#host.writer.call('pin', pin)
    if (isKnown) {
      await this.#drop(lane, at)
      return
    }
    this.#newByteLength += chunk.byteLength
    const spills = this.#newByteLength >= this.#host.looseByteLength
    const packName = spills ? this.#host.nextPackName() : undefined
    this.#host.bulk.recycle(await lane.call('keep', { ...at, packName }))
  }

  async #drop(
    lane: BulkLane,
    at: { readonly staging: number; readonly slot: number },
  ): Promise<void> {
    this.#host.bulk.recycle(await lane.call('drop', at))
  }
}

function fillGaps({ bytes, gaps }: PatchedChunk, base: Uint8Array): void {
  for (const { begin, end } of gaps) bytes.set(base.subarray(begin, end), begin)
}

function unknownBase(): Refusal {
  return new Refusal(
    'NOT_FOUND',
    'value/unknown',
    'The value to patch is no longer in the store.',
    {
      fix: 'Read again what named it.',
    },
  )
}
