// /v1/devices: what the engine runs on, and bringing values there or dropping them.
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { Device } from '../../openapi/index.ts'
import type { DeviceStatus, Service } from '../../service/index.ts'
import { status } from '../errors.ts'
import { snakeCased } from '../snake-case.ts'
import { containerQuery, full, refusals, wrongType } from './schemas.ts'
import { typed } from './typed.ts'

const tags = ['service']

/** Adds the routes. */
export function deviceRoutes(instance: FastifyInstance, service: Service): void {
  const app = typed(instance)
  app.get(
    '/v1/devices',
    {
      schema: {
        tags,
        summary: 'Devices, the default one first',
        operationId: 'listDevices',
        response: { [status.ok]: Type.Object({ devices: Type.Array(Device) }) },
      },
    },
    async () => {
      const devices = await service.devices.list()
      const replies = devices.map((device, index) => deviceReply(service, device, index === 0))
      return { devices: await Promise.all(replies) }
    },
  )
  for (const verb of ['load', 'evict'] as const) {
    app.post(
      `/v1/devices/:device(.+)::${verb}`,
      {
        schema: {
          tags,
          summary:
            verb === 'load'
              ? 'Bring values of variables to a device ahead of use'
              : 'Drop the copies of values on a device',
          operationId: `${verb}Values`,
          params: Type.Object({ device: Type.String({ description: 'Such as CPU:0.' }) }),
          querystring: Type.Object(containerQuery),
          body: Type.Object(
            {
              names: Type.Array(Type.String(), {
                maxItems: service.limits.namesPerRequest,
                description: 'Variables; a partitioned one stands for its parts.',
              }),
            },
            { additionalProperties: false },
          ),
          response: {
            [status.ok]: Device,
            ...refusals('INVALID_ARGUMENT', wrongType, 'NOT_FOUND', 'FAILED_PRECONDITION', full),
          },
        },
      },
      async ({ params, query, body }) => {
        const variables = await service.reads.readMany(query.container ?? '', body.names)
        await service.devices[verb](params.device, variables)
        const device = await service.devices.get(params.device)
        const [first] = await service.devices.list()
        return deviceReply(service, device, device.facts.name === first?.facts.name)
      },
    )
  }
}

async function deviceReply(service: Service, device: DeviceStatus, isDefault: boolean) {
  const { facts, memory, state } = device
  const residents = await service.devices.residents(device)
  return {
    name: facts.name,
    kind: facts.kind,
    description: facts.description,
    state,
    default: isDefault,
    types: [...facts.types],
    limits: snakeCased({
      ...facts.limits,
      maxBufferBytes: facts.maxBufferBytes,
      maxBuffersPerKernel: facts.maxBuffersPerKernel,
    }) as Record<string, unknown>,
    memory: snakeCased({ budgetBytes: facts.memoryBytes, ...memory }) as Record<string, unknown>,
    resident: residents.map(({ container, name, version, byteLength }) => ({
      container,
      name,
      version,
      nbytes: byteLength,
    })),
  }
}
