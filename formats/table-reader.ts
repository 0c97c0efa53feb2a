// The table file (LevelDB's, without filters) that a bundle's index and a V1 checkpoint are:
// sorted keys and values in checksummed blocks. Knows nothing of what they mean.
// Source: tensorflow/core/lib/io/{format,block,table}.cc
import { type ByteSource, Refusal } from '../tensor/index.ts'
import { unmaskCrc } from './masked-crc.ts'
import { decompressSnappy } from './snappy.ts'
import type { ChecksumTools } from './tools.ts'

/** A key with its value; both are views into the block. */
export interface TableEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

interface BlockHandle {
  readonly offset: number
  readonly size: number
}

/** Where a value is in the table, to read it again later: bytes of the contents of a block. */
export interface ValuePlace {
  readonly block: BlockHandle
  readonly offset: number
  readonly byteLength: number
}

/** An entry as it is read, with the place of its value. */
export interface StoredEntry extends TableEntry {
  readonly place: ValuePlace
}

/** Bytes of the footer at the end of every table. */
const footerLength = 48
/** Bytes after every block: a type and a checksum. */
const blockTrailerLength = 5
/** The last eight bytes, as two little-endian words. */
export const tableMagic = [0x8b80fb57, 0xdb477524] as const

/** A block may be this long, stored or decompressed. One entry makes a block, however long it is. */
const maxBlockLength = 256 * 1024 * 1024
/** Blocks up to this length are kept for the next value to be read; longer ones hold one value. */
const maxKeptBlockLength = 1024 * 1024

/** The refusal of a damaged table. `reason` is the second half of the stable reason. */
function damaged(name: string, reason: string, problem: string): Refusal {
  return new Refusal('DATA_LOSS', `bundle/${reason}`, `The file ${name} ${problem}.`, {
    names: { file: name },
  })
}

/**
 * The entries of the table in `source`, in order. Every block's checksum, every length and the order
 * of the keys is checked before an entry is handed out; `name` is what messages call the file.
 * Refuses (DATA_LOSS) with `bundle/bad-magic`, `bundle/truncated`, `bundle/block-crc-mismatch`,
 * `bundle/bad-handle`, `bundle/bad-block`, `bundle/bad-compression` or `bundle/key-order`, and
 * RESOURCE_EXHAUSTED (`bundle/too-large`) a block that would have to be held whole.
 */
export async function* readTable(
  source: ByteSource,
  name: string,
  tools: ChecksumTools,
): AsyncGenerator<StoredEntry> {
  if (source.byteLength < footerLength) {
    throw damaged(name, 'bad-magic', `has ${source.byteLength} bytes and is no table`)
  }
  const end = source.byteLength - footerLength
  const footer = await source.read(end, footerLength)
  const [metaHandle, indexHandle] = readFooter(footer, name)
  const readAt = (handle: BlockHandle) => readBlock(source, handle, end, name, tools)
  for (const _ of blockEntries(await readAt(metaHandle), name)) {
    throw damaged(name, 'bad-block', 'names a filter, which no such file has')
  }
  let previous: Uint8Array | undefined
  let separator: Uint8Array | undefined
  for (const row of blockEntries(await readAt(indexHandle), name)) {
    if (separator !== undefined && compareBytes(separator, row.key) >= 0) {
      throw damaged(name, 'key-order', 'lists its blocks out of order')
    }
    const handle = readHandle(row.value, name)
    const block = await readAt(handle)
    for (const entry of blockEntries(block, name)) {
      const isAfter = previous === undefined || compareBytes(previous, entry.key) < 0
      const isAfterBlock = separator === undefined || compareBytes(separator, entry.key) < 0
      if (!isAfter || !isAfterBlock) {
        throw damaged(name, 'key-order', 'holds keys that are out of order or given twice')
      }
      const { byteLength, byteOffset } = entry.value
      const place = { block: handle, offset: byteOffset - block.byteOffset, byteLength }
      yield { ...entry, place }
      previous = entry.key
    }
    if (previous !== undefined && compareBytes(previous, row.key) > 0) {
      throw damaged(name, 'key-order', 'holds keys past the end of their block')
    }
    separator = row.key
  }
}

/** Whether the file ends as every table does. */
export async function looksLikeTable(source: ByteSource): Promise<boolean> {
  if (source.byteLength < footerLength) return false
  return endsInMagic(await source.read(source.byteLength - 8, 8))
}

function endsInMagic(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = bytes.byteLength
  return tableMagic.every((word, index) => view.getUint32(end - 8 + 4 * index, true) === word)
}

/**
 * Reads values again by the places that {@link readTable} gave, checksums checked. Small blocks are
 * kept for the next value in them. Refuses as readTable does.
 */
export function valueReader(
  source: ByteSource,
  name: string,
  tools: ChecksumTools,
): (place: ValuePlace) => Promise<Uint8Array> {
  let kept: { readonly offset: number; readonly block: Promise<Uint8Array> } | undefined
  return async ({ block: handle, offset, byteLength }) => {
    const read = () => readBlock(source, handle, source.byteLength - footerLength, name, tools)
    let block: Uint8Array
    if (handle.size > maxKeptBlockLength) {
      block = await read()
    } else {
      if (kept?.offset !== handle.offset) kept = { offset: handle.offset, block: read() }
      block = await kept.block
    }
    if (offset + byteLength > block.byteLength) {
      throw damaged(name, 'bad-block', 'has changed while it was read')
    }
    return block.subarray(offset, offset + byteLength)
  }
}

function readFooter(footer: Uint8Array, name: string): readonly [BlockHandle, BlockHandle] {
  if (!endsInMagic(footer)) {
    throw damaged(name, 'bad-magic', 'does not end as a table does (bad magic number)')
  }
  const cursor = { bytes: footer, offset: 0, end: 40 }
  const metaHandle = takeHandle(cursor, name)
  const indexHandle = takeHandle(cursor, name)
  if (footer.subarray(cursor.offset, 40).some((byte) => byte !== 0)) {
    throw damaged(name, 'bad-handle', 'has a footer with bytes in its padding')
  }
  return [metaHandle, indexHandle]
}

interface Cursor {
  readonly bytes: Uint8Array
  offset: number
  readonly end: number
}

/** A varint in its shortest form as a number; refuses one that a double cannot hold. */
function takeVarint(cursor: Cursor, name: string): number {
  let value = 0
  let unit = 1
  for (let length = 1; length <= 10; length++) {
    if (cursor.offset >= cursor.end) break
    const byte = cursor.bytes[cursor.offset++]
    value += (byte & 0x7f) * unit
    if (byte < 0x80) {
      const isShortest = byte !== 0 || length === 1
      if (isShortest && value <= Number.MAX_SAFE_INTEGER) return value
      break
    }
    unit *= 128
  }
  throw damaged(name, 'bad-block', 'holds a number that is too long or cut off')
}

function takeHandle(cursor: Cursor, name: string): BlockHandle {
  return { offset: takeVarint(cursor, name), size: takeVarint(cursor, name) }
}

function readHandle(value: Uint8Array, name: string): BlockHandle {
  const cursor = { bytes: value, offset: 0, end: value.byteLength }
  const handle = takeHandle(cursor, name)
  if (cursor.offset !== cursor.end) {
    throw damaged(name, 'bad-handle', 'holds a block handle with bytes after it')
  }
  return handle
}

async function readBlock(
  source: ByteSource,
  handle: BlockHandle,
  end: number,
  name: string,
  tools: ChecksumTools,
): Promise<Uint8Array> {
  const { offset, size } = handle
  if (offset + size + blockTrailerLength > end) {
    throw damaged(name, 'bad-handle', `names a block of ${size} bytes at ${offset}, past its end`)
  }
  if (size > maxBlockLength) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'bundle/too-large',
      `The file ${name} has a block of ${size} bytes; at most ${maxBlockLength} are read.`,
      { names: { file: name } },
    )
  }
  const stored = await source.read(offset, size + blockTrailerLength)
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength)
  const wanted = unmaskCrc(view.getUint32(size + 1, true))
  if (tools.crc32c(stored.subarray(0, size + 1)) !== wanted) {
    throw damaged(name, 'block-crc-mismatch', `has a block at ${offset} whose checksum differs`)
  }
  const block = stored.subarray(0, size)
  switch (stored[size]) {
    case 0:
      return block
    case 1:
      return decompress(block, name)
    default:
      throw damaged(name, 'bad-compression', `has a block of the unknown kind ${stored[size]}`)
  }
}

function decompress(block: Uint8Array, name: string): Uint8Array {
  const cursor = { bytes: block, offset: 0, end: block.byteLength }
  const length = takeVarint(cursor, name)
  // A snappy element of 3 bytes gives at most 64: what declares more is lying.
  if (length > maxBlockLength || length > block.byteLength * 64) {
    throw damaged(name, 'bad-compression', `has a block that claims to unpack to ${length} bytes`)
  }
  const bytes = decompressSnappy(block, cursor.offset, length)
  if (bytes === undefined)
    throw damaged(name, 'bad-compression', 'has a block that does not unpack')
  return bytes
}

function* blockEntries(block: Uint8Array, name: string): Generator<TableEntry> {
  const { restarts, end } = readRestarts(block, name)
  const cursor = { bytes: block, offset: 0, end }
  let key: Uint8Array = new Uint8Array()
  let isFirst = true
  while (cursor.offset < end) {
    const start = cursor.offset
    const shared = takeVarint(cursor, name)
    const unshared = takeVarint(cursor, name)
    const valueLength = takeVarint(cursor, name)
    if (unshared + valueLength > end - cursor.offset || shared > key.byteLength) {
      throw damaged(name, 'bad-block', 'has an entry that runs past its block or its neighbour')
    }
    if (restarts.has(start) ? shared !== 0 : isFirst) {
      throw damaged(name, 'bad-block', 'has an entry that does not start where it should')
    }
    const next = new Uint8Array(shared + unshared)
    next.set(key.subarray(0, shared))
    next.set(block.subarray(cursor.offset, cursor.offset + unshared), shared)
    cursor.offset += unshared
    if (!isFirst && compareBytes(key, next) >= 0) {
      throw damaged(name, 'key-order', 'holds keys that are out of order or given twice')
    }
    restarts.delete(start)
    yield { key: next, value: block.subarray(cursor.offset, cursor.offset + valueLength) }
    cursor.offset += valueLength
    key = next
    isFirst = false
  }
  if (restarts.size > (isFirst ? 1 : 0)) {
    throw damaged(name, 'bad-block', 'has restarts that point between its entries')
  }
}

function readRestarts(block: Uint8Array, name: string): { restarts: Set<number>; end: number } {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  const count = block.byteLength < 4 ? 0 : view.getUint32(block.byteLength - 4, true)
  const end = block.byteLength - 4 - 4 * count
  if (count === 0 || end < 0) {
    throw damaged(name, 'bad-block', `has a block of ${block.byteLength} bytes, ${count} restarts`)
  }
  const restarts = new Set<number>()
  for (let index = 0; index < count; index++) restarts.add(view.getUint32(end + 4 * index, true))
  return { restarts, end }
}

/** Below, at or above zero as `a` sorts before, with or after `b`, bytewise. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.byteLength, b.byteLength)
  for (let index = 0; index < length; index++) {
    if (a[index] !== b[index]) return a[index] - b[index]
  }
  return a.byteLength - b.byteLength
}
