// POST /v1/checkpoints: saving, at once or as an operation.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { actorHeader, Checkpoint, Operation, SaveCheckpoint } from '../../openapi/index.ts'
import type { Json, Service } from '../../service/index.ts'
import { status } from '../errors.ts'
import { checkpointReply } from './checkpoints.ts'
import { operationReply } from './operations.ts'
import { containerQuery, full, refusals, unfit, writeHeaders, wrongType } from './schemas.ts'

/** Adds the route. */
export function checkpointSaveRoute(instance: FastifyInstance, service: Service): void {
  instance.withTypeProvider<TypeBoxTypeProvider>().post(
    '/v1/checkpoints',
    {
      config: { bodyOptional: true },
      schema: {
        tags: ['checkpoints'],
        summary: 'Save variables: one consistent snapshot',
        description:
          'Costs a row for each variable: values are kept once, however many checkpoints hold them. Refused as a whole where there is nothing to save or a variable has no value. With async it is an operation, which can be cancelled until it is committed.',
        operationId: 'saveCheckpoint',
        querystring: Type.Object(containerQuery),
        headers: Type.Object({ ...writeHeaders.properties, ...actorHeader }),
        body: SaveCheckpoint,
        response: {
          [status.created]: Checkpoint,
          [status.accepted]: Operation,
          ...refusals(
            'INVALID_ARGUMENT',
            unfit,
            wrongType,
            'NOT_FOUND',
            'FAILED_PRECONDITION',
            full,
          ),
        },
      },
    },
    async ({ query, body, headers }, reply) => {
      const { names, rename, collection, scope, all, step, labels = [] } = body
      const request = {
        container: query.container ?? '',
        names,
        rename,
        collections: typeof collection === 'string' ? [collection] : collection,
        scope,
        all,
        onlyInitialized: body.only_initialized,
        step,
        labels,
        metadata: (body.metadata ?? {}) as Record<string, Json>,
        idempotencyKey: headers['idempotency-key'],
        actor: headers['x-holdfast-actor'],
      }
      if (body.async !== true) {
        const record = await service.checkpoints.save(request)
        reply.code(status.created).header('location', `/v1/checkpoints/${record.id}`)
        return checkpointReply(record)
      }
      service.checkpoints.checkSave(request)
      const { idempotencyKey: key, actor: _actor, ...described } = request
      const operation = service.operations.start(
        'save_checkpoint',
        async (report, signal) =>
          checkpointReply(await service.checkpoints.save(request, { report, signal })),
        { key, described: [described] },
      )
      reply.code(status.accepted).header('location', `/v1/operations/${operation.id}`)
      return operationReply(operation)
    },
  )
}
