// Opens an archive by what its bytes say it is: tar, gzipped tar, zip.
import { type ByteSource, type FileSet, Refusal } from '../tensor/index.ts'
import { type ArchiveLimits, gunzip } from './archive.ts'
import { openTar, tarBlockLength } from './tar-reader.ts'
import type { ArchiveTools } from './tools.ts'
import { openZip } from './zip-reader.ts'

/**
 * The members of the archive in `source`. Refuses INVALID_ARGUMENT (`archive/unknown-kind`) bytes
 * that are no archive, and what the readers refuse.
 */
export async function openArchive(
  source: ByteSource,
  tools: ArchiveTools,
  limits: ArchiveLimits = {},
): Promise<FileSet> {
  const head = await source.read(0, Math.min(source.byteLength, 4))
  const begins = (...bytes: readonly number[]) => bytes.every((byte, index) => head[index] === byte)
  if (begins(0x1f, 0x8b)) return openTar(await gunzip(source, tools, limits), limits)
  if (begins(0x50, 0x4b, 3, 4) || begins(0x50, 0x4b, 5, 6)) return openZip(source, tools, limits)
  if (source.byteLength >= tarBlockLength) return openTar(source, limits)
  throw new Refusal(
    'INVALID_ARGUMENT',
    'archive/unknown-kind',
    `A body of ${source.byteLength} bytes is neither a tar nor a zip archive.`,
    { fix: 'Send a .tar, .tar.gz or .zip file.' },
  )
}
