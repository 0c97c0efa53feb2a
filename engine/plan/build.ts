// Plans one stage: what is needed and not there yet, fused into kernels, placed on devices, with
// transfers where a value is elsewhere than wanted, and temporaries reused once they are dead.
import { elementCountOf, type NumericTensor } from '../../tensor/index.ts'
import type { DeviceFacts } from '../device/device.ts'
import type { Kernel, ScalarType } from '../ir/index.ts'
import type { Compute, HostStep, Patch, Source, TensorValue, Variable } from '../ops/index.ts'
import { demandOf } from './demand.ts'
import {
  type Donors,
  type InPlace,
  kernelInPlace,
  lastUses,
  outputsInPlace,
  patchedInPlace,
} from './donation.ts'
import { isScalarType } from './empty.ts'
import { type FusedComputes, fuse, usualLimits } from './fuse.ts'
import { itemsOf } from './group.ts'
import { type KernelOperand, type PlannedKernel, type Splats, unfused } from './kernel.ts'
import type { Need } from './need.ts'
import { inputsOf, patchesSince, patchKernel, sourcesOf } from './patch.ts'
import { placedOn } from './placing.ts'
import { reachableSources } from './reachable.ts'
import { Segments } from './segments.ts'
import type { Finish, Pause, ResultPlace, Slot, SlotId, Stage } from './stage.ts'
import { Placement } from './stage.ts'
import type { Trace, Traced } from './trace.ts'
import type { VariableState } from './tracing.ts'

/** What stages are planned for. */
export interface StageTarget {
  /** Devices by name; the first is the one preferred, the CPU is among them. */
  readonly devices: readonly DeviceFacts[]
  /** False keeps every compute a kernel of its own. */
  readonly fuse: boolean
  readonly splats: Splats
  /** Variables whose buffers the run may change. */
  readonly donors: Donors
}

/** The stage that goes from `placement` to the end of the walk, or to its next need. */
export function planStage(
  trace: Trace,
  outcome: Need | Traced,
  placement: Placement,
  target: StageTarget,
): Stage {
  const planner = new StagePlanner(new Placement(placement), target)
  return 'kind' in outcome ? planner.toNeed(trace, outcome) : planner.toEnd(outcome)
}

type Destinations = ReadonlyMap<Source, Variable>

const unchanged: InPlace = { patches: new Set(), fresh: new Set() }

class StagePlanner {
  readonly #placement: Placement
  readonly #target: StageTarget
  readonly #segments = new Segments()
  readonly #kernels = new Map<string, PlannedKernel[]>()
  readonly #softPlaced: Stage['softPlaced'][number][] = []
  /** Sources that become assigned values: kernels write them where they stay. */
  #fresh = new Set<Source>()
  /** Patches that change their base's buffer. */
  #patchedInPlace: ReadonlySet<Patch> = new Set()
  /** Slots of variables that hold assigned values. */
  readonly #donated = new Set<SlotId>()

  constructor(placement: Placement, target: StageTarget) {
    this.#placement = placement
    this.#target = target
  }

  toNeed(trace: Trace, need: Need): Stage {
    if (need.kind === 'content') {
      const { value } = need
      if (value.kind === 'array') {
        this.#plan([value.source], [], undefined)
        this.#toHost([value.source])
      }
    } else {
      this.#plan([], [need.step], undefined)
    }
    this.#freeUnreachable(trace, need)
    const end: Pause = {
      kind: 'pause',
      need,
      trace,
      placement: this.#placement,
      next: new Map(),
    }
    return this.#stage(end)
  }

  toEnd({ fetches, assigned, steps, checked }: Traced): Stage {
    const wanted = [...fetches, ...assigned.flatMap((state) => state.value ?? [])]
    const sources = wanted.flatMap((value) => (value.kind === 'array' ? [value.source] : []))
    this.#plan([...sources, ...checked], steps, assigned)
    const assignments = assigned.flatMap(({ variable, value }) => {
      if (value === undefined) return []
      const patches = patchesSince(variable, value)
      // What they touched is told from what the host knows.
      for (const patch of patches ?? []) this.#toHost(sourcesOf(patch.places))
      return [{ variable, place: this.#assignedPlace(value), patches }]
    })
    this.#toHost(fetches.flatMap((value) => (value.kind === 'array' ? [value.source] : [])))
    const end: Finish = {
      kind: 'finish',
      fetches: fetches.map((value) => placeOnHost(value)),
      assigned: assignments,
    }
    return this.#stage(end)
  }

  #stage(end: Finish | Pause): Stage {
    this.#segments.flushAll()
    return {
      instructions: this.#segments.instructions,
      kernels: [...this.#kernels].map(([device, planned]) => ({ device, planned })),
      softPlaced: this.#softPlaced,
      end,
    }
  }

  /** Emits everything that `sources` and `steps` need. Without `assigned` later stages may need any of it. */
  #plan(
    sources: readonly Source[],
    steps: readonly HostStep[],
    assigned: readonly VariableState[] | undefined,
  ): void {
    const demanded = demandOf(this.#placement, sources, steps)
    const kept = new Set<Source>(sources)
    for (const step of demanded.steps) for (const one of sourcesOf(step.inputs)) kept.add(one)
    for (const patch of demanded.patches) {
      for (const one of sourcesOf(inputsOf(patch))) kept.add(one)
    }
    const fused = this.#fuse(demanded.computes, kept)
    const { fuse: join, devices, donors } = this.#target
    const { maxBuffersPerKernel } = devices[0]
    const { patches } = demanded
    const items = itemsOf(fused.kernels, patches, demanded.steps, fused, join, maxBuffersPerKernel)
    const last = assigned === undefined ? undefined : lastUses(items, new Set(sources))
    const values = (assigned ?? []).flatMap(({ variable, value }) =>
      value === undefined ? [] : [{ variable, value }],
    )
    const inPlace = last === undefined ? unchanged : patchedInPlace(items, last, values, donors)
    this.#fresh = new Set(inPlace.fresh)
    this.#patchedInPlace = inPlace.patches
    const destinations: Destinations = new Map(
      values.flatMap(({ variable, value }) =>
        value.kind === 'array' ? [[value.source, variable]] : [],
      ),
    )
    const dying = Map.groupBy(last?.keys() ?? [], (operand) => last?.get(operand))
    for (const [place, item] of items.entries()) {
      const isLast = (operand: KernelOperand): boolean => last?.get(operand) === place
      if (item.kind === 'step') this.#emitStep(item.step)
      else if (item.kind === 'patch') this.#emitPatch(item.patch)
      else this.#emitKernel(item.computes[0], item.planned, isLast, destinations)
      for (const operand of dying.get(place) ?? []) {
        for (const device of this.#placement.devices.keys()) this.#placement.free(device, operand)
      }
    }
  }

  /** Gives temporaries back that nothing of the rest of the walk can need. */
  #freeUnreachable(trace: Trace, need: Need): void {
    const reachable = reachableSources(trace, need, this.#placement)
    for (const [device, operands] of this.#placement.devices) {
      for (const operand of [...operands.keys()]) {
        if (!('kind' in operand) || reachable.has(operand)) continue
        this.#placement.free(device, operand)
      }
    }
  }

  #fuse(computes: readonly Compute[], kept: ReadonlySet<Source>): FusedComputes {
    const { splats } = this.#target
    if (!this.#target.fuse) return { ...unfused(splats), kernels: computes }
    const { maxBuffersPerKernel: buffers, types } = this.#target.devices[0]
    return fuse(computes, kept, { ...usualLimits, buffers }, splats, types)
  }

  #emitKernel(
    compute: Compute,
    planned: PlannedKernel,
    isLast: (operand: KernelOperand) => boolean,
    destinations: Destinations,
  ): void {
    const device = this.#deviceFor(compute, planned.kernel)
    const inputs = planned.inputs.map((operand) => this.#toDevice(device, operand))
    const inPlace = outputsInPlace(planned, isLast, destinations, this.#target.donors)
    const fresh: Slot[] = []
    for (const [place, output] of planned.outputs.entries()) {
      const input = inPlace.get(place)
      if (input === undefined) {
        const origin = this.#fresh.has(output) ? ({ kind: 'fresh' } as const) : 'temporary'
        fresh.push(this.#placement.add(device, output, elementCountOf(output.shape), origin))
      } else {
        this.#placement.handOver(device, planned.inputs[input] as Source, output, inputs[input])
        this.#donated.add(inputs[input].id)
        this.#fresh.delete(output)
      }
    }
    const overwrites = [...inPlace.values()].map((input) => inputs[input].id)
    const kernel = this.#kernelOf(device, kernelInPlace(planned, inPlace))
    const slots = [...inputs, ...fresh]
    const command = { kind: 'dispatch', kernel, slots: slots.map((slot) => slot.id) } as const
    this.#segments.separate(device, {
      checks: planned.kernel.checks.length > 0,
      changes: overwrites.length > 0,
    })
    this.#segments.add(
      device,
      overwrites.length === 0 ? command : { ...command, overwrites },
      slots,
    )
  }

  /** The number of a kernel among those of the stage. */
  #kernelOf(device: string, planned: PlannedKernel): number {
    const list = this.#kernels.get(device)
    if (list === undefined) this.#kernels.set(device, [planned])
    else list.push(planned)
    return (list?.length ?? 1) - 1
  }

  /** In the buffer of what it patches, if it may; else in a copy of that. */
  #emitPatch(patch: Patch): void {
    const { base } = patch
    const device = this.#deviceFor(patch, patchKernel(patch, 'put'))
    const places = patch.places.map((place) => this.#toDevice(device, operandOf(place)))
    const values = this.#toDevice(device, operandOf(patch.values))
    const source = base.kind === 'array' ? base.source : undefined
    if (source !== undefined && this.#patchedInPlace.has(patch)) {
      const isVariable = source.kind === 'variable'
      const slot = isVariable
        ? this.#toDevice(device, source)
        : this.#placement.slotOf(device, source)
      if (slot !== undefined) {
        this.#placement.handOver(device, source, patch, slot)
        this.#fresh.delete(source)
        if (slot.origin.kind === 'variable') this.#exchange(device, patch, slot, places, values)
        else this.#put(device, patch, slot, places, values)
        return
      }
    }
    const origin = this.#fresh.has(patch) ? ({ kind: 'fresh' } as const) : 'temporary'
    const slot = this.#placement.add(device, patch, elementCountOf(patch.shape), origin)
    this.#fill(device, slot, operandOf(base))
    this.#put(device, patch, slot, places, values)
  }

  #put(device: string, patch: Patch, slot: Slot, places: readonly Slot[], values: Slot): void {
    const kernel = this.#kernelOf(device, plainKernel(patchKernel(patch, 'put')))
    const slots = [slot, ...places, values]
    this.#segments.separate(device, { checks: false, changes: true })
    this.#segments.add(
      device,
      { kind: 'dispatch', kernel, slots: slots.map(({ id }) => id) },
      slots,
    )
  }

  /** Changes a variable's buffer; what it takes to undo that stays in buffers of its own. */
  #exchange(device: string, patch: Patch, slot: Slot, places: readonly Slot[], values: Slot): void {
    const kernel = this.#kernelOf(device, plainKernel(patchKernel(patch, 'exchange')))
    this.#segments.separate(device, { checks: false, changes: true })
    const logs = [...places, values].map((from): Slot => {
      const log: Slot = { ...from, id: this.#placement.reserve(), origin: { kind: 'log' } }
      this.#segments.add(device, { kind: 'copy', from: from.id, to: log.id }, [from, log])
      return log
    })
    const slots = [slot, ...logs]
    this.#donated.add(slot.id)
    this.#segments.add(
      device,
      { kind: 'exchange', kernel, slots: slots.map(({ id }) => id) },
      slots,
    )
  }

  #deviceFor(node: Compute | Patch, kernel: Kernel): string {
    const { device, softPlaced } = placedOn(this.#target.devices, node, kernel)
    this.#softPlaced.push(...softPlaced)
    return device
  }

  #emitStep(step: HostStep): void {
    this.#toHost(step.inputs.flatMap((input) => (input.kind === 'array' ? [input.source] : [])))
    this.#segments.instructions.push({ kind: 'step', step })
    this.#placement.ran.add(step)
  }

  /** The operand's slot on the device, brought there if need be. */
  #toDevice(device: string, operand: KernelOperand): Slot {
    const there = this.#placement.slotOf(device, operand)
    if (there !== undefined) return there
    const count = elementCountOf(operand.shape)
    if (!('kind' in operand)) {
      return this.#placement.add(device, operand, count, { kind: 'constant', tensor: operand })
    }
    if (operand.kind === 'variable') {
      return this.#placement.add(device, operand, count, {
        kind: 'variable',
        variable: operand.variable,
      })
    }
    this.#toHost([operand])
    const slot = this.#placement.add(device, operand, count, 'temporary')
    this.#segments.add(device, { kind: 'upload', slot: slot.id, from: operand }, [slot])
    return slot
  }

  /** Makes the contents of sources available to the host; one submit a device. */
  #toHost(sources: readonly Source[]): void {
    const devices = new Set<string>()
    for (const source of sources) {
      if (source.kind !== 'compute' && source.kind !== 'patch') continue
      if (this.#placement.host.has(source)) continue
      const device = this.#placement.deviceOf(source)
      if (device === undefined) throw new Error(`the value of ${source.node} is nowhere`)
      const slot = this.#placement.slotOf(device, source) as Slot
      this.#segments.add(device, { kind: 'read', slot: slot.id, source }, [slot])
      this.#placement.host.add(source)
      devices.add(device)
    }
    for (const device of devices) this.#segments.flush(device)
  }

  /** Where an assigned value will be: a buffer of its own, or the host for types without kernels. */
  #assignedPlace(value: TensorValue): ResultPlace {
    if (!isScalarType(value.dtype) || elementCountOf(value.shape) === 0) {
      if (value.kind === 'array') this.#toHost([value.source])
      return placeOnHost(value)
    }
    const operand = value.kind === 'known' ? (value.tensor as NumericTensor) : value.source
    const device =
      ('kind' in operand ? this.#placement.deviceOf(operand) : undefined) ??
      this.#target.devices.find((facts) => facts.types.has(value.dtype as ScalarType))?.name
    if (device === undefined) throw new Error(`no device holds ${value.dtype}`)
    const from = this.#placement.slotOf(device, operand)
    const isOwn =
      (from?.origin.kind === 'fresh' && this.#fresh.delete(operand as Source)) ||
      (from?.origin.kind === 'variable' &&
        (operand as Source).kind !== 'variable' &&
        this.#donated.delete(from.id))
    if (from !== undefined && isOwn) return { kind: 'slot', slot: from, shape: value.shape }
    const slot: Slot = {
      id: this.#placement.reserve(),
      device,
      dtype: value.dtype,
      elementCount: elementCountOf(value.shape),
      origin: { kind: 'fresh' },
    }
    this.#fill(device, slot, operand)
    return { kind: 'slot', slot, shape: value.shape }
  }

  /** Brings an operand's content into a slot of its own. */
  #fill(device: string, slot: Slot, operand: KernelOperand): void {
    const from = this.#placement.slotOf(device, operand)
    if (from === undefined && !('kind' in operand && operand.kind === 'variable')) {
      if ('kind' in operand) this.#toHost([operand])
      this.#segments.add(device, { kind: 'upload', slot: slot.id, from: operand }, [slot])
      return
    }
    const source = from ?? this.#toDevice(device, operand)
    this.#segments.add(device, { kind: 'copy', from: source.id, to: slot.id }, [source, slot])
  }
}

function placeOnHost(value: TensorValue): Exclude<ResultPlace, { readonly kind: 'slot' }> {
  return value.kind === 'known'
    ? { kind: 'tensor', tensor: value.tensor, shape: value.shape }
    : { kind: 'host', source: value.source, shape: value.shape }
}

/** What a value's content is kept under. */
function operandOf(value: TensorValue): KernelOperand {
  return value.kind === 'known' ? (value.tensor as NumericTensor) : value.source
}

/** A kernel that nothing can go wrong with. */
function plainKernel(kernel: Kernel): PlannedKernel {
  return { kernel, inputs: [], outputs: [], checks: [] }
}
