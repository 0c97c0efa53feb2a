// /v1/backups: copies of the whole store while it runs.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { Backup, BackupList, CreateBackup, Operation } from '../../openapi/index.ts'
import type { BackupRecord, Service } from '../../service/index.ts'
import { status } from '../errors.ts'
import { sendBytes } from '../streams.ts'
import { operationReply } from './operations.ts'
import { badRange, bytesReply, emptyReply, full, refusals, timeText, wrongType } from './schemas.ts'

const tags = ['backups']
const tarType = 'application/x-tar'
const params = Type.Object({ id: Type.String() })

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function backupRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  createRoute(app, service)
  lookRoutes(app, service)
  downloadRoute(app, service)
}

function createRoute(app: App, service: Service): void {
  app.post(
    '/v1/backups',
    {
      config: { bodyOptional: true },
      schema: {
        tags,
        summary: 'Make a consistent copy of the whole store while it runs',
        description:
          'It holds everything as it was after one commit; writers go on meanwhile. Packs are linked where the file system allows it, so that it costs the room of the catalogue alone. With async it is an operation, which can be cancelled.',
        operationId: 'createBackup',
        headers: Type.Object({
          'idempotency-key': Type.Optional(
            Type.String({
              description: 'Sent again with the same key, the operation is begun only once.',
            }),
          ),
        }),
        body: CreateBackup,
        response: {
          [status.created]: Backup,
          [status.accepted]: Operation,
          ...refusals('INVALID_ARGUMENT', wrongType, 'FAILED_PRECONDITION', full),
        },
      },
    },
    async ({ body, headers }, reply) => {
      const wishes = { copy: body.copy ?? false }
      if (body.async !== true) {
        const record = await service.backups.create(wishes)
        reply.code(status.created).header('location', `/v1/backups/${record.id}`)
        return backupReply(record)
      }
      const operation = service.operations.start(
        'create_backup',
        async (report, signal) =>
          backupReply(await service.backups.create(wishes, { report, signal })),
        { key: headers['idempotency-key'], described: [wishes] },
      )
      reply.code(status.accepted).header('location', `/v1/operations/${operation.id}`)
      return operationReply(operation)
    },
  )
}

function lookRoutes(app: App, service: Service): void {
  app.get(
    '/v1/backups',
    {
      schema: {
        tags,
        summary: 'Backups, newest first',
        operationId: 'listBackups',
        response: { [status.ok]: BackupList, ...refusals() },
      },
    },
    async () => ({ backups: (await service.backups.list()).map(backupReply) }),
  )
  app.get(
    '/v1/backups/:id([^:]+)',
    {
      schema: {
        tags,
        summary: 'A backup',
        operationId: 'getBackup',
        params,
        response: { [status.ok]: Backup, ...refusals('NOT_FOUND') },
      },
    },
    async (request) => backupReply(await service.backups.get(request.params.id)),
  )
  app.delete(
    '/v1/backups/:id([^:]+)',
    {
      schema: {
        tags,
        summary: 'Delete a backup',
        operationId: 'deleteBackup',
        params,
        response: {
          [status.noContent]: emptyReply('Deleted'),
          ...refusals('NOT_FOUND', 'FAILED_PRECONDITION'),
        },
      },
    },
    async (request, reply) => {
      await service.backups.remove(request.params.id)
      return reply.code(status.noContent).send()
    },
  )
}

function downloadRoute(app: App, service: Service): void {
  app.get(
    '/v1/backups/:id([^:]+)::download',
    {
      schema: {
        tags,
        summary: 'A backup as a tar',
        description: 'What npm run restore takes, beside the folder itself.',
        operationId: 'downloadBackup',
        params,
        response: {
          [status.ok]: bytesReply('The tar', tarType),
          [status.partialContent]: bytesReply('A range of it', tarType),
          ...refusals('NOT_FOUND', 'FAILED_PRECONDITION', badRange),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const { byteLength, chunks, tag } = await service.backups.archive(id)
      reply.header('etag', `"${tag}"`)
      return sendBytes(reply, {
        contentType: tarType,
        byteLength,
        etag: `"${tag}"`,
        chunks: (range) => chunks(range),
        isOwned: true,
        fileName: `holdfast-backup-${id}.tar`,
      })
    },
  )
}

function backupReply(record: BackupRecord) {
  return {
    id: record.id,
    state: record.state,
    created_at: timeText(record.createdAt),
    sequence: record.sequence,
    nbytes: record.byteLength,
    sha256: record.digest ?? null,
    packs: record.packs,
    damaged_chunks: record.damaged,
  }
}
