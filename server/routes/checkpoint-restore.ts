// POST /v1/checkpoints/{id}:restore: putting saved values back, at once or as an operation.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { Operation, RestoreCheckpoint, RestoreReport } from '../../openapi/index.ts'
import type { RestoreReport as Report, Service } from '../../service/index.ts'
import { status } from '../errors.ts'
import { operationReply } from './operations.ts'
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
        description:
          'Points the variables at the stored values by one commit: all that is restored, or nothing. Only what is cut otherwise than it is stored is copied. Nothing is cast or reshaped. With async it is an operation with progress in bytes, which can be cancelled until it is committed.',
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
    async ({ params, query, body, headers }, reply) => {
      const { names, slices, scope, strict = true, create = false } = body
      const dryRun = body.dry_run ?? false
      const request = {
        container: query.container,
        names,
        rename: body.rename && mapped(body.rename),
        rules: body.rules?.map((rule) => ({ ...rule, to: listOf(rule.to) })),
        slices,
        onlyMapped: body.only_mapped,
        scope,
        strict,
        allowMissing: body.allow_missing,
        dryRun,
        create,
        idempotencyKey: headers['idempotency-key'],
      }
      if (body.async !== true) {
        return restoreReply(await service.restore(params.id, request), strict, dryRun)
      }
      const { id } = await service.checkRestore(params.id, request)
      const { idempotencyKey: key, ...described } = request
      const operation = service.operations.start(
        'restore_checkpoint',
        async (report, signal) =>
          restoreReply(await service.restore(id, request, { report, signal }), strict, dryRun),
        { key, described: [id, described] },
      )
      reply.code(status.accepted).header('location', `/v1/operations/${operation.id}`)
      return operationReply(operation)
    },
  )
}

function listOf(names: string | readonly string[]): readonly string[] {
  return typeof names === 'string' ? [names] : names
}

function mapped(rename: Readonly<Record<string, string | readonly string[]>>) {
  return Object.fromEntries(Object.entries(rename).map(([stored, to]) => [stored, listOf(to)]))
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
    skipped: [...report.skipped],
    shape_mismatches: [...report.shapeMismatches],
    dtype_mismatches: [...report.dtypeMismatches],
    sources: [...report.sources],
    versions: report.versions,
  }
}
