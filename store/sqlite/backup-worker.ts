// Makes one backup, in a thread of its own that ends with it: the catalogue as one read transaction sees
// it, copied page by page, and the packs that this copy names, linked or copied. The store worker goes on
// meanwhile; it leaves packs alone until they were taken.
import { createHash } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { Refusal } from '../../tensor/index.ts'
import {
  catalogueName,
  type Manifest,
  type ManifestFile,
  manifestName,
  packPathOf,
  syncPath,
  writeManifest,
} from './backup-format.ts'
import { Connection } from './connection.ts'
import { type ErrorRecord, errorCodeOf, recordOf, refusalOfFailure } from './errors.ts'
import { packFileOf } from './pack.ts'
import { damagedCountOf } from './scrub-rows.ts'

/** What a backup worker is given. */
export interface BackupSetup {
  readonly directory: string
  /** Where it is made; gone, or renamed to `target`, once the thread has ended well. */
  readonly folder: string
  readonly target: string
  readonly id: string
  readonly createdAt: number
  readonly copy: boolean
}

/** What it tells. `taken`: the packs are no longer needed where they lie. */
export type BackupNotice =
  | { readonly kind: 'progress'; readonly bytesDone: number; readonly bytesTotal: number }
  | { readonly kind: 'taken' }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }

const pieceByteLength = 4 * 1024 * 1024
/** Pages that one step copies: a mebibyte or so. */
const pagesPerStep = 256

interface Contents {
  readonly sequence: number
  readonly damaged: number
  readonly packs: readonly string[]
}

class BackupMaker {
  readonly #setup: BackupSetup
  readonly #tell: (notice: BackupNotice) => void
  readonly #piece = Buffer.allocUnsafeSlow(pieceByteLength)
  #done = 0
  #total = 0

  constructor(setup: BackupSetup, tell: (notice: BackupNotice) => void) {
    this.#setup = setup
    this.#tell = tell
  }

  async make(): Promise<void> {
    const { folder, target, id, createdAt } = this.#setup
    mkdirSync(join(folder, 'packs'), { recursive: true })
    await this.#copyCatalogue()
    const contents = this.#contents()
    const catalogue = join(folder, catalogueName)
    syncPath(catalogue)
    // From here on exactly, in place of what the tables said.
    this.#done = statSync(catalogue).size
    this.#total = this.#done + this.#packByteLength(contents.packs)
    const { packs, isLinked } = this.#takePacks(contents.packs)
    this.#tell({ kind: 'taken' })
    const own = {
      name: catalogueName,
      byteLength: statSync(catalogue).size,
      sha256: this.#sha256Of(catalogue),
    }
    const manifest: Manifest = {
      id,
      createdAt,
      sequence: contents.sequence,
      packs: isLinked ? 'linked' : 'copied',
      damaged: contents.damaged,
      files: [own, ...packs],
    }
    writeManifest(folder, manifest)
    for (const path of [join(folder, 'packs'), folder]) syncPath(path)
    renameSync(folder, target)
    syncPath(dirname(target))
    const { size } = statSync(join(target, manifestName))
    this.#total += size
    this.#advance(size)
  }

  /** One read transaction around all steps, so that the copy is what one commit left. */
  async #copyCatalogue(): Promise<void> {
    const source = new Connection(join(this.#setup.directory, catalogueName), { readonly: true })
    try {
      source.run('BEGIN')
      source.get('SELECT sequence FROM store_state')
      const pageByteLength = source.pragma('page_size') as number
      const { bytes } = source.get<{ bytes: number }>(
        'SELECT coalesce(sum(total_bytes), 0) AS bytes FROM pack',
      ) ?? { bytes: 0 }
      await source.copyTo(join(this.#setup.folder, catalogueName), pagesPerStep, (done, total) => {
        this.#total = total * pageByteLength + bytes
        this.#advance(done * pageByteLength - this.#done)
      })
    } finally {
      source.close()
    }
  }

  /** What the copy names, once it is one plain file and every page of it was looked at. */
  #contents(): Contents {
    const file = join(this.#setup.folder, catalogueName)
    const copy = new Connection(file, { readonly: false, mustExist: true })
    try {
      const mode = copy.pragma('journal_mode = DELETE')
      if (mode !== 'delete') throw new Error(`the copy stays in journal mode ${String(mode)}`)
      const answer = copy.pragma('quick_check(1)')
      if (answer !== 'ok') throw damagedCatalogue(String(answer))
      const state = copy.get<{ sequence: number }>('SELECT sequence FROM store_state')
      const packs = copy.all<{ name: string }>('SELECT name FROM pack ORDER BY pack_id')
      return {
        sequence: state?.sequence ?? 0,
        damaged: damagedCountOf(copy),
        packs: packs.map(({ name }) => name),
      }
    } finally {
      copy.close()
    }
  }

  #packByteLength(names: readonly string[]): number {
    const sizes = names.map((name) => sizeOfPack(packFileOf(this.#setup.directory, name), name))
    return sizes.reduce((sum, size) => sum + size, 0)
  }

  #takePacks(names: readonly string[]): {
    readonly packs: readonly ManifestFile[]
    readonly isLinked: boolean
  } {
    let isLinked = !this.#setup.copy
    const packs = names.map((name) => {
      const from = packFileOf(this.#setup.directory, name)
      const to = join(this.#setup.folder, packPathOf(name))
      const byteLength = sizeOfPack(from, name)
      isLinked &&= link(from, to)
      if (isLinked) this.#advance(byteLength)
      else this.#copy(from, to)
      return { name: packPathOf(name), byteLength, sha256: undefined }
    })
    return { packs, isLinked }
  }

  #copy(from: string, to: string): void {
    const source = openSync(from, 'r')
    const target = openSync(to, 'wx')
    try {
      for (;;) {
        const length = readSync(source, this.#piece, 0, pieceByteLength, null)
        if (length === 0) break
        let written = 0
        while (written < length) {
          written += writeSync(target, this.#piece, written, length - written)
        }
        this.#advance(length)
      }
      fsyncSync(target)
    } finally {
      closeSync(source)
      closeSync(target)
    }
  }

  #sha256Of(path: string): string {
    const hash = createHash('sha256')
    const file = openSync(path, 'r')
    try {
      for (;;) {
        const length = readSync(file, this.#piece, 0, pieceByteLength, null)
        if (length === 0) return hash.digest('hex')
        hash.update(this.#piece.subarray(0, length))
      }
    } finally {
      closeSync(file)
    }
  }

  #advance(byteLength: number): void {
    this.#done += byteLength
    const bytesTotal = Math.max(this.#total, this.#done)
    this.#tell({ kind: 'progress', bytesDone: this.#done, bytesTotal })
  }
}

/** Whether a link could be made; not from one file system to another. */
function link(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    const code = errorCodeOf(error)
    if (['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP'].includes(code ?? '')) return false
    throw error
  }
}

function sizeOfPack(path: string, name: string): number {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found !== undefined) return found.size
  throw new Refusal(
    'DATA_LOSS',
    'store/pack-missing',
    `The pack ${name} is missing: not everything can be backed up.`,
    { fix: 'Write what GET /v1/scrub names as damaged again, or delete it, and try again.' },
  )
}

function damagedCatalogue(answer: string): Refusal {
  return new Refusal(
    'DATA_LOSS',
    'store/catalogue-damaged',
    `The catalogue is damaged: ${answer.replaceAll(/\s+/g, ' ')}.`,
    { fix: 'Restore the data directory from an earlier backup.' },
  )
}

if (parentPort === null) throw new Error('backup-worker.ts runs as a worker')
const port = parentPort
const tell = (notice: BackupNotice): void => port.postMessage(notice)
try {
  await new BackupMaker(workerData as BackupSetup, tell).make()
  tell({ kind: 'done' })
} catch (error) {
  tell({ kind: 'failed', error: recordOf(refusalOfFailure(error, 'making a backup')) })
}
