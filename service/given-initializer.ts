// An initializer that a request or a scope gives, as get_variable's rules take it: something that is
// asked for type and shape, or a constant that fixes both.
import type { Initializer } from '../graph/index.ts'
import type { VariableRecord } from '../store/index.ts'
import type { DType } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { isExpressionForm, typeOfExpression, variablesIn } from './initial-expression.ts'
import { notForParts } from './partitioned.ts'
import { type GivenInitializer, isTensorForm, tensorOfForm } from './stored-initializer.ts'
import { unknownVariable } from './unknown-variable.ts'

/**
 * The initializer with what is known of it. A tensor that names no type has `dtype`, else float32.
 * Refuses (NOT_FOUND `variable/unknown`, INVALID_ARGUMENT `initializer/..`) an expression over
 * variables that are not there or do not fit, and what is no tensor.
 */
export async function initializerOf(
  context: Context,
  container: string,
  initializer: GivenInitializer,
  dtype: DType | undefined,
): Promise<Initializer<GivenInitializer>> {
  const { jsonElements } = context.limits
  const { catalogue } = context.store
  if (isExpressionForm(initializer)) {
    const names = variablesIn(initializer)
    const records = await catalogue.variables(container, names)
    const byName = new Map(records.map((record) => [record.name, record]))
    const [whole] = await catalogue.partitioned(
      container,
      names.filter((name) => !byName.has(name)),
    )
    if (whole !== undefined) throw notForParts('initialized_value', whole)
    const find = (name: string): VariableRecord => {
      const record = byName.get(name)
      if (record === undefined) throw unknownVariable(container, name)
      return record
    }
    const type = typeOfExpression(initializer, find, jsonElements)
    return { form: 'constant', initializer, ...type }
  }
  if (!isTensorForm(initializer)) return { form: 'function', initializer }
  const tensor = tensorOfForm(initializer, dtype, jsonElements)
  return { form: 'constant', initializer, dtype: tensor.dtype, shape: tensor.shape }
}
