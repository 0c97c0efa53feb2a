// /v1/models: taking models in, listing and deleting them. What TensorFlow Serving's clients call is
// in serving.ts.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { FileBody, ModelVersion } from '../../openapi/index.ts'
import type { ModelStatus, Service } from '../../service/index.ts'
import { archiveTypes, streamOf } from '../bodies.ts'
import { status } from '../errors.ts'
import { emptyReply, full, refusals, timeText, tooLarge, unfit, wrongType } from './schemas.ts'

const tags = ['models']

/** Path parameters of a version. */
const versionParams = Type.Object({
  model: Type.String(),
  version: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
})

/** Adds the routes. */
export function modelRoutes(instance: FastifyInstance, service: Service): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const url = '/v1/models/:model([^:/]+)/versions/:version(\\d{1,16})'
  app.get(
    '/v1/models',
    {
      schema: {
        tags,
        summary: 'List models and their versions',
        operationId: 'listModels',
        response: { [status.ok]: Type.Object({ models: Type.Array(ModelVersion) }) },
      },
    },
    async () => ({ models: (await service.models.list()).map(versionReply) }),
  )
  app.put(
    url,
    {
      bodyLimit: service.limits.uploadBytes,
      config: { consumes: archiveTypes, streamBytes: service.limits.uploadBytes },
      schema: {
        tags,
        summary: 'Take in a tar, tar.gz or zip of a SavedModel',
        operationId: 'uploadModel',
        consumes: [...archiveTypes],
        body: FileBody,
        params: versionParams,
        response: {
          [status.created]: ModelVersion,
          ...refusals(
            'INVALID_ARGUMENT',
            unfit,
            wrongType,
            'ALREADY_EXISTS',
            tooLarge,
            full,
            'UNIMPLEMENTED',
          ),
        },
      },
    },
    async (request, reply) => {
      const { model, version } = request.params
      const made = await service.models.put(model, version, streamOf(request))
      reply.code(status.created)
      return versionReply(made)
    },
  )
  app.delete(
    url,
    {
      schema: {
        tags,
        summary: 'Delete a version and its variables',
        operationId: 'deleteModel',
        params: versionParams,
        response: { [status.noContent]: emptyReply('Deleted'), ...refusals('NOT_FOUND') },
      },
    },
    async ({ params }, reply) => {
      await service.models.remove(params.model, params.version)
      return reply.code(status.noContent).send()
    },
  )
}

function versionReply(one: ModelStatus) {
  return {
    name: one.model,
    version: one.version,
    state: one.state,
    error: one.error?.message ?? null,
    container: one.container,
    signatures: [...one.signatures],
    created_at: timeText(one.createdAt),
  }
}
