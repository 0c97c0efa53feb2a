// /v1/variables: making, finding, listing, changing, deleting and initializing them. Their values
// are variable-reads.ts's and variable-writes.ts's.
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import {
  CreateVariable,
  InitializeVariables,
  UpdateVariable,
  Variable,
  VariablePage,
  Written,
} from '../../openapi/index.ts'
import { type GivenInitializer, isPartitioned, type Service } from '../../service/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { dtypeNamed } from '../dtype-names.ts'
import { status } from '../errors.ts'
import { asIs, sendJson } from '../streams.ts'
import {
  containerQuery,
  emptyReply,
  etagOf,
  full,
  nameParams,
  pageOf,
  pageQuery,
  refusals,
  staleVersion,
  tooLarge,
  unfit,
  writeHeaders,
  writeOptionsOf,
  wrongType,
} from './schemas.ts'
import { type App, typed } from './typed.ts'
import { createVariableTexts, residenceOf, variableReply } from './variable-replies.ts'

const tags = ['variables']

/** Adds the routes. */
export function variableRoutes(instance: FastifyInstance, service: Service): void {
  const app = typed(instance)
  createRoutes(app, service)
  metadataRoutes(app, service)
  initializeRoutes(app, service)
}

function createRoutes(app: App, service: Service): void {
  app.post(
    '/v1/variables',
    {
      schema: {
        tags,
        summary: 'Make or find a variable (get_variable)',
        operationId: 'createVariable',
        querystring: Type.Object(containerQuery),
        headers: writeHeaders,
        body: CreateVariable,
        response: {
          [status.ok]: Variable,
          [status.created]: Variable,
          ...refusals(
            'INVALID_ARGUMENT',
            unfit,
            wrongType,
            'NOT_FOUND',
            'ALREADY_EXISTS',
            'UNIMPLEMENTED',
            tooLarge,
            full,
          ),
        },
      },
    },
    async (request, reply) => {
      const { body, query } = request
      const { created, variable } = await service.variables.create({
        container: body.container ?? query.container ?? '',
        name: body.name,
        shape: body.shape,
        dtype: body.dtype === undefined ? undefined : dtypeNamed(body.dtype),
        initializer: body.initializer as GivenInitializer | undefined,
        trainable: body.trainable,
        collections: body.collections,
        device: body.device,
        scope: body.scope,
        reuse: body.reuse,
        partitions: body.partitions,
        validateShape: body.validate_shape ?? true,
        idempotencyKey: request.headers['idempotency-key'],
      })
      const shown = variableReply(variable)
      reply.code(created ? status.created : status.ok).header('etag', shown.etag)
      return shown
    },
  )
  app.get(
    '/v1/variables',
    {
      schema: {
        tags,
        summary: 'List variables',
        operationId: 'listVariables',
        querystring: Type.Object({
          ...containerQuery,
          ...pageQuery,
          scope: Type.Optional(Type.String({ description: 'Only those below this scope.' })),
          prefix: Type.Optional(Type.String({ description: 'Only names that begin so.' })),
          collection: Type.Optional(
            Type.String({ description: 'Only members of this collection.' }),
          ),
          trainable: Type.Optional(
            Type.Boolean({ description: 'Only those that are trainable, or only the others.' }),
          ),
          initialized: Type.Optional(
            Type.Boolean({ description: 'Only those that have a value, or only the others.' }),
          ),
          dtype: Type.Optional(Type.String({ description: 'Only those of this type: float32.' })),
          partitioned: Type.Optional(
            Type.Literal('true', {
              description:
                'Lists partitioned variables as one each instead of variables; no other filter goes with it.',
            }),
          ),
        }),
        response: { [status.ok]: VariablePage, ...refusals('INVALID_ARGUMENT', unfit) },
      },
    },
    async ({ query }) => {
      if (query.partitioned !== undefined) return listPartitioned(service, query)
      const page = await service.variables.list(
        {
          container: query.container ?? '',
          prefix: prefixOf(query),
          collection: query.collection,
          trainable: query.trainable,
          initialized: query.initialized,
          dtype: query.dtype === undefined ? undefined : dtypeNamed(query.dtype),
        },
        pageOf(query),
      )
      return { variables: page.items.map((one) => variableReply(one)), cursor: page.cursor ?? null }
    },
  )
}

async function listPartitioned(
  service: Service,
  query: { container?: string; limit?: number; cursor?: string } & object,
) {
  const filters = ['scope', 'prefix', 'collection', 'trainable', 'initialized', 'dtype']
  const other = Object.keys(query).find((key) => filters.includes(key))
  if (other !== undefined) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'http/invalid-querystring',
      `"partitioned" lists every partitioned variable of a container; "${other}" does not go with it.`,
    )
  }
  const page = await service.variables.listPartitioned(query.container ?? '', pageOf(query))
  return { variables: page.items.map((one) => variableReply(one)), cursor: page.cursor ?? null }
}

function metadataRoutes(app: App, service: Service): void {
  const url = '/v1/variables/:name([^:]+)'
  const variableText = createVariableTexts()
  app.get(
    url,
    {
      schema: {
        tags,
        summary: 'Metadata of a variable',
        operationId: 'getVariable',
        params: nameParams,
        querystring: Type.Object(containerQuery),
        response: { [status.ok]: Variable, ...refusals('NOT_FOUND') },
      },
      serializerCompiler: asIs,
      // Too short to gain by it.
      compress: false,
    },
    async ({ params, query }, reply) => {
      const named = await service.variables.get(query.container ?? '', params.name)
      if (isPartitioned(named)) {
        const shown = variableReply(named, await residenceOf(service, named))
        return sendJson(reply.header('etag', shown.etag), JSON.stringify(shown))
      }
      reply.header('etag', etagOf(named.version))
      return sendJson(reply, variableText(named, await service.devices.residence(named)))
    },
  )
  app.patch(
    url,
    {
      schema: {
        tags,
        summary: 'Change trainable, collections or device',
        operationId: 'updateVariable',
        params: nameParams,
        querystring: Type.Object(containerQuery),
        headers: writeHeaders,
        body: UpdateVariable,
        response: {
          [status.ok]: Variable,
          ...refusals('INVALID_ARGUMENT', wrongType, 'NOT_FOUND', staleVersion, full),
        },
      },
    },
    async ({ params, query, body, headers }, reply) => {
      const { name } = params
      const options = writeOptionsOf(headers)
      const named = await service.variables.update(query.container ?? '', name, body, options)
      const shown = variableReply(named, await residenceOf(service, named))
      reply.header('etag', shown.etag)
      return shown
    },
  )
  app.delete(
    url,
    {
      schema: {
        tags,
        summary: 'Delete a variable',
        operationId: 'deleteVariable',
        params: nameParams,
        querystring: Type.Object(containerQuery),
        headers: writeHeaders,
        response: {
          [status.noContent]: emptyReply('Deleted'),
          ...refusals('INVALID_ARGUMENT', 'NOT_FOUND', staleVersion, full),
        },
      },
    },
    async ({ params, query, headers }, reply) => {
      await service.variables.remove(query.container ?? '', params.name, writeOptionsOf(headers))
      return reply.code(status.noContent).send()
    },
  )
}

function initializeRoutes(app: App, service: Service): void {
  app.post(
    '/v1/variables::initialize',
    {
      config: { bodyOptional: true },
      schema: {
        tags,
        summary: 'Give many variables their initial values, all or none',
        operationId: 'initializeVariables',
        querystring: Type.Object(containerQuery),
        headers: writeHeaders,
        body: InitializeVariables,
        response: {
          [status.ok]: Type.Object({ initialized: Type.Array(Written) }),
          ...refusals(
            'INVALID_ARGUMENT',
            unfit,
            wrongType,
            'NOT_FOUND',
            'FAILED_PRECONDITION',
            staleVersion,
            full,
          ),
        },
      },
    },
    async ({ query, body, headers }) => {
      const written = await service.variables.initialize(
        {
          container: query.container ?? '',
          names: body.names,
          collection: body.collection,
          onlyUninitialized: body.only_uninitialized ?? false,
        },
        writeOptionsOf(headers),
      )
      return { initialized: written.map(writtenReply) }
    },
  )
  app.post(
    '/v1/variables/:name([^:]+)::initialize',
    {
      schema: {
        tags,
        summary: 'Give a variable its initial value',
        operationId: 'initializeVariable',
        params: nameParams,
        querystring: Type.Object(containerQuery),
        headers: writeHeaders,
        response: {
          [status.ok]: Written,
          ...refusals(
            'INVALID_ARGUMENT',
            unfit,
            'NOT_FOUND',
            'FAILED_PRECONDITION',
            staleVersion,
            full,
          ),
        },
      },
    },
    async ({ params, query, headers }, reply) => {
      const container = query.container ?? ''
      const selection = { container, names: [params.name], onlyUninitialized: false }
      const [written] = await service.variables.initialize(selection, writeOptionsOf(headers))
      reply.header('etag', etagOf(written.version))
      return writtenReply(written)
    },
  )
  app.get(
    '/v1/variables::uninitialized',
    {
      schema: {
        tags,
        summary: 'Names without a value (report_uninitialized_variables)',
        operationId: 'listUninitialized',
        querystring: Type.Object(containerQuery),
        response: {
          [status.ok]: Type.Object({ uninitialized: Type.Array(Type.String()) }),
          ...refusals('INVALID_ARGUMENT'),
        },
      },
    },
    async ({ query }) => ({
      uninitialized: [...(await service.variables.uninitialized(query.container ?? ''))],
    }),
  )
}

/** What a write did, as replies show it. */
export function writtenReply(written: { name: string; container: string; version: number }) {
  const { name, container, version } = written
  return { name, container, version, etag: etagOf(version), durable: true }
}

function prefixOf({ scope, prefix }: { scope?: string; prefix?: string }): string | undefined {
  if (scope === undefined || scope === '') return prefix
  const below = `${scope.replace(/\/$/, '')}/`
  if (prefix === undefined || below.startsWith(prefix)) return below
  if (prefix.startsWith(below)) return prefix
  throw new Refusal(
    'INVALID_ARGUMENT',
    'http/invalid-querystring',
    `No name begins with "${prefix}" and lies below the scope "${scope}".`,
  )
}
