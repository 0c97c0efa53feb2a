// Routes that answer in JSON alone: a request that takes no JSON is refused before anything is done.
import type { FastifyInstance, onRequestHookHandler, RouteOptions } from 'fastify'
import { tensorTypes } from './bodies.ts'
import { chooseType } from './negotiate.ts'
import { notAcceptable, refusals } from './routes/schemas.ts'

/** The hook of such a route. Refuses (`http/not-acceptable`) an `accept` without JSON. */
export const jsonOnly: onRequestHookHandler = (request, _reply, done) => {
  const { accept } = request.headers
  if (accept === undefined || accept === '*/*' || accept === tensorTypes.json) return done()
  try {
    chooseType(accept, [tensorTypes.json])
    done()
  } catch (error) {
    done(error as Error)
  }
}

/** Gives the hook to every route that is added from here on and documents no reply of another type. */
export function registerJsonOnly(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    const replies = route.schema?.response
    if (replies === undefined || !Object.entries(replies as object).some(isJson)) return
    route.schema = { ...route.schema, response: { ...refusals(notAcceptable), ...replies } }
    route.onRequest = [jsonOnly, ...hooksOf(route)]
  })
}

function isJson([status, reply]: [string, { readonly content?: object; readonly type?: string }]) {
  return status.startsWith('2') && reply.content === undefined && reply.type !== 'null'
}

function hooksOf({ onRequest }: RouteOptions): readonly onRequestHookHandler[] {
  if (onRequest === undefined) return []
  return Array.isArray(onRequest) ? onRequest : [onRequest]
}
