// Pieces of route schemas that many routes use: paths, paging, refusals, write headers.
import { type TSchema, Type } from 'typebox'
import { Problem } from '../../openapi/index.ts'
import type { PageRequest } from '../../service/index.ts'
import { type Code, Refusal } from '../../tensor/index.ts'
import { statusOf } from '../errors.ts'

/** `?container=`; the empty container unless given. */
export const containerQuery = {
  container: Type.Optional(
    Type.String({ description: 'The container; the default one is the empty string.' }),
  ),
}

/** `?limit=` and `?cursor=` of a list. */
export const pageQuery = {
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1000,
      description: 'Entries of a page; 100 unless given.',
    }),
  ),
  cursor: Type.Optional(
    Type.String({ description: 'The cursor of the page before; the first page has none.' }),
  ),
}

const defaultPageEntries = 100

/** The page that a query asks for. */
export function pageOf(query: { limit?: number; cursor?: string }): PageRequest {
  return { limit: query.limit ?? defaultPageEntries, cursor: query.cursor }
}

/** Path parameter that is a TensorFlow name. */
export const nameParams = Type.Object({
  name: Type.String({ description: 'A full name; may hold slashes.' }),
})

/** Headers of a write. */
export const writeHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'Etags of which the variable must have one; 412 otherwise.' }),
  ),
  'idempotency-key': Type.Optional(
    Type.String({ description: 'Sent again with the same key, the request is done only once.' }),
  ),
})

/** Header of a change without a condition. */
export const onceHeaders = Type.Object({
  'idempotency-key': writeHeaders.properties['idempotency-key'],
})

/** A refusal that a route documents: a code, or a code with a reason that has its own status. */
export type Documented = Code | readonly [Code, string]

/** Refusals whose status is not their code's. */
export const unfit: Documented = ['INVALID_ARGUMENT', 'tensor/']
export const wrongType: Documented = ['INVALID_ARGUMENT', 'http/unsupported-media-type']
export const notAcceptable: Documented = ['INVALID_ARGUMENT', 'http/not-acceptable']
export const otherRequest: Documented = ['INVALID_ARGUMENT', 'idempotency/mismatch']
export const staleVersion: Documented = ['FAILED_PRECONDITION', 'variable/version-mismatch']
export const badRange: Documented = ['OUT_OF_RANGE', 'http/range']
export const tooLarge: Documented = ['RESOURCE_EXHAUSTED', 'body/too-large']
export const full: Documented = ['RESOURCE_EXHAUSTED', 'store/full']

/** Replies for these refusals, as problems. Every route may also answer INTERNAL and UNAVAILABLE. */
export function refusals(...documented: readonly Documented[]): Record<number, TSchema> {
  const all = [...documented, 'INTERNAL', 'UNAVAILABLE'] as const
  const statuses = all.map((one) =>
    typeof one === 'string' ? statusOf(one, '') : statusOf(...one),
  )
  return Object.fromEntries(statuses.map((status) => [status, problemReply]))
}

const problemReply = {
  description: 'Refused',
  content: { 'application/problem+json': { schema: Problem } },
} as unknown as TSchema

/** A reply without a body. */
export function emptyReply(description: string): TSchema {
  return Type.Null({ description })
}

/** A reply that is a stream of bytes, as documentation. */
export function bytesReply(description: string, ...types: readonly string[]): TSchema {
  const schema = Type.String({ contentMediaType: 'application/octet-stream', format: 'binary' })
  return {
    description,
    content: Object.fromEntries(types.map((type) => [type, { schema }])),
  } as unknown as TSchema
}

/** Conditions and marks of a write, from its headers. Refuses etags that no variable could have. */
export function writeOptionsOf(headers: { 'if-match'?: string; 'idempotency-key'?: string }) {
  return {
    ifVersion: versionsOf(headers['if-match']),
    idempotencyKey: headers['idempotency-key'],
  }
}

/** The strong etag of a version. */
export function etagOf(version: number): string {
  return `"${version}"`
}

const entityTag = String.raw`(?:W\/)?"[^"]*"`
const entityTags = new RegExp(String.raw`^[\s,]*${entityTag}(?:\s*,[\s,]*${entityTag})*[\s,]*$`)

// Weak etags never match a condition (RFC 9110, section 13.1.1); they are read and fit no version.
function versionsOf(header: string | undefined): readonly number[] | '*' | undefined {
  if (header === undefined) return undefined
  if (header.trim() === '*') return '*'
  if (!entityTags.test(header)) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'http/invalid-if-match',
      `If-Match is * or a list of etags such as "3"; ${header} was given.`,
    )
  }
  const tags = header.match(new RegExp(entityTag, 'g')) ?? []
  return tags.flatMap((tag) => {
    const found = /^"(0|[1-9]\d{0,14})"$/.exec(tag)
    return found === null ? [] : [Number(found[1])]
  })
}

/** A time as replies spell it. */
export function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
