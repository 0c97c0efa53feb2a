// The changes of a commit that touch scopes. Runs in the store worker, inside a savepoint. What the
// defaults of a scope mean is known elsewhere.
import { Refusal } from '../../tensor/index.ts'
import type { Change } from '../port.ts'
import { announce, type CommitContext, checkText } from './context.ts'

type ChangeOf<Kind extends Change['kind']> = Extract<Change, { readonly kind: Kind }>

/** Replaces the defaults that a scope was given. */
export function putScope(context: CommitContext, change: ChangeOf<'put_scope'>): void {
  const { connection } = context
  const { container, path } = change
  checkText('container', container)
  checkText('scope', path)
  const text = JSON.stringify(change.arguments)
  const updated = connection.run(
    'UPDATE scope SET arguments = ? WHERE container = ? AND path = ?',
    text,
    container,
    path,
  ).changes
  if (updated === 0) {
    connection.run(
      'INSERT INTO scope (container, path, arguments) VALUES (?, ?, ?)',
      container,
      path,
      text,
    )
  }
  const action = updated === 0 ? 'created' : 'updated'
  announce(context, 'scope', action, { container, name: path })
}

/** Deletes the defaults that a scope was given; those of scopes below stay. */
export function deleteScope(context: CommitContext, change: ChangeOf<'delete_scope'>): void {
  const { container, path } = change
  const { changes } = context.connection.run(
    'DELETE FROM scope WHERE container = ? AND path = ?',
    container,
    path,
  )
  if (changes === 0) {
    throw new Refusal(
      'NOT_FOUND',
      'scope/unknown',
      `The scope ${JSON.stringify(path)} has no defaults of its own.`,
      { names: { scope: path, container } },
    )
  }
  announce(context, 'scope', 'deleted', { container, name: path })
}
