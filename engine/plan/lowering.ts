// What an op's lowering gets: its node, its inputs with references read, and the means to define
// arrays, steps, variables and calls.
import type { GraphNode } from '../../graph/index.ts'
import {
  byteLengthOf,
  type DType,
  elementCountOf,
  formatShape,
  type NumericTensor,
  Refusal,
  type Shape,
  sameShape,
  type Tensor,
} from '../../tensor/index.ts'
import type {
  Attributes,
  Call,
  Compute,
  ComputeSpec,
  FunctionReference,
  HandleValue,
  HostStep,
  ListValue,
  Lowering,
  OpDefinition,
  Patch,
  PatchSpec,
  ReferenceValue,
  StepSpec,
  TensorValue,
  Value,
  Variable,
  VariableSpec,
} from '../ops/index.ts'
import { Draws } from '../random/index.ts'
import { emptyTensor, isScalarType } from './empty.ts'
import { identityOf, runKnown, workOf } from './fold.ts'
import { buildKernel, unfused } from './kernel.ts'
import { Suspension } from './need.ts'
import { inputsByName, wrongInput } from './node-inputs.ts'
import type { TraceState } from './tracing.ts'

/** Elements of a result, and evaluated nodes, up to which a compute of constants is done while planning. */
const foldLimit = { elements: 4096, work: 65_536 } as const

/** Bytes of inputs up to which a step of constants is done while planning. */
const stepFoldLimit = 65_536

/** Most elements of one array: positions are int32. */
const maxElements = 2 ** 31 - 1

/** Most bytes that one array of a run may take. */
const maxArrayBytes = 8 * 2 ** 30

interface NodeContext {
  readonly trace: TraceState
  readonly node: GraphNode
  readonly path: string
  readonly definition: OpDefinition
  readonly attributes: Attributes
  readonly raw: readonly Value[]
  readonly device: string
  readonly answers: readonly { readonly step: HostStep; readonly shapes: readonly Shape[] }[]
}

export class NodeLowering implements Lowering {
  readonly node: GraphNode
  readonly attributes: Attributes
  readonly raw: readonly Value[]
  readonly #context: NodeContext
  readonly #inputs: ReadonlyMap<string, readonly Value[]>
  #stepsAsked = 0

  constructor(context: NodeContext) {
    this.#context = context
    this.node = context.node
    this.attributes = context.attributes
    this.raw = context.raw
    const { definition } = context
    const given = { node: this.node, name: this.#name, definition }
    this.#inputs = inputsByName({ ...given, attributes: this.attributes, raw: this.raw })
  }

  get #name(): string {
    return `${this.#context.path}${this.node.name}`
  }

  rawInputs(name: string): readonly Value[] {
    const values = this.#inputs.get(name)
    if (values === undefined) throw new Error(`${this.node.op} has no input named ${name}`)
    return values
  }

  inputs(name: string): readonly TensorValue[] {
    return this.rawInputs(name).map((value) => this.#tensorOf(name, value))
  }

  input(name: string): TensorValue {
    return this.#tensorOf(name, this.rawInputs(name)[0])
  }

  #tensorOf(name: string, value: Value): TensorValue {
    if (value.kind === 'reference') return this.#context.trace.readVariable(value.variable)
    if (value.kind === 'known' || value.kind === 'array') return this.#context.trace.resolved(value)
    const given = { node: this.node, name: this.#name }
    throw wrongInput(given, name, `is a ${value.kind}; a tensor is wanted.`)
  }

  known(tensor: Tensor): TensorValue {
    return { kind: 'known', dtype: tensor.dtype, shape: tensor.shape, tensor }
  }

  constant(): Tensor {
    const { constants } = this.#context.trace.tools
    const raw = this.attributes.raw('value') ?? {}
    let tensor = constants.get(raw)
    if (tensor === undefined) {
      tensor = this.attributes.tensor('value')
      constants.set(raw, tensor)
    }
    return tensor
  }

  compute(spec: ComputeSpec): TensorValue {
    const { trace, node, device } = this.#context
    const count = this.#checkSize(spec.shape, spec.dtype)
    if (count === 0) return this.known(emptyTensor(spec.dtype, spec.shape))
    for (const input of spec.inputs) {
      if (!isScalarType(input.dtype)) {
        throw new Refusal(
          'UNIMPLEMENTED',
          'op/type',
          `Op ${node.op} is not implemented for ${input.dtype}.`,
        )
      }
    }
    const compute = withoutEmptyReduction({
      kind: 'compute',
      id: trace.nextId(),
      node: this.#name,
      op: node.op,
      device,
      dtype: spec.dtype,
      shape: spec.shape,
      inputs: spec.inputs.map((input) => trace.resolved(input)),
      reduce: spec.reduce,
      body: spec.body,
      checks: spec.checks,
    })
    const folded = this.#folded(compute, count)
    if (folded !== undefined) return this.known(folded)
    if (compute.checks !== undefined) trace.checked.push(compute)
    return { kind: 'array', dtype: spec.dtype, shape: spec.shape, source: compute }
  }

  patched(base: TensorValue, spec: PatchSpec): TensorValue {
    const { trace, node, device } = this.#context
    const { shape, dtype } = base
    if (!isScalarType(dtype)) throw new Error(`${dtype} is not patched in kernels`)
    if (elementCountOf(spec.values.shape) === 0) return base
    const source: Patch = {
      kind: 'patch',
      id: trace.nextId(),
      node: this.#name,
      op: node.op,
      device,
      dtype,
      shape,
      base: trace.resolved(base),
      values: trace.resolved(spec.values),
      places: spec.places.map((place) => trace.resolved(place)),
      index: spec.index,
      touched: spec.touched,
    }
    return { kind: 'array', dtype, shape, source }
  }

  isWorthPatching({ dtype, shape }: TensorValue, elementCount: number): boolean {
    const all = elementCountOf(shape)
    const { patchFrom } = this.#context.trace.request
    return isScalarType(dtype) && all >= patchFrom && elementCount * 4 <= all
  }

  #folded(compute: Compute, count: number): NumericTensor | undefined {
    if (count > foldLimit.elements) return undefined
    if (compute.inputs.some((input) => input.kind !== 'known')) return undefined
    const planned = buildKernel([compute], unfused(this.#context.trace.tools.splats))
    if (workOf(planned.kernel) > foldLimit.work) return undefined
    const [result] = runKnown(planned, planned.inputs as readonly NumericTensor[])
    return { ...result, shape: compute.shape }
  }

  #checkSize(shape: Shape, dtype: DType): number {
    const count = elementCountOf(shape)
    if (count > maxElements || count * byteLengthOf(dtype) > maxArrayBytes) {
      throw new Refusal(
        'RESOURCE_EXHAUSTED',
        'run/too-large',
        `A ${dtype} tensor of shape ${formatShape(shape)} is larger than the engine holds.`,
      )
    }
    return count
  }

  step(spec: StepSpec): readonly TensorValue[] {
    const { trace, node, answers } = this.#context
    const inputs = spec.inputs.map((input) => trace.resolved(input))
    const stateful = spec.stateful ?? false
    const isKnown = inputs.every((input) => input.kind === 'known')
    if (!stateful && isKnown) {
      const tensors = inputs.map((input) => (input.kind === 'known' ? input.tensor : never(input)))
      if (tensors.reduce((sum, tensor) => sum + sizeOf(tensor), 0) <= stepFoldLimit) {
        return spec.run(tensors, noState).map((tensor) => this.known(tensor))
      }
    }
    for (const output of spec.outputs) {
      if (output.shape !== undefined) this.#checkSize(output.shape, output.dtype)
    }
    const isDynamic = spec.outputs.some((output) => output.shape === undefined)
    const answer = isDynamic ? answers[this.#stepsAsked++] : undefined
    const step: HostStep = answer?.step ?? {
      id: trace.nextId(),
      node: this.#name,
      op: node.op,
      inputs,
      stateful,
      run: spec.run,
    }
    if (isDynamic && answer === undefined) {
      throw new Suspension({ kind: 'step', step, node: this.#name })
    }
    if ((stateful || spec.always === true) && !trace.steps.includes(step)) trace.steps.push(step)
    return spec.outputs.map(({ dtype, shape }, output) => {
      const seen = shape ?? (answer?.shapes[output] as Shape)
      return {
        kind: 'array',
        dtype,
        shape: seen,
        source: { kind: 'step', step, output, dtype, shape: seen },
      }
    })
  }

  contentOf(value: TensorValue): Tensor {
    const known = this.knownContentOf(value)
    if (known !== undefined) return known
    throw new Suspension({ kind: 'content', value, node: this.#name })
  }

  knownContentOf(value: TensorValue): Tensor | undefined {
    const resolved = this.#context.trace.resolved(value)
    return resolved.kind === 'known' ? resolved.tensor : undefined
  }

  lacks(dtype: DType): boolean {
    return isScalarType(dtype) && !this.#context.trace.request.types.has(dtype)
  }

  reshaped(value: TensorValue, shape: Shape): TensorValue {
    if (sameShape(value.shape, shape)) return value
    if (value.kind === 'known') return this.known({ ...value.tensor, shape })
    return { ...value, shape }
  }

  stateKey(name: string): string {
    const { stateScope } = this.#context.trace.request
    return `${stateScope}\u0000${this.#name}\u0000${name}`
  }

  sharedKey(container: string, name: string): string {
    const { request } = this.#context.trace
    return `${container === '' ? request.container : container}\u0000\u0000${name}`
  }

  variable(spec: VariableSpec): Variable {
    const { trace } = this.#context
    const container = spec.container === '' ? trace.request.container : spec.container
    return { kind: 'variable', ...spec, container, node: this.#name }
  }

  read(variable: Variable): TensorValue {
    return this.#context.trace.readVariable(variable)
  }

  peek(variable: Variable): TensorValue | undefined {
    return this.#context.trace.stateOf(variable).value
  }

  assign(variable: Variable, value: TensorValue): void {
    const { trace } = this.#context
    trace.stateOf(variable)
    trace.setState({ variable, value, assigned: true })
  }

  clear(variable: Variable): void {
    const { trace } = this.#context
    trace.stateOf(variable)
    trace.setState({ variable, value: undefined, assigned: false })
  }

  variableOf(value: Value): Variable {
    if (value.kind === 'reference') return value.variable
    if (value.kind === 'handle' && value.target.kind === 'variable') return value.target
    throw new Refusal(
      'INVALID_ARGUMENT',
      'graph/type',
      `Node "${this.#name}" (op ${this.node.op}) wants a variable and was given a ${value.kind}.`,
      { names: { node: this.#name, op: this.node.op } },
    )
  }

  handle(target: HandleValue['target']): HandleValue {
    return { kind: 'handle', dtype: 'resource', target }
  }

  reference(variable: Variable): ReferenceValue {
    return { kind: 'reference', dtype: variable.dtype, variable }
  }

  call(
    reference: FunctionReference,
    inputs: readonly Value[],
    resume: Call['resume'],
    holds: readonly Value[] = [],
  ): Call {
    return { kind: 'call', function: reference, inputs, holds, resume }
  }

  newList(content: ListValue): number {
    const { trace } = this.#context
    const id = trace.nextId()
    trace.lists.set(id, content)
    return id
  }

  listOf(id: number): ListValue {
    const content = this.#context.trace.lists.get(id)
    if (content !== undefined) return content
    throw new Refusal('NOT_FOUND', 'run/list', 'The TensorArray or Stack was closed.')
  }

  setList(id: number, content: ListValue): void {
    this.#context.trace.lists.set(id, content)
  }
}

const noState = {
  get(): undefined {
    return undefined
  },
  set(): void {
    throw new Error('a step without state sets none')
  },
  randomSeed(): bigint {
    throw new Error('a step without state draws no seed')
  },
  get draws(): Draws {
    return new Draws()
  },
}

function never(value: TensorValue): never {
  throw new Error(`${value.kind} is not known`)
}

function sizeOf(tensor: Tensor): number {
  return tensor.dtype === 'string' ? 16 * tensor.strings.length : tensor.bytes.byteLength
}

/** A reduction over nothing is a constant. */
function withoutEmptyReduction(compute: Compute): Compute {
  const { reduce } = compute
  if (reduce === undefined || !reduce.extents.includes(0)) return compute
  const total = identityOf(reduce.combine, reduce.dtype)
  return {
    ...compute,
    reduce: undefined,
    body: (scope) => compute.body({ ...scope, total: scope.b.constant(reduce.dtype, total) }),
  }
}
