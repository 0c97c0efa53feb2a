// The changes of a commit that touch checkpoints; labels are write-labels.ts's. Runs in the store worker, inside a
// savepoint. A checkpoint is rows that name values; no bytes are written here.
import { Refusal } from '../../tensor/index.ts'
import type { Change } from '../port.ts'
import { announce, type CommitContext, checkCount, checkSlice, checkText } from './context.ts'
import { checkpointNumberOf, sliceOf, sliceTextOf } from './records.ts'
import { saveAmong } from './save-among.ts'
import { pointLabel, unknownCheckpoint } from './write-labels.ts'
import { partsOf } from './write-partitioned.ts'

type ChangeOf<Kind extends Change['kind']> = Extract<Change, { readonly kind: Kind }>

interface CheckpointRow {
  readonly checkpoint_id: number
  readonly container: string
  readonly pinned: number
}

function expected(context: CommitContext, id: string): CheckpointRow {
  const row = context.connection.get<CheckpointRow>(
    'SELECT checkpoint_id, container, pinned FROM checkpoint WHERE checkpoint_id = ?',
    checkpointNumberOf(id) ?? 0,
  )
  if (row === undefined) throw unknownCheckpoint(id)
  return row
}

function insertEntry(
  context: CommitContext,
  checkpointId: number,
  entry: { readonly name: string; readonly valueId: number; readonly slice: string | null },
): void {
  const { name, valueId, slice } = entry
  const { changes } = context.connection.run(
    `INSERT INTO checkpoint_entry (checkpoint_id, name, value_id, slice) VALUES (?, ?, ?, ?)
     ON CONFLICT DO NOTHING`,
    checkpointId,
    name,
    valueId,
    slice,
  )
  if (changes === 1) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'checkpoint/duplicate-name',
    `The name ${JSON.stringify(name)} would be in the checkpoint twice.`,
    { names: { tensor: name } },
  )
}

function insertCheckpoint(
  context: CommitContext,
  change: ChangeOf<'save_checkpoint'> | ChangeOf<'import_checkpoint'>,
): number {
  checkText('container', change.container)
  if (change.step !== undefined) checkCount('step', change.step)
  return context.connection.run(
    `INSERT INTO checkpoint (container, step, tensor_count, byte_length, created_at, metadata)
     VALUES (?, ?, 0, 0, ?, ?)`,
    change.container,
    change.step ?? null,
    context.now,
    JSON.stringify(change.metadata),
  ).rowId
}

function finishCheckpoint(
  context: CommitContext,
  checkpointId: number,
  change: ChangeOf<'save_checkpoint'> | ChangeOf<'import_checkpoint'>,
): void {
  context.connection.run(
    `UPDATE checkpoint SET (tensor_count, byte_length) = (
       SELECT count(*), coalesce(sum(value.byte_length), 0)
       FROM checkpoint_entry JOIN value USING (value_id) WHERE checkpoint_id = ?
     ) WHERE checkpoint_id = ?`,
    checkpointId,
    checkpointId,
  )
  const id = String(checkpointId)
  context.checkpoints.push(id)
  announce(context, 'checkpoint', 'created', { container: change.container, name: id })
  for (const label of new Set(change.labels)) {
    pointLabel(context, label, { checkpointId, container: change.container }, change.actor)
  }
}

interface SavedRow {
  readonly value_id: number | null
  readonly slice: string | null
}

function savedRow(context: CommitContext, container: string, name: string): SavedRow | undefined {
  return context.connection.get<SavedRow>(
    'SELECT value_id, slice FROM variable WHERE container = ? AND name = ?',
    container,
    name,
  )
}

/** What a save stores under which name. */
interface Saved {
  readonly variable: string
  readonly stored: string
  /** Name of the whole in the checkpoint, where the variable is a part of one that was renamed. */
  readonly fullName: string | undefined
}

/** What a name stands for: a variable, or the parts of a partitioned one. */
function savedOf(
  context: CommitContext,
  container: string,
  name: string,
  rename: ReadonlyMap<string, string>,
): Saved[] {
  const stored = rename.get(name) ?? name
  const parts = partsOf(context, container, name)
  if (parts.length === 0) return [{ variable: name, stored, fullName: undefined }]
  return parts.map((part) => {
    const end = part.startsWith(name) ? part.slice(name.length) : `/${part}`
    return { variable: part, stored: rename.get(part) ?? `${stored}${end}`, fullName: stored }
  })
}

function saveOne(
  context: CommitContext,
  container: string,
  checkpointId: number,
  { variable, stored, fullName }: Saved,
): void {
  checkText('stored name', stored)
  const row = savedRow(context, container, variable)
  if (row === undefined) {
    throw new Refusal(
      'NOT_FOUND',
      'variable/unknown',
      `There is no variable ${JSON.stringify(variable)} to save.`,
      { names: { variable, container } },
    )
  }
  if (row.value_id === null) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      'variable/uninitialized',
      `Attempting to use uninitialized value ${variable}`,
      { names: { variable, container }, fix: 'Initialize it, or save without it.' },
    )
  }
  const slice = sliceOf(row.slice)
  insertEntry(context, checkpointId, {
    name: stored,
    valueId: row.value_id,
    slice: sliceTextOf(slice && { ...slice, fullName: fullName ?? slice.fullName }),
  })
}

/** Names of a container's initialized variables; a renamed partitioned one stands for its parts. */
function namesOfAll(
  context: CommitContext,
  container: string,
  rename: ReadonlyMap<string, string>,
): string[] {
  const wholes = [...rename.keys()].filter((name) => partsOf(context, container, name).length > 0)
  const parts = new Set(wholes.flatMap((name) => partsOf(context, container, name)))
  const names = context.connection
    .all<{ name: string }>(
      'SELECT name FROM variable WHERE container = ? AND value_id IS NOT NULL ORDER BY name',
      container,
    )
    .map(({ name }) => name)
    .filter((name) => !parts.has(name))
  return [...names, ...wholes]
}

/** Saves the present values of variables as they are at this point of the commit. */
export function saveCheckpoint(context: CommitContext, change: ChangeOf<'save_checkpoint'>): void {
  const { container } = change
  const rename = new Map(Object.entries(change.rename ?? {}))
  const checkpointId = insertCheckpoint(context, change)
  if (change.among !== undefined) {
    saveAmong(context, container, checkpointId, change.among)
  } else if (change.names === undefined && rename.size === 0) {
    context.connection.run(
      `INSERT INTO checkpoint_entry (checkpoint_id, name, value_id, slice)
       SELECT ?, name, value_id, slice FROM variable
       WHERE container = ? AND value_id IS NOT NULL ORDER BY name`,
      checkpointId,
      container,
    )
  } else {
    const names = change.names ?? namesOfAll(context, container, rename)
    const unused = new Set(rename.keys())
    for (const name of names) {
      unused.delete(name)
      for (const saved of savedOf(context, container, name, rename)) {
        unused.delete(saved.variable)
        saveOne(context, container, checkpointId, saved)
      }
    }
    for (const name of unused) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'checkpoint/rename-unused',
        `The variable ${JSON.stringify(name)} is renamed but not saved.`,
        { names: { variable: name, container } },
      )
    }
  }
  finishCheckpoint(context, checkpointId, change)
}

/** Makes a checkpoint of values from outside. */
export function importCheckpoint(
  context: CommitContext,
  change: ChangeOf<'import_checkpoint'>,
): void {
  const checkpointId = insertCheckpoint(context, change)
  for (const { name, value, slice } of change.entries) {
    checkText('tensor name', name)
    const bound = context.bind(value)
    if (bound === null) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'checkpoint/no-value',
        `The tensor ${JSON.stringify(name)} has no value; a checkpoint holds values only.`,
        { names: { tensor: name } },
      )
    }
    checkSlice(name, slice, bound.shape)
    const { valueId } = bound
    insertEntry(context, checkpointId, { name, valueId, slice: sliceTextOf(slice) })
  }
  finishCheckpoint(context, checkpointId, change)
}

/**
 * Deletes a checkpoint and the labels that point to it; refuses a pinned one. Its entries stay until the
 * sweep takes them, in bounded steps: nobody sees them any more.
 */
export function deleteCheckpoint(
  context: CommitContext,
  change: ChangeOf<'delete_checkpoint'>,
): void {
  const { connection } = context
  const number = checkpointNumberOf(change.id) ?? 0
  if (change.unlessKept && isKeptOrGone(context, number)) return
  const row = expected(context, change.id)
  if (row.pinned !== 0) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      'checkpoint/pinned',
      `The checkpoint ${change.id} is pinned.`,
      { names: { checkpoint: change.id }, fix: 'Take the pin off first.' },
    )
  }
  const labels = connection.all<{ label: string }>(
    'SELECT label FROM label WHERE checkpoint_id = ? ORDER BY label',
    number,
  )
  for (const { label } of labels) pointLabel(context, label, null, change.actor)
  connection.run('INSERT INTO deleted_checkpoint (checkpoint_id) VALUES (?)', number)
  connection.run('DELETE FROM checkpoint WHERE checkpoint_id = ?', number)
  announce(context, 'checkpoint', 'deleted', { container: row.container, name: change.id })
}

/** Whether a checkpoint is pinned or labelled, or not there. */
function isKeptOrGone({ connection }: CommitContext, number: number): boolean {
  const row = connection.get<{ kept: number }>(
    `SELECT pinned <> 0 OR EXISTS (
       SELECT 1 FROM label WHERE label.checkpoint_id = checkpoint.checkpoint_id
     ) AS kept FROM checkpoint WHERE checkpoint_id = ?`,
    number,
  )
  return row === undefined || row.kept !== 0
}

/** Changes the pin or the metadata of a checkpoint. */
export function updateCheckpoint(
  context: CommitContext,
  change: ChangeOf<'update_checkpoint'>,
): void {
  const row = expected(context, change.id)
  context.connection.run(
    `UPDATE checkpoint SET pinned = coalesce(?, pinned), metadata = coalesce(?, metadata)
     WHERE checkpoint_id = ?`,
    change.pinned === undefined ? null : change.pinned ? 1 : 0,
    change.metadata === undefined ? null : JSON.stringify(change.metadata),
    row.checkpoint_id,
  )
  announce(context, 'checkpoint', 'updated', { container: row.container, name: change.id })
}
