// The port of a device: lists of kernels to compile, lists of commands to run. Behind it are the
// reference interpreter, WebAssembly, and WebGPU in a process of its own. It knows elements and
// buffers; shapes, graphs and variables are the planner's.

import type { ScalarType } from '../ir/expression.ts'
import type { Kernel } from '../ir/kernel.ts'

/** What a planner and a tiling may need to know of a device. */
export interface DeviceFacts {
  /** TensorFlow's name: `/device:CPU:0`, `/device:GPU:0`. */
  readonly name: string
  readonly kind: 'reference' | 'wasm' | 'webgpu'
  /** What it is, for people: adapter, driver, threads. */
  readonly description: string
  /** Types that it stores and computes. A kernel with any other type goes elsewhere. */
  readonly types: ReadonlySet<ScalarType>
  /** Largest buffer, in bytes of the device's own storage. */
  readonly maxBufferBytes: number
  /** Most buffers (inputs and outputs) that one kernel may bind. */
  readonly maxBuffersPerKernel: number
  /** Bytes that it may hold in all. */
  readonly memoryBytes: number
  /** Device's own further limits, for its tiling and for `GET /v1/devices`. */
  readonly limits: Readonly<Record<string, number | string | boolean>>
}

/** Number of a buffer, chosen by the caller, unique on the device while the buffer lives. */
export type BufferId = number

/** Number of a compiled kernel, chosen by the device. */
export type KernelId = number

export type Command =
  /** A new buffer of zeros. */
  | {
      readonly kind: 'allocate'
      readonly buffer: BufferId
      readonly dtype: ScalarType
      readonly elementCount: number
    }
  | { readonly kind: 'release'; readonly buffer: BufferId }
  /** Dense little-endian elements into the buffer from element `offset`; the device widens as its storage needs. */
  | {
      readonly kind: 'write'
      readonly buffer: BufferId
      readonly offset: number
      readonly bytes: Uint8Array
    }
  /** Runs a kernel. `buffers`: its inputs, then its outputs that are not in place. */
  | {
      readonly kind: 'dispatch'
      readonly kernel: KernelId
      readonly buffers: readonly BufferId[]
    }
  /** Copies a whole buffer to another of the same type and count. */
  | { readonly kind: 'copy'; readonly from: BufferId; readonly to: BufferId }
  /** Dense little-endian elements of the buffer, into the reply's next place. */
  | {
      readonly kind: 'read'
      readonly buffer: BufferId
      readonly offset: number
      readonly elementCount: number
    }

/** The first check that did not hold, in command order. Later commands' results mean nothing then. */
export interface CheckFailure {
  /** Place of the dispatch in the submitted list. */
  readonly command: number
  readonly code: number
  /** Loop counters of the first iteration (row-major loop order) where it failed. */
  readonly position: readonly number[]
}

export interface Submitted {
  /** One entry for each `read`, in order; the caller may keep and transfer them. */
  readonly reads: readonly Uint8Array[]
  readonly failure: CheckFailure | undefined
}

export interface DeviceMemory {
  readonly liveBuffers: number
  /** Bytes of the live buffers .. */
  readonly liveBytes: number
  /** .. and bytes that the device has from the system: those, and room that it keeps for others. */
  readonly reservedBytes: number
  readonly kernels: number
}

/**
 * A device. Calls are answered in the order of their making. A lost device rejects with UNAVAILABLE
 * (`device/lost`), raises `generation`, and comes back empty: kernels and buffers of an earlier
 * generation are gone. A buffer or budget that is too large rejects with RESOURCE_EXHAUSTED
 * (`device/out-of-memory`) and changes nothing.
 */
export interface Device {
  readonly facts: DeviceFacts
  readonly generation: number
  /** Ids in the order given. The same kernel compiled again may answer with the same id. */
  compile(kernels: readonly Kernel[]): Promise<readonly KernelId[]>
  submit(commands: readonly Command[]): Promise<Submitted>
  memory(): Promise<DeviceMemory>
  /**
   * Gives all memory back to the system by beginning anew: the device is empty then, as after a loss,
   * and of a later generation. False where that would give back nothing, and nothing happened. To be
   * called while no other call is under way.
   */
  renew(): Promise<boolean>
  close(): Promise<void>
}
