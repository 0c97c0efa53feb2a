// Reads tar (ustar, pax, GNU long names): the members where they stand, as a set of files.
// Source: POSIX.1-2017 pax, GNU tar manual
import type { ByteSource, FileSet } from '../tensor/index.ts'
import { type ArchiveLimits, damagedArchive, MemberSet, tooLarge } from './archive.ts'
import { sliceSource } from './byte-source.ts'

/** Tar is made of blocks of this length. */
export const tarBlockLength = 512
const maxExtraLength = 1024 * 1024
const maxHeaders = 1_000_000

interface Header {
  readonly name: string
  readonly size: number
  readonly type: string
}

/** What the extra headers before a member say of it. */
interface Extras {
  path?: string
  size?: number
}

/**
 * Opens a tar archive. Folders are passed over; links, devices and sparse files are refused
 * (`archive/unsupported-member`), as is whatever is damaged or cut off (`archive/…`).
 */
export async function openTar(source: ByteSource, limits: ArchiveLimits = {}): Promise<FileSet> {
  const members = new MemberSet(limits)
  let offset = 0
  let extras: Extras = {}
  for (let count = 0; ; count++) {
    if (count >= maxHeaders) throw tooLarge(`The tar file has more than ${maxHeaders} headers.`)
    const block = await readBlocks(source, offset, tarBlockLength)
    if (isZero(block)) break
    const header = readHeader(block, offset)
    const size = extras.size ?? header.size
    const start = offset + tarBlockLength
    if (start + size > source.byteLength) throw truncated()
    offset = start + Math.ceil(size / tarBlockLength) * tarBlockLength
    if ('xgLK'.includes(header.type)) {
      extras = await readExtras(source, header, start, extras)
      continue
    }
    const name = extras.path ?? header.name
    extras = {}
    // Before ustar, a folder was a plain file whose name ends in a slash.
    if (header.type === '5' || (header.type === '0' && name.endsWith('/'))) continue
    if (header.type !== '0' && header.type !== '7') {
      const shown = JSON.stringify(name.slice(0, 200))
      const message = `The tar file holds ${shown}, which is not a plain file (type ${JSON.stringify(header.type)}).`
      throw damagedArchive('unsupported-member', message)
    }
    members.add(name, sliceSource(source, start, size))
  }
  await checkEnd(source, offset)
  return members.fileSet()
}

function truncated() {
  return damagedArchive('truncated', 'The tar file ends before its end mark.')
}

async function readBlocks(source: ByteSource, offset: number, length: number): Promise<Uint8Array> {
  if (offset + length > source.byteLength) throw truncated()
  return source.read(offset, length)
}

function isZero(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0)
}

/** Two blocks of zeros end a tar file; only zeros may follow. */
async function checkEnd(source: ByteSource, offset: number): Promise<void> {
  if (!isZero(await readBlocks(source, offset + tarBlockLength, tarBlockLength))) throw truncated()
  const start = offset + 2 * tarBlockLength
  const rest = source.byteLength - start
  if (rest > maxExtraLength || !isZero(await source.read(start, rest))) {
    throw damagedArchive('trailing-bytes', 'The tar file goes on after its end mark.')
  }
}

function readHeader(block: Uint8Array, offset: number): Header {
  const bad = (problem: string) =>
    damagedArchive('bad-header', `The tar file has a header at ${offset} ${problem}.`)
  let sum = 0
  block.forEach((byte, index) => {
    sum += index >= 148 && index < 156 ? 0x20 : byte
  })
  if (numberField(block, 148, 8) !== sum) throw bad('whose checksum differs')
  const size = numberField(block, 124, 12)
  if (size === undefined) throw bad('whose size is no number')
  const isUstar = textField(block, 257, 5) === 'ustar'
  const isPosix = isUstar && block[262] === 0
  const prefix = isPosix ? textField(block, 345, 155) : ''
  const name = textField(block, 0, 100)
  if (name === undefined || prefix === undefined) throw bad('whose name is not UTF-8')
  const type = block[156] === 0 ? '0' : String.fromCharCode(block[156])
  return { name: prefix === '' ? name : `${prefix}/${name}`, size, type }
}

/** Text up to a NUL; undefined where it is not UTF-8. */
function textField(block: Uint8Array, start: number, length: number): string | undefined {
  const field = block.subarray(start, start + length)
  const zero = field.indexOf(0)
  try {
    const bytes = zero === -1 ? field : field.subarray(0, zero)
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** An octal number, or a binary one where the first bit is set; undefined where it is neither. */
function numberField(block: Uint8Array, start: number, length: number): number | undefined {
  if (block[start] === 0x80) {
    let value = 0
    for (let index = 1; index < length; index++) value = value * 256 + block[start + index]
    return Number.isSafeInteger(value) ? value : undefined
  }
  const text = textField(block, start, length)?.trim() ?? ''
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined
}

async function readExtras(
  source: ByteSource,
  { type, size }: Header,
  start: number,
  extras: Extras,
): Promise<Extras> {
  if (size > maxExtraLength) throw tooLarge('The tar file has an extended header over 1 MiB.')
  const bytes = await source.read(start, size)
  if (type === 'L') {
    const path = textField(bytes, 0, size)
    if (path === undefined) throw damagedArchive('bad-name', 'A long name is not UTF-8.')
    return { ...extras, path }
  }
  // A long link name belongs to a link, which is refused when it comes.
  if (type === 'K') return extras
  const records = readPax(bytes)
  if (type === 'g') return extras
  for (const key of records.keys()) {
    if (key.startsWith('GNU.sparse.')) {
      throw damagedArchive('unsupported-member', 'The tar file holds a sparse file.')
    }
  }
  const path = records.get('path')
  const sizeText = records.get('size')
  if (sizeText !== undefined && !/^[0-9]{1,15}$/.test(sizeText)) {
    throw damagedArchive('bad-header', 'The tar file has a size that is no number.')
  }
  return {
    ...extras,
    ...(path === undefined ? {} : { path }),
    ...(sizeText === undefined ? {} : { size: Number(sizeText) }),
  }
}

/** Records of `<length> <key>=<value>\n`, the length counting the whole record. */
function readPax(bytes: Uint8Array): ReadonlyMap<string, string> {
  const records = new Map<string, string>()
  const bad = () => damagedArchive('bad-header', 'The tar file has a broken extended header.')
  let at = 0
  while (at < bytes.byteLength) {
    const space = bytes.indexOf(0x20, at)
    const digits = space === -1 ? '' : (textField(bytes, at, space - at) ?? '')
    const end = /^[0-9]{1,7}$/.test(digits) ? at + Number(digits) : 0
    if (end <= space || end > bytes.byteLength || bytes[end - 1] !== 0x0a) throw bad()
    let record: string
    try {
      const body = bytes.subarray(space + 1, end - 1)
      record = new TextDecoder('utf-8', { fatal: true }).decode(body)
    } catch {
      throw bad()
    }
    const equals = record.indexOf('=')
    if (equals <= 0) throw bad()
    records.set(record.slice(0, equals), record.slice(equals + 1))
    at = end
  }
  return records
}
