// One entry of a bundle's index: what it claims, checked before anything is allocated or read.
import { type BundleEntryProto, decodeBundleEntryProto } from '../proto/index.ts'
import { byteLengthOf, elementCountOf, formatShape } from '../tensor/index.ts'
import { damagedTensor, type TensorType, tensorTypeOf } from './checkpoint-tensor.ts'
import { unmaskCrc } from './masked-crc.ts'
import { extentsOf, type SliceExtent } from './ordered-code.ts'
import { refusingWireErrors } from './refusal-of-wire.ts'

/** Where a tensor's bytes are: `shard` of the bundle's data files, `size` bytes from `offset`. */
export interface BundleEntry extends TensorType {
  readonly shard: number
  readonly offset: number
  readonly size: number
  /** CRC-32C of those bytes, unmasked. */
  readonly crc32c: number
  /** The parts of a partitioned tensor; empty where the tensor is whole. */
  readonly slices: readonly (readonly SliceExtent[])[]
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
  const type = tensorTypeOf(name, proto.dtype, proto.shape)
  const slices = proto.slices.map(extentsOf)
  const { shard_id: shard, offset, size } = proto
  if (shard < 0 || offset < 0 || size < 0 || !Number.isSafeInteger(offset + size)) {
    throw damagedTensor(name, 'bad-entry', `claims ${size} bytes at ${offset} of shard ${shard}`)
  }
  if (slices.length === 0) checkSize(type, proto)
  return { ...type, shard, offset, size, crc32c: unmaskCrc(proto.crc32c), slices }
}

function checkSize({ name, dtype, shape }: TensorType, { size }: BundleEntryProto): void {
  const count = elementCountOf(shape)
  // Each string takes at least one byte for its length; the lengths have a checksum of 4 bytes.
  const wanted = dtype === 'string' ? count + 4 : count * byteLengthOf(dtype)
  if (dtype === 'string' ? size >= wanted : size === wanted) return
  throw damagedTensor(
    name,
    'size-mismatch',
    `is ${dtype} of shape ${formatShape(shape)}, which takes ${wanted} bytes, and ${size} are stored`,
  )
}
