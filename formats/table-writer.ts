// Writes the table file that a bundle's index is, byte for byte as TensorFlow's TableBuilder does.
// Source: tensorflow/core/lib/io/{table_builder,block_builder}.cc
import { WireWriter } from '../proto/index.ts'
import { maskCrc } from './masked-crc.ts'
import { compareBytes, type TableEntry, tableMagic } from './table-reader.ts'
import type { ChecksumTools } from './tools.ts'

const blockSize = 262_144
const restartInterval = 16
const footerHandlesLength = 40

interface BlockBuilder {
  writer: WireWriter
  restarts: number[]
  entriesSinceRestart: number
  lastKey: Uint8Array
  isEmpty: boolean
}

function emptyBlock(): BlockBuilder {
  return {
    writer: new WireWriter(),
    restarts: [0],
    entriesSinceRestart: 0,
    lastKey: new Uint8Array(),
    isEmpty: true,
  }
}

function addToBlock(block: BlockBuilder, { key, value }: TableEntry, interval: number): void {
  let shared = 0
  if (block.entriesSinceRestart < interval) {
    const most = Math.min(key.byteLength, block.lastKey.byteLength)
    while (shared < most && key[shared] === block.lastKey[shared]) shared++
  } else {
    block.restarts.push(block.writer.byteLength)
    block.entriesSinceRestart = 0
  }
  block.writer.uint32(shared)
  block.writer.uint32(key.byteLength - shared)
  block.writer.uint32(value.byteLength)
  block.writer.raw(key.subarray(shared))
  block.writer.raw(value)
  block.entriesSinceRestart++
  block.lastKey = key
  block.isEmpty = false
}

function blockLengthOf(block: BlockBuilder): number {
  return block.writer.byteLength + 4 * block.restarts.length + 4
}

/** The block's bytes with its trailer: kind 0 (stored plain) and the masked checksum. */
function finishBlock(block: BlockBuilder, { crc32c }: ChecksumTools): Uint8Array {
  for (const restart of block.restarts) block.writer.fixed32(restart)
  block.writer.fixed32(block.restarts.length)
  block.writer.raw(Uint8Array.of(0))
  block.writer.fixed32(maskCrc(crc32c(block.writer.finish())))
  return block.writer.finish()
}

/** The shortest key at or above `start` and below `limit`. */
function shortestSeparator(start: Uint8Array, limit: Uint8Array): Uint8Array {
  const most = Math.min(start.byteLength, limit.byteLength)
  let at = 0
  while (at < most && start[at] === limit[at]) at++
  if (at >= most || start[at] === 0xff || start[at] + 1 >= limit[at]) return start
  const separator = start.slice(0, at + 1)
  separator[at]++
  return separator
}

/** A short key at or above `key`. */
function shortSuccessor(key: Uint8Array): Uint8Array {
  const at = key.findIndex((byte) => byte !== 0xff)
  if (at === -1) return key
  const successor = key.slice(0, at + 1)
  successor[at]++
  return successor
}

/** The table that holds `entries`, which must be sorted by key and have no key twice. */
export function writeTable(entries: Iterable<TableEntry>, tools: ChecksumTools): Uint8Array {
  const file = new WireWriter()
  const index = emptyBlock()
  let block = emptyBlock()
  let pending: { readonly lastKey: Uint8Array; readonly handle: Uint8Array } | undefined

  const write = (finished: BlockBuilder): Uint8Array => {
    const handle = new WireWriter()
    handle.uint64(BigInt(file.byteLength))
    handle.uint64(BigInt(blockLengthOf(finished)))
    file.raw(finishBlock(finished, tools))
    return handle.finish()
  }
  const flush = () => {
    if (block.isEmpty) return
    pending = { lastKey: block.lastKey, handle: write(block) }
    block = emptyBlock()
  }
  const index1 = (key: Uint8Array, value: Uint8Array) => addToBlock(index, { key, value }, 1)

  let previous: Uint8Array | undefined
  for (const entry of entries) {
    if (previous !== undefined && compareBytes(previous, entry.key) >= 0) {
      throw new Error('the entries of a table must be sorted')
    }
    previous = entry.key
    if (entry.key.byteLength + entry.value.byteLength >= 2 * blockSize) flush()
    if (pending !== undefined) {
      index1(shortestSeparator(pending.lastKey, entry.key), pending.handle)
      pending = undefined
    }
    addToBlock(block, entry, restartInterval)
    if (blockLengthOf(block) >= blockSize) flush()
  }
  flush()
  const metaHandle = write(emptyBlock())
  if (pending !== undefined) index1(shortSuccessor(pending.lastKey), pending.handle)
  const indexHandle = write(index)
  const handles = new Uint8Array(footerHandlesLength)
  handles.set(metaHandle)
  handles.set(indexHandle, metaHandle.byteLength)
  file.raw(handles)
  for (const word of tableMagic) file.fixed32(word)
  return file.finish()
}
