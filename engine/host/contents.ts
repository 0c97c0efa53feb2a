// The contents of a run's values on the host: what was fed, what host steps gave, what was read back from
// devices, and variables that are wanted here. It brings nothing to a device.
import { isNumeric, numericTensor, type Tensor, unpackStrings } from '../../tensor/index.ts'
import type { ValueBinding, ValueKey } from '../engine.ts'
import type { HostStep, Source, TensorValue, Variable } from '../ops/index.ts'
import { variableKey } from '../plan/index.ts'
import type { HeldValue } from './handles.ts'
import type { Residency } from './residency.ts'

/** What a run needs of its engine. */
export interface ExecutionHost {
  residency(device: string): Residency
  readValue(value: ValueKey): Promise<Uint8Array>
  held(handle: number): HeldValue
}

/** Contents by the sources that they come from. */
export class Contents {
  readonly #host: ExecutionHost
  readonly #feeds: ReadonlyMap<string, Tensor>
  readonly #bindings: ReadonlyMap<string, ValueBinding>
  readonly #tensors = new Map<Source, Tensor>()
  readonly #stepOutputs = new Map<HostStep, readonly Tensor[]>()

  constructor(
    host: ExecutionHost,
    feeds: ReadonlyMap<string, Tensor>,
    bindings: ReadonlyMap<string, ValueBinding>,
  ) {
    this.#host = host
    this.#feeds = feeds
    this.#bindings = bindings
  }

  /** What a variable is bound to in this run; plans ask for no other. */
  binding(variable: Variable): ValueBinding {
    const binding = this.#bindings.get(variableKey(variable.container, variable.name))
    if (binding === undefined) throw new Error(`variable ${variable.name} has no value here`)
    return binding
  }

  /** A source's content came from a device. */
  keep(source: Source, tensor: Tensor): void {
    this.#tensors.set(source, tensor)
  }

  /** A host step has run. */
  keepOutputs(step: HostStep, outputs: readonly Tensor[]): void {
    this.#stepOutputs.set(step, outputs)
  }

  /** Outputs of a step; none where it has not run. */
  outputsOf(step: HostStep): readonly Tensor[] {
    return this.#stepOutputs.get(step) ?? []
  }

  /** Content of a symbolic value that the plan has brought to the host. */
  async of(value: TensorValue): Promise<Tensor> {
    if (value.kind === 'known') return value.tensor
    const tensor = await this.ofSource(value.source)
    return { ...tensor, shape: value.shape }
  }

  /** Content of a source that the plan has brought to the host. */
  async ofSource(source: Source): Promise<Tensor> {
    const known = this.#tensors.get(source)
    if (known !== undefined) return known
    const tensor = await this.#anew(source)
    this.#tensors.set(source, tensor)
    return tensor
  }

  async #anew(source: Source): Promise<Tensor> {
    switch (source.kind) {
      case 'feed':
        return this.#feeds.get(source.name) as Tensor
      case 'step':
        return this.#stepOutput(source.step, source.output)
      case 'variable': {
        const binding = this.binding(source.variable)
        if ('handle' in binding) return this.ofHeld(this.#host.held(binding.handle), binding)
        const bytes = await this.#host.readValue(binding.value)
        const { dtype, shape } = binding
        return isNumeric(dtype) ? numericTensor(dtype, shape, bytes) : unpackStrings(shape, bytes)
      }
      case 'compute':
      case 'patch':
        throw new Error(`the value of ${source.node} was not brought to the host`)
      default:
        return source satisfies never
    }
  }

  #stepOutput(step: HostStep, output: number): Tensor {
    const outputs = this.#stepOutputs.get(step)
    if (outputs === undefined) throw new Error(`the step of ${step.node} has not run`)
    return outputs[output]
  }

  /** Content of a value that an earlier run left. */
  async ofHeld(held: HeldValue, { shape }: ValueBinding): Promise<Tensor> {
    if (held.kind === 'tensor') return held.tensor
    const residency = this.#host.residency(held.device)
    residency.showNewer(held.buffer)
    return residency.read(held.buffer, shape)
  }
}
