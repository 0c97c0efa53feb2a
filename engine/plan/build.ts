// Plans one stage: what is needed and not there yet, fused into kernels, placed on devices, with
// transfers where a value is elsewhere than wanted, and temporaries reused once they are dead.
import { elementCountOf, type NumericTensor, Refusal } from '../../tensor/index.ts'
import type { DeviceFacts } from '../device/device.ts'
import { type ScalarType, visit } from '../ir/index.ts'
import type { Compute, HostStep, Source, TensorValue, Value } from '../ops/index.ts'
import { isScalarType } from './empty.ts'
import { type FusedComputes, fuse, usualLimits } from './fuse.ts'
import { type Item, itemsOf } from './group.ts'
import { type KernelOperand, type PlannedKernel, type Splats, unfused } from './kernel.ts'
import type { Need } from './need.ts'
import type {
  Finish,
  Instruction,
  Pause,
  ResultPlace,
  Slot,
  SlotCommand,
  SlotId,
  Stage,
} from './stage.ts'
import { Placement } from './stage.ts'
import type { Trace, Traced } from './trace.ts'

/** What stages are planned for. */
export interface StageTarget {
  /** Devices by name; the first is the one preferred, the CPU is among them. */
  readonly devices: readonly DeviceFacts[]
  /** False keeps every compute a kernel of its own. */
  readonly fuse: boolean
  readonly splats: Splats
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

interface Segment {
  commands: SlotCommand[]
  slots: Map<SlotId, Slot>
}

class StagePlanner {
  readonly #placement: Placement
  readonly #target: StageTarget
  readonly #instructions: Instruction[] = []
  readonly #segments = new Map<string, Segment>()
  readonly #kernels = new Map<string, PlannedKernel[]>()
  readonly #softPlaced: Stage['softPlaced'][number][] = []
  /** Sources that become assigned values: kernels write them where they stay. */
  readonly #fresh = new Set<Source>()

  constructor(placement: Placement, target: StageTarget) {
    this.#placement = placement
    this.#target = target
  }

  toNeed(trace: Trace, need: Need): Stage {
    if (need.kind === 'content') {
      const { value } = need
      if (value.kind === 'array') {
        this.#plan([value.source], [], true)
        this.#toHost([value.source])
      }
    } else {
      this.#plan([], [need.step], true)
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
    for (const { value } of assigned) {
      if (value?.kind === 'array' && value.source.kind === 'compute') this.#fresh.add(value.source)
    }
    this.#plan([...sources, ...checked], steps, false)
    const assignments = assigned.flatMap(({ variable, value }) =>
      value === undefined ? [] : [{ variable, place: this.#assignedPlace(value) }],
    )
    this.#toHost(fetches.flatMap((value) => (value.kind === 'array' ? [value.source] : [])))
    const end: Finish = {
      kind: 'finish',
      fetches: fetches.map((value) => placeOnHost(value)),
      assigned: assignments,
    }
    return this.#stage(end)
  }

  #stage(end: Finish | Pause): Stage {
    this.#flushAll()
    return {
      instructions: this.#instructions,
      kernels: [...this.#kernels].map(([device, planned]) => ({ device, planned })),
      softPlaced: this.#softPlaced,
      end,
    }
  }

  /** Emits everything that `sources` and `steps` need. `keep`: later stages may need any of it. */
  #plan(sources: readonly Source[], steps: readonly HostStep[], keep: boolean): void {
    const demanded = this.#demand(sources, steps)
    const kept = new Set<Source>(sources)
    for (const step of demanded.steps) {
      for (const input of step.inputs) if (input.kind === 'array') kept.add(input.source)
    }
    const fused = this.#fuse(demanded.computes, kept)
    const { fuse: join, devices } = this.#target
    const items = itemsOf(
      fused.kernels,
      demanded.steps,
      fused,
      join,
      devices[0].maxBuffersPerKernel,
    )
    const lastUse = keep ? undefined : lastUses(items, new Set(sources))
    for (const [place, item] of items.entries()) {
      if (item.kind === 'step') this.#emitStep(item.step)
      else this.#emitKernel(item.computes[0], item.planned)
      for (const operand of lastUse?.get(place) ?? []) {
        for (const device of this.#placement.devices.keys()) this.#placement.free(device, operand)
      }
    }
  }

  /** Gives temporaries back that nothing of the rest of the walk can need. */
  #freeUnreachable(trace: Trace, need: Need): void {
    const reachable = new Set<Source>()
    const stack: Value[] = trace.liveValues()
    stack.push(...trace.state.checked.map(wholeOf))
    for (const step of trace.state.steps) stack.push(...step.inputs)
    if (need.kind === 'step') stack.push(...need.step.inputs)
    for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
      if (value.kind === 'list') {
        for (const element of value.elements) if (element !== undefined) stack.push(element)
      }
      if (value.kind !== 'array' || reachable.has(value.source)) continue
      const { source } = value
      reachable.add(source)
      if (this.#placement.isAvailable(source)) continue
      if (source.kind === 'compute') stack.push(...source.inputs)
      if (source.kind === 'step') stack.push(...source.step.inputs)
    }
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

  /** Computes and steps that are needed and not there, producers first. */
  #demand(
    sources: readonly Source[],
    steps: readonly HostStep[],
  ): { readonly computes: Compute[]; readonly steps: HostStep[] } {
    const computes = new Set<Compute>()
    const wantedSteps = new Set<HostStep>()
    const stack: (Source | HostStep)[] = [...sources, ...steps]
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const owner = 'kind' in next ? (next.kind === 'step' ? next.step : next) : next
      let inputs: readonly TensorValue[]
      if ('kind' in owner) {
        if (owner.kind !== 'compute' || this.#placement.isAvailable(owner)) continue
        if (computes.has(owner)) continue
        computes.add(owner)
        inputs = owner.inputs
      } else {
        if (this.#placement.ran.has(owner) || wantedSteps.has(owner)) continue
        wantedSteps.add(owner)
        inputs = owner.inputs
      }
      for (const input of inputs) if (input.kind === 'array') stack.push(input.source)
    }
    const byId = (a: { readonly id: number }, b: { readonly id: number }): number => a.id - b.id
    return { computes: [...computes].sort(byId), steps: [...wantedSteps].sort(byId) }
  }

  #emitKernel(compute: Compute, planned: PlannedKernel): void {
    const device = this.#deviceFor(compute, planned)
    const inputs = planned.inputs.map((operand) => this.#toDevice(device, operand))
    const outputs = planned.outputs.map((output) =>
      this.#placement.add(
        device,
        output,
        elementCountOf(output.shape),
        this.#fresh.has(output) ? { kind: 'fresh' } : 'temporary',
      ),
    )
    let list = this.#kernels.get(device)
    if (list === undefined) {
      list = []
      this.#kernels.set(device, list)
    }
    list.push(planned)
    const slots = [...inputs, ...outputs]
    this.#command(
      device,
      { kind: 'dispatch', kernel: list.length - 1, slots: slots.map((slot) => slot.id) },
      slots,
    )
  }

  /** The device asked for, where it can; else the CPU, which is said in the report. */
  #deviceFor(compute: Compute, { kernel }: PlannedKernel): string {
    const { devices } = this.#target
    const asked = deviceOfText(compute.device)
    const exact = devices.find((facts) => facts.name === asked?.name)
    const sameType = devices.find(
      (facts) => asked !== undefined && facts.name.startsWith(asked.type),
    )
    const preferred = exact ?? sameType ?? devices[0]
    if (asked !== undefined && preferred.name !== asked.name) {
      this.#softPlaced.push({
        node: compute.node,
        device: preferred.name,
        reason: `there is no ${asked.name}`,
      })
    }
    const problem = inability(preferred, kernel)
    if (problem === undefined) return preferred.name
    const able = devices.find((facts) => inability(facts, kernel) === undefined)
    if (able === undefined) {
      throw new Refusal(
        'UNIMPLEMENTED',
        'device/unable',
        `No device can run op ${compute.op} of node "${compute.node}": ${preferred.name} ${problem}.`,
        { names: { node: compute.node, op: compute.op, device: preferred.name } },
      )
    }
    this.#softPlaced.push({
      node: compute.node,
      device: able.name,
      reason: `${preferred.name} ${problem}`,
    })
    return able.name
  }

  #emitStep(step: HostStep): void {
    this.#toHost(step.inputs.flatMap((input) => (input.kind === 'array' ? [input.source] : [])))
    this.#instructions.push({ kind: 'step', step })
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
    this.#command(device, { kind: 'upload', slot: slot.id, from: operand }, [slot])
    return slot
  }

  /** Makes the contents of sources available to the host; one submit a device. */
  #toHost(sources: readonly Source[]): void {
    const devices = new Set<string>()
    for (const source of sources) {
      if (source.kind !== 'compute' || this.#placement.host.has(source)) continue
      const device = this.#placement.deviceOf(source)
      if (device === undefined) throw new Error(`the value of ${source.node} is nowhere`)
      const slot = this.#placement.slotOf(device, source) as Slot
      this.#command(device, { kind: 'read', slot: slot.id, source }, [slot])
      this.#placement.host.add(source)
      devices.add(device)
    }
    for (const device of devices) this.#flush(device)
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
    if (from?.origin.kind === 'fresh' && this.#fresh.delete(operand as Source)) {
      return { kind: 'slot', slot: from, shape: value.shape }
    }
    const slot: Slot = {
      id: this.#placement.reserve(),
      device,
      dtype: value.dtype,
      elementCount: elementCountOf(value.shape),
      origin: { kind: 'fresh' },
    }
    if (from !== undefined || ('kind' in operand && operand.kind === 'variable')) {
      const source = from ?? this.#toDevice(device, operand)
      this.#command(device, { kind: 'copy', from: source.id, to: slot.id }, [source, slot])
    } else {
      this.#command(device, { kind: 'upload', slot: slot.id, from: operand }, [slot])
    }
    return { kind: 'slot', slot, shape: value.shape }
  }

  #command(device: string, command: SlotCommand, slots: readonly Slot[]): void {
    let segment = this.#segments.get(device)
    if (segment === undefined) {
      segment = { commands: [], slots: new Map() }
      this.#segments.set(device, segment)
    }
    segment.commands.push(command)
    for (const slot of slots) segment.slots.set(slot.id, slot)
  }

  #flush(device: string): void {
    const segment = this.#segments.get(device)
    if (segment === undefined) return
    const { commands, slots } = segment
    this.#instructions.push({ kind: 'submit', device, commands, slots: [...slots.values()] })
    this.#segments.delete(device)
  }

  #flushAll(): void {
    for (const device of [...this.#segments.keys()]) this.#flush(device)
  }
}

function wholeOf(source: Compute): Value {
  return { kind: 'array', dtype: source.dtype, shape: source.shape, source }
}

function placeOnHost(value: TensorValue): Exclude<ResultPlace, { readonly kind: 'slot' }> {
  return value.kind === 'known'
    ? { kind: 'tensor', tensor: value.tensor, shape: value.shape }
    : { kind: 'host', source: value.source, shape: value.shape }
}

/** Operands by the item after which nothing needs them. */
function lastUses(
  items: readonly Item[],
  kept: ReadonlySet<Source>,
): ReadonlyMap<number, readonly KernelOperand[]> {
  const last = new Map<KernelOperand, number>()
  for (const [place, item] of items.entries()) {
    const operands: readonly (KernelOperand | undefined)[] =
      item.kind === 'kernel'
        ? [...item.computes, ...item.planned.inputs]
        : item.step.inputs.map((input) => (input.kind === 'array' ? input.source : undefined))
    for (const operand of operands) if (operand !== undefined) last.set(operand, place)
  }
  const byPlace = new Map<number, KernelOperand[]>()
  for (const [operand, place] of last) {
    if ('kind' in operand && kept.has(operand)) continue
    const list = byPlace.get(place)
    if (list === undefined) byPlace.set(place, [operand])
    else list.push(operand)
  }
  return byPlace
}

/** Why the device cannot run the kernel; undefined where it can. */
function inability(facts: DeviceFacts, kernel: PlannedKernel['kernel']): string | undefined {
  const buffers = [...kernel.inputs, ...kernel.outputs]
  if (buffers.length > facts.maxBuffersPerKernel) {
    return `binds at most ${facts.maxBuffersPerKernel} buffers`
  }
  for (const { dtype, elementCount } of buffers) {
    if (!facts.types.has(dtype)) return `does not compute ${dtype}`
    if (elementCount * 4 > facts.maxBufferBytes)
      return `holds at most ${facts.maxBufferBytes} bytes in one buffer`
  }
  let unknown: ScalarType | undefined
  const roots = [
    ...kernel.reductions.map((reduction) => reduction.body),
    ...kernel.stores.map((store) => store.value),
    ...kernel.checks.map((check) => check.ok),
  ]
  visit(roots, (node) => {
    if (!facts.types.has(node.dtype)) unknown = node.dtype
  })
  return unknown === undefined ? undefined : `does not compute ${unknown}`
}

/** Type and full name of the device that a node asks for: `/job:w/gpu:1` is `/device:GPU:1`. */
function deviceOfText(text: string): { readonly type: string; readonly name: string } | undefined {
  const match = /(?:^|\/)(?:device:)?(cpu|gpu)(?::(\d+|\*))?$/i.exec(text)
  if (match === null) return undefined
  const type = `/device:${match[1].toUpperCase()}:`
  const index = match[2] === undefined || match[2] === '*' ? '0' : match[2]
  return { type, name: `${type}${index}` }
}
