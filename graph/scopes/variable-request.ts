// What is asked of get_variable, what may be there already, and what can come of it; the refusals that
// all cases share. It decides nothing.
// Source: tensorflow/python/ops/variable_scope.py (VariableScope.get_variable).
import { type DType, type PartialShape, Refusal } from '../../tensor/index.ts'
import { shorten } from '../name.ts'
import { mergeDeviceTexts } from './device-spec.ts'
import type { Partitions, Slice } from './partition.ts'
import { type Initializer, nameBelow, type Reuse, type VariableScope } from './variable-scope.ts'

/** The arguments of get_variable; those absent come from the scope. */
export interface GetVariable<I> {
  readonly name: string
  /** -1 is an unknown size. */
  readonly shape?: readonly number[] | undefined
  readonly dtype?: DType | undefined
  readonly initializer?: Initializer<I> | undefined
  /** Here `false` makes only, also where the scope shares. */
  readonly reuse?: Reuse | undefined
  readonly trainable?: boolean | undefined
  readonly collections?: readonly string[] | undefined
  readonly partitions?: Partitions | undefined
  readonly useResource?: boolean | undefined
  /** Merged with the scope's, field by field. */
  readonly device?: string | undefined
  /**
   * Lets a variable be made without initializer where its shape is not fully known and no initializer
   * is given anywhere. Not TensorFlow's: there an initializer is always called for.
   */
  readonly withoutInitializer?: boolean | undefined
}

/** A variable that is there. */
export interface ExistingVariable {
  readonly dtype: DType
  readonly shape: PartialShape
  /** Made with `use_resource=False`: its type is then named so in sentences. */
  readonly isReference?: boolean | undefined
}

/** A partitioned variable that is there, seen as one. */
export interface ExistingPartitioned {
  readonly dtype: DType
  readonly shape: PartialShape
  /** Number of parts of each axis. */
  readonly partitions: readonly number[]
}

/** What is there, by full name: {@link namesLookedUp} tells which may be asked for. */
export interface VariableLookup {
  variable(name: string): ExistingVariable | undefined
  partitioned(name: string): ExistingPartitioned | undefined
}

/** The initializer of a new variable: one that was given, the default of its type, or none. */
export type ChosenInitializer<I> =
  | Initializer<I>
  | { readonly form: 'default'; readonly kind: 'glorot_uniform' | 'zeros' }
  | { readonly form: 'none' }

/** A variable to be made. */
export interface NewVariable<I> {
  /** Full name: the scope's and its own. */
  readonly name: string
  readonly dtype: DType
  readonly shape: PartialShape
  /** Of a part: called with the part's shape; a constant has to be cut at {@link slice}. */
  readonly initializer: ChosenInitializer<I>
  readonly trainable: boolean
  /** Each once; the variable joins them at the end. */
  readonly collections: readonly string[]
  /** Canonical; '' where none was asked for. */
  readonly device: string
  readonly useResource: boolean | undefined
  /** Where it is a part: which one. */
  readonly slice?: Slice
}

/** Share the variable of that full name, or make one. */
export type VariableResolution<I> =
  | { readonly action: 'reuse'; readonly name: string }
  | { readonly action: 'create'; readonly variable: NewVariable<I> }

/** What a request comes to. Parts are in order, and some of them may be there already. */
export type Resolution<I> =
  | VariableResolution<I>
  | { readonly action: 'reuse-partitioned'; readonly name: string }
  | {
      readonly action: 'create-partitioned'
      readonly name: string
      readonly dtype: DType
      readonly shape: readonly number[]
      readonly partitions: readonly number[]
      readonly parts: readonly VariableResolution<I>[]
    }

/** A request with the scope's defaults in it. */
export interface Settled<I> extends Omit<GetVariable<I>, 'shape'> {
  readonly shape: PartialShape
  readonly dtype: DType
  readonly reuse: Reuse
  readonly device: string
  readonly slice?: Slice
}

/** The request under its full name, with what it leaves open taken from the scope. */
export function settle<I>(request: GetVariable<I>, scope: VariableScope<I>): Settled<I> {
  return {
    ...request,
    name: nameBelow(scope.name, request.name),
    shape: request.shape,
    dtype: request.dtype ?? scope.dtype,
    initializer: request.initializer ?? scope.initializer,
    reuse: request.reuse ?? scope.reuse,
    partitions: request.partitions ?? scope.partitions,
    useResource: request.useResource ?? scope.useResource,
    device: mergeDeviceTexts(request.device ?? '', scope.device),
  }
}

/** Whether two shapes can be of one variable: unknown sizes and ranks fit all. */
export function areCompatible(a: PartialShape, b: PartialShape): boolean {
  if (a === undefined || b === undefined) return true
  return (
    a.length === b.length &&
    a.every((size, axis) => size === -1 || b[axis] === -1 || size === b[axis])
  )
}

/** NOT_FOUND, `variable/does-not-exist`. */
export function doesNotExist(message: string, name: string): Refusal {
  return new Refusal('NOT_FOUND', 'variable/does-not-exist', message, {
    fix: 'Create it first, or ask with reuse "auto".',
    names: { variable: shorten(name) },
  })
}

/** ALREADY_EXISTS, `variable/already-exists`. */
export function alreadyExists(message: string, name: string): Refusal {
  return new Refusal('ALREADY_EXISTS', 'variable/already-exists', message, {
    fix: 'Ask for it with reuse true or "auto", or under another name.',
    names: { variable: shorten(name) },
  })
}

/** INVALID_ARGUMENT about the variable `name`. */
export function invalid(reason: string, message: string, name: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', reason, message, { names: { variable: shorten(name) } })
}
