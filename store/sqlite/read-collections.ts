// Reads of collections and their members. Each call sees one committed state.
import type { CollectionMember, CollectionRecord, Json, Page, PageRequest } from '../port.ts'
import type { Connection } from './connection.ts'
import { checkLimit, checkpointNumberOf, keyOfCursor, pageOf } from './records.ts'

interface CollectionRow {
  readonly name: string
  readonly member_count: number
}

interface MemberRow {
  readonly position: number
  readonly variable: string | null
  readonly value: string | null
}

/** Collections with members, by name. */
export function listCollections(
  connection: Connection,
  container: string,
  page: PageRequest,
): Page<CollectionRecord> {
  checkLimit(page)
  const after = keyOfCursor(page.cursor)
  const rows = connection.all<CollectionRow>(
    `SELECT name, member_count FROM collection
     WHERE container = ? ${after === undefined ? '' : 'AND name > ?'} ORDER BY name LIMIT ?`,
    container,
    ...(after === undefined ? [] : [after]),
    page.limit + 1,
  )
  return pageOf(
    rows,
    page.limit,
    (row) => ({ name: row.name, memberCount: row.member_count }),
    (row) => row.name,
  )
}

/** Members in order of joining. */
export function collectionMembers(
  connection: Connection,
  container: string,
  collection: string,
  page: PageRequest,
): Page<CollectionMember> {
  checkLimit(page)
  const after = keyOfCursor(page.cursor)
  const rows = connection.all<MemberRow>(
    `SELECT position, variable, value FROM collection_member
     WHERE container = ? AND collection = ? AND position > ? ORDER BY position LIMIT ?`,
    container,
    collection,
    after === undefined ? 0 : (checkpointNumberOf(after) ?? 0),
    page.limit + 1,
  )
  return pageOf(rows, page.limit, memberOf, (row) => String(row.position))
}

function memberOf({ variable, value }: MemberRow): CollectionMember {
  if (variable !== null) return { variable }
  return { value: JSON.parse(value ?? 'null') as Json }
}
