// /v1/operations: long work that a request did not wait for.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { Operation } from '../../openapi/index.ts'
import type { OperationRecord, Service } from '../../service/index.ts'
import { refusalOfRecord } from '../../tensor/index.ts'
import { problemOf, status } from '../errors.ts'
import { refusals, timeText } from './schemas.ts'

const tags = ['service']

/** Adds the routes. */
export function operationRoutes(instance: FastifyInstance, service: Service): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
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
    '/v1/operations/:id',
    {
      schema: {
        tags,
        summary: 'How an operation is doing',
        operationId: 'getOperation',
        params: Type.Object({ id: Type.String() }),
        response: { [status.ok]: Operation, ...refusals('NOT_FOUND') },
      },
    },
    async ({ params }) => operationReply(service.operations.get(params.id)),
  )
}

/** An operation as replies show it. */
export function operationReply(operation: OperationRecord) {
  const { id, kind, state, startedAt, endedAt, result, error } = operation
  return {
    id,
    kind,
    state,
    started_at: timeText(startedAt),
    ended_at: endedAt === undefined ? null : timeText(endedAt),
    result: result ?? null,
    error: error === undefined ? null : problemOf(refusalOfRecord(error), `/v1/operations/${id}`),
  }
}
