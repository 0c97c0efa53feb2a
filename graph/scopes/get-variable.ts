// get_variable: what a request means under a scope and the variables that are there: one to share, one
// to make, or a refusal in TensorFlow's words. Pure: it makes nothing, and knows no graph and no store.
// Source: tensorflow/python/ops/variable_scope.py (VariableScope.get_variable, _VariableStore).
import { Refusal } from '../../tensor/index.ts'
import { variableCollections } from './collections.ts'
import { merged, resolvePartitioned } from './get-partitioned.ts'
import { resolveSingle } from './get-single.ts'
import { partitionsOf } from './partition.ts'
import { pythonDType } from './python-text.ts'
import {
  type GetVariable,
  invalid,
  type Resolution,
  type Settled,
  settle,
  type VariableLookup,
} from './variable-request.ts'
import type { VariableScope } from './variable-scope.ts'

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
  if (partitions !== undefined && settled.shape?.length !== 0)
    return resolvePartitioned(settled, lookup)
  if (reuse === true && partitions === undefined && lookup.partitioned(name) !== undefined) {
    return resolvePartitioned(settled, lookup)
  }
  if (lookup.variable(`${name}/part_0`) !== undefined) {
    throw invalid(
      'variable/partitioned',
      `No partitioner was provided, but a partitioned version of the variable was found: ${name}/part_0. Perhaps a variable of the same name was already created with partitioning?`,
      name,
    )
  }
  return resolveSingle(settled, lookup)
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
