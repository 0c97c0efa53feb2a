// The log of events: what commits did, in rows of JSON, one for each group of commits or several
// where a group did much. It knows their form, and not what the events mean.
import type { EventPlace, StoreEvent } from '../port.ts'
import type { Connection } from './connection.ts'
import type { StoreLimits } from './limits.ts'

/** Events of one row at most, so that reading a row never takes long. */
const rowEventCount = 500

/** One event in a row: its sequence and ordinal, then what it says. */
type Entry = readonly [
  sequence: number,
  ordinal: number,
  at: number,
  kind: StoreEvent['kind'],
  action: StoreEvent['action'],
  container: string,
  name: string,
  version: number | null,
]

function entryOf(event: StoreEvent): Entry {
  const { sequence, ordinal, at, kind, action, container, name, version } = event
  return [sequence, ordinal, at, kind, action, container, name, version ?? null]
}

/** The events of a row's text, oldest first. */
export function eventsOfText(text: string): StoreEvent[] {
  return (JSON.parse(text) as Entry[]).map(
    ([sequence, ordinal, at, kind, action, container, name, version]) => ({
      sequence,
      ordinal,
      at,
      kind,
      action,
      container,
      name,
      version: version ?? undefined,
    }),
  )
}

/** A row of the log. */
export interface EventRow {
  readonly first: EventPlace
  readonly last: EventPlace
  readonly text: string
}

/** The events of a group of commits as rows, oldest first; none where there are no events. */
export function eventRowsOf(events: readonly StoreEvent[]): EventRow[] {
  const rows: EventRow[] = []
  for (let begin = 0; begin < events.length; begin += rowEventCount) {
    const some = events.slice(begin, begin + rowEventCount)
    const text = JSON.stringify(some.map(entryOf))
    rows.push({ first: some[0], last: some[some.length - 1], text })
  }
  return rows
}

const none: EventPlace = { sequence: 0, ordinal: 0 }

interface BoundsRow {
  readonly sequence: number
  readonly ordinal: number
}

/** The first and the last event of the log. */
export function eventsKept(connection: Connection): {
  readonly first: EventPlace
  readonly last: EventPlace
} {
  return connection.snapshot(() => {
    const first = connection.get<BoundsRow>(
      `SELECT first_sequence AS sequence, first_ordinal AS ordinal FROM event_log
       ORDER BY last_sequence, last_ordinal LIMIT 1`,
    )
    const last = connection.get<BoundsRow>(
      `SELECT last_sequence AS sequence, last_ordinal AS ordinal FROM event_log
       ORDER BY last_sequence DESC, last_ordinal DESC LIMIT 1`,
    )
    return { first: first ?? none, last: last ?? none }
  })
}

/** Events after a place, oldest first: those of the next row that has some, as far as `limit`. */
export function eventsOfNextRow(
  connection: Connection,
  after: EventPlace,
  limit: number,
): StoreEvent[] {
  const row = connection.get<{ events: string }>(
    `SELECT events FROM event_log WHERE (last_sequence, last_ordinal) > (?, ?)
     ORDER BY last_sequence, last_ordinal LIMIT 1`,
    after.sequence,
    after.ordinal,
  )
  if (row === undefined) return []
  const events = eventsOfText(row.events)
  const begin = events.findIndex(
    ({ sequence, ordinal }) =>
      sequence > after.sequence || (sequence === after.sequence && ordinal > after.ordinal),
  )
  return events.slice(begin, begin + limit)
}

/** Writes and trims the log; one for each write connection. */
export class EventLog {
  readonly #connection: Connection
  readonly #limits: StoreLimits
  /** Estimate of what the rows take. */
  #byteLength: number
  /** Begun and not down to what is to be kept yet. */
  #isTrimming = false

  constructor(connection: Connection, limits: StoreLimits) {
    this.#connection = connection
    this.#limits = limits
    const row = connection.get<{ bytes: number }>(
      'SELECT coalesce(sum(octet_length(events)), 0) AS bytes FROM event_log',
    )
    this.#byteLength = row?.bytes ?? 0
  }

  /** Adds rows inside the caller's transaction. */
  append(rows: readonly EventRow[]): void {
    for (const { first, last, text } of rows) {
      this.#byteLength += text.length
      this.#connection.run(
        `INSERT INTO event_log (last_sequence, last_ordinal, first_sequence, first_ordinal, events)
         VALUES (?, ?, ?, ?, ?)`,
        last.sequence,
        last.ordinal,
        first.sequence,
        first.ordinal,
        text,
      )
    }
  }

  /**
   * Deletes the oldest rows, a bounded number at a time, inside the caller's transaction: once there
   * are a tenth more commits or bytes than are to be kept, down to those. The newest row stays. The
   * number of rows that went.
   */
  trim(lastSequence: number): number {
    const { eventCommitCount, eventByteLength, sweepStepCount } = this.#limits
    const oldest = this.#connection.get<BoundsRow>(
      `SELECT last_sequence AS sequence, last_ordinal AS ordinal FROM event_log
       ORDER BY last_sequence, last_ordinal LIMIT 1`,
    )
    if (oldest === undefined) return 0
    const isOld = lastSequence - oldest.sequence >= eventCommitCount * 1.1
    const isLarge = this.#byteLength > eventByteLength * 1.1
    this.#isTrimming ||= isOld || isLarge
    if (!this.#isTrimming) return 0
    const rows = this.#connection.all<BoundsRow & { readonly bytes: number }>(
      `SELECT last_sequence AS sequence, last_ordinal AS ordinal, octet_length(events) AS bytes
       FROM event_log ORDER BY last_sequence, last_ordinal LIMIT ?`,
      sweepStepCount + 1,
    )
    if (rows.length === 1) this.#isTrimming = false
    let trimmed = 0
    for (const { sequence, ordinal, bytes } of rows.slice(0, -1)) {
      const isKept = sequence > lastSequence - eventCommitCount
      if (isKept && this.#byteLength <= eventByteLength) {
        this.#isTrimming = false
        break
      }
      this.#connection.run(
        'DELETE FROM event_log WHERE last_sequence = ? AND last_ordinal = ?',
        sequence,
        ordinal,
      )
      this.#byteLength -= bytes
      trimmed += 1
    }
    return trimmed
  }
}
