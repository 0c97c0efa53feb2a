// Errors on their way out: the one table from code to HTTP status, with its exceptions by reason,
// and the two body forms (problem details, and TensorFlow Serving's). Nothing else knows a status.
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { type Code, Refusal } from '../tensor/index.ts'
import { RangeRefusal } from './range.ts'

/** Statuses of replies that are no refusals. */
export const status = {
  ok: 200,
  created: 201,
  accepted: 202,
  noContent: 204,
  partialContent: 206,
  found: 302,
  notModified: 304,
} as const

/** Status of a readiness check that fails. */
export const unreadyStatus = 503

interface CodeRow {
  readonly status: number
  /** TensorFlow Serving's status for the code (tensorflow_serving/model_servers/http_rest_api_util.cc). */
  readonly serving: number
  readonly title: string
}

const codes: Readonly<Record<Code, CodeRow>> = {
  INVALID_ARGUMENT: { status: 400, serving: 400, title: 'Invalid argument' },
  UNAUTHENTICATED: { status: 401, serving: 401, title: 'Not authenticated' },
  PERMISSION_DENIED: { status: 403, serving: 403, title: 'Not allowed' },
  NOT_FOUND: { status: 404, serving: 404, title: 'Not found' },
  ALREADY_EXISTS: { status: 409, serving: 409, title: 'Already exists' },
  ABORTED: { status: 409, serving: 409, title: 'Aborted' },
  FAILED_PRECONDITION: { status: 409, serving: 400, title: 'Precondition failed' },
  OUT_OF_RANGE: { status: 400, serving: 400, title: 'Out of range' },
  RESOURCE_EXHAUSTED: { status: 429, serving: 429, title: 'Too much' },
  DATA_LOSS: { status: 422, serving: 500, title: 'Damaged data' },
  UNIMPLEMENTED: { status: 501, serving: 501, title: 'Not implemented' },
  INTERNAL: { status: 500, serving: 500, title: 'Internal error' },
  UNKNOWN: { status: 500, serving: 500, title: 'Internal error' },
  CANCELLED: { status: 499, serving: 499, title: 'Cancelled' },
  DEADLINE_EXCEEDED: { status: 504, serving: 504, title: 'Took too long' },
  UNAVAILABLE: { status: 503, serving: 503, title: 'Not available now' },
}

/** Reasons (or whole areas: `area/`) whose status differs from their code's. */
const exceptions: Readonly<Partial<Record<Code, Readonly<Record<string, number>>>>> = {
  // 422: the body parses, and cannot be.
  INVALID_ARGUMENT: {
    'http/not-acceptable': 406,
    'http/unsupported-media-type': 415,
    'idempotency/mismatch': 422,
    'initializer/': 422,
    'partition/': 422,
    'variable/': 422,
    'checkpoint/': 422,
    'dtype/': 422,
    'shape/': 422,
    'tensor/': 422,
    'json/': 422,
    'npy/': 422,
    'npz/': 422,
    'safetensors/': 422,
    'bundle/': 422,
    'archive/': 422,
    'tar/': 422,
    'zip/': 422,
    'gzip/': 422,
    'table/': 422,
    'wire/': 422,
    'proto/': 422,
    'saved-model/': 422,
    'graph/': 422,
    'op/': 422,
    'run/': 422,
    'feed/': 422,
    'fetch/': 422,
    'node/': 422,
    'model/': 422,
    'signature/': 422,
  },
  NOT_FOUND: {
    // Something that a body should hold and does not.
    'bundle/not-found': 422,
    'saved-model/not-found': 422,
    'checkpoint/not-found': 422,
  },
  FAILED_PRECONDITION: {
    'variable/version-mismatch': 412,
    'label/mismatch': 412,
    'http/if-match-needed': 428,
  },
  OUT_OF_RANGE: { 'http/range': 416 },
  RESOURCE_EXHAUSTED: {
    'http/headers-too-large': 431,
    'body/': 413,
    'collection/': 413,
    'json/': 413,
    'tensor/': 413,
    'file/': 413,
    'archive/': 413,
    'graph/': 413,
    'bundle/': 413,
    'safetensors/': 413,
    'npy/': 413,
    'tensor-proto/': 413,
    'store/': 507,
    'engine/': 507,
    'device/': 507,
  },
  DATA_LOSS: { 'store/': 500 },
  DEADLINE_EXCEEDED: { 'http/request-timeout': 408 },
}

const retryAfterSeconds = 1

/** The HTTP status of a code and reason. */
export function statusOf(code: Code, reason: string): number {
  const special = exceptions[code] ?? {}
  const area = `${reason.slice(0, reason.indexOf('/'))}/`
  return special[reason] ?? special[area] ?? codes[code].status
}

/** Statuses that TensorFlow Serving's own paths answer with, beside the good ones. */
export const servingStatuses: readonly number[] = [
  ...new Set([
    codes.INVALID_ARGUMENT.serving,
    codes.NOT_FOUND.serving,
    codes.RESOURCE_EXHAUSTED.serving,
    codes.INTERNAL.serving,
    codes.UNIMPLEMENTED.serving,
    codes.UNAVAILABLE.serving,
    codes.DEADLINE_EXCEEDED.serving,
  ]),
]

/** A problem of RFC 9457. */
export interface ProblemBody {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly instance: string
  readonly code: Code
  readonly reason: string
  readonly fix?: string
  readonly names?: Refusal['names']
}

/** The problem that says what a refusal says. */
export function problemOf(refusal: Refusal, instance: string): ProblemBody {
  const { code, reason, fix, names } = refusal
  return {
    type: `urn:holdfast:${reason}`,
    title: codes[code].title,
    status: statusOf(code, reason),
    detail: refusal.message,
    instance,
    code,
    reason,
    ...(fix === undefined ? {} : { fix }),
    ...(Object.keys(names).length === 0 ? {} : { names }),
  }
}

// What fastify itself refuses, by its error code.
const fastifyRefusals: Readonly<Record<string, readonly [Code, string, string]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'INVALID_ARGUMENT',
    'http/unsupported-media-type',
    'This route does not take that content type.',
  ],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['INVALID_ARGUMENT', 'http/empty-body', 'The body is empty.'],
  FST_ERR_CTP_BODY_TOO_LARGE: [
    'RESOURCE_EXHAUSTED',
    'body/too-large',
    'The body is larger than this route takes. Large tensors go as binary bodies: application/octet-stream, application/x-npy or application/x-safetensors.',
  ],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    'INVALID_ARGUMENT',
    'http/content-length',
    'The body is not as long as content-length says.',
  ],
  FST_ERR_BAD_URL: ['INVALID_ARGUMENT', 'http/bad-url', 'The path is not a valid URL.'],
  FST_ERR_MAX_PARAM_LENGTH: [
    'INVALID_ARGUMENT',
    'name/invalid',
    'The name in the path is too long.',
  ],
  FST_ERR_ROUTE_MISSING_CONTENT_TYPE: [
    'NOT_FOUND',
    'http/unknown-route',
    'There is nothing at this path for this method.',
  ],
  FST_ERR_NOT_FOUND: ['NOT_FOUND', 'http/unknown-route', 'There is nothing at this path.'],
  FST_UNDER_PRESSURE: [
    'UNAVAILABLE',
    'server/overloaded',
    'The server has more to do than it can; try again.',
  ],
}

/** Any error as a refusal: ours as it is, fastify's by the table, the rest as INTERNAL without text. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  if (!(error instanceof Error)) return internal(error)
  const { code, validation, validationContext } = error as FastifyError
  if (validation !== undefined || code === 'FST_ERR_VALIDATION') {
    const place = validationContext ?? 'request'
    return new Refusal('INVALID_ARGUMENT', `http/invalid-${place}`, error.message)
  }
  const known = code === undefined ? undefined : fastifyRefusals[code]
  if (known !== undefined) {
    return new Refusal(known[0], known[1], known[2] || error.message, { cause: error })
  }
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE') {
    return new Refusal('CANCELLED', 'http/aborted', 'The client went away.', { cause: error })
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new Refusal('RESOURCE_EXHAUSTED', 'store/full', 'The disk is full.', { cause: error })
  }
  return internal(error)
}

function internal(cause: unknown): Refusal {
  return new Refusal('INTERNAL', 'internal', 'An internal error occurred; the log has more.', {
    cause,
  })
}

/** Answers with a problem. Internal errors are logged with their cause, which the client never sees. */
export function replyWithProblem(error: unknown, request: FastifyRequest, reply: FastifyReply) {
  const refusal = refusalOf(error)
  const problem = problemOf(refusal, request.originalUrl)
  if (refusal instanceof RangeRefusal)
    reply.header('content-range', `bytes */${refusal.byteLength}`)
  if (refusal.code === 'INTERNAL')
    request.log.error({ err: refusal.cause ?? error }, 'internal error')
  if (refusal.code === 'UNAVAILABLE') reply.header('retry-after', retryAfterSeconds)
  return reply
    .code(problem.status)
    .header('content-type', 'application/problem+json; charset=utf-8')
    .send(JSON.stringify(problem))
}

/** Answers as TensorFlow Serving does: its status for the code and `{ "error": ".." }`. */
export function replyWithServingError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  const refusal = refusalOf(error)
  if (refusal.code === 'INTERNAL')
    request.log.error({ err: refusal.cause ?? error }, 'internal error')
  if (refusal.code === 'UNAVAILABLE') reply.header('retry-after', retryAfterSeconds)
  const special = statusOf(refusal.code, refusal.reason)
  const isHttp = refusal.reason.startsWith('http/') || refusal.reason.startsWith('body/')
  return reply
    .code(isHttp ? special : codes[refusal.code].serving)
    .header('content-type', 'application/json')
    .send(`${JSON.stringify({ error: refusal.message }, null, 4)}\n`)
}
