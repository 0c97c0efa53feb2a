// Reads of partitioned variables: the name and its parts from one committed state.
import type { DType, Shape } from '../../tensor/index.ts'
import type { Page, PageRequest, PartitionedRecord } from '../port.ts'
import type { Connection } from './connection.ts'
import {
  checkLimit,
  keyOfCursor,
  pageOf,
  type VariableRow,
  variableColumns,
  variableOf,
} from './records.ts'

interface PartitionedRow {
  readonly container: string
  readonly name: string
  readonly dtype: DType
  readonly shape: string
  readonly partitions: string
}

const columns = 'container, name, dtype, shape, partitions'

function partitionedOf(connection: Connection, row: PartitionedRow): PartitionedRecord {
  const { container, name, dtype } = row
  const parts = connection.all<VariableRow>(
    `SELECT ${variableColumns} FROM partitioned_part
     CROSS JOIN variable ON variable.container = partitioned_part.container
       AND variable.name = partitioned_part.part
     LEFT JOIN value ON value.value_id = variable.value_id
     WHERE partitioned_part.container = ? AND partitioned_part.name = ?
     ORDER BY partitioned_part.ordinal`,
    container,
    name,
  )
  return {
    container,
    name,
    dtype,
    shape: JSON.parse(row.shape) as Shape,
    partitions: JSON.parse(row.partitions) as number[],
    parts: parts.map(variableOf),
  }
}

/** The partitioned variables of those names that exist, in the order asked. */
export function partitioned(
  connection: Connection,
  container: string,
  names: readonly string[],
): PartitionedRecord[] {
  return connection.snapshot(() =>
    names.flatMap((name) => {
      const row = connection.get<PartitionedRow>(
        `SELECT ${columns} FROM partitioned_variable WHERE container = ? AND name = ?`,
        container,
        name,
      )
      return row === undefined ? [] : [partitionedOf(connection, row)]
    }),
  )
}

/** Partitioned variables by name. */
export function listPartitioned(
  connection: Connection,
  container: string,
  page: PageRequest,
): Page<PartitionedRecord> {
  checkLimit(page)
  const after = keyOfCursor(page.cursor)
  return connection.snapshot(() => {
    const rows = connection.all<PartitionedRow>(
      `SELECT ${columns} FROM partitioned_variable
       WHERE container = ? ${after === undefined ? '' : 'AND name > ?'} ORDER BY name LIMIT ?`,
      container,
      ...(after === undefined ? [] : [after]),
      page.limit + 1,
    )
    return pageOf(
      rows,
      page.limit,
      (row) => partitionedOf(connection, row),
      (row) => row.name,
    )
  })
}
