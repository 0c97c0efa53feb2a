// /v1/retention: what may go of a container's checkpoints.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { PutRetention, Retention } from '../../openapi/index.ts'
import type {
  RetentionReport,
  RetentionRules,
  RetentionView,
  Service,
} from '../../service/index.ts'
import { status } from '../errors.ts'
import { containerQuery, full, refusals, timeText, wrongType } from './schemas.ts'

const tags = ['checkpoints']

/** Checkpoints that a report lists. */
const mostListed = 1000

/** Adds the routes. */
export function retentionRoutes(instance: FastifyInstance, service: Service): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  app.get(
    '/v1/retention',
    {
      schema: {
        tags,
        summary: "Rules of which of a container's checkpoints stay",
        operationId: 'getRetention',
        querystring: Type.Object({
          ...containerQuery,
          dry_run: Type.Optional(
            Type.Boolean({
              description: 'Report what the rules would delete now, and why the rest stays.',
            }),
          ),
        }),
        response: { [status.ok]: Retention, ...refusals('INVALID_ARGUMENT') },
      },
    },
    async ({ query }) => {
      const container = query.container ?? ''
      const view = viewReply(await service.retention.get(container))
      if (query.dry_run !== true) return view
      return { ...view, report: reportReply(await service.retention.preview(container), true) }
    },
  )
  app.put(
    '/v1/retention',
    {
      schema: {
        tags,
        summary: 'Set the rules, and delete what may go by them',
        description:
          'The rules are applied now, after every checkpoint that is saved or imported in the container, and every ten minutes. What is pinned or labelled always stays. Order is that of ids, not of clocks.',
        operationId: 'putRetention',
        querystring: Type.Object({
          ...containerQuery,
          dry_run: Type.Optional(
            Type.Boolean({
              description: 'Set and delete nothing; report what these rules would do.',
            }),
          ),
        }),
        body: PutRetention,
        response: {
          [status.ok]: Retention,
          ...refusals('INVALID_ARGUMENT', wrongType, full),
        },
      },
    },
    async ({ query, body }) => {
      const container = query.container ?? ''
      const rules = rulesOf(body)
      if (query.dry_run === true) {
        const report = await service.retention.preview(container, rules)
        const view = { ...(await service.retention.get(container)), ...rules }
        return { ...viewReply(view), report: reportReply(report, true) }
      }
      const report = await service.retention.set(container, rules)
      return {
        ...viewReply(await service.retention.get(container)),
        report: reportReply(report, false),
      }
    },
  )
}

function rulesOf(body: Static<typeof PutRetention>): RetentionRules {
  return {
    maxToKeep: body.max_to_keep ?? null,
    everyHours: body.keep_checkpoint_every_n_hours ?? null,
    best: body.best ?? null,
  }
}

function viewReply({ container, maxToKeep, everyHours, best, since }: RetentionView) {
  return {
    container,
    max_to_keep: maxToKeep,
    keep_checkpoint_every_n_hours: everyHours,
    best,
    since: since === undefined ? null : timeText(since.at),
  }
}

type Judged = RetentionReport['goes'][number]['checkpoint']

function shown({ id, step, createdAt }: Judged) {
  return { id, step: step ?? null, created_at: timeText(createdAt) }
}

function reportReply({ goes, stays }: RetentionReport, dryRun: boolean) {
  return {
    dry_run: dryRun,
    deleted_count: goes.length,
    deleted: goes.slice(0, mostListed).map(({ checkpoint }) => shown(checkpoint)),
    kept_count: stays.length,
    kept: stays
      .slice(0, mostListed)
      .map(({ checkpoint, because }) => ({ ...shown(checkpoint), because: [...because] })),
  }
}
