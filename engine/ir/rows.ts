// All scalar operations by name. What each means is in rows/, one family a file.
import assert from 'node:assert'
import type { Row } from './row.ts'
import { arithmetic } from './rows/arithmetic.ts'
import { conversion } from './rows/conversion.ts'
import { logic } from './rows/logic.ts'

/** Every row by its name. */
export const rows: ReadonlyMap<string, Row> = new Map(
  [...arithmetic, ...logic, ...conversion].map((row) => [row.name, row]),
)

/** The row of that name; an unknown name is a mistake of ours. */
export function rowOf(name: string): Row {
  const row = rows.get(name)
  assert(row !== undefined, `there is no row named ${name}`)
  return row
}
