// Big initial values as streams: draws, piece by piece the numbers of one draw, since streams of random
// numbers can be taken up anywhere; matrices with ones on a diagonal; expressions over big values.
import { streamPlace } from '../engine/index.ts'
import type { VariableRecord } from '../store/index.ts'
import {
  elementCountOf,
  isBigInt,
  type NumericDType,
  numericTensor,
  type Shape,
  sameShape,
  type Tensor,
  tensorOfElements,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import type { Expression } from './initial-expression.ts'
import { addExpression, addPlan, createGraphNodes, typeAttribute } from './initial-graph.ts'
import type { ComputedPlan } from './initializer.ts'
import { isBig, type PieceGraph, piecedContent, pieceElements } from './pieced-content.ts'
import { diagonalContent, type TensorContent } from './tensor-content.ts'

/** A plan of which any stretch can be made by itself. */
type DrawPlan = Extract<ComputedPlan, { readonly fill: 'uniform' | 'normal' | 'truncated_normal' }>

/** The value of a plan as a stream; undefined where it is to be computed in one piece. */
export function plannedContent(
  context: Context,
  plan: ComputedPlan,
  dtype: NumericDType,
  shape: Shape,
): TensorContent | undefined {
  if (plan.fill === 'identity') return identityContent(plan, dtype, shape)
  if (plan.fill === 'orthogonal' || !isBig(dtype, shape)) return undefined
  return piecedContent(context, dtype, shape, drawGraph(plan, dtype))
}

function drawGraph(plan: DrawPlan, dtype: NumericDType): PieceGraph {
  const { seeds, fill } = plan
  const graph = createGraphNodes()
  // Without seeds the engine's own stream goes on from piece to piece.
  if (seeds[0] === 0 && seeds[1] === 0) {
    addPlan(graph, 'value', plan, dtype, [pieceElements])
    return { nodes: graph.nodes, feeds: async () => ({}) }
  }
  const stream = { key: 'key', counter: 'counter' }
  const wide = { dtype: typeAttribute('uint64') }
  for (const name of Object.values(stream)) graph.add(name, 'Placeholder', [], wide)
  addPlan(graph, 'value', plan, dtype, [pieceElements], stream)
  return {
    nodes: graph.nodes,
    async feeds({ start }) {
      const { key, counter } = streamPlace(seeds, fill, dtype, start)
      return {
        'key:0': tensorOfElements('uint64', [1], [key]),
        'counter:0': tensorOfElements('uint64', [2], counter),
      }
    },
  }
}

/** An identity matrix, or a part of one. */
function identityContent(
  { gain, part }: Extract<ComputedPlan, { readonly fill: 'identity' }>,
  dtype: NumericDType,
  [rows, columns]: Shape,
): TensorContent {
  const element = tensorOfElements(dtype, [], [isBigInt(dtype) ? BigInt(gain) : gain])
  const [row, column] = part?.offset ?? [0, 0]
  return diagonalContent([rows, columns], element, row - column)
}

/**
 * The value of an expression as a stream; undefined where it is small, or where an element of it comes from
 * more than the elements at its own place of values that are in the store.
 */
export function expressionContent(
  context: Context,
  expression: Expression,
  dtype: NumericDType,
  shape: Shape,
  stored: ReadonlyMap<string, VariableRecord>,
): TensorContent | undefined {
  if (!isBig(dtype, shape) || !isElementwise(expression, shape, stored)) return undefined
  const graph = createGraphNodes()
  const nodes = new Map<string, string>()
  const nodeOf = (variable: string): string => {
    const known = nodes.get(variable)
    if (known !== undefined) return known
    const node = `from${nodes.size}`
    nodes.set(variable, node)
    return graph.add(node, 'Placeholder', [], { dtype: typeAttribute(dtype) })
  }
  addExpression(graph, 'value', expression, dtype, nodeOf)
  return piecedContent(context, dtype, shape, {
    nodes: graph.nodes,
    async feeds({ start, count }) {
      const feeds: Record<string, Tensor> = {}
      for (const [variable, node] of nodes) {
        const record = stored.get(variable)
        if (record?.value === undefined) throw new Error(`${variable} is not in the store`)
        const bytes = await stretchOf(context, record.value, { start, count })
        feeds[`${node}:0`] = numericTensor(dtype, [count], bytes)
      }
      return feeds
    },
  })
}

function isElementwise(
  { variable, steps }: Expression,
  shape: Shape,
  stored: ReadonlyMap<string, VariableRecord>,
): boolean {
  const value = stored.get(variable)?.value
  if (value === undefined || !sameShape(value.shape, shape)) return false
  return steps.every(({ operand }) =>
    operand.form === 'tensor'
      ? elementCountOf(operand.tensor.shape) === 1
      : isElementwise(operand.expression, shape, stored),
  )
}

/** Bytes of a stretch of a value's elements. */
async function stretchOf(
  { store }: Context,
  { valueId, shape, byteLength }: NonNullable<VariableRecord['value']>,
  { start, count }: { readonly start: number; readonly count: number },
): Promise<Uint8Array> {
  const elementBytes = byteLength / elementCountOf(shape)
  const bytes = new Uint8Array(count * elementBytes)
  let filled = 0
  const range = { offset: start * elementBytes, length: bytes.length }
  for await (const piece of store.values.read(valueId, range)) {
    bytes.set(piece, filled)
    filled += piece.length
  }
  return bytes
}
