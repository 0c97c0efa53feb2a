// Frames on the pipe between the engine and a GPU process: a fixed header and a raw body. It knows
// lengths and numbers; what a body means is protocol.ts's.
import { Buffer } from 'node:buffer'

/** One message. `sequence` pairs an answer with its question. */
export interface Frame {
  readonly kind: number
  readonly sequence: number
  readonly body: Uint8Array
}

const headerLength = 16

/** Longest body that is believed: more is a broken peer, not a message. */
const maxBodyLength = 2 ** 40

/** Header of a frame: body length as float64 (exact to 2^53), kind and sequence as uint32. */
export function headerOf(kind: number, sequence: number, bodyLength: number): Uint8Array {
  const header = Buffer.allocUnsafe(headerLength)
  header.writeDoubleLE(bodyLength, 0)
  header.writeUInt32LE(kind, 8)
  header.writeUInt32LE(sequence >>> 0, 12)
  return header
}

/**
 * Takes a stream apart: feed it chunks as they come, it calls back with each whole frame. A body has
 * memory of its own, copied into once. Throws on a length that cannot be.
 */
export class FrameReader {
  readonly #onFrame: (frame: Frame) => void
  readonly #header = Buffer.alloc(headerLength)
  #headerFilled = 0
  #body: Uint8Array | undefined
  #bodyFilled = 0

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame
  }

  push(chunk: Uint8Array): void {
    let offset = 0
    while (offset < chunk.byteLength) {
      if (!this.#body) {
        const take = Math.min(headerLength - this.#headerFilled, chunk.byteLength - offset)
        this.#header.set(chunk.subarray(offset, offset + take), this.#headerFilled)
        this.#headerFilled += take
        offset += take
        if (this.#headerFilled < headerLength) return
        this.#body = new Uint8Array(this.#bodyLength())
        this.#bodyFilled = 0
        if (this.#body.byteLength === 0) {
          this.#complete(this.#body)
          continue
        }
      }
      const take = Math.min(this.#body.byteLength - this.#bodyFilled, chunk.byteLength - offset)
      this.#body.set(chunk.subarray(offset, offset + take), this.#bodyFilled)
      this.#bodyFilled += take
      offset += take
      if (this.#bodyFilled === this.#body.byteLength) this.#complete(this.#body)
    }
  }

  #bodyLength(): number {
    const length = this.#header.readDoubleLE(0)
    if (!Number.isInteger(length) || length < 0 || length > maxBodyLength) {
      throw new Error(`a frame claims a body of ${length} bytes`)
    }
    return length
  }

  #complete(body: Uint8Array): void {
    this.#body = undefined
    this.#headerFilled = 0
    this.#onFrame({
      kind: this.#header.readUInt32LE(8),
      sequence: this.#header.readUInt32LE(12),
      body,
    })
  }
}
