// Reads zip (stored and deflated members, zip64): the central directory, checked against every local
// header, as a set of files. A member is unpacked and its checksum verified when it is first read.
// Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
import type { ByteSource, FileSet } from '../tensor/index.ts'
import {
  type ArchiveLimits,
  archiveLimits,
  damagedArchive,
  inflateChecked,
  limitLength,
  MemberSet,
  tooLarge,
} from './archive.ts'
import { sliceSource, streamRange } from './byte-source.ts'
import type { ArchiveTools } from './tools.ts'

/** The four bytes that each kind of record begins with, as little-endian numbers. */
export const zipSignatures = {
  local: 0x04034b50,
  descriptor: 0x08074b50,
  central: 0x02014b50,
  end: 0x06054b50,
  end64: 0x06064b50,
  locator64: 0x07064b50,
} as const
const endLength = 22
const locatorLength = 20
/** Bytes of the zip64 end record. */
export const end64Length = 56
const centralLength = 46
const localLength = 30
const maxCommentLength = 65_535
const maxDirectoryLength = 256 * 1024 * 1024
const unknown16 = 0xffff
const unknown32 = 0xffffffff
const methods = { stored: 0, deflated: 8 } as const

interface Directory {
  readonly count: number
  readonly offset: number
  readonly length: number
}

interface Member {
  readonly name: string
  readonly method: number
  readonly flags: number
  readonly crc: number
  readonly packedLength: number
  readonly length: number
  readonly headerOffset: number
}

function bad(reason: string, problem: string) {
  return damagedArchive(reason, `The zip file ${problem}.`)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** A 64-bit length; refuses one that a double cannot hold. */
function uint64(view: DataView, at: number): number {
  const value = Number(view.getBigUint64(at, true))
  if (Number.isSafeInteger(value)) return value
  throw bad('bad-header', 'names a length beyond 2^53')
}

/**
 * Opens a zip archive. Folders are passed over. Refuses (`archive/…`) encrypted members, other
 * compressions, symbolic links, members that share bytes, headers that contradict each other.
 */
export async function openZip(
  source: ByteSource,
  tools: ArchiveTools,
  limits: ArchiveLimits = {},
): Promise<FileSet> {
  const { maxMembers } = archiveLimits(limits)
  const directory = await findDirectory(source)
  if (directory.count > maxMembers) {
    throw tooLarge(`The zip file holds more than ${maxMembers} members.`)
  }
  const members = await readDirectory(source, directory)
  members.sort((a, b) => a.headerOffset - b.headerOffset)
  const set = new MemberSet(limits)
  let previousEnd = 0
  for (const member of members) {
    if (member.headerOffset < previousEnd) throw bad('overlap', 'has members that share bytes')
    const start = await dataStart(source, member)
    previousEnd = start + member.packedLength
    if (previousEnd > directory.offset)
      throw bad('truncated', 'has a member that runs past its end')
    if (member.name.endsWith('/')) continue
    const packed = sliceSource(source, start, member.packedLength)
    set.add(member.name, memberSource(packed, member, tools))
  }
  return set.fileSet()
}

async function findDirectory(source: ByteSource): Promise<Directory> {
  const tailLength = Math.min(source.byteLength, endLength + maxCommentLength)
  const tailStart = source.byteLength - tailLength
  const tail = await source.read(tailStart, tailLength)
  const view = viewOf(tail)
  for (let at = tailLength - endLength; at >= 0; at--) {
    if (view.getUint32(at, true) !== zipSignatures.end) continue
    if (at + endLength + view.getUint16(at + 20, true) !== tailLength) continue
    return readEnd(source, view, at, tailStart + at)
  }
  throw bad('truncated', 'has no end record')
}

async function readEnd(
  source: ByteSource,
  view: DataView,
  at: number,
  endOffset: number,
): Promise<Directory> {
  const disks = [view.getUint16(at + 4, true), view.getUint16(at + 6, true)]
  const counts = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)]
  const length = view.getUint32(at + 12, true)
  const offset = view.getUint32(at + 16, true)
  const is64 = counts[1] === unknown16 || length === unknown32 || offset === unknown32
  if (is64) return readEnd64(source, endOffset)
  if (disks.some((disk) => disk !== 0) || counts[0] !== counts[1]) {
    throw bad('bad-header', 'is one of several volumes')
  }
  if (offset + length !== endOffset) throw bad('bad-header', 'has a directory that is elsewhere')
  return { count: counts[1], offset, length }
}

async function readEnd64(source: ByteSource, endOffset: number): Promise<Directory> {
  const locatorOffset = endOffset - locatorLength
  if (locatorOffset < 0) throw bad('bad-header', 'lacks its zip64 locator')
  const locator = viewOf(await source.read(locatorOffset, locatorLength))
  const isLocator = locator.getUint32(0, true) === zipSignatures.locator64
  const end64Offset = isLocator ? uint64(locator, 8) : -1
  if (end64Offset < 0 || end64Offset + end64Length > locatorOffset) {
    throw bad('bad-header', 'lacks its zip64 end record')
  }
  const end64 = viewOf(await source.read(end64Offset, end64Length))
  if (end64.getUint32(0, true) !== zipSignatures.end64) {
    throw bad('bad-header', 'lacks its zip64 end record')
  }
  const [count, length, offset] = [uint64(end64, 32), uint64(end64, 40), uint64(end64, 48)]
  if (offset + length !== end64Offset || uint64(end64, 24) !== count) {
    throw bad('bad-header', 'has a directory that is elsewhere')
  }
  return { count, offset, length }
}

async function readDirectory(source: ByteSource, directory: Directory): Promise<Member[]> {
  const { count, offset, length } = directory
  if (length > maxDirectoryLength) throw tooLarge('The zip file has a directory over 256 MiB.')
  if (count * centralLength > length) throw bad('bad-header', 'counts more members than it lists')
  const bytes = await source.read(offset, length)
  const members: Member[] = []
  let at = 0
  for (let index = 0; index < count; index++) {
    const { member, end } = readCentral(bytes, at)
    members.push(member)
    at = end
  }
  if (at !== length) throw bad('bad-header', 'lists other members than it counts')
  return members
}

function readCentral(bytes: Uint8Array, at: number): { member: Member; end: number } {
  const view = viewOf(bytes)
  const fits = at + centralLength <= bytes.byteLength
  if (!fits || view.getUint32(at, true) !== zipSignatures.central) {
    throw bad('bad-header', 'has a broken directory')
  }
  const nameEnd = at + centralLength + view.getUint16(at + 28, true)
  const extraEnd = nameEnd + view.getUint16(at + 30, true)
  const end = extraEnd + view.getUint16(at + 32, true)
  if (end > bytes.byteLength) throw bad('bad-header', 'has a broken directory')
  const lengths = [view.getUint32(at + 24, true), view.getUint32(at + 20, true)]
  const fields = [...lengths, view.getUint32(at + 42, true)]
  const extra = bytes.subarray(nameEnd, extraEnd)
  const [length, packedLength, headerOffset] = widen(fields, extra)
  const member = {
    name: textOf(bytes.subarray(at + centralLength, nameEnd)),
    flags: view.getUint16(at + 8, true),
    method: view.getUint16(at + 10, true),
    crc: view.getUint32(at + 16, true),
    length,
    packedLength,
    headerOffset,
  }
  checkMember(member, view.getUint32(at + 38, true) >>> 16)
  return { member, end }
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw bad('bad-name', 'holds a member whose name is not UTF-8')
  }
}

/** Fields of 32 bits that say "see the zip64 extra field", replaced by what stands there. */
function widen(fields: readonly number[], extra: Uint8Array): number[] {
  if (!fields.includes(unknown32)) return [...fields]
  const view = viewOf(extra)
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const id = view.getUint16(at, true)
    const end = at + 4 + view.getUint16(at + 2, true)
    if (end > extra.byteLength) break
    if (id === 1) {
      let from = at + 4
      return fields.map((field) => {
        if (field !== unknown32) return field
        if (from + 8 > end) throw bad('bad-header', 'has a zip64 field that is cut off')
        from += 8
        return uint64(view, from - 8)
      })
    }
    at = end
  }
  throw bad('bad-header', 'lacks a zip64 field')
}

const fileTypeMask = 0o170000
const plainFileTypes = new Set([0, 0o100000, 0o040000])

function checkMember(member: Member, unixMode: number): void {
  const shown = JSON.stringify(member.name.slice(0, 200))
  if ((member.flags & 0x2041) !== 0) {
    throw bad('unsupported-member', `holds ${shown}, which is encrypted`)
  }
  if (member.method !== methods.stored && member.method !== methods.deflated) {
    throw bad('unsupported-member', `holds ${shown}, compressed by method ${member.method}`)
  }
  if (!plainFileTypes.has(unixMode & fileTypeMask)) {
    throw bad('unsupported-member', `holds ${shown}, which is not a plain file`)
  }
  if (member.method === methods.stored && member.length !== member.packedLength) {
    throw bad('bad-header', `holds ${shown} with two lengths`)
  }
  // DEFLATE gives at most 1032 bytes for one.
  if (member.length > 1032 * member.packedLength) {
    throw bad('bad-header', `holds ${shown}, which cannot unpack to ${member.length} bytes`)
  }
}

/** Where a member's bytes begin; refuses a local header that says other than the directory. */
async function dataStart(source: ByteSource, member: Member): Promise<number> {
  const at = member.headerOffset
  if (at + localLength > source.byteLength) throw bad('truncated', 'ends within a header')
  const view = viewOf(await source.read(at, localLength))
  const nameLength = view.getUint16(26, true)
  const extraLength = view.getUint16(28, true)
  const start = at + localLength + nameLength + extraLength
  if (view.getUint32(0, true) !== zipSignatures.local || start > source.byteLength) {
    throw bad('bad-header', 'names a member that is not there')
  }
  const rest = await source.read(at + localLength, nameLength + extraLength)
  const name = textOf(rest.subarray(0, nameLength))
  const hasDescriptor = (view.getUint16(6, true) & 8) !== 0
  const fields = [view.getUint32(22, true), view.getUint32(18, true)]
  const [length, packedLength] = hasDescriptor
    ? [member.length, member.packedLength]
    : widen(fields, rest.subarray(nameLength))
  const agrees =
    name === member.name &&
    view.getUint16(6, true) === member.flags &&
    view.getUint16(8, true) === member.method &&
    (hasDescriptor || view.getUint32(14, true) === member.crc) &&
    length === member.length &&
    packedLength === member.packedLength
  if (agrees) return start
  const shown = JSON.stringify(member.name.slice(0, 200))
  throw bad('bad-header', `says two things about ${shown}`)
}

/** The member's bytes, verified as a whole before the first are handed out. */
function memberSource(packed: ByteSource, member: Member, tools: ArchiveTools): ByteSource {
  let opening: Promise<ByteSource> | undefined
  const opened = () => {
    opening ??= openMember(packed, member, tools)
    return opening
  }
  return {
    byteLength: member.length,
    async read(offset, length) {
      return (await opened()).read(offset, length)
    },
    async *stream(offset, length) {
      yield* streamRange(await opened(), offset, length)
    },
  }
}

async function openMember(
  packed: ByteSource,
  member: Member,
  tools: ArchiveTools,
): Promise<ByteSource> {
  const stored = streamRange(packed, 0, packed.byteLength)
  if (member.method === methods.stored) {
    for await (const _ of checkedChunks(stored, member, tools));
    return packed
  }
  const inflated = inflateChecked(tools, stored, `The member "${member.name.slice(0, 200)}"`)
  return tools.spool(checkedChunks(inflated, member, tools))
}

async function* checkedChunks(
  chunks: AsyncIterable<Uint8Array>,
  member: Member,
  tools: ArchiveTools,
): AsyncGenerator<Uint8Array> {
  const what = `The member "${member.name.slice(0, 200)}"`
  let crc = 0
  let length = 0
  for await (const chunk of limitLength(chunks, member.length, what)) {
    crc = tools.crc32(chunk, crc)
    length += chunk.byteLength
    yield chunk
  }
  if (crc !== member.crc || length !== member.length) {
    throw damagedArchive('crc-mismatch', `${what} unpacks to other bytes than the zip file says.`)
  }
}
