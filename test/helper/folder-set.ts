// A folder as a set of files, read when they are asked for.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { FileSet } from '../../tensor/index.ts'

/** The files of a folder and of the folders in it, as they are at each read. */
export function folderSet(folder: string): FileSet {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
  return {
    names,
    open: (name) => ({
      byteLength: statSync(join(folder, name)).size,
      read: async (offset, length) =>
        new Uint8Array(readFileSync(join(folder, name)).subarray(offset, offset + length)),
    }),
  }
}
