// What a graph is, learned once when it is loaded: its ops, inputs, outputs and variables; and whether
// every edge names an output that its producer has.
import { type Body, type Graph, type GraphNode, shapeOfProto } from '../../graph/index.ts'
import { type DType, type PartialShape, Refusal } from '../../tensor/index.ts'
import type { GraphSummary } from '../engine.ts'
import { Attributes, definitionOf, typesOf } from '../ops/index.ts'

/** Summary of a graph. Refuses (INVALID_ARGUMENT, `graph/port`) edges to outputs that do not exist. */
export function summaryOf(graph: Graph): GraphSummary {
  const ops = new Map<string, number>()
  const unsupported = new Map<string, string>()
  const bodies: readonly (readonly [string, Body])[] = [
    ['', graph],
    ...[...graph.functions].map(([name, body]): readonly [string, Body] => [`${name}/`, body]),
  ]
  for (const [owner, body] of bodies) {
    for (const node of body.nodes) {
      if (node.op === '_Arg' && owner !== '') continue
      ops.set(node.op, (ops.get(node.op) ?? 0) + 1)
      if (definitionOf(node.op) !== undefined || graph.functions.has(node.op)) continue
      if (!unsupported.has(node.op)) unsupported.set(node.op, `${owner}${node.name}`)
    }
  }
  const outputsOf = outputTypes(graph)
  checkPorts(graph, outputsOf)
  const sorted = <Value>(map: ReadonlyMap<string, Value>): [string, Value][] =>
    [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return {
    nodeCount: graph.nodes.length,
    ops: Object.fromEntries(sorted(ops)),
    unsupported: sorted(unsupported).map(([op, node]) => ({ op, node })),
    inputs: inputsOf(graph),
    outputs: finalOutputs(graph, outputsOf),
    variables: variablesOf(bodies.map(([, body]) => body)),
  }
}

/** Types of a node's outputs; undefined where the op or its attributes do not tell. */
type OutputTypes = (node: GraphNode) => readonly (DType | undefined)[] | undefined

function outputTypes(graph: Graph): OutputTypes {
  return (node) => {
    const called = graph.functions.get(node.op)
    if (called !== undefined) return called.outputs.map(() => undefined)
    const definition = definitionOf(node.op)
    if (definition === undefined) return undefined
    const attributes = new Attributes(node, definition.attributes)
    try {
      return definition.outputs.flatMap((output) => typesOf(output, attributes))
    } catch (error) {
      if (error instanceof Refusal) return undefined
      throw error
    }
  }
}

function checkPorts(graph: Graph, outputsOf: OutputTypes): void {
  const counts = new Map<number, number | undefined>()
  for (const node of graph.nodes) {
    for (const edge of node.inputs) {
      const producer = graph.nodes[edge.node]
      if (!counts.has(edge.node)) counts.set(edge.node, outputsOf(producer)?.length)
      const count = counts.get(edge.node)
      if (count === undefined || edge.index < count) continue
      throw new Refusal(
        'INVALID_ARGUMENT',
        'graph/port',
        `Node "${node.name}" takes output ${edge.index} of node "${producer.name}" (op ${producer.op}), which has ${count}.`,
        { names: { node: node.name, producer: producer.name } },
      )
    }
  }
}

function inputsOf(graph: Graph): GraphSummary['inputs'] {
  return graph.nodes.flatMap((node) => {
    if (!['Placeholder', 'PlaceholderV2', 'PlaceholderWithDefault'].includes(node.op)) return []
    const attributes = new Attributes(node, definitionOf(node.op)?.attributes ?? new Map())
    return [
      {
        name: `${node.name}:0`,
        dtype: attributes.type('dtype'),
        shape: placeholderShape(graph, node),
      },
    ]
  })
}

/** The shape that a placeholder declares; graphs before version 24 wrote "unknown" as a scalar. */
export function placeholderShape(graph: Graph, node: GraphNode): PartialShape {
  const shape = shapeOfProto(node.attributes.get('shape')?.shape)
  return graph.producer < 24 && shape?.length === 0 ? undefined : shape
}

function finalOutputs(graph: Graph, outputsOf: OutputTypes): GraphSummary['outputs'] {
  const consumed = new Set<string>()
  for (const node of graph.nodes) {
    for (const edge of node.inputs) consumed.add(`${edge.node}:${edge.index}`)
  }
  return graph.nodes.flatMap((node, place) =>
    (outputsOf(node) ?? []).flatMap((dtype, index) =>
      consumed.has(`${place}:${index}`)
        ? []
        : [{ name: `${node.name}:${index}`, dtype, shape: recordedShape(node, index) }],
    ),
  )
}

/** The shape that TensorFlow noted on the node when the graph was exported. */
function recordedShape(node: GraphNode, index: number): PartialShape {
  return shapeOfProto(node.attributes.get('_output_shapes')?.list?.shape[index])
}

function variablesOf(bodies: readonly Body[]): GraphSummary['variables'] {
  return bodies.flatMap((body) =>
    body.nodes.flatMap((node) => {
      const definition = definitionOf(node.op)
      if (definition?.declares === undefined) return []
      const attributes = new Attributes(node, definition.attributes)
      const { container, name, dtype, shape, reference } = definition.declares({ node, attributes })
      return [{ container, name, node: node.name, dtype, shape, reference }]
    }),
  )
}
