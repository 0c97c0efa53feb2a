// Partitioned variables in a batch: what is done to the whole is done to each of its parts. The values
// of the parts are batch-values.ts's.
import type { PartitionedRecord } from '../store/index.ts'
import { byteLengthOf, elementCountOf, sameShape, type Tensor } from '../tensor/index.ts'
import { type BatchValues, checkBatchBytes } from './batch-values.ts'
import type { Context } from './context.ts'
import { cutTensor, joinTensors } from './cut-tensor.ts'
import { argumentsOfParts } from './part-updates.ts'
import { partitionedReadable, reshapedPart, slicesOfParts } from './partitioned.ts'
import { type ReadableValue, readableOfTensor, tensorOfReadable } from './readable.ts'
import { checkAssignable } from './tensor-input.ts'

/** The values, with the partitioned variables among `wholes` as one each. */
export function withWholes(
  context: Context,
  values: BatchValues,
  wholes: readonly PartitionedRecord[],
): BatchValues {
  if (wholes.length === 0) return values
  const byName = new Map(wholes.map((whole) => [whole.name, whole]))

  async function read(whole: PartitionedRecord): Promise<ReadableValue> {
    if (whole.parts.every(({ name }) => !values.isWritten(name))) {
      return partitionedReadable(context, whole)
    }
    const { dtype, shape } = whole
    checkBatchBytes(elementCountOf(shape) * byteLengthOf(dtype), context.limits.batchBytes)
    const slices = slicesOfParts(whole)
    const parts: { readonly tensor: Tensor; readonly slice: (typeof slices)[number] }[] = []
    for (const [place, part] of whole.parts.entries()) {
      const tensor = await tensorOfReadable(await values.read(part.name))
      const slice = slices[place]
      if (!sameShape(tensor.shape, slice.shape)) throw reshapedPart(whole, part)
      parts.push({ tensor, slice })
    }
    return readableOfTensor(joinTensors({ dtype, shape }, parts))
  }

  return {
    ...values,
    declaration(name) {
      const { dtype, shape } = byName.get(name) ?? values.declaration(name)
      return { dtype, shape }
    },
    async assign(name, tensor, validateShape) {
      const whole = byName.get(name)
      if (whole === undefined) return values.assign(name, tensor, validateShape)
      const { dtype, shape } = whole
      checkAssignable(name, { dtype, shape }, tensor)
      const slices = slicesOfParts(whole)
      for (const [place, part] of whole.parts.entries()) {
        await values.assign(part.name, cutTensor(tensor, slices[place]), true)
      }
    },
    async update(name, verb, given, deadlineMs) {
      const whole = byName.get(name)
      if (whole === undefined) return values.update(name, verb, given, deadlineMs)
      for (const [place, each] of argumentsOfParts(verb, whole, given).entries()) {
        await values.update(whole.parts[place].name, verb, each, deadlineMs)
      }
      return undefined
    },
    async initialize(name) {
      for (const part of byName.get(name)?.parts ?? [{ name }]) await values.initialize(part.name)
    },
    async read(name) {
      const whole = byName.get(name)
      return whole === undefined ? values.read(name) : read(whole)
    },
  }
}
