// Bytes out: streams whose first piece has come before the status is sent, so that what goes wrong
// at the start is still a refusal, and small replies that need no stream at all.
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { status } from './errors.ts'
import { type ByteRange, parseRange } from './range.ts'

// Replies up to this length are sent in one piece.
const smallBytes = 64 * 1024

export interface BinaryReply {
  readonly contentType: string
  readonly byteLength: number
  /** All bytes, or those of the range. */
  chunks(range?: ByteRange): AsyncIterable<Uint8Array>
  /** What a browser should call the file. */
  readonly fileName?: string
}

/** Sends the bytes, or the range of them that the request asks for. */
export async function sendBytes(
  reply: FastifyReply,
  { contentType, byteLength, chunks, fileName }: BinaryReply,
): Promise<FastifyReply> {
  const range = parseRange(reply.request.headers.range, byteLength)
  const length = range?.length ?? byteLength
  const body = length <= smallBytes ? await gather(chunks(range)) : await begin(chunks(range))
  reply.header('content-type', contentType).header('accept-ranges', 'bytes')
  reply.header('content-length', length)
  if (fileName !== undefined) {
    reply.header('content-disposition', `attachment; filename="${fileName}"`)
  }
  if (range !== undefined) {
    const last = range.offset + range.length - 1
    reply.code(status.partialContent)
    reply.header('content-range', `bytes ${range.offset}-${last}/${byteLength}`)
  }
  return reply.send(body)
}

/** The bytes of a range out of a stream that can only be read from its start. */
export async function* cut(
  chunks: AsyncIterable<Uint8Array>,
  range: ByteRange | undefined,
): AsyncIterable<Uint8Array> {
  if (range === undefined) {
    yield* chunks
    return
  }
  let skip = range.offset
  let left = range.length
  for await (const chunk of chunks) {
    const from = Math.min(skip, chunk.byteLength)
    const piece = chunk.subarray(from, Math.min(chunk.byteLength, from + left))
    skip -= from
    left -= piece.byteLength
    if (piece.byteLength > 0) yield piece
    if (left === 0) return
  }
}

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const chunk of chunks) pieces.push(chunk)
  return Buffer.concat(pieces)
}

async function begin(chunks: AsyncIterable<Uint8Array>): Promise<Readable> {
  const iterator = chunks[Symbol.asyncIterator]()
  const first = await iterator.next()
  async function* rest(): AsyncIterable<Uint8Array> {
    try {
      if (first.done !== true) yield first.value
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
        yield next.value
      }
    } finally {
      await iterator.return?.()
    }
  }
  return Readable.from(rest(), { objectMode: false })
}
