// The port of the engine: what the service may ask. A run is a function of values: it reads the
// values it is given and answers with fetched and assigned ones; it never writes to the store.
import type { DType, PartialShape, Shape, Tensor, TensorType } from '../tensor/index.ts'
import type { DeviceFacts, DeviceMemory } from './device/device.ts'

/** Key of an immutable value that may be resident on devices: the store's number for it. */
export type ValueKey = number

/** Number of a value that a run made and that nobody has committed yet; it stays on its device. */
export type Handle = number

/** A variable as a graph names it. An empty container means the run's own. */
export interface VariableName {
  readonly container: string
  readonly name: string
}

/** What a graph is, learned once at load. Unknown shapes as in {@link PartialShape}. */
export interface GraphSummary {
  readonly nodeCount: number
  /** Op names in use (functions included), sorted, with their counts. */
  readonly ops: Readonly<Record<string, number>>
  /** Ops that no definition covers, each with a node that has it; such nodes are refused only when run. */
  readonly unsupported: readonly { readonly op: string; readonly node: string }[]
  readonly inputs: readonly {
    readonly name: string
    readonly dtype: DType
    readonly shape: PartialShape
  }[]
  /** Tensors that nothing consumes. */
  readonly outputs: readonly {
    readonly name: string
    readonly dtype: DType | undefined
    readonly shape: PartialShape
  }[]
  readonly variables: readonly (VariableName & {
    readonly node: string
    readonly dtype: DType
    readonly shape: PartialShape
    /** VariableV2 and its kin (true) or VarHandleOp (false). */
    readonly reference: boolean
  })[]
}

/** A value to read in a run: one of the store's, or one that an earlier run left uncommitted. */
export type ValueBinding = TensorType & ({ readonly value: ValueKey } | { readonly handle: Handle })

/** What a run will read and write, known before it starts. */
export interface RunEffects {
  readonly reads: readonly VariableName[]
  readonly writes: readonly VariableName[]
  /** Whether it consumes or changes state that outlives it (random streams, tables). */
  readonly stateful: boolean
}

export interface RunRequest {
  /** Id given to {@link Engine.load}. */
  readonly graph: string
  /** By tensor name; `w` means `w:0`. */
  readonly feeds: Readonly<Record<string, Tensor>>
  readonly fetches: readonly string[]
  /** Operations to run without fetching. */
  readonly targets: readonly string[]
  /** What an empty container attribute means, and whose state is used. */
  readonly container: string
  /** Values of the variables that the run reads or writes; null: uninitialized. In the order of `reads`, then `writes`, as `effects` gave them. */
  readonly variables: readonly (VariableName & { readonly binding: ValueBinding | null })[]
  /** Preferred device (`/device:GPU:0`); empty: the engine's default. */
  readonly device: string
  readonly deadlineMs?: number | undefined
  readonly report?: boolean | undefined
}

/** Bytes of a value: `length` of them from `offset` on. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** A variable that a run assigned; the value stays on the device under `handle` until released or adopted. */
export interface Assigned extends VariableName {
  readonly handle: Handle
  readonly dtype: DType
  readonly shape: Shape
  /**
   * The value of the store from which it differs in `dirty` ranges at most, where the run says so: the one
   * that its variable was bound to, of the same type and shape.
   */
  readonly base?: ValueKey | undefined
  /** Ascending, apart from each other, at element borders; with `base` only. */
  readonly dirty?: readonly ByteRange[] | undefined
}

/** How a run went, for people. Times in milliseconds. */
export interface RunReport {
  readonly planned: boolean
  readonly planMs: number
  readonly runMs: number
  readonly device: string
  readonly dispatches: number
  readonly kernels: number
  readonly hostSteps: number
  readonly bytesUploaded: number
  readonly bytesRead: number
  /** Nodes that ran elsewhere than asked, with the reason. */
  readonly softPlaced: readonly {
    readonly node: string
    readonly device: string
    readonly reason: string
  }[]
}

export interface RunReply {
  /** In the order of the request's fetches. */
  readonly fetches: readonly Tensor[]
  readonly assigned: readonly Assigned[]
  readonly report: RunReport | undefined
}

/** Bytes of a device that the engine holds, by what for. Uncommitted values of runs are not among them. */
export interface HeldBytes {
  /** Copies of the store's values. */
  readonly valueBytes: number
  readonly constantBytes: number
  readonly temporaryBytes: number
  /** Buffers that wait to be used again. */
  readonly spareBytes: number
}

export interface DeviceStatus {
  readonly facts: Omit<DeviceFacts, 'types'> & { readonly types: readonly string[] }
  readonly memory: DeviceMemory & HeldBytes
  readonly generation: number
  /** Values of the store that are resident, with their bytes. */
  readonly resident: readonly { readonly value: ValueKey; readonly byteLength: number }[]
  readonly state: 'ready' | 'starting' | 'lost'
}

/** Runs graphs. All of it happens off the calling thread. */
export interface Engine {
  /**
   * Parses and verifies a serialized GraphDef and keeps it under `id`. Refuses bad structure (wire
   * form, names, ports, cycles) with INVALID_ARGUMENT `graph/..`; unknown ops are only listed.
   */
  load(id: string, graphDef: Uint8Array): Promise<GraphSummary>
  unload(id: string): Promise<void>
  /** What such a run would read and write. Refuses unknown names, and ops without a definition (UNIMPLEMENTED `op/unknown`) on the pruned graph. */
  effects(
    run: Pick<RunRequest, 'graph' | 'fetches' | 'targets' | 'container'> & {
      readonly feeds: readonly string[]
    },
  ): Promise<RunEffects>
  /** Runs. A refused or failed run leaves no trace: nothing assigned, no state changed. */
  run(request: RunRequest): Promise<RunReply>
  /** The value of a handle, brought from its device. */
  read(handle: Handle): Promise<Tensor>
  /** Only such bytes of a handle's value, in the order of the ranges, which lie at element borders. Not for strings. */
  readRanges(handle: Handle, ranges: readonly ByteRange[]): Promise<readonly Uint8Array[]>
  /** The handle's value now is the store's `value`: it stays resident under that key; the handle ends. */
  adopt(handle: Handle, value: ValueKey): Promise<void>
  /** The handle is not wanted any more. */
  release(handle: Handle): Promise<void>
  /** Brings values to a device ahead of use, or drops clean copies (all of them where none are named). */
  prefetch(
    device: string,
    values: readonly (TensorType & { readonly value: ValueKey })[],
  ): Promise<void>
  evict(device: string, values?: readonly ValueKey[]): Promise<void>
  /** Drops random streams and tables of a container. */
  dropState(container: string): Promise<void>
  devices(): Promise<readonly DeviceStatus[]>
  close(): Promise<void>
}

/** What the engine needs from its owner. */
export interface EngineOptions {
  /**
   * Content of a value of the store that a run needs and that is not resident (strings as `packStrings`).
   * The bytes are the engine's from then on: their memory goes over to its thread.
   */
  readonly readValue: (value: ValueKey) => Promise<Uint8Array>
  /** `auto`: a real GPU if there is one, else the CPU; or a device name; or `reference`. */
  readonly device: string
  /** Threads of the CPU device. */
  readonly threads: number
  /** Bytes that values, constants and temporaries may take on the CPU (4 GiB at most) and on each GPU. */
  readonly memoryBytes?: { readonly cpu?: number | undefined; readonly gpu?: number | undefined }
  /** Milliseconds without work after which the CPU device gives spare memory back to the system. */
  readonly idleMs?: number | undefined
  /** Environment for device processes (Vulkan driver and library path for the software driver). */
  readonly gpuEnvironment?: Readonly<Record<string, string>> | undefined
  /** Whether a software Vulkan driver may be used (tests only). */
  readonly allowSoftwareGpu?: boolean | undefined
  readonly log?: ((level: 'info' | 'warn' | 'error', message: string) => void) | undefined
  /** Told that the engine lost its thread, and with it all state: tables and random streams. The next call begins anew. */
  readonly emptied?: (() => void) | undefined
}
