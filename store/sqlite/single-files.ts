// Checkpoints as single files, seen from the calling thread: each is written or read by a thread of its own.
import { join } from 'node:path'
import type { FileTensor, OpenedFile, SingleFiles } from '../single-files.ts'
import { WorkerClient } from './calls.ts'
import type { FileCalls } from './file-worker.ts'

/** Chunks that are read ahead. */
const readAheadCount = 2

/** What single files need of their store. */
export interface SingleFileHost {
  readonly directory: string
  checkOpen(): void
}

/** The single files of the SQLite store. */
export class SqliteSingleFiles implements SingleFiles {
  readonly #host: SingleFileHost

  constructor(host: SingleFileHost) {
    this.#host = host
  }

  async write(checkpoint: string, path: string): Promise<void> {
    this.#host.checkOpen()
    const { directory } = this.#host
    const thread = newThread()
    try {
      const catalogue = join(directory, 'catalog.db')
      await thread.call('write', { catalogue, directory, checkpoint, path })
    } finally {
      await thread.end()
    }
  }

  async open(path: string, limits: Parameters<SingleFiles['open']>[1]): Promise<OpenedFile> {
    this.#host.checkOpen()
    const thread = newThread()
    try {
      const { head, tensors } = await thread.call('open', { path, limits })
      return {
        head,
        tensors,
        chunks: (tensor) => chunksOf(thread, tensor),
        async close() {
          await Promise.allSettled([thread.call('close', null)])
          await thread.end()
        },
      }
    } catch (error) {
      await thread.end()
      throw error
    }
  }
}

type Thread = WorkerClient<FileCalls>

function newThread(): Thread {
  // Whoever waits for an answer hears of it.
  const onLost = (): void => undefined
  return new WorkerClient<FileCalls>(new URL('./file-worker.ts', import.meta.url), null, { onLost })
}

async function* chunksOf(
  thread: Thread,
  { index: tensor, chunkCount }: FileTensor,
): AsyncGenerator<Uint8Array> {
  const ahead: Promise<ArrayBuffer>[] = []
  for (let ordinal = 0, next = 0; ordinal < chunkCount; ordinal++) {
    for (; next < chunkCount && ahead.length < readAheadCount; next++) {
      const chunk = thread.call('chunk', { tensor, ordinal: next })
      chunk.catch(() => undefined)
      ahead.push(chunk)
    }
    yield new Uint8Array(await (ahead.shift() as Promise<ArrayBuffer>))
  }
}
