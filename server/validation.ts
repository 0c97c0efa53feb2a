// Validation of requests with the typebox schemas of the routes, and the sentences about what did
// not fit. Types are coerced in queries and paths, which hold only text, and never in bodies.
import { Readable } from 'node:stream'
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'

interface SchemaError {
  readonly keyword: string
  readonly instancePath: string
  readonly message: string
  readonly params?: unknown
}

/** Compiles a route's schema into its check. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  // A misspelt filter or option that is passed over would do something else than was asked.
  const isClosed = httpPart === 'querystring'
  const check = Compile(isClosed ? { ...schema, additionalProperties: false } : schema)
  const known = isClosed ? Object.keys(Object(schema).properties ?? {}) : []
  const converts = httpPart !== 'body' && hasOtherThanText(schema)
  return (value: unknown) => {
    // What stays a stream is checked by whoever reads it; its media type has been checked.
    if (httpPart === 'body' && value instanceof Readable) return { value }
    const converted = converts && !isEmpty(value) ? Value.Convert(schema, value) : value
    if (check.Check(converted)) return { value: converted }
    const sentence = describe(check.Errors(converted), httpPart ?? 'request', known)
    return { error: new Error(sentence) }
  }
}

/** Whether some member is more than a string, so that the text of a query has to become it. */
function hasOtherThanText(schema: TSchema): boolean {
  const { properties } = schema as { properties?: Readonly<Record<string, { type?: string }>> }
  if (properties === undefined) return true
  return Object.values(properties).some(({ type }) => type !== 'string')
}

function isEmpty(value: unknown): boolean {
  for (const _ in value as object) return false
  return true
}

const placeOf: Readonly<Record<string, string>> = {
  body: 'The body',
  querystring: 'The query',
  params: 'The path',
  headers: 'The headers',
}

/** A sentence on the first thing that is wrong, and on what is `known` where it is not among that. */
function describe(
  errors: readonly SchemaError[],
  httpPart: string,
  known: readonly string[],
): string {
  const place = placeOf[httpPart] ?? 'The request'
  const extra = errors.find(({ keyword }) => keyword === 'additionalProperties')
  if (extra !== undefined) {
    const { additionalProperties } = extra.params as { additionalProperties: readonly string[] }
    const where = pathOf(extra.instancePath)
    const names = additionalProperties.map((name) => `"${name}"`).join(', ')
    const taken = known.length === 0 ? '' : ` It takes ${known.join(', ')}.`
    return `${place}${where && `'s ${where}`} must not have ${names}.${taken}`
  }
  const [first] = errors
  if (first === undefined) return `${place} does not fit.`
  const where = pathOf(first.instancePath)
  return where === ''
    ? `${place} ${first.message}.`
    : `${place} does not fit: ${where} ${first.message}.`
}

function pathOf(instancePath: string): string {
  return instancePath.slice(1).replaceAll('/', '.')
}
