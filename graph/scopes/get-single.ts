// get_variable for a whole variable, or for one part of one: share it or make it, and with which
// initializer. Source: tensorflow/python/ops/variable_scope.py (_get_single_variable).
import { type DType, kindOf } from '../../tensor/index.ts'
import { shorten } from '../name.ts'
import { collectionsOfVariable } from './collections.ts'
import { checkOperationName, checkScopeName } from './name-scopes.ts'
import { pythonDType, pythonShape } from './python-text.ts'
import {
  alreadyExists,
  areCompatible,
  type ChosenInitializer,
  doesNotExist,
  type ExistingVariable,
  invalid,
  type NewVariable,
  type Settled,
  type VariableLookup,
  type VariableResolution,
} from './variable-request.ts'

/** Resolves a request for one variable. Refuses as {@link resolveGetVariable} says. */
export function resolveSingle<I>(
  request: Settled<I>,
  lookup: VariableLookup,
): VariableResolution<I> {
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
    throw doesNotExist(
      `Variable ${shorten(name)} does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=tf.AUTO_REUSE in VarScope?`,
      name,
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
export function chooseInitializer<I>(
  request: Settled<I>,
  name = request.name,
): ChosenInitializer<I> {
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
