// Reads of checkpoints and their entries on the read-only connection of whichever thread asks. Lists go
// by the newest first, in stretches of so many rows, so that a filter that lets little through does not
// hold up the thread: whoever asks has it between them.
import { Refusal } from '../../tensor/index.ts'
import type {
  CheckpointEntry,
  CheckpointFilter,
  CheckpointRecord,
  HeldEntries,
  Page,
  PageRequest,
} from '../port.ts'
import type { Connection, Parameter } from './connection.ts'
import {
  type CheckpointRow,
  checkLimit,
  checkpointColumns,
  checkpointNumberOf,
  checkpointOf,
  endOfPrefix,
  keyOfCursor,
  pageOf,
  sliceOf,
  type ValueRow,
  valueColumns,
  valueRecordOf,
} from './records.ts'

/** Checkpoints that are looked at without a pause. */
const checkpointsPerTurn = 1_000
/** The same where each is asked for a name. */
const lookupsPerTurn = 250

/** Runs one turn of reads; the store's own refusals come out of it. */
export type Turn = <T>(read: () => T) => T

/** Lets others have the thread. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** NOT_FOUND `checkpoint/unknown`. */
export function unknownCheckpoint(id: string): Refusal {
  return new Refusal(
    'NOT_FOUND',
    'checkpoint/unknown',
    `There is no checkpoint ${JSON.stringify(id)}.`,
    { names: { checkpoint: id } },
  )
}

/** By id, by label, or `latest`. */
export function checkpoint(
  connection: Connection,
  ref: string,
  container: string | undefined,
): CheckpointRecord | undefined {
  const row = checkpointRow(connection, ref, container)
  return row === undefined ? undefined : checkpointOf(row)
}

function checkpointRow(
  connection: Connection,
  ref: string,
  container: string | undefined,
): CheckpointRow | undefined {
  const select = `SELECT ${checkpointColumns} FROM checkpoint`
  if (ref === 'latest') {
    return container === undefined
      ? connection.get<CheckpointRow>(`${select} ORDER BY checkpoint_id DESC LIMIT 1`)
      : connection.get<CheckpointRow>(
          `${select} WHERE container = ? ORDER BY checkpoint_id DESC LIMIT 1`,
          container,
        )
  }
  const number = checkpointNumberOf(ref)
  if (number !== undefined) {
    return connection.get<CheckpointRow>(`${select} WHERE checkpoint_id = ?`, number)
  }
  return connection.get<CheckpointRow>(
    `${select} WHERE checkpoint_id = (SELECT checkpoint_id FROM label WHERE label = ?)`,
    ref,
  )
}

/** A part of a query: its text and what it asks with. */
interface Clause {
  readonly sql: string
  readonly parameters: readonly Parameter[]
}

/** The rows that a list walks over by an index, of which the other filters choose. */
function walkedOf(filter: CheckpointFilter): Clause {
  if (filter.step !== undefined) {
    return {
      sql: 'checkpoint INDEXED BY checkpoint_by_step WHERE step = ?',
      parameters: [filter.step],
    }
  }
  if (filter.container !== undefined) {
    return {
      sql: 'checkpoint INDEXED BY checkpoint_by_container WHERE container = ?',
      parameters: [filter.container],
    }
  }
  return { sql: 'checkpoint WHERE 1', parameters: [] }
}

function chosenOf(filter: CheckpointFilter): Clause {
  const tests: readonly (readonly [string, Parameter | undefined])[] = [
    ['checkpoint.container = ?', filter.container],
    ['step >= ?', filter.minStep],
    ['step <= ?', filter.maxStep],
    ['created_at >= ?', filter.createdFrom],
    ['created_at < ?', filter.createdBefore],
    ['checkpoint.checkpoint_id = (SELECT checkpoint_id FROM label WHERE label = ?)', filter.label],
  ]
  const asked = tests.filter(([, parameter]) => parameter !== undefined)
  return {
    sql: asked.map(([sql]) => ` AND ${sql}`).join(''),
    parameters: asked.map(([, parameter]) => parameter as Parameter),
  }
}

/** A stretch of a list: rows below `before`, from `from` on. */
export function checkpointListQuery(
  filter: CheckpointFilter,
  { before, from, limit }: { before: number; from: number; limit: number },
): Clause {
  const walked = walkedOf(filter)
  const chosen = chosenOf(filter)
  return {
    sql: `SELECT ${checkpointColumns} FROM ${walked.sql} AND checkpoint.checkpoint_id < ?
      AND checkpoint.checkpoint_id >= ?${chosen.sql} ORDER BY checkpoint.checkpoint_id DESC LIMIT ?`,
    parameters: [...walked.parameters, before, from, ...chosen.parameters, limit],
  }
}

/** Where the stretch of `count` rows below `before` begins. */
export function stretchQuery(filter: CheckpointFilter, before: number, count: number): Clause {
  const walked = walkedOf(filter)
  return {
    sql: `SELECT min(checkpoint_id) AS first, count(*) AS count FROM (
      SELECT checkpoint_id FROM ${walked.sql} AND checkpoint_id < ?
      ORDER BY checkpoint_id DESC LIMIT ?)`,
    parameters: [...walked.parameters, before, count],
  }
}

/** Where a walk begins, and how long its first stretch and its longest ones are. */
interface Strides {
  readonly before: number
  readonly first: number
  readonly most: number
}

/** Each stretch is so many times as long as the one before: most lists find what they want at once. */
const strideGrowth = 4

/** Calls `visit` with stretches of what a list walks over, newest first, until it says that it has enough. */
async function walk(
  connection: Connection,
  filter: CheckpointFilter,
  { before: start, first, most }: Strides,
  turn: Turn,
  visit: (from: number, before: number) => boolean,
): Promise<void> {
  let before = start
  for (let count = Math.min(first, most); ; count = Math.min(count * strideGrowth, most)) {
    const next = turn(() => {
      const { sql, parameters } = stretchQuery(filter, before, count)
      const found = connection.get<{ first: number | null; count: number }>(sql, ...parameters)
      const isLast = found === undefined || found.count < count
      const from = isLast ? 0 : (found.first ?? 0)
      return visit(from, before) || isLast ? undefined : from
    })
    if (next === undefined) return
    before = next
    await pause()
  }
}

function startOf(page: PageRequest): number {
  checkLimit(page)
  const after = keyOfCursor(page.cursor)
  return after === undefined ? Number.MAX_SAFE_INTEGER : (checkpointNumberOf(after) ?? 0)
}

/** A page of checkpoints, newest first, in turns. */
export async function listCheckpoints(
  connection: Connection,
  filter: CheckpointFilter,
  page: PageRequest,
  turn: Turn,
): Promise<Page<CheckpointRecord>> {
  const wanted = page.limit + 1
  const rows: CheckpointRow[] = []
  const before = startOf(page)
  const byMetadata = Object.entries(filter.metadata ?? {})
  const strides = { before, first: wanted, most: checkpointsPerTurn }
  await walk(connection, filter, strides, turn, (from, before) => {
    const limit = byMetadata.length > 0 ? checkpointsPerTurn : wanted - rows.length
    const { sql, parameters } = checkpointListQuery(filter, { before, from, limit })
    for (const row of connection.all<CheckpointRow>(sql, ...parameters)) {
      if (rows.length < wanted && hasMetadata(row, byMetadata)) rows.push(row)
    }
    return rows.length >= wanted
  })
  return pageOf(rows, page.limit, checkpointOf, (row) => String(row.checkpoint_id))
}

function hasMetadata(
  { metadata }: CheckpointRow,
  wanted: readonly (readonly [string, string])[],
): boolean {
  if (wanted.length === 0) return true
  const given = JSON.parse(metadata) as Readonly<Record<string, unknown>>
  return wanted.every(([key, text]) => Object.hasOwn(given, key) && isSaid(given[key], text))
}

/** Whether a text says a JSON value: a string itself, a number in any spelling, else its JSON. */
function isSaid(value: unknown, text: string): boolean {
  if (typeof value === 'string') return value === text
  if (typeof value === 'number') return text.trim() !== '' && Number(text) === value
  return JSON.stringify(value) === text
}

interface EntryRow extends ValueRow {
  readonly name: string
  readonly slice: string | null
}

function entryOf(row: EntryRow): CheckpointEntry {
  const value = valueRecordOf(row)
  if (value === undefined) throw new Error('an inner join found a value')
  return { name: row.name, value, slice: sliceOf(row.slice) }
}

/** One entry by its name. */
export function checkpointEntry(
  connection: Connection,
  id: string,
  name: string,
): CheckpointEntry | undefined {
  const row = connection.get<EntryRow>(
    `SELECT name, slice, ${valueColumns}
     FROM checkpoint JOIN checkpoint_entry USING (checkpoint_id) JOIN value USING (value_id)
     WHERE checkpoint_id = ? AND name = ?`,
    checkpointNumberOf(id) ?? 0,
    name,
  )
  return row && entryOf(row)
}

/** A page of entries, sorted by name. Refuses (NOT_FOUND) a checkpoint that is not there. */
export function checkpointEntries(
  connection: Connection,
  id: string,
  page: PageRequest,
): Page<CheckpointEntry> {
  checkLimit(page)
  const number = checkpointNumberOf(id) ?? 0
  const after = keyOfCursor(page.cursor)
  return connection.snapshot(() => {
    const known = connection.get('SELECT 1 FROM checkpoint WHERE checkpoint_id = ?', number)
    if (known === undefined) throw unknownCheckpoint(id)
    const rows = connection.all<EntryRow>(
      `SELECT name, slice, ${valueColumns} FROM checkpoint_entry JOIN value USING (value_id)
       WHERE checkpoint_id = ? ${after === undefined ? '' : 'AND name > ?'}
       ORDER BY name LIMIT ?`,
      number,
      ...(after === undefined ? [] : [after]),
      page.limit + 1,
    )
    return pageOf(rows, page.limit, entryOf, (row) => row.name)
  })
}

type HeldRow = CheckpointRow & EntryRow

const heldColumns = `${checkpointColumns.replace('byte_length', 'checkpoint.byte_length AS whole_length')},
  checkpoint_entry.name, checkpoint_entry.slice, ${valueColumns}`

/**
 * What checkpoints of a stretch hold under a name. `isOfParts`: under those of its parts instead. The
 * checkpoints are walked and each is asked by its key; entries have no index by name.
 */
export function heldQuery(
  filter: { readonly name: string; readonly container?: string | undefined },
  { before, from }: { readonly before: number; readonly from: number },
  isOfParts: boolean,
): Clause {
  const walked = walkedOf({ container: filter.container })
  const first = `${filter.name}/part_`
  const named: Clause = isOfParts
    ? {
        sql: 'checkpoint_entry.name > ? AND checkpoint_entry.name < ? AND checkpoint_entry.slice IS NOT NULL',
        parameters: [first, endOfPrefix(first) as string],
      }
    : { sql: 'checkpoint_entry.name = ?', parameters: [filter.name] }
  const [table, where] = walked.sql.split(' WHERE ')
  return {
    sql: `SELECT ${heldColumns} FROM ${table}
      CROSS JOIN checkpoint_entry ON checkpoint_entry.checkpoint_id = checkpoint.checkpoint_id
      CROSS JOIN value ON value.value_id = checkpoint_entry.value_id
      WHERE ${where} AND checkpoint.checkpoint_id < ? AND checkpoint.checkpoint_id >= ?
      AND ${named.sql} ORDER BY checkpoint.checkpoint_id DESC, checkpoint_entry.name`,
    parameters: [...walked.parameters, before, from, ...named.parameters],
  }
}

/** A page of the checkpoints that hold a name, newest first, in turns. */
export async function entryHistory(
  connection: Connection,
  filter: { readonly name: string; readonly container?: string | undefined },
  page: PageRequest,
  turn: Turn,
): Promise<Page<HeldEntries>> {
  const held = new Map<number, { row: HeldRow; entries: CheckpointEntry[] }>()
  const before = startOf(page)
  const walked = { container: filter.container }
  const strides = { before, first: page.limit + 1, most: lookupsPerTurn }
  await walk(connection, walked, strides, turn, (from, before) => {
    const found = new Map<number, { row: HeldRow; entries: CheckpointEntry[] }>()
    const whole = new Set<number>()
    for (const isOfParts of [false, true]) {
      const { sql, parameters } = heldQuery(filter, { before, from }, isOfParts)
      for (const row of connection.all<HeldRow>(sql, ...parameters)) {
        const { checkpoint_id: id } = row
        if (!isOfParts) whole.add(id)
        else if (whole.has(id)) continue
        const one = found.get(id)
        if (one === undefined) found.set(id, { row, entries: [entryOf(row)] })
        else one.entries.push(entryOf(row))
      }
    }
    for (const [id, one] of [...found].sort(([a], [b]) => b - a)) held.set(id, one)
    return held.size > page.limit
  })
  return pageOf(
    [...held.values()],
    page.limit,
    ({ row, entries }) => ({ checkpoint: checkpointOf(wholeRowOf(row)), entries }),
    ({ row }) => String(row.checkpoint_id),
  )
}

/** The checkpoint's own length, where the entry's stands beside it. */
function wholeRowOf(row: HeldRow): CheckpointRow {
  return { ...row, byte_length: (row as unknown as { whole_length: number }).whole_length }
}
