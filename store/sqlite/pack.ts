// Packs: sealed, immutable SQLite files of chunks. This file writes one, and reads many through a
// bounded set of open ones. It knows nothing of the catalogue that names them.
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Connection } from './connection.ts'
import { EarlySync } from './early-sync.ts'
import type { ChunkIdentity, SealedPack } from './messages.ts'

/** `HOLP`, in the header of every pack. */
const packApplicationId = 0x484f4c50
const packVersion = 1
/** Chunks pass through once: keeping their pages would only hold memory. */
const packCacheKibibytes = 1024
/** A disk has written as much while the next as much is hashed, and what is left at the end is little. */
const earlySyncByteLength = 32 * 1024 * 1024

/** Where the packs of a data directory lie. */
export function packFolderOf(directory: string): string {
  return join(directory, 'packs')
}

/** The file of a sealed pack. */
export function packFileOf(directory: string, name: string): string {
  return join(packFolderOf(directory), `${name}.pack`)
}

/** Makes names in a directory durable: entries made, renamed or removed in it. */
function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Makes a directory, and its name in the parent durable. */
export function makeDirectory(path: string): void {
  if (mkdirSync(path, { recursive: true }) !== undefined) syncDirectory(join(path, '..'))
}

/**
 * A pack being written under a name of its own. Nothing reads it before `seal`; `abandon` or a
 * crash leaves at most a file that the next start removes.
 */
export class PackWriter {
  readonly name: string
  readonly #directory: string
  readonly #unsealedFile: string
  readonly #connection: Connection
  readonly #earlySync: EarlySync
  readonly #chunks: ChunkIdentity[] = []
  #totalByteLength = 0
  #open = true

  /** `syncedByteLength`: after so many bytes each time the file is synced while it grows on. */
  constructor(directory: string, name: string, syncedByteLength = earlySyncByteLength) {
    this.name = name
    this.#directory = directory
    this.#unsealedFile = join(packFolderOf(directory), `${name}.tmp`)
    this.#earlySync = new EarlySync(this.#unsealedFile, syncedByteLength)
    const connection = new Connection(this.#unsealedFile, { readonly: false })
    this.#connection = connection
    try {
      connection.pragma('page_size = 65536')
      // OFF would be refused silently: ask what it is now. The rollback journal may stay in memory
      // because a pack that was not finished is thrown away.
      const mode = connection.pragma('journal_mode = MEMORY')
      if (mode !== 'memory') throw new Error(`a new pack has journal mode ${String(mode)}`)
      connection.pragma('synchronous = FULL')
      connection.pragma(`cache_size = -${packCacheKibibytes}`)
      connection.exec('BEGIN EXCLUSIVE')
      connection.pragma(`application_id = ${packApplicationId}`)
      connection.pragma(`user_version = ${packVersion}`)
      connection.exec(
        `CREATE TABLE chunk (
          ordinal INTEGER PRIMARY KEY,
          digest BLOB NOT NULL,
          crc32c INTEGER NOT NULL,
          bytes BLOB NOT NULL
        ) STRICT`,
      )
    } catch (error) {
      this.abandon()
      throw error
    }
  }

  get totalByteLength(): number {
    return this.#totalByteLength
  }

  /** Adds a chunk; its ordinal is the number of those before it. */
  add(chunk: ChunkIdentity, bytes: Uint8Array): void {
    this.#connection.run(
      'INSERT INTO chunk (ordinal, digest, crc32c, bytes) VALUES (?, ?, ?, ?)',
      this.#chunks.length,
      chunk.digest,
      chunk.crc32c,
      bytes,
    )
    this.#chunks.push({
      digest: chunk.digest,
      crc32c: chunk.crc32c,
      byteLength: chunk.byteLength,
    })
    this.#totalByteLength += chunk.byteLength
    this.#earlySync.wrote(chunk.byteLength)
  }

  /** Brings the pack to stable storage under its final name. A failure leaves nothing. */
  async seal(): Promise<SealedPack> {
    const file = packFileOf(this.#directory, this.name)
    try {
      await this.#earlySync.settled()
      this.#connection.run('COMMIT')
      this.#close()
      renameSync(this.#unsealedFile, file)
      syncDirectory(packFolderOf(this.#directory))
    } catch (error) {
      this.abandon()
      rmSync(file, { force: true })
      throw error
    }
    return { name: this.name, totalByteLength: this.#totalByteLength, chunks: this.#chunks }
  }

  /** Throws away what was written. Safe to call twice. */
  abandon(): void {
    this.#close()
    rmSync(this.#unsealedFile, { force: true })
  }

  #close(): void {
    if (!this.#open) return
    this.#open = false
    this.#connection.close()
    this.#earlySync.close()
  }
}

/** Reads chunks from packs, of which at most `limit` stay open: the least recently used is closed. */
export class PackReaders {
  readonly #directory: string
  readonly #limit: number
  readonly #open = new Map<string, Connection>()

  constructor(directory: string, limit: number) {
    this.#directory = directory
    this.#limit = Math.max(1, limit)
  }

  get openCount(): number {
    return this.#open.size
  }

  /** The bytes stored under an ordinal, unchecked; undefined where the pack has none. */
  read(name: string, ordinal: number): Uint8Array | undefined {
    const row = this.#connection(name).get<{ bytes: Uint8Array }>(
      'SELECT bytes FROM chunk WHERE ordinal = ?',
      ordinal,
    )
    return row?.bytes
  }

  /** Closes a pack that is gone. */
  forget(name: string): void {
    this.#open.get(name)?.close()
    this.#open.delete(name)
  }

  close(): void {
    for (const name of [...this.#open.keys()]) this.forget(name)
  }

  #connection(name: string): Connection {
    const known = this.#open.get(name)
    if (known !== undefined) {
      this.#open.delete(name)
      this.#open.set(name, known)
      return known
    }
    for (const oldest of this.#open.keys()) {
      if (this.#open.size < this.#limit) break
      this.forget(oldest)
    }
    const connection = new Connection(packFileOf(this.#directory, name), { readonly: true })
    connection.pragma(`cache_size = -${packCacheKibibytes}`)
    this.#open.set(name, connection)
    return connection
  }
}
