// The values of variables on their way out, in every media type.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import {
  checkpointQuery,
  encodingQuery,
  ReadValue,
  sliceQuery,
  waitQuery,
} from '../../openapi/index.ts'
import type { ReadWishes, Service, VariableValue } from '../../service/index.ts'
import { npzType, tensorTypes } from '../bodies.ts'
import { status } from '../errors.ts'
import { asIs } from '../streams.ts'
import { sendValue, sendValues } from '../tensor-replies.ts'
import { tensorBodyTypes } from '../tensor-requests.ts'
import { etagOfValue, membersOf, namesOf, namesQuery, signalOf } from '../variable-values.ts'
import {
  badRange,
  bytesReply,
  containerQuery,
  type Documented,
  nameParams,
  notAcceptable,
  refusals,
  tooLarge,
  unfit,
} from './schemas.ts'
import { type App, typed } from './typed.ts'
import { variableStatisticsRoutes } from './variable-statistics.ts'

const tags = ['variables']
const binaryTypes = tensorBodyTypes.filter((type) => type !== tensorTypes.json)
const fileTypes = [tensorTypes.safetensors, npzType]

const readRefusals: readonly Documented[] = [
  'INVALID_ARGUMENT',
  notAcceptable,
  unfit,
  'NOT_FOUND',
  'FAILED_PRECONDITION',
  'DEADLINE_EXCEEDED',
  badRange,
  tooLarge,
]

/** Adds the routes. */
export function variableReadRoutes(instance: FastifyInstance, service: Service): void {
  const app = typed(instance)
  readRoute(app, service)
  readManyRoute(app, service)
  variableStatisticsRoutes(instance, service)
}

/** A reply that may be JSON or one of the binary forms. */
function valueReply(description: string) {
  const json = { 'application/json': { schema: ReadValue } }
  const binary = bytesReply(description, ...binaryTypes) as unknown as { content: object }
  return { description, content: { ...json, ...binary.content } }
}

function readRoute(app: App, service: Service): void {
  app.get(
    '/v1/variables/:name([^:]+)::read_value',
    {
      schema: {
        tags,
        summary: 'The value of a variable, or a part of it, in the media type that accept prefers',
        operationId: 'readValue',
        params: nameParams,
        querystring: Type.Object({
          ...containerQuery,
          ...sliceQuery,
          ...checkpointQuery,
          ...waitQuery,
          ...encodingQuery,
        }),
        response: {
          [status.ok]: valueReply('The value'),
          [status.partialContent]: bytesReply('A range of the bytes', ...binaryTypes),
          ...refusals(...readRefusals),
        },
      },
      serializerCompiler: asIs,
    },
    (request, reply) => {
      const { params, query } = request
      const { slice, checkpoint, min_version: minVersion, timeout_ms: timeoutMs } = query
      const { container = '' } = query
      const isPlain = slice === undefined && checkpoint === undefined && minVersion === undefined
      const atHand = isPlain ? service.reads.atHand(container, params.name) : undefined
      if (atHand !== undefined) return sendFound(request, reply, service, atHand)
      const wishes = isPlain
        ? undefined
        : { slice, checkpoint, minVersion, timeoutMs, signal: waitSignal(reply, minVersion) }
      return service.reads
        .value(container, params.name, wishes)
        .then((found) => sendFound(request, reply, service, found))
    },
  )
}

/** The signal of a read; only a wait for a version takes long enough to be ended. */
function waitSignal(reply: FastifyReply, minVersion: number | undefined): AbortSignal | undefined {
  return minVersion === undefined ? undefined : signalOf(reply)
}

function sendFound(
  request: FastifyRequest,
  reply: FastifyReply,
  service: Service,
  found: VariableValue,
): FastifyReply | Promise<FastifyReply> {
  const { name, value, version } = found
  if (version !== undefined) reply.header('x-variable-version', version)
  const etag = etagOfValue(found)
  return sendValue(request, reply, service, { name, value, etag, members: membersOf(found) })
}

function readManyRoute(app: App, service: Service): void {
  app.get(
    '/v1/variables::read_values',
    {
      schema: {
        tags,
        summary: 'Several values from one snapshot, or from one checkpoint',
        operationId: 'readValues',
        querystring: Type.Object({
          ...containerQuery,
          ...namesQuery,
          ...checkpointQuery,
          ...waitQuery,
          ...encodingQuery,
        }),
        response: {
          [status.ok]: {
            description: 'The values by name',
            content: {
              'application/json': {
                schema: Type.Object({ values: Type.Record(Type.String(), ReadValue) }),
              },
              ...(bytesReply('', ...fileTypes) as unknown as { content: object }).content,
            },
          },
          [status.partialContent]: bytesReply('A range of the file', ...fileTypes),
          ...refusals(...readRefusals),
        },
      },
      serializerCompiler: asIs,
    },
    async (request, reply) => {
      const { query } = request
      const { checkpoint, min_version: minVersion, timeout_ms: timeoutMs } = query
      const names = namesOf(query.names, service.limits.namesPerRequest)
      const signal = waitSignal(reply, minVersion)
      const wishes: ReadWishes = { checkpoint, minVersion, timeoutMs, signal }
      const found = await service.reads.values(query.container ?? '', names, wishes)
      return sendValues(
        request,
        reply,
        service,
        found.map((one) => ({ name: one.name, value: one.value, members: membersOf(one) })),
      )
    },
  )
}
