// Tensors on their way out: one value in the media type that the request accepts.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { protoOfTensor, writeNpy, writeSafetensors } from '../formats/index.ts'
import { base64OfBytes, encodeTensorProto } from '../proto/index.ts'
import {
  checkHeld,
  type ReadableValue,
  type Service,
  streamOfReadable,
  tensorOfReadable,
} from '../service/index.ts'
import { elementCountOf, Refusal } from '../tensor/index.ts'
import { tensorTypes } from './bodies.ts'
import { status } from './errors.ts'
import { valueText } from './json-writer.ts'
import { chooseType } from './negotiate.ts'
import { cut, sendBytes } from './streams.ts'

/** A value to be sent. */
export interface ValueReply {
  readonly name: string
  readonly value: ReadableValue
  /** Members of the JSON form before the tensor's own. */
  readonly members: Readonly<Record<string, string | number | boolean>>
  readonly etag: string
}

const offers = [
  tensorTypes.json,
  tensorTypes.npy,
  tensorTypes.raw,
  tensorTypes.safetensors,
  tensorTypes.protobuf,
] as const

/** Sends one value: JSON unless `accept` prefers another form. Answers `If-None-Match`. */
export async function sendValue(
  request: FastifyRequest,
  reply: FastifyReply,
  service: Service,
  { name, value, members, etag }: ValueReply,
): Promise<FastifyReply> {
  const type = chooseType(request.headers.accept, offers)
  reply.header('etag', etag).header('vary', 'accept')
  if (request.headers['if-none-match'] === etag) return reply.code(status.notModified).send()
  if (type === tensorTypes.json) {
    const encoding = (request.query as { encoding?: string }).encoding
    const text = await jsonOfValue(service, value, encoding)
    reply.header('content-type', 'application/json; charset=utf-8')
    return reply.send(`{${textOfMembers(members)}${text}}`)
  }
  reply.header('x-tensor-dtype', value.dtype)
  reply.header('x-tensor-shape', JSON.stringify(value.shape))
  const stream = streamOfReadable(name, value)
  switch (type) {
    case tensorTypes.raw:
      if (value.dtype === 'string') throw noRawStrings(name)
      return sendBytes(reply, {
        contentType: type,
        byteLength: value.byteLength,
        isOwned: true,
        chunks: (range) => value.read(range),
      })
    case tensorTypes.npy: {
      const file = writeNpy(stream)
      return sendBytes(reply, {
        contentType: type,
        byteLength: file.byteLength,
        isOwned: true,
        chunks: (range) => cut(file.chunks(), range),
      })
    }
    case tensorTypes.safetensors: {
      const file = writeSafetensors([stream])
      return sendBytes(reply, {
        contentType: type,
        byteLength: file.byteLength,
        isOwned: true,
        chunks: (range) => cut(file.chunks(), range),
      })
    }
    case tensorTypes.protobuf: {
      checkHeld(value, service.limits.feedBytes, 'A TensorProto')
      const proto = encodeTensorProto(protoOfTensor(await tensorOfReadable(value)))
      reply.header('content-type', type)
      return reply.send(Buffer.from(proto.buffer, proto.byteOffset, proto.byteLength))
    }
    default:
      throw new Error(`unknown media type ${type satisfies never}`)
  }
}

/** `"dtype":..,"shape":..,"value":..` of a value, without the braces. */
export async function jsonOfValue(
  service: Service,
  value: ReadableValue,
  encoding: string | undefined,
): Promise<string> {
  const { dtype, shape } = value
  const count = elementCountOf(shape)
  const head = `"dtype":"${dtype}","shape":[${shape.join(',')}]`
  const inBase64 = encoding === 'b64' && dtype !== 'string'
  if (count > service.limits.jsonElements) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'json/too-large',
      `The value has ${count} elements; JSON carries at most ${service.limits.jsonElements}.`,
      {
        fix: `Ask for it with accept: ${tensorTypes.npy}, ${tensorTypes.safetensors} or ${tensorTypes.raw}.`,
      },
    )
  }
  const tensor = await tensorOfReadable(value)
  if (inBase64 && tensor.dtype !== 'string') return `${head},"b64":"${base64OfBytes(tensor.bytes)}"`
  return `${head},"value":${await valueText(tensor)}`
}

/** Members as JSON text with a comma after each. */
export function textOfMembers(members: ValueReply['members']): string {
  return Object.entries(members)
    .map(([key, member]) => `${JSON.stringify(key)}:${JSON.stringify(member)},`)
    .join('')
}

function noRawStrings(name: string): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'http/not-acceptable',
    `Strings have no raw form; ${name} can be had as ${tensorTypes.json} or ${tensorTypes.protobuf}.`,
  )
}
