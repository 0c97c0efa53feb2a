// The values of variables on their way out, in every media type.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { writeSafetensors } from '../../formats/index.ts'
import { VariableValue } from '../../openapi/index.ts'
import { type Service, streamOfReadable } from '../../service/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { tensorTypes } from '../bodies.ts'
import { status } from '../errors.ts'
import { chooseType } from '../negotiate.ts'
import { asIs, cut, sendBytes, sendJson } from '../streams.ts'
import { jsonOfValue, sendValue, textOfMembers } from '../tensor-replies.ts'
import { tensorBodyTypes } from '../tensor-requests.ts'
import {
  badRange,
  bytesReply,
  containerQuery,
  etagOf,
  nameParams,
  notAcceptable,
  refusals,
  tooLarge,
  unfit,
} from './schemas.ts'

const tags = ['variables']
const binaryTypes = tensorBodyTypes.filter((type) => type !== tensorTypes.json)

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function variableReadRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  readRoute(app, service)
  readManyRoute(app, service)
}

/** A reply that may be JSON or one of the binary forms. */
function valueReply(description: string) {
  const json = { 'application/json': { schema: VariableValue } }
  const binary = bytesReply(description, ...binaryTypes) as unknown as { content: object }
  return { description, content: { ...json, ...binary.content } }
}

function readRoute(app: App, service: Service): void {
  app.get(
    '/v1/variables/:name([^:]+)::read_value',
    {
      schema: {
        tags,
        summary: 'The value of a variable, in the media type that accept prefers',
        operationId: 'readValue',
        params: nameParams,
        querystring: Type.Object({
          ...containerQuery,
          encoding: Type.Optional(
            Type.Literal('b64', { description: 'JSON with base64 of the raw bytes.' }),
          ),
        }),
        response: {
          [status.ok]: valueReply('The value'),
          [status.partialContent]: bytesReply('A range of the bytes', ...binaryTypes),
          ...refusals(
            'INVALID_ARGUMENT',
            notAcceptable,
            unfit,
            'NOT_FOUND',
            'FAILED_PRECONDITION',
            badRange,
            tooLarge,
          ),
        },
      },
      serializerCompiler: asIs,
    },
    async (request, reply) => {
      const { params, query } = request
      const { name, container, version, value } = await service.reads.value(
        query.container ?? '',
        params.name,
      )
      const members = { name, container, version }
      reply.header('x-variable-version', version)
      return sendValue(request, reply, service, { name, value, members, etag: etagOf(version) })
    },
  )
}

function readManyRoute(app: App, service: Service): void {
  app.get(
    '/v1/variables::read_values',
    {
      schema: {
        tags,
        summary: 'Several values from one snapshot',
        operationId: 'readValues',
        querystring: Type.Object({
          ...containerQuery,
          names: Type.String({ description: 'Names, separated by commas.' }),
          encoding: Type.Optional(Type.Literal('b64')),
        }),
        response: {
          [status.ok]: {
            description: 'The values by name',
            content: {
              'application/json': {
                schema: Type.Object({ values: Type.Record(Type.String(), VariableValue) }),
              },
              ...(bytesReply('', tensorTypes.safetensors) as unknown as { content: object })
                .content,
            },
          },
          ...refusals(
            'INVALID_ARGUMENT',
            notAcceptable,
            unfit,
            'NOT_FOUND',
            'FAILED_PRECONDITION',
            tooLarge,
          ),
        },
      },
      serializerCompiler: asIs,
    },
    async (request, reply) => {
      const { query } = request
      const names = namesOf(query.names, service.limits.namesPerRequest)
      const type = chooseType(request.headers.accept, [tensorTypes.json, tensorTypes.safetensors])
      const variables = await service.reads.values(query.container ?? '', names)
      if (type === tensorTypes.safetensors) {
        const streams = variables.map(({ name, value }) => streamOfReadable(name, value))
        const file = writeSafetensors(streams)
        return sendBytes(reply, {
          contentType: type,
          byteLength: file.byteLength,
          chunks: (range) => cut(file.chunks(), range),
        })
      }
      const parts: string[] = []
      for (const { name, container, version, value } of variables) {
        const members = textOfMembers({ name, container, version })
        const text = await jsonOfValue(service, value, query.encoding)
        parts.push(`${JSON.stringify(name)}:{${members}${text}}`)
      }
      return sendJson(reply, `{"values":{${parts.join(',')}}}`)
    },
  )
}

function namesOf(text: string, most: number): readonly string[] {
  const names = [...new Set(text.split(',').map((name) => name.trim()))].filter(
    (name) => name !== '',
  )
  if (names.length > 0 && names.length <= most) return names
  throw new Refusal(
    'INVALID_ARGUMENT',
    'http/invalid-querystring',
    `names lists 1 to ${most} variables, separated by commas; ${names.length} were given.`,
  )
}
