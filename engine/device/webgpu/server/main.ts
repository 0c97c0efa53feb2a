// Entry of the GPU process: answers frames on file descriptor 3, in the order in which they come. It
// lives as long as that pipe. It ends by killing itself, because an orderly exit with work pending in
// Dawn aborts, and the device goes with the process either way.
import { Socket } from 'node:net'
import { Refusal, recordOfError } from '../../../../tensor/index.ts'
import { type Frame, FrameReader, headerOf } from '../frame.ts'
import {
  type CompileAnswer,
  decodeSubmit,
  encodeSubmitAnswer,
  jsonBody,
  kinds,
  type OpenRequest,
  type Program,
  parseJsonBody,
} from '../protocol.ts'
import { adaptersOf, Instances, openDevice } from './adapter.ts'
import { DeviceMemory } from './memory.ts'
import { Programs } from './programs.ts'
import { Submits } from './submit.ts'

/** The device of this process with all that belongs to it. */
interface Opened {
  readonly device: GPUDevice
  readonly memory: DeviceMemory
  readonly programs: Programs
  readonly submits: Submits
}

/** An answer as it is sent: frames before it, and the pieces of its own body. */
interface Reply {
  readonly parts: readonly Uint8Array[]
  readonly body: readonly Uint8Array[]
  /** Called when all of it has left. */
  readonly sent?: () => void
}

/** Serves one pipe. */
class Server {
  readonly #socket: Socket
  readonly #instances = new Instances()
  #opened: Opened | undefined
  #questions: Promise<void> = Promise.resolve()
  #answers: Promise<void> = Promise.resolve()

  constructor(socket: Socket) {
    this.#socket = socket
    const reader = new FrameReader((frame) => this.#enqueue(frame))
    socket.on('data', (chunk: Uint8Array) => reader.push(chunk))
    for (const end of ['end', 'close', 'error']) socket.on(end, leave)
  }

  /** Questions start one after the other; answers leave in the same order. */
  #enqueue(frame: Frame): void {
    this.#questions = this.#questions.then(async () => {
      const started = await this.#start(frame).catch((error: unknown) => ({
        reply: Promise.reject(error),
      }))
      // Marked as handled: it is awaited only once the answers before it have left.
      started.reply.catch(() => undefined)
      this.#answers = this.#answers.then(() => this.#finish(frame, started.reply))
    })
  }

  async #finish({ sequence }: Frame, reply: Promise<Reply>): Promise<void> {
    try {
      const { parts, body, sent } = await reply
      for (const part of parts) this.#send(kinds.part, sequence, [part])
      this.#send(kinds.answer, sequence, body, sent)
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error)
      this.#send(kinds.refusal, sequence, [jsonBody(recordOfError(error))])
    }
  }

  /** Resolves once the next question may start; its reply follows when the work is done. */
  async #start(frame: Frame): Promise<{ readonly reply: Promise<Reply> }> {
    const say = (value: unknown) => ({
      reply: Promise.resolve({ parts: [], body: [jsonBody(value)] }),
    })
    switch (frame.kind) {
      case kinds.list:
        return say(await adaptersOf(this.#instances))
      case kinds.open:
        return say(await this.#open(parseJsonBody<OpenRequest>(frame.body)))
      case kinds.compile: {
        const { programs } = this.#device()
        const wanted = parseJsonBody<readonly Program[]>(frame.body)
        const answer: CompileAnswer = await Promise.all(wanted.map((one) => programs.compile(one)))
        return say(answer)
      }
      case kinds.submit: {
        const { answer } = await this.#device().submits.start(decodeSubmit(frame.body))
        const reply = answer.then((done) => ({ ...encodeSubmitAnswer(done), sent: done.release }))
        return { reply }
      }
      case kinds.memory: {
        const { memory, programs } = this.#device()
        const kernels = programs.pipelines.size
        const { buffers, liveBytes } = memory
        return say({ liveBuffers: buffers.size, liveBytes, reservedBytes: liveBytes, kernels })
      }
      case kinds.drill:
        this.#device().device.destroy()
        return say(null)
      default:
        throw new Error(`a frame of the unknown kind ${frame.kind}`)
    }
  }

  async #open(request: OpenRequest): Promise<unknown> {
    const { device, answer } = await openDevice(this.#instances, request)
    const { limits } = answer
    const largest = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize)
    const memory = new DeviceMemory(device, request.memoryBytes, largest)
    const programs = new Programs(device)
    this.#opened = { device, memory, programs, submits: new Submits(device, memory, programs) }
    device.onuncapturederror = (event) => this.#lose(`uncaptured: ${event.error.message}`)
    void device.lost.then((info) => this.#lose(`${info.reason}: ${info.message}`))
    return answer
  }

  #device(): Opened {
    if (this.#opened) return this.#opened
    throw new Error('the device is not open yet')
  }

  /** Says why the device is gone and leaves: nothing made on it works any more. */
  #lose(message: string): void {
    this.#send(kinds.lost, 0, [jsonBody(message)], leave)
  }

  #send(kind: number, sequence: number, pieces: readonly Uint8Array[], sent?: () => void): void {
    const length = pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
    const all = [headerOf(kind, sequence, length), ...pieces.filter((one) => one.byteLength > 0)]
    this.#socket.cork()
    all.forEach((piece, place) => {
      this.#socket.write(piece, place === all.length - 1 ? sent : undefined)
    })
    this.#socket.uncork()
  }
}

function leave(): void {
  process.kill(process.pid, 'SIGKILL')
}

new Server(new Socket({ fd: 3, readable: true, writable: true }))
