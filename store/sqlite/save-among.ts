// Which variables a save takes that names none: found inside the transaction that saves them, so that a
// checkpoint never mixes what was there with what came and went while it was looked for.
import { Refusal } from '../../tensor/index.ts'
import type { SavedAmong } from '../port.ts'
import type { CommitContext } from './context.ts'
import { endOfPrefix } from './records.ts'

/** What a save is limited to, as a condition on rows of `variable`. */
function conditionOf(
  container: string,
  { collections, prefix = '' }: SavedAmong,
): { readonly text: string; readonly values: readonly string[] } {
  const texts = ['container = ?']
  const values = [container]
  if (prefix !== '') {
    texts.push('name >= ?')
    values.push(prefix)
    const end = endOfPrefix(prefix)
    if (end !== undefined) {
      texts.push('name < ?')
      values.push(end)
    }
  }
  if (collections?.length === 0) texts.push('FALSE')
  else if (collections !== undefined) {
    const places = collections.map(() => '?').join(', ')
    texts.push(`EXISTS (
      SELECT 1 FROM collection_member AS member INDEXED BY collection_member_by_variable
      WHERE member.container = variable.container AND member.collection IN (${places})
        AND member.variable = variable.name)`)
    values.push(...collections)
  }
  return { text: texts.join(' AND '), values }
}

/** Saves what {@link SavedAmong} says, under the variables' names. */
export function saveAmong(
  { connection }: CommitContext,
  container: string,
  checkpointId: number,
  among: SavedAmong,
): void {
  const { text, values } = conditionOf(container, among)
  if (!among.onlyInitialized) {
    const empty = connection.all<{ name: string }>(
      `SELECT name FROM variable WHERE ${text} AND value_id IS NULL ORDER BY name LIMIT ?`,
      ...values,
      mostNamed + 1,
    )
    if (empty.length > 0)
      throw uninitialized(
        container,
        empty.map(({ name }) => name),
      )
  }
  const { changes } = connection.run(
    `INSERT INTO checkpoint_entry (checkpoint_id, name, value_id, slice)
     SELECT ?, name, value_id, slice FROM variable
     WHERE ${text} AND value_id IS NOT NULL ORDER BY name`,
    checkpointId,
    ...values,
  )
  if (changes > 0) return
  throw new Refusal('FAILED_PRECONDITION', 'checkpoint/empty', 'No variables to save', {
    fix: 'Create and initialize a variable first, or choose others.',
    names: { container },
  })
}

/** Names that a refusal lists. */
const mostNamed = 100

function uninitialized(container: string, names: readonly string[]): Refusal {
  const [variable, ...others] = names.slice(0, mostNamed)
  const also = `${others.join(', ')}${names.length > mostNamed ? ', ..' : ''}`
  return new Refusal(
    'FAILED_PRECONDITION',
    'variable/uninitialized',
    `Attempting to use uninitialized value ${variable}${also === '' ? '' : `; also without a value: ${also}`}`,
    {
      fix: 'Initialize them, or save without them.',
      names: { variable, variables: [variable, ...others], container },
    },
  )
}
