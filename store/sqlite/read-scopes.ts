// Reads of scopes, as they were given. Each call sees one committed state.
import type { Json, Page, PageRequest, ScopeRecord } from '../port.ts'
import type { Connection } from './connection.ts'
import { checkLimit, endOfPrefix, keyOfCursor, pageOf } from './records.ts'

interface ScopeRow {
  readonly container: string
  readonly path: string
  readonly arguments: string
}

function scopeOf({ container, path, arguments: text }: ScopeRow): ScopeRecord {
  return { container, path, arguments: JSON.parse(text) as Json }
}

function scopeRow(connection: Connection, container: string, path: string): ScopeRow | undefined {
  return connection.get<ScopeRow>(
    'SELECT container, path, arguments FROM scope WHERE container = ? AND path = ?',
    container,
    path,
  )
}

/** Scopes of those paths that were given defaults, in the order asked. */
export function scopes(
  connection: Connection,
  container: string,
  paths: readonly string[],
): ScopeRecord[] {
  return connection.snapshot(() =>
    paths.flatMap((path) => {
      const row = scopeRow(connection, container, path)
      return row === undefined ? [] : [scopeOf(row)]
    }),
  )
}

/** Scopes by path, bytewise. `below`: only that one and those whose path goes on after it. */
export function listScopes(
  connection: Connection,
  filter: { readonly container: string; readonly below?: string | undefined },
  page: PageRequest,
): Page<ScopeRecord> {
  checkLimit(page)
  const { container } = filter
  const below = filter.below ?? ''
  const after = keyOfCursor(page.cursor)
  // Between `a` and `a/b` there may be `a-b`, which is not below `a`: two ranges of paths.
  const prefix = below === '' ? '' : `${below}/`
  const end = endOfPrefix(prefix)
  return connection.snapshot(() => {
    const own =
      prefix === '' || after !== undefined ? undefined : scopeRow(connection, container, below)
    const isInside = after?.startsWith(prefix) === true
    const rows = connection.all<ScopeRow>(
      `SELECT container, path, arguments FROM scope
       WHERE container = ? AND path ${isInside ? '>' : '>='} ?
       ${end === undefined ? '' : 'AND path < ?'} ORDER BY path LIMIT ?`,
      container,
      isInside ? after : prefix,
      ...(end === undefined ? [] : [end]),
      page.limit + 1,
    )
    const all = own === undefined ? rows : [own, ...rows]
    return pageOf(all, page.limit, scopeOf, (row) => row.path)
  })
}
