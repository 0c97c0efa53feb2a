// Putting a backup back as a data directory. Everything is checked against the backup's checksums before
// the directory can be opened: until then a mark in it keeps every store out.
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { type ByteSource, type FileSet, Refusal } from '../../tensor/index.ts'
import type { BackupRecord, ByteReport } from '../trust.ts'
import {
  catalogueName,
  longestManifest,
  type Manifest,
  type ManifestFile,
  manifestName,
  notABackup,
  packPathOf,
  parseManifest,
  recordOfManifest,
  syncPath,
} from './backup-format.ts'
import { ContentChecker } from './checker.ts'
import { ChunkReader } from './chunk-reader.ts'
import { Connection } from './connection.ts'
import { refusalOfFailure } from './errors.ts'
import type { DamagedRow, TracedChunk, TracedEntry, TracedVariable } from './messages.ts'
import { catalogueApplicationId } from './migrate.ts'
import { makeDirectory, packFolderOf } from './pack.ts'

/** While a directory holds this file, what else is in it is half of a store. */
const markName = 'restoring'

const pieceByteLength = 4 * 1024 * 1024
/** Rows that are checked at once. */
const checkCount = 64
/** Names that a refusal lists. */
const mostNamed = 10

/** How a backup is put back. */
export interface RestoreWishes {
  /** Restores the rest where chunks of the backup are damaged; reads of those are refused later. */
  readonly acceptDamage?: boolean | undefined
  readonly report?: ByteReport | undefined
}

/** What was put back. */
export interface RestoredBackup {
  readonly backup: BackupRecord
  /** Chunks and inline values that were read and compared. */
  readonly chunks: number
  /** Chunks that are damaged, where that was accepted. */
  readonly damaged: number
}

/** Refuses (FAILED_PRECONDITION `store/half-restored`) a directory whose restore did not end. */
export function checkNotHalfRestored(directory: string): void {
  if (!existsSync(join(directory, markName))) return
  throw new Refusal(
    'FAILED_PRECONDITION',
    'store/half-restored',
    'The data directory holds half of a backup: its restore did not end.',
    { fix: 'Restore the backup into it again.' },
  )
}

/**
 * Makes `directory` (missing, empty, or left by a restore that did not end) the store that a backup's
 * files hold. All of it or nothing: a failure leaves the directory empty. Refuses
 * (FAILED_PRECONDITION `backup/directory-in-use`) a directory with anything else in it, (INVALID_ARGUMENT
 * `backup/not-a-backup`) other files, and (DATA_LOSS `backup/damaged`) files that are not what the backup
 * was when it was made.
 */
export async function restoreBackup(
  files: FileSet,
  directory: string,
  { acceptDamage = false, report = () => undefined }: RestoreWishes = {},
): Promise<RestoredBackup> {
  const text = await manifestOf(files)
  const manifest = parseManifest(text)
  const sources = sourcesOf(files, manifest)
  prepare(directory)
  try {
    const total = manifest.files.reduce((sum, { byteLength }) => sum + byteLength, 0)
    let done = 0
    for (const [file, source] of sources) {
      await copy(source, join(directory, file.name), file, (byteLength) => {
        done += byteLength
        report(done, total)
      })
    }
    syncPath(packFolderOf(directory))
    checkCatalogue(directory, manifest)
    const { chunks, damaged } = checkContent(directory)
    if (damaged.length > 0 && !acceptDamage) throw damagedContent(directory, damaged)
    finish(directory)
    const backup = recordOfManifest(manifest, text)
    return { backup, chunks, damaged: damaged.length }
  } catch (error) {
    empty(directory)
    throw refusalOfFailure(error, 'restoring the backup')
  }
}

/** In the folder itself, or in the only folder at the top of it, as in a tar. */
async function manifestOf(files: FileSet): Promise<Uint8Array> {
  const name = `${prefixOf(files)}${manifestName}`
  const source = files.open(name)
  if (source.byteLength > longestManifest) throw notABackup(`its ${manifestName} is too long`)
  return source.read(0, source.byteLength)
}

function prefixOf({ names }: FileSet): string {
  const found = names.filter((name) => /^([^/]+\/)?backup\.json$/.test(name.replace(/^\.\//, '')))
  if (found.length === 1) return found[0].slice(0, -manifestName.length)
  throw notABackup(`it has ${found.length === 0 ? 'no' : 'several'} ${manifestName}`)
}

function sourcesOf(files: FileSet, manifest: Manifest): [ManifestFile, ByteSource][] {
  const prefix = prefixOf(files)
  const present = new Set(files.names)
  return manifest.files.map((file) => {
    const name = `${prefix}${file.name}`
    if (!present.has(name)) throw damagedFile(file.name, 'it is missing')
    const source = files.open(name)
    if (source.byteLength === file.byteLength) return [file, source]
    const problem = `it has ${source.byteLength} bytes instead of ${file.byteLength}`
    throw damagedFile(file.name, problem)
  })
}

function prepare(directory: string): void {
  try {
    makeDirectory(directory)
    const names = readdirSync(directory)
    if (names.length > 0 && !names.includes(markName)) throw inUse(names)
    // The mark first, and last to go: what a restore that did not end left is ours to remove.
    writeFileSync(join(directory, markName), '')
    syncPath(join(directory, markName))
    syncPath(directory)
    for (const name of readdirSync(directory)) {
      if (name !== markName) rmSync(join(directory, name), { recursive: true, force: true })
    }
    makeDirectory(packFolderOf(directory))
  } catch (error) {
    throw refusalOfFailure(error, 'preparing the directory')
  }
}

function empty(directory: string): void {
  for (const name of readdirSync(directory)) {
    if (name !== markName) rmSync(join(directory, name), { recursive: true, force: true })
  }
  rmSync(join(directory, markName), { force: true })
}

function finish(directory: string): void {
  syncPath(directory)
  rmSync(join(directory, markName))
  syncPath(directory)
}

async function copy(
  source: ByteSource,
  to: string,
  file: ManifestFile,
  passed: (byteLength: number) => void,
): Promise<void> {
  const hash = file.sha256 === undefined ? undefined : createHash('sha256')
  const target = openSync(to, 'wx', 0o644)
  try {
    for (let offset = 0; offset < file.byteLength; offset += pieceByteLength) {
      const length = Math.min(pieceByteLength, file.byteLength - offset)
      const piece = await source.read(offset, length)
      hash?.update(piece)
      for (let written = 0; written < length; ) {
        written += writeSync(target, piece, written, length - written)
      }
      passed(length)
    }
    fsyncSync(target)
  } finally {
    closeSync(target)
  }
  if (hash !== undefined && hash.digest('hex') !== file.sha256) {
    throw damagedFile(file.name, 'its SHA-256 differs')
  }
}

/** The catalogue is ours, whole, and names no pack that the backup does not have. */
function checkCatalogue(directory: string, manifest: Manifest): void {
  const connection = new Connection(join(directory, catalogueName), { readonly: true })
  try {
    if (connection.pragma('application_id') !== catalogueApplicationId) {
      throw damagedFile(catalogueName, 'it is no catalogue')
    }
    const answer = connection.pragma('quick_check(1)')
    if (answer !== 'ok') throw damagedFile(catalogueName, String(answer).replaceAll(/\s+/g, ' '))
    const listed = new Set(manifest.files.map(({ name }) => name))
    const packs = connection.all<{ name: string }>('SELECT name FROM pack')
    const missing = packs.find(({ name }) => !listed.has(packPathOf(name)))
    if (missing !== undefined) throw damagedFile(packPathOf(missing.name), 'it is missing')
  } finally {
    connection.close()
  }
}

/** Every chunk and every inline value against its SHA-256. */
function checkContent(directory: string): { chunks: number; damaged: readonly DamagedRow[] } {
  return withChecker(directory, (checker, connection) => {
    const damaged: DamagedRow[] = []
    let chunks = 0
    const check = (request: { readonly chunks: number[]; readonly inline: number[] }): void => {
      const checked = checker.check(request)
      chunks += checked.chunks
      damaged.push(...checked.damaged)
    }
    for (const ids of idsOf(connection, 'chunk_id', 'chunk')) check({ chunks: ids, inline: [] })
    for (const ids of idsOf(connection, 'value_id', 'inline_content')) {
      check({ chunks: [], inline: ids })
    }
    return { chunks, damaged }
  })
}

function* idsOf(
  connection: Connection,
  key: 'chunk_id' | 'value_id',
  table: 'chunk' | 'inline_content',
): Generator<number[]> {
  for (let after = 0; ; ) {
    const rows = connection.all<{ id: number }>(
      `SELECT ${key} AS id FROM ${table} WHERE ${key} > ? ORDER BY ${key} LIMIT ?`,
      after,
      checkCount,
    )
    if (rows.length === 0) return
    yield rows.map(({ id }) => id)
    after = rows[rows.length - 1].id
  }
}

function withChecker<T>(
  directory: string,
  work: (checker: ContentChecker, connection: Connection) => T,
): T {
  const reader = new ChunkReader(directory, 1)
  const checker = new ContentChecker(directory, reader)
  const connection = new Connection(join(directory, catalogueName), { readonly: true })
  try {
    return work(checker, connection)
  } finally {
    connection.close()
    checker.close()
    reader.close()
  }
}

/** Who holds damaged content, as text, a few of them. */
function namesOf(directory: string, damaged: readonly DamagedRow[]): string[] {
  return withChecker(directory, (checker) => {
    const ids = damaged.filter((row) => row.in === 'chunk').map(({ id }) => id)
    const values = new Set(damaged.filter((row) => row.in === 'inline').map(({ id }) => id))
    for (let after: number | undefined = 0; after !== undefined; ) {
      const { rows, next } = checker.trace({ kind: 'chunks', ids, after })
      for (const { valueId } of rows as readonly TracedChunk[]) values.add(valueId)
      after = next
    }
    const held = [...values]
    const variables = checker.trace({ kind: 'variables', ids: held }).rows
    const names = (variables as readonly TracedVariable[]).map(({ name }) => `variable ${name}`)
    let after: number | undefined = Number.MAX_SAFE_INTEGER
    while (after !== undefined && names.length < mostNamed) {
      const { rows, next } = checker.trace({ kind: 'entries', ids: held, after })
      for (const { checkpoint, tensor } of rows as readonly TracedEntry[]) {
        names.push(`tensor ${tensor} of checkpoint ${checkpoint}`)
      }
      after = next
    }
    return names.slice(0, mostNamed)
  })
}

function damagedContent(directory: string, damaged: readonly DamagedRow[]): Refusal {
  const names = namesOf(directory, damaged)
  const chunks = damaged.length === 1 ? 'One chunk' : `${damaged.length} chunks`
  return new Refusal(
    'DATA_LOSS',
    'backup/damaged',
    `${chunks} of the backup ${damaged.length === 1 ? 'is' : 'are'} damaged: ${names.join(', ')}.`,
    {
      fix: 'Take another backup, or say --accept-damage to restore the rest.',
      names: { held: names },
    },
  )
}

function damagedFile(file: string, problem: string): Refusal {
  return new Refusal(
    'DATA_LOSS',
    'backup/damaged',
    `${file} of the backup is damaged: ${problem}.`,
    {
      fix: 'Take another copy of the backup, or another backup.',
      names: { file },
    },
  )
}

function inUse(names: readonly string[]): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'backup/directory-in-use',
    `The directory is not empty: it holds ${names.slice(0, 3).join(', ')}${names.length > 3 ? ', ..' : ''}.`,
    { fix: 'Name a directory that is empty, or not there yet.' },
  )
}
