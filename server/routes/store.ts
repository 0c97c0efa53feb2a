// /v1/store: what the store takes on the disk, and freeing what nothing names now.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { StoreUse, Swept } from '../../openapi/index.ts'
import type { Service } from '../../service/index.ts'
import { status } from '../errors.ts'
import { full, refusals } from './schemas.ts'

const tags = ['service']

/** Adds the routes. */
export function storeRoutes(instance: FastifyInstance, service: Service): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  app.get(
    '/v1/store',
    {
      schema: {
        tags,
        summary: 'What the store takes on the disk',
        operationId: 'getStore',
        response: { [status.ok]: StoreUse, ...refusals() },
      },
    },
    async () => {
      const found = await service.storeStatus()
      return {
        writable: found.writable,
        reason: found.reason ?? null,
        disk_bytes: found.catalogueBytes + found.packBytes,
        catalogue_bytes: found.catalogueBytes,
        catalogue_free_bytes: found.catalogueFreeBytes,
        pack_count: found.packCount,
        pack_bytes: found.packBytes,
        pack_live_bytes: found.packLiveBytes,
        loose_bytes: found.looseBytes,
        sequence: found.sequence,
      }
    },
  )
  app.post(
    '/v1/store::sweep',
    {
      config: { bodyOptional: true },
      schema: {
        tags,
        summary: 'Free now what nothing names',
        description:
          'By itself that happens in the background, about a minute after the last thing that named it has gone. What is being read or taken in stays.',
        operationId: 'sweepStore',
        response: { [status.ok]: Swept, ...refusals(full) },
      },
    },
    async () => {
      const { values, chunks, packs, mergedChunks } = await service.sweep()
      return { values, chunks, packs, merged_chunks: mergedChunks }
    },
  )
}
