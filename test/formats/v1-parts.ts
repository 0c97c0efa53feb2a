// V1 checkpoints put together by hand for tests, so that any field of them can be wrong.
import { openCheckpoint } from '../../formats/index.ts'
import { type SliceExtent, sliceKey } from '../../formats/ordered-code.ts'
import { compareBytes } from '../../formats/table-reader.ts'
import { writeTable } from '../../formats/table-writer.ts'
import { type Draft, encode, WireWriter } from '../../proto/index.ts'
import { bytesOfChunks, fileSetOf, tools } from '../helper/tools.ts'
import { shapeOf } from './bundle-parts.ts'

/** A slice: where it is, and the message of its values. */
export interface SlicePart {
  readonly extents: readonly SliceExtent[]
  readonly values: Draft<'TensorProto'>
}

/** A tensor of one file; everything has a value that is right. */
export interface TensorPart {
  readonly name: string
  readonly type?: number
  readonly shape: Draft<'TensorShapeProto'>
  readonly slices: readonly SlicePart[]
}

/** Extents of all of each dimension. */
export function whole(rank: number): SliceExtent[] {
  return Array.from({ length: rank }, () => ({ start: 0, length: -1 }))
}

/** A float32 tensor of one slice that holds those numbers. */
export function floats(name: string, values: readonly number[]): TensorPart {
  const slices = [{ extents: whole(1), values: { float_val: values } }]
  return { name, shape: shapeOf(values.length), slices }
}

function protoOf(extents: readonly SliceExtent[]): Draft<'TensorSliceProto'> {
  return {
    extent: extents.map(({ start, length }) => (length === -1 ? { start } : { start, length })),
  }
}

/** The entry of a file's description. */
export function descriptionOf(
  tensors: readonly TensorPart[],
  versions: Draft<'VersionDef'> = { producer: 1 },
): Uint8Array {
  const tensor = tensors.map(({ name, shape, type = 1, slices }) => ({
    ...{ name, shape, type },
    slice: slices.map(({ extents }) => protoOf(extents)),
  }))
  return encode('SavedTensorSlices', { meta: { tensor, versions } })
}

/** The value of a slice, with a TensorProto as TensorFlow writes it. */
export function savedSliceOf(name: string, { extents, values }: SlicePart): Uint8Array {
  const slice = new WireWriter()
  slice.tag(1, 2)
  slice.string(name)
  slice.tag(2, 2)
  slice.bytes(encode('TensorSliceProto', protoOf(extents)))
  slice.tag(3, 2)
  slice.bytes(encode('TensorProto', values))
  const value = new WireWriter()
  value.tag(2, 2)
  value.bytes(slice.finish())
  return value.finish()
}

/** The rows of a file of those tensors, in order. */
export function rowsOf(tensors: readonly TensorPart[], description = descriptionOf(tensors)) {
  const rows = tensors.flatMap((tensor) =>
    tensor.slices.map((slice) => ({
      key: sliceKey(tensor.name, slice.extents),
      value: savedSliceOf(tensor.name, slice),
    })),
  )
  rows.sort((a, b) => compareBytes(a.key, b.key))
  return [{ key: new Uint8Array(), value: description }, ...rows]
}

/** The file of those tensors. */
export function fileOf(tensors: readonly TensorPart[], description?: Uint8Array): Uint8Array {
  return writeTable(rowsOf(tensors, description), tools)
}

/** Opens such files and reads every tensor; the bytes by name. */
export async function readFiles(
  files: Readonly<Record<string, Uint8Array>>,
  name = 'm',
): Promise<Record<string, Uint8Array>> {
  const { tensors } = await openCheckpoint(fileSetOf(files), name, tools)
  const read: Record<string, Uint8Array> = Object.create(null)
  for (const tensor of tensors) {
    read[tensor.name] = await bytesOfChunks(tensor.chunks())
    if (read[tensor.name].byteLength !== tensor.byteLength) throw new Error('another length')
  }
  return read
}
