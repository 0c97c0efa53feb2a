// Health, readiness and metrics: small, and outside of /v1.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { Readiness } from '../../openapi/index.ts'
import type { Service } from '../../service/index.ts'
import { status, unreadyStatus } from '../errors.ts'
import type { Metrics } from '../metrics.ts'

const tags = ['service']

/** Adds the routes. */
export function healthRoutes(instance: FastifyInstance, service: Service, metrics: Metrics): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  app.get(
    '/healthz',
    {
      schema: {
        tags,
        summary: 'Alive',
        operationId: 'health',
        response: { [status.ok]: Type.Object({ status: Type.String() }) },
      },
    },
    async () => ({ status: 'ok' }),
  )
  app.get(
    '/readyz',
    {
      schema: {
        tags,
        summary: 'Store writable, engine up, models warm',
        operationId: 'readiness',
        response: { [status.ok]: Readiness, [unreadyStatus]: Readiness },
      },
    },
    async (_request, reply) => {
      const readiness = await readinessOf(service)
      if (!readiness.ready) reply.code(unreadyStatus)
      return readiness
    },
  )
  app.get(
    '/metrics',
    {
      schema: {
        tags,
        summary: 'Metrics for Prometheus',
        operationId: 'metrics',
        response: { [status.ok]: Type.String() },
        produces: ['text/plain'],
      },
    },
    async (_request, reply) => {
      reply.header('content-type', metrics.contentType)
      return metrics.text()
    },
  )
}

async function readinessOf(service: Service) {
  const store = await service.storeStatus()
  const devices = Object.fromEntries(
    (await service.devices.list()).map(({ facts, state }) => [facts.name, state]),
  )
  const models = await service.models.list()
  const isWarm = models.every(({ state }) => state !== 'LOADING')
  const someDevice = Object.values(devices).includes('ready')
  return {
    ready: store.writable && someDevice && isWarm,
    store: {
      writable: store.writable,
      reason: store.reason ?? null,
      damaged_chunks: store.damaged,
    },
    engine: { devices },
    models: Object.fromEntries(models.map((one) => [`${one.model}/${one.version}`, one.state])),
  }
}
