// The values of variables on their way out: which value a name stands for now, from one snapshot.
// The bytes are stored-values.ts's.
import type { ValueRecord, VariableRecord } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { unknownVariable } from './variable-create.ts'

/** A variable that has a value. */
export interface InitializedVariable extends VariableRecord {
  readonly value: ValueRecord
}

export interface VariableReads {
  /** The variable with its value's record; the bytes come from `store.values`. Refuses an uninitialized one. */
  read(container: string, name: string): Promise<InitializedVariable>
  /** Several from one snapshot, in the order asked. */
  readMany(container: string, names: readonly string[]): Promise<readonly InitializedVariable[]>
}

/** Reads of a store's variables. */
export function createVariableReads(context: Context): VariableReads {
  const { catalogue } = context.store
  return {
    async read(container, name) {
      return initialized(await findVariable(context, container, name))
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
