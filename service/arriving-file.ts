// A file while it arrives: it is read once, from its start to its end, as fast as it comes. What can be
// taken in so never waits on a disk first.
import { type ByteSource, freeMemory, Refusal } from '../tensor/index.ts'

export interface ArrivingFile {
  /** The first `length` bytes, or as many as there are; they are still to be read. */
  peek(length: number): Promise<Uint8Array>
  /** What was not read yet. The chunks are the reader's own. */
  rest(): AsyncIterable<Uint8Array>
  /**
   * The file as a source of `byteLength` bytes whose reads only go forward: what lies before the last one
   * is gone, and what lies between is passed over. Chunks are freed as they have been read.
   */
  forward(byteLength: number): ByteSource
  /** Reads no more, so that others can have what is left. */
  end(): Promise<void>
}

/** A file whose bytes are `chunks`, which are nobody else's. */
export function arrivingFile(chunks: AsyncIterable<Uint8Array>): ArrivingFile {
  const iterator = chunks[Symbol.asyncIterator]()
  /** What came and was not read, in the chunk that it came in. */
  let waiting: Uint8Array | undefined
  let whole: Uint8Array | undefined
  let position = 0

  async function next(): Promise<Uint8Array | undefined> {
    while (waiting === undefined || waiting.byteLength === 0) {
      if (whole !== undefined) freeMemory(whole)
      whole = undefined
      const { done, value } = await iterator.next()
      if (done) return undefined
      waiting = value
      whole = value
    }
    return waiting
  }

  async function* take(length: number): AsyncGenerator<Uint8Array> {
    let left = length
    while (left > 0) {
      const chunk = await next()
      if (chunk === undefined) throw truncated(position, left)
      const piece = chunk.subarray(0, left)
      waiting = chunk.subarray(piece.byteLength)
      left -= piece.byteLength
      position += piece.byteLength
      yield piece
    }
  }

  async function* from(offset: number, length: number): AsyncGenerator<Uint8Array> {
    if (offset < position) throw new Error(`byte ${offset} of a file was read before`)
    for await (const _ of take(offset - position));
    yield* take(length)
  }

  return {
    async peek(length) {
      let seen = (await next()) ?? new Uint8Array()
      while (seen.byteLength < length) {
        const { done, value } = await iterator.next()
        if (done) break
        seen = new Uint8Array(Buffer.concat([seen, value]))
        waiting = seen
        whole = undefined
      }
      return seen.slice(0, length)
    },
    async *rest() {
      if (waiting !== undefined && waiting.byteLength > 0) yield waiting
      waiting = undefined
      whole = undefined
      for (;;) {
        const { done, value } = await iterator.next()
        if (done) return
        yield value
      }
    },
    forward: (byteLength) => ({
      byteLength,
      async read(offset, length) {
        const bytes = new Uint8Array(length)
        let filled = 0
        for await (const piece of from(offset, length)) {
          bytes.set(piece, filled)
          filled += piece.byteLength
        }
        return bytes
      },
      stream: from,
    }),
    async end() {
      await iterator.return?.()
    },
  }
}

function truncated(position: number, left: number): Refusal {
  return new Refusal(
    'DATA_LOSS',
    'file/truncated',
    `The file ends after ${position} bytes; ${left} more were to come.`,
  )
}
