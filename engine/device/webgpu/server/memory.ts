// Buffers of the GPU process: what exists, what it weighs, and how dense elements become 4-byte
// words and back. It refuses what is over the budget before Dawn is asked.
import { Refusal } from '../../../../tensor/index.ts'
import { denseByteLengthOf, type Storage } from '../protocol.ts'
import { caught } from './scope.ts'

/** Values of `GPUBufferUsage`. Source: WebGPU, section "Buffer Usages". */
export const usages = { mapRead: 1, copySource: 4, copyTarget: 8, storage: 128 } as const

/** A live buffer. */
export interface DeviceBuffer {
  readonly gpu: GPUBuffer
  readonly storage: Storage
  readonly elementCount: number
  readonly byteLength: number
  /** Keys of the bind groups that hold it; they go with it. */
  readonly bindGroups: Set<string>
}

/** Bytes that so many elements take on the device; an empty buffer keeps one word to be bindable. */
export function storedByteLengthOf(elementCount: number): number {
  return 4 * Math.max(1, elementCount)
}

/** The table of live buffers under a budget. */
export class DeviceMemory {
  readonly buffers = new Map<number, DeviceBuffer>()
  readonly #device: GPUDevice
  readonly #budgetBytes: number
  readonly #maxBufferBytes: number
  #liveBytes = 0

  constructor(device: GPUDevice, budgetBytes: number, maxBufferBytes: number) {
    this.#device = device
    this.#budgetBytes = budgetBytes
    this.#maxBufferBytes = maxBufferBytes
  }

  get liveBytes(): number {
    return this.#liveBytes
  }

  /** Refuses a size or a new total that is over its bound; `change`: bytes more than live now. */
  check(byteLength: number, change: number): void {
    if (byteLength > this.#maxBufferBytes) {
      const message = `a buffer of ${byteLength} bytes is over this device's ${this.#maxBufferBytes}`
      throw new Refusal('RESOURCE_EXHAUSTED', 'device/out-of-memory', message)
    }
    const total = this.#liveBytes + change
    if (total > this.#budgetBytes) {
      const message = `${total} bytes would be over the device's budget of ${this.#budgetBytes}`
      const fix = 'Release values on the device, or give it a larger memory budget.'
      throw new Refusal('RESOURCE_EXHAUSTED', 'device/out-of-memory', message, { fix })
    }
  }

  /** New zeroed buffers, all or none: where the driver has no memory the ones made are destroyed. */
  async create(
    wanted: readonly { readonly storage: Storage; readonly elementCount: number }[],
  ): Promise<readonly DeviceBuffer[]> {
    const usage = usages.storage | usages.copySource | usages.copyTarget
    const made: DeviceBuffer[] = []
    const failure = await caught(this.#device, () => {
      for (const { storage, elementCount } of wanted) {
        const byteLength = storedByteLengthOf(elementCount)
        const gpu = this.#device.createBuffer({ size: byteLength, usage })
        made.push({ gpu, storage, elementCount, byteLength, bindGroups: new Set() })
      }
    })
    if (!failure) return made
    for (const { gpu } of made) gpu.destroy()
    const message = `the driver has no memory for ${wanted.length} buffers: ${failure}`
    throw new Refusal('RESOURCE_EXHAUSTED', 'device/out-of-memory', message)
  }

  add(id: number, buffer: DeviceBuffer): void {
    this.buffers.set(id, buffer)
    this.#liveBytes += buffer.byteLength
  }

  /** Takes the buffer out of the table; the caller destroys it once no submit will name it. */
  remove(id: number): DeviceBuffer | undefined {
    const buffer = this.buffers.get(id)
    if (!buffer) return undefined
    this.buffers.delete(id)
    this.#liveBytes -= buffer.byteLength
    return buffer
  }
}

/** Dense little-endian elements as the words of a buffer; those that are words already are shared. */
export function widen(storage: Storage, bytes: Uint8Array): Uint8Array {
  const aligned =
    bytes.byteOffset % denseByteLengthOf(storage) === 0 ? bytes : new Uint8Array(bytes)
  const { buffer, byteOffset, byteLength } = aligned
  switch (storage) {
    case 'word':
      return bytes
    case 'unsigned8':
      return bytesOf(new Uint32Array(aligned))
    case 'signed8':
      return bytesOf(new Int32Array(new Int8Array(buffer, byteOffset, byteLength)))
    case 'unsigned16':
      return bytesOf(new Uint32Array(new Uint16Array(buffer, byteOffset, byteLength / 2)))
    case 'signed16':
      return bytesOf(new Int32Array(new Int16Array(buffer, byteOffset, byteLength / 2)))
    default:
      throw new Error(storage satisfies never)
  }
}

/** A copy of words as dense little-endian elements. */
export function narrow(storage: Exclude<Storage, 'word'>, words: Uint8Array): Uint8Array {
  const wide = new Uint32Array(words.buffer, words.byteOffset, words.byteLength / 4)
  return denseByteLengthOf(storage) === 1 ? new Uint8Array(wide) : bytesOf(new Uint16Array(wide))
}

function bytesOf(array: Uint16Array | Int32Array | Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}
