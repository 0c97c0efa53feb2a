// Rows of the catalogue as the records of the port, the cursors of pages, and ranges of names.
import { Buffer } from 'node:buffer'
import type { DType, PartialShape, Shape } from '../../tensor/index.ts'
import { Refusal } from '../../tensor/index.ts'
import type {
  CheckpointRecord,
  GraphRecord,
  Json,
  Page,
  PageRequest,
  PartSlice,
  ValueId,
  ValueRecord,
  VariableRecord,
} from '../port.ts'

/** Columns of a value row, as every query here names them. */
export const valueColumns = `value.value_id, value.digest, value.dtype AS value_dtype,
  value.shape AS value_shape, value.byte_length`

export interface ValueRow {
  readonly value_id: ValueId | null
  readonly digest: Uint8Array
  readonly value_dtype: DType
  readonly value_shape: string
  readonly byte_length: number
}

/** The value of a row of {@link valueColumns}; undefined where an outer join found none. */
export function valueRecordOf(row: ValueRow): ValueRecord | undefined {
  if (row.value_id === null) return undefined
  return {
    valueId: row.value_id,
    dtype: row.value_dtype,
    shape: JSON.parse(row.value_shape) as Shape,
    byteLength: row.byte_length,
    digest: hexOf(row.digest),
  }
}

/** A digest as lower-case hex. */
export function hexOf(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString('hex')
}

export const variableColumns = `variable.container, variable.name, variable.dtype, variable.shape,
  variable.trainable, variable.collections, variable.device, variable.initializer,
  variable.version, variable.created_at, variable.updated_at, variable.slice, ${valueColumns}`

export interface VariableRow extends ValueRow {
  readonly container: string
  readonly name: string
  readonly dtype: DType
  readonly shape: string | null
  readonly trainable: number
  readonly collections: string
  readonly device: string
  readonly initializer: string
  readonly version: number
  readonly created_at: number
  readonly updated_at: number
  readonly slice: string | null
}

/** The variable of a row of {@link variableColumns}. */
export function variableOf(row: VariableRow): VariableRecord {
  return {
    container: row.container,
    name: row.name,
    dtype: row.dtype,
    shape: row.shape === null ? undefined : (JSON.parse(row.shape) as PartialShape),
    trainable: row.trainable !== 0,
    collections: JSON.parse(row.collections) as string[],
    device: row.device,
    initializer: JSON.parse(row.initializer) as Json,
    version: row.version,
    slice: sliceOf(row.slice),
    value: valueRecordOf(row),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

/** The slice that a column holds. */
export function sliceOf(text: string | null): PartSlice | undefined {
  return text === null ? undefined : (JSON.parse(text) as PartSlice)
}

/** A slice as a column holds it. */
export function sliceTextOf(slice: PartSlice | undefined): string | null {
  if (slice === undefined) return null
  const { fullName, fullShape, offset } = slice
  return JSON.stringify({ fullName, fullShape, offset })
}

export interface CheckpointRow {
  readonly checkpoint_id: number
  readonly container: string
  readonly step: number | null
  readonly pinned: number
  readonly tensor_count: number
  readonly byte_length: number
  readonly created_at: number
  readonly metadata: string
  /** JSON array, sorted. */
  readonly labels: string
}

export const checkpointColumns = `checkpoint.checkpoint_id, checkpoint.container, step, pinned,
  tensor_count, byte_length, created_at, metadata,
  (SELECT json_group_array(label.label ORDER BY label.label) FROM label
   WHERE label.checkpoint_id = checkpoint.checkpoint_id) AS labels`

/** The checkpoint of a row of {@link checkpointColumns}. */
export function checkpointOf(row: CheckpointRow): CheckpointRecord {
  return {
    id: String(row.checkpoint_id),
    container: row.container,
    step: row.step ?? undefined,
    metadata: JSON.parse(row.metadata) as CheckpointRecord['metadata'],
    labels: JSON.parse(row.labels) as string[],
    pinned: row.pinned !== 0,
    tensorCount: row.tensor_count,
    byteLength: row.byte_length,
    createdAt: row.created_at,
  }
}

export interface GraphRow extends ValueRow {
  readonly graph_id: string
  readonly created_at: number
  readonly summary: string
}

/** The graph of a row. */
export function graphOf(row: GraphRow): GraphRecord {
  const value = valueRecordOf(row)
  if (value === undefined) throw new Error('a graph row names its value')
  const { graph_id: id, created_at: createdAt } = row
  return { id, value, summary: JSON.parse(row.summary) as Json, createdAt }
}

/** Decimal checkpoint ids are numbers in the catalogue; undefined for any other text. */
export function checkpointNumberOf(id: string): number | undefined {
  const number = /^[1-9]\d{0,15}$/.test(id) ? Number(id) : undefined
  return number !== undefined && Number.isSafeInteger(number) ? number : undefined
}

/** Refuses (INVALID_ARGUMENT `page/limit`) a page of fewer than 1 or more than 1000 items. */
export function checkLimit(page: PageRequest): void {
  if (Number.isSafeInteger(page.limit) && page.limit >= 1 && page.limit <= 1000) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'page/limit',
    `The limit ${page.limit} is not a whole number from 1 to 1000.`,
  )
}

/** The key after which a page begins; undefined at the start. Refuses what is not a cursor of ours. */
export function keyOfCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined
  const bytes = Buffer.from(cursor, 'base64url')
  const key = bytes.toString('utf8')
  if (key.startsWith('k') && cursorOf(key.slice(1)) === cursor) return key.slice(1)
  throw new Refusal(
    'INVALID_ARGUMENT',
    'page/bad-cursor',
    `${JSON.stringify(cursor)} is not a cursor that this store gave.`,
    { fix: 'Send the cursor of the page before, or none.' },
  )
}

function cursorOf(key: string): string {
  return Buffer.from(`k${key}`, 'utf8').toString('base64url')
}

/** A page of `limit` items from rows of which one more was asked for. */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  itemOf: (row: Row) => Item,
  keyOf: (row: Row) => string,
): Page<Item> {
  const items = rows.slice(0, limit).map(itemOf)
  const cursor = rows.length > limit ? cursorOf(keyOf(rows[limit - 1])) : undefined
  return { items, cursor }
}

/**
 * The first text, in the order of UTF-8 bytes, after all that start with `prefix`; undefined where
 * there is none. SQLite compares by bytes, and that is the order of code points.
 */
export function endOfPrefix(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) as number)
  while (points.length > 0) {
    const last = points.pop() as number
    if (last === 0x10ffff) continue
    const next = last + 1 === 0xd800 ? 0xe000 : last + 1
    return String.fromCodePoint(...points, next)
  }
  return undefined
}
