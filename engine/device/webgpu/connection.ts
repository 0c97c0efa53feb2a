// A GPU process as its parent sees it: started, asked, and ended. Questions are answered in order. It
// knows frames, deadlines and how a process can go; what is asked is device.ts's.
import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Refusal, type RefusalRecord, refusalOfRecord } from '../../../tensor/index.ts'
import { type Frame, FrameReader, headerOf } from './frame.ts'
import { kinds, parseJsonBody } from './protocol.ts'

/** How to start a GPU process. */
export interface ConnectionOptions {
  /** The whole environment of the process. */
  readonly environment: Readonly<Record<string, string>>
  /** Longest time that one question may take once those before it are answered. */
  readonly deadlineMs: number
  /** Lines for people: what the process and its driver say. */
  readonly log: (line: string) => void
}

/** What came back for a question: the answer's body, and those of the parts before it. */
export interface Answer {
  readonly body: Uint8Array
  readonly parts: readonly Uint8Array[]
}

interface Pending {
  readonly sequence: number
  readonly deadlineMs: number
  readonly parts: Uint8Array[]
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}

const entry = fileURLToPath(new URL('./server/main.ts', import.meta.url))
const deviceProcessFd = 3

/** One GPU process and the questions under way. It is of no use once it is over. */
export class Connection {
  readonly #options: ConnectionOptions
  readonly #child: ChildProcess
  readonly #pipe: Duplex
  readonly #pending: Pending[] = []
  readonly #ended: Promise<void>
  readonly #onOver: () => void
  #sequence = 0
  #deadline: NodeJS.Timeout | undefined
  #over: string | undefined

  /** `onOver` is called once, before any question is rejected for it. */
  constructor(options: ConnectionOptions, onOver: () => void = () => undefined) {
    this.#options = options
    this.#onOver = onOver
    this.#child = spawn(process.execPath, [entry], {
      env: { ...options.environment },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      windowsHide: true,
    })
    this.#pipe = this.#child.stdio[deviceProcessFd] as Duplex
    const reader = new FrameReader((frame) => this.#receive(frame))
    this.#pipe.on('data', (chunk: Uint8Array) => {
      try {
        reader.push(chunk)
      } catch (error) {
        this.#finish(`its process sent nonsense: ${String(error)}`)
      }
    })
    this.#pipe.on('error', (error) => this.#finish(`its pipe broke: ${error.message}`))
    this.#child.stderr?.on('data', (chunk: Uint8Array) => this.#log(String(chunk)))
    this.#ended = new Promise((resolve) => {
      const end = (reason: string): void => {
        this.#finish(reason)
        resolve()
      }
      this.#child.once('exit', (code, signal) => end(`its process ended (${signal ?? code})`))
      this.#child.once('error', (error) => end(`its process did not start: ${error.message}`))
    })
    this.#child.unref()
    this.#hold(false)
  }

  get processId(): number | undefined {
    return this.#child.pid
  }

  /** Why it is of no use any more; undefined while it is. */
  get over(): string | undefined {
    return this.#over
  }

  /** Asks, and answers with what came back. Rejects with the process's refusal, or because it is gone. */
  ask(
    kind: number,
    pieces: readonly Uint8Array[],
    deadlineMs: number = this.#options.deadlineMs,
  ): Promise<Answer> {
    if (this.#over !== undefined) return Promise.reject(lost(this.#over))
    this.#sequence = (this.#sequence + 1) >>> 0
    const sequence = this.#sequence
    const length = pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
    const answer = new Promise<Answer>((resolve, reject) => {
      this.#pending.push({ sequence, deadlineMs, parts: [], resolve, reject })
    })
    this.#pipe.cork()
    this.#pipe.write(headerOf(kind, sequence, length))
    for (const piece of pieces) if (piece.byteLength > 0) this.#pipe.write(piece)
    this.#pipe.uncork()
    if (this.#pending.length === 1) this.#watchFirst()
    return answer
  }

  /** Ends the process and waits until it is gone. Questions under way are rejected. */
  async end(reason: string): Promise<void> {
    this.#child.ref()
    this.#finish(reason)
    await this.#ended
  }

  /** The parent stays alive for answers under way, and not for an idle process. */
  #hold(wanted: boolean): void {
    const handle = this.#pipe as Duplex & { ref(): void; unref(): void }
    const errors = this.#child.stderr as unknown as typeof handle
    if (wanted) handle.ref()
    else handle.unref()
    errors.unref()
  }

  #watchFirst(): void {
    clearTimeout(this.#deadline)
    this.#deadline = undefined
    this.#hold(this.#pending.length > 0)
    if (this.#pending.length === 0) return
    const { deadlineMs } = this.#pending[0]
    this.#deadline = setTimeout(() => {
      const message = `the GPU did not answer within ${deadlineMs} ms; its process is started anew`
      const first = this.#pending.shift()
      this.#finish('its process was ended over a deadline')
      first?.reject(new Refusal('DEADLINE_EXCEEDED', 'device/deadline', message))
    }, deadlineMs)
  }

  #receive(frame: Frame): void {
    if (this.#over !== undefined) return
    if (frame.kind === kinds.lost) {
      this.#finish(`the GPU was lost: ${parseJsonBody<string>(frame.body)}`)
      return
    }
    const [first] = this.#pending
    if (first?.sequence !== frame.sequence) {
      this.#finish('its process answered out of turn')
      return
    }
    if (frame.kind === kinds.part) {
      first.parts.push(frame.body)
      return
    }
    this.#pending.shift()
    this.#watchFirst()
    if (frame.kind === kinds.answer) first.resolve({ body: frame.body, parts: first.parts })
    else first.reject(refusalOfRecord(parseJsonBody<RefusalRecord>(frame.body)))
  }

  /** From here on nothing is asked and nothing answered; the process is killed if it lives. */
  #finish(reason: string): void {
    if (this.#over !== undefined) return
    this.#over = reason
    this.#child.kill('SIGKILL')
    this.#pipe.destroy()
    this.#onOver()
    this.#options.log(`GPU process ${this.#child.pid}: ${reason}`)
    for (const { reject } of this.#pending.splice(0)) reject(lost(reason))
    this.#watchFirst()
  }

  #log(text: string): void {
    for (const line of text.split('\n')) {
      if (line.trim() !== '') this.#options.log(`GPU process ${this.#child.pid}: ${line}`)
    }
  }
}

/** The refusal of a call that the device's loss cut short. */
export function lost(reason: string): Refusal {
  const message = `the GPU device was lost: ${reason}`
  const fix = 'Load the values again and repeat the run; the device is started anew.'
  return new Refusal('UNAVAILABLE', 'device/lost', message, { fix })
}
