// What the parts of the store's contract share: how a store of the driver at hand is opened.
import type { Test } from 'tap'
import type { Store } from '../../store/index.ts'

/** What the suite must be told to open stores of one driver. */
export interface StoreDriver {
  /** A new, empty place for a store. */
  place(t: Test): string
  /** Opens the store of a place; what was committed there before is there again. */
  open(place: string, clock: () => number): Promise<Store>
}

/** What each part of the contract is given. */
export interface Suite {
  readonly driver: StoreDriver
  /** A store of its own for one test, closed after it. */
  opened(t: Test, clock?: () => number): Promise<Store>
}
