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

type Parts = readonly Uint8Array[]

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
        parts: Promise.reject(error),
      }))
      // Marked as handled: it is awaited only once the answers before it have left.
      started.parts.catch(() => undefined)
      this.#answers = this.#answers.then(() => this.#finish(frame, started.parts))
    })
  }

  async #finish(frame: Frame, parts: Promise<Parts>): Promise<void> {
    try {
      this.#send(kinds.answer, frame.sequence, await parts)
    } catch (error) {
      this.#refuse(frame, error)
    }
  }

  #refuse(frame: Frame, error: unknown): void {
    if (!(error instanceof Refusal)) console.error(error)
    const record = recordOfError(error)
    this.#send(kinds.refusal, frame.sequence, [jsonBody(record)])
  }

  /** Resolves once the next question may start; its parts follow when the work is done. */
  async #start(frame: Frame): Promise<{ readonly parts: Promise<Parts> }> {
    const at = (value: unknown) => ({ parts: Promise.resolve([jsonBody(value)]) })
    switch (frame.kind) {
      case kinds.list:
        return at(await adaptersOf(this.#instances))
      case kinds.open:
        return at(await this.#open(parseJsonBody<OpenRequest>(frame.body)))
      case kinds.compile: {
        const { programs } = this.#device()
        const wanted = parseJsonBody<readonly Program[]>(frame.body)
        const answer: CompileAnswer = await Promise.all(wanted.map((one) => programs.compile(one)))
        return at(answer)
      }
      case kinds.submit: {
        const { answer } = await this.#device().submits.start(decodeSubmit(frame.body))
        return { parts: answer.then(encodeSubmitAnswer) }
      }
      case kinds.memory: {
        const { memory, programs } = this.#device()
        const kernels = programs.pipelines.size
        return at({ liveBuffers: memory.buffers.size, liveBytes: memory.liveBytes, kernels })
      }
      case kinds.drill:
        this.#device().device.destroy()
        return at(null)
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

  #send(kind: number, sequence: number, parts: Parts, sent?: () => void): void {
    const length = parts.reduce((sum, part) => sum + part.byteLength, 0)
    this.#socket.cork()
    this.#socket.write(headerOf(kind, sequence, length), parts.length === 0 ? sent : undefined)
    parts.forEach((part, place) => {
      this.#socket.write(part, place === parts.length - 1 ? sent : undefined)
    })
    this.#socket.uncork()
  }
}

function leave(): void {
  process.kill(process.pid, 'SIGKILL')
}

new Server(new Socket({ fd: 3, readable: true, writable: true }))
