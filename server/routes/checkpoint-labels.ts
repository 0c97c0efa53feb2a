// Labels of checkpoints: where they point, their histories, turning them and turning them back.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import {
  actorHeader,
  Checkpoint,
  expectQuery,
  Label,
  LabelDetail,
  LabelPage,
} from '../../openapi/index.ts'
import type { LabelRecord, LabelView, Service } from '../../service/index.ts'
import { status } from '../errors.ts'
import { checkpointReply } from './checkpoints.ts'
import {
  type Documented,
  emptyReply,
  full,
  pageOf,
  pageQuery,
  refusals,
  timeText,
} from './schemas.ts'

const tags = ['checkpoints']
const mismatch: Documented = ['FAILED_PRECONDITION', 'label/mismatch']
const headers = Type.Object(actorHeader)
const labelParams = Type.Object({
  label: Type.String({ description: 'May hold slashes.' }),
})

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function labelRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  readRoutes(app, service)
  turnRoutes(app, service)
  rollbackRoute(app, service)
}

function readRoutes(app: App, service: Service): void {
  app.get(
    '/v1/checkpoints/labels',
    {
      schema: {
        tags,
        summary: 'Labels, by name, and where they point',
        operationId: 'listLabels',
        querystring: Type.Object(pageQuery),
        response: { [status.ok]: LabelPage, ...refusals('INVALID_ARGUMENT') },
      },
    },
    async ({ query }) => {
      const page = await service.labels.list(pageOf(query))
      return { labels: page.items.map(labelReply), cursor: page.cursor ?? null }
    },
  )
  app.get(
    '/v1/checkpoints/labels/:label([^:]+)',
    {
      schema: {
        tags,
        summary: 'Where a label points and pointed: when, and turned by whom',
        operationId: 'getLabel',
        params: labelParams,
        querystring: Type.Object(pageQuery),
        response: { [status.ok]: LabelDetail, ...refusals('INVALID_ARGUMENT', 'NOT_FOUND') },
      },
    },
    async ({ params, query }) => detailReply(await service.labels.get(params.label, pageOf(query))),
  )
}

function turnRoutes(app: App, service: Service): void {
  const url = '/v1/checkpoints/:id([^:]+)/labels/:label([^:]+)'
  const params = Type.Object({
    id: Type.String({ description: 'An id, a label, or latest.' }),
    ...labelParams.properties,
  })
  app.put(
    url,
    {
      schema: {
        tags,
        summary: 'Let a label point at this checkpoint',
        description:
          'A label points to one checkpoint at a time. With expect it is compared and set at once: of several who turn it from the same place, one does.',
        operationId: 'setLabel',
        params,
        querystring: Type.Object(expectQuery),
        headers,
        response: {
          [status.ok]: Checkpoint,
          ...refusals('INVALID_ARGUMENT', 'NOT_FOUND', mismatch, full),
        },
      },
    },
    async ({ params, query, headers }) =>
      checkpointReply(await service.labels.set(params.id, params.label, wishesOf(query, headers))),
  )
  app.delete(
    url,
    {
      schema: {
        tags,
        summary: 'Take a label off this checkpoint',
        description: 'Refused where the label points elsewhere: the id is what is expected.',
        operationId: 'removeLabel',
        params,
        querystring: Type.Object(expectQuery),
        headers,
        response: {
          [status.noContent]: emptyReply('Taken off'),
          ...refusals('INVALID_ARGUMENT', 'NOT_FOUND', mismatch, full),
        },
      },
    },
    async ({ params, query, headers }, reply) => {
      await service.labels.remove(params.id, params.label, wishesOf(query, headers))
      return reply.code(status.noContent).send()
    },
  )
}

function rollbackRoute(app: App, service: Service): void {
  app.post(
    '/v1/checkpoints/labels/:label([^:]+)::rollback',
    {
      config: { bodyOptional: true },
      schema: {
        tags,
        summary: 'Point a label where it pointed before its last turn',
        description:
          'A turn of its own: done twice, the label points where it did at first. Taking a label off is undone too. Refused where it pointed nowhere before, or to a checkpoint that is gone.',
        operationId: 'rollbackLabel',
        params: labelParams,
        querystring: Type.Object(expectQuery),
        headers,
        response: {
          [status.ok]: Label,
          ...refusals('INVALID_ARGUMENT', 'NOT_FOUND', 'FAILED_PRECONDITION', mismatch, full),
        },
      },
    },
    async ({ params, query, headers }) =>
      labelReply(await service.labels.rollback(params.label, wishesOf(query, headers))),
  )
}

function wishesOf(
  { expect }: { readonly expect?: string },
  headers: { readonly 'x-holdfast-actor'?: string },
) {
  return {
    actor: headers['x-holdfast-actor'],
    ...(expect === undefined ? {} : { expect: expect === 'none' ? null : expect }),
  }
}

function labelReply({ label, checkpoint, container, changedAt, actor }: LabelRecord) {
  return {
    label,
    checkpoint,
    container,
    changed_at: timeText(changedAt),
    changed_by: actor ?? null,
  }
}

function detailReply({ label, now, history }: LabelView) {
  const [last] = history.items
  const nowhere = {
    label,
    checkpoint: null,
    container: null,
    changed_at: timeText(last?.changedAt ?? 0),
    changed_by: last?.actor ?? null,
  }
  return {
    ...(now === undefined ? nowhere : labelReply(now)),
    history: history.items.map(({ checkpoint, changedAt, actor, sequence }) => ({
      checkpoint: checkpoint ?? null,
      changed_at: timeText(changedAt),
      changed_by: actor ?? null,
      sequence,
    })),
    cursor: history.cursor ?? null,
  }
}
