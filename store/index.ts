// The store: variables, checkpoints, graphs and models on stable storage. Enter here; which driver
// keeps them is decided by `openStore` alone.
import { type OpenedStore, openSqliteStore, type StoreOptions } from './sqlite/index.ts'

export type * from './port.ts'
export type {
  ChunkRecord,
  LabelChange,
  MaintenanceReport,
  OpenedStore,
  StoreLimits,
  StoreOptions,
  Verification,
} from './sqlite/index.ts'

/** Opens the store of a data directory. See {@link openSqliteStore} for what it refuses. */
export function openStore(options: StoreOptions): Promise<OpenedStore> {
  return openSqliteStore(options)
}
