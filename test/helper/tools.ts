// The checksums, compression and files that tests hand to formats/, made of Node's own.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { crc32, createInflateRaw } from 'node:zlib'
import { crc32c } from '@node-rs/crc32'
import { byteSourceOf } from '../../formats/index.ts'
import { type ByteSource, type FileSet, Refusal } from '../../tensor/index.ts'

/** SHA-256 of the bytes, in hexadecimal. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** SHA-256 of a stream of bytes, in hexadecimal. */
export async function sha256OfChunks(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of chunks) hash.update(chunk)
  return hash.digest('hex')
}

/** The chunks as one array. */
export async function bytesOfChunks(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return new Uint8Array(Buffer.concat(parts))
}

/** Raw DEFLATE data decompressed; throws where it is damaged, cut off or followed by more. */
export async function* inflate(compressed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = createInflateRaw()
  let given = 0
  const feeding = (async () => {
    for await (const chunk of compressed) {
      given += chunk.byteLength
      if (!stream.write(chunk)) await new Promise((resolve) => stream.once('drain', resolve))
    }
    stream.end()
  })()
  feeding.catch((error) => stream.destroy(error))
  for await (const chunk of stream) yield new Uint8Array(chunk)
  await feeding
  if (stream.bytesWritten !== given) throw new Error('data after the end of the stream')
}

/** Everything that formats/ may be handed. Spooled streams are kept in memory. */
export const tools = {
  crc32c: (bytes: Uint8Array, initial?: number) => crc32c(bytes, initial),
  crc32: (bytes: Uint8Array, initial?: number) => crc32(bytes, initial),
  inflate,
  spool: async (chunks: AsyncIterable<Uint8Array>): Promise<ByteSource> =>
    byteSourceOf(await bytesOfChunks(chunks)),
}

/** A set of files held in memory. */
export function fileSetOf(files: Readonly<Record<string, Uint8Array>>): FileSet {
  return {
    names: Object.keys(files),
    open(name) {
      if (!Object.hasOwn(files, name)) throw new Refusal('NOT_FOUND', 'file/unknown', name)
      return byteSourceOf(files[name])
    },
  }
}

/** The files of a folder and the folders in it, by their paths within it. */
export function filesOfFolder(folder: string): Record<string, Uint8Array> {
  const files: Record<string, Uint8Array> = {}
  for (const item of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!item.isFile()) continue
    const path = join(item.parentPath, item.name)
    files[relative(folder, path).replaceAll('\\', '/')] = new Uint8Array(readFileSync(path))
  }
  return files
}

/** The Refusal that `action` ends in; throws where it ends in anything else. */
export async function refusalOf(action: () => unknown): Promise<Refusal> {
  try {
    await action()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('nothing was refused')
}
