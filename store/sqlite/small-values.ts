// The contents of small values in memory, as the catalogue holds them inline. A value never changes,
// so what is here is right for as long as the value is in the store.
import type { ValueId, ValueRecord } from '../port.ts'

/** Bytes of content kept at most; the oldest goes first, unless it was used since its last turn. */
const contentByteLength = 8 * 1024 * 1024
/** What a value takes beside its content, about; bounds the number of tiny ones. */
const recordByteLength = 512

/** An inline value with the checksum that its bytes should have. */
export interface SmallValue {
  readonly record: ValueRecord
  readonly bytes: Uint8Array
  readonly crc32c: number
}

/** A value that is kept, and whether it was used since it was last looked at for dropping. */
interface Kept extends SmallValue {
  isUsed: boolean
}

/** Small values by id. */
export class SmallValues {
  readonly #values = new Map<ValueId, Kept>()
  #byteLength = 0

  get(valueId: ValueId): SmallValue | undefined {
    const value = this.#values.get(valueId)
    // Cheaper than moving it to the end each time; it moves there when its turn to go comes.
    if (value !== undefined) value.isUsed = true
    return value
  }

  /** Keeps a value; its bytes are not to be changed or given away from then on. */
  keep(value: SmallValue): void {
    this.#drop(value.record.valueId)
    this.#values.set(value.record.valueId, { ...value, isUsed: false })
    this.#byteLength += sizeOf(value)
    for (const [oldest, kept] of this.#values) {
      if (this.#byteLength <= contentByteLength) return
      this.#values.delete(oldest)
      // What was used has a second chance, behind all others.
      if (kept.isUsed) this.#values.set(oldest, { ...kept, isUsed: false })
      else this.#byteLength -= sizeOf(kept)
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
