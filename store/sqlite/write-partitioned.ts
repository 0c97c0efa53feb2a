// The changes of a commit that touch partitioned variables: names for ordinary variables seen as
// one. Runs in the store worker, inside a savepoint.
import type { DType, Shape } from '../../tensor/index.ts'
import { formatShape, Refusal } from '../../tensor/index.ts'
import type { Change, PartSlice } from '../port.ts'
import { announce, type CommitContext, checkText } from './context.ts'
import { sliceOf } from './records.ts'
import { isPartitioned, removeVariable, unknownVariable, wholeOf } from './write-variables.ts'

type ChangeOf<Kind extends Change['kind']> = Extract<Change, { readonly kind: Kind }>

function badPart(
  change: ChangeOf<'create_partitioned'>,
  part: string,
  problem: string,
  code: 'INVALID_ARGUMENT' | 'ALREADY_EXISTS' = 'INVALID_ARGUMENT',
): Refusal {
  const { container, name } = change
  return new Refusal(
    code,
    'variable/bad-part',
    `${JSON.stringify(part)} cannot be a part of ${JSON.stringify(name)}: ${problem}.`,
    { names: { variable: name, container, part } },
  )
}

/** Makes a name for parts. They may be made by later changes of the commit: see `checkParts`. */
export function createPartitioned(
  context: CommitContext,
  change: ChangeOf<'create_partitioned'>,
): void {
  const { connection } = context
  const { container, name, partitions, parts } = change
  checkText('container', container)
  checkText('variable name', name)
  const count = partitions.reduce((product, one) => product * one, 1)
  if (partitions.length !== change.shape.length || parts.length !== count || count === 0) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'variable/bad-partitions',
      `${formatShape(partitions)} partitions of shape ${formatShape(change.shape)} were given with ${parts.length} parts; ${count} are wanted, and a number of partitions for each axis.`,
      { names: { variable: name, container } },
    )
  }
  const isVariable = (): boolean =>
    connection.get('SELECT 1 FROM variable WHERE container = ? AND name = ?', container, name) !==
    undefined
  if (isVariable() || isPartitioned(context, container, name)) {
    throw new Refusal(
      'ALREADY_EXISTS',
      'variable/exists',
      `The variable ${JSON.stringify(name)} already exists.`,
      { names: { variable: name, container } },
    )
  }
  connection.run(
    `INSERT INTO partitioned_variable (container, name, dtype, shape, partitions)
     VALUES (?, ?, ?, ?, ?)`,
    container,
    name,
    change.dtype,
    JSON.stringify(change.shape),
    JSON.stringify(partitions),
  )
  parts.forEach((part, ordinal) => {
    const whole = wholeOf(context, container, part)
    if (whole !== undefined) {
      throw badPart(change, part, `it is one of ${JSON.stringify(whole)}`, 'ALREADY_EXISTS')
    }
    connection.run(
      'INSERT INTO partitioned_part (container, name, ordinal, part) VALUES (?, ?, ?, ?)',
      container,
      name,
      ordinal,
      part,
    )
  })
  context.atEnd.push(() => checkParts(context, change))
  announce(context, 'variable', 'created', { container, name })
}

interface PartRow {
  readonly dtype: DType
  readonly slice: string | null
}

/** Every part is there, of the whole's type, and says that it is a part of it. */
function checkParts(context: CommitContext, change: ChangeOf<'create_partitioned'>): void {
  const { container, name, dtype, shape, parts } = change
  // A later change of the commit may have deleted it again.
  if (!isPartitioned(context, container, name)) return
  for (const part of parts) {
    const row = context.connection.get<PartRow>(
      'SELECT dtype, slice FROM variable WHERE container = ? AND name = ?',
      container,
      part,
    )
    if (row === undefined) throw unknownVariable(container, part)
    if (row.dtype !== dtype) {
      throw badPart(change, part, `it holds ${row.dtype} and the whole ${dtype}`)
    }
    const slice = sliceOf(row.slice)
    if (!isSliceOf(slice, name, shape)) {
      const said = slice && `${JSON.stringify(slice.fullName)} of ${formatShape(slice.fullShape)}`
      throw badPart(change, part, `it is a slice of ${said ?? 'nothing'}`)
    }
  }
}

function isSliceOf(slice: PartSlice | undefined, name: string, shape: Shape): boolean {
  return (
    slice !== undefined &&
    slice.fullName === name &&
    slice.fullShape.length === shape.length &&
    slice.fullShape.every((length, axis) => length === shape[axis])
  )
}

/** Deletes the name and its parts. */
export function deletePartitioned(
  context: CommitContext,
  change: ChangeOf<'delete_partitioned'>,
): void {
  const { connection } = context
  const { container, name } = change
  if (!isPartitioned(context, container, name)) throw unknownVariable(container, name)
  const parts = partsOf(context, container, name)
  connection.run('DELETE FROM partitioned_part WHERE container = ? AND name = ?', container, name)
  connection.run(
    'DELETE FROM partitioned_variable WHERE container = ? AND name = ?',
    container,
    name,
  )
  for (const part of parts) removeVariable(context, container, part)
  announce(context, 'variable', 'deleted', { container, name })
}

/** Names of the parts of a partitioned variable, in order; none where it is not one. */
export function partsOf(context: CommitContext, container: string, name: string): string[] {
  return context.connection
    .all<{ part: string }>(
      'SELECT part FROM partitioned_part WHERE container = ? AND name = ? ORDER BY ordinal',
      container,
      name,
    )
    .map(({ part }) => part)
}
