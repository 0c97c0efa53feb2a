// What two checkpoints differ in, and the history of one name along all of them.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { CheckpointDiff, diffQuery, TensorHistory } from '../../openapi/index.ts'
import type { Service, TensorDiff } from '../../service/index.ts'
import { status } from '../errors.ts'
import { signalOf } from '../variable-values.ts'
import { statisticsQuery, tensorReplies, tensorReply } from './checkpoints.ts'
import { pageOf, pageQuery, refusals, timeText } from './schemas.ts'

const tags = ['checkpoints']

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function checkpointDiffRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  diffRoute(app, service)
  historyRoute(app, service)
}

function diffRoute(app: App, service: Service): void {
  app.get(
    '/v1/checkpoints/:id([^:]+)::diff',
    {
      schema: {
        tags,
        summary: 'What another checkpoint, or the present, holds otherwise',
        description:
          'From this checkpoint (before) to the other (after): tensors added, removed and changed, by name, a page of them at a time. Partitioned variables go by the names of the wholes.',
        operationId: 'diffCheckpoints',
        params: Type.Object({
          id: Type.String({ description: 'An id, a label, or latest.' }),
        }),
        querystring: Type.Object({
          ...diffQuery,
          container: Type.Optional(
            Type.String({
              description:
                'Of latest, and of the present variables; where the checkpoint came from unless given.',
            }),
          ),
          ...pageQuery,
        }),
        response: { [status.ok]: CheckpointDiff, ...refusals('INVALID_ARGUMENT', 'NOT_FOUND') },
      },
    },
    async ({ params, query }, reply) => {
      const found = await service.diff(
        params.id,
        {
          with: query.with === 'current' ? undefined : query.with,
          container: query.container,
          values: query.values ?? true,
          signal: signalOf(reply),
        },
        pageOf(query),
      )
      const { before, after, container, counts, page } = found
      return {
        checkpoint: before.id,
        with: after?.id ?? 'current',
        container,
        added_count: counts.added,
        removed_count: counts.removed,
        changed_count: counts.changed,
        unchanged_count: counts.unchanged,
        added: page.items.flatMap((one) => (one.kind === 'added' ? tensorReply(one.tensor) : [])),
        removed: page.items.flatMap((one) =>
          one.kind === 'removed' ? tensorReply(one.tensor) : [],
        ),
        changed: page.items.flatMap((one) => (one.kind === 'changed' ? changedReply(one) : [])),
        cursor: page.cursor ?? null,
      }
    },
  )
}

function changedReply(changed: Extract<TensorDiff, { readonly kind: 'changed' }>) {
  const { before, after, difference, shared } = changed
  return {
    name: before.name,
    before: tensorReply(before),
    after: tensorReply(after),
    dtype_changed: before.dtype !== after.dtype,
    shape_changed: `${before.shape}` !== `${after.shape}`,
    elements: difference?.elements ?? null,
    differing: difference?.differing ?? null,
    not_finite: difference?.notFinite ?? null,
    max_abs_difference: difference?.greatest ?? null,
    mean_abs_difference: difference?.mean ?? null,
    chunks: shared.chunks,
    shared_chunks: shared.shared,
    shared_bytes: shared.sharedBytes,
  }
}

function historyRoute(app: App, service: Service): void {
  app.get(
    '/v1/checkpoints::history',
    {
      schema: {
        tags,
        summary: 'One name along all checkpoints that hold it, newest first',
        description:
          'Of a variable that is gone, too. With statistics=true each has its figures, which are taken once.',
        operationId: 'tensorHistory',
        querystring: Type.Object({
          name: Type.String({
            description: 'The stored name; of a partitioned variable the name of the whole.',
          }),
          container: Type.Optional(
            Type.String({ description: 'Only checkpoints of this container.' }),
          ),
          ...statisticsQuery,
          ...pageQuery,
        }),
        response: { [status.ok]: TensorHistory, ...refusals('INVALID_ARGUMENT') },
      },
    },
    async ({ query }, reply) => {
      const { name, container } = query
      const page = await service.history({ name, container }, pageOf(query))
      const tensors = await tensorReplies(
        service,
        page.items.map(({ tensor }) => tensor),
        query.statistics,
        signalOf(reply),
      )
      const history = page.items.map(({ checkpoint }, place) => ({
        checkpoint: checkpoint.id,
        container: checkpoint.container,
        step: checkpoint.step ?? null,
        labels: [...checkpoint.labels],
        created_at: timeText(checkpoint.createdAt),
        tensor: tensors[place],
      }))
      return { name, history, cursor: page.cursor ?? null }
    },
  )
}
