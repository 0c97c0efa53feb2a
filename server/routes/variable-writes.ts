// Writes to the values of variables: replacing and updating them.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { TensorBody, WrittenValue } from '../../openapi/index.ts'
import type {
  Service,
  TensorInput,
  UpdateOp,
  ValueWritten,
  WriteOptions,
} from '../../service/index.ts'
import { status } from '../errors.ts'
import { asIs, sendJson } from '../streams.ts'
import { sendValue } from '../tensor-replies.ts'
import { tensorBodyTypes, withTensorInput } from '../tensor-requests.ts'
import {
  containerQuery,
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

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function variableWriteRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  writeRoute(app, service, 'assign', 'Replace the value', (...given) =>
    service.writes.assign(...given),
  )
  for (const op of ['assign_add', 'assign_sub'] as const satisfies readonly UpdateOp[]) {
    const verb = op === 'assign_add' ? 'Add to' : 'Subtract from'
    writeRoute(app, service, op, `${verb} the value`, (...given) =>
      service.writes.update(op, ...given),
    )
  }
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
  const value = await service.writes.written(written)
  reply.header('x-variable-version', written.version)
  return sendValue(request, reply, service, {
    name: written.name,
    value: service.stored.of(value),
    members,
    etag: members.etag,
  })
}
