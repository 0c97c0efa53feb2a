// What an update of a partitioned variable asks of each of its parts: the same op, on its slice of what is
// given. Running and committing them is others'.
import type { PartitionedRecord } from '../store/index.ts'
import { cutTensor } from './cut-tensor.ts'
import type { UpdateArguments } from './one-op.ts'
import { notForParts, slicesOfParts } from './partitioned.ts'
import { checkAssignable } from './tensor-input.ts'
import { type UpdateVerbName, updateVerb } from './update-verbs.ts'

/** Refuses (INVALID_ARGUMENT `partition/not-one`) a verb that TensorFlow's PartitionedVariable has not. */
export function checkForParts(verb: UpdateVerbName, whole: PartitionedRecord): void {
  if (updateVerb(verb).forParts !== true) throw notForParts(verb, whole)
}

/**
 * What each part is given, in order. Refuses as {@link checkForParts} does, and tensors of another type
 * or shape than the whole's.
 */
export function argumentsOfParts(
  verb: UpdateVerbName,
  whole: PartitionedRecord,
  { tensors }: UpdateArguments,
): readonly UpdateArguments[] {
  checkForParts(verb, whole)
  const { name, dtype, shape } = whole
  for (const tensor of tensors.values()) checkAssignable(name, { dtype, shape }, tensor)
  return slicesOfParts(whole).map((slice) => ({
    tensors: new Map([...tensors].map(([input, tensor]) => [input, cutTensor(tensor, slice)])),
  }))
}
