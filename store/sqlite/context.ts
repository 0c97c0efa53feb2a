// What one commit carries along while its changes are applied, and the checks that all share.
import { Refusal } from '../../tensor/index.ts'
import type { Committed, StoreEvent, ValueSource } from '../port.ts'
import type { Connection } from './connection.ts'
import type { BoundValue } from './write-values.ts'

/** One commit being applied inside its savepoint. */
export interface CommitContext {
  readonly connection: Connection
  /** Milliseconds since the epoch at which it was asked for. */
  readonly now: number
  readonly sequence: number
  /** The value row of a source; null for none. Refuses (NOT_FOUND) a value that is gone. */
  readonly bind: (source: ValueSource) => BoundValue | null
  readonly variables: Committed['variables'][number][]
  readonly checkpoints: string[]
  readonly events: StoreEvent[]
}

/** Refuses (INVALID_ARGUMENT `name/not-well-formed`) text that UTF-8 cannot hold. */
export function checkText(what: string, text: string): void {
  if (text.isWellFormed()) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'name/not-well-formed',
    `The ${what} ${JSON.stringify(text)} holds half of a surrogate pair.`,
  )
}

/** Refuses (INVALID_ARGUMENT `store/number`) what is not a whole number of 0 or more. */
export function checkCount(what: string, number: number): void {
  if (Number.isSafeInteger(number) && number >= 0) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'store/number',
    `The ${what} ${number} is not a whole number of 0 or more.`,
  )
}

/** Says on the bus that something was made, written, updated or deleted. */
export function announce(
  context: CommitContext,
  kind: StoreEvent['kind'],
  action: StoreEvent['action'],
  subject: { readonly container?: string; readonly name: string; readonly version?: number },
): void {
  context.events.push({
    sequence: context.sequence,
    kind,
    action,
    container: subject.container ?? '',
    name: subject.name,
    version: subject.version,
  })
}
