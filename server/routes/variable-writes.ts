// Writes to the values of variables: replacing them, and every verb that is one op.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type TSchema, Type } from 'typebox'
import {
  encodingQuery,
  TensorBody,
  UpdatedValue,
  updateBody,
  WrittenValue,
} from '../../openapi/index.ts'
import {
  type Service,
  type UpdateVerbName,
  updateVerb,
  updateVerbs,
  type ValueUpdated,
  type WriteOptions,
} from '../../service/index.ts'
import type { Shape } from '../../tensor/index.ts'
import { tensorTypes } from '../bodies.ts'
import { status } from '../errors.ts'
import { chooseType } from '../negotiate.ts'
import { sendableCheck } from '../sendable.ts'
import { asIs, sendJson } from '../streams.ts'
import { sendValue } from '../tensor-replies.ts'
import { tensorBodyTypes, withTensorInput } from '../tensor-requests.ts'
import { updateBodyTypes, withUpdateInput } from '../update-requests.ts'
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
import { type App, typed } from './typed.ts'
import { writtenReply } from './variables.ts'

const tags = ['variables']

/** Adds the routes. */
export function variableWriteRoutes(instance: FastifyInstance, service: Service): void {
  const app = typed(instance)
  assignRoute(app, service)
  for (const verb of Object.keys(updateVerbs) as UpdateVerbName[]) updateRoute(app, service, verb)
}

const writeQuery = {
  ...containerQuery,
  return: Type.Optional(Type.Literal('value', { description: 'Reply with the new value.' })),
  ...encodingQuery,
}

const rawHeaders = {
  ...writeHeaders.properties,
  'x-tensor-dtype': Type.Optional(Type.String({ description: 'Type of raw bytes.' })),
  'x-tensor-shape': Type.Optional(Type.String({ description: 'Shape of raw bytes: [2,3].' })),
}

function repliesOf(written: TSchema) {
  return {
    [status.ok]: written,
    ...refusals(
      'INVALID_ARGUMENT',
      unfit,
      wrongType,
      notAcceptable,
      'NOT_FOUND',
      'FAILED_PRECONDITION',
      'ABORTED',
      staleVersion,
      'OUT_OF_RANGE',
      tooLarge,
      full,
      'UNIMPLEMENTED',
      'DEADLINE_EXCEEDED',
    ),
  }
}

function assignRoute(app: App, service: Service): void {
  app.post(
    '/v1/variables/:name([^:]+)::assign',
    {
      bodyLimit: service.limits.jsonBodyBytes,
      config: { consumes: tensorBodyTypes, streamBytes: service.limits.tensorBytes },
      schema: {
        tags,
        summary: 'Replace the value',
        operationId: 'assign',
        params: nameParams,
        querystring: Type.Object({
          ...writeQuery,
          validate_shape: Type.Optional(
            Type.Boolean({
              description: "False: the variable takes the value's shape, whatever its own was.",
            }),
          ),
        }),
        headers: Type.Object(rawHeaders),
        body: TensorBody,
        consumes: [...tensorBodyTypes],
        response: repliesOf(WrittenValue),
      },
      serializerCompiler: asIs,
    },
    async (request, reply) => {
      const { params, query } = request
      const options = { ...optionsOf(request, service), validateShape: query.validate_shape }
      const written = await withTensorInput(request, service, (input) =>
        service.writes.assign(query.container ?? '', params.name, input, options),
      )
      return sendWritten(request, reply, service, written, query)
    },
  )
}

function updateRoute(app: App, service: Service, verb: UpdateVerbName): void {
  const row = updateVerb(verb)
  const consumes = updateBodyTypes(verb)
  const isRaw = row.inputs.length === 1
  const slice = Type.Optional(
    Type.String({ description: 'Which slice, as NumPy writes it: 0:10,:,3. Or in the JSON body.' }),
  )
  app.post(
    `/v1/variables/:name([^:]+)::${verb}`,
    {
      bodyLimit: service.limits.jsonBodyBytes,
      config: { consumes, streamBytes: service.limits.feedBytes },
      schema: {
        tags,
        summary: row.summary,
        description: `TensorFlow's ${row.op}. ${row.help}`,
        operationId: verb.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
        params: nameParams,
        querystring: Type.Object(row.argument === 'slice' ? { ...writeQuery, slice } : writeQuery),
        headers: isRaw ? Type.Object(rawHeaders) : writeHeaders,
        body: updateBody(row),
        consumes: [...consumes],
        response: repliesOf(row.output === undefined ? WrittenValue : UpdatedValue),
      },
      serializerCompiler: asIs,
    },
    async (request, reply) => {
      const { params, query } = request
      const options = optionsOf(request, service)
      const { name } = params
      const container = query.container ?? ''
      const written = await withUpdateInput(request, service, verb, (input) =>
        service.writes.update({ verb, container, name, input, options }),
      )
      return sendWritten(request, reply, service, written, query)
    },
  )
}

/** Refuses at once an `accept` that wants no form of the reply. */
function optionsOf(request: FastifyRequest, service: Service): WriteOptions {
  const options = writeOptionsOf(request.headers as Record<string, string>)
  const { return: wanted } = request.query as { readonly return?: 'value' }
  if (wanted === 'value') return { ...options, checkResult: sendableCheck(request, service) }
  chooseType(request.headers.accept, [tensorTypes.json])
  return options
}

async function sendWritten(
  request: FastifyRequest,
  reply: FastifyReply,
  service: Service,
  written: Omit<ValueUpdated, 'output'> & Partial<Pick<ValueUpdated, 'output'>> & { shape?: Shape },
  query: { return?: 'value'; encoding?: 'b64' },
): Promise<FastifyReply> {
  const { output, shape } = written
  const members = writtenReply(written)
  reply.header('etag', members.etag)
  if (query.return !== 'value') {
    const more = { ...members, ...(shape && { shape }), ...(output && { output }) }
    return sendJson(reply, JSON.stringify(more))
  }
  const value = await service.writes.written(written)
  reply.header('x-variable-version', written.version)
  return sendValue(request, reply, service, {
    name: written.name,
    value,
    members,
    etag: members.etag,
  })
}
