// Verification over HTTP: a checkpoint against its checksums, and the scrub over everything.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { Operation, Scrub, VerifyCheckpoint, VerifyReport } from '../../openapi/index.ts'
import type { CheckpointVerification, Damage, ScrubView, Service } from '../../service/index.ts'
import { status } from '../errors.ts'
import { operationReply } from './operations.ts'
import { containerQuery, refusals, timeText, wrongType } from './schemas.ts'

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

const idempotencyKey = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({ description: 'Sent again with the same key, the operation is begun only once.' }),
  ),
})

/** Adds the routes. */
export function verifyRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  checkpointRoute(app, service)
  scrubRoutes(app, service)
}

function checkpointRoute(app: App, service: Service): void {
  app.post(
    '/v1/checkpoints/:id([^:]+)::verify',
    {
      config: { bodyOptional: true },
      schema: {
        tags: ['checkpoints'],
        summary: 'Re-read every chunk of a checkpoint against its SHA-256',
        description:
          'Damage is named by tensor and chunk, with the variables and checkpoints that hold the same value; everything else is served as before. What is damaged is mended by writing or uploading the same content again.',
        operationId: 'verifyCheckpoint',
        params: Type.Object({ id: Type.String({ description: 'An id, a label, or latest.' }) }),
        querystring: Type.Object(containerQuery),
        headers: idempotencyKey,
        body: VerifyCheckpoint,
        response: {
          [status.ok]: VerifyReport,
          [status.accepted]: Operation,
          ...refusals('INVALID_ARGUMENT', wrongType, 'NOT_FOUND'),
        },
      },
    },
    async ({ params, query, body, headers }, reply) => {
      const record = await service.checkpoints.get(params.id, query.container)
      if (body.async !== true) {
        return verifyReply(await service.verification.checkpoint(record))
      }
      const operation = service.operations.start(
        'verify_checkpoint',
        async (report, signal) =>
          verifyReply(await service.verification.checkpoint(record, { report, signal })),
        { key: headers['idempotency-key'], described: [record.id] },
      )
      reply.code(status.accepted).header('location', `/v1/operations/${operation.id}`)
      return operationReply(operation)
    },
  )
}

function scrubRoutes(app: App, service: Service): void {
  app.get(
    '/v1/scrub',
    {
      schema: {
        tags: ['service'],
        summary: 'How the scrub over everything is doing, and what is known to be damaged',
        operationId: 'getScrub',
        response: { [status.ok]: Scrub, ...refusals() },
      },
    },
    async () => scrubReply(await service.verification.view()),
  )
  app.post(
    '/v1/scrub',
    {
      config: { bodyOptional: true },
      schema: {
        tags: ['service'],
        summary: 'Re-read everything now against its SHA-256, as an operation',
        description: 'As fast as readers let it, instead of slowly in the background.',
        operationId: 'scrub',
        headers: idempotencyKey,
        body: Type.Object({}, { additionalProperties: false }),
        response: {
          [status.accepted]: Operation,
          ...refusals('INVALID_ARGUMENT', wrongType),
        },
      },
    },
    async ({ headers }, reply) => {
      const operation = service.operations.start(
        'scrub',
        async (report, signal) => {
          const found = await service.verification.scrub({ report, signal })
          const { chunks, byteLength, damaged } = found
          return { chunks, nbytes: byteLength, damaged: damaged.map(damageReply) }
        },
        { key: headers['idempotency-key'], described: [] },
      )
      reply.code(status.accepted).header('location', `/v1/operations/${operation.id}`)
      return operationReply(operation)
    },
  )
}

function verifyReply(found: CheckpointVerification) {
  const { checkpoint, tensors, chunks, byteLength, damaged } = found
  return {
    checkpoint,
    intact: damaged.length === 0,
    tensors,
    chunks,
    nbytes: byteLength,
    damaged: damaged.map((one) => ({ tensor: one.tensor, ...damageReply(one) })),
  }
}

function damageReply({ chunk, digest, problem, variables, tensors }: Damage) {
  return {
    chunk,
    sha256: digest,
    problem: problem ?? null,
    variables: [...variables],
    tensors: [...tensors],
  }
}

function scrubReply(view: ScrubView) {
  const { state, bytesPerSecond, pass, finished, nextAt, damagedChunks, damaged } = view
  return {
    state,
    bytes_per_second: bytesPerSecond,
    pass: pass
      ? { started_at: timeText(pass.startedAt), chunks: pass.chunks, nbytes: pass.byteLength }
      : null,
    last_pass: finished
      ? { finished_at: timeText(finished.at), chunks: finished.chunks, nbytes: finished.byteLength }
      : null,
    next_at: nextAt === undefined ? null : timeText(nextAt),
    damaged_chunks: damagedChunks,
    damaged: damaged.map(damageReply),
  }
}
