// Bytes out: streams whose first piece has come before the status is sent, so that what goes wrong
// at the start is still a refusal, and small replies that need no stream at all.
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { ByteRange } from '../service/index.ts'
import { freeMemory } from '../tensor/index.ts'
import { rangeCounts } from './conditions.ts'
import { status } from './errors.ts'
import { parseRange } from './range.ts'

// Replies up to this length are sent in one piece.
const smallBytes = 64 * 1024

export interface BinaryReply {
  readonly contentType: string
  readonly byteLength: number
  readonly etag?: string | undefined
  /** All bytes, or those of the range. */
  chunks(range?: ByteRange): AsyncIterable<Uint8Array>
  /** All bytes in one piece; asked for where they are few. */
  whole?(): Promise<Uint8Array>
  /** The memory of the pieces is nobody else's, so that it can be freed as soon as they are sent. */
  readonly isOwned?: boolean
  /** What a browser should call the file. */
  readonly fileName?: string
}

/** Sends the bytes, or the range of them that the request asks for. A HEAD reads none of them. */
export async function sendBytes(
  reply: FastifyReply,
  { contentType, byteLength, etag, chunks, whole, isOwned = false, fileName }: BinaryReply,
): Promise<FastifyReply> {
  const { method, headers } = reply.request
  reply.header('content-type', contentType).header('accept-ranges', 'bytes')
  if (fileName !== undefined) {
    reply.header('content-disposition', `attachment; filename="${fileName}"`)
  }
  if (method === 'HEAD') {
    reply.header('content-length', byteLength)
    return reply.send(Readable.from([]))
  }
  const isRanged =
    headers.range !== undefined && rangeCounts(headers['if-range'] as string | undefined, etag)
  if (!isRanged && byteLength <= smallBytes && whole !== undefined) {
    const bytes = await whole()
    return reply.send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  }
  const range = isRanged ? parseRange(headers.range, byteLength) : undefined
  const length = range?.length ?? byteLength
  const body =
    length <= smallBytes
      ? await gather(chunks(range))
      : await begin(chunks(range), isOwned ? reply.raw : undefined)
  reply.header('content-length', length)
  if (range !== undefined) {
    const last = range.offset + range.length - 1
    reply.code(status.partialContent)
    reply.header('content-range', `bytes ${range.offset}-${last}/${byteLength}`)
  }
  return reply.send(body)
}

/**
 * Sends bytes that are in memory and do not change, with `head` (names and values in turn) and the headers
 * that the reply has. It passes by fastify's own sending, which costs a fifth of so small a request;
 * hooks of `onSend` do not see it.
 */
export function sendAtOnce(reply: FastifyReply, bytes: Uint8Array, head: string[]): FastifyReply {
  const early = reply.getHeaders()
  for (const name in early) head.push(name, String(early[name]))
  head.push('content-length', String(bytes.byteLength))
  reply.hijack()
  reply.raw.writeHead(status.ok, head)
  reply.raw.end(bytes)
  return reply
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

/** A stream of the chunks; the memory of those that `freedAfter` has sent is freed at once. */
async function begin(
  chunks: AsyncIterable<Uint8Array>,
  freedAfter: ServerResponse | undefined,
): Promise<Readable> {
  const iterator = chunks[Symbol.asyncIterator]()
  let next = await iterator.next()
  const free = freedAfter === undefined ? undefined : freeing()
  async function* rest(): AsyncIterable<Uint8Array> {
    try {
      for (; next.done !== true; next = await iterator.next()) {
        yield next.value
        const waiting = stream.readableLength + (freedAfter?.writableLength ?? 0)
        free?.(next.value, waiting)
      }
    } finally {
      await iterator.return?.()
    }
  }
  const stream = Readable.from(rest(), { objectMode: false })
  return stream
}

/**
 * Frees pieces in the order in which they are given, each once all but the `waiting` bytes at the
 * end have gone out: otherwise megabytes pile up until memory is next collected.
 */
function freeing(): (piece: Uint8Array, waiting: number) => void {
  const given: { readonly piece: Uint8Array; readonly end: number }[] = []
  let end = 0
  return (piece, waiting) => {
    end += piece.byteLength
    given.push({ piece, end })
    while (given.length > 0 && given[0].end <= end - waiting) {
      freeMemory((given.shift() as { readonly piece: Uint8Array }).piece)
    }
  }
}

/** Sends JSON that is text already. */
export function sendJson(reply: FastifyReply, text: string): FastifyReply {
  return reply.header('content-type', 'application/json; charset=utf-8').send(text)
}

/** A serializer for replies that are text or bytes already. */
export const asIs = () => (text: unknown) => String(text)
