// Makes a data directory of a backup, which is a folder or the tar of one:
// `npm run restore -- BACKUP --data FOLDER`. Everything is checked before the directory can be opened.
import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { openTar } from '../formats/index.ts'
import { restoreBackup } from '../store/index.ts'
import type { ByteSource, FileSet } from '../tensor/index.ts'
import { runCommand, tellProgress, UsageError } from './command.ts'

const usage = `Usage:
  npm run restore -- BACKUP --data FOLDER [--accept-damage]
      BACKUP         the folder of a backup, or its tar
      --data         where to: a folder that is empty, or not there yet
      --accept-damage  restores the rest where chunks of the backup are damaged`

async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let filled = 0; filled < length; ) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled)
    if (bytesRead === 0) throw new Error('The backup ends before it should.')
    filled += bytesRead
  }
  return bytes
}

/** A file, open only while it is read: a backup may have more of them than can be open at once. */
async function sourceOf(path: string): Promise<ByteSource> {
  const { size } = await stat(path)
  return {
    byteLength: size,
    async read(offset, length) {
      const file = await open(path, 'r')
      try {
        return await readAt(file, offset, length)
      } finally {
        await file.close()
      }
    },
  }
}

/** The files of a folder, and of the folders in it. */
async function folderSet(folder: string): Promise<FileSet> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const sources = new Map<string, ByteSource>()
  for (const entry of entries) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    sources.set(path.slice(folder.length + 1).replaceAll('\\', '/'), await sourceOf(path))
  }
  return {
    names: [...sources.keys()],
    open(name) {
      const source = sources.get(name)
      if (source === undefined) throw new Error(`${name} is not in the folder`)
      return source
    },
  }
}

async function filesOf(path: string): Promise<FileSet> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) throw new UsageError(`${path} is not there.`)
  if (found.isDirectory()) return folderSet(path)
  return openTar(await sourceOf(path), { maxUnpackedBytes: Number.MAX_SAFE_INTEGER })
}

const options = { usage, values: ['data'], flags: ['accept-damage'], names: 1 }
await runCommand(options, process.argv.slice(2), async (line) => {
  const [backup] = line.names
  const directory = line.value('data')
  if (backup === undefined || directory === undefined) {
    throw new UsageError('Both the backup and --data are needed.')
  }
  const files = await filesOf(resolve(backup))
  const wishes = { acceptDamage: line.flag('accept-damage'), report: tellProgress }
  const restored = await restoreBackup(files, resolve(directory), wishes)
  const { id, createdAt, sequence } = restored.backup
  const made = new Date(createdAt).toISOString()
  process.stdout.write(
    `${resolve(directory)} holds backup ${id} of ${made}, commit ${sequence}: ${restored.chunks} chunks checked, ${restored.damaged} damaged.\n`,
  )
})
