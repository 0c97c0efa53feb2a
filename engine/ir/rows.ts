// All scalar operations by name. What each means is in rows/, one family a file.
import assert from 'node:assert'
import type { Row } from './row.ts'
import { arithmetic } from './rows/arithmetic.ts'
import { conversion } from './rows/conversion.ts'
import { exponential } from './rows/exponential.ts'
import { hyperbolic } from './rows/hyperbolic.ts'
import { logic } from './rows/logic.ts'
import { special } from './rows/special.ts'
import { trigonometric } from './rows/trigonometric.ts'

/** Every row by its name. */
export const rows: ReadonlyMap<string, Row> = new Map(
  [
    ...arithmetic,
    ...logic,
    ...conversion,
    ...exponential,
    ...trigonometric,
    ...hyperbolic,
    ...special,
  ].map((row) => [row.name, row]),
)

/** The row of that name; an unknown name is a mistake of ours. */
export function rowOf(name: string): Row {
  const row = rows.get(name)
  assert(row !== undefined, `there is no row named ${name}`)
  return row
}
