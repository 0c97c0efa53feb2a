// Conditions of a read: whether a client has what it asks for already, and whether what it has a part of
// is still the same. Source: RFC 9110, sections 13.1.2 and 13.1.5.
import type { FastifyReply } from 'fastify'
import { status } from './errors.ts'

/** Answers that the client has it already. */
export function sendNotModified(reply: FastifyReply): FastifyReply {
  return reply.code(status.notModified).send()
}

/** Whether `If-None-Match` names the etag, so that the reply is 304. Weak etags match as strong ones do. */
export function hasAlready(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch === etag || ifNoneMatch.trim() === '*') return true
  // Digests of slices hold commas, so the list cannot be split at them.
  const tags = ifNoneMatch.match(/(?:W\/)?"[^"]*"/g) ?? []
  return tags.some((tag) => (tag.startsWith('W/') ? tag.slice(2) : tag) === etag)
}

/**
 * Whether a `Range` counts: always without `If-Range`, else only where that names the very etag. A date
 * never matches, as replies have no Last-Modified.
 */
export function rangeCounts(ifRange: string | undefined, etag: string | undefined): boolean {
  return ifRange === undefined || ifRange.trim() === etag
}
