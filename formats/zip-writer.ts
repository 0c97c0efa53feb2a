// Writes zip, streamed: members stored as they are, each followed by its checksum, which so need not be
// known before. Lengths are; zip64 fields are there where a length, a place or a count needs one.
// Equal files give equal bytes: the time is that of 1 January 1980.
// Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
import { breaths } from './breath.ts'
import { joinedOutputs, lazyOutput, type OutputBytes, type OutputFile } from './output.ts'
import type { ZipTools } from './tools.ts'
import { end64Length, zipSignatures } from './zip-reader.ts'

const unknown16 = 0xffff
const unknown32 = 0xffffffff
/** The checksum and the lengths follow the bytes; names are UTF-8. */
const flags = 0x0808
const firstDate = 0x0021
const versions = { plain: 20, zip64: 45 } as const
const plainFile = 0o100644 * 2 ** 16
const encoder = new TextEncoder()

/** A file to be put into an archive. */
export interface ZippedFile extends OutputFile {
  /** Names the bytes: those of two files with the same name of content are equal. */
  readonly content?: string | undefined
}

/** A member with the place of its header, and whether its lengths need 64 bits. */
interface Placed {
  readonly file: ZippedFile
  /** Undefined until the bytes have been streamed once. */
  crc: number | undefined
  readonly name: Uint8Array
  readonly offset: number
  readonly is64: boolean
}

/** A number and how many bytes it takes, little-endian. */
type Field = readonly [value: number, byteLength: 2 | 4 | 8]

function record(fields: readonly Field[], ...rest: readonly Uint8Array[]): Uint8Array {
  const fixed = fields.reduce((sum, [, length]) => sum + length, 0)
  const bytes = new Uint8Array(rest.reduce((sum, part) => sum + part.byteLength, fixed))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const [value, length] of fields) {
    if (length === 2) view.setUint16(at, value, true)
    else if (length === 4) view.setUint32(at, value, true)
    else view.setBigUint64(at, BigInt(value), true)
    at += length
  }
  for (const part of rest) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

/** The zip64 extra field of those lengths and places; nothing for none. */
function extraOf(values: readonly number[]): Uint8Array {
  if (values.length === 0) return new Uint8Array()
  return record([[1, 2], [8 * values.length, 2], ...values.map((value): Field => [value, 8])])
}

/**
 * A zip archive of `files`, in their order. Names are taken as they are. Going on in the middle reads
 * the files before only for checksums that are not known.
 */
export function writeZip(files: readonly ZippedFile[], tools: ZipTools): OutputBytes {
  const placed: Placed[] = []
  let offset = 0
  for (const file of files) {
    const one = {
      file,
      crc: undefined,
      name: encoder.encode(file.name),
      offset,
      is64: file.byteLength >= unknown32,
    }
    placed.push(one)
    offset += localLength(one) + file.byteLength + descriptorLength(one)
  }
  const crcOf = async (one: Placed): Promise<number> => {
    one.crc ??= one.file.content === undefined ? undefined : tools.known?.get(one.file.content)
    if (one.crc === undefined) for await (const _ of checkedChunks(one, tools));
    if (one.crc === undefined) throw new Error(`${one.file.name} has no checksum`)
    return one.crc
  }
  const parts = placed.flatMap((one): OutputBytes[] => [
    lazyOutput(localLength(one), async () => localHeader(one)),
    {
      byteLength: one.file.byteLength,
      chunks: (range) => (range === undefined ? checkedChunks(one, tools) : one.file.chunks(range)),
    },
    lazyOutput(descriptorLength(one), async () => descriptor(one, await crcOf(one))),
  ])
  const end = lazyOutput(directoryLength(placed, offset), async () => {
    const crcs: number[] = []
    const breathe = breaths()
    for (const one of placed) {
      await breathe()
      crcs.push(await crcOf(one))
    }
    return record([], ...directory(placed, crcs, offset))
  })
  return joinedOutputs([...parts, end])
}

/** The file's bytes; notes their checksum at the end. */
async function* checkedChunks(one: Placed, tools: ZipTools): AsyncGenerator<Uint8Array> {
  const { name, byteLength, content } = one.file
  let length = 0
  let crc = 0
  for await (const chunk of one.file.chunks()) {
    length += chunk.byteLength
    crc = tools.crc32(chunk, crc)
    yield chunk
  }
  if (length !== byteLength) throw new Error(`${name} gave ${length} bytes, not ${byteLength}`)
  one.crc = crc
  if (content !== undefined) tools.known?.set(content, crc)
}

function versionOf(is64: boolean): number {
  return is64 ? versions.zip64 : versions.plain
}

/** Bytes of a local header: its fields, the name, and two lengths of 64 bits where they are needed. */
function localLength({ name, is64 }: Placed): number {
  return 30 + name.byteLength + (is64 ? 20 : 0)
}

function descriptorLength({ is64 }: Placed): number {
  return is64 ? 24 : 16
}

function directoryLength(placed: readonly Placed[], offset: number): number {
  const length = placed.reduce((sum, one) => {
    const wide = (one.is64 ? 2 : 0) + (one.offset >= unknown32 ? 1 : 0)
    return sum + 46 + one.name.byteLength + (wide === 0 ? 0 : 4 + 8 * wide)
  }, 0)
  return length + (isWide(placed.length, length, offset) ? end64Length + 20 : 0) + 22
}

/** Whether what ends the file needs more than 32 bits. */
function isWide(count: number, length: number, offset: number): boolean {
  return count >= unknown16 || offset >= unknown32 || length >= unknown32
}

function localHeader({ name, is64 }: Placed): Uint8Array {
  const extra = extraOf(is64 ? [0, 0] : [])
  const length = is64 ? unknown32 : 0
  return record(
    [
      [zipSignatures.local, 4],
      [versionOf(is64), 2],
      [flags, 2],
      [0, 2],
      [0, 2],
      [firstDate, 2],
      [0, 4],
      [length, 4],
      [length, 4],
      [name.byteLength, 2],
      [extra.byteLength, 2],
    ],
    name,
    extra,
  )
}

/** What follows the bytes of a member. */
function descriptor({ file, is64 }: Placed, crc: number): Uint8Array {
  const width = is64 ? 8 : 4
  return record([
    [zipSignatures.descriptor, 4],
    [crc, 4],
    [file.byteLength, width],
    [file.byteLength, width],
  ])
}

function centralHeader({ file, name, offset, is64 }: Placed, crc: number): Uint8Array {
  const isFar = offset >= unknown32
  const extra = extraOf([
    ...(is64 ? [file.byteLength, file.byteLength] : []),
    ...(isFar ? [offset] : []),
  ])
  const version = versionOf(is64 || isFar)
  const length = is64 ? unknown32 : file.byteLength
  return record(
    [
      [zipSignatures.central, 4],
      // Made on Unix, whose modes the last but one field has.
      [0x0300 | version, 2],
      [version, 2],
      [flags, 2],
      [0, 2],
      [0, 2],
      [firstDate, 2],
      [crc, 4],
      [length, 4],
      [length, 4],
      [name.byteLength, 2],
      [extra.byteLength, 2],
      [0, 2],
      [0, 2],
      [0, 2],
      [plainFile, 4],
      [isFar ? unknown32 : offset, 4],
    ],
    name,
    extra,
  )
}

/** The directory, which begins at `offset`, and the records that end the file. */
function directory(
  placed: readonly Placed[],
  crcs: readonly number[],
  offset: number,
): Uint8Array[] {
  const headers = placed.map((one, index) => centralHeader(one, crcs[index] ?? 0))
  const length = headers.reduce((sum, header) => sum + header.byteLength, 0)
  const count = placed.length
  const is64 = isWide(count, length, offset)
  const end = record([
    [zipSignatures.end, 4],
    [0, 2],
    [0, 2],
    [Math.min(count, unknown16), 2],
    [Math.min(count, unknown16), 2],
    [Math.min(length, unknown32), 4],
    [Math.min(offset, unknown32), 4],
    [0, 2],
  ])
  return is64 ? [...headers, ...end64(count, length, offset), end] : [...headers, end]
}

function end64(count: number, length: number, offset: number): Uint8Array[] {
  const versionMade = 0x0300 | versions.zip64
  return [
    record([
      [zipSignatures.end64, 4],
      [end64Length - 12, 8],
      [versionMade, 2],
      [versions.zip64, 2],
      [0, 4],
      [0, 4],
      [count, 8],
      [count, 8],
      [length, 8],
      [offset, 8],
    ]),
    record([
      [zipSignatures.locator64, 4],
      [0, 4],
      [offset + length, 8],
      [1, 4],
    ]),
  ]
}
