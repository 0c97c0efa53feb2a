// The form of an op's definition, and what its lowering may ask of the planner. One definition an op:
// its signature in the registry's notation, and a lowering from symbolic values to symbolic values.
import type { GraphNode } from '../../graph/index.ts'
import type { DType, PartialShape, Shape, Tensor } from '../../tensor/index.ts'
import type { Expression, ScalarType } from '../ir/index.ts'
import type { Attributes, FunctionReference } from './attributes.ts'
import {
  type ArgumentSpec,
  type AttributeSpec,
  parseArgument,
  parseAttribute,
} from './signature.ts'
import type {
  BodyScope,
  ComputeCheck,
  ComputeReduction,
  HandleValue,
  HostStep,
  ListValue,
  Patch,
  ReferenceValue,
  TensorValue,
  Value,
  Variable,
} from './value.ts'

/** An array to define; `shape` and `dtype` are the result's. */
export interface ComputeSpec {
  readonly shape: Shape
  readonly dtype: ScalarType
  readonly inputs: readonly TensorValue[]
  readonly reduce?: ComputeReduction
  readonly body: (scope: BodyScope) => Expression
  readonly checks?: (scope: BodyScope) => readonly ComputeCheck[]
}

/** Elements of an array to replace; see {@link Patch}. */
export type PatchSpec = Pick<Patch, 'values' | 'places' | 'index' | 'touched'>

/** A host step to run; where a shape is not given, planning goes on once the step has run. */
export interface StepSpec {
  readonly inputs: readonly TensorValue[]
  readonly outputs: readonly { readonly dtype: DType; readonly shape: Shape | undefined }[]
  /** Uses state; runs in the order of the trace, needed or not. */
  readonly stateful?: boolean
  /** Runs whether or not its outputs are needed. */
  readonly always?: boolean
  readonly run: HostStep['run']
}

/** A function to trace in place; `resume` gets its results. */
export interface Call {
  readonly kind: 'call'
  readonly function: FunctionReference
  readonly inputs: readonly Value[]
  /** Values that `resume` keeps beside the results. */
  readonly holds: readonly Value[]
  /** Called with the lowering anew: the trace may have been copied since. */
  readonly resume: (at: Lowering, outputs: readonly Value[]) => Lowered
}

/** A node that declares a variable. */
export type DeclaringNode = Pick<Lowering, 'node' | 'attributes'>

/** A variable as a node declares it; an empty container is the run's. */
export interface VariableSpec {
  readonly name: string
  readonly container: string
  readonly dtype: DType
  readonly shape: PartialShape
  readonly reference: boolean
}

/** What a lowering answers: the node's outputs, or a call that will. */
export type Lowered = readonly Value[] | Call

/**
 * What a lowering has at hand. Methods that need what only a run can tell suspend the planning by
 * throwing: a lowering must not catch, and is called again from its start with the answer.
 */
export interface Lowering {
  readonly node: GraphNode
  readonly attributes: Attributes
  /** Inputs as they came, references not read. */
  readonly raw: readonly Value[]
  /** The named input; references are read. Refuses handles and lists. */
  input(name: string): TensorValue
  /** All tensors of a named list input. */
  inputs(name: string): readonly TensorValue[]
  /** Values of a named input as they came. */
  rawInputs(name: string): readonly Value[]
  /** Defines an array; folded where its inputs are known and small. */
  compute(spec: ComputeSpec): TensorValue
  /** The value with elements replaced; all of them of a type that kernels hold. */
  patched(base: TensorValue, spec: PatchSpec): TensorValue
  /** Whether replacing so many elements of the value one by one is cheaper than making all of it anew. */
  isWorthPatching(base: TensorValue, elementCount: number): boolean
  step(spec: StepSpec): readonly TensorValue[]
  known(tensor: Tensor): TensorValue
  /** The tensor of the attribute `value`, decoded once for all runs. */
  constant(): Tensor
  /** Content of a value; suspends where it is not known. */
  contentOf(value: TensorValue): Tensor
  /** Whether the content is there without suspending. */
  knownContentOf(value: TensorValue): Tensor | undefined
  /** Whether the device that the run prefers lacks a type, so that values of it are elsewhere. */
  lacks(dtype: DType): boolean
  /** The value with another shape of as many elements. */
  reshaped(value: TensorValue, shape: Shape): TensorValue
  /** Key for state of this node: container, graph, path. */
  stateKey(name: string): string
  /** Key for state that nodes share by name; an empty container is the run's. */
  sharedKey(container: string, name: string): string
  variable(spec: VariableSpec): Variable
  /** Current value; refuses (FAILED_PRECONDITION, `variable/uninitialized`). */
  read(variable: Variable): TensorValue
  /** Current value, undefined where it has none. */
  peek(variable: Variable): TensorValue | undefined
  assign(variable: Variable, value: TensorValue): void
  /** The value goes out of being (DestroyResourceOp). */
  clear(variable: Variable): void
  /** The variable of a reference-typed or resource input. */
  variableOf(value: Value): Variable
  handle(target: HandleValue['target']): HandleValue
  reference(variable: Variable): ReferenceValue
  call(
    reference: FunctionReference,
    inputs: readonly Value[],
    resume: Call['resume'],
    holds?: readonly Value[],
  ): Call
  /** A new TensorArray or Stack with this content; its number. */
  newList(content: ListValue): number
  /** The present content of a TensorArray or Stack. */
  listOf(id: number): ListValue
  setList(id: number, content: ListValue): void
}

/** What a summary can tell of outputs without running: shapes from shapes, unknown sizes as -1. */
export type ShapeRule = (
  shapes: readonly PartialShape[],
  attributes: Attributes,
) => readonly PartialShape[]

/** An op: what it takes, what it gives, what it means. */
export interface OpDefinition {
  readonly name: string
  readonly inputs: readonly ArgumentSpec[]
  readonly outputs: readonly ArgumentSpec[]
  readonly attributes: ReadonlyMap<string, AttributeSpec>
  /** Uses state that outlives runs: random streams, tables. */
  readonly stateful: boolean
  /** Runs wherever its function does, even if nothing needs its outputs. */
  readonly always: boolean
  /** The variable that the node declares. */
  readonly declares: ((lowering: DeclaringNode) => VariableSpec) | undefined
  /** Attributes that name functions to call, and the input list that becomes their arguments. */
  readonly calls: { readonly functions: readonly string[]; readonly argument: string } | undefined
  /** Names of inputs that hold a variable which the op assigns. */
  readonly writes: readonly string[]
  /** Whether the op reads the variable that its resource or reference inputs hold. */
  readonly reads: boolean
  readonly infer: ShapeRule | undefined
  readonly lower: (lowering: Lowering) => Lowered
}

/** The written form of a definition. */
export interface OpText {
  readonly name: string
  readonly inputs?: readonly string[]
  readonly outputs?: readonly string[]
  readonly attributes?: readonly string[]
  readonly stateful?: boolean
  /** Default: where it is stateful or writes. */
  readonly always?: boolean
  readonly declares?: OpDefinition['declares']
  readonly calls?: OpDefinition['calls']
  readonly writes?: readonly string[]
  /** Default: true. */
  readonly reads?: boolean
  readonly infer?: ShapeRule
  readonly lower: (lowering: Lowering) => Lowered
}

/** The definition that the text says. Throws where the notation is wrong: that is our own mistake. */
export function defineOp(text: OpText): OpDefinition {
  const attributes = (text.attributes ?? []).map(parseAttribute)
  return {
    name: text.name,
    inputs: (text.inputs ?? []).map((argument) => parseArgument(argument, attributes)),
    outputs: (text.outputs ?? []).map((argument) => parseArgument(argument, attributes)),
    attributes: new Map(attributes.map((attribute) => [attribute.name, attribute])),
    stateful: text.stateful ?? false,
    always: text.always ?? (text.stateful === true || (text.writes ?? []).length > 0),
    declares: text.declares,
    calls: text.calls,
    writes: text.writes ?? [],
    reads: text.reads ?? true,
    infer: text.infer,
    lower: text.lower,
  }
}

/** Tensors that an argument stands for, as the node's attributes say. */
export function countOf(argument: ArgumentSpec, attributes: Attributes): number {
  if (argument.typeList && 'attribute' in argument.type) {
    return attributes.types(argument.type.attribute).length
  }
  return argument.countAttribute === undefined ? 1 : attributes.int(argument.countAttribute)
}

/** Type of each tensor that an argument stands for. */
export function typesOf(argument: ArgumentSpec, attributes: Attributes): readonly DType[] {
  if ('dtype' in argument.type) {
    return new Array<DType>(countOf(argument, attributes)).fill(argument.type.dtype)
  }
  if (argument.typeList) return attributes.types(argument.type.attribute)
  const dtype = attributes.type(argument.type.attribute)
  return new Array<DType>(countOf(argument, attributes)).fill(dtype)
}
