// /v1/graphs: taking graphs in, showing them, running them.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { collect, openSafetensors, tensorOfJson, writeSafetensors } from '../../formats/index.ts'
import { Graph, GraphBody, GraphPage, RunGraph, RunReply } from '../../openapi/index.ts'
import { decodeGraphDef, formatText, type JsonValue } from '../../proto/index.ts'
import {
  contentOfTensor,
  type FeedInput,
  type GraphForm,
  type LoadedGraph,
  type RunOutcome,
  type Service,
} from '../../service/index.ts'
import {
  elementCountOf,
  isNumeric,
  numericTensor,
  Refusal,
  type Tensor,
} from '../../tensor/index.ts'
import { essenceOf, streamOf, tensorTypes } from '../bodies.ts'
import { status } from '../errors.ts'
import { valueText } from '../json-writer.ts'
import { chooseType } from '../negotiate.ts'
import { snakeCased } from '../snake-case.ts'
import { sendBytes } from '../streams.ts'
import { limited } from '../tensor-requests.ts'
import {
  containerQuery,
  emptyReply,
  full,
  notAcceptable,
  pageOf,
  pageQuery,
  refusals,
  timeText,
  tooLarge,
  unfit,
  writeHeaders,
  wrongType,
} from './schemas.ts'
import { writtenReply } from './variables.ts'

const tags = ['graphs']
const textType = 'text/plain'
const graphTypes = [tensorTypes.protobuf, tensorTypes.json, textType, tensorTypes.raw]
const idParams = Type.Object({ id: Type.String() })

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function graphRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  app.addContentTypeParser(
    textType,
    { parseAs: 'string' },
    async (_: unknown, text: unknown) => text,
  )
  uploadRoute(app, service)
  readRoutes(app, service)
  runRoute(app, service)
}

function uploadRoute(app: App, service: Service): void {
  app.post(
    '/v1/graphs',
    {
      bodyLimit: service.limits.graphBytes,
      config: { consumes: graphTypes, streamBytes: service.limits.graphBytes },
      schema: {
        tags,
        summary: 'Take in a GraphDef: protobuf, protobuf JSON or text format',
        operationId: 'uploadGraph',
        consumes: graphTypes,
        body: GraphBody,
        response: {
          [status.ok]: Graph,
          [status.created]: Graph,
          ...refusals('INVALID_ARGUMENT', unfit, wrongType, tooLarge, full),
        },
      },
    },
    async (request, reply) => {
      const form = await formOf(request, service.limits.graphBytes)
      const { created, ...loaded } = await service.graphs.put(form)
      reply.code(created ? status.created : status.ok)
      reply.header('location', `/v1/graphs/${loaded.record.id}`)
      return graphReply(loaded)
    },
  )
}

async function formOf(request: FastifyRequest, maxBytes: number): Promise<GraphForm> {
  const type = essenceOf(request.headers['content-type'])
  if (type === textType) return { form: 'text', text: request.body as string }
  if (type === tensorTypes.json) return { form: 'json', json: request.body as JsonValue }
  const pieces: Uint8Array[] = []
  for await (const piece of limited(streamOf(request), maxBytes)) pieces.push(piece)
  const bytes = Buffer.concat(pieces)
  if (bytes.byteLength > 0) return { form: 'binary', bytes }
  throw new Refusal(
    'INVALID_ARGUMENT',
    'http/empty-body',
    'The body is empty; a GraphDef is wanted.',
  )
}

function readRoutes(app: App, service: Service): void {
  app.get(
    '/v1/graphs',
    {
      schema: {
        tags,
        summary: 'List graphs',
        operationId: 'listGraphs',
        querystring: Type.Object(pageQuery),
        response: { [status.ok]: GraphPage, ...refusals('INVALID_ARGUMENT') },
      },
    },
    async ({ query }) => {
      const page = await service.graphs.list(pageOf(query))
      return { graphs: page.items.map(graphReply), cursor: page.cursor ?? null }
    },
  )
  app.get(
    '/v1/graphs/:id([^:]+)',
    {
      schema: {
        tags,
        summary: 'What a graph is (JSON), or the graph itself (protobuf, text format)',
        operationId: 'getGraph',
        params: idParams,
        response: {
          [status.ok]: {
            description: 'The graph',
            content: {
              'application/json': { schema: Graph },
              [tensorTypes.protobuf]: { schema: Type.Unknown() },
              [textType]: { schema: Type.String() },
            },
          },
          ...refusals(notAcceptable, 'NOT_FOUND'),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const offers = [tensorTypes.json, tensorTypes.protobuf, textType] as const
      const type = chooseType(request.headers.accept, offers)
      if (type === tensorTypes.json) return graphReply(await service.graphs.get(id))
      const bytes = await service.graphs.bytes(id)
      const isText = type === textType
      const body = isText
        ? formatText('GraphDef', decodeGraphDef(bytes))
        : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      return sendAs(reply, type, body)
    },
  )
  app.delete(
    '/v1/graphs/:id([^:]+)',
    {
      schema: {
        tags,
        summary: 'Delete a graph',
        operationId: 'deleteGraph',
        params: idParams,
        response: { [status.noContent]: emptyReply('Deleted'), ...refusals('NOT_FOUND') },
      },
    },
    async ({ params }, reply) => {
      await service.graphs.remove(params.id)
      return reply.code(status.noContent).send()
    },
  )
}

function sendAs(reply: FastifyReply, type: string, body: string | Buffer): FastifyReply {
  return reply.header('content-type', type).send(body)
}

interface RunWishes {
  readonly feeds: Readonly<Record<string, FeedInput>>
  readonly fetches: readonly string[]
  readonly targets: readonly string[]
  readonly container: string
  readonly device: string
  readonly report: boolean
}

function runRoute(app: App, service: Service): void {
  const list = Type.Optional(Type.String({ description: 'Names, separated by commas.' }))
  app.post(
    '/v1/graphs/:id([^:]+)::run',
    {
      config: {
        consumes: [tensorTypes.json, tensorTypes.safetensors],
        streamBytes: service.limits.feedBytes,
      },
      schema: {
        tags,
        summary: 'Run a graph; what it assigns is durable before the reply',
        operationId: 'runGraph',
        consumes: [tensorTypes.json, tensorTypes.safetensors],
        params: idParams,
        querystring: Type.Object({
          ...containerQuery,
          fetches: list,
          targets: list,
          device: Type.Optional(Type.String()),
          report: Type.Optional(Type.Boolean()),
        }),
        headers: writeHeaders,
        body: RunGraph,
        response: {
          [status.ok]: {
            description: 'What was fetched and written',
            content: {
              'application/json': { schema: RunReply },
              [tensorTypes.safetensors]: { schema: Type.Unknown() },
            },
          },
          ...refusals(
            'INVALID_ARGUMENT',
            unfit,
            wrongType,
            notAcceptable,
            'NOT_FOUND',
            'FAILED_PRECONDITION',
            'ABORTED',
            'PERMISSION_DENIED',
            tooLarge,
            full,
            'UNIMPLEMENTED',
            'DEADLINE_EXCEEDED',
          ),
        },
      },
      serializerCompiler: () => (text: unknown) => String(text),
    },
    async (request, reply) => {
      const { query, params } = request
      const accept = chooseType(request.headers.accept, [tensorTypes.json, tensorTypes.safetensors])
      const wishes = await wishesOf(request, query, service)
      const outcome = await service.graphs.run(params.id, {
        ...wishes,
        idempotencyKey: request.headers['idempotency-key'],
        checkFetches: (tensors) => checkSendable(tensors, wishes.fetches, accept, service),
      })
      return accept === tensorTypes.json
        ? sendJsonOutcome(reply, wishes.fetches, outcome)
        : sendTensors(reply, wishes.fetches, outcome)
    },
  )
}

type RunBody = Static<typeof RunGraph>
interface RunQuery {
  readonly container?: string
  readonly fetches?: string
  readonly targets?: string
  readonly device?: string
  readonly report?: boolean
}

async function wishesOf(
  request: FastifyRequest,
  query: RunQuery,
  service: Service,
): Promise<RunWishes> {
  const isJson = essenceOf(request.headers['content-type']) === tensorTypes.json
  const body: RunBody = isJson ? (request.body as RunBody) : {}
  const feeds = isJson
    ? jsonFeeds(body, service.limits.jsonElements)
    : await binaryFeeds(streamOf(request), service)
  return {
    feeds,
    fetches: body.fetches ?? namesOf(query.fetches),
    targets: body.targets ?? namesOf(query.targets),
    container: body.container ?? query.container ?? '',
    device: body.device ?? query.device ?? '',
    report: body.report ?? query.report ?? false,
  }
}

function namesOf(list: string | undefined): readonly string[] {
  return (list ?? '').split(',').filter((name) => name !== '')
}

function jsonFeeds(body: RunBody, maxElements: number): Readonly<Record<string, FeedInput>> {
  const feeds: Record<string, FeedInput> = Object.create(null)
  for (const [name, json] of Object.entries(body.feeds ?? {})) {
    feeds[name] = (declared) => {
      const isTyped = typeof json === 'object' && json !== null && 'dtype' in json
      // Without a type of its own and without one in the graph, a list is refused by name.
      const dtype = isTyped ? undefined : declared?.dtype
      return tensorOfJson(json as JsonValue, { dtype, maxElements })
    }
  }
  return feeds
}

async function binaryFeeds(
  body: AsyncIterable<Uint8Array>,
  service: Service,
): Promise<Readonly<Record<string, FeedInput>>> {
  const folder = service.spool.folder(service.limits.feedBytes)
  try {
    const { tensors } = await openSafetensors(await folder.keep(body))
    const feeds: Record<string, FeedInput> = Object.create(null)
    for (const tensor of tensors) {
      const bytes = await collect(tensor.chunks(), tensor.byteLength)
      feeds[tensor.name] = () => {
        if (!isNumeric(tensor.dtype)) throw new Error('safetensors hold numbers only')
        return numericTensor(tensor.dtype, tensor.shape, bytes)
      }
    }
    return feeds
  } finally {
    await folder.discard()
  }
}

/** Refuses, before anything is committed, values that the reply could not carry. */
function checkSendable(
  tensors: readonly Tensor[],
  names: readonly string[],
  type: string,
  { limits }: Service,
): void {
  if (type === tensorTypes.safetensors) {
    writeSafetensors(streamsOf(names, tensors))
    return
  }
  for (const [place, { shape }] of tensors.entries()) {
    const count = elementCountOf(shape)
    if (count <= limits.jsonElements) continue
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'json/too-large',
      `${names[place]} has ${count} elements; JSON carries at most ${limits.jsonElements}.`,
      { fix: `Ask with accept: ${tensorTypes.safetensors}.`, names: { tensor: names[place] } },
    )
  }
}

function streamsOf(names: readonly string[], tensors: readonly Tensor[]) {
  return tensors.map((tensor, place) => ({ name: names[place], ...contentOfTensor(tensor) }))
}

async function sendJsonOutcome(
  reply: FastifyReply,
  names: readonly string[],
  { fetches, written, report }: RunOutcome,
): Promise<FastifyReply> {
  const parts: string[] = []
  for (const [place, tensor] of (fetches ?? []).entries()) {
    const { dtype, shape } = tensor
    const value = await valueText(tensor)
    const name = JSON.stringify(names[place])
    parts.push(`${name}:{"dtype":"${dtype}","shape":[${shape}],"value":${value}}`)
  }
  const rest = {
    written: written.map(writtenReply),
    durable: true,
    ...(fetches === undefined ? { replayed: true } : {}),
    ...(report === undefined ? {} : { report: snakeCased(report) }),
  }
  reply.header('content-type', 'application/json; charset=utf-8')
  return reply.send(`{"fetches":{${parts.join(',')}},${JSON.stringify(rest).slice(1)}`)
}

async function sendTensors(
  reply: FastifyReply,
  names: readonly string[],
  { fetches, written }: RunOutcome,
): Promise<FastifyReply> {
  const file = writeSafetensors(streamsOf(names, fetches ?? []))
  reply.header('x-written', JSON.stringify(written.map(({ name, version }) => ({ name, version }))))
  return sendBytes(reply, {
    contentType: tensorTypes.safetensors,
    byteLength: file.byteLength,
    chunks: () => file.chunks(),
  })
}

/** A graph as replies show it. */
export function graphReply({ record, summary }: LoadedGraph) {
  const named = (one: LoadedGraph['summary']['outputs'][number]) => ({
    name: one.name,
    dtype: one.dtype ?? null,
    shape: one.shape === undefined ? null : [...one.shape],
  })
  return {
    id: record.id,
    node_count: summary.nodeCount,
    ops: { ...summary.ops },
    unsupported: [...summary.unsupported],
    inputs: summary.inputs.map(named),
    outputs: summary.outputs.map(named),
    variables: summary.variables.map((one) => ({
      ...one,
      shape: one.shape === undefined ? null : [...one.shape],
    })),
    nbytes: record.value.byteLength,
    created_at: timeText(record.createdAt),
  }
}
