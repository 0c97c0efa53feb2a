// Temporary files for bodies that are read at random (archives, bundles). They live in one folder,
// are deleted when their request ends however it ends, and swept at start. Names are numbers of ours.
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ByteSource, freeMemory, Refusal } from '../tensor/index.ts'

/** A file of the spool. */
export interface SpooledFile extends ByteSource {
  /** For those who have to open it by themselves. */
  readonly path: string
}

/** The files of one request. `discard` deletes them all. */
export interface SpoolFolder {
  /**
   * Writes the stream into a new file. `areOwned`: the chunks are nobody else's, so that they can be
   * written some at a time, and their memory freed at once. Refuses (RESOURCE_EXHAUSTED
   * `body/too-large`) more than `maxBytes` in this folder altogether.
   */
  keep(chunks: AsyncIterable<Uint8Array>, areOwned?: boolean): Promise<SpooledFile>
  /** A name for a file that somebody else writes. */
  newPath(): string
  /** Has `work` done before the files are deleted. */
  beforeDiscard(work: () => Promise<void>): void
  discard(): Promise<void>
}

export interface Spool {
  /** Room for the files of one request, `maxBytes` of them at most. */
  folder(maxBytes: number): SpoolFolder
}

/** A spool in `directory`, which it makes, and empties of what an earlier process left. */
export async function openSpool(directory: string): Promise<Spool> {
  await mkdir(directory, { recursive: true })
  for (const name of await readdir(directory)) {
    await rm(join(directory, name), { recursive: true, force: true })
  }
  let fileNumber = 0
  return {
    folder: (maxBytes) => spoolFolder(() => join(directory, `${++fileNumber}.spool`), maxBytes),
  }
}

function spoolFolder(nextPath: () => string, maxBytes: number): SpoolFolder {
  const opened: { readonly path: string; close(): Promise<void> }[] = []
  const ends: (() => Promise<void>)[] = []
  let used = 0

  async function keep(chunks: AsyncIterable<Uint8Array>, areOwned = false): Promise<SpooledFile> {
    const path = nextPath()
    const file = await open(path, 'wx+', 0o600)
    opened.push({ path, close: () => file.close() })
    const writer = areOwned ? gatheringWriter(file) : plainWriter(file)
    let byteLength = 0
    try {
      for await (const chunk of chunks) {
        used += chunk.byteLength
        if (used > maxBytes) throw tooLarge(maxBytes)
        await writer.write(chunk)
        byteLength += chunk.byteLength
      }
    } finally {
      await writer.end()
    }
    return { ...spooledFile(file, byteLength), path }
  }

  return {
    keep,
    newPath() {
      const path = nextPath()
      opened.push({ path, close: async () => undefined })
      return path
    },
    beforeDiscard: (work) => ends.push(work),
    async discard() {
      for (const end of ends.splice(0)) await end()
      for (const { path, close } of opened.splice(0)) {
        await close()
        await rm(path, { force: true })
      }
    },
  }
}

interface Writer {
  write(chunk: Uint8Array): Promise<void>
  /** Resolves when nothing is under way. */
  end(): Promise<void>
}

function plainWriter(file: FileHandle): Writer {
  return {
    write: (chunk) => writeAll(file, [chunk]),
    end: async () => undefined,
  }
}

/** Writes chunks a mebibyte at a time, while the next ones come, and frees their memory. */
function gatheringWriter(file: FileHandle): Writer {
  let waiting: Uint8Array[] = []
  let waitingBytes = 0
  let writing = Promise.resolve()
  async function flush(): Promise<void> {
    const chunks = waiting
    waiting = []
    waitingBytes = 0
    await writing
    writing = writeAll(file, chunks).then(() => chunks.forEach(freeMemory))
    // Whoever waits for the next flush, or for the end, sees what went wrong.
    writing.catch(() => undefined)
  }
  return {
    async write(chunk) {
      waiting.push(chunk)
      waitingBytes += chunk.byteLength
      if (waitingBytes >= pieceBytes) await flush()
    },
    async end() {
      if (waitingBytes > 0) await flush()
      await writing
    },
  }
}

async function writeAll(file: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  let left = chunks.filter(({ byteLength }) => byteLength > 0)
  while (left.length > 0) {
    let { bytesWritten } = await file.writev(left)
    left = left.flatMap((chunk) => {
      const taken = Math.min(bytesWritten, chunk.byteLength)
      bytesWritten -= taken
      return taken === chunk.byteLength ? [] : [chunk.subarray(taken)]
    })
  }
}

/** Memory that holds anything; whoever takes it fills it. */
function unfilled(byteLength: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(byteLength).buffer)
}

/** Reads up to this length are answered from a stretch of the file that is kept in memory. */
const smallBytes = 64 * 1024
const pieceBytes = 2 ** 20

/** The file as a source. Many small reads in order cost one read of the file. */
function spooledFile(file: FileHandle, byteLength: number): ByteSource {
  let kept: { readonly offset: number; readonly bytes: Promise<Uint8Array> } | undefined
  const check = (offset: number, length: number): void => {
    if (offset < 0 || length < 0 || offset + length > byteLength) throw truncated(byteLength)
  }
  async function fill(bytes: Uint8Array, offset: number): Promise<Uint8Array> {
    let filled = 0
    while (filled < bytes.byteLength) {
      const left = bytes.byteLength - filled
      const { bytesRead } = await file.read(bytes, filled, left, offset + filled)
      if (bytesRead === 0) throw truncated(byteLength)
      filled += bytesRead
    }
    return bytes
  }
  async function readSmall(offset: number, length: number): Promise<Uint8Array> {
    const isKept = (at: number): boolean =>
      kept !== undefined &&
      at >= kept.offset &&
      at <= Math.min(kept.offset + pieceBytes, byteLength)
    if (kept === undefined || !isKept(offset) || !isKept(offset + length)) {
      const stretch = unfilled(Math.min(pieceBytes, byteLength - offset))
      kept = { offset, bytes: fill(stretch, offset) }
    }
    const { offset: start, bytes } = kept
    return (await bytes).slice(offset - start, offset - start + length)
  }
  async function* stream(offset: number, length: number): AsyncGenerator<Uint8Array> {
    check(offset, length)
    if (length <= smallBytes) {
      if (length > 0) yield await readSmall(offset, length)
      return
    }
    // One piece is read while the other is in use.
    const memory = [0, 1].map(() => unfilled(Math.min(pieceBytes, length)))
    const end = offset + length
    const readAt = (at: number, turn: number) => {
      const reading = fill(memory[turn].subarray(0, Math.min(pieceBytes, end - at)), at)
      // It is waited for when its turn comes; a reader that leaves early does not want it.
      reading.catch(() => undefined)
      return reading
    }
    let next = readAt(offset, 0)
    try {
      for (let at = offset, turn = 1; at < end; at += pieceBytes, turn = 1 - turn) {
        const piece = await next
        if (at + pieceBytes < end) next = readAt(at + pieceBytes, turn)
        yield piece
      }
    } finally {
      await next.catch(() => undefined)
      memory.forEach(freeMemory)
    }
  }
  return {
    byteLength,
    async read(offset, length) {
      check(offset, length)
      if (length <= smallBytes) return readSmall(offset, length)
      return fill(unfilled(length), offset)
    },
    stream,
  }
}

function tooLarge(maxBytes: number): Refusal {
  return new Refusal(
    'RESOURCE_EXHAUSTED',
    'body/too-large',
    `The body is larger than the ${maxBytes} bytes that this request may bring (unpacked ones included).`,
    { fix: 'See GET /v1/limits.' },
  )
}

function truncated(byteLength: number): Refusal {
  return new Refusal(
    'DATA_LOSS',
    'file/truncated',
    `The file ends after ${byteLength} bytes, before what it announces.`,
  )
}
