// String tensors in a bundle: every length as a varint, a checksum of the lengths, then the bytes.
// Converted, as a stream, to and from the byte form that the rest of the product keeps.
// Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc (ReadStringTensor)
import type { ByteSource } from '../tensor/index.ts'
import { streamRange } from './byte-source.ts'
import { damagedTensor } from './checkpoint-tensor.ts'
import { maskCrc } from './masked-crc.ts'
import type { ChecksumTools } from './tools.ts'

/** Where the parts of a stored string tensor are. */
export interface StringLayout {
  readonly count: number
  /** Bytes of all the varints together. */
  readonly lengthsByteLength: number
  /** Bytes of all the strings together. */
  readonly stringsByteLength: number
}

/** The lengths' varints as 4-byte little-endian numbers, a chunk at a time. */
async function* readLengths(
  source: ByteSource,
  count: number,
  name: string,
): AsyncGenerator<{
  readonly packed: Uint8Array
  readonly consumed: number
  readonly sum: number
}> {
  let left = count
  let value = 0
  let unit = 1
  for await (const chunk of streamRange(source, 0, source.byteLength)) {
    const packed = new Uint8Array(4 * Math.min(left, chunk.byteLength))
    const view = new DataView(packed.buffer)
    let at = 0
    let done = 0
    let sum = 0
    while (at < chunk.byteLength && left > 0) {
      const byte = chunk[at++]
      value += (byte & 0x7f) * unit
      unit *= 128
      if (value > 0xffffffff || unit > 2 ** 63) {
        throw damagedTensor(name, 'string-length', 'holds a string longer than 4 GiB')
      }
      if (byte >= 0x80) continue
      view.setUint32(4 * done, value, true)
      sum += value
      done++
      left--
      value = 0
      unit = 1
    }
    yield { packed: packed.subarray(0, 4 * done), consumed: at, sum }
    if (left === 0) return
  }
  if (left > 0) throw damagedTensor(name, 'string-length', 'ends before the last string length')
}

/**
 * Reads the lengths of a string tensor of `count` elements stored in `source`. Refuses (DATA_LOSS)
 * lengths that run past the end or do not add up (`bundle/string-length`) and a checksum that
 * differs (`bundle/crc-mismatch`).
 */
export async function readStringLayout(
  source: ByteSource,
  count: number,
  name: string,
  { crc32c }: ChecksumTools,
): Promise<StringLayout> {
  let crc = 0
  let lengthsByteLength = 0
  let stringsByteLength = 0
  if (count > 0) {
    for await (const { packed, consumed, sum } of readLengths(source, count, name)) {
      crc = crc32c(packed, crc)
      lengthsByteLength += consumed
      stringsByteLength += sum
    }
  }
  if (lengthsByteLength + 4 + stringsByteLength !== source.byteLength) {
    throw damagedTensor(name, 'string-length', 'has string lengths that do not add up to its size')
  }
  const stored = await source.read(lengthsByteLength, 4)
  if (new DataView(stored.buffer, stored.byteOffset).getUint32(0, true) !== maskCrc(crc)) {
    throw damagedTensor(name, 'crc-mismatch', 'has string lengths whose checksum differs')
  }
  return { count, lengthsByteLength, stringsByteLength }
}

/** The packed byte form of the stored tensor; throws at the end where the checksum differs. */
export async function* unpackStoredStrings(
  source: ByteSource,
  layout: StringLayout,
  name: string,
  wantedCrc: number,
  { crc32c }: ChecksumTools,
): AsyncGenerator<Uint8Array> {
  let crc = 0
  if (layout.count > 0) {
    for await (const { packed } of readLengths(source, layout.count, name)) {
      crc = crc32c(packed, crc)
      yield packed
    }
  }
  crc = crc32c(await source.read(layout.lengthsByteLength, 4), crc)
  const check = () => {
    if (crc === wantedCrc) return
    throw damagedTensor(name, 'crc-mismatch', 'has bytes whose checksum differs from the index')
  }
  let left = layout.stringsByteLength
  for await (const chunk of streamRange(source, layout.lengthsByteLength + 4, left)) {
    crc = crc32c(chunk, crc)
    left -= chunk.byteLength
    if (left === 0) check()
    yield chunk
  }
  if (layout.stringsByteLength === 0) check()
}
