// /v1/scopes: the defaults that variables are made with. The root scope is /v1/scopes/.
import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { Scope, ScopeArguments, ScopePage } from '../../openapi/index.ts'
import type { GivenInitializer, GivenScope, ScopeView, Service } from '../../service/index.ts'
import { dtypeNamed } from '../dtype-names.ts'
import { status } from '../errors.ts'
import {
  containerQuery,
  emptyReply,
  full,
  onceHeaders,
  otherRequest,
  pageOf,
  pageQuery,
  refusals,
  unfit,
  wrongType,
} from './schemas.ts'
import { type App, typed } from './typed.ts'

const tags = ['scopes']

/** A place of scopes: the root's path is empty, which no path parameter can be. */
interface Place {
  readonly url: string
  readonly params: ReturnType<typeof paramsOf>
  /** Stands at the end of operation ids and summaries. */
  readonly id: string
  readonly what: string
}

function paramsOf(isRoot: boolean) {
  const path = Type.Optional(Type.String({ description: 'The path of the scope, such as a/b.' }))
  const inPath = Type.Object({ path })
  return isRoot ? (Type.Object({}) as unknown as typeof inPath) : inPath
}

/** Adds the routes. */
export function scopeRoutes(instance: FastifyInstance, service: Service): void {
  const app = typed(instance)
  listRoute(app, service)
  const places: readonly Place[] = [
    {
      url: '/v1/scopes/:path([^:]+)',
      params: paramsOf(false),
      id: 'Scope',
      what: 'a scope',
    },
    { url: '/v1/scopes/', params: paramsOf(true), id: 'RootScope', what: 'the root scope' },
  ]
  for (const place of places) {
    readRoute(app, service, place)
    changeRoutes(app, service, place)
  }
}

function listRoute(app: App, service: Service): void {
  app.get(
    '/v1/scopes',
    {
      schema: {
        tags,
        summary: 'List the scopes that have defaults of their own, by path',
        operationId: 'listScopes',
        querystring: Type.Object({
          ...containerQuery,
          ...pageQuery,
          scope: Type.Optional(Type.String({ description: 'Only this scope and those below it.' })),
        }),
        response: { [status.ok]: ScopePage, ...refusals('INVALID_ARGUMENT') },
      },
    },
    async ({ query }) => {
      const below = query.scope === '' ? undefined : query.scope
      const page = await service.scopes.list(query.container ?? '', below, pageOf(query))
      return { scopes: page.items.map(scopeReply), cursor: page.cursor ?? null }
    },
  )
}

function readRoute(app: App, service: Service, { url, params, id, what }: Place): void {
  app.get(
    url,
    {
      schema: {
        tags,
        summary: `The defaults of ${what}, and what is in effect in it`,
        operationId: `get${id}`,
        params,
        querystring: Type.Object(containerQuery),
        response: { [status.ok]: Scope, ...refusals('INVALID_ARGUMENT', 'NOT_FOUND') },
      },
    },
    async ({ params: { path = '' }, query }) =>
      scopeReply(await service.scopes.get(query.container ?? '', path)),
  )
}

function changeRoutes(app: App, service: Service, { url, params, id, what }: Place): void {
  app.put(
    url,
    {
      config: { bodyOptional: true },
      schema: {
        tags,
        summary: `Replace the defaults of ${what}`,
        operationId: `put${id}`,
        params,
        querystring: Type.Object(containerQuery),
        headers: onceHeaders,
        body: ScopeArguments,
        response: {
          [status.ok]: Scope,
          [status.created]: Scope,
          ...refusals(
            'INVALID_ARGUMENT',
            unfit,
            wrongType,
            'NOT_FOUND',
            'ABORTED',
            'UNIMPLEMENTED',
            full,
          ),
        },
      },
    },
    async ({ params: { path = '' }, query, body, headers }, reply) => {
      const { created, scope } = await service.scopes.put(
        query.container ?? '',
        path,
        givenScope(body),
        headers['idempotency-key'],
      )
      reply.code(created ? status.created : status.ok)
      return scopeReply(scope)
    },
  )
  app.delete(
    url,
    {
      schema: {
        tags,
        summary: `Take the defaults of ${what} away; its variables stay`,
        operationId: `delete${id}`,
        params,
        querystring: Type.Object(containerQuery),
        headers: onceHeaders,
        response: {
          [status.noContent]: emptyReply('Taken away'),
          ...refusals('INVALID_ARGUMENT', otherRequest, 'NOT_FOUND', 'ABORTED', full),
        },
      },
    },
    async ({ params: { path = '' }, query, headers }, reply) => {
      const { scopes } = service
      await scopes.remove(query.container ?? '', path, headers['idempotency-key'])
      return reply.code(status.noContent).send()
    },
  )
  app.post(
    `${url}::reuse_variables`,
    {
      schema: {
        tags,
        summary: `From now on, only share variables in ${what} and below it`,
        operationId: `reuse${id}`,
        params,
        querystring: Type.Object(containerQuery),
        headers: onceHeaders,
        response: {
          [status.ok]: Scope,
          ...refusals('INVALID_ARGUMENT', otherRequest, 'ABORTED', full),
        },
      },
    },
    async ({ params: { path = '' }, query, headers }) => {
      const container = query.container ?? ''
      const key = headers['idempotency-key']
      return scopeReply(await service.scopes.reuseVariables(container, path, key))
    },
  )
}

function givenScope(body: Static<typeof ScopeArguments>): GivenScope {
  const { reuse, device, partitions } = body
  return {
    reuse,
    initializer: body.initializer as GivenInitializer | undefined,
    dtype: body.dtype === undefined ? undefined : dtypeNamed(body.dtype),
    device,
    partitions,
  }
}

/** A scope as replies show it. */
function scopeReply({ container, path, own, effective }: ScopeView) {
  const { initializer, partitions, ...rest } = effective
  return {
    path,
    container,
    ...own,
    effective: {
      ...rest,
      initializer: (initializer ?? null) as unknown,
      partitions: (partitions ?? null) as unknown,
    },
  }
}
