// The changes of a commit that turn labels. Runs in the store worker, inside a savepoint. Every turn is
// kept in the label's history, which outlives the checkpoints.
import { Refusal } from '../../tensor/index.ts'
import type { Change } from '../port.ts'
import { announce, type CommitContext, checkText } from './context.ts'
import { checkpointNumberOf } from './records.ts'

type ChangeOf<Kind extends Change['kind']> = Extract<Change, { readonly kind: Kind }>

/** Where a label is to point. */
export interface LabelTarget {
  readonly checkpointId: number
  readonly container: string
}

/** Who turned it; null where nobody said. */
type Actor = string | undefined

/** NOT_FOUND `checkpoint/unknown`. */
export function unknownCheckpoint(id: string): Refusal {
  return new Refusal(
    'NOT_FOUND',
    'checkpoint/unknown',
    `There is no checkpoint ${JSON.stringify(id)}.`,
    { names: { checkpoint: id } },
  )
}

function targetOf(context: CommitContext, checkpointId: number): LabelTarget | undefined {
  const row = context.connection.get<{ container: string }>(
    'SELECT container FROM checkpoint WHERE checkpoint_id = ?',
    checkpointId,
  )
  return row && { checkpointId, container: row.container }
}

function pointsTo(context: CommitContext, label: string): LabelTarget | undefined {
  const row = context.connection.get<{ checkpoint_id: number; container: string }>(
    'SELECT checkpoint_id, container FROM label JOIN checkpoint USING (checkpoint_id) WHERE label = ?',
    label,
  )
  return row && { checkpointId: row.checkpoint_id, container: row.container }
}

function checkExpected(
  label: string,
  now: LabelTarget | undefined,
  expect: string | null | undefined,
): void {
  const found = now === undefined ? null : String(now.checkpointId)
  if (expect === undefined || expect === found) return
  const say = (id: string | null): string => (id === null ? 'nothing' : `checkpoint ${id}`)
  throw new Refusal(
    'FAILED_PRECONDITION',
    'label/mismatch',
    `The label ${JSON.stringify(label)} points to ${say(found)}; ${say(expect)} was expected.`,
    {
      fix: 'Look where it points now, and decide anew.',
      names: { label, ...(found === null ? {} : { checkpoint: found }) },
    },
  )
}

function unknownLabel(label: string): Refusal {
  return new Refusal('NOT_FOUND', 'label/unknown', `There is no label ${JSON.stringify(label)}.`, {
    names: { label },
  })
}

/** Points a label somewhere, or removes it. */
export function setLabel(context: CommitContext, change: ChangeOf<'set_label'>): void {
  const { label, checkpoint, expect, actor } = change
  const now = pointsTo(context, label)
  checkExpected(label, now, expect)
  if (checkpoint === null) {
    if (now === undefined) throw unknownLabel(label)
    pointLabel(context, label, null, actor)
    return
  }
  const target = targetOf(context, checkpointNumberOf(checkpoint) ?? 0)
  if (target === undefined) throw unknownCheckpoint(checkpoint)
  pointLabel(context, label, target, actor)
}

/**
 * Points a label where it pointed before its last turn, which is a turn of its own. Refuses
 * (FAILED_PRECONDITION) where it pointed nowhere before (`label/nothing-before`), and where that checkpoint is
 * gone (`label/checkpoint-gone`).
 */
export function rollbackLabel(context: CommitContext, change: ChangeOf<'rollback_label'>): void {
  const { label, expect, actor } = change
  checkExpected(label, pointsTo(context, label), expect)
  const [last, before] = context.connection.all<{ checkpoint_id: number | null }>(
    `SELECT checkpoint_id FROM label_history WHERE label = ? ORDER BY sequence DESC LIMIT 2`,
    label,
  )
  if (last === undefined) throw unknownLabel(label)
  const id = before?.checkpoint_id ?? null
  if (id === null) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      'label/nothing-before',
      `Before its last turn the label ${JSON.stringify(label)} pointed nowhere: there is nothing to go back to.`,
      {
        fix: 'Point it somewhere with PUT /v1/checkpoints/{id}/labels/{label}, or take it off with DELETE.',
        names: { label },
      },
    )
  }
  const target = targetOf(context, id)
  if (target === undefined) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      'label/checkpoint-gone',
      `The label ${JSON.stringify(label)} pointed to checkpoint ${id} before, which has been deleted.`,
      {
        fix: 'GET /v1/checkpoints/labels/{label} lists where it pointed earlier.',
        names: { label, checkpoint: String(id) },
      },
    )
  }
  pointLabel(context, label, target, actor)
}

/** Turns a label, or does nothing where it points there already. Refuses what cannot be a label. */
export function pointLabel(
  context: CommitContext,
  label: string,
  target: LabelTarget | null,
  actor: Actor,
): void {
  const { connection } = context
  checkText('label', label)
  if (actor !== undefined) checkText('actor', actor)
  if (label === '' || label === 'latest' || /^\d+$/.test(label)) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'label/reserved',
      `${JSON.stringify(label)} cannot be a label: empty, "latest" and decimal numbers have a meaning of their own.`,
      { names: { label } },
    )
  }
  const before = pointsTo(context, label)
  if (before?.checkpointId === target?.checkpointId) return
  if (target === null) connection.run('DELETE FROM label WHERE label = ?', label)
  else {
    connection.run(
      `INSERT INTO label (label, checkpoint_id) VALUES (?, ?)
       ON CONFLICT (label) DO UPDATE SET checkpoint_id = excluded.checkpoint_id`,
      label,
      target.checkpointId,
    )
  }
  connection.run(
    `INSERT INTO label_history (label, sequence, checkpoint_id, changed_at, actor)
     VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (label, sequence) DO UPDATE
     SET checkpoint_id = excluded.checkpoint_id, actor = excluded.actor`,
    label,
    context.sequence,
    target?.checkpointId ?? null,
    context.now,
    actor ?? null,
  )
  const action = target === null ? 'deleted' : before === undefined ? 'created' : 'updated'
  announce(context, 'label', action, {
    container: target?.container ?? before?.container ?? '',
    name: label,
  })
}
