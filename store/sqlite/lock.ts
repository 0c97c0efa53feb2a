// One process owns a data directory: an exclusive transaction held on a database of its own, which
// the operating system lets go of when the process dies. Who holds it stands in a plain file beside
// it, because reading a live SQLite file by other means would release its lock.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { Refusal } from '../../tensor/index.ts'
import { Connection } from './connection.ts'
import { errorCodeOf, isDiskFull, refusalOfFailure } from './errors.ts'

/** A held lock. */
export interface Lock {
  release(): void
}

function describeOwner(file: string): string {
  try {
    const owner = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
    const since = new Date(Number(owner.since)).toISOString()
    return `process ${Number(owner.process)} on ${String(owner.host)}, since ${since}`
  } catch {
    return 'another process'
  }
}

/** On a full disk nobody can read who holds the lock; it is held all the same. */
function noteOwner(ownerFile: string, now: number): void {
  const owner = { process: process.pid, host: hostname(), since: now }
  try {
    writeFileSync(`${ownerFile}.tmp`, `${JSON.stringify(owner)}\n`)
    renameSync(`${ownerFile}.tmp`, ownerFile)
  } catch (error) {
    if (!isDiskFull(error)) throw error
    rmSync(ownerFile, { force: true })
  }
}

function locked(ownerFile: string, cause: unknown): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'store/locked',
    `The data directory is in use by ${describeOwner(ownerFile)}.`,
    { fix: 'Stop that process, or name another data directory.', cause },
  )
}

/**
 * Takes the lock of `directory` or refuses at once (FAILED_PRECONDITION `store/locked`), naming the
 * holder. `now`: milliseconds since the epoch, written down as the start of ownership.
 */
export function acquireLock(directory: string, now: number): Lock {
  const ownerFile = join(directory, 'owner.json')
  let connection: Connection | undefined
  try {
    connection = new Connection(join(directory, 'lock.db'), { readonly: false })
    connection.pragma('busy_timeout = 0')
    connection.exec('BEGIN EXCLUSIVE')
    noteOwner(ownerFile, now)
  } catch (error) {
    connection?.close()
    if (errorCodeOf(error) === 'SQLITE_BUSY') throw locked(ownerFile, error)
    throw refusalOfFailure(error, 'locking the data directory')
  }
  const held = connection
  return {
    release: () => {
      rmSync(ownerFile, { force: true })
      held.close()
    },
  }
}
