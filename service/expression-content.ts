// Expressions over big values as streams: an element of each comes from the elements at its own place, read
// from the store or drawn once more, so that no value is ever whole in memory.
import type { ValueRecord } from '../store/index.ts'
import {
  byteLengthOf,
  elementCountOf,
  type NumericDType,
  numericTensor,
  type Shape,
  sameShape,
  type Tensor,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import { addSeededDraw, type DrawPlan } from './drawn-content.ts'
import type { Expression } from './initial-expression.ts'
import { addExpression, createGraphNodes, typeAttribute } from './initial-graph.ts'
import { isBig, piecedContent, pieceElements, type Stretch } from './pieced-content.ts'
import type { TensorContent } from './tensor-content.ts'

/** Where the value of a variable comes from that an expression takes. */
export type PieceSource =
  | { readonly form: 'stored'; readonly value: ValueRecord }
  | { readonly form: 'draw'; readonly plan: DrawPlan; readonly shape: Shape }
  | { readonly form: 'expression'; readonly expression: Expression }

/** The source of a variable of the expression's type; undefined where it cannot be made in pieces. */
export type SourceOf = (variable: string) => PieceSource | undefined

/** The value of an expression as a stream; undefined where it is small, or more than elementwise. */
export function expressionContent(
  context: Context,
  expression: Expression,
  dtype: NumericDType,
  shape: Shape,
  sourceOf: SourceOf,
): TensorContent | undefined {
  if (!isBig(dtype, shape)) return undefined
  if (!elementwise({ dtype, shape, sourceOf, known: new Map() }, expression)) return undefined
  const graph = createGraphNodes()
  const nodes = new Map<string, string>()
  const feeds: ((stretch: Stretch) => Promise<Readonly<Record<string, Tensor>>>)[] = []

  function nodeOf(variable: string): string {
    const known = nodes.get(variable)
    if (known !== undefined) return known
    const node = `from${nodes.size}`
    nodes.set(variable, node)
    const source = sourceOf(variable)
    switch (source?.form) {
      case 'stored':
        feeds.push(async (stretch) => ({
          [`${node}:0`]: await stretchOf(context, source.value, dtype, stretch),
        }))
        return graph.add(node, 'Placeholder', [], { dtype: typeAttribute(dtype) })
      case 'draw': {
        const drawFeeds = addSeededDraw(graph, node, source.plan, dtype)
        feeds.push(async ({ start }) => drawFeeds(start))
        return node
      }
      case 'expression':
        return addExpression(graph, node, source.expression, dtype, nodeOf)
      case undefined:
        throw new Error(`${variable} is not made in pieces`)
      default:
        return source satisfies never
    }
  }

  addExpression(graph, 'value', expression, dtype, nodeOf)
  return piecedContent(context, dtype, shape, {
    nodes: graph.nodes,
    async feeds(stretch) {
      const parts = await Promise.all(feeds.map((feed) => feed(stretch)))
      return Object.assign({}, ...parts)
    },
  })
}

interface Check {
  readonly dtype: NumericDType
  readonly shape: Shape
  readonly sourceOf: SourceOf
  /** What was found of variables: each is looked at once. */
  readonly known: Map<string, boolean>
}

/** Whether each element comes from those at its own place. */
function elementwise(check: Check, { variable, steps }: Expression): boolean {
  let isKnown = check.known.get(variable)
  if (isKnown === undefined) {
    isKnown = elementwiseSource(check, check.sourceOf(variable))
    check.known.set(variable, isKnown)
  }
  if (!isKnown) return false
  return steps.every(({ operand }) =>
    operand.form === 'tensor'
      ? elementCountOf(operand.tensor.shape) === 1
      : elementwise(check, operand.expression),
  )
}

function elementwiseSource(check: Check, source: PieceSource | undefined): boolean {
  const { dtype, shape } = check
  switch (source?.form) {
    case 'stored':
      return source.value.dtype === dtype && sameShape(source.value.shape, shape)
    case 'draw':
      return sameShape(source.shape, shape)
    case 'expression':
      return elementwise(check, source.expression)
    case undefined:
      return false
    default:
      return source satisfies never
  }
}

/** A stretch of a value's elements, zeros behind it up to a whole piece. */
async function stretchOf(
  { store }: Context,
  { valueId }: ValueRecord,
  dtype: NumericDType,
  { start, count }: Stretch,
): Promise<Tensor> {
  const elementBytes = byteLengthOf(dtype)
  const bytes = new Uint8Array(pieceElements * elementBytes)
  const range = { offset: start * elementBytes, length: count * elementBytes }
  let filled = 0
  for await (const piece of store.values.read(valueId, range)) {
    bytes.set(piece, filled)
    filled += piece.length
  }
  return numericTensor(dtype, [pieceElements], bytes)
}
