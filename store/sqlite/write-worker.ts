// The store worker: a thread around the one Writer. Commits that arrive while one batch is being
// synced wait in the port and make up the next batch.
import { parentPort, workerData } from 'node:worker_threads'
import { WorkerServer } from './calls.ts'
import { requestsOf, textOfOutcomes } from './commit-wire.ts'
import { type ErrorRecord, recordOf } from './errors.ts'
import type {
  CommitGroup,
  CommitRequest,
  WriterCalls,
  WriterNotice,
  WriterSetup,
} from './messages.ts'
import { type Outcome, Writer } from './writer.ts'

/** The log is brought into the catalogue at a quiet moment from here on .. */
const quietLogByteLength = 4 * 1024 * 1024
/** .. and from here on even while commits wait. */
const fullLogByteLength = 16 * 1024 * 1024
const quietMs = 10

/** Commits that came in one message and are answered in one. */
interface QueuedGroup {
  readonly call: number
  readonly requests: readonly CommitRequest[]
  readonly byteLength: number
}

function queuedGroup(call: number, group: CommitGroup): QueuedGroup {
  let { byteLength } = group.bytes
  for (const { loose } of group.bulk.values()) {
    for (const { byteLength: length } of loose) byteLength += length
  }
  return { call, requests: requestsOf(group), byteLength }
}

function answerOf(outcomes: readonly Outcome[]): WriterCalls['commits']['reply'] {
  const failures = new Map<number, ErrorRecord>()
  outcomes.forEach(({ applied, error }, index) => {
    if (applied === undefined) failures.set(index, recordOf(error))
  })
  return { text: textOfOutcomes(outcomes.map(({ applied }) => applied?.committed)), failures }
}

class WriteWorker {
  readonly #server: WorkerServer<WriterCalls, WriterNotice>
  readonly #setup: WriterSetup
  #writer: Writer | undefined
  #queue: QueuedGroup[] = []
  #isDrainScheduled = false
  #quiet: NodeJS.Timeout | undefined
  #toldReadOnly = false

  constructor(server: WorkerServer<WriterCalls, WriterNotice>, setup: WriterSetup) {
    this.#server = server
    this.#setup = setup
  }

  receive<Kind extends keyof WriterCalls>(
    kind: Kind,
    request: WriterCalls[Kind]['request'],
    call: number,
  ): void {
    if (kind === 'commits') {
      this.#queue.push(queuedGroup(call, request as CommitGroup))
      this.#schedule()
      return
    }
    try {
      this.#server.reply(call, this.#answer(kind, request))
    } catch (error) {
      this.#server.fail(call, error)
    }
    this.#tellReadOnly()
  }

  #answer<Kind extends keyof WriterCalls>(
    kind: Kind,
    request: WriterCalls[Kind]['request'],
  ): unknown {
    const message = { kind, request } as {
      [Each in keyof WriterCalls]: { kind: Each; request: WriterCalls[Each]['request'] }
    }[keyof WriterCalls]
    switch (message.kind) {
      case 'open':
        this.#writer = new Writer(this.#setup.directory, this.#setup.limits)
        return this.#writer.start()
      case 'pin':
        return this.#opened().pin(message.request.staging, message.request.digests)
      case 'unpin':
        this.#opened().unpin(message.request.staging)
        return null
      case 'hold':
        return this.#opened().hold(message.request.valueId)
      case 'release':
        this.#opened().release(message.request.valueId)
        return null
      case 'sweep':
        if (message.request.restart) this.#opened().restartSweep()
        return this.#opened().sweep(message.request.now, performance.now(), message.request.graceMs)
      case 'merged':
        return this.#opened().merged(message.request.pack, message.request.plan)
      case 'damaged':
        this.#opened().damaged(message.request.digests, message.request.inline)
        return null
      case 'whole':
        this.#opened().whole(message.request.rows)
        return null
      case 'scrubState':
        return this.#opened().scrubState()
      case 'scrubbed':
        this.#opened().scrubbed(message.request.state)
        return null
      case 'keepPacks':
        this.#opened().keepPacks()
        return null
      case 'releasePacks':
        this.#opened().releasePacks()
        return null
      case 'status':
        return this.#opened().status()
      case 'close':
        clearTimeout(this.#quiet)
        this.#drain()
        this.#writer?.close()
        this.#writer = undefined
        return null
      case 'commits':
        throw new Error('commits are queued')
      default:
        return message satisfies never
    }
  }

  #opened(): Writer {
    if (this.#writer === undefined) throw new Error('the store worker is not open')
    return this.#writer
  }

  #schedule(): void {
    if (this.#isDrainScheduled) return
    this.#isDrainScheduled = true
    // After the messages that are already here, so that they share this batch.
    setImmediate(() => {
      this.#isDrainScheduled = false
      this.#drainOne()
      if (this.#queue.length > 0) this.#schedule()
    })
  }

  #drain(): void {
    while (this.#queue.length > 0) this.#drainOne()
  }

  #takeBatch(): QueuedGroup[] {
    const { batchCount, batchByteLength } = this.#setup.limits
    let groupCount = 0
    let count = 0
    let byteLength = 0
    while (groupCount < this.#queue.length && count < batchCount && byteLength < batchByteLength) {
      count += this.#queue[groupCount].requests.length
      byteLength += this.#queue[groupCount].byteLength
      groupCount += 1
    }
    return this.#queue.splice(0, groupCount)
  }

  #drainOne(): void {
    const batch = this.#takeBatch()
    if (batch.length === 0) return
    const writer = this.#opened()
    const { commits, events } = writer.commitBatch(batch.flatMap(({ requests }) => requests))
    if (events.length > 0) {
      this.#server.queueNotice({ kind: 'events', texts: events.map(({ text }) => text) })
    }
    let begin = 0
    for (const { call, requests } of batch) {
      this.#server.queueReply(call, answerOf(commits.slice(begin, begin + requests.length)))
      begin += requests.length
    }
    this.#tellReadOnly()
    this.#server.flush()
    this.#minLog(writer)
  }

  #tellReadOnly(): void {
    const reason = this.#writer?.readOnlyReason
    if (reason === undefined || this.#toldReadOnly) return
    this.#toldReadOnly = true
    this.#server.queueNotice({ kind: 'read-only', reason })
    this.#server.flush()
  }

  #minLog(writer: Writer): void {
    const { logByteLength } = writer
    if (logByteLength >= fullLogByteLength) {
      writer.checkpointLog()
      this.#tellReadOnly()
      return
    }
    if (logByteLength < quietLogByteLength) return
    clearTimeout(this.#quiet)
    this.#quiet = setTimeout(() => {
      this.#writer?.checkpointLog()
      this.#tellReadOnly()
    }, quietMs)
  }
}

if (parentPort === null) throw new Error('write-worker.ts runs as a worker')
const server = new WorkerServer<WriterCalls, WriterNotice>(parentPort)
const worker = new WriteWorker(server, workerData as WriterSetup)
server.listen((kind, request, call) => worker.receive(kind, request, call))
