// Byte sources made of other things, and reading them piece by piece.
import { type ByteSource, Refusal } from '../tensor/index.ts'

/** Bytes read from a source at a time where it is streamed. */
export const chunkLength = 1024 * 1024

/** A source over bytes in memory. Reads are views. */
export function byteSourceOf(bytes: Uint8Array): ByteSource {
  return {
    byteLength: bytes.byteLength,
    async read(offset, length) {
      checkRange(offset, length, bytes.byteLength)
      return bytes.subarray(offset, offset + length)
    },
  }
}

/** `length` bytes of `source` from `offset`, as a source of their own. */
export function sliceSource(source: ByteSource, offset: number, length: number): ByteSource {
  checkRange(offset, length, source.byteLength)
  return {
    byteLength: length,
    async read(innerOffset, innerLength) {
      checkRange(innerOffset, innerLength, length)
      return source.read(offset + innerOffset, innerLength)
    },
    stream(innerOffset, innerLength) {
      checkRange(innerOffset, innerLength, length)
      return streamRange(source, offset + innerOffset, innerLength)
    },
  }
}

function checkRange(offset: number, length: number, byteLength: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= byteLength) return
  throw new Refusal(
    'DATA_LOSS',
    'file/truncated',
    `Bytes ${offset} to ${offset + length} were wanted of a file of ${byteLength} bytes.`,
  )
}

/** All bytes of a source; refuses (RESOURCE_EXHAUSTED, `file/too-large`) more than `maxLength`. */
export async function readAll(
  source: ByteSource,
  maxLength: number,
  what: string,
): Promise<Uint8Array> {
  if (source.byteLength > maxLength) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'file/too-large',
      `${what} has ${source.byteLength} bytes; at most ${maxLength} are read.`,
    )
  }
  return source.read(0, source.byteLength)
}

/**
 * The bytes from `offset` on, `length` of them, in chunks of at most {@link chunkLength}. A chunk is to
 * be used before the next is asked for: its memory may be used again.
 */
export async function* streamRange(
  source: ByteSource,
  offset: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  if (source.stream !== undefined) {
    yield* source.stream(offset, length)
    return
  }
  let at = offset
  const end = offset + length
  while (at < end) {
    const chunk = await source.read(at, Math.min(chunkLength, end - at))
    yield chunk
    at += chunk.byteLength
  }
}

/** The bytes of a stream in one array of `byteLength` bytes; the caller vouches for that length. */
export async function collect(
  chunks: AsyncIterable<Uint8Array>,
  byteLength: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteLength)
  let offset = 0
  for await (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.byteLength
  }
  if (offset !== byteLength) {
    throw new Refusal(
      'DATA_LOSS',
      'file/truncated',
      `A stream of ${byteLength} bytes was announced; ${offset} came.`,
    )
  }
  return bytes
}
