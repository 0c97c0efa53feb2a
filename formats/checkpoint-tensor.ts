// What the readers of both checkpoint formats share: what a file states of a tensor, checked; and a
// tensor as it is handed out.
import type { TensorShapeProto, VersionDef } from '../proto/index.ts'
import {
  type DType,
  dtypeOfNumber,
  elementCountOf,
  formatShape,
  isNumeric,
  maxRank,
  Refusal,
  type Shape,
  type TensorStream,
} from '../tensor/index.ts'

/** A slice of a checkpoint's tensor: where it begins, and its own shape and bytes. */
export interface CheckpointSlice {
  readonly starts: readonly number[]
  readonly shape: Shape
  chunks(): AsyncIterable<Uint8Array>
}

/** A tensor of a checkpoint. Its `chunks` refuse (DATA_LOSS) bytes that are not those that were saved. */
export interface CheckpointTensor extends TensorStream {
  /** Where the file holds it in slices: each by itself, in the file's order. */
  readonly slices?: readonly CheckpointSlice[] | undefined
  /** Another tensor that comes before and has the very same type and bytes in the file. */
  readonly aliasOf?: string | undefined
  /** Reads every byte and checks it; refuses as `chunks` does. */
  verify(): Promise<void>
}

/** Limits on a checkpoint that is read. */
export interface CheckpointLimits {
  /** Names in the checkpoint, slices included. */
  readonly maxEntries?: number
}

/** Names that a checkpoint may hold where nothing else is said. */
export const defaultMaxEntries = 2 ** 20

/** The version of either format that we read, as TensorFlow counts. */
const consumerVersion = 1

/** Name, element type and shape of a tensor, checked to be ones that have bytes. */
export interface TensorType {
  readonly name: string
  readonly dtype: DType
  readonly shape: Shape
}

/** The tensor of that type whose bytes are `chunks`. */
export function checkpointTensor(
  { name, dtype, shape }: TensorType,
  byteLength: number,
  chunks: () => AsyncGenerator<Uint8Array>,
): CheckpointTensor {
  const verify = async () => {
    for await (const _ of chunks());
  }
  return { name, dtype, shape, byteLength, chunks, verify }
}

/** A refusal (DATA_LOSS) about one tensor of a checkpoint. */
export function damagedTensor(name: string, reason: string, problem: string): Refusal {
  const shown = name.length > 200 ? `${name.slice(0, 200)}..` : name
  return new Refusal('DATA_LOSS', `bundle/${reason}`, `The tensor "${shown}" ${problem}.`, {
    names: { tensor: name },
  })
}

/** The refusal (RESOURCE_EXHAUSTED) of a file that names more than `maxEntries` tensors. */
export function tooManyTensors(file: string, maxEntries: number): Refusal {
  return new Refusal(
    'RESOURCE_EXHAUSTED',
    'bundle/too-many-tensors',
    `The file ${file} names more than ${maxEntries} tensors.`,
  )
}

/**
 * The type that a file states of the tensor `name`. Refuses (DATA_LOSS) with
 * `bundle/unsupported-dtype` and `bundle/bad-shape`: a shape must be wholly known, and countable.
 */
export function tensorTypeOf(
  name: string,
  dtypeNumber: number,
  shape: TensorShapeProto | undefined,
): TensorType {
  const type = { name, dtype: supportedDType(name, dtypeNumber), shape: knownShape(name, shape) }
  try {
    elementCountOf(type.shape)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const shown = formatShape(type.shape)
    throw damagedTensor(name, 'bad-shape', `has more elements than can be: ${shown}`)
  }
  return type
}

function supportedDType(name: string, number: number): DType {
  const dtype = dtypeOfNumber(number)
  if (dtype !== undefined && (dtype === 'string' || isNumeric(dtype))) return dtype
  const shown = dtype ?? `number ${number}`
  const problem = `has the element type ${shown}, which has no bytes`
  throw damagedTensor(name, 'unsupported-dtype', problem)
}

/** The sizes of a shape that must be wholly known; an absent one is a scalar's. */
function knownShape(name: string, proto: TensorShapeProto | undefined): Shape {
  const sizes = proto?.dim.map(({ size }) => size) ?? []
  const isKnown = proto?.unknown_rank !== true && sizes.every((size) => size >= 0)
  if (isKnown && sizes.length <= maxRank) return sizes
  throw damagedTensor(name, 'bad-shape', 'has a shape that is not wholly known')
}

/**
 * The version of the writer. Refuses (DATA_LOSS, `bundle/version`) a file that wants a newer reader;
 * `what` begins the sentence.
 */
export function checkVersion(version: VersionDef | undefined, what: string): number {
  const { producer = 0, min_consumer: wanted = 0, bad_consumers: bad = [] } = version ?? {}
  if (producer >= 0 && wanted <= consumerVersion && !bad.includes(consumerVersion)) return producer
  throw new Refusal(
    'DATA_LOSS',
    'bundle/version',
    `${what} is of version ${producer} and wants a reader of version ${wanted} or newer; this one is ${consumerVersion}.`,
  )
}

/** A key with each byte as one character, so that it can be looked up. */
export function binaryText(key: Uint8Array): string {
  let text = ''
  for (const byte of key) text += String.fromCharCode(byte)
  return text
}

/** What of a key can be shown. */
export function printable(key: Uint8Array): string {
  return binaryText(key)
    .replace(/[^\x21-\x7e]+/g, ' ')
    .trim()
    .slice(0, 100)
}
