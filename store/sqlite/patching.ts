// Stretches that replace bytes of a value, sorted into the chunks that they touch. It knows where
// bytes go, and not where chunks come from.
import { Refusal } from '../../tensor/index.ts'
import { chunkByteLength } from './limits.ts'

/** Bytes that replace those of a value from `offset` on. */
export interface Patch {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** A chunk that stretches touch: its new bytes, but for `gaps`, which keep what the base has. */
export interface PatchedChunk {
  readonly ordinal: number
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly gaps: readonly { readonly begin: number; readonly end: number }[]
}

function checkPatch({ offset, bytes }: Patch, seenEnd: number, byteLength: number): void {
  const end = offset + bytes.byteLength
  if (!Number.isSafeInteger(offset) || offset < 0 || end > byteLength) {
    throw new Refusal(
      'OUT_OF_RANGE',
      'value/range',
      `The value has ${byteLength} bytes; ${bytes.byteLength} bytes from ${offset} were to be replaced.`,
    )
  }
  if (offset >= seenEnd) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'value/patch-order',
    `Bytes from ${offset} were to be replaced after those up to ${seenEnd}: stretches ascend and do not overlap.`,
  )
}

/** A chunk being filled. */
class OpenChunk {
  readonly ordinal: number
  readonly #bytes: Uint8Array<ArrayBuffer>
  readonly #gaps: { begin: number; end: number }[] = []
  #filled = 0

  constructor(ordinal: number, bytes: Uint8Array<ArrayBuffer>) {
    this.ordinal = ordinal
    this.#bytes = bytes
  }

  set(begin: number, bytes: Uint8Array): void {
    if (begin > this.#filled) this.#gaps.push({ begin: this.#filled, end: begin })
    this.#bytes.set(bytes, begin)
    this.#filled = begin + bytes.byteLength
  }

  close(): PatchedChunk {
    const end = this.#bytes.byteLength
    if (this.#filled < end) this.#gaps.push({ begin: this.#filled, end })
    return { ordinal: this.ordinal, bytes: this.#bytes, gaps: this.#gaps }
  }
}

/**
 * The chunks that stretches touch, in order. `allocate`: memory for a chunk, the taker's from then on.
 * Refuses stretches out of order or overlapping (INVALID_ARGUMENT), or outside (OUT_OF_RANGE).
 */
export async function* patchedChunks(
  patches: AsyncIterable<Patch>,
  byteLength: number,
  allocate: () => ArrayBuffer,
): AsyncGenerator<PatchedChunk> {
  let open: OpenChunk | undefined
  let seenEnd = 0
  for await (const patch of patches) {
    checkPatch(patch, seenEnd, byteLength)
    const { offset, bytes } = patch
    seenEnd = offset + bytes.byteLength
    for (let taken = 0; taken < bytes.byteLength; ) {
      const ordinal = Math.floor((offset + taken) / chunkByteLength)
      const start = ordinal * chunkByteLength
      const length = Math.min(chunkByteLength, byteLength - start)
      if (open !== undefined && open.ordinal !== ordinal) {
        yield open.close()
        open = undefined
      }
      open ??= new OpenChunk(ordinal, new Uint8Array(allocate(), 0, length))
      const begin = offset + taken - start
      const part = bytes.subarray(taken, taken + length - begin)
      open.set(begin, part)
      taken += part.byteLength
    }
  }
  if (open !== undefined) yield open.close()
}
