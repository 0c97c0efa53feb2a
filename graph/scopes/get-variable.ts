// get_variable: what a request means under a scope and the variables that are there: one to share, one
// to make, or a refusal in TensorFlow's words. Pure: it makes nothing, and knows no graph and no store.
// Source: tensorflow/python/ops/variable_scope.py (VariableScope.get_variable, _VariableStore).
import { type DType, kindOf, type PartialShape, Refusal } from '../../tensor/index.ts'
import { shorten } from '../name.ts'
import { collectionsOfVariable, variableCollections } from './collections.ts'
import { mergeDeviceTexts } from './device-spec.ts'
import { checkOperationName, checkScopeName } from './name-scopes.ts'
import { type Partitions, partitionsOf, type Slice, slicesOf } from './partition.ts'
import { pythonDType, pythonList, pythonShape } from './python-text.ts'
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
interface Settled<I> extends Omit<GetVariable<I>, 'shape'> {
  readonly shape: PartialShape
  readonly dtype: DType
  readonly reuse: Reuse
  readonly device: string
  readonly slice?: Slice
}

/** The arguments of get_local_variable as those of get_variable: local, and never trained. */
export function localVariable<I>(request: GetVariable<I>): GetVariable<I> {
  const collections = [...(request.collections ?? []), variableCollections.local]
  return { ...request, collections, trainable: false }
}

/**
 * Resolves a request. Refuses in TensorFlow's words: ALREADY_EXISTS `variable/already-exists`,
 * NOT_FOUND `variable/does-not-exist`, and INVALID_ARGUMENT `variable/shape-mismatch`,
 * `variable/dtype-mismatch`, `variable/partitions-mismatch`, `variable/partitioned`,
 * `variable/not-partitioned`, `variable/shape-required`, `initializer/..`, `partition/..`,
 * `name/invalid` and `device/invalid`.
 */
export function resolveGetVariable<I>(
  request: GetVariable<I>,
  scope: VariableScope<I>,
  lookup: VariableLookup,
): Resolution<I> {
  const { dtype, initializer } = request
  if (dtype !== undefined && initializer?.form === 'constant' && initializer.dtype !== dtype) {
    throw invalid(
      'initializer/dtype-mismatch',
      `Initializer type '${pythonDType(initializer.dtype)}' and explicit dtype '${pythonDType(dtype)}' don't match.`,
      request.name,
    )
  }
  const settled = settle(request, scope)
  const { name, reuse, partitions } = settled
  if (partitions !== undefined && settled.shape?.length !== 0) return partitioned(settled, lookup)
  if (reuse === true && partitions === undefined && lookup.partitioned(name) !== undefined) {
    return partitioned(settled, lookup)
  }
  if (lookup.variable(`${name}/part_0`) !== undefined) {
    throw invalid(
      'variable/partitioned',
      `No partitioner was provided, but a partitioned version of the variable was found: ${name}/part_0. Perhaps a variable of the same name was already created with partitioning?`,
      name,
    )
  }
  return single(settled, lookup)
}

/**
 * Full names that resolving the request may look up, for a caller that has to fetch them first. Refuses
 * (INVALID_ARGUMENT, `device/invalid`) a device that cannot be parsed.
 */
export function namesLookedUp<I>(
  request: GetVariable<I>,
  scope: VariableScope<I>,
): readonly string[] {
  const settled = settle(request, scope)
  const { name } = settled
  const parts = Array.from(
    { length: partCountOf(settled) + 1 },
    (_, part) => `${name}/part_${part}`,
  )
  return [name, ...parts]
}

/** 0 where there are no parts, and where resolving ends in a refusal before parts matter. */
function partCountOf<I>({ shape, initializer, partitions }: Settled<I>): number {
  if (partitions === undefined || shape?.length === 0) return 0
  try {
    const known = initializer?.form === 'constant' ? merged(shape, initializer.shape) : shape
    return Math.max(...partitionsOf(partitions, known))
  } catch (error) {
    if (error instanceof Refusal) return 0
    throw error
  }
}

function settle<I>(request: GetVariable<I>, scope: VariableScope<I>): Settled<I> {
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

function single<I>(request: Settled<I>, lookup: VariableLookup): VariableResolution<I> {
  const { name, shape, initializer } = request
  if (shape !== undefined && initializer?.form === 'constant') {
    throw invalid(
      'initializer/constant-with-shape',
      'If initializer is a constant, do not specify shape.',
      name,
    )
  }
  const found = lookup.variable(name)
  if (found !== undefined) {
    checkShared(request, found)
    return { action: 'reuse', name }
  }
  if (request.reuse === true) {
    throw new Refusal(
      'NOT_FOUND',
      'variable/does-not-exist',
      `Variable ${shorten(name)} does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=tf.AUTO_REUSE in VarScope?`,
      { fix: 'Create it first, or ask with reuse "auto".', names: { variable: shorten(name) } },
    )
  }
  const chosen = initializer ?? chooseInitializer(request)
  if (chosen.form === 'function' || chosen.form === 'default') {
    if (shape === undefined || shape.includes(-1)) {
      throw invalid(
        'initializer/not-valid',
        "The initializer passed is not valid. It should be a callable with no arguments and the shape should not be provided or an instance of `tf.keras.initializers.*' and `shape` should be fully defined.",
        name,
      )
    }
  }
  if (name === '') checkOperationName(name)
  else checkScopeName(name, 'root')
  return { action: 'create', variable: newVariable(request, chosen) }
}

function newVariable<I>(request: Settled<I>, initializer: ChosenInitializer<I>): NewVariable<I> {
  const { name, trainable = true, useResource, device, slice } = request
  const constant = initializer.form === 'constant' ? initializer : undefined
  const variable = {
    name,
    dtype: constant?.dtype ?? request.dtype,
    shape: slice?.shape ?? (constant === undefined ? request.shape : constant.shape),
    initializer,
    trainable,
    collections: collectionsOfVariable(request.collections, trainable),
    device,
    useResource,
  }
  return slice === undefined ? variable : { ...variable, slice }
}

/** The default initializer of a type; `name` is the variable's in the sentence of a refusal. */
function chooseInitializer<I>(request: Settled<I>, name = request.name): ChosenInitializer<I> {
  const { shape, dtype } = request
  if (request.withoutInitializer && (shape === undefined || shape.includes(-1))) {
    return { form: 'none' }
  }
  if (shape === undefined) {
    throw invalid(
      'variable/shape-required',
      `Variable ${name} did not get an initializer, so its \`shape\` argument must be specified.`,
      name,
    )
  }
  return { form: 'default', kind: defaultInitializer(name, dtype) }
}

/**
 * The kind of initializer that a variable gets which was given none: glorot_uniform for floats, zeros
 * for integers, booleans and strings. Refuses (INVALID_ARGUMENT, `initializer/required`) other types.
 */
export function defaultInitializer(name: string, dtype: DType): 'glorot_uniform' | 'zeros' {
  const kind = kindOf(dtype)
  switch (kind) {
    case 'float':
      return 'glorot_uniform'
    case 'signed':
    case 'unsigned':
    case 'bool':
    case 'string':
      return 'zeros'
    case 'complex':
    case 'quantized':
    case 'opaque':
      throw invalid(
        'initializer/required',
        `An initializer for variable ${name} of ${pythonDType(dtype)} is required`,
        name,
      )
    default:
      return kind satisfies never
  }
}

function checkShared<I>(request: Settled<I>, found: ExistingVariable): void {
  const { name, shape, dtype } = request
  if (request.reuse === false) {
    throw alreadyExists(
      `Variable ${shorten(name)} already exists, disallowed. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope?`,
      name,
    )
  }
  if (shape !== undefined && !areCompatible(shape, found.shape)) {
    throw invalid(
      'variable/shape-mismatch',
      `Trying to share variable ${name}, but specified shape ${pythonShape(shape)} and found shape ${pythonShape(found.shape)}.`,
      name,
    )
  }
  if (dtype !== found.dtype) {
    const foundName = found.isReference ? `${found.dtype}_ref` : found.dtype
    throw invalid(
      'variable/dtype-mismatch',
      `Trying to share variable ${name}, but specified dtype ${dtype} and found dtype ${foundName}.`,
      name,
    )
  }
}

function partitioned<I>(request: Settled<I>, lookup: VariableLookup): Resolution<I> {
  const { name, initializer, reuse } = request
  if (lookup.variable(name) !== undefined) {
    throw invalid(
      'variable/not-partitioned',
      `A partitioner was provided, but an unpartitioned version of the variable was found: ${name}.  Perhaps a variable of the same name was already created without partitioning?`,
      name,
    )
  }
  const shape =
    initializer?.form === 'constant' ? merged(request.shape, initializer.shape) : request.shape
  const partitions =
    request.partitions === undefined ? undefined : partitionsOf(request.partitions, shape)
  const found = lookup.partitioned(name)
  if (found !== undefined) {
    checkSharedPartitions(request, shape, partitions, found)
    return { action: 'reuse-partitioned', name }
  }
  if (reuse === true) {
    throw new Refusal(
      'NOT_FOUND',
      'variable/does-not-exist',
      `PartitionedVariable ${shorten(name)} does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=False or reuse=tf.AUTO_REUSE in VarScope?`,
      { fix: 'Create it first, or ask with reuse "auto".', names: { variable: shorten(name) } },
    )
  }
  // Without partitions one gets here only to share, so both are known from here on.
  if (partitions === undefined || shape === undefined) throw new Error('partitions without shape')
  const dtype = initializer?.form === 'constant' ? initializer.dtype : request.dtype
  const slices = slicesOf(name, shape, partitions)
  checkLoneParts(name, slices.length, lookup)
  const parts = slices.map((slice, part) =>
    partOf({ ...request, shape, dtype, name: `${name}/part_${part}` }, slice, lookup),
  )
  return { action: 'create-partitioned', name, dtype, shape, partitions, parts }
}

function partOf<I>(
  request: Settled<I>,
  slice: Slice,
  lookup: VariableLookup,
): VariableResolution<I> {
  checkScopeName(`${request.name}/PartitionedInitializer`, 'root')
  if (request.initializer === undefined) chooseInitializer(request, slice.fullName)
  const shape = request.initializer?.form === 'constant' ? undefined : slice.shape
  return single({ ...request, shape, slice }, lookup)
}

/** Parts without a whole (made one by one under their own names) have to be as many as are wanted now. */
function checkLoneParts(name: string, count: number, lookup: VariableLookup): void {
  const has = (part: number) => lookup.variable(`${name}/part_${part}`) !== undefined
  if (!has(0)) return
  const sentence = `Partitioner returned a different partitioning than what was already found.  Partitioner returned ${count} shards, and shard ${name}/part_0 was found, but`
  if (!has(count - 1)) {
    throw invalid(
      'variable/partitions-mismatch',
      `${sentence} ${name}/part_${count - 1} was not.`,
      name,
    )
  }
  if (has(count)) {
    throw invalid(
      'variable/partitions-mismatch',
      `${sentence} so was the extra shard ${name}/part_${count}.`,
      name,
    )
  }
}

function checkSharedPartitions<I>(
  request: Settled<I>,
  shape: PartialShape,
  partitions: readonly number[] | undefined,
  found: ExistingPartitioned,
): void {
  const { name, dtype } = request
  if (request.reuse === false) {
    throw alreadyExists(
      `Partitioned variable with name ${shorten(name)} already exists. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope?`,
      name,
    )
  }
  const sentence = `Trying to reuse partitioned variable ${name}, but specified`
  if (!areCompatible(shape, found.shape)) {
    throw invalid(
      'variable/shape-mismatch',
      `${sentence} shape ${pythonShape(shape)} and found shape ${pythonShape(found.shape)}.`,
      name,
    )
  }
  if (dtype !== found.dtype) {
    throw invalid(
      'variable/dtype-mismatch',
      `${sentence} dtype ${dtype} and found dtype ${found.dtype}.`,
      name,
    )
  }
  if (partitions === undefined) return
  if (pythonList(partitions) === pythonList(found.partitions)) return
  throw invalid(
    'variable/partitions-mismatch',
    `${sentence} partitions ${pythonList(partitions)} and found partitions ${pythonList(found.partitions)}.`,
    name,
  )
}

/** Whether two shapes can be of one variable: unknown sizes and ranks fit all. */
export function areCompatible(a: PartialShape, b: PartialShape): boolean {
  if (a === undefined || b === undefined) return true
  return (
    a.length === b.length &&
    a.every((size, axis) => size === -1 || b[axis] === -1 || size === b[axis])
  )
}

function merged(given: PartialShape, constant: PartialShape): PartialShape {
  if (!areCompatible(given, constant)) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'variable/shape-mismatch',
      `Shapes ${pythonShape(given)} and ${pythonShape(constant)} are not compatible`,
    )
  }
  if (given === undefined || constant === undefined) return given ?? constant
  return given.map((size, axis) => (size === -1 ? constant[axis] : size))
}

function alreadyExists(message: string, name: string): Refusal {
  return new Refusal('ALREADY_EXISTS', 'variable/already-exists', message, {
    fix: 'Ask for it with reuse true or "auto", or under another name.',
    names: { variable: shorten(name) },
  })
}

function invalid(reason: string, message: string, name: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', reason, message, { names: { variable: shorten(name) } })
}
