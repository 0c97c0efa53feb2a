// Values that runs left and nobody has committed yet, by their handles.
import { type DType, Refusal, type Shape, type Tensor } from '../../tensor/index.ts'
import type { Handle } from '../engine.ts'
import type { DeviceBuffer } from './device-buffer.ts'
import type { Lineage } from './donations.ts'
import type { Residency } from './residency.ts'

/** Where a value that a run left is: on a device, or on the host. */
export type HeldValue =
  | { readonly kind: 'buffer'; readonly device: string; readonly buffer: DeviceBuffer }
  | { readonly kind: 'tensor'; readonly tensor: Tensor }

/** A value with what it is known by. */
export interface Held {
  readonly value: HeldValue
  readonly dtype: DType
  readonly shape: Shape
  /** Of the variable's values, where one of them gave its buffer away. */
  readonly lineage: Lineage | undefined
}

export class Handles {
  readonly #residencyOf: (device: string) => Residency
  readonly #held = new Map<Handle, Held>()
  #next = 1

  constructor(residencyOf: (device: string) => Residency) {
    this.#residencyOf = residencyOf
  }

  add(held: Held): Handle {
    const handle = this.#next++
    this.#held.set(handle, held)
    return handle
  }

  /** Refuses handles that are not there (NOT_FOUND `engine/handle`), or whose device was lost (UNAVAILABLE `device/lost`). */
  of(handle: Handle): Held {
    const held = this.#held.get(handle)
    if (held === undefined) throw noHandle(handle)
    const { value } = held
    if (value.kind === 'buffer' && !this.#residencyOf(value.device).isLive(value.buffer)) {
      throw new Refusal(
        'UNAVAILABLE',
        'device/lost',
        `The value with the handle ${handle} was on ${value.device}, which was lost.`,
        { names: { device: value.device } },
      )
    }
    return held
  }

  /** What is there under a handle, lost or not. */
  peek(handle: Handle): Held | undefined {
    return this.#held.get(handle)
  }

  /** Ends a handle; refuses one that is not there. */
  take(handle: Handle): Held {
    const held = this.#held.get(handle)
    if (held === undefined) throw noHandle(handle)
    this.#held.delete(handle)
    return held
  }

  /** Whether values are on the device. */
  hasAnyOn(device: string): boolean {
    return [...this.#held.values()].some(
      ({ value }) => value.kind === 'buffer' && value.device === device,
    )
  }
}

function noHandle(handle: Handle): Refusal {
  return new Refusal('NOT_FOUND', 'engine/handle', `There is no value with the handle ${handle}.`)
}
