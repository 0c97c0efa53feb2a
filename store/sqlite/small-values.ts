// The contents of small values in memory, as the catalogue holds them inline. A value never changes,
// so what is here is right for as long as the value is in the store.
import type { ValueId, ValueRecord } from '../port.ts'

/** Bytes of content kept at most; what was used longest ago goes first. */
const contentByteLength = 8 * 1024 * 1024
/** What a value takes beside its content, about; bounds the number of tiny ones. */
const recordByteLength = 512

/** An inline value with the checksum that its bytes should have. */
export interface SmallValue {
  readonly record: ValueRecord
  readonly bytes: Uint8Array
  readonly crc32c: number
}

/** Small values by id. */
export class SmallValues {
  readonly #values = new Map<ValueId, SmallValue>()
  #byteLength = 0

  get(valueId: ValueId): SmallValue | undefined {
    const value = this.#values.get(valueId)
    if (value === undefined) return undefined
    this.#values.delete(valueId)
    this.#values.set(valueId, value)
    return value
  }

  /** Keeps a value; its bytes are not to be changed or given away from then on. */
  keep(value: SmallValue): void {
    this.#drop(value.record.valueId)
    this.#values.set(value.record.valueId, value)
    this.#byteLength += sizeOf(value)
    for (const oldest of this.#values.keys()) {
      if (this.#byteLength <= contentByteLength) return
      this.#drop(oldest)
    }
  }

  clear(): void {
    this.#values.clear()
    this.#byteLength = 0
  }

  #drop(valueId: ValueId): void {
    const value = this.#values.get(valueId)
    if (value === undefined) return
    this.#values.delete(valueId)
    this.#byteLength -= sizeOf(value)
  }
}

function sizeOf({ bytes }: SmallValue): number {
  return bytes.byteLength + recordByteLength
}
