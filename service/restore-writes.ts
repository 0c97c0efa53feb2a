// What restoring one tensor changes: a variable points at the stored value where that is cut as the
// variable is; else the bytes are put together or cut on their way.
import type { SliceSpec } from '../formats/index.ts'
import { maxParts, slicesOf } from '../graph/index.ts'
import type { Change, PartitionedRecord, Staging, ValueSource } from '../store/index.ts'
import { sameShape } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { stageParts } from './part-streams.ts'
import { isPartitioned, type NamedVariable, slicesOfParts } from './partitioned.ts'
import { streamOfReadable } from './readable.ts'
import { type SlicedTensor, type StoredTensor, storedTensorReadable } from './stored-tensors.ts'

/** The changes of one variable, or of all parts of one; what has to be copied is staged. */
export type RestoreStep = (staging: Staging) => Promise<readonly Change[]>

/** Names of the parts, in order. */
export function namesOfParts({ parts }: PartitionedRecord): readonly string[] {
  return parts.map(({ name }) => name)
}

/** The changes that put a tensor into what is there: by pointing where it is cut alike, else by copying. */
export async function writesOf(
  context: Context,
  staging: Staging,
  target: NamedVariable,
  tensor: StoredTensor,
): Promise<readonly Change[]> {
  const { container } = target
  if (!isPartitioned(target)) {
    const value = await wholeValue(context, staging, tensor)
    return [{ kind: 'write_value', container, name: target.name, value }]
  }
  const values = await partValues(context, staging, slicesOfParts(target), tensor)
  return namesOfParts(target).map((name, place) => ({
    kind: 'write_value',
    container,
    name,
    value: values[place],
  }))
}

async function wholeValue(
  context: Context,
  staging: Staging,
  tensor: StoredTensor,
): Promise<ValueSource> {
  if (tensor.form === 'plain') return { valueId: tensor.entry.value.valueId }
  const [{ entry }] = tensor.parts
  if (tensor.parts.length === 1) return { valueId: entry.value.valueId }
  return staging.add(streamOfReadable(tensor.name, storedTensorReadable(context, tensor)))
}

async function partValues(
  context: Context,
  staging: Staging,
  slices: readonly SliceSpec[],
  tensor: StoredTensor,
): Promise<readonly ValueSource[]> {
  if (tensor.form === 'sliced' && areCutAlike(tensor, slices)) {
    return tensor.parts.map(({ entry }) => ({ valueId: entry.value.valueId }))
  }
  const whole = streamOfReadable(tensor.name, storedTensorReadable(context, tensor))
  return stageParts(context, staging, whole, slices)
}

function areCutAlike({ parts }: SlicedTensor, slices: readonly SliceSpec[]): boolean {
  return (
    parts.length === slices.length &&
    parts.every(
      ({ slice }, place) =>
        sameShape(slice.starts, slices[place].starts) &&
        sameShape(slice.shape, slices[place].shape),
    )
  )
}

/** How a variable is made that is not there. */
export interface Creation {
  readonly step: RestoreStep
  /** Names of the parts, where it is made in parts. */
  readonly parts?: readonly string[]
}

/** Makes what a tensor is for: in parts where it is cut as partitioning cuts, else whole. */
export function creationOf(
  context: Context,
  container: string,
  name: string,
  tensor: StoredTensor,
): Creation {
  const { dtype, shape } = tensor
  const common = { container, dtype, trainable: false, collections: ['variables'], device: '' }
  const kind = 'create_variable'
  const partitions = tensor.form === 'sliced' ? partitionsOfSlices(tensor) : undefined
  if (tensor.form === 'plain' || partitions === undefined) {
    const step: RestoreStep = async (staging) => {
      const value = await wholeValue(context, staging, tensor)
      return [{ kind, ...common, name, shape, initializer: null, value }]
    }
    return { step }
  }
  const parts = tensor.parts.map((_, place) => `${name}/part_${place}`)
  const step: RestoreStep = async () => [
    ...tensor.parts.map(
      ({ entry, slice }, place): Change => ({
        kind,
        ...common,
        name: parts[place],
        shape: slice.shape,
        initializer: null,
        slice: { fullName: name, fullShape: shape, offset: slice.starts },
        value: { valueId: entry.value.valueId },
      }),
    ),
    { kind: 'create_partitioned', container, name, dtype, shape, partitions, parts },
  ]
  return { step, parts }
}

/** The partitions that would cut a tensor so; undefined where none would. */
function partitionsOfSlices(tensor: SlicedTensor): readonly number[] | undefined {
  const { name, shape, parts } = tensor
  const [{ slice }] = parts
  const partitions = shape.map((size, axis) => (slice.shape[axis] === size ? 1 : parts.length))
  if (parts.length > maxParts || partitions.filter((count) => count > 1).length !== 1) {
    return undefined
  }
  const cut = slicesOf(name, shape, partitions).map(({ offset, ...rest }) => ({
    ...rest,
    starts: offset,
  }))
  return areCutAlike(tensor, cut) ? partitions : undefined
}
