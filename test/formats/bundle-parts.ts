// Bundles put together by hand for tests, so that any field of them can be wrong.
import { maskCrc, openBundle } from '../../formats/index.ts'
import { compareBytes } from '../../formats/table-reader.ts'
import { writeTable } from '../../formats/table-writer.ts'
import { type Draft, encode } from '../../proto/index.ts'
import { bytesOfChunks, fileSetOf, tools } from '../helper/tools.ts'

/** What a test's bundle is made of; everything has a value that is right. */
export interface Parts {
  readonly header?: Draft<'BundleHeaderProto'> | undefined
  readonly entries: readonly (readonly [string | Uint8Array, Draft<'BundleEntryProto'>])[]
  readonly shards: readonly Uint8Array[]
}

const goodHeader = { num_shards: 1, version: { producer: 1 } }

/** A shape message. */
export function shapeOf(...sizes: readonly number[]): Draft<'TensorShapeProto'> {
  return { dim: sizes.map((size) => ({ size })) }
}

/** An entry for `bytes` of a float32 vector at `offset`, its checksum right. */
export function entryOf(
  bytes: Uint8Array,
  offset = 0,
  changes: Draft<'BundleEntryProto'> = {},
): Draft<'BundleEntryProto'> {
  return {
    dtype: 1,
    shape: shapeOf(bytes.byteLength / 4),
    offset,
    size: bytes.byteLength,
    crc32c: maskCrc(tools.crc32c(bytes)),
    ...changes,
  }
}

/** The files of such a bundle, named `m`. */
export function filesOf({ header = goodHeader, entries, shards }: Parts) {
  const rows = entries.map(([key, entry]) => ({
    key: typeof key === 'string' ? new TextEncoder().encode(key) : key,
    value: encode('BundleEntryProto', entry),
  }))
  rows.sort((a, b) => compareBytes(a.key, b.key))
  const first = { key: new Uint8Array(), value: encode('BundleHeaderProto', header) }
  const files: Record<string, Uint8Array> = { 'm.index': writeTable([first, ...rows], tools) }
  shards.forEach((shard, index) => {
    const count = String(header.num_shards ?? 1).padStart(5, '0')
    files[`m.data-${String(index).padStart(5, '0')}-of-${count}`] = shard
  })
  return files
}

/** Opens such files and reads every tensor; the bytes by name. */
export async function readFiles(
  files: Readonly<Record<string, Uint8Array>>,
): Promise<Record<string, Uint8Array>> {
  const bundle = await openBundle(fileSetOf(files), 'm', tools)
  const read: Record<string, Uint8Array> = Object.create(null)
  for (const tensor of bundle.tensors) read[tensor.name] = await bytesOfChunks(tensor.chunks())
  return read
}
