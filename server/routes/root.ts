// The root: where a browser is sent, and what there is for everybody else.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { status } from '../errors.ts'
import { chooseType } from '../negotiate.ts'
import { emptyReply, notAcceptable, refusals } from './schemas.ts'

const index = {
  name: 'Holdfast',
  docs: '/docs',
  openapi: '/openapi.json',
  variables: '/v1/variables',
  models: '/v1/models',
  health: '/healthz',
}

/** Adds the route. */
export function rootRoute(instance: FastifyInstance): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  app.get(
    '/',
    {
      schema: {
        tags: ['service'],
        summary: 'Where things are; a browser is sent to the documentation',
        operationId: 'index',
        response: {
          [status.ok]: Type.Record(Type.String(), Type.String()),
          [status.found]: emptyReply('The documentation'),
          ...refusals(notAcceptable),
        },
      },
    },
    async (request, reply) => {
      const wanted = chooseType(request.headers.accept, ['application/json', 'text/html'])
      return wanted === 'text/html' ? reply.redirect(index.docs, status.found) : index
    },
  )
}
