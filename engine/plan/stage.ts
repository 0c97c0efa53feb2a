// A stage: a flat list of instructions that brings values to where they are wanted, then either the end
// of the run or a need that tells which stage comes next. Buffers are slots here; a run gives them ids.

import type { NumericTensor, Shape, Tensor } from '../../tensor/index.ts'
import type { ScalarType } from '../ir/index.ts'
import type { HostStep, Patch, Source, Variable } from '../ops/index.ts'
import type { KernelOperand, PlannedKernel } from './kernel.ts'
import type { Need } from './need.ts'
import type { Trace } from './trace.ts'

/** Number of a slot of a plan, unique along a path of stages. */
export type SlotId = number

/** A buffer that a run needs. */
export interface Slot {
  readonly id: SlotId
  readonly device: string
  readonly dtype: ScalarType
  readonly elementCount: number
  readonly origin:
    | {
        /** One of the engine's temporaries of this type and size, told apart by number. */
        readonly kind: 'temporary'
        readonly ordinal: number
      }
    | { readonly kind: 'constant'; readonly tensor: NumericTensor }
    | { readonly kind: 'variable'; readonly variable: Variable }
    /** Made in this run and handed out as an assigned value. */
    | { readonly kind: 'fresh' }
    /** Made in this run; holds what an exchange needs to be taken back. */
    | { readonly kind: 'log' }
}

export type SlotCommand =
  /** Content that the host has, into the slot. */
  | { readonly kind: 'upload'; readonly slot: SlotId; readonly from: KernelOperand }
  | {
      readonly kind: 'dispatch'
      readonly kernel: number
      readonly slots: readonly SlotId[]
      /** Slots of variables that hold assigned values from here on. */
      readonly overwrites?: readonly SlotId[]
    }
  /**
   * Runs a kernel that exchanges elements of a variable's slot, the first of `slots`, with those of the
   * last. Run again on the same slots it takes that back.
   */
  | { readonly kind: 'exchange'; readonly kernel: number; readonly slots: readonly SlotId[] }
  | { readonly kind: 'copy'; readonly from: SlotId; readonly to: SlotId }
  /** To the host, as the content of the source. */
  | { readonly kind: 'read'; readonly slot: SlotId; readonly source: Source }

export type Instruction =
  | {
      readonly kind: 'submit'
      readonly device: string
      readonly commands: readonly SlotCommand[]
      /** Slots that the commands name, each once. */
      readonly slots: readonly Slot[]
    }
  | { readonly kind: 'step'; readonly step: HostStep }

/** Where a result of a run is found. In a variable's slot only where that was changed in place. */
export type ResultPlace =
  | { readonly kind: 'tensor'; readonly tensor: Tensor; readonly shape: Shape }
  | { readonly kind: 'host'; readonly source: Source; readonly shape: Shape }
  | { readonly kind: 'slot'; readonly slot: Slot; readonly shape: Shape }

export interface Finish {
  readonly kind: 'finish'
  readonly fetches: readonly Exclude<ResultPlace, { readonly kind: 'slot' }>[]
  readonly assigned: readonly {
    readonly variable: Variable
    readonly place: ResultPlace
    /** By which it differs from the value that the variable had; undefined where it is made otherwise. */
    readonly patches: readonly Patch[] | undefined
  }[]
}

export interface Pause {
  readonly kind: 'pause'
  readonly need: Need
  /** The walk as it stood; continuations are made from copies. */
  readonly trace: Trace
  readonly placement: Placement
  readonly next: Map<string, Stage>
}

export interface DeviceKernels {
  readonly device: string
  readonly planned: readonly PlannedKernel[]
}

export interface Stage {
  readonly instructions: readonly Instruction[]
  /** Kernels by device; a dispatch names one by its place there. */
  readonly kernels: readonly DeviceKernels[]
  readonly softPlaced: readonly {
    readonly node: string
    readonly device: string
    readonly reason: string
  }[]
  readonly end: Finish | Pause
}

/** Where values are while a path of stages is planned. */
export class Placement {
  readonly host: Set<Source>
  readonly ran: Set<HostStep>
  readonly devices: Map<string, Map<KernelOperand, Slot>>
  readonly #busy: Map<string, Set<number>>
  #nextSlot: number

  constructor(from?: Placement) {
    this.host = new Set(from?.host)
    this.ran = new Set(from?.ran)
    this.devices = new Map(
      [...(from?.devices ?? [])].map(([device, operands]) => [device, new Map(operands)]),
    )
    this.#busy = new Map([...(from?.busy ?? [])].map(([key, ordinals]) => [key, new Set(ordinals)]))
    this.#nextSlot = from?.slotCount ?? 0
  }

  get busy(): ReadonlyMap<string, ReadonlySet<number>> {
    return this.#busy
  }

  get slotCount(): number {
    return this.#nextSlot
  }

  /** A number for a slot that no operand is found by. */
  reserve(): SlotId {
    return this.#nextSlot++
  }

  /** Slot of an operand on a device, if it is there. */
  slotOf(device: string, operand: KernelOperand): Slot | undefined {
    return this.devices.get(device)?.get(operand)
  }

  /** Whether a source's content exists somewhere, or can be had without planning. */
  isAvailable(source: Source): boolean {
    if (source.kind === 'feed' || source.kind === 'variable') return true
    if (this.host.has(source)) return true
    if (source.kind === 'step') return this.ran.has(source.step)
    return this.deviceOf(source) !== undefined
  }

  deviceOf(source: Source): string | undefined {
    for (const [device, operands] of this.devices) if (operands.has(source)) return device
    return undefined
  }

  place(device: string, operand: KernelOperand, slot: Slot): void {
    const operands = this.devices.get(device)
    if (operands === undefined) this.devices.set(device, new Map([[operand, slot]]))
    else operands.set(operand, slot)
  }

  /** A slot for an operand on a device. */
  add(
    device: string,
    operand: KernelOperand,
    elementCount: number,
    origin: Slot['origin'] | 'temporary',
  ): Slot {
    const dtype = operand.dtype as ScalarType
    const slot: Slot = {
      id: this.#nextSlot++,
      device,
      dtype,
      elementCount,
      origin:
        origin === 'temporary'
          ? { kind: 'temporary', ordinal: this.#take(device, dtype, elementCount) }
          : origin,
    }
    this.place(device, operand, slot)
    return slot
  }

  #take(device: string, dtype: ScalarType, elementCount: number): number {
    const key = `${device} ${dtype} ${elementCount}`
    let busy = this.#busy.get(key)
    if (busy === undefined) {
      busy = new Set()
      this.#busy.set(key, busy)
    }
    let ordinal = 0
    while (busy.has(ordinal)) ordinal++
    busy.add(ordinal)
    return ordinal
  }

  /** Gives the slot of a source to another, which has changed its content. */
  handOver(device: string, from: Source, to: Source, slot: Slot): void {
    this.devices.get(device)?.delete(from)
    this.place(device, to, slot)
  }

  /** The operand is not needed on the device any more: its temporary may be used again. */
  free(device: string, operand: KernelOperand): void {
    const slot = this.devices.get(device)?.get(operand)
    if (slot === undefined || slot.origin.kind !== 'temporary') return
    this.#busy.get(`${device} ${slot.dtype} ${slot.elementCount}`)?.delete(slot.origin.ordinal)
    this.devices.get(device)?.delete(operand)
  }
}
