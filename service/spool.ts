// Temporary files for bodies that are read at random (archives, bundles). They live in one folder,
// are deleted when their request ends however it ends, and swept at start. Names are numbers of ours.
import { mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ByteSource, Refusal } from '../tensor/index.ts'

/** The files of one request. `discard` deletes them all. */
export interface SpoolFolder {
  /**
   * Writes the stream into a new file. Refuses (RESOURCE_EXHAUSTED `body/too-large`) more than
   * `maxBytes` in this folder altogether.
   */
  keep(chunks: AsyncIterable<Uint8Array>): Promise<ByteSource>
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
  let used = 0

  async function keep(chunks: AsyncIterable<Uint8Array>): Promise<ByteSource> {
    const path = nextPath()
    const file = await open(path, 'wx+', 0o600)
    opened.push({ path, close: () => file.close() })
    let byteLength = 0
    for await (const chunk of chunks) {
      used += chunk.byteLength
      if (used > maxBytes) throw tooLarge(maxBytes)
      let written = 0
      while (written < chunk.byteLength) {
        const { bytesWritten } = await file.write(chunk, written, chunk.byteLength - written)
        written += bytesWritten
      }
      byteLength += chunk.byteLength
    }
    return {
      byteLength,
      async read(offset, length) {
        if (offset < 0 || length < 0 || offset + length > byteLength) throw truncated(byteLength)
        const bytes = new Uint8Array(length)
        let filled = 0
        while (filled < length) {
          const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled)
          if (bytesRead === 0) throw truncated(byteLength)
          filled += bytesRead
        }
        return bytes
      },
    }
  }

  return {
    keep,
    async discard() {
      for (const { path, close } of opened.splice(0)) {
        await close()
        await rm(path, { force: true })
      }
    },
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
