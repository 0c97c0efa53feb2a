// The bytes of stored values: streams, ranges, and whole tensors where they are small.
import type { ValueRecord } from '../store/index.ts'
import {
  isNumeric,
  numericTensor,
  type Tensor,
  type TensorStream,
  unpackStrings,
} from '../tensor/index.ts'
import type { Context } from './context.ts'

export interface StoredValues {
  /** The content from `offset`, `length` bytes of it; all where no range is given. */
  read(
    value: ValueRecord,
    range?: { readonly offset: number; readonly length: number },
  ): AsyncIterable<Uint8Array>
  /** The value under a name, to be written into a file. */
  stream(name: string, value: ValueRecord): TensorStream
  /** The whole tensor; for values that are known to be small enough to hold. */
  tensor(value: ValueRecord): Promise<Tensor>
}

/** The values of a store. */
export function createStoredValues(context: Context): StoredValues {
  const { values } = context.store
  return {
    read: (value, range) => values.read(value.valueId, range),
    stream: (name, value) => ({
      name,
      dtype: value.dtype,
      shape: value.shape,
      byteLength: value.byteLength,
      chunks: () => values.read(value.valueId),
    }),
    async tensor({ valueId, dtype, shape }) {
      const bytes = await values.bytes(valueId)
      if (isNumeric(dtype)) return numericTensor(dtype, shape, bytes)
      return unpackStrings(shape, bytes)
    },
  }
}
