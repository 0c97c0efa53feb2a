// Opening the catalogue for writing: what a file must be to be ours, and how an older one is
// brought forward. Migrations are the numbered files of `migrations/`, applied once, in order.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Refusal } from '../../tensor/index.ts'
import { Connection } from './connection.ts'
import { isDamage, refusalOfFailure } from './errors.ts'

/** `HOLD`, in the header of every catalogue. */
export const catalogueApplicationId = 0x484f4c44

/** Catalogues up to this size are checked page by page when they are opened. */
const quickCheckByteLength = 64 * 1024 * 1024

interface Migration {
  readonly number: number
  readonly file: string
}

function migrations(folder: URL): Migration[] {
  const files = readdirSync(folder)
    .filter((file) => /^\d{4}_.+\.sql$/.test(file))
    .sort()
  return files.map((file, index) => {
    const number = Number(file.slice(0, 4))
    if (number !== index + 1) throw new Error(`migration ${file} is not number ${index + 1}`)
    return { number, file }
  })
}

function notOurs(problem: string): Refusal {
  return new Refusal('FAILED_PRECONDITION', 'store/foreign-file', `catalog.db ${problem}.`, {
    fix: 'Name the data directory of a Holdfast store, or an empty one.',
  })
}

/** Refuses what is not a catalogue, or one that a later release wrote. Returns its version. */
function inspect(connection: Connection, newest: number): number {
  const applicationId = connection.pragma('application_id') as number
  const version = connection.pragma('user_version') as number
  const tables = connection.get<{ count: number }>('SELECT count(*) AS count FROM sqlite_schema')
  const isNew = applicationId === 0 && version === 0 && tables?.count === 0
  if (!isNew && applicationId !== catalogueApplicationId) {
    throw notOurs(
      `belongs to another program: its application id is ${applicationId}, not ${catalogueApplicationId}`,
    )
  }
  if (version > newest) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      'store/newer',
      `catalog.db has version ${version}; this release knows versions up to ${newest}.`,
      { fix: 'Start the release that wrote it, or a later one.' },
    )
  }
  return version
}

function configure(connection: Connection): void {
  const mode = connection.pragma('journal_mode = WAL')
  if (mode !== 'wal') throw notOurs(`cannot be kept in WAL mode (it stays in ${String(mode)})`)
  connection.pragma('synchronous = FULL')
  connection.pragma('foreign_keys = ON')
  // Checkpoints are run by hand: SQLite ignores the errors of those that it starts by itself.
  connection.pragma('wal_autocheckpoint = 0')
  connection.pragma('journal_size_limit = 67108864')
}

function check(connection: Connection): void {
  const pages = connection.pragma('page_count') as number
  const pageByteLength = connection.pragma('page_size') as number
  if (pages * pageByteLength > quickCheckByteLength) return
  const answer = connection.pragma('quick_check(1)')
  if (answer !== 'ok') {
    throw new Refusal(
      'DATA_LOSS',
      'store/catalogue-damaged',
      `catalog.db is damaged: ${String(answer).replaceAll(/\s+/g, ' ')}.`,
      { fix: 'Restore the data directory from a backup.' },
    )
  }
}

function migrate(connection: Connection, folder: URL, from: number, all: Migration[]): void {
  for (const { number, file } of all.slice(from)) {
    connection.exec('BEGIN IMMEDIATE')
    try {
      connection.exec(readFileSync(new URL(file, folder), 'utf8'))
      connection.pragma(`application_id = ${catalogueApplicationId}`)
      connection.pragma(`user_version = ${number}`)
      connection.exec('COMMIT')
    } catch (error) {
      if (connection.inTransaction) connection.exec('ROLLBACK')
      throw error
    }
  }
}

/**
 * The write connection to the catalogue of `directory`, made or brought forward where needed.
 * Refuses a file that is not a catalogue (FAILED_PRECONDITION `store/foreign-file`), one of a later
 * release (`store/newer`), and a damaged one (DATA_LOSS `store/catalogue-damaged`).
 */
export function openCatalogue(directory: string): Connection {
  const folder = new URL('../../migrations/', import.meta.url)
  const all = migrations(folder)
  let connection: Connection | undefined
  try {
    connection = new Connection(join(directory, 'catalog.db'), { readonly: false })
    const version = inspect(connection, all.length)
    configure(connection)
    check(connection)
    migrate(connection, folder, version, all)
    return connection
  } catch (error) {
    connection?.close()
    if (isDamage(error)) {
      const code = (error as { readonly code?: string }).code
      if (code === 'SQLITE_NOTADB') throw notOurs('is not a SQLite database')
    }
    throw refusalOfFailure(error, 'opening catalog.db')
  }
}
