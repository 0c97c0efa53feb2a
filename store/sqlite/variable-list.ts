// The SQL of a filtered list of variables: which index it walks, from where to where.
import type { VariableFilter } from '../port.ts'
import type { Parameter } from './connection.ts'
import { endOfPrefix, variableColumns } from './records.ts'

/** The SQL that a filtered list of variables runs, with its parameters; a function for tests' sake. */
export function variableListQuery(
  filter: VariableFilter,
  after: string | undefined,
  limit: number,
): { readonly sql: string; readonly parameters: readonly Parameter[] } {
  const isAll = filter.collection === undefined
  const from = isAll
    ? `variable${indexFor(filter)}`
    : `collection_member CROSS JOIN variable ON variable.container = collection_member.container
       AND variable.name = collection_member.variable`
  const name = isAll ? 'variable.name' : 'collection_member.variable'
  const where = [`${isAll ? 'variable' : 'collection_member'}.container = ?`]
  const parameters: Parameter[] = [filter.container]
  const add = (condition: string, ...values: readonly Parameter[]): void => {
    where.push(condition)
    parameters.push(...values)
  }
  if (filter.collection !== undefined) {
    add('collection_member.collection = ?', filter.collection)
    where.push('collection_member.variable IS NOT NULL', 'collection_member.repeated = 0')
  }
  const prefix = filter.prefix ?? ''
  if (after !== undefined && (prefix === '' || isAfter(after, prefix))) {
    add(`${name} > ?`, after)
  } else if (prefix !== '') {
    add(`${name} >= ?`, prefix)
  }
  const end = endOfPrefix(prefix)
  if (end !== undefined) add(`${name} < ?`, end)
  if (filter.trainable !== undefined) add('variable.trainable = ?', filter.trainable ? 1 : 0)
  if (filter.dtype !== undefined) add('variable.dtype = ?', filter.dtype)
  if (filter.initialized !== undefined) {
    add('variable.initialized = ?', filter.initialized ? 1 : 0)
  }
  const sql = `SELECT ${variableColumns} FROM ${from}
    LEFT JOIN value ON value.value_id = variable.value_id
    WHERE ${where.join(' AND ')} ORDER BY ${name} LIMIT ?`
  return { sql, parameters: [...parameters, limit] }
}

/** The index that leaves the fewest rows to pass over; without counts the planner would take none. */
function indexFor({ initialized, dtype, trainable }: VariableFilter): string {
  if (initialized === false) return ' INDEXED BY variable_by_initialized'
  if (dtype !== undefined) return ' INDEXED BY variable_by_dtype'
  if (trainable === false) return ' INDEXED BY variable_by_trainable'
  if (initialized === true) return ' INDEXED BY variable_by_initialized'
  if (trainable === true) return ' INDEXED BY variable_by_trainable'
  return ''
}

function isAfter(name: string, prefix: string): boolean {
  return Buffer.compare(Buffer.from(name), Buffer.from(prefix)) >= 0
}
