// POST /v1/checkpoints/{id}:restore: putting saved values back, at once or as an operation.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { RestoreCheckpoint, RestoreReport } from '../../openapi/index.ts'
import type { RestoreReport as Report, Service } from '../../service/index.ts'
import { status } from '../errors.ts'
import { full, refusals, unfit, writeHeaders, wrongType } from './schemas.ts'

/** Adds the route. */
export function checkpointRestoreRoute(instance: FastifyInstance, service: Service): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  app.post(
    '/v1/checkpoints/:id([^:]+)::restore',
    {
      config: { bodyOptional: true },
      schema: {
        tags: ['checkpoints'],
        summary: 'Put the saved values back into variables',
        operationId: 'restoreCheckpoint',
        params: Type.Object({
          id: Type.String({ description: 'An id, a label, or latest.' }),
        }),
        querystring: Type.Object({
          container: Type.Optional(
            Type.String({ description: 'Where to; where the checkpoint came from unless given.' }),
          ),
        }),
        headers: writeHeaders,
        body: RestoreCheckpoint,
        response: {
          [status.ok]: RestoreReport,
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
    async ({ params, query, body, headers }) => {
      const strict = body.strict ?? true
      const dryRun = body.dry_run ?? false
      const report = await service.restore(params.id, {
        container: query.container,
        names: body.names,
        rename: body.rename,
        scope: body.scope,
        strict,
        dryRun,
        create: body.create ?? false,
        idempotencyKey: headers['idempotency-key'],
      })
      return restoreReply(report, strict, dryRun)
    },
  )
}

function restoreReply(report: Report, strict: boolean, dryRun: boolean) {
  return {
    checkpoint: report.checkpoint,
    container: report.container,
    strict,
    dry_run: dryRun,
    restored: [...report.restored],
    created: [...report.created],
    missing: [...report.missing],
    unexpected: [...report.unexpected],
    shape_mismatches: [...report.shapeMismatches],
    dtype_mismatches: [...report.dtypeMismatches],
    versions: report.versions,
  }
}
