// What a backup is made of: a copy of the catalogue, the packs that it names, and a manifest of both. The
// manifest has the catalogue's SHA-256, and the catalogue that of every chunk, so that nothing can change
// unnoticed. It knows the form; who copies what is elsewhere.
import { createHash } from 'node:crypto'
import { closeSync, fsyncSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Refusal } from '../../tensor/index.ts'
import type { BackupRecord } from '../trust.ts'

/** The file that says what a backup holds; without it there is none. */
export const manifestName = 'backup.json'
export const catalogueName = 'catalog.db'

const formatName = 'holdfast-backup'
const formatVersion = 1
/** Longer ones are not read. */
export const longestManifest = 256 * 1024 * 1024

/** A file of a backup. Packs have no checksum of their own: the catalogue has one for each chunk. */
export interface ManifestFile {
  readonly name: string
  readonly byteLength: number
  readonly sha256: string | undefined
}

/** A manifest. */
export interface Manifest {
  readonly id: string
  readonly createdAt: number
  readonly sequence: number
  readonly packs: 'linked' | 'copied'
  readonly damaged: number
  readonly files: readonly ManifestFile[]
}

/** Path of a pack inside a backup. */
export function packPathOf(name: string): string {
  return `packs/${name}.pack`
}

/** Writes the manifest of the backup in `folder` to stable storage. */
export function writeManifest(folder: string, manifest: Manifest): void {
  const { id, createdAt, sequence, packs, damaged } = manifest
  const files = manifest.files.map(({ name, byteLength, sha256 }) => ({
    name,
    bytes: byteLength,
    ...(sha256 === undefined ? {} : { sha256 }),
  }))
  const head = { format: formatName, version: formatVersion, id, created_at: createdAt }
  const text = JSON.stringify({ ...head, sequence, packs, damaged, files }, undefined, 1)
  writeFileSync(join(folder, manifestName), `${text}\n`)
  syncPath(join(folder, manifestName))
}

/** Makes a file's bytes, or a folder's names, durable. */
export function syncPath(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** The record of a backup that has this manifest. */
export function recordOfManifest(manifest: Manifest, text: Uint8Array): BackupRecord {
  const { id, createdAt, sequence, packs, damaged, files } = manifest
  const own = files.reduce((sum, { byteLength }) => sum + byteLength, 0)
  return {
    id,
    state: 'done',
    createdAt,
    sequence,
    byteLength: own + text.byteLength,
    digest: createHash('sha256').update(text).digest('hex'),
    packs,
    damaged,
  }
}

const packPath = /^packs\/[0-9]{1,15}-[0-9]{1,15}\.pack$/

/** Reads a manifest. Refuses (INVALID_ARGUMENT `backup/not-a-backup`) whatever else there is. */
export function parseManifest(bytes: Uint8Array): Manifest {
  let given: Record<string, unknown>
  try {
    given = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw notABackup(`its ${manifestName} is not JSON`, cause)
  }
  if (typeof given !== 'object' || given === null || given.format !== formatName) {
    throw notABackup(`its ${manifestName} is another program's`)
  }
  if (given.version !== formatVersion) {
    throw notABackup(`its form is version ${given.version}; this release knows ${formatVersion}`)
  }
  const { id, created_at: createdAt, sequence, packs, damaged, files } = given
  if (
    typeof id !== 'string' ||
    !isCount(createdAt) ||
    !isCount(sequence) ||
    !isCount(damaged) ||
    (packs !== 'linked' && packs !== 'copied') ||
    !Array.isArray(files)
  ) {
    throw notABackup(`its ${manifestName} lacks something`)
  }
  const read = files.map(fileOf)
  const names = new Set(read.map(({ name }) => name))
  if (names.size !== read.length || read[0]?.name !== catalogueName) {
    throw notABackup(`its ${manifestName} does not list its files`)
  }
  return { id, createdAt, sequence, packs, damaged, files: read }
}

function fileOf(given: unknown): ManifestFile {
  const { name, bytes, sha256 } = (given ?? {}) as Record<string, unknown>
  const isCatalogue = name === catalogueName
  const isNamed = isCatalogue || (typeof name === 'string' && packPath.test(name))
  const isSummed = isCatalogue
    ? typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256)
    : sha256 === undefined
  if (!isNamed || !isSummed || !isCount(bytes)) {
    throw notABackup(`its ${manifestName} names a file that no backup has`)
  }
  return { name: String(name), byteLength: bytes, sha256: isCatalogue ? String(sha256) : undefined }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

/** INVALID_ARGUMENT `backup/not-a-backup`. */
export function notABackup(problem: string, cause?: unknown): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'backup/not-a-backup', `This is no backup: ${problem}.`, {
    fix: 'Name the folder or the tar of a backup that Holdfast made.',
    cause,
  })
}
