// Initializers over other variables' initialized values: `{"initialized_value": "v", "mul": 2}` is what
// TensorFlow writes as `v.initialized_value() * 2`. What one says, and its type and shape.
import { tensorOfJson } from '../formats/index.ts'
import type { JsonValue } from '../proto/index.ts'
import type { Json } from '../store/index.ts'
import {
  type DType,
  elementCountOf,
  formatShape,
  kindOf,
  type PartialShape,
  Refusal,
  type Shape,
  sameShape,
  type Tensor,
} from '../tensor/index.ts'
import { fixedLimits } from './limits.ts'

const ops = ['add', 'sub', 'mul', 'div'] as const

/** What an expression may do with a value. */
export type ExpressionOp = (typeof ops)[number]

/** An expression as a request gives it: the operations apply in the order in which they are written. */
export interface ExpressionForm {
  readonly initialized_value: string
  readonly [key: string]: Json
}

/** The operand of a step: a tensor of the expression's type, or another expression. */
export type Operand =
  | { readonly form: 'tensor'; readonly tensor: Tensor }
  | { readonly form: 'expression'; readonly expression: Expression }

/** A variable's initialized value, and what is done with it, in order. */
export interface Expression {
  readonly variable: string
  readonly steps: readonly { readonly op: ExpressionOp; readonly operand: Operand }[]
}

/** What is known of a variable whose value an expression takes. */
interface Operated {
  readonly dtype: DType
  readonly shape: PartialShape
}

const { initializerDepth: mostLevels } = fixedLimits

/** Whether a JSON value is meant as an expression. */
export function isExpressionForm(json: unknown): json is ExpressionForm {
  return (
    typeof json === 'object' &&
    json !== null &&
    !Array.isArray(json) &&
    Object.hasOwn(json, 'initialized_value')
  )
}

/** Names of the variables that an expression takes values of, each once. Refuses as {@link parseExpression}. */
export function variablesIn(form: ExpressionForm): readonly string[] {
  const names = new Set<string>()
  function visit(one: ExpressionForm, level: number): void {
    names.add(checkForm(one, level))
    for (const [key, operand] of Object.entries(one)) {
      if (key !== 'initialized_value' && isExpressionForm(operand)) visit(operand, level + 1)
    }
  }
  visit(form, 0)
  return [...names]
}

/** Refuses what is no expression; answers with the name of its variable. */
function checkForm(form: ExpressionForm, level: number): string {
  if (level >= mostLevels) throw invalid(`An expression has at most ${mostLevels} levels.`)
  const { initialized_value: variable, ...steps } = form
  if (typeof variable !== 'string') throw invalid('"initialized_value" is the name of a variable.')
  for (const key of Object.keys(steps)) {
    if (ops.includes(key as ExpressionOp)) continue
    throw invalid(`An expression has no "${key}"; it can have ${ops.join(', ')}.`)
  }
  return variable
}

/**
 * The expression, whose operands have the type of its variables. Refuses (INVALID_ARGUMENT,
 * `initializer/..`) what is none, and operands of another type.
 */
export function parseExpression(
  form: ExpressionForm,
  dtype: DType,
  maxElements: number,
  level = 0,
): Expression {
  const variable = checkForm(form, level)
  const { initialized_value: _, ...given } = form
  const steps = Object.entries(given).map(([key, json]) => {
    const operand: Operand = isExpressionForm(json)
      ? { form: 'expression', expression: parseExpression(json, dtype, maxElements, level + 1) }
      : { form: 'tensor', tensor: operandTensor(json, dtype, maxElements) }
    return { op: key as ExpressionOp, operand }
  })
  for (const { op } of steps) checkComputable(op, variable, dtype)
  return { variable, steps }
}

/** Refuses what TensorFlow's op does not take; its `/` on whole numbers gives another type. */
function checkComputable(op: ExpressionOp, variable: string, dtype: DType): void {
  const kind = kindOf(dtype)
  const isWhole = kind === 'signed' || kind === 'unsigned'
  if (kind === 'float' || kind === 'complex' || (isWhole && op !== 'div')) return
  const takes = isWhole ? 'floating point and complex numbers' : 'numbers'
  const fix = isWhole
    ? "TensorFlow's / makes floating point numbers of whole ones, and nothing is cast silently here: give the tensor itself."
    : 'Give the tensor itself.'
  throw new Refusal(
    'INVALID_ARGUMENT',
    'initializer/invalid',
    `The value of ${variable} is ${dtype}; "${op}" takes ${takes}.`,
    { fix, names: { variable, dtype } },
  )
}

function operandTensor(json: Json, dtype: DType, maxElements: number): Tensor {
  const hasType = typeof json === 'object' && json !== null && 'dtype' in json
  const tensor = tensorOfJson(json as JsonValue, { ...(hasType ? {} : { dtype }), maxElements })
  if (tensor.dtype === dtype) return tensor
  throw new Refusal(
    'INVALID_ARGUMENT',
    'initializer/dtype-mismatch',
    `An operand is ${tensor.dtype} and the value is ${dtype}; nothing is cast silently.`,
  )
}

/**
 * Type and shape of what the expression gives. `find` knows the variables. Refuses
 * (INVALID_ARGUMENT, `initializer/..`) several types, shapes that are not known, and shapes that do
 * not broadcast.
 */
export function typeOfExpression(
  form: ExpressionForm,
  find: (name: string) => Operated,
  maxElements: number,
): { readonly dtype: DType; readonly shape: Shape } {
  const { dtype } = find(form.initialized_value)
  const shapeOf = ({ variable, steps }: Expression): Shape => {
    const found = find(variable)
    if (found.dtype !== dtype) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'initializer/dtype-mismatch',
        `Variable ${variable} is ${found.dtype} and ${form.initialized_value} is ${dtype}; nothing is cast silently.`,
        { names: { variable } },
      )
    }
    const { shape } = found
    if (shape === undefined || shape.includes(-1)) {
      throw invalid(`The shape of ${variable} is not fully known: ${formatShape(shape)}.`)
    }
    return steps.reduce<Shape>((known, { operand }) => {
      const other = operand.form === 'tensor' ? operand.tensor.shape : shapeOf(operand.expression)
      return broadcast(known, other)
    }, shape)
  }
  const shape = shapeOf(parseExpression(form, dtype, maxElements))
  elementCountOf(shape)
  return { dtype, shape }
}

/** The shape that both give together, as NumPy broadcasts. */
function broadcast(a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, axis) => {
    const [one, other] = [a, b].map((shape) => shape[axis - rank + shape.length] ?? 1)
    if (one === other || other === 1) return one
    if (one === 1) return other
    throw invalid(`Incompatible shapes: ${formatShape(a)} vs. ${formatShape(b)}`)
  })
}

function invalid(message: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'initializer/invalid', message)
}
