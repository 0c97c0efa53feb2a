// What TensorFlow Serving's clients call under /v1/models: status, metadata, predict, classify and
// regress, with its bodies and its errors. The body is JSON whatever content-type says, as there.
// Source: tensorflow_serving/model_servers/http_rest_api_handler.cc
import type { FastifyInstance, FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { protoOfTensor, tensorOfProto } from '../../formats/index.ts'
import { ExamplesRequest, ModelStatus, PredictRequest, ServingError } from '../../openapi/index.ts'
import { decodePredictRequest, encodePredictResponse, WireError } from '../../proto/index.ts'
import type { ModelRef, Service, ServingMethod } from '../../service/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { essenceOf, tensorTypes } from '../bodies.ts'
import { replyWithServingError, servingStatuses, status } from '../errors.ts'

const tags = ['models']
const model = ':model([^:/]+)'
/** What may follow the model's name, and what names the version there. */
const places = [
  { path: '', suffix: '' },
  { path: '/versions/:version(\\d+)', suffix: 'Version' },
  { path: '/labels/:label([^:/]+)', suffix: 'Label' },
] as const
const paramsOf = {
  '': Type.Object({ model: Type.String() }),
  Version: Type.Object({ model: Type.String(), version: Type.String() }),
  Label: Type.Object({ model: Type.String(), label: Type.String() }),
} as const

interface ServingParams {
  readonly model: string
  readonly version?: string
  readonly label?: string
}

const errorReplies = Object.fromEntries(servingStatuses.map((code) => [code, ServingError]))
const jsonType = 'application/json'

/** Adds the routes, in a scope of their own: its errors are TensorFlow Serving's. */
export async function servingRoutes(app: FastifyInstance, service: Service): Promise<void> {
  await app.register(async (scope) => {
    scope.setErrorHandler(replyWithServingError)
    scope.removeAllContentTypeParsers()
    const { jsonBodyBytes, feedBytes } = service.limits
    const asIs = async (_request: unknown, body: unknown) => body
    scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: jsonBodyBytes }, asIs)
    const messages = { parseAs: 'buffer', bodyLimit: feedBytes } as const
    scope.addContentTypeParser(tensorTypes.protobuf, messages, asIs)
    for (const place of places) {
      statusRoute(scope, service, place)
      metadataRoute(scope, service, place)
      for (const method of ['predict', 'classify', 'regress'] as const) {
        askRoute(scope, service, place, method)
      }
    }
    for (const method of ['GET', 'POST'] as const) {
      scope.route({
        method,
        url: '/v1/models/*',
        schema: { hide: true },
        handler: async ({ originalUrl }) => {
          throw malformed(method, originalUrl)
        },
      })
    }
  })
}

type Place = (typeof places)[number]

function statusRoute(scope: FastifyInstance, service: Service, { path, suffix }: Place): void {
  scope.get<{ Params: ServingParams }>(
    `/v1/models/${model}${path}`,
    {
      schema: {
        tags,
        summary: 'State of versions (TensorFlow Serving)',
        operationId: `modelStatus${suffix}`,
        params: paramsOf[suffix],
        response: { [status.ok]: ModelStatus, ...errorReplies },
      },
    },
    async ({ params }, reply) => {
      const { version } = refOf(params)
      const versions = (await service.models.versions(params.model)).filter(
        (one) => version === undefined || one.version === version,
      )
      if (versions.length === 0) throw noVersions(params.model, version)
      const listed = versions.map((one) => ({
        version: String(one.version),
        state: one.state,
        status: {
          error_code: one.error?.code ?? 'OK',
          error_message: one.error?.message ?? '',
        },
      }))
      return sendPretty(reply, { model_version_status: listed })
    },
  )
}

function metadataRoute(scope: FastifyInstance, service: Service, { path, suffix }: Place): void {
  scope.get<{ Params: ServingParams }>(
    `/v1/models/${model}${path}/metadata`,
    {
      schema: {
        tags,
        summary: 'Signatures of a model (TensorFlow Serving)',
        operationId: `modelMetadata${suffix}`,
        params: paramsOf[suffix],
        response: { [status.ok]: Type.Unknown(), ...errorReplies },
      },
    },
    async ({ params }, reply) => {
      const { model: name, version } = refOf(params)
      return sendPretty(reply, await service.predictions.metadata({ model: name, version }))
    },
  )
}

function askRoute(
  scope: FastifyInstance,
  service: Service,
  { path, suffix }: Place,
  method: ServingMethod,
): void {
  const body = method === 'predict' ? PredictRequest : ExamplesRequest
  scope.post<{ Params: ServingParams }>(
    `/v1/models/${model}${path}::${method}`,
    {
      config: { readsAnyBody: true },
      // The body is checked against the model, in TensorFlow Serving's words; the schema documents it.
      validatorCompiler: () => () => true,
      schema: {
        tags,
        summary: `Ask a model: ${method} (TensorFlow Serving)`,
        operationId: `${method}${suffix}`,
        params: paramsOf[suffix],
        body,
        response: { [status.ok]: Type.Unknown(), ...errorReplies },
      },
    },
    async (request, reply) => {
      const ref = refOf(request.params)
      const bytes = (request.body ?? Buffer.alloc(0)) as Buffer
      const type = essenceOf(request.headers['content-type'])
      if (method === 'predict' && type === tensorTypes.protobuf) {
        return sendMessage(reply, await predictMessage(service, ref, bytes))
      }
      const text = await service.predictions.ask(method, ref, bytes.toString('utf8'))
      return reply.header('content-type', jsonType).send(text)
    },
  )
}

/** Answers a serialized PredictRequest with a serialized PredictResponse. */
async function predictMessage(
  service: Service,
  ref: ModelRef,
  bytes: Uint8Array,
): Promise<Uint8Array> {
  const request = decoded(bytes)
  const inputs = new Map(
    [...request.inputs].map(([name, proto]) => [
      name,
      tensorOfProto(proto, service.limits.feedBytes),
    ]),
  )
  const signature = request.model_spec?.signature_name ?? ''
  const outputs = await service.predictions.call(ref, signature, inputs)
  return encodePredictResponse({
    outputs: new Map([...outputs].map(([name, tensor]) => [name, protoOfTensor(tensor)])),
    model_spec: { name: ref.model, signature_name: signature },
  })
}

function decoded(bytes: Uint8Array) {
  try {
    return decodePredictRequest(bytes)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new Refusal(
      'INVALID_ARGUMENT',
      'proto/unreadable',
      `The body is no PredictRequest: ${error.message}`,
    )
  }
}

function sendMessage(reply: FastifyReply, bytes: Uint8Array): FastifyReply {
  reply.header('content-type', tensorTypes.protobuf)
  return reply.send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
}

function sendPretty(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.header('content-type', jsonType).send(`${JSON.stringify(value, null, 1)}\n`)
}

function refOf({ model: name, version, label }: ServingParams): ModelRef {
  if (label !== undefined) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'model/unknown-label',
      `Unrecognized servable version label: ${label}`,
    )
  }
  if (version === undefined) return { model: name, version: undefined }
  const number = Number(version)
  if (Number.isSafeInteger(number)) return { model: name, version: number }
  throw new Refusal(
    'INVALID_ARGUMENT',
    'model/invalid-version',
    `Failed to convert version: ${version} to numeric.`,
  )
}

function noVersions(name: string, version: number | undefined): Refusal {
  const message =
    version === undefined
      ? `Could not find any versions of model ${name}`
      : `Could not find version ${version} of model ${name}`
  return new Refusal('NOT_FOUND', 'model/unknown', message)
}

function malformed(method: string, url: string): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'http/malformed-request',
    `Malformed request: ${method} ${url.split('?')[0]}`,
  )
}
