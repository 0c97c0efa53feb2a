// One run of a plan: follows its stages, gives slots their buffers, runs host steps, answers needs, and
// gathers results. Whatever fails, nothing of it is seen outside.
import {
  elementCountOf,
  isNumeric,
  type NumericTensor,
  numericTensor,
  type Tensor,
} from '../../tensor/index.ts'
import type { Command, KernelId, Submitted } from '../device/device.ts'
import type { Assigned, ValueBinding } from '../engine.ts'
import type { HostStep, Patch, Source, Stretch, TensorValue, Variable } from '../ops/index.ts'
import {
  type Finish,
  type Instruction,
  type KernelOperand,
  namingNode,
  type ResultPlace,
  type Slot,
  type SlotCommand,
  type SlotId,
  type Stage,
  variableKey,
} from '../plan/index.ts'
import { Contents, type ExecutionHost } from './contents.ts'
import type { DeviceBuffer } from './device-buffer.ts'
import { dirtyRanges } from './dirty.ts'
import { Exchanges } from './exchanges.ts'
import { refusalOfFailure } from './failure.ts'
import type { HeldValue } from './handles.ts'
import type { Residency } from './residency.ts'
import type { StateOverlay } from './state.ts'

/** Counts for the report. */
export interface ExecutionCounts {
  dispatches: number
  hostSteps: number
  bytesUploaded: number
  bytesRead: number
}

/** What a run gives: fetched tensors, and values that it assigned. */
export interface ExecutionResult {
  readonly fetches: readonly Tensor[]
  readonly assigned: readonly {
    readonly variable: Variable
    readonly value: HeldValue
    readonly shape: readonly number[]
    /** Where it may differ from the value of the store that the variable was bound to. */
    readonly since: Pick<Assigned, 'base' | 'dirty'> | undefined
  }[]
  /** Variables, by their keys, whose resident copies are gone. */
  readonly overwritten: ReadonlySet<string>
}

export class Execution {
  readonly counts: ExecutionCounts = { dispatches: 0, hostSteps: 0, bytesUploaded: 0, bytesRead: 0 }
  readonly #host: ExecutionHost
  readonly #contents: Contents
  readonly #state: StateOverlay
  readonly #buffers = new Map<SlotId, DeviceBuffer>()
  /** Buffers that go back if the run fails. */
  readonly #fresh: { readonly device: string; readonly buffer: DeviceBuffer }[] = []
  /** Variables, by their keys, whose copies it took. */
  readonly #overwritten = new Set<string>()
  /** What it changed of values of the store, so that it can be taken back. */
  readonly #exchanges: Exchanges
  /** Buffers that go back when the run ends. */
  readonly #borrowed: { readonly device: string; readonly buffer: DeviceBuffer }[] = []

  constructor(
    host: ExecutionHost,
    feeds: ReadonlyMap<string, Tensor>,
    bindings: ReadonlyMap<string, ValueBinding>,
    state: StateOverlay,
  ) {
    this.#host = host
    this.#contents = new Contents(host, feeds, bindings)
    this.#state = state
    this.#exchanges = new Exchanges((device) => host.residency(device))
  }

  /** Runs one stage's instructions. */
  async runStage(stage: Stage): Promise<void> {
    const compiled = new Map<string, readonly KernelId[]>()
    for (const { device, planned } of stage.kernels) {
      const kernels = planned.map(({ kernel }) => kernel)
      compiled.set(device, await this.#host.residency(device).compile(kernels))
    }
    for (const instruction of stage.instructions) {
      if (instruction.kind === 'step') await this.#runStep(instruction.step)
      else await this.#submit(instruction, stage, compiled.get(instruction.device) ?? [])
    }
  }

  async #runStep(step: HostStep): Promise<void> {
    const inputs: Tensor[] = []
    for (const input of step.inputs) inputs.push(await this.#contents.of(input))
    this.counts.hostSteps++
    let outputs: readonly Tensor[]
    try {
      outputs = step.run(inputs, this.#state)
    } catch (error) {
      throw namingNode(error, step.node, step.op)
    }
    this.#contents.keepOutputs(step, outputs)
  }

  async #submit(
    instruction: Extract<Instruction, { readonly kind: 'submit' }>,
    stage: Stage,
    kernels: readonly KernelId[],
  ): Promise<void> {
    const residency = this.#host.residency(instruction.device)
    const commands: Command[] = []
    for (const slot of instruction.slots) await this.#resolve(slot, residency, commands)
    const offset = commands.length
    const reads: Source[] = []
    for (const command of instruction.commands) {
      commands.push(await this.#command(command, instruction, kernels))
      if (command.kind === 'dispatch' || command.kind === 'exchange') this.counts.dispatches++
      if (command.kind === 'read') reads.push(command.source)
    }
    const submitted = await this.#sent(instruction, residency, commands)
    if (submitted.failure !== undefined) {
      const sent = { commands, planned: instruction.commands, offset }
      const list = stage.kernels.find(({ device }) => device === instruction.device)
      const submit = (again: readonly Command[]): Promise<Submitted> =>
        residency.submit(again, this.#buffers.values())
      throw await refusalOfFailure(submitted.failure, sent, list?.planned ?? [], submit)
    }
    for (const [place, source] of reads.entries()) {
      const bytes = submitted.reads[place]
      this.counts.bytesRead += bytes.byteLength
      if (!isNumeric(source.dtype)) throw new Error(`${source.dtype} is read from a device`)
      this.#contents.keep(source, numericTensor(source.dtype, source.shape, bytes))
    }
  }

  /** Runs the commands, and keeps account of what they change in place. */
  async #sent(
    { commands: planned, slots }: Extract<Instruction, { readonly kind: 'submit' }>,
    residency: Residency,
    commands: readonly Command[],
  ): Promise<Submitted> {
    const slotOf = (id: SlotId): Slot => slots.find((slot) => slot.id === id) as Slot
    for (const command of planned) {
      if (command.kind !== 'dispatch') continue
      for (const id of command.overwrites ?? []) this.#overwrite(slotOf(id), residency)
    }
    const exchanged = commands.filter((command) => this.#exchanges.isOne(command))
    try {
      const submitted = await residency.submit(commands, this.#buffers.values())
      this.#exchanges.done(exchanged)
      return submitted
    } catch (error) {
      this.#exchanges.failed(exchanged, error)
      throw error
    }
  }

  /** Takes the value of a variable's slot from the store's copies: the buffer is this run's own from here on. */
  #overwrite(slot: Slot, residency: Residency): void {
    const buffer = this.#buffers.get(slot.id) as DeviceBuffer
    residency.withdraw(buffer)
    this.#fresh.push({ device: slot.device, buffer })
    if (slot.origin.kind !== 'variable') return
    const { container, name } = slot.origin.variable
    this.#overwritten.add(variableKey(container, name))
  }

  async #command(
    command: SlotCommand,
    { slots }: Extract<Instruction, { readonly kind: 'submit' }>,
    kernels: readonly KernelId[],
  ): Promise<Command> {
    const bufferOf = (slot: SlotId): number => (this.#buffers.get(slot) as DeviceBuffer).buffer
    switch (command.kind) {
      case 'upload': {
        const { bytes } = (await this.#operand(command.from)) as NumericTensor
        this.counts.bytesUploaded += bytes.byteLength
        return { kind: 'write', buffer: bufferOf(command.slot), offset: 0, bytes }
      }
      case 'dispatch':
        return {
          kind: 'dispatch',
          kernel: kernels[command.kernel],
          buffers: command.slots.map(bufferOf),
        }
      case 'exchange': {
        const [variable, ...logs] = command.slots.map((slot) => this.#buffers.get(slot))
        const { device } = slots.find(({ id }) => id === command.slots[0]) as Slot
        const kernel = kernels[command.kernel]
        return this.#exchanges.add(device, kernel, variable as DeviceBuffer, logs as DeviceBuffer[])
      }
      case 'copy':
        return { kind: 'copy', from: bufferOf(command.from), to: bufferOf(command.to) }
      case 'read': {
        const slot = slots.find(({ id }) => id === command.slot) as Slot
        const { elementCount } = slot
        return { kind: 'read', buffer: bufferOf(command.slot), offset: 0, elementCount }
      }
      default:
        return command satisfies never
    }
  }

  async #operand(operand: KernelOperand): Promise<Tensor> {
    return 'kind' in operand ? this.#contents.ofSource(operand) : operand
  }

  /** Gives the slot its buffer; what has to be written first goes to `commands`. */
  async #resolve(slot: Slot, residency: Residency, commands: Command[]): Promise<void> {
    if (this.#buffers.has(slot.id)) return
    const { dtype, elementCount, origin, device } = slot
    switch (origin.kind) {
      case 'temporary':
        this.#buffers.set(slot.id, residency.temporary(dtype, elementCount, origin.ordinal))
        return
      case 'constant': {
        const { buffer, fill } = residency.constant(origin.tensor)
        if (fill) this.#write(commands, buffer, origin.tensor.bytes)
        this.#buffers.set(slot.id, buffer)
        return
      }
      case 'fresh': {
        const buffer = residency.take(dtype, elementCount)
        this.#fresh.push({ device, buffer })
        this.#buffers.set(slot.id, buffer)
        return
      }
      case 'log':
        // Its exchange gives it back.
        this.#buffers.set(slot.id, residency.take(dtype, elementCount))
        return
      case 'variable':
        this.#buffers.set(slot.id, await this.#variable(origin.variable, residency, commands))
        return
      default:
        origin satisfies never
    }
  }

  #write(commands: Command[], { buffer }: DeviceBuffer, bytes: Uint8Array): void {
    this.counts.bytesUploaded += bytes.byteLength
    commands.push({ kind: 'write', buffer, offset: 0, bytes })
  }

  async #variable(
    variable: Variable,
    residency: Residency,
    commands: Command[],
  ): Promise<DeviceBuffer> {
    const binding = this.#contents.binding(variable)
    const name = residency.device.facts.name
    if ('handle' in binding) {
      const held = this.#host.held(binding.handle)
      if (held.kind === 'buffer' && held.device === name) {
        residency.showNewer(held.buffer)
        return held.buffer
      }
      const tensor = await this.#contents.ofHeld(held, binding)
      const buffer = residency.take(
        tensor.dtype as DeviceBuffer['dtype'],
        elementCountOf(tensor.shape),
      )
      this.#borrowed.push({ device: name, buffer })
      this.#write(commands, buffer, (tensor as NumericTensor).bytes)
      return buffer
    }
    const resident = residency.value(binding.value)
    if (resident !== undefined) return resident
    const bytes = await this.#host.readValue(binding.value)
    // Another slot may have brought the value meanwhile.
    const since = residency.value(binding.value)
    if (since !== undefined) return since
    const dtype = binding.dtype as DeviceBuffer['dtype']
    const tensor = numericTensor(dtype, binding.shape, bytes)
    const buffer = residency.take(dtype, elementCountOf(binding.shape))
    residency.keep(binding.value, buffer)
    this.#write(commands, buffer, tensor.bytes)
    return buffer
  }

  /** Content of a symbolic value that the plan has brought to the host. */
  tensorOf(value: TensorValue): Promise<Tensor> {
    return this.#contents.of(value)
  }

  /** Outputs of a step that has run. */
  outputsOf(step: HostStep): readonly Tensor[] {
    return this.#contents.outputsOf(step)
  }

  /** The results, once the last stage has run. */
  async finish(end: Finish): Promise<ExecutionResult> {
    const taken = new Set<ArrayBufferLike>()
    const fetches: Tensor[] = []
    for (const place of end.fetches) fetches.push(ownCopy(await this.#result(place), taken))
    const assigned: ExecutionResult['assigned'][number][] = []
    for (const { variable, place, patches } of end.assigned) {
      const value: HeldValue =
        place.kind === 'slot'
          ? {
              kind: 'buffer',
              device: place.slot.device,
              buffer: this.#buffers.get(place.slot.id) as DeviceBuffer,
            }
          : { kind: 'tensor', tensor: await this.#result(place) }
      const since = patches === undefined ? undefined : await this.#since(variable, patches)
      assigned.push({ variable, value, shape: place.shape, since })
    }
    this.#exchanges.keep()
    const handed = new Set(
      assigned.map(({ value }) => (value.kind === 'buffer' ? value.buffer : undefined)),
    )
    this.#giveBack(this.#fresh.filter(({ buffer }) => !handed.has(buffer)))
    this.#giveBack(this.#borrowed)
    return { fetches, assigned, overwritten: this.#overwritten }
  }

  /** How an assigned value differs from the one of the store that its variable had. */
  async #since(
    variable: Variable,
    patches: readonly Patch[],
  ): Promise<Pick<Assigned, 'base' | 'dirty'> | undefined> {
    const binding = this.#contents.binding(variable)
    if ('handle' in binding) return undefined
    const touched: (readonly Stretch[] | undefined)[] = []
    for (const patch of patches) {
      const places: Tensor[] = []
      for (const place of patch.places) places.push(await this.#contents.of(place))
      touched.push(patch.touched(places))
    }
    const dirty = dirtyRanges(binding, touched)
    return dirty === undefined ? undefined : { base: binding.value, dirty }
  }

  async #result(place: Exclude<ResultPlace, { readonly kind: 'slot' }>): Promise<Tensor> {
    const tensor =
      place.kind === 'tensor' ? place.tensor : await this.#contents.ofSource(place.source)
    return { ...tensor, shape: place.shape }
  }

  /** Gives back what a failed run had taken. */
  abandon(): void {
    this.#exchanges.takeBack()
    this.#giveBack(this.#fresh)
    this.#giveBack(this.#borrowed)
  }

  #giveBack(list: readonly { readonly device: string; readonly buffer: DeviceBuffer }[]): void {
    for (const { device, buffer } of list) {
      const residency = this.#host.residency(device)
      if (!residency.isUnmade(buffer)) residency.giveBack(buffer)
    }
  }
}

/** The tensor, with bytes that no other fetched tensor has and that may be handed away. */
function ownCopy(tensor: Tensor, taken: Set<ArrayBufferLike>): Tensor {
  if (tensor.dtype === 'string') return tensor
  const { bytes } = tensor
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength
  if (!whole || taken.has(bytes.buffer)) return { ...tensor, bytes: new Uint8Array(bytes) }
  const copy = new Uint8Array(bytes)
  taken.add(copy.buffer)
  return { ...tensor, bytes: copy }
}
