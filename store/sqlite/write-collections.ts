// Members of collections, in order of joining. A variable's own list of collections says which ones
// it is in; both are kept in step here. Runs in the store worker, inside a savepoint.
import { Refusal } from '../../tensor/index.ts'
import type { Change } from '../port.ts'
import { announce, type CommitContext, checkText } from './context.ts'

type ChangeOf<Kind extends Change['kind']> = Extract<Change, { readonly kind: Kind }>

/** Where the next of `count` members stands; counts them as there. */
function takePositions(
  { connection }: CommitContext,
  container: string,
  collection: string,
  count: number,
): number {
  const row = connection.get<{ last_position: number }>(
    `INSERT INTO collection (container, name, member_count, last_position) VALUES (?, ?, ?, ?)
     ON CONFLICT (container, name) DO UPDATE SET
       member_count = member_count + excluded.member_count,
       last_position = last_position + excluded.last_position
     RETURNING last_position`,
    container,
    collection,
    count,
    count,
  )
  return (row?.last_position ?? count) - count + 1
}

/** Makes a variable a member at the end of each collection; it is in none of them before. */
export function joinCollections(
  context: CommitContext,
  container: string,
  variable: string,
  collections: readonly string[],
): void {
  for (const collection of collections) {
    checkText('collection', collection)
    context.connection.run(
      `INSERT INTO collection_member (container, collection, position, variable)
       VALUES (?, ?, ?, ?)`,
      container,
      collection,
      takePositions(context, container, collection, 1),
      variable,
    )
  }
}

/** Takes a variable out of collections, as often as it is in them. */
export function leaveCollections(
  { connection }: CommitContext,
  container: string,
  variable: string,
  collections: readonly string[],
): void {
  for (const collection of collections) {
    const { changes } = connection.run(
      // By itself SQLite takes the primary key here, and looks at every member of the collection.
      `DELETE FROM collection_member INDEXED BY collection_member_by_variable
       WHERE container = ? AND collection = ? AND variable = ?`,
      container,
      collection,
      variable,
    )
    const left = connection.run(
      `UPDATE collection SET member_count = member_count - ?
       WHERE container = ? AND name = ? AND member_count > ?`,
      changes,
      container,
      collection,
      changes,
    )
    if (left.changes > 0) continue
    connection.run('DELETE FROM collection WHERE container = ? AND name = ?', container, collection)
  }
}

/** Whether the variable joins the collection only now; says so in its own list. */
function noteInVariable(
  context: CommitContext,
  container: string,
  collection: string,
  variable: string,
): boolean {
  const row = context.connection.get<{ collections: string; version: number }>(
    'SELECT collections, version FROM variable WHERE container = ? AND name = ?',
    container,
    variable,
  )
  if (row === undefined) {
    throw new Refusal(
      'NOT_FOUND',
      'variable/unknown',
      `There is no variable ${JSON.stringify(variable)} to add to ${JSON.stringify(collection)}.`,
      { names: { variable, container, collection } },
    )
  }
  const collections = JSON.parse(row.collections) as string[]
  if (collections.includes(collection)) return false
  writeList(context, container, variable, [...collections, collection])
  announce(context, 'variable', 'updated', { container, name: variable, version: row.version })
  return true
}

function writeList(
  { connection, now }: CommitContext,
  container: string,
  variable: string,
  collections: readonly string[],
): void {
  connection.run(
    'UPDATE variable SET collections = ?, updated_at = ? WHERE container = ? AND name = ?',
    JSON.stringify(collections),
    now,
    container,
    variable,
  )
}

/** Appends members; refuses (NOT_FOUND) a variable that is not there. */
export function addToCollection(
  context: CommitContext,
  change: ChangeOf<'add_to_collection'>,
): void {
  const { container, collection, members } = change
  checkText('container', container)
  checkText('collection', collection)
  if (members.length === 0) return
  let position = takePositions(context, container, collection, members.length)
  const action = position === 1 ? 'created' : 'updated'
  for (const member of members) {
    const isVariable = 'variable' in member
    const isNew = isVariable && noteInVariable(context, container, collection, member.variable)
    context.connection.run(
      `INSERT INTO collection_member (container, collection, position, variable, value, repeated)
       VALUES (?, ?, ?, ?, ?, ?)`,
      container,
      collection,
      position++,
      isVariable ? member.variable : null,
      isVariable ? null : JSON.stringify(member.value),
      isVariable && !isNew ? 1 : 0,
    )
  }
  announce(context, 'collection', action, { container, name: collection })
}

/** Removes every member, and the collection from its variables' lists; nothing where there is none. */
export function clearCollection(
  context: CommitContext,
  change: ChangeOf<'clear_collection'>,
): void {
  const { connection } = context
  const { container, collection } = change
  const known = connection.run(
    'DELETE FROM collection WHERE container = ? AND name = ?',
    container,
    collection,
  ).changes
  if (known === 0) return
  const variables = connection.all<{ variable: string; collections: string; version: number }>(
    `SELECT collection_member.variable, variable.collections, variable.version
     FROM collection_member JOIN variable
       ON variable.container = collection_member.container
       AND variable.name = collection_member.variable
     WHERE collection_member.container = ? AND collection = ? AND repeated = 0
     ORDER BY position`,
    container,
    collection,
  )
  for (const { variable, collections, version } of variables) {
    const list = (JSON.parse(collections) as string[]).filter((name) => name !== collection)
    writeList(context, container, variable, list)
    announce(context, 'variable', 'updated', { container, name: variable, version })
  }
  connection.run(
    'DELETE FROM collection_member WHERE container = ? AND collection = ?',
    container,
    collection,
  )
  announce(context, 'collection', 'deleted', { container, name: collection })
}
