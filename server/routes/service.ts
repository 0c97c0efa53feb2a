// What belongs to no resource: containers, limits, devices, operations.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { fixedLimits, type Service } from '../../service/index.ts'
import { maxHeaderBytes } from '../broken-requests.ts'
import { status } from '../errors.ts'
import { mostDepth, mostKeys } from '../json-reader.ts'
import { snakeCased } from '../snake-case.ts'
import { deviceRoutes } from './devices.ts'
import { operationRoutes } from './operations.ts'
import { emptyReply, nameParams, refusals } from './schemas.ts'

/** Adds the routes. */
export function serviceRoutes(instance: FastifyInstance, service: Service): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  deviceRoutes(instance, service)
  operationRoutes(instance, service)
  app.get(
    '/v1/limits',
    {
      schema: {
        tags: ['service'],
        summary: 'Every limit that a request can meet',
        description:
          'By name: _bytes and _ms say the unit, the others are counts; _length counts characters, _depth lists and objects within each other. event_log_commits and event_log_bytes say how far back GET /v1/events can resume, whichever is reached first.',
        operationId: 'getLimits',
        response: { [status.ok]: Type.Record(Type.String(), Type.Integer()) },
      },
    },
    async () => limitsReply(service),
  )
  app.get(
    '/v1/containers',
    {
      schema: {
        tags: ['variables'],
        summary: 'Containers that hold variables',
        operationId: 'listContainers',
        response: { [status.ok]: Type.Object({ containers: Type.Array(Type.String()) }) },
      },
    },
    async () => ({ containers: [...(await service.containers())] }),
  )
  app.delete(
    '/v1/containers/:name([^:]+)',
    {
      schema: {
        tags: ['variables'],
        summary: 'Delete a container and the variables in it',
        operationId: 'deleteContainer',
        params: nameParams,
        response: {
          [status.noContent]: emptyReply('Deleted'),
          ...refusals('INVALID_ARGUMENT', 'NOT_FOUND', 'FAILED_PRECONDITION'),
        },
      },
    },
    async ({ params }, reply) => {
      await service.removeContainer(params.name)
      return reply.code(status.noContent).send()
    },
  )
}

/** Every limit, under its name in snake case. */
function limitsReply({ limits, events: { logKept } }: Service): Record<string, number> {
  return snakeCased({
    ...limits,
    ...fixedLimits,
    jsonDepth: mostDepth,
    jsonKeys: mostKeys,
    headerBytes: maxHeaderBytes,
    eventLogCommits: logKept.commitCount,
    eventLogBytes: logKept.byteLength,
  }) as Record<string, number>
}
