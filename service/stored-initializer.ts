// Initializers as the catalogue keeps them: a description with a kind, or a tensor in JSON form; and
// the content that each gives.
import { tensorOfJson } from '../formats/index.ts'
import type { JsonValue } from '../proto/index.ts'
import type { Json, VariableRecord } from '../store/index.ts'
import { type DType, Refusal, type Shape, type Tensor } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { contentOfTensor, initialContent, type TensorContent } from './initial-values.ts'
import { type FillPlan, type InitializerDescription, planInitializer } from './initializer.ts'

/** A tensor as JSON: `value` or `b64`, with or without its type. */
export interface TensorForm {
  readonly dtype?: string
  readonly shape?: readonly number[]
  readonly value?: Json
  readonly b64?: string
}

/** Whether an initializer is a tensor rather than a description. */
export function isTensorForm(
  initializer: InitializerDescription | TensorForm | undefined | null,
): initializer is TensorForm {
  return initializer !== undefined && initializer !== null && !('kind' in initializer)
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

/** What initializing the variable gives it. Draws without a seed differ at every call. */
export function initialContentOf(
  context: Context,
  record: VariableRecord,
  shape: Shape,
): TensorContent {
  const initializer = record.initializer as InitializerDescription | TensorForm | null
  const { dtype } = record
  if (isTensorForm(initializer)) {
    return contentOfTensor(tensorOfForm(initializer, dtype, context.limits.jsonElements))
  }
  if (initializer === null) throw withoutInitializer(record)
  const plan = planInitializer(initializer, dtype, shape)
  return initialContent(plan, dtype, shape, constantsOf(plan, dtype), context.freshSeed)
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
  constantsOf(planInitializer(description, dtype, shape), dtype)
}

function constantsOf(plan: FillPlan, dtype: DType): Tensor | undefined {
  if (plan.fill !== 'constant') return undefined
  return tensorOfJson(plan.elements as JsonValue, { dtype, shape: [plan.elements.length] })
}
