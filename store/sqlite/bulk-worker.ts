// A bulk worker: hashes chunks, writes them to packs, reads them back and checks them. It never
// decides whether a chunk is needed; the store worker does.
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { parentPort, type Transferable, workerData } from 'node:worker_threads'
import { crc32c } from '@node-rs/crc32'
import { freeMemory } from '../../tensor/index.ts'
import { WorkerServer } from './calls.ts'
import { ContentChecker } from './checker.ts'
import { ChunkReader } from './chunk-reader.ts'
import { refusalOfFailure } from './errors.ts'
import type {
  BulkCalls,
  BulkSetup,
  ChunkIdentity,
  LooseChunk,
  SealedPack,
  SpareBuffers,
} from './messages.ts'
import { PackWriter, packFileOf } from './pack.ts'

interface HeldChunk {
  readonly chunk: ChunkIdentity
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** What one staging has given to this worker so far. */
interface Intake {
  /** Hashed, not yet known to be new. */
  readonly slots: Map<number, HeldChunk>
  /** New, waiting in memory. */
  kept: HeldChunk[]
  writer: PackWriter | undefined
  /** Packs that are full, in the order in which they became so. */
  readonly sealing: Promise<SealedPack>[]
}

interface Answer {
  readonly reply: unknown
  readonly transfer?: readonly Transferable[]
}

class BulkWorker {
  readonly #setup: BulkSetup
  readonly #intakes = new Map<number, Intake>()
  readonly #reader: ChunkReader
  readonly #checker: ContentChecker

  constructor(setup: BulkSetup) {
    this.#setup = setup
    this.#reader = new ChunkReader(setup.directory, setup.openPackCount)
    this.#checker = new ContentChecker(setup.directory, this.#reader)
  }

  answer<Kind extends keyof BulkCalls>(
    kind: Kind,
    request: BulkCalls[Kind]['request'],
  ): Answer | Promise<Answer> {
    const message = { kind, request } as {
      [Each in keyof BulkCalls]: { kind: Each; request: BulkCalls[Each]['request'] }
    }[keyof BulkCalls]
    switch (message.kind) {
      case 'hash':
        return { reply: this.#hash(message.request) }
      case 'keep':
        return spare(this.#keep(message.request))
      case 'drop':
        return spare(this.#drop(message.request))
      case 'seal':
        return this.#seal(message.request)
      case 'discard':
        return this.#discard(message.request)
      case 'read':
        return this.#read(message.request)
      case 'verify':
        return { reply: this.#reader.verify(message.request) }
      case 'check':
        return { reply: this.#checker.check(message.request) }
      case 'extent':
        return { reply: { byteLength: this.#checker.extent() } }
      case 'trace':
        return { reply: this.#checker.trace(message.request) }
      case 'merge':
        return this.#merge(message.request)
      case 'forget':
        for (const name of message.request.packs) this.#reader.forget(name)
        return { reply: null }
      case 'close':
        return this.#close()
      default:
        return { reply: message satisfies never }
    }
  }

  async #close(): Promise<Answer> {
    const stagings = [...this.#intakes.keys()]
    await Promise.all(stagings.map((staging) => this.#discard({ staging, remove: false })))
    this.#checker.close()
    this.#reader.close()
    return { reply: null }
  }

  #intake(staging: number): Intake {
    let intake = this.#intakes.get(staging)
    if (intake === undefined) {
      intake = { slots: new Map(), kept: [], writer: undefined, sealing: [] }
      this.#intakes.set(staging, intake)
    }
    return intake
  }

  #hash(request: BulkCalls['hash']['request']): ChunkIdentity {
    const bytes = new Uint8Array(request.buffer, 0, request.byteLength)
    const digest = new Uint8Array(createHash('sha256').update(bytes).digest())
    const chunk = { digest, crc32c: crc32c(bytes), byteLength: bytes.byteLength }
    this.#intake(request.staging).slots.set(request.slot, { chunk, bytes })
    return chunk
  }

  #drop({ staging, slot }: BulkCalls['drop']['request']): HeldChunk[] {
    const intake = this.#intakes.get(staging)
    const held = intake?.slots.get(slot)
    intake?.slots.delete(slot)
    return held === undefined ? [] : [held]
  }

  /** Answers with the chunks that need their memory no more. */
  #keep({ staging, slot, packName }: BulkCalls['keep']['request']): HeldChunk[] {
    const intake = this.#intake(staging)
    const held = intake.slots.get(slot)
    if (held === undefined) throw new Error('a chunk is hashed before it is kept')
    intake.slots.delete(slot)
    intake.kept.push(held)
    return packName === undefined ? [] : this.#writeOut(intake, packName)
  }

  #writeOut(intake: Intake, packName: string): HeldChunk[] {
    const { kept } = intake
    if (kept.length === 0) return []
    try {
      if (
        intake.writer !== undefined &&
        intake.writer.totalByteLength >= this.#setup.packByteLength
      ) {
        sealWriter(intake)
      }
      intake.writer ??= new PackWriter(this.#setup.directory, packName)
      for (const { chunk, bytes } of kept) intake.writer.add(chunk, bytes)
      intake.kept = []
      return kept
    } catch (error) {
      throw refusalOfFailure(error, 'writing a pack')
    }
  }

  async #seal({ staging, packName }: BulkCalls['seal']['request']): Promise<Answer> {
    const intake = this.#intake(staging)
    if (packName !== undefined) this.#writeOut(intake, packName)
    sealWriter(intake)
    const packs = await sealedPacks(intake)
    const loose = intake.kept.map(({ chunk, bytes }): LooseChunk => {
      // A copy where it is a part, because a view travels with all the memory that it is a part of.
      const isWhole = bytes.byteLength === bytes.buffer.byteLength
      return { ...chunk, bytes: isWhole ? bytes : new Uint8Array(bytes) }
    })
    intake.kept = []
    const reply: BulkCalls['seal']['reply'] = { packs, loose }
    return { reply, transfer: loose.map(({ bytes }) => bytes.buffer as ArrayBuffer) }
  }

  async #discard({ staging, remove }: BulkCalls['discard']['request']): Promise<Answer> {
    const intake = this.#intakes.get(staging)
    this.#intakes.delete(staging)
    intake?.writer?.abandon()
    for (const pack of await Promise.allSettled(intake?.sealing ?? [])) {
      if (!remove || pack.status === 'rejected') continue
      rmSync(packFileOf(this.#setup.directory, pack.value.name), { force: true })
    }
    return { reply: null }
  }

  #read(request: BulkCalls['read']['request']): Answer {
    const bytes = this.#reader.read(request.valueId, request.ordinal)
    const isWhole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength
    const reply = (isWhole ? bytes.buffer : new Uint8Array(bytes).buffer) as ArrayBuffer
    return { reply, transfer: [reply] }
  }

  async #merge({ plan, packName }: BulkCalls['merge']['request']): Promise<Answer> {
    const damaged: Uint8Array[] = []
    const moved: (typeof plan.chunks)[number][] = []
    let writer: PackWriter | undefined
    try {
      for (const planned of plan.chunks) {
        const found = this.#reader.readById(planned.chunkId)
        if (found === undefined) continue
        if (found.problem !== undefined) {
          damaged.push(found.chunk.digest)
          continue
        }
        writer ??= new PackWriter(this.#setup.directory, packName)
        writer.add(found.chunk, found.bytes)
        freeMemory(found.bytes)
        moved.push(planned)
      }
      const reply: BulkCalls['merge']['reply'] = {
        pack: await writer?.seal(),
        plan: { chunks: moved },
        damaged,
      }
      return { reply }
    } catch (error) {
      writer?.abandon()
      throw refusalOfFailure(error, 'merging packs')
    }
  }
}

/** Begins to seal what an intake has written; what comes next goes into another pack. */
function sealWriter(intake: Intake): void {
  if (intake.writer === undefined) return
  const sealed = intake.writer.seal()
  // Whoever ends the intake sees what went wrong.
  sealed.catch(() => undefined)
  intake.sealing.push(sealed)
  intake.writer = undefined
}

async function sealedPacks({ sealing }: Intake): Promise<SealedPack[]> {
  // All have to be done with, or a discard would miss one.
  await Promise.allSettled(sealing)
  try {
    return await Promise.all(sealing)
  } catch (error) {
    throw refusalOfFailure(error, 'sealing a pack')
  }
}

/** Gives the memory of chunks back. */
function spare(chunks: readonly HeldChunk[]): Answer {
  const buffers: SpareBuffers = chunks.map(({ bytes }) => bytes.buffer)
  return { reply: buffers, transfer: buffers }
}

if (parentPort === null) throw new Error('bulk-worker.ts runs as a worker')
const server = new WorkerServer<BulkCalls>(parentPort)
const worker = new BulkWorker(workerData as BulkSetup)
const send = (call: number, { reply, transfer }: Answer): void =>
  server.reply(call, reply, transfer)
server.listen((kind, request, call) => {
  try {
    const answer = worker.answer(kind, request)
    if (!(answer instanceof Promise)) send(call, answer)
    else {
      answer.then(
        (one) => send(call, one),
        (error) => server.fail(call, error),
      )
    }
  } catch (error) {
    server.fail(call, error)
  }
})
