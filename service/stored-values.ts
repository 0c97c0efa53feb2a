// Stored values as readable ones: their bytes come from the store.
import type { ValueRecord, Values } from '../store/index.ts'
import type { Tensor } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { type ReadableValue, tensorOfReadable } from './readable.ts'

export interface StoredValues {
  /** The value as a readable one. */
  of(record: ValueRecord): ReadableValue
  /** The whole tensor; for values that are known to be small enough to hold. */
  tensor(record: ValueRecord): Promise<Tensor>
}

/** The values of a store. */
export function createStoredValues(context: Context): StoredValues {
  const { values } = context.store
  return {
    of: (record) => storedReadable(values, record),
    tensor: (record) => tensorOfReadable(storedReadable(values, record)),
  }
}

/** A stored value as a readable one. */
export function storedReadable(values: Values, record: ValueRecord): ReadableValue {
  const { valueId, dtype, shape, byteLength, digest } = record
  return {
    dtype,
    shape,
    byteLength,
    digest,
    read: (range) => values.read(valueId, range),
    bytes: () => values.bytes(valueId),
    atHand: () => values.atHand(valueId),
  }
}
