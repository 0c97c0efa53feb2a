// A folder of the disk as a set of named sources.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import { byteSourceOf, type ChecksumTools } from '../formats/index.ts'
import type { FileSet } from '../tensor/index.ts'

/** What the formats are handed here. */
export const checksumTools: ChecksumTools = { crc32c: (bytes, initial) => crc32c(bytes, initial) }

/** All files below `path`, whole in memory; names are relative to it. */
export function folderFiles(path: string): FileSet {
  const names = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
    .sort()
  return { names, open: (name) => byteSourceOf(readFileSync(join(path, name))) }
}

/** Lower-case hex SHA-256 of a stream's bytes. */
export async function sha256Of(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of chunks) hash.update(chunk)
  return hash.digest('hex')
}
