// The changes of a commit that touch graphs and model versions. Runs in the store worker, inside a
// savepoint.
import { Refusal } from '../../tensor/index.ts'
import type { Change, ValueSource } from '../port.ts'
import { announce, type CommitContext, checkCount, checkText } from './context.ts'

type ChangeOf<Kind extends Change['kind']> = Extract<Change, { readonly kind: Kind }>

function bindContent(context: CommitContext, source: ValueSource, what: string): number {
  const bound = context.bind(source)
  if (bound !== null) return bound.valueId
  throw new Refusal('INVALID_ARGUMENT', 'value/missing', `${what} was given without content.`)
}

/** Keeps a graph. One that is there gets the new summary; its content is the same by its id. */
export function putGraph(context: CommitContext, change: ChangeOf<'put_graph'>): void {
  checkText('graph id', change.id)
  const valueId = bindContent(context, change.value, `The graph ${change.id}`)
  const known = context.connection.get('SELECT 1 FROM graph WHERE graph_id = ?', change.id)
  context.connection.run(
    `INSERT INTO graph (graph_id, value_id, created_at, summary) VALUES (?, ?, ?, ?)
     ON CONFLICT (graph_id) DO UPDATE SET value_id = excluded.value_id, summary = excluded.summary`,
    change.id,
    valueId,
    context.now,
    JSON.stringify(change.summary),
  )
  announce(context, 'graph', known === undefined ? 'created' : 'updated', { name: change.id })
}

/** Deletes a graph. */
export function deleteGraph(context: CommitContext, change: ChangeOf<'delete_graph'>): void {
  const { changes } = context.connection.run('DELETE FROM graph WHERE graph_id = ?', change.id)
  if (changes === 0) {
    throw new Refusal(
      'NOT_FOUND',
      'graph/unknown',
      `There is no graph ${JSON.stringify(change.id)}.`,
      {
        names: { graph: change.id },
      },
    )
  }
  announce(context, 'graph', 'deleted', { name: change.id })
}

function unknownVersion(model: string, version: number): Refusal {
  return new Refusal(
    'NOT_FOUND',
    'model/unknown',
    `There is no version ${version} of the model ${JSON.stringify(model)}.`,
    { names: { model, version } },
  )
}

/** Keeps a model version and its files; refuses one that is there. */
export function putModelVersion(
  context: CommitContext,
  change: ChangeOf<'put_model_version'>,
): void {
  const { connection } = context
  const { model, version } = change
  checkText('model name', model)
  checkCount('model version', version)
  const { changes } = connection.run(
    `INSERT INTO model_version (model, version, created_at, description) VALUES (?, ?, ?, ?)
     ON CONFLICT DO NOTHING`,
    model,
    version,
    context.now,
    JSON.stringify(change.description),
  )
  if (changes === 0) {
    throw new Refusal(
      'ALREADY_EXISTS',
      'model/version-exists',
      `The model ${JSON.stringify(model)} already has a version ${version}.`,
      { names: { model, version }, fix: 'Delete that version first, or take another number.' },
    )
  }
  for (const { path, value } of change.files) {
    checkText('file path', path)
    const inserted = connection.run(
      `INSERT INTO model_file (model, version, path, value_id) VALUES (?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
      model,
      version,
      path,
      bindContent(context, value, `The file ${JSON.stringify(path)}`),
    )
    if (inserted.changes === 1) continue
    throw new Refusal(
      'INVALID_ARGUMENT',
      'model/duplicate-file',
      `The file ${JSON.stringify(path)} was given twice.`,
      { names: { model, path } },
    )
  }
  announce(context, 'model', 'created', { name: model, version })
}

/** Replaces what is known of a model version. */
export function updateModelVersion(
  context: CommitContext,
  change: ChangeOf<'update_model_version'>,
): void {
  const { model, version } = change
  const { changes } = context.connection.run(
    'UPDATE model_version SET description = ? WHERE model = ? AND version = ?',
    JSON.stringify(change.description),
    model,
    version,
  )
  if (changes === 0) throw unknownVersion(model, version)
  announce(context, 'model', 'updated', { name: model, version })
}

/** Deletes a model version and its files; the variables of its container are not touched. */
export function deleteModelVersion(
  context: CommitContext,
  change: ChangeOf<'delete_model_version'>,
): void {
  const { model, version } = change
  context.connection.run('DELETE FROM model_file WHERE model = ? AND version = ?', model, version)
  const { changes } = context.connection.run(
    'DELETE FROM model_version WHERE model = ? AND version = ?',
    model,
    version,
  )
  if (changes === 0) throw unknownVersion(model, version)
  announce(context, 'model', 'deleted', { name: model, version })
}
