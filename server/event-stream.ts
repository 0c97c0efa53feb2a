// Server-sent events: the text of each, and a reply that is a stream of them. It knows the form and
// what keeps such a stream alive on its way, and nothing of what the events say.
// Source: HTML Living Standard, "Server-sent events".
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/** Media type of a stream of events. */
export const eventStreamType = 'text/event-stream'

/** One event; without `data` it only moves the place from which a client resumes. */
export interface ServerSentEvent {
  /** From where a client resumes that got this event last. */
  readonly id?: string | undefined
  readonly event?: string | undefined
  /** Sent as JSON. */
  readonly data?: unknown
  /** For whoever reads along; clients leave it out. */
  readonly comment?: string | undefined
}

/** How long a client waits before it comes back. */
const retryMs = 2_000

const headers = {
  'content-type': `${eventStreamType}; charset=utf-8`,
  'cache-control': 'no-cache, no-transform',
  // A proxy that gathers replies would hold events back.
  'x-accel-buffering': 'no',
  // Nothing follows on this connection, and an open one would hold up the end of the server.
  connection: 'close',
} as const

/** Tells a HEAD request what a GET would be answered with. */
export function sendEventHeaders(reply: FastifyReply): FastifyReply {
  return reply.headers(headers).send()
}

/**
 * Sends events as they come; a client that does not read is not read for either. The signal ends
 * `events` when the client has gone.
 */
export function sendEvents(
  reply: FastifyReply,
  events: (signal: AbortSignal) => AsyncIterable<readonly ServerSentEvent[]>,
): FastifyReply {
  const gone = new AbortController()
  const source = events(gone.signal)
  reply.raw.once('close', () => gone.abort())
  // One piece ahead: what a slow client does not take must not pile up here.
  const stream = Readable.from(textsOf(source), { highWaterMark: 1 })
  return reply.headers(headers).send(stream)
}

async function* textsOf(events: AsyncIterable<readonly ServerSentEvent[]>): AsyncIterable<string> {
  yield `retry: ${retryMs}\n\n`
  for await (const some of events) yield some.map(textOf).join('')
}

/** The lines of one event. Names and ids hold no line breaks, and JSON has none either. */
function textOf({ id, event, data, comment }: ServerSentEvent): string {
  const lines = [
    ...(comment === undefined ? [] : [`: ${comment}`]),
    ...(id === undefined ? [] : [`id: ${id}`]),
    ...(event === undefined ? [] : [`event: ${event}`]),
    ...(data === undefined ? [] : [`data: ${JSON.stringify(data)}`]),
  ]
  return `${lines.join('\n')}\n\n`
}
