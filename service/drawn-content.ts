// Big initial values as streams: draws, piece by piece the numbers of one draw, since streams of random
// numbers can be taken up anywhere; matrices with ones on a diagonal.
import { streamPlace } from '../engine/index.ts'
import {
  isBigInt,
  type NumericDType,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import { addPlan, createGraphNodes, type GraphNodes, typeAttribute } from './initial-graph.ts'
import type { ComputedPlan } from './initializer.ts'
import { isBig, type PieceGraph, piecedContent, pieceElements } from './pieced-content.ts'
import { diagonalContent, type TensorContent } from './tensor-content.ts'

/** A plan of which any stretch can be made by itself. */
export type DrawPlan = Extract<
  ComputedPlan,
  { readonly fill: 'uniform' | 'normal' | 'truncated_normal' }
>

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
  const graph = createGraphNodes()
  if (isSeeded(plan)) {
    const feeds = addSeededDraw(graph, 'value', plan, dtype)
    return { nodes: graph.nodes, feeds: async ({ start }) => feeds(start) }
  }
  // Without seeds the engine's own stream goes on from piece to piece.
  addPlan(graph, 'value', plan, dtype, [pieceElements])
  return { nodes: graph.nodes, feeds: async () => ({}) }
}

/** Whether the plan is a draw that gives the same numbers each time. */
export function isSeededDraw(plan: ComputedPlan): plan is DrawPlan {
  return plan.fill !== 'identity' && plan.fill !== 'orthogonal' && isSeeded(plan)
}

function isSeeded({ seeds }: DrawPlan): boolean {
  return seeds[0] !== 0 || seeds[1] !== 0
}

/** Adds a draw of one piece; answers with what to feed where the piece begins at element `start`. */
export function addSeededDraw(
  graph: GraphNodes,
  name: string,
  plan: DrawPlan,
  dtype: NumericDType,
): (start: number) => Readonly<Record<string, Tensor>> {
  const stream = { key: `${name}/key`, counter: `${name}/counter` }
  const wide = { dtype: typeAttribute('uint64') }
  for (const node of Object.values(stream)) graph.add(node, 'Placeholder', [], wide)
  addPlan(graph, name, plan, dtype, [pieceElements], stream)
  return (start) => {
    const { key, counter } = streamPlace(plan.seeds, plan.fill, dtype, start)
    return {
      [`${stream.key}:0`]: tensorOfElements('uint64', [1], [key]),
      [`${stream.counter}:0`]: tensorOfElements('uint64', [2], counter),
    }
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
