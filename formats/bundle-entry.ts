// One entry of a bundle's index: what it claims, checked before anything is allocated or read.
import {
  type BundleEntryProto,
  decodeBundleEntryProto,
  type TensorShapeProto,
} from '../proto/index.ts'
import {
  byteLengthOf,
  type DType,
  dtypeOfNumber,
  elementCountOf,
  formatShape,
  isNumeric,
  maxRank,
  Refusal,
  type Shape,
} from '../tensor/index.ts'
import { unmaskCrc } from './masked-crc.ts'
import type { SliceExtent } from './ordered-code.ts'
import { refusingWireErrors } from './refusal-of-wire.ts'

/** Where a tensor's bytes are: `shard` of the bundle's data files, `size` bytes from `offset`. */
export interface BundleEntry {
  readonly name: string
  readonly dtype: DType
  readonly shape: Shape
  readonly shard: number
  readonly offset: number
  readonly size: number
  /** CRC-32C of those bytes, unmasked. */
  readonly crc32c: number
  /** The parts of a partitioned tensor; empty where the tensor is whole. */
  readonly slices: readonly (readonly SliceExtent[])[]
}

/** A refusal (DATA_LOSS) about one tensor of a bundle. */
export function damagedTensor(name: string, reason: string, problem: string): Refusal {
  const shown = name.length > 200 ? `${name.slice(0, 200)}..` : name
  return new Refusal('DATA_LOSS', `bundle/${reason}`, `The tensor "${shown}" ${problem}.`, {
    names: { tensor: name },
  })
}

/**
 * The entry of the tensor `name`. Refuses (DATA_LOSS) with `bundle/bad-entry`, `bundle/bad-shape`,
 * `bundle/unsupported-dtype` or `bundle/size-mismatch`. Bounds against the data file are not
 * checked here.
 */
export function readBundleEntry(name: string, value: Uint8Array): BundleEntry {
  const proto = refusingWireErrors('bundle/bad-entry', `The entry of the tensor "${name}"`, () =>
    decodeBundleEntryProto(value),
  )
  const dtype = supportedDType(name, proto.dtype)
  const shape = knownShape(name, proto.shape)
  const count = countOf(name, shape)
  const slices = proto.slices.map(({ extent }) =>
    extent.map(({ start, length }) => ({ start, length: length ?? -1 })),
  )
  const { shard_id: shard, offset, size } = proto
  if (shard < 0 || offset < 0 || size < 0 || !Number.isSafeInteger(offset + size)) {
    throw damagedTensor(name, 'bad-entry', `claims ${size} bytes at ${offset} of shard ${shard}`)
  }
  if (slices.length === 0) checkSize(name, dtype, shape, count, proto)
  return { name, dtype, shape, shard, offset, size, crc32c: unmaskCrc(proto.crc32c), slices }
}

function supportedDType(name: string, number: number): DType {
  const dtype = dtypeOfNumber(number)
  if (dtype !== undefined && (dtype === 'string' || isNumeric(dtype))) return dtype
  const shown = dtype ?? `number ${number}`
  throw damagedTensor(
    name,
    'unsupported-dtype',
    `has the element type ${shown}, which has no bytes`,
  )
}

/** The sizes of a shape that must be wholly known; an absent one is a scalar's. */
function knownShape(name: string, proto: TensorShapeProto | undefined): Shape {
  const sizes = proto?.dim.map(({ size }) => size) ?? []
  const isKnown = proto?.unknown_rank !== true && sizes.every((size) => size >= 0)
  if (isKnown && sizes.length <= maxRank) return sizes
  throw damagedTensor(name, 'bad-shape', 'has a shape that is not wholly known')
}

function countOf(name: string, shape: Shape): number {
  try {
    return elementCountOf(shape)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    throw damagedTensor(name, 'bad-shape', `has more elements than can be: ${formatShape(shape)}`)
  }
}

function checkSize(
  name: string,
  dtype: DType,
  shape: Shape,
  count: number,
  { size }: BundleEntryProto,
): void {
  // Each string takes at least one byte for its length; the lengths have a checksum of 4 bytes.
  const wanted = dtype === 'string' ? count + 4 : count * byteLengthOf(dtype)
  if (dtype === 'string' ? size >= wanted : size === wanted) return
  throw damagedTensor(
    name,
    'size-mismatch',
    `is ${dtype} of shape ${formatShape(shape)}, which takes ${wanted} bytes, and ${size} are stored`,
  )
}
