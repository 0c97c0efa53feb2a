// What tar and zip have in common: rules for the names of members, limits, and undoing gzip.
// Names are opaque keys; still, a name that would climb out of a folder is refused, so that nobody
// who unpacks our copy of it is surprised.
import { type ByteSource, type FileSet, Refusal } from '../tensor/index.ts'
import { streamRange } from './byte-source.ts'
import type { ArchiveTools } from './tools.ts'

/** Limits on an archive that is read. */
export interface ArchiveLimits {
  readonly maxMembers?: number
  /** Bytes of all members together, decompressed. */
  readonly maxUnpackedBytes?: number
}

/** The limits with their defaults. */
export function archiveLimits(limits: ArchiveLimits): Required<ArchiveLimits> {
  return { maxMembers: 100_000, maxUnpackedBytes: 64 * 1024 ** 3, ...limits }
}

const maxNameLength = 4096

/** A refusal (DATA_LOSS) of an archive. */
export function damagedArchive(reason: string, message: string, cause?: unknown): Refusal {
  return new Refusal('DATA_LOSS', `archive/${reason}`, message, { cause })
}

/** A refusal (RESOURCE_EXHAUSTED) of an archive that holds too much. */
export function tooLarge(message: string): Refusal {
  return new Refusal('RESOURCE_EXHAUSTED', 'archive/too-large', message)
}

/** Whether a member may have that name. */
export function isMemberName(name: string): boolean {
  return (
    name !== '' &&
    name.length <= maxNameLength &&
    !/[\\\0]/.test(name) &&
    !/^[A-Za-z]:/.test(name) &&
    !name.split('/').some((part) => part === '' || part === '.' || part === '..')
  )
}

/**
 * The key of a member: its name without leading `./`. Refuses (`archive/bad-name`) names that are
 * empty, absolute, climb (`..`), hold a backslash or NUL, or are longer than 4096 characters.
 */
function memberName(name: string): string {
  const key = name.replace(/^(?:\.\/+)+/, '')
  if (isMemberName(key)) return key
  const shown = JSON.stringify(name.slice(0, 200))
  throw damagedArchive('bad-name', `The archive holds a member with the name ${shown}.`)
}

/** A set of the members; refuses a name given twice (`archive/duplicate-name`). */
export class MemberSet {
  readonly #members = new Map<string, ByteSource>()
  readonly #limits: Required<ArchiveLimits>
  #unpackedBytes = 0

  constructor(limits: ArchiveLimits) {
    this.#limits = archiveLimits(limits)
  }

  add(name: string, source: ByteSource): void {
    const key = memberName(name)
    if (this.#members.has(key)) {
      throw damagedArchive('duplicate-name', `The archive holds "${key.slice(0, 200)}" twice.`)
    }
    this.#unpackedBytes += source.byteLength
    if (this.#unpackedBytes > this.#limits.maxUnpackedBytes) {
      throw tooLarge(`The archive holds more than ${this.#limits.maxUnpackedBytes} bytes.`)
    }
    if (this.#members.size >= this.#limits.maxMembers) {
      throw tooLarge(`The archive holds more than ${this.#limits.maxMembers} members.`)
    }
    this.#members.set(key, source)
  }

  fileSet(): FileSet {
    const members = this.#members
    return {
      names: [...members.keys()],
      open(name) {
        const source = members.get(name)
        if (source !== undefined) return source
        throw new Refusal('NOT_FOUND', 'file/unknown', `The archive holds no "${name}".`)
      },
    }
  }
}

/** `chunks`, refused where they come to more than `maxLength` bytes. */
export async function* limitLength(
  chunks: AsyncIterable<Uint8Array>,
  maxLength: number,
  what: string,
): AsyncGenerator<Uint8Array> {
  let length = 0
  for await (const chunk of chunks) {
    length += chunk.byteLength
    if (length > maxLength) throw tooLarge(`${what} unpacks to more than ${maxLength} bytes.`)
    yield chunk
  }
}

/** `inflate`, its errors turned into refusals (`archive/bad-compression`). */
export async function* inflateChecked(
  tools: ArchiveTools,
  compressed: AsyncIterable<Uint8Array>,
  what: string,
): AsyncGenerator<Uint8Array> {
  try {
    yield* tools.inflate(compressed)
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw damagedArchive('bad-compression', `${what} does not unpack.`, error)
  }
}

const gzipFlags = { headerCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 }

/**
 * The contents of a gzip file, spooled. One member only, its length and checksum as its trailer has
 * them. Source: RFC 1952.
 */
export async function gunzip(
  source: ByteSource,
  tools: ArchiveTools,
  limits: ArchiveLimits,
): Promise<ByteSource> {
  const { maxUnpackedBytes } = archiveLimits(limits)
  const start = await gzipBodyStart(source)
  const end = source.byteLength - 8
  if (end < start) throw damagedArchive('truncated', 'The gzip file ends within its header.')
  const trailer = await source.read(end, 8)
  const view = new DataView(trailer.buffer, trailer.byteOffset, 8)
  let crc = 0
  let length = 0
  async function* checked(): AsyncGenerator<Uint8Array> {
    const packed = streamRange(source, start, end - start)
    const inflated = inflateChecked(tools, packed, 'The gzip file')
    for await (const chunk of limitLength(inflated, maxUnpackedBytes, 'The gzip file')) {
      crc = tools.crc32(chunk, crc)
      length += chunk.byteLength
      yield chunk
    }
    if (crc !== view.getUint32(0, true) || length % 2 ** 32 !== view.getUint32(4, true)) {
      throw damagedArchive('crc-mismatch', 'The gzip file unpacks to other bytes than it says.')
    }
  }
  return tools.spool(checked())
}

async function gzipBodyStart(source: ByteSource): Promise<number> {
  const head = await source.read(0, Math.min(source.byteLength, 65_536 + 1024))
  const flags = head[3]
  const truncated = () => damagedArchive('truncated', 'The gzip file ends within its header.')
  if (head.byteLength < 18) throw truncated()
  if (head[2] !== 8 || (flags & gzipFlags.reserved) !== 0) {
    throw damagedArchive('bad-header', 'The gzip file has a header that is not known.')
  }
  let at = 10
  if ((flags & gzipFlags.extra) !== 0) at += 2 + head[at] + 256 * head[at + 1]
  for (const flag of [gzipFlags.name, gzipFlags.comment]) {
    if ((flags & flag) === 0) continue
    const zero = head.indexOf(0, at)
    if (zero === -1) throw truncated()
    at = zero + 1
  }
  if ((flags & gzipFlags.headerCrc) !== 0) at += 2
  return at
}
