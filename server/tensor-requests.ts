// Tensors on their way in: a body in any of the media types becomes an input for the service.
import type { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { openNpy, openSafetensors, tensorOfJson, tensorOfProto } from '../formats/index.ts'
import { decodeTensorProto, type JsonValue, WireError } from '../proto/index.ts'
import {
  arrivingFile,
  contentOfTensor,
  type Declaration,
  type Service,
  type TensorContent,
  type TensorInput,
} from '../service/index.ts'
import {
  type ByteSource,
  byteLengthOf,
  type DType,
  dtypeOfName,
  elementCountOf,
  formatShape,
  freeMemory,
  isNumeric,
  Refusal,
  type Shape,
  type Tensor,
} from '../tensor/index.ts'
import { essenceOf, streamOf, tensorTypes, wrongType } from './bodies.ts'

/** Media types that one tensor may come in. */
export const tensorBodyTypes: readonly string[] = Object.values(tensorTypes)

/**
 * Does `work` with the tensor of the request's body. What the body needed to be kept in is given
 * back afterwards.
 */
export async function withTensorInput<T>(
  request: FastifyRequest,
  service: Service,
  work: (input: TensorInput) => Promise<T>,
): Promise<T> {
  const type = essenceOf(request.headers['content-type'])
  const { limits } = service
  if (type === tensorTypes.json) {
    return work(async (declared) =>
      jsonContent(request.body as JsonValue, declared, limits.jsonElements),
    )
  }
  if (type === tensorTypes.raw) {
    return work((declared) => rawContent(request, declared, limits.tensorBytes))
  }
  const file = arrivingFile(limited(streamOf(request), limits.tensorBytes))
  const folder = service.spool.folder(limits.tensorBytes)
  const kept = () => folder.keep(file.rest(), true)
  const byteLength = lengthHeader(request)
  // What says at its start all that it holds is taken in as it comes, where its length is known.
  const arriving = async () => (byteLength === undefined ? kept() : file.forward(byteLength))
  try {
    return await work(async () => {
      switch (type) {
        case tensorTypes.npy:
          return openNpy(await arriving(), 'value')
        case tensorTypes.safetensors:
          return onlyTensor(await arriving())
        case tensorTypes.protobuf:
          return protoContent(await kept(), limits.feedBytes)
        default:
          throw wrongType(type, tensorBodyTypes)
      }
    })
  } finally {
    await file.end()
    await folder.discard()
  }
}

/** The stream, refused (`body/too-large`) beyond `maxBytes`. */
export async function* limited(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncIterable<Uint8Array> {
  let byteLength = 0
  for await (const chunk of body) {
    byteLength += chunk.byteLength
    if (byteLength > maxBytes) {
      throw new Refusal(
        'RESOURCE_EXHAUSTED',
        'body/too-large',
        `The body is larger than the ${maxBytes} bytes that it may have.`,
        { fix: 'See GET /v1/limits.' },
      )
    }
    yield chunk
  }
}

function jsonContent(json: JsonValue, declared: Declaration | undefined, maxElements: number) {
  return contentOfTensor(jsonTensor(json, declared, maxElements))
}

/** The tensor of a JSON value; what it does not say itself comes from `declared`. */
export function jsonTensor(
  json: JsonValue,
  declared: Declaration | undefined,
  maxElements: number,
): Tensor {
  const isObject = typeof json === 'object' && json !== null && !Array.isArray(json)
  const own = isObject ? (json as { readonly dtype?: JsonValue; readonly b64?: JsonValue }) : {}
  // The variable's shape is handed on where the JSON cannot say its own; where it can, the service
  // compares the two.
  const needsShape = own.b64 !== undefined || isEmptyList(json)
  return tensorOfJson(json, {
    dtype: own.dtype === undefined ? declared?.dtype : undefined,
    shape: needsShape ? declared?.shape : undefined,
    maxElements,
  })
}

function isEmptyList(json: JsonValue): boolean {
  const value = typeof json === 'object' && json !== null && 'value' in json ? json.value : json
  let item: unknown = value
  while (Array.isArray(item)) {
    if (item.length === 0) return true
    item = item[0]
  }
  return false
}

/** Bodies up to this length are taken in as they come: less work than a stream of streams. */
const smallBytes = 64 * 1024

async function rawContent(
  request: FastifyRequest,
  declared: Declaration | undefined,
  maxBytes: number,
): Promise<TensorContent> {
  const dtype = rawDType(request.headers['x-tensor-dtype'], declared)
  const byteLength = lengthHeader(request)
  const shape = rawShape(request.headers['x-tensor-shape'], declared, dtype, byteLength)
  const wanted = elementCountOf(shape) * byteLengthOf(dtype)
  if (wanted > maxBytes) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'tensor/too-large',
      `A tensor of ${dtype} ${formatShape(shape)} has ${wanted} bytes; at most ${maxBytes} are taken.`,
    )
  }
  if (byteLength !== undefined && byteLength !== wanted)
    throw wrongLength(dtype, shape, wanted, byteLength)
  if (byteLength !== undefined && byteLength <= smallBytes) {
    const pieces = await piecesOf(request.body as Readable)
    const given = pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
    if (given !== wanted) throw wrongLength(dtype, shape, wanted, given)
    return { dtype, shape, byteLength: wanted, chunks: () => inPieces(pieces) }
  }
  const body = limited(streamOf(request), maxBytes)
  async function* checked(): AsyncIterable<Uint8Array> {
    let given = 0
    for await (const chunk of body) {
      given += chunk.byteLength
      if (given > wanted) throw wrongLength(dtype, shape, wanted, given)
      yield chunk
      // Whoever takes a piece copies it before asking for the next.
      freeMemory(chunk)
    }
    if (given < wanted) throw wrongLength(dtype, shape, wanted, given)
  }
  return { dtype, shape, byteLength: wanted, chunks: checked }
}

/** The pieces of a body that is known to be small. */
function piecesOf(body: Readable): Promise<readonly Uint8Array[]> {
  const pieces: Uint8Array[] = []
  const { promise, resolve, reject } = Promise.withResolvers<readonly Uint8Array[]>()
  if (body.destroyed) reject(goneAway())
  body.on('data', (piece: Uint8Array) => pieces.push(piece))
  body.on('end', () => resolve(pieces))
  body.on('error', reject)
  body.on('close', () => {
    if (!body.readableEnded) reject(goneAway())
  })
  return promise
}

function goneAway(): Refusal {
  return new Refusal('CANCELLED', 'http/aborted', 'The client went away.')
}

async function* inPieces(pieces: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* pieces
}

function rawDType(header: string | string[] | undefined, declared: Declaration | undefined): DType {
  const dtype = typeof header === 'string' ? dtypeOfName(header) : declared?.dtype
  if (dtype !== undefined && isNumeric(dtype)) return dtype
  const problem =
    dtype === 'string'
      ? 'Strings have no raw form; send JSON or a TensorProto.'
      : header === undefined
        ? 'Raw bytes need their type: send x-tensor-dtype.'
        : `x-tensor-dtype: ${header} is no element type.`
  throw new Refusal('INVALID_ARGUMENT', 'dtype/invalid', problem)
}

function rawShape(
  header: string | string[] | undefined,
  declared: Declaration | undefined,
  dtype: DType,
  byteLength: number | undefined,
): Shape {
  if (typeof header === 'string') {
    const text = header
      .trim()
      .replace(/^\[(.*)\]$/, '$1')
      .trim()
    const sizes = text === '' ? [] : text.split(',').map((size) => size.trim())
    if (sizes.every((size) => /^\d{1,15}$/.test(size))) return sizes.map(Number)
    throw new Refusal(
      'INVALID_ARGUMENT',
      'shape/invalid',
      `x-tensor-shape is a list of sizes such as [2,3]; "${header}" was given.`,
    )
  }
  const shape = declared?.shape
  const free = shape?.filter((size) => size === -1).length ?? 2
  if (shape !== undefined && free === 0) return shape
  // One unknown size follows from the length.
  if (shape !== undefined && free === 1 && byteLength !== undefined) {
    const others = elementCountOf(shape.filter((size) => size !== -1)) * byteLengthOf(dtype)
    if (others > 0 && byteLength % others === 0) {
      return shape.map((size) => (size === -1 ? byteLength / others : size))
    }
  }
  throw new Refusal(
    'INVALID_ARGUMENT',
    'shape/unknown',
    'Raw bytes need their shape: send x-tensor-shape, such as [2,3].',
  )
}

function lengthHeader(request: FastifyRequest): number | undefined {
  const header = request.headers['content-length']
  return header === undefined ? undefined : Number(header)
}

function wrongLength(dtype: DType, shape: Shape, wanted: number, given: number): Refusal {
  const more = given > wanted ? 'more came' : `${given} came`
  return new Refusal(
    'INVALID_ARGUMENT',
    'tensor/size-mismatch',
    `A ${dtype} tensor of shape ${formatShape(shape)} takes ${wanted} bytes; ${more}.`,
  )
}

async function onlyTensor(source: ByteSource) {
  const { tensors } = await openSafetensors(source)
  if (tensors.length === 1) return tensors[0]
  throw new Refusal(
    'INVALID_ARGUMENT',
    'safetensors/one-wanted',
    `A body with one tensor is wanted; this one holds ${tensors.length}.`,
    { fix: 'Upload many at once as a checkpoint: POST /v1/checkpoints:upload.' },
  )
}

async function protoContent(source: ByteSource, maxBytes: number) {
  if (source.byteLength > maxBytes) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'tensor/too-large',
      `A TensorProto carries at most ${maxBytes} bytes here.`,
      { fix: `Send ${tensorTypes.raw} or ${tensorTypes.safetensors}.` },
    )
  }
  const bytes = await source.read(0, source.byteLength)
  try {
    return contentOfTensor(tensorOfProto(decodeTensorProto(bytes), maxBytes))
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new Refusal(
      'INVALID_ARGUMENT',
      'proto/unreadable',
      `The body is no TensorProto: ${error.message}`,
    )
  }
}
