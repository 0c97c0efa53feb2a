// The changes of a commit that touch variables. Runs in the store worker, inside a savepoint.
import type { DType, PartialShape } from '../../tensor/index.ts'
import { fitsShape, formatShape, Refusal } from '../../tensor/index.ts'
import type { Change, Expectation } from '../port.ts'
import { announce, type CommitContext, checkText } from './context.ts'
import type { BoundValue } from './write-values.ts'

type ChangeOf<Kind extends Change['kind']> = Extract<Change, { readonly kind: Kind }>

interface VariableRow {
  readonly dtype: DType
  readonly shape: string | null
  readonly version: number
  readonly last_version: number
  readonly value_id: number | null
  readonly collections: string
}

function find(context: CommitContext, container: string, name: string): VariableRow | undefined {
  return context.connection.get<VariableRow>(
    `SELECT dtype, shape, version, last_version, value_id, collections
     FROM variable WHERE container = ? AND name = ?`,
    container,
    name,
  )
}

function unknown(container: string, name: string): Refusal {
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
  if (row === undefined) throw unknown(container, name)
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

function replaceCollections(
  context: CommitContext,
  container: string,
  name: string,
  from: readonly string[],
  to: readonly string[],
): void {
  for (const collection of from) {
    context.connection.run(
      'DELETE FROM collection_member WHERE container = ? AND collection = ? AND name = ?',
      container,
      collection,
      name,
    )
  }
  for (const collection of to) {
    checkText('collection', collection)
    context.connection.run(
      'INSERT INTO collection_member (container, collection, name) VALUES (?, ?, ?)',
      container,
      collection,
      name,
    )
  }
}

/** Makes a variable; its versions go on where an earlier one of the name ended. */
export function createVariable(context: CommitContext, change: ChangeOf<'create_variable'>): void {
  const { container, name, dtype, shape } = change
  checkText('container', container)
  checkText('variable name', name)
  checkText('device', change.device)
  if (find(context, container, name) !== undefined) {
    throw new Refusal(
      'ALREADY_EXISTS',
      'variable/exists',
      `The variable ${JSON.stringify(name)} already exists.`,
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
       created_at, updated_at, device, shape, collections, initializer)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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
  )
  replaceCollections(context, container, name, [], collections)
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
  context.connection.run(
    `UPDATE variable SET version = ?, last_version = ?, value_id = ?, updated_at = ?, shape = ?
     WHERE container = ? AND name = ?`,
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
    replaceCollections(context, container, name, before, collections)
  }
  announce(context, 'variable', 'updated', { container, name, version: row.version })
}

/** Deletes a variable; its last version is remembered. */
export function deleteVariable(context: CommitContext, change: ChangeOf<'delete_variable'>): void {
  const { container, name } = change
  const row = expected(context, change)
  replaceCollections(context, container, name, JSON.parse(row.collections) as string[], [])
  context.connection.run(
    'INSERT INTO dropped_variable (container, name, last_version) VALUES (?, ?, ?)',
    container,
    name,
    row.last_version,
  )
  context.connection.run('DELETE FROM variable WHERE container = ? AND name = ?', container, name)
  announce(context, 'variable', 'deleted', { container, name, version: row.version })
}

/** Deletes every variable of a container; nothing where there is none. Checkpoints stay. */
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
  connection.run('DELETE FROM collection_member WHERE container = ?', container)
  connection.run('DELETE FROM variable WHERE container = ?', container)
  for (const { name, version } of rows) {
    announce(context, 'variable', 'deleted', { container, name, version })
  }
}
