// Tensors on their way out: one value, or several, in the media type that the request accepts.
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  type OutputBytes,
  protoOfTensor,
  writeNpy,
  writeNpz,
  writeSafetensors,
} from '../formats/index.ts'
import { base64OfBytes, encodeTensorProto } from '../proto/index.ts'
import {
  type ByteRange,
  checkHeld,
  type ReadableValue,
  type Service,
  streamOfReadable,
  tensorOfReadable,
  zipTools,
} from '../service/index.ts'
import { elementCountOf, Refusal } from '../tensor/index.ts'
import { npzType, tensorTypes } from './bodies.ts'
import { hasAlready, sendNotModified } from './conditions.ts'
import { valueText } from './json-writer.ts'
import { chooseType } from './negotiate.ts'
import { cut, sendAtOnce, sendBytes, sendJson } from './streams.ts'

/** A value under its name. */
export interface NamedValue {
  readonly name: string
  readonly value: ReadableValue
  /** Members of the JSON form before the tensor's own. */
  readonly members: Readonly<Record<string, string | number | boolean>>
}

/** A value to be sent. */
export interface ValueReply extends NamedValue {
  readonly etag: string
}

/** Media types of one value; the first one unless another is preferred. */
export const valueTypes = [
  tensorTypes.json,
  tensorTypes.npy,
  tensorTypes.raw,
  tensorTypes.safetensors,
  tensorTypes.protobuf,
] as const

const offersOfSeveral = [tensorTypes.json, tensorTypes.safetensors, npzType] as const

/**
 * Sends one value: JSON unless `accept` prefers another form. Answers `If-None-Match`. Raw bytes that are
 * in memory already go out at once, without a promise.
 */
export function sendValue(
  request: FastifyRequest,
  reply: FastifyReply,
  service: Service,
  sent: ValueReply,
): FastifyReply | Promise<FastifyReply> {
  const { value, etag } = sent
  const { headers } = request
  const type = chooseType(headers.accept, valueTypes)
  const isPlain = headers['if-none-match'] === undefined && headers.range === undefined
  if (type === tensorTypes.raw && isPlain && request.method === 'GET') {
    const bytes = value.dtype === 'string' ? undefined : value.atHand?.()
    if (bytes !== undefined) return sendRawAtOnce(reply, bytes, value, etag)
  }
  reply.header('etag', etag).header('vary', 'accept')
  if (hasAlready(headers['if-none-match'], etag)) return sendNotModified(reply)
  if (type === tensorTypes.json) return sendAsJson(request, reply, service, sent)
  reply.header('x-tensor-dtype', value.dtype)
  reply.header('x-tensor-shape', `[${value.shape.join(',')}]`)
  if (type !== tensorTypes.raw) return sendAsFile(reply, service, sent, type)
  if (value.dtype === 'string') throw noRawStrings(sent.name)
  return sendBytes(reply, {
    contentType: type,
    byteLength: value.byteLength,
    etag,
    isOwned: true,
    chunks: (range) => value.read(range),
    whole: () => value.bytes(),
  })
}

function sendRawAtOnce(
  reply: FastifyReply,
  bytes: Uint8Array,
  { dtype, shape }: ReadableValue,
  etag: string,
): FastifyReply {
  const head = ['content-type', tensorTypes.raw, 'etag', etag, 'vary', 'accept']
  head.push('x-tensor-dtype', dtype, 'x-tensor-shape', `[${shape.join(',')}]`)
  head.push('accept-ranges', 'bytes')
  return sendAtOnce(reply, bytes, head)
}

async function sendAsJson(
  request: FastifyRequest,
  reply: FastifyReply,
  service: Service,
  { value, members }: ValueReply,
): Promise<FastifyReply> {
  const encoding = (request.query as { encoding?: string }).encoding
  const text = await jsonOfValue(service, value, encoding)
  return sendJson(reply, `{${textOfMembers(members)}${text}}`)
}

async function sendAsFile(
  reply: FastifyReply,
  service: Service,
  { name, value, etag }: ValueReply,
  type: Exclude<(typeof valueTypes)[number], 'application/json' | 'application/octet-stream'>,
): Promise<FastifyReply> {
  switch (type) {
    case tensorTypes.npy:
      return sendFile(reply, type, writeNpy(streamOfReadable(name, value)), value, etag)
    case tensorTypes.safetensors:
      return sendFile(reply, type, writeSafetensors([streamOfReadable(name, value)]), value, etag)
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

/** Sends several values: JSON unless `accept` prefers a file. */
export async function sendValues(
  request: FastifyRequest,
  reply: FastifyReply,
  service: Service,
  values: readonly NamedValue[],
): Promise<FastifyReply> {
  const type = chooseType(request.headers.accept, offersOfSeveral)
  reply.header('vary', 'accept')
  switch (type) {
    case tensorTypes.json: {
      const { encoding } = request.query as { encoding?: string }
      checkTogether(service, values)
      const texts = values.map(async ({ name, value, members }) => {
        const text = await jsonOfValue(service, value, encoding)
        return `${JSON.stringify(name)}:{${textOfMembers(members)}${text}}`
      })
      return sendJson(reply, `{"values":{${(await Promise.all(texts)).join(',')}}}`)
    }
    case tensorTypes.safetensors:
      return sendFile(reply, type, writeSafetensors(streamsOf(values)))
    case npzType:
      return sendFile(reply, type, writeNpz(streamsOf(values), zipTools))
    default:
      throw new Error(`unknown media type ${type satisfies never}`)
  }
}

function streamsOf(values: readonly NamedValue[]) {
  return values.map(({ name, value }) => streamOfReadable(name, value))
}

/** Sends a file; where it is a head before one value, a range is read from the value itself. */
function sendFile(
  reply: FastifyReply,
  contentType: string,
  file: OutputBytes,
  value?: ReadableValue,
  etag?: string,
): Promise<FastifyReply> {
  const headLength = value === undefined ? undefined : file.byteLength - value.byteLength
  return sendBytes(reply, {
    contentType,
    byteLength: file.byteLength,
    etag,
    isOwned: true,
    chunks: (range?: ByteRange) => {
      if (value === undefined || headLength === undefined || range === undefined) {
        return cut(file.chunks(), range)
      }
      const { offset, length } = range
      if (offset < headLength) return cut(file.chunks(), range)
      return value.read({ offset: offset - headLength, length })
    },
  })
}

/** `"dtype":..,"shape":..,"value":..` of a value, without the braces. */
export async function jsonOfValue(
  service: Service,
  value: ReadableValue,
  encoding: string | undefined,
): Promise<string> {
  const { dtype, shape } = value
  const head = `"dtype":"${dtype}","shape":[${shape.join(',')}]`
  const inBase64 = encoding === 'b64' && dtype !== 'string'
  checkElements(service, elementCountOf(shape), 'The value has')
  const tensor = await tensorOfReadable(value)
  if (inBase64 && tensor.dtype !== 'string') return `${head},"b64":"${base64OfBytes(tensor.bytes)}"`
  return `${head},"value":${await valueText(tensor)}`
}

/** Members as JSON text with a comma after each. */
export function textOfMembers(members: NamedValue['members']): string {
  let text = ''
  for (const key in members) text += `${JSON.stringify(key)}:${JSON.stringify(members[key])},`
  return text
}

// Each may be small enough, and all of them too many for one text.
function checkTogether(service: Service, values: readonly NamedValue[]): void {
  const count = values.reduce((sum, { value }) => sum + elementCountOf(value.shape), 0)
  checkElements(service, count, 'The values have together')
}

function checkElements({ limits }: Service, count: number, subject: string): void {
  if (count <= limits.jsonElements) return
  throw new Refusal(
    'RESOURCE_EXHAUSTED',
    'json/too-large',
    `${subject} ${count} elements; JSON carries at most ${limits.jsonElements}.`,
    {
      fix: `Ask for a part with ?slice=, or with accept: ${tensorTypes.npy}, ${tensorTypes.safetensors} or ${tensorTypes.raw}.`,
    },
  )
}

/** The refusal (`http/not-acceptable`) of strings as raw bytes. */
export function noRawStrings(name: string, more = ''): Refusal {
  const forms = `${tensorTypes.json} or ${tensorTypes.protobuf}`
  return new Refusal(
    'INVALID_ARGUMENT',
    'http/not-acceptable',
    `Strings have no raw form; ${name} can be had as ${forms}. ${more}`.trimEnd(),
  )
}
