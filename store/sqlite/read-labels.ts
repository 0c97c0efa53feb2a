// Reads of labels, of rules of retention and of figures that are kept beside values.
import type {
  Json,
  LabelChange,
  LabelRecord,
  Page,
  PageRequest,
  RetentionRecord,
  ValueId,
} from '../port.ts'
import type { Connection } from './connection.ts'
import { checkLimit, checkpointNumberOf, keyOfCursor, pageOf } from './records.ts'

interface TurnRow {
  readonly sequence: number
  readonly checkpoint_id: number | null
  readonly changed_at: number
  readonly actor: string | null
}

function changeOf(row: TurnRow): LabelChange {
  return {
    sequence: row.sequence,
    checkpoint: row.checkpoint_id === null ? undefined : String(row.checkpoint_id),
    changedAt: row.changed_at,
    actor: row.actor ?? undefined,
  }
}

/** Where a label pointed, newest first. */
export function labelHistory(
  connection: Connection,
  label: string,
  page: PageRequest,
): Page<LabelChange> {
  checkLimit(page)
  const after = keyOfCursor(page.cursor)
  const rows = connection.all<TurnRow>(
    `SELECT sequence, checkpoint_id, changed_at, actor FROM label_history
     WHERE label = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?`,
    label,
    after === undefined ? Number.MAX_SAFE_INTEGER : (checkpointNumberOf(after) ?? 0),
    page.limit + 1,
  )
  return pageOf(rows, page.limit, changeOf, (row) => String(row.sequence))
}

interface LabelRow extends TurnRow {
  readonly label: string
  readonly checkpoint_id: number
  readonly container: string
}

// Each label's newest turn stands last in its history.
const labelColumns = `label.label, label.checkpoint_id, checkpoint.container, sequence, changed_at, actor
  FROM label JOIN checkpoint USING (checkpoint_id) JOIN label_history ON label_history.label = label.label
  AND sequence = (SELECT max(sequence) FROM label_history AS turn WHERE turn.label = label.label)`

function labelOf(row: LabelRow): LabelRecord {
  const { label, container } = row
  return { ...changeOf(row), label, container, checkpoint: String(row.checkpoint_id) }
}

/** A label that points somewhere. */
export function label(connection: Connection, name: string): LabelRecord | undefined {
  const row = connection.get<LabelRow>(`SELECT ${labelColumns} WHERE label.label = ?`, name)
  return row && labelOf(row)
}

/** A page of labels, by name. */
export function listLabels(connection: Connection, page: PageRequest): Page<LabelRecord> {
  checkLimit(page)
  const rows = connection.all<LabelRow>(
    `SELECT ${labelColumns} WHERE label.label > ? ORDER BY label.label LIMIT ?`,
    keyOfCursor(page.cursor) ?? '',
    page.limit + 1,
  )
  return pageOf(rows, page.limit, labelOf, (row) => row.label)
}

interface RetentionRow {
  readonly container: string
  readonly rules: string
}

function retentionOf({ container, rules }: RetentionRow): RetentionRecord {
  return { container, rules: JSON.parse(rules) as Json }
}

/** A container's rules. */
export function retention(connection: Connection, container: string): RetentionRecord | undefined {
  const row = connection.get<RetentionRow>(
    'SELECT container, rules FROM retention WHERE container = ?',
    container,
  )
  return row && retentionOf(row)
}

/** A page of rules, by container. */
export function listRetention(connection: Connection, page: PageRequest): Page<RetentionRecord> {
  checkLimit(page)
  const after = keyOfCursor(page.cursor)
  const rows = connection.all<RetentionRow>(
    `SELECT container, rules FROM retention ${after === undefined ? '' : 'WHERE container > ?'}
     ORDER BY container LIMIT ?`,
    ...(after === undefined ? [] : [after]),
    page.limit + 1,
  )
  return pageOf(rows, page.limit, retentionOf, (row) => row.container)
}

/** Figures by value, of those that have any. */
export function figures(
  connection: Connection,
  valueIds: readonly ValueId[],
): ReadonlyMap<ValueId, Json> {
  const rows = connection.all<{ value_id: ValueId; figures: string }>(
    `SELECT value_id, figures FROM json_each(?) AS asked
     CROSS JOIN value_figures ON value_figures.value_id = asked.value`,
    JSON.stringify(valueIds),
  )
  return new Map(rows.map((row) => [row.value_id, JSON.parse(row.figures) as Json]))
}
