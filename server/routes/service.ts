// What belongs to no resource: containers, limits, devices, operations.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { Limits, Service } from '../../service/index.ts'
import { status } from '../errors.ts'
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
        operationId: 'getLimits',
        response: { [status.ok]: Type.Record(Type.String(), Type.Integer()) },
      },
    },
    async () => limitsReply(service.limits),
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

/** The limits in snake case. */
function limitsReply(limits: Limits): Record<string, number> {
  return Object.fromEntries(
    Object.entries(limits).map(([key, value]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  )
}
