// The changes of a commit that touch variables. Runs in the store worker, inside a savepoint.
import type { DType, PartialShape } from '../../tensor/index.ts'
import { fitsShape, formatShape, Refusal } from '../../tensor/index.ts'
import type { Change, Expectation } from '../port.ts'
import { announce, type CommitContext, checkSlice, checkText } from './context.ts'
import { sliceTextOf } from './records.ts'
import { joinCollections, leaveCollections } from './write-collections.ts'
import type { BoundValue } from './write-values.ts'

type ChangeOf<Kind extends Change['kind']> = Extract<Change, { readonly kind: Kind }>

interface VariableRow {
  readonly dtype: DType
  readonly shape: string | null
  readonly version: number
  readonly last_version: number
  readonly value_id: number | null
  readonly collections: string
  readonly slice: string | null
}

function find(context: CommitContext, container: string, name: string): VariableRow | undefined {
  return context.connection.get<VariableRow>(
    `SELECT dtype, shape, version, last_version, value_id, collections, slice
     FROM variable WHERE container = ? AND name = ?`,
    container,
    name,
  )
}

/** There is no variable of that name. */
export function unknownVariable(container: string, name: string): Refusal {
  const place = container === '' ? '' : ` in the container ${JSON.stringify(container)}`
  return new Refusal(
    'NOT_FOUND',
    'variable/unknown',
    `There is no variable ${JSON.stringify(name)}${place}.`,
    { names: { variable: name, container } },
  )
}

function expected(
  context: CommitContext,
  change: { readonly container: string; readonly name: string; readonly expect?: Expectation },
): VariableRow {
  const { container, name, expect } = change
  const row = find(context, container, name)
  if (row === undefined) throw unknownVariable(container, name)
  const wanted = expect?.version
  const holds =
    wanted === 0 ? row.value_id === null : wanted === undefined || wanted === row.version
  if (!holds || expect?.exists === false) {
    const given = expect?.exists === false ? 'that it does not exist' : `version ${wanted}`
    throw new Refusal(
      'FAILED_PRECONDITION',
      'variable/version-mismatch',
      `The variable ${JSON.stringify(name)} has version ${row.version}; ${given} was expected.`,
      { names: { variable: name, container, version: row.version } },
    )
  }
  return row
}

/** Refuses a value of another type, or of a shape that the declared one does not allow. */
function checkFits(
  name: string,
  declared: { readonly dtype: DType; readonly shape: PartialShape },
  value: BoundValue,
): void {
  if (value.dtype !== declared.dtype) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'variable/dtype-mismatch',
      `The variable ${JSON.stringify(name)} holds ${declared.dtype}; a value of ${value.dtype} was given.`,
      { names: { variable: name } },
    )
  }
  if (!fitsShape(value.shape, declared.shape)) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'variable/shape-mismatch',
      `The variable ${JSON.stringify(name)} has shape ${formatShape(declared.shape)}; a value of shape ${formatShape(value.shape)} was given.`,
      { names: { variable: name } },
    )
  }
}

function shapeTextOf(shape: PartialShape): string | null {
  return shape === undefined ? null : JSON.stringify(shape)
}

/** Makes a variable; its versions go on where an earlier one of the name ended. */
export function createVariable(context: CommitContext, change: ChangeOf<'create_variable'>): void {
  const { container, name, dtype, shape } = change
  checkText('container', container)
  checkText('variable name', name)
  checkText('device', change.device)
  checkSlice(name, change.slice, shape)
  if (find(context, container, name) !== undefined) {
    throw new Refusal(
      'ALREADY_EXISTS',
      'variable/exists',
      `The variable ${JSON.stringify(name)} already exists.`,
      { names: { variable: name, container } },
    )
  }
  if (isPartitioned(context, container, name)) {
    throw new Refusal(
      'ALREADY_EXISTS',
      'variable/exists',
      `A partitioned variable ${JSON.stringify(name)} already exists.`,
      { names: { variable: name, container } },
    )
  }
  const value = context.bind(change.value)
  if (value !== null) checkFits(name, { dtype, shape }, value)
  const dropped = context.connection.get<{ last_version: number }>(
    'DELETE FROM dropped_variable WHERE container = ? AND name = ? RETURNING last_version',
    container,
    name,
  )
  const before = dropped?.last_version ?? 0
  const version = value === null ? 0 : before + 1
  const collections = [...new Set(change.collections)]
  context.connection.run(
    `INSERT INTO variable (container, name, dtype, trainable, version, last_version, value_id,
       created_at, updated_at, device, shape, collections, initializer, slice,
       initialized)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    container,
    name,
    dtype,
    change.trainable ? 1 : 0,
    version,
    Math.max(before, version),
    value?.valueId ?? null,
    context.now,
    context.now,
    change.device,
    shapeTextOf(shape),
    JSON.stringify(collections),
    JSON.stringify(change.initializer),
    sliceTextOf(change.slice),
    value === null ? 0 : 1,
  )
  joinCollections(context, container, name, collections)
  context.variables.push({ container, name, version, valueId: value?.valueId })
  announce(context, 'variable', 'created', { container, name, version })
}

/** Binds a variable to another value, or to none. */
export function writeValue(context: CommitContext, change: ChangeOf<'write_value'>): void {
  const { container, name } = change
  const row = expected(context, change)
  const value = context.bind(change.value)
  const redeclared = change.redeclareShape === true && value !== null
  if (value !== null) {
    const declared = row.shape === null ? undefined : (JSON.parse(row.shape) as PartialShape)
    checkFits(name, { dtype: row.dtype, shape: redeclared ? undefined : declared }, value)
  }
  const version = row.last_version + 1
  const isInitialized = value !== null
  // The column is named only where it changes: an index over it is then left alone.
  const becomes =
    isInitialized === (row.value_id !== null) ? '' : `, initialized = ${isInitialized}`
  context.connection.run(
    `UPDATE variable SET version = ?, last_version = ?, value_id = ?, updated_at = ?, shape = ?
     ${becomes} WHERE container = ? AND name = ?`,
    version,
    version,
    value?.valueId ?? null,
    context.now,
    redeclared ? shapeTextOf(value.shape) : row.shape,
    container,
    name,
  )
  context.variables.push({ container, name, version, valueId: value?.valueId })
  announce(context, 'variable', 'written', { container, name, version })
}

/** Changes what is known of a variable, not its value. */
export function updateVariable(context: CommitContext, change: ChangeOf<'update_variable'>): void {
  const { container, name, trainable, device } = change
  const row = expected(context, change)
  const before = JSON.parse(row.collections) as string[]
  const collections = [...new Set(change.collections ?? before)]
  if (device !== undefined) checkText('device', device)
  context.connection.run(
    `UPDATE variable SET trainable = coalesce(?, trainable), device = coalesce(?, device),
       collections = ?, updated_at = ? WHERE container = ? AND name = ?`,
    trainable === undefined ? null : trainable ? 1 : 0,
    device ?? null,
    JSON.stringify(collections),
    context.now,
    container,
    name,
  )
  if (change.collections !== undefined) {
    const isIn = new Set(before)
    const staysIn = new Set(collections)
    const left = before.filter((one) => !staysIn.has(one))
    leaveCollections(context, container, name, left)
    const joined = collections.filter((one) => !isIn.has(one))
    joinCollections(context, container, name, joined)
  }
  announce(context, 'variable', 'updated', { container, name, version: row.version })
}

/** Deletes a variable; its last version is remembered. Refuses one that is part of another. */
export function deleteVariable(context: CommitContext, change: ChangeOf<'delete_variable'>): void {
  const { container, name } = change
  const row = expected(context, change)
  // What is part of a partitioned variable knows its slice.
  const whole = row.slice === null ? undefined : wholeOf(context, container, name)
  if (whole !== undefined) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      'variable/part',
      `The variable ${JSON.stringify(name)} is a part of ${JSON.stringify(whole)} and cannot be deleted alone.`,
      { names: { variable: name, container, whole }, fix: `Delete ${JSON.stringify(whole)}.` },
    )
  }
  removeVariable(context, container, name)
}

/** Deletes a variable that is there, whatever it is a part of. */
export function removeVariable(context: CommitContext, container: string, name: string): void {
  const row = expected(context, { container, name })
  leaveCollections(context, container, name, JSON.parse(row.collections) as string[])
  context.connection.run(
    'INSERT INTO dropped_variable (container, name, last_version) VALUES (?, ?, ?)',
    container,
    name,
    row.last_version,
  )
  context.connection.run('DELETE FROM variable WHERE container = ? AND name = ?', container, name)
  announce(context, 'variable', 'deleted', { container, name, version: row.version })
}

/** Whether a name stands for a partitioned variable. */
export function isPartitioned(context: CommitContext, container: string, name: string): boolean {
  const row = context.connection.get(
    'SELECT 1 FROM partitioned_variable WHERE container = ? AND name = ?',
    container,
    name,
  )
  return row !== undefined
}

/** The partitioned variable that a variable is a part of. */
export function wholeOf(
  context: CommitContext,
  container: string,
  part: string,
): string | undefined {
  const row = context.connection.get<{ name: string }>(
    'SELECT name FROM partitioned_part WHERE container = ? AND part = ?',
    container,
    part,
  )
  return row?.name
}

/** Deletes all that a container holds; nothing where there is none. Checkpoints stay. */
export function deleteContainer(
  context: CommitContext,
  change: ChangeOf<'delete_container'>,
): void {
  const { connection } = context
  const { container } = change
  const rows = connection.all<{ name: string; version: number }>(
    'SELECT name, version FROM variable WHERE container = ? ORDER BY name',
    container,
  )
  connection.run(
    `INSERT INTO dropped_variable (container, name, last_version)
     SELECT container, name, last_version FROM variable WHERE container = ?`,
    container,
  )
  let rowCount = rows.length
  for (const table of containerTables) {
    rowCount += connection.run(`DELETE FROM ${table} WHERE container = ?`, container).changes
  }
  for (const { name, version } of rows) {
    announce(context, 'variable', 'deleted', { container, name, version })
  }
  if (rowCount > 0) announce(context, 'container', 'deleted', { container, name: container })
}

/** Tables of what goes with a container. */
const containerTables = [
  'partitioned_part',
  'partitioned_variable',
  'collection_member',
  'collection',
  'scope',
  'variable',
] as const
