// What flows along the edges of a graph while it is traced: values known by now, arrays that a run
// will compute, and handles. Symbolic: nothing here holds a buffer of a device.
import type { DType, PartialShape, Shape, Tensor } from '../../tensor/index.ts'
import type { Combine, Expression, ScalarType } from '../ir/index.ts'
import type { Draws } from '../random/index.ts'
import type { Builder } from './builder.ts'

/** A value whose content the planner has. */
export interface KnownValue {
  readonly kind: 'known'
  readonly dtype: DType
  readonly shape: Shape
  readonly tensor: Tensor
}

/** A value of known type and shape whose content a run will have. */
export interface ArrayValue {
  readonly kind: 'array'
  readonly dtype: DType
  readonly shape: Shape
  /** Where its elements come from, in the same row-major order; shapes may differ (a reshape is free). */
  readonly source: Source
}

/** A variable behind a reference-typed edge; read when its consumer runs. */
export interface ReferenceValue {
  readonly kind: 'reference'
  readonly dtype: DType
  readonly variable: Variable
}

/** What an edge of type resource carries. */
export interface HandleValue {
  readonly kind: 'handle'
  readonly dtype: 'resource'
  readonly target: Variable | Table | ListHandle
}

/** An immutable list of values: TensorList, TensorArray and Stack, behind a variant or a flow. */
export interface ListValue {
  readonly kind: 'list'
  readonly dtype: DType
  readonly elementDtype: DType
  readonly elementShape: PartialShape
  readonly elements: readonly (Value | undefined)[]
  /** Of a TensorArray: an element that is written again is added to (gradients). */
  readonly accumulates?: boolean
  /** Of a TensorArray: whether writing past the end makes it longer. */
  readonly grows?: boolean
  /** Of a TensorArray: numbers of the arrays that collect its gradients, by source. */
  readonly gradients?: ReadonlyMap<string, number>
  /** Of a gradient's TensorArray: the elements whose shapes zeros take. */
  readonly like?: readonly (Value | undefined)[]
}

/** An output of a Switch that was not taken, and whatever depends on it. */
export interface DeadValue {
  readonly kind: 'dead'
  readonly dtype: DType
}

export type Value = KnownValue | ArrayValue | ReferenceValue | HandleValue | ListValue | DeadValue

/** A value with elements: what most ops take after references are read. */
export type TensorValue = KnownValue | ArrayValue

/** A variable as the graph declares it. */
export interface Variable {
  readonly kind: 'variable'
  readonly container: string
  readonly name: string
  /** Node that declares it. */
  readonly node: string
  readonly dtype: DType
  readonly shape: PartialShape
  readonly reference: boolean
}

/** A TensorArray or Stack, whose content the trace keeps by number. */
export interface ListHandle {
  readonly kind: 'list'
  readonly id: number
}

/** A lookup table: state of the engine. */
export interface Table {
  readonly kind: 'table'
  readonly key: string
  readonly node: string
  readonly keyDtype: DType
  readonly valueDtype: DType
  /** Shape of each value. */
  readonly valueShape: Shape
  /** Whether keys may be added one by one, and looking in an empty one is no fault. */
  readonly mutable: boolean
}

/** Where an array's elements come from. */
export type Source = FeedSource | VariableSource | StepOutput | Compute | Patch

export interface FeedSource {
  readonly kind: 'feed'
  readonly name: string
  readonly dtype: DType
  readonly shape: Shape
}

/** The value that a variable has when the run starts. */
export interface VariableSource {
  readonly kind: 'variable'
  readonly variable: Variable
  readonly dtype: DType
  readonly shape: Shape
}

export interface StepOutput {
  readonly kind: 'step'
  readonly step: HostStep
  readonly output: number
  readonly dtype: DType
  readonly shape: Shape
}

/**
 * Another array with some elements replaced. Costs what it touches where nobody needs the other array
 * any more, so that its buffer can be changed in place.
 */
export interface Patch {
  readonly kind: 'patch'
  readonly id: number
  readonly node: string
  readonly op: string
  /** Device asked for; '' for the run's. */
  readonly device: string
  readonly dtype: ScalarType
  readonly shape: Shape
  /** What it was before; of the same type and shape. */
  readonly base: TensorValue
  /** What is put in. */
  readonly values: TensorValue
  /** What `index` reads; the host has it. */
  readonly places: readonly TensorValue[]
  /** Flat position, in the result, of the element of `values` at `axes`; no two are the same, negative ones are nowhere. */
  readonly index: (scope: PlaceScope) => Expression
  /** Stretches of the result that may differ from the base, by the content of `places`; undefined: it is not worth telling. */
  readonly touched: (places: readonly Tensor[]) => readonly Stretch[] | undefined
}

/** Elements in a row; stretches of one array ascend and do not meet. */
export interface Stretch {
  readonly offset: number
  readonly count: number
}

export interface PlaceScope {
  readonly b: Builder
  /** Position of the element in the values. */
  readonly axes: readonly Expression[]
  readonly read: Read
}

/** A JavaScript function that runs between kernels. `id` orders it among steps and computes. */
export interface HostStep {
  readonly id: number
  readonly node: string
  readonly op: string
  readonly inputs: readonly TensorValue[]
  /** Runs once in every run that reaches it, in the order of the trace, needed or not. */
  readonly stateful: boolean
  readonly run: (inputs: readonly Tensor[], state: StepState) => readonly Tensor[]
}

/** State that outlives runs, as a step sees it. What it sets counts only where the run succeeds. */
export interface StepState {
  get(key: string): unknown
  set(key: string, value: unknown): void
  /** A fresh 64-bit number for streams without a seed. */
  readonly randomSeed: () => bigint
  /** Draws numbers in bulk. */
  readonly draws: Draws
}

/** One array defined elementwise by an expression; the planner decides which kernel computes it. */
export interface Compute {
  readonly kind: 'compute'
  readonly id: number
  readonly node: string
  readonly op: string
  /** Device asked for; '' for the run's. */
  readonly device: string
  readonly dtype: ScalarType
  readonly shape: Shape
  readonly inputs: readonly TensorValue[]
  readonly reduce: ComputeReduction | undefined
  readonly body: (scope: BodyScope) => Expression
  readonly checks: ((scope: BodyScope) => readonly ComputeCheck[]) | undefined
}

export interface ComputeReduction {
  readonly extents: Shape
  readonly combine: Combine
  /** Type of the accumulator and of the reduced body. */
  readonly dtype: ScalarType
  readonly body: (scope: ReduceScope) => Expression
}

/** Reads the element of input `input` at the positions (one for each dimension); 0 where the guard is false. */
export type Read = (
  input: number,
  positions: readonly Expression[],
  guard?: Expression,
) => Expression

export interface BodyScope {
  readonly b: Builder
  /** Position of the element in the result, one for each dimension. */
  readonly axes: readonly Expression[]
  readonly read: Read
  /** Result of the reduction, where there is one. */
  readonly total: Expression
}

export interface ReduceScope {
  readonly b: Builder
  readonly axes: readonly Expression[]
  /** Positions in the reduced space. */
  readonly reduced: readonly Expression[]
  readonly read: Read
}

/** A condition on every element, and what to say where it fails. */
export interface ComputeCheck {
  readonly ok: Expression
  /** Value to show in the message, from the failing element. */
  readonly shown?: Expression
  /** `position`: of the failing element in the result. */
  readonly message: (position: readonly number[], shown: string) => CheckMessage
}

export interface CheckMessage {
  readonly code: 'INVALID_ARGUMENT' | 'OUT_OF_RANGE' | 'INTERNAL'
  readonly reason: string
  readonly message: string
}
