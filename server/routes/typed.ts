// An app whose handlers know the types that their route's schema says.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'

/** The app as route files use it. */
export type App = ReturnType<typeof typed>

/** The same app, typed. */
export function typed(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}
