// Checkpoints as files over HTTP: upload, download, and one tensor of a checkpoint.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import {
  actorHeader,
  Checkpoint,
  encodingQuery,
  FileBody,
  sliceQuery,
} from '../../openapi/index.ts'
import type { DownloadFormat, Service, UploadForm } from '../../service/index.ts'
import {
  checkpointTypes,
  essenceOf,
  npzType,
  sqliteType,
  streamOf,
  tensorTypes,
} from '../bodies.ts'
import { hasAlready, sendNotModified } from '../conditions.ts'
import { status } from '../errors.ts'
import { sendBytes } from '../streams.ts'
import { sendValue } from '../tensor-replies.ts'
import { tensorBodyTypes } from '../tensor-requests.ts'
import { checkpointReply } from './checkpoints.ts'
import {
  badRange,
  bytesReply,
  containerQuery,
  full,
  notAcceptable,
  refusals,
  tooLarge,
  unfit,
  writeHeaders,
  wrongType,
} from './schemas.ts'

const tags = ['checkpoints']
const fileOfFormat: Readonly<Record<DownloadFormat, { type: string; extension: string }>> = {
  safetensors: { type: tensorTypes.safetensors, extension: 'safetensors' },
  tensorflow: { type: 'application/x-tar', extension: 'tar' },
  npz: { type: npzType, extension: 'npz' },
  sqlite: { type: sqliteType, extension: 'sqlite' },
}
const downloadTypes = Object.values(fileOfFormat).map(({ type }) => type)

/** What a content type says of the file: archives and plain bytes are looked into. */
function formOf(contentType: string | undefined): UploadForm {
  const type = essenceOf(contentType)
  if (type === tensorTypes.safetensors) return 'safetensors'
  if (type === sqliteType) return 'sqlite'
  return type === npzType ? 'npz' : 'any'
}

function announcedLength(header: string | undefined): number | undefined {
  return header === undefined ? undefined : Number(header)
}

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function checkpointFileRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  uploadRoute(app, service)
  downloadRoute(app, service)
  tensorRoute(app, service)
}

function uploadRoute(app: App, service: Service): void {
  app.post(
    '/v1/checkpoints::upload',
    {
      bodyLimit: service.limits.uploadBytes,
      config: { consumes: checkpointTypes, streamBytes: service.limits.uploadBytes },
      schema: {
        tags,
        summary:
          'Take in safetensors, npz, a V1 checkpoint, a checkpoint in a SQLite file, or a tar, tar.gz or zip of a TensorFlow checkpoint or SavedModel',
        operationId: 'uploadCheckpoint',
        consumes: [...checkpointTypes],
        querystring: Type.Object({
          ...containerQuery,
          step: Type.Optional(Type.Integer({ minimum: 0 })),
          label: Type.Optional(Type.String()),
          prefix: Type.Optional(
            Type.String({
              description:
                'Which checkpoint, where the archive holds several: its prefix, or the name of any of its files.',
            }),
          ),
        }),
        headers: Type.Object({ ...writeHeaders.properties, ...actorHeader }),
        body: FileBody,
        response: {
          [status.created]: Checkpoint,
          ...refusals('INVALID_ARGUMENT', unfit, wrongType, tooLarge, full, 'UNIMPLEMENTED'),
        },
      },
    },
    async (request, reply) => {
      const { query, headers } = request
      const record = await service.files.upload(
        {
          container: query.container ?? '',
          step: query.step,
          labels: query.label === undefined ? [] : [query.label],
          prefix: query.prefix,
          idempotencyKey: headers['idempotency-key'],
          actor: headers['x-holdfast-actor'],
        },
        {
          form: formOf(request.raw.headers['content-type']),
          body: streamOf(request),
          byteLength: announcedLength(request.raw.headers['content-length']),
        },
      )
      reply.code(status.created).header('location', `/v1/checkpoints/${record.id}`)
      return checkpointReply(record)
    },
  )
}

function downloadRoute(app: App, service: Service): void {
  app.get(
    '/v1/checkpoints/:id([^:]+)::download',
    {
      schema: {
        tags,
        summary:
          'The checkpoint as a file: safetensors, npz, a tar of a TensorFlow bundle, or SQLite',
        description:
          'The same bytes every time for the same checkpoint. What was cut off goes on with Range, and If-Range with the etag.',
        operationId: 'downloadCheckpoint',
        params: Type.Object({ id: Type.String() }),
        querystring: Type.Object({
          ...containerQuery,
          format: Type.Optional(
            Type.Union(
              [
                Type.Literal('safetensors'),
                Type.Literal('tensorflow'),
                Type.Literal('npz'),
                Type.Literal('sqlite'),
              ],
              {
                description: 'safetensors unless given.',
              },
            ),
          ),
        }),
        response: {
          [status.ok]: bytesReply('The file', ...downloadTypes),
          [status.partialContent]: bytesReply('A range of it', ...downloadTypes),
          ...refusals('INVALID_ARGUMENT', unfit, 'NOT_FOUND', badRange),
        },
      },
    },
    async ({ params, query, headers }, reply) => {
      const record = await service.checkpoints.get(params.id, query.container)
      const format = query.format ?? 'safetensors'
      const file = await service.files.download(record, format)
      const etag = `"${file.tag}"`
      reply.header('etag', etag)
      if (hasAlready(headers['if-none-match'], etag)) return sendNotModified(reply)
      const { type, extension } = fileOfFormat[format]
      return sendBytes(reply, {
        contentType: type,
        byteLength: file.byteLength,
        etag,
        chunks: (range) => file.chunks(range),
        isOwned: true,
        fileName: `checkpoint-${record.id}.${extension}`,
      })
    },
  )
}

function tensorRoute(app: App, service: Service): void {
  const binaryTypes = tensorBodyTypes.filter((type) => type !== tensorTypes.json)
  app.get(
    '/v1/checkpoints/:id([^:]+)/tensors/:name([^:]+)',
    {
      schema: {
        tags,
        summary:
          'One tensor of a checkpoint, or a part of it, in the media type that accept prefers',
        operationId: 'readCheckpointTensor',
        params: Type.Object({
          id: Type.String({ description: 'An id, a label, or latest.' }),
          name: Type.String({ description: 'The stored name; may hold slashes.' }),
        }),
        querystring: Type.Object({ ...containerQuery, ...sliceQuery, ...encodingQuery }),
        response: {
          [status.ok]: bytesReply('The tensor', tensorTypes.json, ...binaryTypes),
          [status.partialContent]: bytesReply('A range of the bytes', ...binaryTypes),
          ...refusals('INVALID_ARGUMENT', notAcceptable, 'NOT_FOUND', badRange, tooLarge),
        },
      },
      serializerCompiler: () => (text: unknown) => String(text),
    },
    async (request, reply) => {
      const { params, query } = request
      const { id, name: wanted } = params
      const found = await service.reads.tensor(id, query.container, wanted, query.slice)
      const { name, checkpoint = id, value } = found
      const members = { name, checkpoint }
      return sendValue(request, reply, service, { name, value, members, etag: `"${value.digest}"` })
    },
  )
}
