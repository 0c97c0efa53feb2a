// Buffers that results are read back through, kept for the next submit: one for all that a submit
// reads, mapped once.
import { usages } from './memory.ts'

const smallestByteLength = 4096
const keptBuffers = 4
const keptByteLength = 64 * 1024 * 1024

/** Hands out buffers that can be mapped for reading. */
export class Staging {
  readonly #device: GPUDevice
  readonly #free: GPUBuffer[] = []

  constructor(device: GPUDevice) {
    this.#device = device
  }

  /** A buffer of at least so many bytes. */
  take(byteLength: number): GPUBuffer {
    const place = this.#free.findIndex((buffer) => buffer.size >= byteLength)
    if (place >= 0) return this.#free.splice(place, 1)[0]
    let size = smallestByteLength
    while (size < byteLength) size *= 2
    if (size > keptByteLength) size = byteLength
    return this.#device.createBuffer({ size, usage: usages.mapRead | usages.copyTarget })
  }

  /** Takes an unmapped buffer back; large and superfluous ones are destroyed. */
  give(buffer: GPUBuffer): void {
    if (buffer.size > keptByteLength || this.#free.length >= keptBuffers) buffer.destroy()
    else this.#free.push(buffer)
  }
}
