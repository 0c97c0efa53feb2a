// What the library of functions and the definitions of ops say about a node: its outputs, the order of a
// function's nodes, and the words of refusals.
import { type Graph, type GraphFunction, type GraphNode, runningOrder } from '../../graph/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { Attributes, type Bindings, countOf, definitionOf, isRefusedOp } from '../ops/index.ts'

/** Everything of a function that its results and control results need, and its nodes with effects. */
export function functionOrder(callee: GraphFunction): number[] {
  const wanted = new Set([
    ...callee.inputs.keys(),
    ...callee.outputs.map((output) => output.source.node),
    ...callee.controlOutputs,
  ])
  for (const [place, node] of callee.nodes.entries()) {
    if (definitionOf(node.op)?.always === true) wanted.add(place)
  }
  return runningOrder(callee, [...wanted])
}

/** The refusal of an op that no definition covers. */
export function unknownOp(node: GraphNode, path: string): Refusal {
  const names = { op: node.op, node: `${path}${node.name}` }
  if (isRefusedOp(node.op)) {
    return new Refusal(
      'PERMISSION_DENIED',
      'op/not-allowed',
      `Op ${node.op} of node "${names.node}" touches the host and is never run here.`,
      { names },
    )
  }
  return new Refusal(
    'UNIMPLEMENTED',
    'op/unknown',
    `Op ${node.op} of node "${names.node}" is not implemented.`,
    { names },
  )
}

/** First output of a named output list of a node; refuses a name that it does not have. */
export function portOffset(
  graph: Graph,
  node: GraphNode,
  port: string,
  bindings: Bindings,
  path: string,
): number {
  const called = graph.functions.get(node.op)
  if (called !== undefined) {
    const place = called.outputs.findIndex((output) => output.name === port)
    if (place >= 0) return place
  }
  const definition = definitionOf(node.op)
  let offset = 0
  if (definition !== undefined) {
    const attributes = new Attributes(node, definition.attributes, bindings)
    for (const output of definition.outputs) {
      if (output.name === port) return offset
      offset += countOf(output, attributes)
    }
  }
  throw new Refusal(
    'INVALID_ARGUMENT',
    'graph/port',
    `Node "${path}${node.name}" (op ${node.op}) has no output named "${port}".`,
    { names: { node: `${path}${node.name}`, output: port } },
  )
}

/** Outputs of a node; 0 where its op is not known. */
export function outputCount(graph: Graph, node: GraphNode, bindings: Bindings): number {
  const called = graph.functions.get(node.op)
  if (called !== undefined) return called.outputs.length
  const definition = definitionOf(node.op)
  if (definition === undefined) return 0
  const attributes = new Attributes(node, definition.attributes, bindings)
  return definition.outputs.reduce((sum, output) => sum + countOf(output, attributes), 0)
}
