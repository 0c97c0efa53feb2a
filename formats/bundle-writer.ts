// Writes a tensor bundle as TensorFlow does: one data file, an index, and the `checkpoint` state file.
// Bytes are streamed; the length of every file is known before, and equal tensors give equal bytes.
// Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc (BundleWriter)
import { encodeBundleEntryProto, encodeBundleHeaderProto, WireWriter } from '../proto/index.ts'
import {
  byteLengthOf,
  elementCountOf,
  isNumeric,
  numberOfDType,
  Refusal,
  type TensorStream,
} from '../tensor/index.ts'
import { breaths } from './breath.ts'
import { shardName } from './bundle-reader.ts'
import { formatCheckpointState, stateFileName } from './checkpoint-state.ts'
import type { CheckpointSlice } from './checkpoint-tensor.ts'
import { maskCrc } from './masked-crc.ts'
import { type SliceExtent, sliceKey } from './ordered-code.ts'
import {
  cutOutput,
  joinedOutputs,
  lazyOutput,
  type OutputBytes,
  type OutputFile,
  type OutputTensor,
  outputOf,
  outputOfTensor,
} from './output.ts'
import { compareBytes, type TableEntry } from './table-reader.ts'
import { writeTable } from './table-writer.ts'
import type { ChecksumTools } from './tools.ts'

/** A tensor that may be kept in slices: its own bytes are the whole's. */
export interface SlicedTensorStream extends OutputTensor {
  /** Together they cover it, as the parts of a partitioned variable do. */
  readonly slices?: readonly OutputSlice[] | undefined
}

/** A slice to be written. */
export type OutputSlice = CheckpointSlice & Pick<OutputTensor, 'content' | 'readRange'>

interface Placed {
  readonly key: Uint8Array
  readonly tensor: OutputTensor
  readonly offset: number
  readonly size: number
  /** CRC-32C of the stored bytes; undefined until they have been streamed once. */
  crc: number | undefined
}

/** What names a sliced tensor in the index. */
interface Head {
  readonly key: Uint8Array
  readonly tensor: TensorStream
  readonly slices: readonly OutputSlice[]
}

interface Layout {
  /** In the order of the data file: by name, slices in their own order. */
  readonly placed: readonly Placed[]
  readonly heads: readonly Head[]
}

/**
 * The files of a bundle of `tensors`: `prefix`.data-00000-of-00001, `prefix`.index and `checkpoint`.
 * Sliced ones are written slice by slice under their whole name, as TensorFlow's Saver does. Streaming
 * the data first is cheapest: the index needs every tensor's checksum, and reads what was
 * not streamed yet. Refuses (INVALID_ARGUMENT) a name given twice or empty (`bundle/bad-name`) and
 * types that have no bytes (`bundle/unsupported-dtype`).
 */
export async function writeBundle(
  prefix: string,
  tensors: readonly SlicedTensorStream[],
  tools: ChecksumTools,
): Promise<readonly OutputFile[]> {
  const { placed, heads } = await place(tensors)
  const indexLength = writeIndex(placed, heads, tools).byteLength
  const name = prefix.slice(prefix.lastIndexOf('/') + 1)
  const state = new TextEncoder().encode(formatCheckpointState([name]))
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
  const data = joinedOutputs(placed.map((one) => storedOutput(one, tools)))
  const index = lazyOutput(indexLength, async () => {
    const breathe = breaths()
    for (const one of placed) {
      await breathe()
      one.crc ??= tools.known?.get(contentOf(one.tensor) ?? '')
      if (one.crc === undefined) for await (const _ of storedChunks(one, tools));
    }
    return writeIndex(placed, heads, tools)
  })
  return [
    { name: shardName(prefix, 0, 1), ...data },
    { name: `${prefix}.index`, ...index },
    { name: `${folder}${stateFileName}`, ...outputOf(state) },
  ]
}

/** Under which name the checksum of the stored bytes is remembered: strings are stored in another form. */
function contentOf({ dtype, content }: OutputTensor): string | undefined {
  if (content === undefined) return undefined
  return `bundle ${dtype === 'string' ? 'strings' : 'numbers'} ${content}`
}

/** The tensor's bytes as the data file holds them. */
function storedOutput(one: Placed, tools: ChecksumTools): OutputBytes {
  const plain = one.tensor.dtype === 'string' ? undefined : outputOfTensor(one.tensor)
  return {
    byteLength: one.size,
    chunks(range) {
      if (range === undefined) return storedChunks(one, tools)
      return plain?.chunks(range) ?? cutOutput(storedChunks(one, tools), range)
    },
  }
}

async function place(tensors: readonly SlicedTensorStream[]): Promise<Layout> {
  const encoder = new TextEncoder()
  const keyed = tensors.map((tensor) => ({ key: encoder.encode(tensor.name), tensor }))
  keyed.sort((a, b) => compareBytes(a.key, b.key))
  const placed: Placed[] = []
  const heads: Head[] = []
  let offset = 0
  let before: Uint8Array | undefined
  async function add(key: Uint8Array, tensor: TensorStream): Promise<void> {
    const size = await storedLength(tensor)
    placed.push({ key, tensor, offset, size, crc: undefined })
    offset += size
  }
  const breathe = breaths()
  for (const { key, tensor } of keyed) {
    await breathe()
    checkName(key, tensor.name, before)
    before = key
    const { name, dtype, slices = [] } = tensor
    // TensorFlow's own writer leaves no trace of a single slice; no reader takes strings in slices.
    if (slices.length < 2 || !isNumeric(dtype)) {
      await add(key, tensor)
      continue
    }
    heads.push({ key, tensor, slices })
    for (const slice of slices) {
      const byteLength = elementCountOf(slice.shape) * byteLengthOf(dtype)
      await add(sliceKey(name, extentsOf(slice)), { ...slice, name, dtype, byteLength })
    }
  }
  return { placed, heads }
}

/** Every extent spelled out, as TensorFlow saves the slices of variables. */
function extentsOf({
  starts,
  shape,
}: Pick<CheckpointSlice, 'starts' | 'shape'>): readonly SliceExtent[] {
  return starts.map((start, axis) => ({ start, length: shape[axis] }))
}

function checkName(key: Uint8Array, name: string, before: Uint8Array | undefined): void {
  const isTwice = before !== undefined && compareBytes(before, key) === 0
  if (key.byteLength > 0 && key[0] !== 0 && !isTwice) return
  const problem = isTwice ? 'is given twice' : 'cannot be the name of a tensor in a bundle'
  throw new Refusal('INVALID_ARGUMENT', 'bundle/bad-name', `"${name}" ${problem}.`, {
    names: { tensor: name },
  })
}

/** Bytes that the tensor takes in the data file. */
async function storedLength(tensor: TensorStream): Promise<number> {
  const { dtype, shape } = tensor
  const count = elementCountOf(shape)
  if (isNumeric(dtype)) return count * byteLengthOf(dtype)
  if (dtype !== 'string') {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'bundle/unsupported-dtype',
      `The tensor "${tensor.name}" is of ${dtype}, which no checkpoint can hold.`,
      { names: { tensor: tensor.name } },
    )
  }
  let lengths = 0
  for await (const { varints } of splitStrings(tensor, count)) lengths += varints.byteLength
  return lengths + 4 + tensor.byteLength - 4 * count
}

interface StringPart {
  /** The packed form's lengths in this part, each 4 bytes little-endian. */
  readonly packed: Uint8Array
  /** The same lengths as varints. */
  readonly varints: Uint8Array
  /** Bytes of strings, after the last of the lengths. */
  readonly strings: Uint8Array
}

const nothing = new Uint8Array()

/** The packed form of a string tensor, its lengths converted. Ends after the lengths unless `all`. */
async function* splitStrings(
  tensor: TensorStream,
  count: number,
  all = false,
): AsyncGenerator<StringPart> {
  let left = 4 * count
  let carried = nothing
  if (left === 0 && !all) return
  for await (const chunk of tensor.chunks()) {
    if (left === 0) {
      yield { packed: nothing, varints: nothing, strings: chunk }
      continue
    }
    const taken = Math.min(left - carried.byteLength, chunk.byteLength)
    const lengths = new Uint8Array(carried.byteLength + taken)
    lengths.set(carried)
    lengths.set(chunk.subarray(0, taken), carried.byteLength)
    const whole = lengths.byteLength - (lengths.byteLength % 4)
    const packed = lengths.subarray(0, whole)
    carried = lengths.slice(whole)
    left -= whole
    yield { packed, varints: varintsOf(packed), strings: chunk.subarray(taken) }
    if (left === 0 && !all) return
  }
}

function varintsOf(packed: Uint8Array): Uint8Array {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
  const writer = new WireWriter()
  for (let at = 0; at < packed.byteLength; at += 4) writer.uint32(view.getUint32(at, true))
  return writer.finish()
}

/** The tensor's bytes as the data file holds them; notes their checksum at the end. */
async function* storedChunks(placed: Placed, tools: ChecksumTools): AsyncGenerator<Uint8Array> {
  const { tensor } = placed
  let length = 0
  let crc = 0
  const chunks =
    tensor.dtype === 'string' ? storedStrings(placed, tools) : plainChunks(tensor, tools)
  for await (const { chunk, crcAfter } of chunks) {
    length += chunk.byteLength
    crc = crcAfter
    yield chunk
  }
  if (length !== placed.size) {
    throw new Refusal(
      'DATA_LOSS',
      'bundle/size-mismatch',
      `The tensor "${tensor.name}" gave ${length} bytes where ${placed.size} were announced.`,
      { names: { tensor: tensor.name } },
    )
  }
  placed.crc = crc
  const content = contentOf(tensor)
  if (content !== undefined) tools.known?.set(content, crc)
}

interface CheckedChunk {
  readonly chunk: Uint8Array
  readonly crcAfter: number
}

async function* plainChunks(
  tensor: TensorStream,
  { crc32c }: ChecksumTools,
): AsyncGenerator<CheckedChunk> {
  let crc = 0
  for await (const chunk of tensor.chunks()) {
    crc = crc32c(chunk, crc)
    yield { chunk, crcAfter: crc }
  }
}

/**
 * Varints, the masked checksum of the lengths as 4-byte numbers, the strings. The entry's checksum
 * runs over those numbers, the stored checksum and the strings.
 */
async function* storedStrings(
  { tensor }: Placed,
  { crc32c }: ChecksumTools,
): AsyncGenerator<CheckedChunk> {
  const count = elementCountOf(tensor.shape)
  let left = 4 * count
  let crc = 0
  let isSealed = false
  const seal = (): CheckedChunk => {
    const writer = new WireWriter()
    writer.fixed32(maskCrc(crc))
    const chunk = writer.finish()
    crc = crc32c(chunk, crc)
    isSealed = true
    return { chunk, crcAfter: crc }
  }
  for await (const { packed, varints, strings } of splitStrings(tensor, count, true)) {
    crc = crc32c(packed, crc)
    left -= packed.byteLength
    if (varints.byteLength > 0) yield { chunk: varints, crcAfter: crc }
    if (left === 0 && !isSealed) yield seal()
    if (strings.byteLength > 0) {
      crc = crc32c(strings, crc)
      yield { chunk: strings, crcAfter: crc }
    }
  }
  if (!isSealed) yield seal()
}

/** The index; checksums not known yet are written as zero, which takes as many bytes. */
function writeIndex(
  placed: readonly Placed[],
  heads: readonly Head[],
  tools: ChecksumTools,
): Uint8Array {
  const header = { num_shards: 1, version: { producer: 1 } }
  const entries: TableEntry[] = [
    { key: nothing, value: encodeBundleHeaderProto(header) },
    ...placed.map((one) => ({ key: one.key, value: entryBytes(one) })),
    ...heads.map((one) => ({ key: one.key, value: headBytes(one) })),
  ]
  return writeTable(
    entries.sort((a, b) => compareBytes(a.key, b.key)),
    tools,
  )
}

function headBytes({ tensor: { dtype, shape }, slices }: Head): Uint8Array {
  return encodeBundleEntryProto({
    dtype: numberOfDType(dtype),
    shape: { dim: shape.map((size) => ({ size })) },
    slices: slices.map((slice) => ({ extent: [...extentsOf(slice)] })),
  })
}

function entryBytes({ tensor, offset, size, crc }: Placed): Uint8Array {
  const proto = encodeBundleEntryProto({
    dtype: numberOfDType(tensor.dtype),
    shape: { dim: tensor.shape.map((dimension) => ({ size: dimension })) },
    offset,
    size,
  })
  // The checksum is the last field, and is written even where it is zero: the index's length must
  // not depend on it.
  const writer = new WireWriter()
  writer.raw(proto)
  writer.tag(6, 5)
  writer.fixed32(maskCrc(crc ?? 0))
  return writer.finish()
}
