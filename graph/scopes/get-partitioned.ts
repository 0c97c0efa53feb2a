// get_variable for a variable in parts: share the whole, or share and make its parts one by one.
// Source: tensorflow/python/ops/variable_scope.py (_get_partitioned_variable).
import { type PartialShape, Refusal } from '../../tensor/index.ts'
import { shorten } from '../name.ts'
import { chooseInitializer, resolveSingle } from './get-single.ts'
import { checkScopeName } from './name-scopes.ts'
import { partitionsOf, type Slice, slicesOf } from './partition.ts'
import { pythonList, pythonShape } from './python-text.ts'
import {
  alreadyExists,
  areCompatible,
  doesNotExist,
  type ExistingPartitioned,
  invalid,
  type Resolution,
  type Settled,
  type VariableLookup,
  type VariableResolution,
} from './variable-request.ts'

/** Resolves a request for a variable in parts. Refuses as {@link resolveGetVariable} says. */
export function resolvePartitioned<I>(request: Settled<I>, lookup: VariableLookup): Resolution<I> {
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
    throw doesNotExist(
      `PartitionedVariable ${shorten(name)} does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=False or reuse=tf.AUTO_REUSE in VarScope?`,
      name,
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
  return resolveSingle({ ...request, shape, slice }, lookup)
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

/** The shape that was given and the constant's own, as one. Refuses two that cannot be one. */
export function merged(given: PartialShape, constant: PartialShape): PartialShape {
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
