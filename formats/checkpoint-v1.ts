// Reads TensorFlow's first checkpoint format: one table file a shard, each with a description of its
// tensors and their slices, and a value a slice. Every checksum is checked when it is opened; values
// are decoded when a tensor's bytes are asked for.
// Source: tensorflow/core/util/{tensor_slice_reader,tensor_slice_writer}.cc
import { decodeSavedTensorSlices } from '../proto/index.ts'
import { byteLengthOf, elementCountOf, type FileSet, Refusal, sameShape } from '../tensor/index.ts'
import { breaths } from './breath.ts'
import { checkTiling, joinSlices, resolveSlice, type TensorSlice } from './bundle-slice.ts'
import { chunkLength } from './byte-source.ts'
import {
  binaryText,
  type CheckpointLimits,
  type CheckpointTensor,
  checkpointTensor,
  checkVersion,
  damagedTensor,
  defaultMaxEntries,
  printable,
  type TensorType,
  tensorTypeOf,
  tooManyTensors,
} from './checkpoint-tensor.ts'
import { extentsOf, sliceKey } from './ordered-code.ts'
import { refusingWireErrors } from './refusal-of-wire.ts'
import { bytesOfSavedSlice, type DescribedSlice, leastByteLength } from './saved-slice.ts'
import { compareBytes, readTable, type StoredEntry, valueReader } from './table-reader.ts'
import type { ChecksumTools } from './tools.ts'
import { filesOfCheckpointV1, prefixOfCheckpointV1 } from './v1-name.ts'

/** An opened checkpoint of the first format. `tensors` are in the order of their names' bytes. */
export interface CheckpointV1 {
  readonly prefix: string
  /** Names of its files, in the order of the shards. */
  readonly files: readonly string[]
  readonly tensors: readonly CheckpointTensor[]
}

/** A slice that a file describes. */
interface StoredSlice extends DescribedSlice {
  readonly starts: readonly number[]
  /** Decodes its value; set when the value is come upon. */
  load: (() => Promise<Uint8Array>) | undefined
  /** Bytes of its value where they are strings. */
  stringsByteLength: number
}

interface DescribedTensor extends TensorType {
  readonly slices: StoredSlice[]
}

interface Opening {
  readonly files: FileSet
  readonly tools: ChecksumTools
  readonly maxEntries: number
  readonly tensors: Map<string, DescribedTensor>
  entryCount: number
}

/**
 * Opens the V1 checkpoint of that name: a file's, the prefix of its shards (`a` for
 * `a-00000-of-00002`), or TensorFlow's pattern for them (`a-?????-of-00002`). Refuses NOT_FOUND
 * (`checkpoint/not-found`), and DATA_LOSS, with a reason `bundle/…`, whatever is damaged, incomplete
 * or contradictory.
 */
export async function openCheckpointV1(
  files: FileSet,
  name: string,
  tools: ChecksumTools,
  limits: CheckpointLimits = {},
): Promise<CheckpointV1> {
  const maxEntries = limits.maxEntries ?? defaultMaxEntries
  const opening: Opening = { files, tools, maxEntries, tensors: new Map(), entryCount: 0 }
  const shards = filesOfCheckpointV1(files, name)
  for (const shard of shards) await readShard(opening, shard)
  const tensors = [...opening.tensors.values()].map(openTensor)
  return { prefix: prefixOfCheckpointV1(name), files: shards, tensors: sortedByName(tensors) }
}

function sortedByName(tensors: readonly CheckpointTensor[]): CheckpointTensor[] {
  const encoder = new TextEncoder()
  return tensors
    .map((tensor) => ({ key: encoder.encode(tensor.name), tensor }))
    .sort((a, b) => compareBytes(a.key, b.key))
    .map(({ tensor }) => tensor)
}

/** Goes through one file: its description first, then every value. */
async function readShard(opening: Opening, file: string): Promise<void> {
  const source = opening.files.open(file)
  const read = valueReader(source, file, opening.tools)
  let expected: Map<string, StoredSlice> | undefined
  const breathe = breaths()
  for await (const entry of readTable(source, file, opening.tools)) {
    await breathe()
    if (expected === undefined) {
      if (entry.key.byteLength !== 0) break
      expected = readDescription(opening, file, entry.value)
    } else {
      const key = binaryText(entry.key)
      const slice = expected.get(key)
      if (slice === undefined) {
        const shown = printable(entry.key)
        throw damagedTensor(shown, 'stray-slice', `is not in the description of ${file}`)
      }
      expected.delete(key)
      placeValue(slice, entry, read)
    }
  }
  if (expected === undefined) {
    throw new Refusal('DATA_LOSS', 'bundle/no-header', `The file ${file} has no description.`)
  }
  for (const { name, starts } of expected.values()) {
    throw damagedTensor(name, 'missing-slice', `lacks its slice at [${starts}]`)
  }
}

/** The slices that a file says it holds, by their keys. */
function readDescription(
  opening: Opening,
  file: string,
  value: Uint8Array,
): Map<string, StoredSlice> {
  const what = `The description of ${file}`
  const proto = refusingWireErrors('bundle/bad-header', what, () => decodeSavedTensorSlices(value))
  if (proto.meta === undefined) {
    throw new Refusal('DATA_LOSS', 'bundle/bad-header', `${what} describes nothing.`)
  }
  checkVersion(proto.meta.versions, what)
  const here = new Set<string>()
  const expected = new Map<string, StoredSlice>()
  for (const { name, shape, type, slice: slices } of proto.meta.tensor) {
    if (name === '' || here.has(name)) {
      throw damagedTensor(name, 'bad-entry', `is described twice in ${file}, or has no name`)
    }
    here.add(name)
    const tensor = describedTensor(opening, tensorTypeOf(name, type, shape))
    opening.entryCount += slices.length > 1 ? 1 + slices.length : 1
    if (opening.entryCount > opening.maxEntries) throw tooManyTensors(file, opening.maxEntries)
    for (const extents of slices.map(extentsOf)) {
      const { dtype } = tensor
      const resolved = resolveSlice(tensor, extents)
      const slice = {
        ...{ name, dtype, extents, ...resolved },
        ...{ load: undefined, stringsByteLength: 0 },
      }
      const key = binaryText(sliceKey(name, extents))
      if (expected.has(key)) throw damagedTensor(name, 'slice-overlap', 'has a slice twice')
      expected.set(key, slice)
      tensor.slices.push(slice)
    }
  }
  return expected
}

/** The tensor of that type; shards that hold parts of one must agree on it. */
function describedTensor({ tensors }: Opening, type: TensorType): DescribedTensor {
  const known = tensors.get(type.name)
  if (known === undefined) {
    const tensor = { ...type, slices: [] }
    tensors.set(type.name, tensor)
    return tensor
  }
  if (known.dtype === type.dtype && sameShape(known.shape, type.shape)) return known
  const problem = 'is of another type or shape in another shard'
  throw damagedTensor(type.name, 'bad-entry', problem)
}

function placeValue(
  slice: StoredSlice,
  { value, place }: StoredEntry,
  read: ReturnType<typeof valueReader>,
): void {
  if (value.byteLength < leastByteLength(slice)) {
    const problem = `has a slice of ${elementCountOf(slice.shape)} elements in ${value.byteLength} bytes`
    throw damagedTensor(slice.name, 'size-mismatch', problem)
  }
  // How many bytes strings have, nothing but the strings says.
  if (slice.dtype === 'string') {
    slice.stringsByteLength = bytesOfSavedSlice(slice, value).byteLength
  }
  slice.load = async () => bytesOfSavedSlice(slice, await read(place))
}

function openTensor(tensor: DescribedTensor): CheckpointTensor {
  const { name, dtype, shape, slices } = tensor
  checkTiling(name, shape, slices)
  const [only] = slices
  if (slices.length === 1 && sameShape(only.shape, shape)) {
    const count = elementCountOf(shape)
    const byteLength = dtype === 'string' ? only.stringsByteLength : count * byteLengthOf(dtype)
    return checkpointTensor(tensor, byteLength, () => wholeChunks(only))
  }
  if (dtype === 'string') throw damagedTensor(name, 'bad-slice', 'is of strings, and partitioned')
  const byteLength = elementCountOf(shape) * byteLengthOf(dtype)
  const chunks = () => joinSlices(tensor, slices.map(tensorSlice))
  const sliced = slices.map((slice) => ({
    starts: slice.starts,
    shape: slice.shape,
    chunks: () => wholeChunks(slice),
  }))
  return { ...checkpointTensor(tensor, byteLength, chunks), slices: sliced }
}

function loadSlice(slice: StoredSlice): Promise<Uint8Array> {
  if (slice.load === undefined) throw new Error(`the value of ${slice.name} was not come upon`)
  return slice.load()
}

async function* wholeChunks(slice: StoredSlice): AsyncGenerator<Uint8Array> {
  const bytes = await loadSlice(slice)
  for (let at = 0; at < bytes.byteLength; at += chunkLength) {
    yield bytes.subarray(at, at + chunkLength)
  }
}

/** A slice to be read from its start to its end: decoded once, dropped when its end was read. */
function tensorSlice(slice: StoredSlice): TensorSlice {
  let held: Promise<Uint8Array> | undefined
  return {
    starts: slice.starts,
    shape: slice.shape,
    async read(offset, length) {
      held ??= loadSlice(slice)
      const bytes = await held
      const end = offset + length
      if (end === bytes.byteLength) held = undefined
      return bytes.subarray(offset, end)
    },
  }
}
