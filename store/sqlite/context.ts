// What one commit carries along while its changes are applied, and the checks that all share.
import type { PartialShape } from '../../tensor/index.ts'
import { formatShape, Refusal } from '../../tensor/index.ts'
import type { Committed, PartSlice, StoreEvent, ValueSource } from '../port.ts'
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
  /** Checks to be made once every change of the commit is applied; each throws what it refuses. */
  readonly atEnd: (() => void)[]
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

/** Refuses (INVALID_ARGUMENT `variable/bad-slice`) a part that does not lie inside its whole. */
export function checkSlice(name: string, slice: PartSlice | undefined, shape: PartialShape): void {
  if (slice === undefined) return
  const { fullName, fullShape, offset } = slice
  checkText('name of the whole', fullName)
  const fits =
    shape !== undefined &&
    shape.length === fullShape.length &&
    offset.length === fullShape.length &&
    fullShape.every(
      (length, axis) =>
        Number.isSafeInteger(length) &&
        Number.isSafeInteger(offset[axis]) &&
        offset[axis] >= 0 &&
        shape[axis] >= 0 &&
        offset[axis] + shape[axis] <= length,
    )
  if (fits) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'variable/bad-slice',
    `${JSON.stringify(name)} of shape ${formatShape(shape)} from ${formatShape(offset)} is no part of shape ${formatShape(fullShape)}.`,
    { names: { variable: name, whole: fullName } },
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
    ordinal: context.events.length + 1,
    at: context.now,
    kind,
    action,
    container: subject.container ?? '',
    name: subject.name,
    version: subject.version,
  })
}
