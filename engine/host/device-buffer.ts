// A buffer of a device as the engine knows it.
import type { BufferId } from '../device/device.ts'
import type { ScalarType } from '../ir/index.ts'

/** A buffer with what it holds. */
export interface DeviceBuffer {
  readonly buffer: BufferId
  readonly dtype: ScalarType
  readonly elementCount: number
  /** The device's generation that it lives in. */
  readonly generation: number
}
