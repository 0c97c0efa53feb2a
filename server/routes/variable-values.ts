// The values of variables: reading them in every media type, replacing and updating them.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { writeSafetensors } from '../../formats/index.ts'
import { TensorBody, VariableValue, WrittenValue } from '../../openapi/index.ts'
import type {
  Service,
  TensorInput,
  UpdateOp,
  ValueWritten,
  WriteOptions,
} from '../../service/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { tensorTypes } from '../bodies.ts'
import { status } from '../errors.ts'
import { chooseType } from '../negotiate.ts'
import { cut, sendBytes } from '../streams.ts'
import { jsonOfValue, sendValue, textOfMembers } from '../tensor-replies.ts'
import { tensorBodyTypes, withTensorInput } from '../tensor-requests.ts'
import {
  badRange,
  bytesReply,
  containerQuery,
  etagOf,
  full,
  nameParams,
  notAcceptable,
  refusals,
  staleVersion,
  tooLarge,
  unfit,
  writeHeaders,
  writeOptionsOf,
  wrongType,
} from './schemas.ts'
import { writtenReply } from './variables.ts'

const tags = ['variables']
const binaryTypes = tensorBodyTypes.filter((type) => type !== tensorTypes.json)

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function variableValueRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  readRoute(app, service)
  readManyRoute(app, service)
  writeRoute(app, service, 'assign', 'Replace the value', (...given) =>
    service.values.assign(...given),
  )
  for (const op of ['assign_add', 'assign_sub'] as const satisfies readonly UpdateOp[]) {
    const verb = op === 'assign_add' ? 'Add to' : 'Subtract from'
    writeRoute(app, service, op, `${verb} the value`, (...given) =>
      service.values.update(op, ...given),
    )
  }
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
      const { name, container, version, value } = await service.values.read(
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
      const variables = await service.values.readMany(query.container ?? '', names)
      if (type === tensorTypes.safetensors) {
        const streams = variables.map(({ name, value }) => service.stored.stream(name, value))
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

type Write = (
  container: string,
  name: string,
  input: TensorInput,
  options: WriteOptions,
) => Promise<ValueWritten>

function writeRoute(app: App, service: Service, verb: string, summary: string, write: Write): void {
  const headers = Type.Object({
    ...writeHeaders.properties,
    'x-tensor-dtype': Type.Optional(Type.String({ description: 'Type of raw bytes.' })),
    'x-tensor-shape': Type.Optional(Type.String({ description: 'Shape of raw bytes: [2,3].' })),
  })
  app.post(
    `/v1/variables/:name([^:]+)::${verb}`,
    {
      bodyLimit: service.limits.jsonBodyBytes,
      config: { consumes: tensorBodyTypes, streamBytes: service.limits.tensorBytes },
      schema: {
        tags,
        summary,
        operationId: verb.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
        params: nameParams,
        querystring: Type.Object({
          ...containerQuery,
          return: Type.Optional(
            Type.Literal('value', { description: 'Reply with the new value.' }),
          ),
          encoding: Type.Optional(Type.Literal('b64')),
        }),
        headers,
        body: TensorBody,
        consumes: [...tensorBodyTypes],
        response: {
          [status.ok]: WrittenValue,
          ...refusals(
            'INVALID_ARGUMENT',
            unfit,
            wrongType,
            notAcceptable,
            'NOT_FOUND',
            'FAILED_PRECONDITION',
            staleVersion,
            tooLarge,
            full,
          ),
        },
      },
      serializerCompiler: asIs,
    },
    async (request, reply) => {
      const { params, query } = request
      const options = writeOptionsOf(request.headers)
      const written = await withTensorInput(request, service, (input) =>
        write(query.container ?? '', params.name, input, options),
      )
      return sendWritten(request, reply, service, written, query)
    },
  )
}

async function sendWritten(
  request: FastifyRequest,
  reply: FastifyReply,
  service: Service,
  written: ValueWritten,
  query: { return?: 'value'; encoding?: 'b64' },
): Promise<FastifyReply> {
  const members = writtenReply(written)
  reply.header('etag', members.etag)
  if (query.return !== 'value') {
    return sendJson(reply, JSON.stringify(members))
  }
  const value = await service.values.written(written)
  reply.header('x-variable-version', written.version)
  return sendValue(request, reply, service, {
    name: written.name,
    value,
    members,
    etag: members.etag,
  })
}

/** Sends JSON that is text already. */
function sendJson(reply: FastifyReply, text: string): FastifyReply {
  return reply.header('content-type', 'application/json; charset=utf-8').send(text)
}

/** The reply is text or bytes already. */
const asIs = () => (text: unknown) => String(text)

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
