// Contents on their way in: streams checked and cut to size, and what a staged value is known by. It
// knows neither threads nor where bytes are kept.
import { createHash, hash } from 'node:crypto'
import { crc32c } from '@node-rs/crc32'
import {
  byteLengthOf,
  elementCountOf,
  formatShape,
  isNumeric,
  Refusal,
  type TensorStream,
} from '../../tensor/index.ts'
import type { StagedContent } from './messages.ts'
import type { SmallMemory } from './small-memory.ts'

/** A value as it comes in: its name is a matter of the commit. */
export type Incoming = Omit<TensorStream, 'name'>

/** Refuses (INVALID_ARGUMENT `tensor/size-mismatch`) a length that the type and shape do not make. */
export function checkSize({ dtype, shape, byteLength }: Incoming): void {
  const count = elementCountOf(shape)
  const wanted = isNumeric(dtype) ? count * byteLengthOf(dtype) : byteLength
  if (byteLength === wanted && Number.isSafeInteger(byteLength) && byteLength >= 0) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'tensor/size-mismatch',
    `A ${dtype} tensor of shape ${formatShape(shape)} takes ${wanted} bytes; ${byteLength} were given.`,
  )
}

function wrongLength(tensor: Incoming, seen: string): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'tensor/size-mismatch',
    `A tensor of ${tensor.byteLength} bytes was announced; ${seen} came.`,
  )
}

/**
 * Cuts a stream into pieces of `pieceByteLength` (the last may be shorter), each in memory from
 * `allocate` that is the taker's from then on.
 */
export async function* piecesOf(
  tensor: Incoming,
  pieceByteLength: number,
  allocate: (byteLength: number) => ArrayBuffer,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let remaining = tensor.byteLength
  let piece: Uint8Array<ArrayBuffer> | undefined
  let filled = 0
  for await (const bytes of tensor.chunks()) {
    let offset = 0
    while (offset < bytes.byteLength) {
      if (remaining === 0) throw wrongLength(tensor, 'more')
      if (piece === undefined) {
        const wanted = Math.min(pieceByteLength, remaining)
        piece = new Uint8Array(allocate(wanted), 0, wanted)
      }
      const length = Math.min(bytes.byteLength - offset, piece.byteLength - filled)
      piece.set(bytes.subarray(offset, offset + length), filled)
      filled += length
      offset += length
      remaining -= length
      if (filled < piece.byteLength) continue
      yield piece
      piece = undefined
      filled = 0
    }
  }
  if (remaining > 0) throw wrongLength(tensor, `${tensor.byteLength - remaining}`)
}

/** The whole of a small tensor in memory from `memory`. */
export async function smallContentOf(tensor: Incoming, memory: SmallMemory): Promise<Uint8Array> {
  const content = memory.take(tensor.byteLength)
  let filled = 0
  for await (const bytes of tensor.chunks()) {
    if (bytes.byteLength > content.byteLength - filled) throw wrongLength(tensor, 'more')
    content.set(bytes, filled)
    filled += bytes.byteLength
  }
  if (filled < content.byteLength) throw wrongLength(tensor, `${filled}`)
  return content
}

/** What a value is, beside its bytes. */
type Header = Pick<Incoming, 'dtype' | 'shape' | 'byteLength'>

/** A value that lies inline. */
export function inlineContent(
  { dtype, shape, byteLength }: Header,
  bytes: Uint8Array,
): StagedContent {
  const digest = hash('sha256', bytes, 'buffer')
  const content = { kind: 'inline', crc32c: crc32c(bytes), bytes } as const
  return { dtype, shape: [...shape], byteLength, digest, content }
}

/** A value in chunks of those digests. */
export function chunkedContent(
  { dtype, shape, byteLength }: Header,
  chunks: readonly Uint8Array[],
): StagedContent {
  const digest = chunks.length === 1 ? chunks[0] : digestOfChunks(chunks)
  return { dtype, shape: [...shape], byteLength, digest, content: { kind: 'chunked', chunks } }
}

/** The digest of content in several chunks: SHA-256 of their digests. */
function digestOfChunks(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = createHash('sha256')
  for (const digest of chunks) whole.update(digest)
  return new Uint8Array(whole.digest())
}
