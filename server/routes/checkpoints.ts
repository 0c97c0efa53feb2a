// /v1/checkpoints: listing, looking into, pinning, deleting. Saving is checkpoint-save.ts's, labels are
// checkpoint-labels.ts's, restoring is checkpoint-restore.ts's, files in and out are checkpoint-files.ts's.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import {
  actorHeader,
  Checkpoint,
  CheckpointDetail,
  CheckpointPage,
  UpdateCheckpoint,
} from '../../openapi/index.ts'
import type { CheckpointRecord, Json, Service, StoredTensor } from '../../service/index.ts'
import {
  checkpointFilterOf,
  checkpointFilterQuery,
  metadataPattern,
} from '../checkpoint-filters.ts'
import { status } from '../errors.ts'
import { signalOf } from '../variable-values.ts'
import {
  containerQuery,
  emptyReply,
  pageOf,
  pageQuery,
  refusals,
  timeText,
  wrongType,
} from './schemas.ts'
import { figuresReply } from './variable-statistics.ts'

const tags = ['checkpoints']
const idParams = Type.Object({
  id: Type.String({ description: 'An id, a label, or latest.' }),
})

/** `?statistics=`. */
export const statisticsQuery = {
  statistics: Type.Optional(
    Type.Boolean({
      description:
        'Each tensor with its figures, taken on the first request and kept: of large tensors that takes time.',
    }),
  ),
}

/** `?usage=`. */
const usageQuery = {
  usage: Type.Optional(
    Type.Boolean({ description: 'With own_bytes and shared_bytes, which are counted for it.' }),
  ),
}

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
        description:
          'Filters go together. metadata.key=value lets through those whose metadata holds the value under the key: a string that is the same, a number in any spelling, else JSON (true, null, [1,2]).',
        querystring: Type.Object(
          { ...pageQuery, ...checkpointFilterQuery, ...usageQuery },
          { patternProperties: metadataPattern },
        ),
        response: { [status.ok]: CheckpointPage, ...refusals('INVALID_ARGUMENT') },
      },
    },
    async ({ query }) => {
      const page = await service.checkpoints.list(checkpointFilterOf(query), pageOf(query))
      const checkpoints = []
      for (const record of page.items) {
        checkpoints.push(await usedReply(service, record, query.usage))
      }
      return { checkpoints, cursor: page.cursor ?? null }
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
        querystring: Type.Object({
          ...pageQuery,
          ...containerQuery,
          ...usageQuery,
          ...statisticsQuery,
        }),
        response: { [status.ok]: CheckpointDetail, ...refusals('INVALID_ARGUMENT', 'NOT_FOUND') },
      },
    },
    async ({ params, query }, reply) => {
      const record = await service.checkpoints.get(params.id, query.container)
      const page = await service.checkpoints.tensors(record.id, pageOf(query))
      return {
        ...(await usedReply(service, record, query.usage)),
        tensors: await tensorReplies(service, page.items, query.statistics, signalOf(reply)),
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
        description:
          'Labels that point to it are taken off. Its space is free once nothing else holds what it held: after about a minute, or by POST /v1/store:sweep.',
        operationId: 'deleteCheckpoint',
        params: idParams,
        headers: Type.Object(actorHeader),
        response: {
          [status.noContent]: emptyReply('Deleted'),
          ...refusals('NOT_FOUND', 'FAILED_PRECONDITION'),
        },
      },
    },
    async ({ params, headers }, reply) => {
      await service.checkpoints.remove(params.id, headers['x-holdfast-actor'])
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

/** The same, with what it takes on the disk where that is asked. */
async function usedReply(service: Service, record: CheckpointRecord, usage = false) {
  const shown = checkpointReply(record)
  if (!usage) return shown
  const { ownBytes, sharedBytes } = await service.checkpoints.use(record.id)
  return { ...shown, own_bytes: ownBytes, shared_bytes: sharedBytes }
}

/** Tensors as replies show them, with their figures where these are asked. */
export async function tensorReplies(
  service: Service,
  tensors: readonly StoredTensor[],
  statistics: boolean | undefined,
  signal: AbortSignal,
) {
  if (statistics !== true) return tensors.map(tensorReply)
  const figures = await service.statisticsOfTensors(tensors, signal)
  return tensors.map((tensor, place) => ({
    ...tensorReply(tensor),
    statistics: figuresReply(tensor.dtype, figures[place]),
  }))
}

/** A tensor without its value. */
export function tensorReply(tensor: StoredTensor) {
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
