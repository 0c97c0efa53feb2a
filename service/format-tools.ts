// What the formats are handed on a server: checksums from a native package, inflation from zlib.
import { pipeline, Readable } from 'node:stream'
import { createInflateRaw } from 'node:zlib'
import { crc32, crc32c } from '@node-rs/crc32'
import type { ArchiveTools, ChecksumTools } from '../formats/index.ts'
import type { SpoolFolder } from './spool.ts'

/** CRC-32C, as checkpoints use it. */
export const checksumTools: ChecksumTools = { crc32c: (bytes, initial) => crc32c(bytes, initial) }

/** CRC-32, as zip archives use it. */
export const zipTools: Pick<ArchiveTools, 'crc32'> = {
  crc32: (bytes, initial) => crc32(bytes, initial),
}

/** What an archive reader needs; what it unpacks goes into `folder`. */
export function archiveTools(folder: SpoolFolder): ArchiveTools {
  return {
    ...zipTools,
    inflate,
    spool: (chunks) => folder.keep(chunks),
  }
}

async function* inflate(compressed: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const inflated = createInflateRaw()
  let given = 0
  async function* counted(): AsyncIterable<Uint8Array> {
    for await (const chunk of compressed) {
      given += chunk.byteLength
      // Streams take chunks before they need them; the memory of these is used again by then.
      yield chunk.slice()
    }
  }
  // The loop below sees every error; pipeline wants a callback all the same.
  pipeline(Readable.from(counted()), inflated, () => undefined)
  yield* inflated
  if (inflated.bytesWritten < given) throw new Error('the compressed data goes on after its end')
}
