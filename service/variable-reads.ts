// The values of variables on their way out: what a name stands for now, from one snapshot. The bytes
// come from the readable value.
import type { ValueRecord, VariableRecord } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import type { ReadableValue } from './readable.ts'
import { storedReadable } from './stored-values.ts'
import { unknownVariable } from './variable-create.ts'

/** A variable that has a value. */
export interface InitializedVariable extends VariableRecord {
  readonly value: ValueRecord
}

/** What a name stands for. */
export interface VariableValue {
  readonly container: string
  readonly name: string
  readonly version: number
  readonly value: ReadableValue
}

export interface VariableReads {
  /** The present value of a variable. Refuses an unknown and an uninitialized one. */
  value(container: string, name: string): Promise<VariableValue>
  /** Several from one snapshot, in the order asked. */
  values(container: string, names: readonly string[]): Promise<readonly VariableValue[]>
  /** The variable with its value's record. Refuses as `value` does. */
  read(container: string, name: string): Promise<InitializedVariable>
  /** Several from one snapshot, in the order asked. */
  readMany(container: string, names: readonly string[]): Promise<readonly InitializedVariable[]>
}

/** Reads of a store's variables. */
export function createVariableReads(context: Context): VariableReads {
  const { catalogue, values } = context.store

  function readableOf(record: VariableRecord): VariableValue {
    const { container, name, version, value } = record
    if (value === undefined) throw uninitialized(record)
    return { container, name, version, value: storedReadable(values, value) }
  }

  async function readMany(
    container: string,
    names: readonly string[],
  ): Promise<readonly InitializedVariable[]> {
    const records = await catalogue.variables(container, names)
    const byName = new Map(records.map((record) => [record.name, record]))
    return names.map((name) => {
      const record = byName.get(name)
      if (record === undefined) throw unknownVariable(container, name)
      return initialized(record)
    })
  }

  return {
    async value(container, name) {
      return readableOf(await findVariable(context, container, name))
    },
    async values(container, names) {
      return (await readMany(container, names)).map(readableOf)
    },
    async read(container, name) {
      return initialized(await findVariable(context, container, name))
    },
    readMany,
  }
}

/** The variable of that name. Refuses NOT_FOUND `variable/unknown`. */
export async function findVariable(
  context: Context,
  container: string,
  name: string,
): Promise<VariableRecord> {
  const record = await context.store.catalogue.variable(container, name)
  if (record === undefined) throw unknownVariable(container, name)
  return record
}

/** Refuses (FAILED_PRECONDITION `variable/uninitialized`) a variable without a value. */
export function initialized(record: VariableRecord): InitializedVariable {
  const { value } = record
  if (value !== undefined) return { ...record, value }
  throw uninitialized(record)
}

function uninitialized(record: VariableRecord): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'variable/uninitialized',
    `Attempting to use uninitialized value ${record.name}`,
    {
      fix: 'Initialize it with :initialize, or give it a value with :assign.',
      names: { variable: record.name, container: record.container },
    },
  )
}
