// The values of variables: reading them, replacing them, and the one-op updates, which run on the
// engine like any other graph.
import type { Change, ValueRecord, VariableRecord } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { applyUpdate, type UpdateOp } from './one-op.ts'
import { checkAssignable, type TensorInput } from './tensor-input.ts'
import { unknownVariable } from './variable-create.ts'
import { variableKey } from './write-order.ts'
import { checkVersion, type ValueWritten, valueWritten, type WriteOptions } from './written.ts'

/** A variable that has a value. */
export interface InitializedVariable extends VariableRecord {
  readonly value: ValueRecord
}

export interface VariableValues {
  /** The variable with its value's record; the bytes come from `store.values`. Refuses an uninitialized one. */
  read(container: string, name: string): Promise<InitializedVariable>
  /** Several from one snapshot, in the order asked. */
  readMany(container: string, names: readonly string[]): Promise<readonly InitializedVariable[]>
  /** The value that a write left, for a reply that shows it. */
  written(written: ValueWritten): Promise<ValueRecord>
  assign(
    container: string,
    name: string,
    input: TensorInput,
    options: WriteOptions,
  ): Promise<ValueWritten>
  /** `assign_add` or `assign_sub`. */
  update(
    op: UpdateOp,
    container: string,
    name: string,
    input: TensorInput,
    options: WriteOptions,
  ): Promise<ValueWritten>
}

/** The values of a store's variables. */
export function createVariableValues(context: Context): VariableValues {
  const { catalogue } = context.store

  async function find(container: string, name: string): Promise<VariableRecord> {
    const record = await catalogue.variable(container, name)
    if (record === undefined) throw unknownVariable(container, name)
    return record
  }

  return {
    async read(container, name) {
      return initialized(await find(container, name))
    },
    async readMany(container, names) {
      const records = await catalogue.variables(container, names)
      const byName = new Map(records.map((record) => [record.name, record]))
      return names.map((name) => {
        const record = byName.get(name)
        if (record === undefined) throw unknownVariable(container, name)
        return initialized(record)
      })
    },
    async written({ container, name, version, valueId }) {
      const value = await context.store.values.record(valueId)
      if (value !== undefined) return value
      throw new Refusal(
        'NOT_FOUND',
        'value/gone',
        `Version ${version} of variable ${name} was written, and has been replaced since.`,
        { names: { variable: name, container, version } },
      )
    },
    async assign(container, name, input, options) {
      const declared = await find(container, name)
      if (options.idempotencyKey === undefined) checkVersion(declared, options.ifVersion)
      const content = await input(declared)
      checkAssignable(name, declared, content)
      const staging = context.store.values.stage()
      try {
        // The body is taken in before the turn: a slow client must not hold up other writers.
        const staged = await staging.add(content)
        return await context.writes.turn(
          [variableKey(container, name)],
          'overlapping',
          async () => {
            const record = await find(container, name)
            checkAssignable(name, record, staged)
            const described = ['assign', container, name, staged.dtype, staged.shape, staged.digest]
            return write(context, record, described, options, async () => staged)
          },
        )
      } finally {
        await staging.discard()
      }
    },
    async update(op, container, name, input, options) {
      const declared = await find(container, name)
      const content = await input(declared)
      checkAssignable(name, declared, content)
      return applyUpdate(context, op, { container, name, content, options, find })
    },
  }
}

/** Commits one new value and says what came of it. */
async function write(
  context: Context,
  record: VariableRecord,
  described: readonly unknown[],
  options: WriteOptions,
  value: () => Promise<Extract<Change, { kind: 'write_value' }>['value']>,
): Promise<ValueWritten> {
  const { container, name } = record
  const committed = await once(context, options.idempotencyKey, described, async (idempotency) => {
    checkVersion(record, options.ifVersion)
    const expect = versionExpectation(record, options)
    const change: Change = { kind: 'write_value', container, name, value: await value(), ...expect }
    return context.store.catalogue.commit([change], idempotency)
  })
  return valueWritten(committed)
}

function versionExpectation(record: VariableRecord, options: WriteOptions) {
  const conditional = options.ifVersion !== undefined && options.ifVersion !== '*'
  return conditional ? { expect: { version: record.version } } : {}
}

/** Refuses (FAILED_PRECONDITION `variable/uninitialized`) a variable without a value. */
export function initialized(record: VariableRecord): InitializedVariable {
  const { value } = record
  if (value !== undefined) return { ...record, value }
  throw new Refusal(
    'FAILED_PRECONDITION',
    'variable/uninitialized',
    `Attempting to use uninitialized value ${record.name}`,
    {
      fix: 'Initialize it with :initialize, or give it a value with :assign.',
      names: { variable: record.name, container: record.container },
    },
  )
}
