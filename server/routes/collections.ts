// /v1/collections: named lists of variables and JSON values.
import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import {
  AddedToCollection,
  AddToCollection,
  CollectionMemberPage,
  CollectionPage,
} from '../../openapi/index.ts'
import {
  type CollectionMember,
  collectionKey,
  type Json,
  type Service,
} from '../../service/index.ts'
import { Refusal } from '../../tensor/index.ts'
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
  tooLarge,
  wrongType,
} from './schemas.ts'
import { type App, typed } from './typed.ts'

const tags = ['collections']

const namedCollection = Type.Object({
  name: Type.String({
    description:
      'Any name, such as variables, trainable_variables, local_variables, model_variables or losses. The key of global_variables() is variables in TensorFlow, and both names mean it here.',
  }),
})

/** Adds the routes. */
export function collectionRoutes(instance: FastifyInstance, service: Service): void {
  const app = typed(instance)
  readRoutes(app, service)
  writeRoutes(app, service)
}

function readRoutes(app: App, service: Service): void {
  app.get(
    '/v1/collections',
    {
      schema: {
        tags,
        summary: 'Collections that have members, by name (get_all_collection_keys)',
        operationId: 'listCollections',
        querystring: Type.Object({ ...containerQuery, ...pageQuery }),
        response: { [status.ok]: CollectionPage, ...refusals('INVALID_ARGUMENT') },
      },
    },
    async ({ query }) => {
      const page = await service.collections.list(query.container ?? '', pageOf(query))
      const collections = page.items.map(({ name, memberCount }) => ({
        name,
        member_count: memberCount,
      }))
      return { collections, cursor: page.cursor ?? null }
    },
  )
  app.get(
    '/v1/collections/:name',
    {
      schema: {
        tags,
        summary: 'Members in order of joining (get_collection)',
        description:
          'A collection that nothing joined is empty, as in TensorFlow. With a scope, a page may hold fewer members than the limit although more follow: the list ends where cursor is null.',
        operationId: 'getCollection',
        params: namedCollection,
        querystring: Type.Object({
          ...containerQuery,
          ...pageQuery,
          scope: Type.Optional(
            Type.String({
              description:
                'Only members whose name begins with a match of this regular expression (Python\'s re.match, so plain text filters by prefix). A variable\'s name ends with ":0", as in TensorFlow; a JSON object has the name in its field "name"; members without a name are left out. Back references and look-around are refused, and matching takes linear time.',
              examples: ['dense/'],
            }),
          ),
        }),
        response: { [status.ok]: CollectionMemberPage, ...refusals('INVALID_ARGUMENT') },
      },
    },
    async ({ params, query }) => {
      const container = query.container ?? ''
      const request = { container, collection: params.name, scope: query.scope }
      const page = await service.collections.members(request, pageOf(query))
      return {
        name: collectionKey(params.name),
        container,
        members: page.items.map(memberReply),
        cursor: page.cursor ?? null,
      }
    },
  )
}

function writeRoutes(app: App, service: Service): void {
  app.post(
    '/v1/collections/:name',
    {
      schema: {
        tags,
        summary: 'Append members, one or several (add_to_collection)',
        description:
          'A member may join more than once. Limits: collection_members_per_request, collection_member_bytes, collection_member_depth and json_body_bytes of GET /v1/limits.',
        operationId: 'addToCollection',
        params: namedCollection,
        querystring: Type.Object(containerQuery),
        headers: onceHeaders,
        body: AddToCollection,
        response: {
          [status.ok]: AddedToCollection,
          ...refusals(
            'INVALID_ARGUMENT',
            otherRequest,
            wrongType,
            'NOT_FOUND',
            'ABORTED',
            tooLarge,
            full,
          ),
        },
      },
    },
    async ({ params, query, body, headers }) => {
      const container = query.container ?? ''
      const members = membersOf(body)
      const key = headers['idempotency-key']
      await service.collections.add(container, params.name, members, key)
      return {
        name: collectionKey(params.name),
        container,
        added: members.length,
        durable: true,
      }
    },
  )
  app.delete(
    '/v1/collections/:name',
    {
      schema: {
        tags,
        summary: 'Remove every member (clear_collection)',
        description: 'The variables in it stay. Nothing happens where there is no member.',
        operationId: 'clearCollection',
        params: namedCollection,
        querystring: Type.Object(containerQuery),
        headers: onceHeaders,
        response: {
          [status.noContent]: emptyReply('Empty now'),
          ...refusals('INVALID_ARGUMENT', otherRequest, 'ABORTED', full),
        },
      },
    },
    async ({ params, query, headers }, reply) => {
      const key = headers['idempotency-key']
      await service.collections.clear(query.container ?? '', params.name, key)
      return reply.code(status.noContent).send()
    },
  )
}

/** The members that a body gives. Refuses (`http/invalid-body`) none, and a mixture. */
function membersOf(body: Static<typeof AddToCollection>): readonly CollectionMember[] {
  const { members, ...alone } = body
  if (members === undefined) return [memberOf(alone, 'The body')]
  if (Object.keys(alone).length > 0) {
    throw invalidBody('The body holds members and another member beside them.')
  }
  if (members.length === 0) throw invalidBody('The body lists no member.')
  return members.map((member, index) => memberOf(member, `Member ${index}`))
}

function memberOf(
  member: { readonly variable?: string; readonly value?: unknown },
  place: string,
): CollectionMember {
  const { variable, value } = member
  const isValue = 'value' in member
  if (variable !== undefined && !isValue) return { variable }
  if (variable === undefined && isValue) return { value: value as Json }
  throw invalidBody(
    `${place} holds ${isValue ? 'both a variable and' : 'neither a variable nor'} a value.`,
  )
}

function invalidBody(sentence: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'http/invalid-body', sentence, {
    fix: 'Send {"variable": "w"}, {"value": 1}, or {"members": [..]} with several of these.',
  })
}

function memberReply(member: CollectionMember) {
  return 'variable' in member ? { variable: member.variable } : { value: member.value as unknown }
}
