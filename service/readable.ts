// One readable form for every value that can be sent, sliced, counted or written into a file: a stored
// value, a part of one, a checkpoint's tensor, the whole of a partitioned variable. It knows bytes and
// their type; where they come from is whoever makes one's affair.
import {
  elementCountOf,
  isNumeric,
  numericTensor,
  packStrings,
  Refusal,
  type Tensor,
  type TensorStream,
  type TensorType,
  unpackStrings,
} from '../tensor/index.ts'

/** A stretch of bytes: `length` of them from `offset`. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** A value whose bytes can be read: row-major little-endian, strings in the form of `packStrings`. */
export interface ReadableValue extends TensorType {
  readonly byteLength: number
  /**
   * Names the bytes: where dtype, shape and digest of two values are equal, so are their bytes. Without
   * blanks and quotes, so that it can stand in an etag.
   */
  readonly digest: string
  /** The bytes, or those of the range, as pieces whose memory is the reader's own. Reads no more than it needs. */
  read(range?: ByteRange): AsyncIterable<Uint8Array>
  /** All bytes in one piece, the reader's own; for values known to be small enough to hold. */
  bytes(): Promise<Uint8Array>
  /** All bytes, where they are in memory already. Shared: not to be changed or given away. */
  atHand?(): Uint8Array | undefined
}

/** The whole tensor; for values known to be small enough to hold. */
export async function tensorOfReadable(value: ReadableValue): Promise<Tensor> {
  const { dtype, shape } = value
  const bytes = await value.bytes()
  return isNumeric(dtype) ? numericTensor(dtype, shape, bytes) : unpackStrings(shape, bytes)
}

/** A tensor at hand as a readable value. Without a digest its bytes have no name. */
export function readableOfTensor(tensor: Tensor, digest = ''): ReadableValue {
  const { dtype, shape } = tensor
  const all = tensor.dtype === 'string' ? packStrings(tensor) : tensor.bytes
  const byteLength = all.byteLength
  const copy = (start: number, end: number) => new Uint8Array(all.subarray(start, end))
  return {
    dtype,
    shape,
    byteLength,
    digest,
    async *read({ offset, length } = { offset: 0, length: byteLength }) {
      if (length > 0) yield copy(offset, offset + length)
    },
    bytes: async () => copy(0, byteLength),
  }
}

/** The value under a name, to be written into a file. */
export function streamOfReadable(name: string, value: ReadableValue): TensorStream {
  const { dtype, shape, byteLength } = value
  return { name, dtype, shape, byteLength, chunks: () => value.read() }
}

/** All bytes of a stream that gives `byteLength` of them, in one piece. */
export async function gatherBytes(
  pieces: AsyncIterable<Uint8Array>,
  byteLength: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteLength)
  let offset = 0
  for await (const piece of pieces) {
    bytes.set(piece, offset)
    offset += piece.byteLength
  }
  if (offset !== byteLength) throw new Error(`${byteLength} bytes were promised, ${offset} came`)
  return bytes
}

/** Refuses (RESOURCE_EXHAUSTED `tensor/too-large`) a value that is held at once for `purpose`. */
export function checkHeld(value: ReadableValue, maxBytes: number, purpose: string): void {
  if (value.byteLength <= maxBytes) return
  const count = elementCountOf(value.shape)
  throw new Refusal(
    'RESOURCE_EXHAUSTED',
    'tensor/too-large',
    `${purpose} takes a value of at most ${maxBytes} bytes; this one has ${value.byteLength} (${count} elements).`,
    { fix: 'Ask for a part of it with ?slice=, or for application/octet-stream.' },
  )
}
