// /v1/operations: long work that a request did not wait for, as it is and as it goes on.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { Operation } from '../../openapi/index.ts'
import type { OperationRecord, Service } from '../../service/index.ts'
import { refusalOfRecord } from '../../tensor/index.ts'
import { problemOf, status } from '../errors.ts'
import {
  eventStreamType,
  type ServerSentEvent,
  sendEventHeaders,
  sendEvents,
} from '../event-stream.ts'
import { chooseType } from '../negotiate.ts'
import { emptyReply, notAcceptable, refusals, timeText } from './schemas.ts'

const tags = ['service']
const params = Type.Object({ id: Type.String() })

/** The id of an operation's last event: a client that comes back with it has seen all. */
const lastEventId = 'end'

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function operationRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  app.get(
    '/v1/operations',
    {
      schema: {
        tags,
        summary: 'Operations, newest first',
        operationId: 'listOperations',
        response: { [status.ok]: Type.Object({ operations: Type.Array(Operation) }) },
      },
    },
    async () => ({ operations: service.operations.list().map(operationReply) }),
  )
  app.get(
    '/v1/operations/:id([^:/]+)',
    {
      schema: {
        tags,
        summary: 'How an operation is doing',
        operationId: 'getOperation',
        params,
        response: { [status.ok]: Operation, ...refusals('NOT_FOUND') },
      },
    },
    async (request) => operationReply(service.operations.get(request.params.id)),
  )
  cancelRoute(app, service)
  followRoutes(app, service)
}

function cancelRoute(app: App, service: Service): void {
  app.post(
    '/v1/operations/:id([^:]+)::cancel',
    {
      config: { bodyOptional: true },
      schema: {
        tags,
        summary: 'Tell an operation to stop',
        description:
          'A cancelled operation leaves nothing behind. One that comes to its end all the same is done: the reply says how it ended, or, where that takes longer than a moment, that it is cancelling.',
        operationId: 'cancelOperation',
        params,
        body: Type.Object({}, { additionalProperties: false }),
        response: {
          [status.ok]: Operation,
          ...refusals('INVALID_ARGUMENT', 'NOT_FOUND', 'FAILED_PRECONDITION'),
        },
      },
    },
    async (request) => operationReply(await service.operations.cancel(request.params.id)),
  )
}

function followRoutes(app: App, service: Service): void {
  const closing = new AbortController()
  app.addHook('preClose', async () => closing.abort())
  const headers = Type.Object({ 'last-event-id': Type.Optional(Type.String()) })
  app.get(
    '/v1/operations/:id/events',
    {
      exposeHeadRoute: false,
      // Compression would hold events back.
      compress: false,
      schema: {
        tags,
        summary: 'How an operation goes on, as server-sent events',
        description:
          'The event running tells the progress in bytes, first as it is and then as it changes; the last event is done, failed or cancelled, and ends the stream. A client that comes back after it is answered 204, so that EventSource stops.',
        operationId: 'followOperation',
        params,
        headers,
        response: {
          [status.ok]: {
            description: 'Events until the operation ends',
            content: { [eventStreamType]: { schema: Operation } },
          },
          [status.noContent]: emptyReply('The last event was seen'),
          ...refusals('NOT_FOUND', notAcceptable),
        },
      },
    },
    async (request, reply) => {
      chooseType(request.headers.accept, [eventStreamType])
      const { id } = service.operations.get(request.params.id)
      if (request.headers['last-event-id'] === lastEventId) {
        return reply.code(status.noContent).send()
      }
      const silenceMs = service.limits.eventHeartbeatMs
      return sendEvents(reply, (gone) => {
        const signal = AbortSignal.any([gone, closing.signal])
        return framesOf(service.operations.follow(id, silenceMs, signal))
      })
    },
  )
  app.head(
    '/v1/operations/:id/events',
    { schema: { hide: true, params } },
    async (request, reply) => {
      service.operations.get(request.params.id)
      return sendEventHeaders(reply)
    },
  )
}

async function* framesOf(
  records: AsyncIterable<OperationRecord>,
): AsyncIterable<readonly ServerSentEvent[]> {
  let told: OperationRecord | undefined
  for await (const record of records) {
    const id = record.state === 'running' ? undefined : lastEventId
    const isNew = record !== told
    told = record
    yield [isNew ? { id, event: record.state, data: operationReply(record) } : { comment: 'alive' }]
  }
}

/** An operation as replies show it. */
export function operationReply(operation: OperationRecord) {
  const { id, kind, state, progress, startedAt, endedAt, result, error } = operation
  return {
    id,
    kind,
    state,
    cancelling: operation.isCancelling,
    progress: { bytes_done: progress.bytesDone, bytes_total: progress.bytesTotal ?? null },
    started_at: timeText(startedAt),
    ended_at: endedAt === undefined ? null : timeText(endedAt),
    result: result ?? null,
    error: error === undefined ? null : problemOf(refusalOfRecord(error), `/v1/operations/${id}`),
  }
}
