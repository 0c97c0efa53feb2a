// What the engine and a GPU process say to each other. Small structured messages are JSON; a submit
// is float64 words (exact to 2^53) followed by raw bytes. Both sides read and write it here.
import type { Command } from '../device.ts'

/** Kinds of frames: questions, then answers. Parts come before the answer that they belong to. */
export const kinds = {
  list: 1,
  open: 2,
  compile: 3,
  submit: 4,
  memory: 5,
  drill: 6,
  answer: 16,
  refusal: 17,
  lost: 18,
  part: 19,
} as const

/** An adapter as Dawn finds it. */
export interface Adapter {
  /** Name as the driver gives it; with the backend it selects the adapter. */
  readonly name: string
  readonly backend: string
  readonly description: string
  /** It computes on the CPU. */
  readonly software: boolean
}

/** What {@link kinds.open} asks for. */
export interface OpenRequest {
  readonly backend: string
  readonly name: string
  readonly memoryBytes: number
}

/** What {@link kinds.open} answers: the limits that the device was made with. */
export interface OpenAnswer {
  readonly description: string
  readonly software: boolean
  readonly limits: Readonly<Record<string, number>>
}

/** How elements lie in the 4-byte words of a device's buffers. */
export type Storage = 'word' | 'unsigned8' | 'signed8' | 'unsigned16' | 'signed16'

export const storages: readonly Storage[] = [
  'word',
  'unsigned8',
  'signed8',
  'unsigned16',
  'signed16',
]

/** One storage buffer that a program binds. */
export interface Binding {
  readonly storage: Storage
  readonly elementCount: number
  readonly writable: boolean
}

/** A kernel as the GPU process knows it. */
export interface Program {
  readonly id: number
  readonly wgsl: string
  readonly bindings: readonly Binding[]
  /** Workgroups of the one dispatch; a zero means that nothing is to be done. */
  readonly workgroups: readonly [number, number, number]
  /** Words in the status buffer that its checks report into; 0: it binds none. */
  readonly statusWords: number
}

/** One entry for each program: why it could not be made, or null. */
export type CompileAnswer = readonly (string | null)[]

/** Codes of commands in a submit, in the order of the words that follow them. */
export const commandCodes = {
  /** buffer, storage, element count */
  allocate: 1,
  /** buffer */
  release: 2,
  /** buffer, first element, byte length */
  write: 3,
  /** program, number of buffers, buffers.. */
  dispatch: 4,
  /** from, to */
  copy: 5,
  /** buffer, first element, element count */
  read: 6,
} as const

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A structured message as a body. */
export function jsonBody(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value))
}

/** The structured message of a body. The peer is our own code: its shape is taken on trust. */
export function parseJsonBody<T>(body: Uint8Array): T {
  return JSON.parse(decoder.decode(body)) as T
}

/** How the type's elements lie in words. */
export function storageOf(dtype: string): Storage {
  switch (dtype) {
    case 'bool':
    case 'uint8':
      return 'unsigned8'
    case 'int8':
      return 'signed8'
    case 'uint16':
    case 'float16':
    case 'bfloat16':
      return 'unsigned16'
    case 'int16':
      return 'signed16'
    default:
      return 'word'
  }
}

/** Bytes of one dense element. */
export function denseByteLengthOf(storage: Storage): number {
  if (storage === 'word') return 4
  return storage === 'unsigned8' || storage === 'signed8' ? 1 : 2
}

/**
 * A submit as the parts of a body: word count and words, then the bytes of all writes in order. Bytes
 * are not copied. `programOf` gives the process's number of the kernel that a command runs.
 */
export function encodeSubmit(
  commands: readonly Command[],
  programOf: (kernel: number, command: number) => number,
): readonly Uint8Array[] {
  const words: number[] = [0]
  const parts: Uint8Array[] = []
  for (const [place, command] of commands.entries()) {
    switch (command.kind) {
      case 'allocate': {
        const storage = storages.indexOf(storageOf(command.dtype))
        words.push(commandCodes.allocate, command.buffer, storage, command.elementCount)
        break
      }
      case 'release':
        words.push(commandCodes.release, command.buffer)
        break
      case 'write':
        words.push(commandCodes.write, command.buffer, command.offset, command.bytes.byteLength)
        parts.push(command.bytes)
        break
      case 'dispatch': {
        const { buffers } = command
        words.push(
          commandCodes.dispatch,
          programOf(command.kernel, place),
          buffers.length,
          ...buffers,
        )
        break
      }
      case 'copy':
        words.push(commandCodes.copy, command.from, command.to)
        break
      case 'read':
        words.push(commandCodes.read, command.buffer, command.offset, command.elementCount)
        break
      default:
        command satisfies never
    }
  }
  words[0] = words.length - 1
  const packed = new Float64Array(words)
  return [new Uint8Array(packed.buffer), ...parts]
}

/** A command as the GPU process reads it: like the port's, with its own numbers and storage. */
export type Operation =
  | {
      readonly kind: 'allocate'
      readonly buffer: number
      readonly storage: Storage
      readonly elementCount: number
    }
  | { readonly kind: 'release'; readonly buffer: number }
  | {
      readonly kind: 'write'
      readonly buffer: number
      readonly offset: number
      readonly bytes: Uint8Array
    }
  | { readonly kind: 'dispatch'; readonly program: number; readonly buffers: readonly number[] }
  | { readonly kind: 'copy'; readonly from: number; readonly to: number }
  | {
      readonly kind: 'read'
      readonly buffer: number
      readonly offset: number
      readonly elementCount: number
    }

/** The operations of a submit's body; the bytes of writes are views of it. */
export function decodeSubmit(body: Uint8Array): readonly Operation[] {
  const wordCount = new Float64Array(body.buffer, body.byteOffset, 1)[0]
  const words = new Float64Array(body.buffer, body.byteOffset + 8, wordCount)
  const operations: Operation[] = []
  let bytesStart = 8 * (wordCount + 1)
  for (let place = 0; place < wordCount; ) {
    const code = words[place]
    const [first, second, third] = words.subarray(place + 1, place + 4)
    switch (code) {
      case commandCodes.allocate: {
        const storage = storages[second]
        operations.push({ kind: 'allocate', buffer: first, storage, elementCount: third })
        place += 4
        break
      }
      case commandCodes.release:
        operations.push({ kind: 'release', buffer: first })
        place += 2
        break
      case commandCodes.write: {
        const bytes = body.subarray(bytesStart, bytesStart + third)
        bytesStart += third
        operations.push({ kind: 'write', buffer: first, offset: second, bytes })
        place += 4
        break
      }
      case commandCodes.dispatch: {
        const buffers = [...words.subarray(place + 3, place + 3 + second)]
        operations.push({ kind: 'dispatch', program: first, buffers })
        place += 3 + second
        break
      }
      case commandCodes.copy:
        operations.push({ kind: 'copy', from: first, to: second })
        place += 3
        break
      case commandCodes.read:
        operations.push({ kind: 'read', buffer: first, offset: second, elementCount: third })
        place += 4
        break
      default:
        throw new Error(`a submit holds the unknown command ${code}`)
    }
  }
  return operations
}

/** What a submit answers: status words of all dispatches with checks, and each read's bytes. */
export interface SubmitAnswer {
  readonly status: Uint32Array
  readonly reads: readonly Uint8Array[]
}

/** Reads from this size on travel as frames of their own: the receiver then need not copy them. */
export const partByteLength = 256 * 1024

/** A submit's answer: the bodies of the frames that precede it, and the pieces of its own body. */
export function encodeSubmitAnswer({ status, reads }: SubmitAnswer): {
  readonly parts: readonly Uint8Array[]
  readonly body: readonly Uint8Array[]
} {
  const [parts, small]: [Uint8Array[], Uint8Array[]] = [[], []]
  for (const read of reads) (isPart(read) ? parts : small).push(read)
  // A negative length stands for the next part.
  const lengths = reads.map((read) => (isPart(read) ? -1 : read.byteLength))
  const head = new Float64Array([status.length, reads.length, ...lengths])
  const statusBytes = new Uint8Array(status.buffer, status.byteOffset, status.byteLength)
  return { parts, body: [new Uint8Array(head.buffer), statusBytes, ...small] }
}

function isPart(read: Uint8Array): boolean {
  return read.byteLength >= partByteLength
}

/** The answer again; every read has memory of its own. */
export function decodeSubmitAnswer(body: Uint8Array, parts: readonly Uint8Array[]): SubmitAnswer {
  const [statusCount, readCount] = new Float64Array(body.buffer, body.byteOffset, 2)
  const lengths = new Float64Array(body.buffer, body.byteOffset + 16, readCount)
  let offset = 16 + 8 * readCount
  const status = new Uint32Array(body.buffer, body.byteOffset + offset, statusCount)
  offset += 4 * statusCount
  let part = 0
  const reads = Array.from(lengths, (length) => {
    if (length < 0) return parts[part++]
    const read = body.slice(offset, offset + length)
    offset += length
    return read
  })
  return { status, reads }
}
