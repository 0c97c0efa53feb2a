// The device's one shared WebAssembly memory and who has which part of it. It hands out
// aligned blocks from a list of free ones and grows the memory as needed; what is in them it does
// not know.
import { strict as assert } from 'node:assert'

/** Blocks begin at multiples of this, which is a cache line. */
const alignmentBytes = 64

/**
 * Bytes at the start that belong to no buffer: arguments, error words. Kernels also rely on it: an
 * address up to this much below a buffer is still an address.
 */
export const reservedBytes = 65_536

/** Readable bytes that follow every block, so that a masked vector at its end touches no other page. */
const slackBytes = 16
const pageBytes = 65_536

/** All that a 32-bit WebAssembly memory can hold. */
export const largestMemoryBytes = 2 ** 32

interface Block {
  address: number
  byteLength: number
}

/** A block as it is handed out. */
export interface Placed {
  readonly address: number
  /** Whether its bytes are zeros already, since nothing has ever been there. */
  readonly fresh: boolean
}

/** Blocks of a shared memory that grows as needed. */
export class DeviceHeap {
  readonly memory: WebAssembly.Memory
  /** Free blocks in order of address; neighbours are always merged. */
  readonly #free: Block[] = []
  readonly #taken = new Map<number, number>()
  /** Where blocks have never been: everything from here on is free and zero. */
  #frontier = reservedBytes
  #bytes: Uint8Array<SharedArrayBuffer>

  constructor() {
    this.memory = new WebAssembly.Memory({
      initial: 2 * (reservedBytes / pageBytes),
      maximum: largestMemoryBytes / pageBytes,
      shared: true,
    })
    this.#bytes = this.#view()
  }

  /** The whole memory as it is now. Ask again after an allocation. */
  get bytes(): Uint8Array<SharedArrayBuffer> {
    return this.#bytes
  }

  /** A new block, not cleared; undefined where the memory has no room for it. Nothing has changed then. */
  allocate(byteLength: number): Placed | undefined {
    const wanted = roundUp(byteLength + slackBytes)
    const at = this.#free.findIndex((block) => block.byteLength >= wanted)
    if (at < 0) return this.#extend(wanted)
    const { address } = this.#free[at]!
    this.#carve(at, address, wanted)
    return { address, fresh: false }
  }

  /** Gives a block back. */
  release(address: number): void {
    const byteLength = this.#taken.get(address)
    assert(byteLength !== undefined, `no block begins at ${address}`)
    this.#taken.delete(address)
    const following = this.#free.findIndex((block) => block.address > address)
    const place = following < 0 ? this.#free.length : following
    this.#free.splice(place, 0, { address, byteLength })
    this.#merge(place)
    if (place > 0) this.#merge(place - 1)
  }

  /** Takes back a block that was released and not handed out since: the way to undo a release. */
  reclaim(address: number, byteLength: number): void {
    const wanted = roundUp(byteLength + slackBytes)
    const at = this.#free.findIndex(
      (block) => block.address <= address && address + wanted <= block.address + block.byteLength,
    )
    assert(at >= 0, `the block at ${address} is not free`)
    this.#carve(at, address, wanted)
  }

  /** Takes a part out of the free block at `index`. */
  #carve(index: number, address: number, byteLength: number): void {
    const block = this.#free[index]!
    const before = { address: block.address, byteLength: address - block.address }
    const end = address + byteLength
    const after = { address: end, byteLength: block.address + block.byteLength - end }
    this.#free.splice(index, 1, ...[before, after].filter((part) => part.byteLength > 0))
    this.#taken.set(address, byteLength)
  }

  #extend(wanted: number): Placed | undefined {
    const last = this.#free.at(-1)
    const touching = last !== undefined && last.address + last.byteLength === this.#frontier
    const address = touching ? last.address : this.#frontier
    const end = address + wanted
    if (end > largestMemoryBytes) return undefined
    if (end > this.#bytes.length) {
      try {
        this.memory.grow(Math.ceil((end - this.#bytes.length) / pageBytes))
      } catch {
        return undefined
      }
      this.#bytes = this.#view()
    }
    if (touching) this.#free.pop()
    this.#frontier = end
    this.#taken.set(address, wanted)
    return { address, fresh: !touching }
  }

  #merge(index: number): void {
    const block = this.#free[index]!
    const next = this.#free[index + 1]
    if (next === undefined || block.address + block.byteLength !== next.address) return
    block.byteLength += next.byteLength
    this.#free.splice(index + 1, 1)
  }

  #view(): Uint8Array<SharedArrayBuffer> {
    return new Uint8Array(this.memory.buffer as unknown as SharedArrayBuffer)
  }
}

function roundUp(byteLength: number): number {
  return Math.ceil(byteLength / alignmentBytes) * alignmentBytes
}
