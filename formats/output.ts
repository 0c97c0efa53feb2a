// Bytes to be sent: of a known length, from their beginning or from any place, so that whoever was cut off
// can go on without the rest being made again.
import type { TensorStream } from '../tensor/index.ts'
import { breaths } from './breath.ts'

/** A stretch of bytes: `length` of them from `offset`. */
export interface OutputRange {
  readonly offset: number
  readonly length: number
}

/** Bytes to send: `chunks` gives `byteLength` bytes or those of the range, and may be called again. */
export interface OutputBytes {
  readonly byteLength: number
  chunks(range?: OutputRange): AsyncIterable<Uint8Array>
}

/** A file to be written. */
export interface OutputFile extends OutputBytes {
  readonly name: string
}

/** A tensor to be written. */
export interface OutputTensor extends TensorStream {
  /** Names the bytes: those of two tensors with the same name of content are equal. */
  readonly content?: string | undefined
  /** The bytes of the range, read without those before it. */
  readRange?(range: OutputRange): AsyncIterable<Uint8Array>
}

/** The tensor's own bytes. */
export function outputOfTensor(tensor: OutputTensor): OutputBytes {
  return {
    byteLength: tensor.byteLength,
    chunks(range) {
      if (range === undefined) return tensor.chunks()
      return tensor.readRange?.(range) ?? cutOutput(tensor.chunks(), range)
    },
  }
}

/** Bytes that are made when they are asked for; `make` gives as many as announced. */
export function lazyOutput(byteLength: number, make: () => Promise<Uint8Array>): OutputBytes {
  return {
    byteLength,
    async *chunks(range) {
      const bytes = await make()
      yield range === undefined ? bytes : bytes.subarray(range.offset, range.offset + range.length)
    },
  }
}

/** Bytes at hand. They are given out as copies, so that whoever takes them can do so for good. */
export function outputOf(bytes: Uint8Array): OutputBytes {
  return {
    byteLength: bytes.byteLength,
    async *chunks({ offset, length } = { offset: 0, length: bytes.byteLength }) {
      yield bytes.slice(offset, offset + length)
    },
  }
}

/** Outputs one after another. Of a range, those that lie outside are not asked. */
export function joinedOutputs(parts: readonly OutputBytes[]): OutputBytes {
  const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0)
  return {
    byteLength,
    async *chunks(range) {
      const start = range?.offset ?? 0
      const end = range === undefined ? byteLength : start + range.length
      const breathe = breaths()
      let at = 0
      for (const part of parts) {
        const due = breathe()
        if (due !== undefined) await due
        const from = Math.max(0, start - at)
        const to = Math.min(part.byteLength, end - at)
        at += part.byteLength
        if (from >= to) continue
        const isWhole = from === 0 && to === part.byteLength
        yield* isWhole ? exactly(part) : part.chunks({ offset: from, length: to - from })
      }
    },
  }
}

/** All bytes of a part; throws where they are not as many as it announced. */
async function* exactly({ byteLength, chunks }: OutputBytes): AsyncGenerator<Uint8Array> {
  let length = 0
  for await (const chunk of chunks()) {
    length += chunk.byteLength
    yield chunk
  }
  if (length !== byteLength) throw new Error(`${byteLength} bytes were announced, ${length} came`)
}

/** The bytes of a range out of a stream that can only be read from its start. */
export async function* cutOutput(
  chunks: AsyncIterable<Uint8Array>,
  { offset, length }: OutputRange,
): AsyncGenerator<Uint8Array> {
  let skip = offset
  let left = length
  if (left === 0) return
  for await (const chunk of chunks) {
    const from = Math.min(skip, chunk.byteLength)
    const piece = chunk.subarray(from, Math.min(chunk.byteLength, from + left))
    skip -= from
    left -= piece.byteLength
    if (piece.byteLength > 0) yield piece
    if (left === 0) return
  }
}

const gatheredBytes = 64 * 1024

/** The same bytes with small pieces put together: a file of thousands of them takes as few writes. */
export async function* gathered(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let piece: Uint8Array | undefined
  let filled = 0
  for await (const chunk of chunks) {
    if (piece !== undefined && chunk.byteLength > piece.byteLength - filled) {
      yield piece.subarray(0, filled)
      piece = undefined
    }
    if (chunk.byteLength >= gatheredBytes / 2) {
      if (piece !== undefined) yield piece.subarray(0, filled)
      piece = undefined
      yield chunk
      continue
    }
    if (piece === undefined) {
      piece = new Uint8Array(gatheredBytes)
      filled = 0
    }
    piece.set(chunk, filled)
    filled += chunk.byteLength
  }
  if (piece !== undefined) yield piece.subarray(0, filled)
}
