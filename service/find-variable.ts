// One variable by its name, and the refusals that it is not there or has no value.
import type { ValueRecord, VariableDeclaration, VariableRecord } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { unknownVariable } from './unknown-variable.ts'

/** A variable that has a value. */
export type InitializedVariable = VariableRecord & { readonly value: ValueRecord }

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

/** What a value of that variable has to be. Refuses NOT_FOUND `variable/unknown`. */
export async function findDeclaration(
  context: Context,
  container: string,
  name: string,
): Promise<VariableDeclaration> {
  const declaration = await context.store.catalogue.declaration(container, name)
  if (declaration === undefined) throw unknownVariable(container, name)
  return declaration
}

/** Refuses (FAILED_PRECONDITION `variable/uninitialized`) a variable without a value. */
export function initialized(record: VariableRecord): InitializedVariable {
  if (hasValue(record)) return record
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

function hasValue(record: VariableRecord): record is InitializedVariable {
  return record.value !== undefined
}
