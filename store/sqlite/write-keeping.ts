// The changes of a commit that say what is kept: rules of retention, and figures beside a value. Runs in
// the store worker, inside a savepoint. What the rules mean is not known here.
import type { Change } from '../port.ts'
import { type CommitContext, checkText } from './context.ts'

type ChangeOf<Kind extends Change['kind']> = Extract<Change, { readonly kind: Kind }>

/** Keeps a container's rules in place of those before; null: none. */
export function putRetention(context: CommitContext, change: ChangeOf<'put_retention'>): void {
  const { container, rules } = change
  checkText('container', container)
  if (rules === null) {
    context.connection.run('DELETE FROM retention WHERE container = ?', container)
    return
  }
  context.connection.run(
    `INSERT INTO retention (container, rules) VALUES (?, ?)
     ON CONFLICT (container) DO UPDATE SET rules = excluded.rules`,
    container,
    JSON.stringify(rules),
  )
}

/** Keeps figures beside a value, as long as it is there; those of one that is gone are dropped. */
export function keepFigures(context: CommitContext, change: ChangeOf<'keep_figures'>): void {
  context.connection.run(
    `INSERT INTO value_figures (value_id, figures)
     SELECT value_id, ? FROM value WHERE value_id = ?
     ON CONFLICT (value_id) DO UPDATE SET figures = excluded.figures`,
    JSON.stringify(change.figures),
    change.valueId,
  )
}
