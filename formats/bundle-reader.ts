// Reads a tensor bundle (TensorFlow's V2 checkpoint): an index of names, and data files.
// Everything that the index claims is checked before any tensor is handed out; a tensor's own
// checksum is checked while its bytes are streamed.
// Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc
import { decodeBundleHeaderProto } from '../proto/index.ts'
import {
  type ByteSource,
  byteLengthOf,
  elementCountOf,
  type FileSet,
  kindOf,
  Refusal,
} from '../tensor/index.ts'
import { breaths } from './breath.ts'
import { type BundleEntry, readBundleEntry } from './bundle-entry.ts'
import { checkTiling, joinSlices, resolveSlice, type TensorSlice } from './bundle-slice.ts'
import { readStringLayout, unpackStoredStrings } from './bundle-string.ts'
import { sliceSource, streamRange } from './byte-source.ts'
import {
  binaryText,
  type CheckpointLimits,
  type CheckpointTensor,
  checkpointTensor,
  checkVersion,
  damagedTensor,
  defaultMaxEntries,
  printable,
  tooManyTensors,
} from './checkpoint-tensor.ts'
import { sliceKey } from './ordered-code.ts'
import { refusingWireErrors } from './refusal-of-wire.ts'
import { wholeItems } from './slice-read.ts'
import { readTable } from './table-reader.ts'
import type { ChecksumTools } from './tools.ts'

/** What a bundle says of itself. */
interface BundleHeader {
  readonly shardCount: number
  readonly isBigEndian: boolean
  readonly producer: number
}

/** An opened bundle. `tensors` are in the order of their names' bytes. */
export interface Bundle {
  readonly prefix: string
  readonly header: BundleHeader
  readonly entries: ReadonlyMap<string, BundleEntry>
  readonly tensors: readonly CheckpointTensor[]
}

const maxShards = 99_999

/** The name of a data file: `model.ckpt-7.data-00000-of-00002`. */
export function shardName(prefix: string, shard: number, shardCount: number): string {
  const digits = (number: number) => String(number).padStart(5, '0')
  return `${prefix}.data-${digits(shard)}-of-${digits(shardCount)}`
}

interface Opening {
  readonly files: FileSet
  readonly prefix: string
  readonly header: BundleHeader
  readonly tools: ChecksumTools
  readonly shards: Map<number, ByteSource>
}

/**
 * Opens the bundle whose files are named `prefix`.index and `prefix`.data-…. Refuses (DATA_LOSS)
 * whatever is damaged, incomplete or contradictory, with a reason `bundle/…` and the tensor, shard
 * or file by name; NOT_FOUND (`bundle/not-found`) where the set has no such index.
 */
export async function openBundle(
  files: FileSet,
  prefix: string,
  tools: ChecksumTools,
  limits: CheckpointLimits = {},
): Promise<Bundle> {
  const indexName = `${prefix}.index`
  if (!files.names.includes(indexName)) {
    throw new Refusal('NOT_FOUND', 'bundle/not-found', `There is no file ${indexName}.`, {
      names: { file: indexName },
    })
  }
  const maxEntries = limits.maxEntries ?? defaultMaxEntries
  const index = await readIndex(files.open(indexName), indexName, tools, maxEntries)
  const opening = { files, prefix, header: index.header, tools, shards: new Map() }
  for (const entry of [...index.entries.values(), ...index.slices.values()]) {
    if (entry.slices.length === 0) checkBounds(opening, entry)
  }
  checkDisjoint([...index.entries.values(), ...index.slices.values()])
  const tensors: CheckpointTensor[] = []
  const byPlace = new Map<string, CheckpointTensor>()
  const breathe = breaths()
  for (const entry of index.entries.values()) {
    await breathe()
    const place = placeOf(entry)
    const known = place === undefined ? undefined : byPlace.get(place)
    if (known !== undefined) {
      tensors.push({ ...known, name: entry.name, aliasOf: known.name })
      continue
    }
    const tensor = await openTensor(opening, entry, index.slices)
    tensors.push(tensor)
    if (place !== undefined) byPlace.set(place, tensor)
  }
  if (index.slices.size > 0) {
    const [stray] = index.slices.values()
    throw damagedTensor(stray.name, 'stray-slice', 'is a slice that belongs to no tensor')
  }
  return { prefix, header: index.header, entries: index.entries, tensors }
}

interface Index {
  readonly header: BundleHeader
  readonly entries: Map<string, BundleEntry>
  /** Entries of slices, by their key with each byte as one character. */
  readonly slices: Map<string, BundleEntry>
}

async function readIndex(
  source: ByteSource,
  file: string,
  tools: ChecksumTools,
  maxEntries: number,
): Promise<Index> {
  let header: BundleHeader | undefined
  const entries = new Map<string, BundleEntry>()
  const slices = new Map<string, BundleEntry>()
  const breathe = breaths()
  for await (const { key, value } of readTable(source, file, tools)) {
    await breathe()
    if (header === undefined) {
      if (key.byteLength !== 0) break
      header = readHeader(value, file)
      continue
    }
    if (entries.size + slices.size >= maxEntries) {
      throw tooManyTensors(file, maxEntries)
    }
    if (key[0] === 0) {
      slices.set(binaryText(key), readBundleEntry(`slice ${printable(key)}`, value))
    } else {
      const name = nameOfKey(key, file)
      entries.set(name, readBundleEntry(name, value))
    }
  }
  if (header === undefined) {
    throw new Refusal('DATA_LOSS', 'bundle/no-header', `The index ${file} has no header.`)
  }
  return { header, entries, slices }
}

function nameOfKey(key: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(key)
  } catch (cause) {
    const message = `The index ${file} holds a name that is not UTF-8: ${printable(key)}.`
    throw new Refusal('DATA_LOSS', 'bundle/bad-name', message, { cause })
  }
}

function readHeader(value: Uint8Array, file: string): BundleHeader {
  const what = `The header of ${file}`
  const proto = refusingWireErrors('bundle/bad-header', what, () => decodeBundleHeaderProto(value))
  const { num_shards: shardCount, endianness } = proto
  if (shardCount < 1 || shardCount > maxShards) {
    throw new Refusal('DATA_LOSS', 'bundle/bad-header', `${what} claims ${shardCount} shards.`)
  }
  if (endianness !== 0 && endianness !== 1) {
    throw new Refusal('DATA_LOSS', 'bundle/bad-header', `${what} claims byte order ${endianness}.`)
  }
  const producer = checkVersion(proto.version, what)
  return { shardCount, isBigEndian: endianness === 1, producer }
}

function shardSource(opening: Opening, shard: number, tensor: string): ByteSource {
  const { files, prefix, header, shards } = opening
  const known = shards.get(shard)
  if (known !== undefined) return known
  const name = shardName(prefix, shard, header.shardCount)
  if (shard >= header.shardCount || !files.names.includes(name)) {
    throw new Refusal(
      'DATA_LOSS',
      'bundle/missing-shard',
      `The tensor "${tensor}" is in shard ${shard} of ${header.shardCount}, and there is no file ${name}.`,
      { names: { tensor, shard: name } },
    )
  }
  const source = files.open(name)
  shards.set(shard, source)
  return source
}

function checkBounds(opening: Opening, entry: BundleEntry): void {
  const { byteLength } = shardSource(opening, entry.shard, entry.name)
  if (entry.offset + entry.size <= byteLength) return
  const shard = shardName(opening.prefix, entry.shard, opening.header.shardCount)
  throw new Refusal(
    'DATA_LOSS',
    'bundle/truncated',
    `The tensor "${entry.name}" ends at byte ${entry.offset + entry.size} of ${shard}, which has ${byteLength}.`,
    { names: { tensor: entry.name, shard } },
  )
}

/** What two names for one tensor have in common; undefined where it has no bytes of its own. */
function placeOf({ dtype, shape, shard, offset, size, slices, crc32c }: BundleEntry) {
  if (slices.length > 0 || size === 0) return undefined
  return `${shard} ${offset} ${size} ${crc32c} ${dtype} [${shape}]`
}

/**
 * Two names may be those of one tensor. Other than that no writer lets tensors share bytes; a small file
 * could claim to hold a huge one otherwise.
 */
function checkDisjoint(entries: readonly BundleEntry[]): void {
  const stored = entries.filter(({ slices, size }) => slices.length === 0 && size > 0)
  stored.sort((a, b) => a.shard - b.shard || a.offset - b.offset)
  for (let index = 1; index < stored.length; index++) {
    const before = stored[index - 1]
    const entry = stored[index]
    const isShared = entry.shard === before.shard && entry.offset < before.offset + before.size
    if (isShared && placeOf(entry) !== placeOf(before)) {
      throw damagedTensor(entry.name, 'overlap', `shares bytes with "${before.name}"`)
    }
  }
}

async function openTensor(
  opening: Opening,
  entry: BundleEntry,
  slices: Map<string, BundleEntry>,
): Promise<CheckpointTensor> {
  if (entry.slices.length > 0) return openPartitioned(opening, entry, slices)
  if (entry.dtype === 'string') return openStrings(opening, entry)
  const chunks = () => storedChunks(opening, entry)
  return checkpointTensor(entry, entry.size, chunks)
}

/** Bytes of a component that a byte order applies to: half an element where it is complex. */
function componentLength(entry: BundleEntry): number {
  const length = byteLengthOf(entry.dtype)
  return kindOf(entry.dtype) === 'complex' ? length / 2 : length
}

/** `bytes` with every component of `length` bytes reversed, as a copy. */
function swapped(bytes: Uint8Array, length: number): Uint8Array {
  const copy = new Uint8Array(bytes)
  for (let at = 0; at < copy.byteLength; at += length) copy.subarray(at, at + length).reverse()
  return copy
}

async function* storedChunks(opening: Opening, entry: BundleEntry): AsyncGenerator<Uint8Array> {
  const chunks = checkedChunks(opening, entry)
  if (!opening.header.isBigEndian) {
    yield* chunks
    return
  }
  const length = componentLength(entry)
  for await (const chunk of wholeItems(chunks, length)) yield swapped(chunk, length)
}

async function* checkedChunks(
  { shards, tools }: Opening,
  entry: BundleEntry,
): AsyncGenerator<Uint8Array> {
  const source = shards.get(entry.shard) as ByteSource
  let left = entry.size
  let crc = 0
  for await (const chunk of streamRange(source, entry.offset, entry.size)) {
    crc = tools.crc32c(chunk, crc)
    left -= chunk.byteLength
    if (left === 0) checkCrc(entry, crc)
    yield chunk
  }
  if (entry.size === 0) checkCrc(entry, crc)
}

function checkCrc(entry: BundleEntry, crc: number): void {
  if (crc === entry.crc32c) return
  throw damagedTensor(
    entry.name,
    'crc-mismatch',
    'has bytes whose checksum differs from the one in the index',
  )
}

async function openStrings(opening: Opening, entry: BundleEntry): Promise<CheckpointTensor> {
  if (opening.header.isBigEndian) {
    throw damagedTensor(entry.name, 'unsupported-dtype', 'holds strings in a big-endian bundle')
  }
  const { name, offset, size, crc32c } = entry
  const source = sliceSource(opening.shards.get(entry.shard) as ByteSource, offset, size)
  const count = elementCountOf(entry.shape)
  const layout = await readStringLayout(source, count, name, opening.tools)
  const byteLength = 4 * count + layout.stringsByteLength
  const chunks = () => unpackStoredStrings(source, layout, name, crc32c, opening.tools)
  return checkpointTensor(entry, byteLength, chunks)
}

/** Takes the tensor's slices out of `slices`. */
function openPartitioned(
  opening: Opening,
  entry: BundleEntry,
  slices: Map<string, BundleEntry>,
): CheckpointTensor {
  const { name, dtype } = entry
  if (dtype === 'string') throw damagedTensor(name, 'bad-slice', 'is of strings, and partitioned')
  const parts: { readonly stored: BundleEntry; readonly slice: TensorSlice }[] = []
  for (const extents of entry.slices) {
    const { starts, shape } = resolveSlice(entry, extents)
    const key = binaryText(sliceKey(name, extents))
    const stored = slices.get(key)
    if (stored === undefined || stored.slices.length > 0) {
      throw damagedTensor(name, 'missing-slice', `lacks its slice at [${starts}]`)
    }
    const sameShape = stored.shape.join() === shape.join()
    if (stored.dtype !== dtype || !sameShape) {
      throw damagedTensor(name, 'bad-slice', `has a slice at [${starts}] of another type or shape`)
    }
    slices.delete(key)
    const read = (offset: number, length: number) => readSlice(opening, stored, offset, length)
    parts.push({ stored: { ...stored, name }, slice: { starts, shape, read } })
  }
  const joined = parts.map(({ slice }) => slice)
  checkTiling(name, entry.shape, joined)
  const byteLength = elementCountOf(entry.shape) * byteLengthOf(dtype)
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (const { stored } of parts) {
      for await (const _ of storedChunks(opening, stored));
    }
    yield* joinSlices(entry, joined)
  }
  const sliced = parts.map(({ stored, slice: { starts, shape } }) => ({
    starts,
    shape,
    chunks: () => storedChunks(opening, stored),
  }))
  return { ...checkpointTensor(entry, byteLength, chunks), slices: sliced }
}

async function readSlice(
  { header, shards }: Opening,
  stored: BundleEntry,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const source = shards.get(stored.shard) as ByteSource
  const bytes = await source.read(stored.offset + offset, length)
  return header.isBigEndian ? swapped(bytes, componentLength(stored)) : bytes
}
