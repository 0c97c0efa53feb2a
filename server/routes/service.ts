// What belongs to no resource: containers, limits, devices, operations.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { Limits, Service } from '../../service/index.ts'
import { status } from '../errors.ts'
import { deviceRoutes } from './devices.ts'
import { operationRoutes } from './operations.ts'

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
