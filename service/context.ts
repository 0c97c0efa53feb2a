// What the parts of the service share: the store, the engine, time, chance, and the order of writes.
import type { Engine } from '../engine/index.ts'
import type { Store } from '../store/index.ts'
import type { Adoptions } from './adoptions.ts'
import type { EngineVariables } from './engine-variables.ts'
import type { Limits } from './limits.ts'
import type { Spool } from './spool.ts'
import type { UpdateGraphs } from './update-graphs.ts'
import type { WriteOrder } from './write-order.ts'

/** Handed to every part of the service; nothing in it is replaced while the service lives. */
export interface Context {
  readonly store: Store
  readonly engine: Engine
  /** Milliseconds since the epoch. */
  readonly clock: () => number
  readonly limits: Limits
  readonly writes: WriteOrder
  /** Commits of values that devices hold. */
  readonly adoptions: Adoptions
  readonly spool: Spool
  /** Idempotency keys of requests that are under way. */
  readonly keysInFlight: Set<string>
  /** The variables that devices may hold values of. */
  readonly engineVariables: EngineVariables
  /** How often the engine was put to use: what is resident may differ after each time. */
  readonly engineUse: { count: number }
  /** How often the engine lost what it held outside of the store: tables and random streams. */
  readonly engineLosses: { count: number }
  /** Numbers for the ids of graphs that are run once. */
  readonly graphNumbers: { next: number }
  /** The one-op graphs that the engine has. */
  readonly updateGraphs: UpdateGraphs
}
