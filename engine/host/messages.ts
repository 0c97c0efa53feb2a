// What the caller's thread and the engine's thread say to each other, and how tensors cross: their
// bytes are handed over, never shared.
import type { RefusalRecord, Tensor } from '../../tensor/index.ts'
import type { Engine, RunRequest } from '../engine.ts'
import type { DeviceOptions } from './devices.ts'
import type { ToldVariables } from './variable-lists.ts'

/** The engine's methods that are answered by its thread. */
export type Method = Exclude<keyof Engine, 'close'>

/** A run as it is asked of the thread. */
export type ToldRun = Omit<RunRequest, 'variables'> & { readonly variables: ToldVariables }

export type ToWorker =
  | {
      readonly kind: 'call'
      readonly id: number
      readonly method: Method
      readonly args: unknown[]
    }
  | { readonly kind: 'value'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: 'value-error'; readonly id: number; readonly error: RefusalRecord }
  | { readonly kind: 'close' }

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly error: RefusalRecord }
  | { readonly kind: 'reply'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: RefusalRecord }
  | { readonly kind: 'read-value'; readonly id: number; readonly value: number }
  | { readonly kind: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly message: string }
  | { readonly kind: 'closed' }

/** What the worker starts with. */
export interface WorkerStart {
  readonly devices: DeviceOptions
  readonly idleMs: number | undefined
}

/** The tensor in buffers of its own, which are added to `buffers` to be handed over. */
export function packed(tensor: Tensor, buffers: Set<ArrayBuffer>): Tensor {
  if (tensor.dtype === 'string') {
    return { ...tensor, strings: tensor.strings.map((bytes) => Uint8Array.from(bytes)) }
  }
  const bytes = Uint8Array.from(tensor.bytes)
  buffers.add(bytes.buffer)
  return { ...tensor, bytes }
}

/** Buffers of tensors that the sender has no use for any more, each once. */
export function buffersOf(tensors: readonly Tensor[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const tensor of tensors) {
    if (tensor.dtype === 'string') continue
    const { buffer, byteLength } = tensor.bytes
    const whole = byteLength === buffer.byteLength && byteLength > 0
    if (whole && buffer instanceof ArrayBuffer) buffers.add(buffer)
  }
  return [...buffers]
}
