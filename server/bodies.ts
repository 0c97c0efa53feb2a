// Bodies before a handler sees them: JSON is parsed, every other known type stays a stream. A route
// says which types it takes; a type that is not among them, or a missing body, never gets further.
import { Readable } from 'node:stream'
import type { FastifyContextConfig, FastifyInstance, FastifyRequest } from 'fastify'
import { Refusal } from '../tensor/index.ts'
import { parseJson } from './json-reader.ts'
import { wrongType as mediaTypeRefused, refusals, tooLarge } from './routes/schemas.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Media types that the route takes; absent: JSON only, where it has a body schema. */
    consumes?: readonly string[]
    /** The route reads whatever comes, or nothing, and judges it itself. */
    readsAnyBody?: boolean
    /** Bytes that a body of the other types than JSON may have. */
    streamBytes?: number
    /** A missing body counts as `{}`. */
    bodyOptional?: boolean
  }
}

/** Media types of tensors in bodies. */
export const tensorTypes = {
  json: 'application/json',
  npy: 'application/x-npy',
  raw: 'application/octet-stream',
  safetensors: 'application/x-safetensors',
  protobuf: 'application/x-protobuf',
} as const

/** Media type of several arrays in NumPy's form. */
export const npzType = 'application/x-npz'

/** Media type of a checkpoint in a single SQLite file. */
export const sqliteType = 'application/vnd.sqlite3'

/** Media types of uploaded models: archives, whose kind is seen from their first bytes. */
export const archiveTypes: readonly string[] = [
  'application/x-tar',
  'application/gzip',
  'application/x-gzip',
  'application/x-tgz',
  'application/zip',
  tensorTypes.raw,
]

/** Media types of uploaded checkpoints. Archives are looked into; the others are what they say. */
export const checkpointTypes: readonly string[] = [
  tensorTypes.safetensors,
  npzType,
  sqliteType,
  ...archiveTypes,
]

const streamTypes = new Set([
  tensorTypes.npy,
  tensorTypes.raw,
  tensorTypes.protobuf,
  ...checkpointTypes,
])

/** Teaches the app the types, and to refuse what a route does not take (415, 400) before its handler. */
export function registerBodies(app: FastifyInstance): void {
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: string | Buffer) => {
      checkEncoding(request)
      if (bytes.length === 0 && request.routeOptions.config.bodyOptional) return {}
      return parseJson(bytes as Buffer)
    },
  )
  app.addContentTypeParser([...streamTypes], async (request: FastifyRequest, payload: unknown) => {
    checkEncoding(request)
    return payload
  })
  app.addHook('onRoute', (route) => {
    const takesBody = route.schema?.body !== undefined || route.config?.consumes !== undefined
    if (
      !takesBody ||
      route.config?.readsAnyBody ||
      route.method === 'GET' ||
      route.method === 'HEAD'
    )
      return
    const consumes = route.config?.consumes ?? [tensorTypes.json]
    const hooks = route.preValidation
    route.config = { ...route.config, consumes }
    route.schema = { ...route.schema, response: withRefusals(route.schema?.response) }
    route.preValidation = [
      async (request) => checkBody(request, consumes, route.config),
      ...(hooks === undefined ? [] : Array.isArray(hooks) ? hooks : [hooks]),
    ]
  })
}

/** The replies of a route with those that any body may be refused with. */
function withRefusals(replies: unknown): unknown {
  return { ...refusals('INVALID_ARGUMENT', mediaTypeRefused, tooLarge), ...(replies as object) }
}

function checkBody(
  request: FastifyRequest,
  consumes: readonly string[],
  { bodyOptional = false, streamBytes }: FastifyContextConfig = {},
): void {
  const type = essenceOf(request.headers['content-type'])
  if (request.body === undefined) {
    if (type !== undefined || !bodyOptional) throw missingBody(consumes)
    request.body = {}
    return
  }
  if (type === undefined || !consumes.includes(type)) throw wrongType(type, consumes)
  const announced = Number(request.headers['content-length'] ?? 0)
  if (request.body instanceof Readable && streamBytes !== undefined && announced > streamBytes) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'body/too-large',
      `The body has ${announced} bytes; this call takes at most ${streamBytes}.`,
      { fix: 'See GET /v1/limits.' },
    )
  }
}

/** The bytes of a body that is a stream. Leaving them unread does not end the connection. */
export function streamOf(request: FastifyRequest): AsyncIterable<Uint8Array> {
  return (request.body as Readable).iterator({ destroyOnReturn: false })
}

/** Lets what is left of a refused body run out, so that the connection can go on. */
export function drain(request: FastifyRequest): void {
  if (!request.raw.readableEnded && !request.raw.destroyed) request.raw.resume()
}

function checkEncoding(request: FastifyRequest): void {
  const encoding = request.headers['content-encoding']
  if (encoding === undefined || encoding === 'identity') return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'http/unsupported-media-type',
    `Bodies are not taken with the content-encoding ${encoding}.`,
    { fix: 'Send the body as it is; archives may be compressed themselves (.tar.gz, .zip).' },
  )
}

/** The media type without its parameters, in lower case. */
export function essenceOf(contentType: string | undefined): string | undefined {
  return contentType?.split(';')[0].trim().toLowerCase()
}

/** INVALID_ARGUMENT `http/unsupported-media-type`, naming what the route takes. */
export function wrongType(type: string | undefined, consumes: readonly string[]): Refusal {
  const given = type === undefined || type === '' ? 'none was given' : `${type} was given`
  return new Refusal(
    'INVALID_ARGUMENT',
    'http/unsupported-media-type',
    `The content-type can be ${consumes.join(', ')}; ${given}.`,
    { fix: `With curl: -H 'content-type: ${consumes[0]}'.` },
  )
}

function missingBody(consumes: readonly string[]): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'http/empty-body',
    `The body is missing; ${consumes.join(', ')} is wanted.`,
  )
}
