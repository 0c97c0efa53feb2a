// Initializers as the catalogue keeps them: a description with a kind, a tensor in JSON form, or an
// expression over other variables; and how each gives a first value.
import { tensorOfJson } from '../formats/index.ts'
import type { JsonValue } from '../proto/index.ts'
import type { Json, VariableRecord } from '../store/index.ts'
import {
  type DType,
  isNumeric,
  type NumericDType,
  Refusal,
  type Shape,
  type Tensor,
} from '../tensor/index.ts'
import {
  type Expression,
  type ExpressionForm,
  isExpressionForm,
  parseExpression,
  variablesIn,
} from './initial-expression.ts'
import { type ComputedPlan, type InitializerDescription, planInitializer } from './initializer.ts'
import type { Limits } from './limits.ts'
import { contentOfTensor, repeatedContent, type TensorContent } from './tensor-content.ts'

/** A tensor as JSON: `value` or `b64`, with or without its type. */
export interface TensorForm {
  readonly dtype?: string
  readonly shape?: readonly number[]
  readonly value?: Json
  readonly b64?: string
}

/** An initializer as requests give it and the catalogue keeps it. */
export type GivenInitializer = InitializerDescription | TensorForm | ExpressionForm

/** Whether an initializer is a tensor rather than a description or an expression. */
export function isTensorForm(initializer: GivenInitializer): initializer is TensorForm {
  return !('kind' in initializer) && !isExpressionForm(initializer)
}

/** The tensor of such a form; without a dtype of its own it has `fallback`, else float32. */
export function tensorOfForm(
  form: TensorForm,
  fallback: DType | undefined,
  maxElements: number,
): Tensor {
  const dtype = form.dtype === undefined ? (fallback ?? 'float32') : undefined
  return tensorOfJson(form as JsonValue, { dtype, maxElements })
}

/** How a variable's initializer gives its first value. */
export type Recipe =
  | { readonly form: 'content'; readonly content: TensorContent }
  | { readonly form: 'plan'; readonly plan: ComputedPlan; readonly dtype: NumericDType }
  | {
      readonly form: 'expression'
      readonly expression: Expression
      readonly needs: readonly string[]
    }

/** The recipe of a variable. Refuses (FAILED_PRECONDITION, `variable/no-initializer`) one that has none. */
export function recipeOf(record: VariableRecord, shape: Shape, limits: Limits): Recipe {
  const initializer = record.initializer as GivenInitializer | null
  const { dtype } = record
  if (initializer === null) throw withoutInitializer(record)
  if (isExpressionForm(initializer)) {
    const expression = parseExpression(initializer, dtype, limits.jsonElements)
    return { form: 'expression', expression, needs: variablesIn(initializer) }
  }
  if (isTensorForm(initializer)) {
    const tensor = tensorOfForm(initializer, dtype, limits.jsonElements)
    return { form: 'content', content: contentOfTensor(tensor) }
  }
  const plan = planInitializer(initializer, dtype, shape)
  if (plan.fill !== 'constant') {
    if (!isNumeric(dtype)) throw new Error(`${dtype} is not computed`)
    return { form: 'plan', plan, dtype }
  }
  const content = repeatedContent(dtype, shape, constantsOf(plan.elements, dtype))
  return { form: 'content', content }
}

/** FAILED_PRECONDITION `variable/no-initializer`. */
export function withoutInitializer(record: VariableRecord): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'variable/no-initializer',
    `Variable ${record.name} has no initializer.`,
    { fix: 'Give it a value with :assign.', names: { variable: record.name } },
  )
}

/** Refuses an initializer that could not give the variable its first value. */
export function checkInitializer(
  description: InitializerDescription,
  dtype: DType,
  shape: Shape,
): void {
  const plan = planInitializer(description, dtype, shape)
  if (plan.fill === 'constant') constantsOf(plan.elements, dtype)
}

function constantsOf(elements: readonly Json[], dtype: DType): Tensor {
  return tensorOfJson(elements as JsonValue, { dtype, shape: [elements.length] })
}
