// Initializers as the catalogue keeps them: a description with a kind, a tensor in JSON form, or an
// expression over other variables; and how each gives a first value.
import { tensorOfJson, tensorToJson } from '../formats/index.ts'
import type { NewVariable } from '../graph/index.ts'
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
import { cutTensor } from './cut-tensor.ts'
import {
  type Expression,
  type ExpressionForm,
  isExpressionForm,
  parseExpression,
  variablesIn,
} from './initial-expression.ts'
import {
  type ComputedPlan,
  type InitializerDescription,
  type PlannedPart,
  planInitializer,
} from './initializer.ts'
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
      /** Where the variable is a part: which part of the expression's value it takes. */
      readonly part: PlannedPart | undefined
    }

/** The recipe of a variable. Refuses (FAILED_PRECONDITION, `variable/no-initializer`) one that has none. */
export function recipeOf(record: VariableRecord, shape: Shape, limits: Limits): Recipe {
  const initializer = record.initializer as GivenInitializer | null
  const { dtype, slice: part } = record
  if (initializer === null) throw withoutInitializer(record)
  if (isExpressionForm(initializer)) {
    const expression = parseExpression(initializer, dtype, limits.jsonElements)
    return { form: 'expression', expression, needs: variablesIn(initializer), part }
  }
  if (isTensorForm(initializer)) {
    const tensor = tensorOfForm(initializer, dtype, limits.jsonElements)
    return { form: 'content', content: contentOfTensor(tensor) }
  }
  const plan = planInitializer(initializer, dtype, shape, part)
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

/**
 * What the catalogue keeps of the initializer that was chosen for a variable: null where it is none; of
 * a tensor, the stretch that a part takes. Refuses what could not give the variable its first value.
 */
export function keptInitializer(
  { dtype, shape, initializer: chosen, slice }: NewVariable<GivenInitializer>,
  limits: Limits,
): GivenInitializer | null {
  if (chosen.form === 'none') return null
  const initializer = chosen.form === 'default' ? { kind: chosen.kind } : chosen.initializer
  if (isExpressionForm(initializer)) return initializer
  if (isTensorForm(initializer)) {
    if (slice === undefined) return initializer
    const { fullShape, offset: starts } = slice
    const tensor = tensorOfForm(initializer, dtype, limits.jsonElements)
    return formOfTensor(cutTensor(tensor, { fullShape, starts, shape: slice.shape }))
  }
  if (shape === undefined) throw new Error('an initializer that is no tensor is asked for a shape')
  const plan = planInitializer(initializer, dtype, shape, slice)
  if (plan.fill === 'constant') constantsOf(plan.elements, dtype)
  return initializer
}

/** A tensor in JSON form; numbers as their bytes. */
export function formOfTensor(tensor: Tensor): TensorForm {
  return tensorToJson(tensor, tensor.dtype === 'string' ? {} : { encoding: 'b64' }) as TensorForm
}

/**
 * Refuses (UNIMPLEMENTED, INVALID_ARGUMENT, `initializer/..`) a description that no variable at all could
 * be initialized with: an unknown kind or argument, a value that cannot be.
 */
export function checkGivenInitializer(initializer: GivenInitializer): void {
  if (isTensorForm(initializer) || isExpressionForm(initializer)) return
  const shape = initializer.kind === 'constant' ? [Number.MAX_SAFE_INTEGER] : [1, 1]
  planInitializer(initializer, 'float32', shape)
}

function constantsOf(elements: readonly Json[], dtype: DType): Tensor {
  return tensorOfJson(elements as JsonValue, { dtype, shape: [elements.length] })
}
