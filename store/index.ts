// The store: variables, checkpoints, graphs and models on stable storage. Enter here; which driver
// keeps them is decided by `openStore` alone.
import type { Store } from './port.ts'
import { openSqliteStore, type StoreOptions } from './sqlite/index.ts'

export type * from './port.ts'
export type * from './single-files.ts'
export {
  type RestoredBackup,
  type RestoreWishes,
  restoreBackup,
  type StoreLimits,
  type StoreOptions,
} from './sqlite/index.ts'
export type * from './trust.ts'

/** Opens the store of a data directory. See {@link openSqliteStore} for what it refuses. */
export function openStore(options: StoreOptions): Promise<Store> {
  return openSqliteStore(options)
}
