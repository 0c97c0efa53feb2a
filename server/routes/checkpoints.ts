// /v1/checkpoints: listing, looking into, pinning, deleting. Saving is checkpoint-save.ts's, labels are
// checkpoint-labels.ts's, restoring is checkpoint-restore.ts's, files in and out are checkpoint-files.ts's.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import {
  Checkpoint,
  CheckpointDetail,
  CheckpointPage,
  UpdateCheckpoint,
} from '../../openapi/index.ts'
import type { CheckpointRecord, Json, Service, StoredTensor } from '../../service/index.ts'
import { status } from '../errors.ts'
import {
  containerQuery,
  emptyReply,
  pageOf,
  pageQuery,
  refusals,
  timeText,
  wrongType,
} from './schemas.ts'

const tags = ['checkpoints']
const idParams = Type.Object({
  id: Type.String({ description: 'An id, a label, or latest.' }),
})

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function checkpointRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  readRoutes(app, service)
  changeRoutes(app, service)
}

function readRoutes(app: App, service: Service): void {
  app.get(
    '/v1/checkpoints',
    {
      schema: {
        tags,
        summary: 'List checkpoints, newest first',
        operationId: 'listCheckpoints',
        querystring: Type.Object({
          ...pageQuery,
          container: Type.Optional(Type.String({ description: 'Only those of this container.' })),
          label: Type.Optional(Type.String()),
        }),
        response: { [status.ok]: CheckpointPage, ...refusals('INVALID_ARGUMENT') },
      },
    },
    async ({ query }) => {
      const { container, label } = query
      const page = await service.checkpoints.list({ container, label }, pageOf(query))
      return { checkpoints: page.items.map(checkpointReply), cursor: page.cursor ?? null }
    },
  )
  app.get(
    '/v1/checkpoints/:id([^:]+)',
    {
      schema: {
        tags,
        summary: 'A checkpoint and its tensors, sorted by name',
        operationId: 'getCheckpoint',
        params: idParams,
        querystring: Type.Object({ ...pageQuery, ...containerQuery }),
        response: { [status.ok]: CheckpointDetail, ...refusals('INVALID_ARGUMENT', 'NOT_FOUND') },
      },
    },
    async ({ params, query }) => {
      const record = await service.checkpoints.get(params.id, query.container)
      const page = await service.checkpoints.tensors(record.id, pageOf(query))
      return {
        ...checkpointReply(record),
        tensors: page.items.map(tensorReply),
        cursor: page.cursor ?? null,
      }
    },
  )
}

function changeRoutes(app: App, service: Service): void {
  app.patch(
    '/v1/checkpoints/:id([^:]+)',
    {
      schema: {
        tags,
        summary: 'Pin or unpin, change metadata',
        operationId: 'updateCheckpoint',
        params: idParams,
        body: UpdateCheckpoint,
        response: {
          [status.ok]: Checkpoint,
          ...refusals('INVALID_ARGUMENT', wrongType, 'NOT_FOUND'),
        },
      },
    },
    async ({ params, body }) => {
      const metadata = body.metadata as Record<string, Json> | undefined
      const changes = { pinned: body.pinned, metadata }
      return checkpointReply(await service.checkpoints.update(params.id, changes))
    },
  )
  app.delete(
    '/v1/checkpoints/:id([^:]+)',
    {
      schema: {
        tags,
        summary: 'Delete a checkpoint',
        operationId: 'deleteCheckpoint',
        params: idParams,
        response: {
          [status.noContent]: emptyReply('Deleted'),
          ...refusals('NOT_FOUND', 'FAILED_PRECONDITION'),
        },
      },
    },
    async ({ params }, reply) => {
      await service.checkpoints.remove(params.id)
      return reply.code(status.noContent).send()
    },
  )
}

/** A checkpoint as replies show it. */
export function checkpointReply(record: CheckpointRecord) {
  return {
    id: record.id,
    container: record.container,
    step: record.step ?? null,
    labels: [...record.labels],
    metadata: record.metadata as Record<string, unknown>,
    pinned: record.pinned,
    tensor_count: record.tensorCount,
    nbytes: record.byteLength,
    created_at: timeText(record.createdAt),
  }
}

function tensorReply(tensor: StoredTensor) {
  const { name, dtype, shape } = tensor
  const head = { name, dtype, shape: [...shape] }
  if (tensor.form === 'plain') {
    const { byteLength, digest } = tensor.entry.value
    return { ...head, nbytes: byteLength, sha256: digest }
  }
  const parts = tensor.parts.map(({ entry, slice }) => ({
    name: entry.name,
    offset: [...slice.starts],
    shape: [...slice.shape],
    nbytes: entry.value.byteLength,
    sha256: entry.value.digest,
  }))
  return {
    ...head,
    nbytes: parts.reduce((sum, { nbytes }) => sum + nbytes, 0),
    sha256: null,
    parts,
  }
}
