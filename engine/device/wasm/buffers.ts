// The buffers of the CPU device: where each lies, and whether a list of commands has room. It knows the
// budget; kernels it does not know.
import { strict as assert } from 'node:assert'
import { byteLengthOf, Refusal } from '../../../tensor/index.ts'
import type { ScalarType } from '../../ir/index.ts'
import type { BufferId, Command } from '../device.ts'
import type { DeviceHeap } from './memory.ts'

/** A buffer that lives. */
export interface Buffer {
  readonly address: number
  readonly byteLength: number
  readonly dtype: ScalarType
  readonly elementCount: number
}

/** A buffer that a list is going to make, and whether it needs clearing. */
interface Planned {
  readonly buffer: Buffer
  readonly fresh: boolean
}

/** Live buffers by number. */
export class Buffers {
  readonly #heap: DeviceHeap
  readonly #budgetBytes: number
  readonly #live = new Map<BufferId, Buffer>()
  #liveBytes = 0

  constructor(heap: DeviceHeap, budgetBytes: number) {
    this.#heap = heap
    this.#budgetBytes = budgetBytes
  }

  get count(): number {
    return this.#live.size
  }

  get liveBytes(): number {
    return this.#liveBytes
  }

  get(id: BufferId): Buffer {
    const buffer = this.#live.get(id)
    assert(buffer !== undefined, `there is no buffer ${id}`)
    return buffer
  }

  /**
   * Makes room for everything that a list allocates, in the list's order, with what it releases on the way.
   * Refuses with RESOURCE_EXHAUSTED `device/out-of-memory`; nothing has changed then. The answer
   * is one entry for each `allocate`, for {@link Buffers.allocate}.
   */
  plan(commands: readonly Command[]): readonly Planned[] {
    const planned: Planned[] = []
    const made = new Map<BufferId, Buffer>()
    const undo: (() => void)[] = []
    let total = this.#liveBytes
    try {
      for (const command of commands) {
        if (command.kind === 'release') {
          const buffer = made.get(command.buffer) ?? this.get(command.buffer)
          made.delete(command.buffer)
          this.#heap.release(buffer.address)
          undo.push(() => this.#heap.reclaim(buffer.address, buffer.byteLength))
          total -= buffer.byteLength
        } else if (command.kind === 'allocate') {
          const one = this.#place(command.dtype, command.elementCount, total)
          undo.push(() => this.#heap.release(one.buffer.address))
          total += one.buffer.byteLength
          made.set(command.buffer, one.buffer)
          planned.push(one)
        }
      }
    } catch (error) {
      for (const step of undo.reverse()) step()
      throw error
    }
    return planned
  }

  #place(dtype: ScalarType, elementCount: number, total: number): Planned {
    const byteLength = elementCount * byteLengthOf(dtype)
    const fits = total + byteLength <= this.#budgetBytes
    const placed = fits ? this.#heap.allocate(byteLength) : undefined
    if (placed === undefined) throw this.#refusal(byteLength, total)
    const { address, fresh } = placed
    return { buffer: { address, byteLength, dtype, elementCount }, fresh }
  }

  /** A planned buffer comes to life, as zeros. */
  allocate(id: BufferId, { buffer, fresh }: Planned): void {
    assert(!this.#live.has(id), `buffer ${id} lives already`)
    const { address, byteLength } = buffer
    if (!fresh) this.#heap.bytes.fill(0, address, address + byteLength)
    this.#live.set(id, buffer)
    this.#liveBytes += byteLength
  }

  /** A buffer ends; its room was given back when the list was planned. */
  release(id: BufferId): void {
    this.#liveBytes -= this.get(id).byteLength
    this.#live.delete(id)
  }

  #refusal(byteLength: number, total: number): Refusal {
    return new Refusal(
      'RESOURCE_EXHAUSTED',
      'device/out-of-memory',
      `A buffer of ${byteLength} bytes does not fit on /device:CPU:0: ${total} of ${this.#budgetBytes} bytes are in use.`,
      { fix: 'Use smaller batches, or evict values from the device.' },
    )
  }
}
