// The SQLite driver of the store: one data directory, one process. Opens the lock, the threads and
// the read connection, and joins them into the port.
import { join } from 'node:path'
import { Refusal } from '../../tensor/index.ts'
import type { Store } from '../port.ts'
import { BulkPool } from './bulk-pool.ts'
import { WorkerClient } from './calls.ts'
import { Connection } from './connection.ts'
import { refusalOfFailure } from './errors.ts'
import { defaultLimits, type StoreLimits } from './limits.ts'
import { acquireLock } from './lock.ts'
import type { WriterCalls, WriterNotice, WriterSetup } from './messages.ts'
import { makeDirectory, packFolderOf } from './pack.ts'
import { checkNotHalfRestored } from './restore.ts'
import { SqliteStore } from './store.ts'

export type { StoreLimits } from './limits.ts'
export { type RestoredBackup, type RestoreWishes, restoreBackup } from './restore.ts'

/** How a store is opened. */
export interface StoreOptions {
  /** The data directory; made where it is missing. */
  readonly directory: string
  /** Where backups lie, for this store alone; `backups` in the data directory unless given. */
  readonly backupDirectory?: string | undefined
  /** Milliseconds since the epoch. */
  readonly clock: () => number
  /** Told what an operator should see: damage, failures of the background work. */
  readonly log?: (message: string) => void
  /** Threads that hash, write packs and read large values; 2 unless given. */
  readonly bulkWorkers?: number
  /** Departures from the default limits. */
  readonly limits?: Partial<StoreLimits>
}

function makeFolders(directory: string): void {
  try {
    makeDirectory(directory)
    makeDirectory(packFolderOf(directory))
  } catch (error) {
    throw refusalOfFailure(error, 'making the data directory')
  }
}

/**
 * Opens the store of a data directory, recovering whatever a crash left. Refuses
 * (FAILED_PRECONDITION) a directory in use (`store/locked`), a half-restored one
 * (`store/half-restored`), a foreign file (`store/foreign-file`)
 * and a later release's catalogue (`store/newer`); DATA_LOSS `store/catalogue-damaged`.
 */
export async function openSqliteStore(options: StoreOptions): Promise<Store> {
  const { directory, clock } = options
  const limits: StoreLimits = { ...defaultLimits, ...options.limits }
  const bulkWorkers = options.bulkWorkers ?? 2
  if (!Number.isSafeInteger(bulkWorkers) || bulkWorkers < 1) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'store/number',
      `${bulkWorkers} bulk workers are too few.`,
    )
  }
  checkNotHalfRestored(directory)
  makeFolders(directory)
  const lock = acquireLock(directory, clock())
  let store: SqliteStore | undefined
  const writer = new WorkerClient<WriterCalls, WriterNotice>(
    new URL('./write-worker.ts', import.meta.url),
    { directory, limits } satisfies WriterSetup,
    {
      onNotice: (notice) => store?.notice(notice),
      onLost: (error) => store?.lost(error),
    },
  )
  const openPackCount = Math.max(1, Math.floor(limits.openPackCount / bulkWorkers))
  const bulkSetup = { directory, packByteLength: limits.packByteLength, openPackCount }
  const bulk = new BulkPool(bulkWorkers, bulkSetup, limits.chunksInFlight, (error) =>
    store?.lost(error),
  )
  try {
    const { generation, missing } = await writer.call('open', null)
    const connect = (): Connection =>
      new Connection(join(directory, 'catalog.db'), { readonly: true })
    const connection = connect()
    const log = options.log ?? (() => undefined)
    for (const name of missing) log(`the pack ${name} is missing; values in it cannot be read`)
    store = new SqliteStore({
      writer,
      bulk,
      connection,
      connect,
      lock,
      directory,
      backupDirectory: options.backupDirectory ?? join(directory, 'backups'),
      limits,
      clock,
      log,
      generation,
    })
    await store.backups.start()
    return store
  } catch (error) {
    await Promise.all([writer.end(), bulk.end()])
    lock.release()
    throw error
  }
}
