// The backups of a store: one is made at a time, by a thread of its own, in a folder that gets its name
// only once everything in it is on stable storage.
import { createReadStream } from 'node:fs'
import { readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Refusal } from '../../tensor/index.ts'
import type { BackupFile, BackupRecord, Backups, BackupWishes, ByteReport } from '../trust.ts'
import { manifestName, parseManifest, recordOfManifest } from './backup-format.ts'
import type { BackupNotice, BackupSetup } from './backup-worker.ts'
import type { WorkerClient } from './calls.ts'
import { errorCodeOf, errorOf, refusalOfFailure } from './errors.ts'
import type { WriterCalls, WriterNotice } from './messages.ts'
import { makeDirectory } from './pack.ts'

/** What backups need of their store. */
export interface BackupHost {
  readonly writer: WorkerClient<WriterCalls, WriterNotice>
  /** The data directory. */
  readonly directory: string
  /** Where backups lie; nobody else's. */
  readonly backupDirectory: string
  readonly clock: () => number
  readonly log: (message: string) => void
  checkOpen(): void
}

const partialSuffix = '.partial'
const idForm = /^[0-9]{8}T[0-9]{6}Z(-[0-9]{1,6})?$/
const pieceByteLength = 1024 * 1024
/** Progress is passed on when so many bytes were done. */
const reportByteLength = 1024 * 1024

/** The backups of the SQLite store. */
export class SqliteBackups implements Backups {
  readonly #host: BackupHost
  readonly #stopping = new AbortController()
  #running: { readonly record: BackupRecord; readonly made: Promise<unknown> } | undefined

  constructor(host: BackupHost) {
    this.#host = host
  }

  /** Removes what an earlier process left unfinished. */
  async start(): Promise<void> {
    for (const name of await this.#names()) {
      if (name.endsWith(partialSuffix)) await this.#discard(name)
    }
  }

  /** Gives up what is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort(
      new Refusal(
        'UNAVAILABLE',
        'store/closed',
        'The store was closed before the backup was made.',
      ),
    )
    await Promise.allSettled([this.#running?.made])
  }

  async create(
    { copy }: BackupWishes,
    report: ByteReport = () => undefined,
    signal?: AbortSignal,
  ): Promise<BackupRecord> {
    this.#host.checkOpen()
    if (this.#running !== undefined) throw running(this.#running.record.id)
    const createdAt = this.#host.clock()
    const begun: BackupRecord = {
      id: '',
      state: 'running',
      createdAt,
      sequence: 0,
      byteLength: 0,
      digest: undefined,
      packs: copy ? 'copied' : 'linked',
      damaged: 0,
    }
    const signals = AbortSignal.any([
      this.#stopping.signal,
      ...(signal === undefined ? [] : [signal]),
    ])
    const made = this.#make(begun, copy, report, signals)
    this.#running = { record: begun, made }
    try {
      return await made
    } finally {
      this.#running = undefined
    }
  }

  async list(): Promise<readonly BackupRecord[]> {
    this.#host.checkOpen()
    const found: BackupRecord[] = []
    for (const name of await this.#names()) {
      const record = await this.get(name)
      if (record?.state === 'done') found.push(record)
    }
    if (this.#running !== undefined && this.#running.record.id !== '') {
      found.push(this.#running.record)
    }
    return found.sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1))
  }

  async get(id: string): Promise<BackupRecord | undefined> {
    this.#host.checkOpen()
    if (this.#running?.record.id === id) return this.#running.record
    const text = await this.#manifestText(id)
    return text === undefined ? undefined : this.#recordOf(id, text)
  }

  async files(id: string): Promise<readonly BackupFile[] | undefined> {
    this.#host.checkOpen()
    const text = await this.#manifestText(id)
    if (text === undefined) return undefined
    const listed = [
      { name: manifestName, byteLength: text.byteLength },
      ...parseManifest(text).files,
    ]
    const folder = join(this.#host.backupDirectory, id)
    return listed.map(({ name, byteLength }) => ({
      name,
      byteLength,
      chunks: (range) =>
        readFileFrom(join(folder, name), range ?? { offset: 0, length: byteLength }),
    }))
  }

  async remove(id: string): Promise<boolean> {
    this.#host.checkOpen()
    if (this.#running?.record.id === id) throw running(id)
    if ((await this.#manifestText(id)) === undefined) return false
    const gone = `${id}${partialSuffix}`
    // Renamed first: what is left half removed is no backup.
    const { backupDirectory } = this.#host
    await rename(join(backupDirectory, id), join(backupDirectory, gone)).catch((error) => {
      throw refusalOfFailure(error, 'removing a backup')
    })
    await this.#discard(gone)
    return true
  }

  async #make(
    begun: BackupRecord,
    copy: boolean,
    report: ByteReport,
    signal: AbortSignal,
  ): Promise<BackupRecord> {
    const { directory, backupDirectory, writer } = this.#host
    try {
      makeDirectory(backupDirectory)
    } catch (error) {
      throw refusalOfFailure(error, 'making the folder of backups')
    }
    const id = await this.#freeId(begun.createdAt)
    const record = { ...begun, id }
    if (this.#running !== undefined) this.#running = { ...this.#running, record }
    const folder = join(backupDirectory, `${id}${partialSuffix}`)
    const target = join(backupDirectory, id)
    await writer.call('keepPacks', null)
    let areKept = true
    const release = (): void => {
      if (!areKept) return
      areKept = false
      // Where the store worker is lost there is nothing left to release.
      writer.call('releasePacks', null).catch(() => undefined)
    }
    try {
      const setup = { directory, folder, target, id, createdAt: begun.createdAt, copy }
      await runWorker(setup, { report, release, signal })
    } catch (error) {
      await this.#discard(`${id}${partialSuffix}`)
      throw error
    } finally {
      release()
    }
    const text = await this.#manifestText(id)
    const done = text === undefined ? undefined : this.#recordOf(id, text)
    if (done === undefined) throw new Error('a backup that was made is there')
    return done
  }

  async #freeId(createdAt: number): Promise<string> {
    const base = `${new Date(createdAt).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`
    const taken = new Set((await this.#names()).map((name) => name.replace(partialSuffix, '')))
    for (let number = 1, id = base; ; number++, id = `${base}-${number}`) {
      if (!taken.has(id)) return id
    }
  }

  /** What lies in the folder of backups; nothing where there is none yet. */
  async #names(): Promise<string[]> {
    try {
      const names = await readdir(this.#host.backupDirectory)
      return names.filter((name) => idForm.test(name.replace(partialSuffix, ''))).sort()
    } catch (error) {
      if (errorCodeOf(error) === 'ENOENT') return []
      throw refusalOfFailure(error, 'listing the backups')
    }
  }

  async #manifestText(id: string): Promise<Uint8Array | undefined> {
    if (!idForm.test(id)) return undefined
    try {
      return await readFile(join(this.#host.backupDirectory, id, manifestName))
    } catch (error) {
      if (errorCodeOf(error) === 'ENOENT' || errorCodeOf(error) === 'ENOTDIR') return undefined
      throw refusalOfFailure(error, 'reading a backup')
    }
  }

  /** Under the name of its folder, whatever it was called when it was made. */
  #recordOf(id: string, text: Uint8Array): BackupRecord | undefined {
    try {
      return { ...recordOfManifest(parseManifest(text), text), id }
    } catch (error) {
      this.#host.log(`the backup ${id} cannot be read: ${(error as Error).message}`)
      return undefined
    }
  }

  async #discard(name: string): Promise<void> {
    try {
      await rm(join(this.#host.backupDirectory, name), { recursive: true, force: true })
    } catch (error) {
      this.#host.log(`${name} cannot be removed: ${error instanceof Error ? error.message : error}`)
    }
  }
}

/** Runs the thread to its end. `release` is called once the packs are no longer needed. */
function runWorker(
  setup: BackupSetup,
  on: { readonly report: ByteReport; release(): void; readonly signal: AbortSignal },
): Promise<void> {
  if (on.signal.aborted) return Promise.reject(on.signal.reason)
  const file = new URL('./backup-worker.ts', import.meta.url)
  const worker = new Worker(file, { workerData: setup, execArgv: [] })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let told = 0
  worker.on('message', (notice: BackupNotice) => {
    switch (notice.kind) {
      case 'progress':
        if (notice.bytesDone < notice.bytesTotal && notice.bytesDone - told < reportByteLength) {
          return
        }
        told = notice.bytesDone
        on.report(notice.bytesDone, notice.bytesTotal)
        return
      case 'taken':
        on.release()
        return
      case 'done':
        resolve()
        return
      case 'failed':
        reject(errorOf(notice.error))
        return
      default:
        notice satisfies never
    }
  })
  worker.on('error', reject)
  worker.on('exit', (code) => reject(new Error(`the thread of a backup ended with ${code}`)))
  const abort = (): void => reject(on.signal.reason)
  on.signal.addEventListener('abort', abort, { once: true })
  // Nothing is left behind before the thread writes no more.
  return promise
    .finally(() => worker.terminate())
    .finally(() => {
      on.signal.removeEventListener('abort', abort)
    })
}

async function* readFileFrom(
  path: string,
  { offset, length }: { readonly offset: number; readonly length: number },
): AsyncGenerator<Uint8Array> {
  if (length === 0) return
  const options = { start: offset, end: offset + length - 1, highWaterMark: pieceByteLength }
  try {
    for await (const piece of createReadStream(path, options)) yield piece
  } catch (error) {
    throw refusalOfFailure(error, 'reading a backup')
  }
}

/** FAILED_PRECONDITION `backup/running`. */
function running(id: string): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'backup/running',
    `The backup ${id} is being made; there is one at a time.`,
    {
      fix: 'Follow it at GET /v1/operations, and ask again when it is done.',
      names: { backup: id },
    },
  )
}
