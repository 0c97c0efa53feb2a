// What a request names, checked against its graph: tensors, operations, feeds; and the text under which
// its plan is kept.
import { type Graph, parseTensorName, type TensorName } from '../../graph/index.ts'
import { decodeGraphDef, WireError } from '../../proto/index.ts'
import { type DType, fitsShape, formatShape, Refusal, type Tensor } from '../../tensor/index.ts'
import type { RunRequest } from '../engine.ts'
import { Attributes, definitionOf, typesOf } from '../ops/index.ts'
import { type Donors, placeholderShape, variableKey } from '../plan/index.ts'

/** The GraphDef of those bytes; refuses (INVALID_ARGUMENT, `graph/wire`) what is none. */
export function decodeGraph(bytes: Uint8Array): ReturnType<typeof decodeGraphDef> {
  try {
    return decodeGraphDef(bytes)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new Refusal(
      'INVALID_ARGUMENT',
      'graph/wire',
      `The GraphDef cannot be read: ${error.message}`,
      {
        cause: error,
      },
    )
  }
}

/** The full name of a tensor: `w:0`. */
export function keyOf({ node, index }: TensorName): string {
  return `${node}:${index}`
}

/** The tensor of that name; refuses names that the graph does not have. */
export function tensorOf(graph: Graph, text: string, role: 'feed' | 'fetch'): TensorName {
  const name = parseTensorName(text)
  const place = graph.byName.get(name.node)
  const count = place === undefined ? 0 : outputCountOf(graph, place)
  if (place === undefined || name.index >= count) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'run/unknown-tensor',
      `The ${role} "${text}" is no tensor of the graph${place === undefined ? '' : `: its node has ${count} outputs`}.`,
      { names: { tensor: text } },
    )
  }
  return name
}

/** Outputs of a node; without limit where its op is not known. */
function outputCountOf(graph: Graph, place: number): number {
  const node = graph.nodes[place]
  const called = graph.functions.get(node.op)
  if (called !== undefined) return called.outputs.length
  const types = declaredTypes(graph, place)
  return types?.length ?? Number.POSITIVE_INFINITY
}

function declaredTypes(graph: Graph, place: number): readonly DType[] | undefined {
  const node = graph.nodes[place]
  const definition = definitionOf(node.op)
  if (definition === undefined) return undefined
  const attributes = new Attributes(node, definition.attributes)
  return definition.outputs.flatMap((output) => typesOf(output, attributes))
}

/** Places of the operations; refuses names that the graph does not have. */
export function targetsOf(graph: Graph, targets: readonly string[]): number[] {
  return targets.map((text) => {
    const name = text.startsWith('^') ? text.slice(1) : text
    const place = graph.byName.get(name)
    if (place !== undefined) return place
    throw new Refusal(
      'INVALID_ARGUMENT',
      'run/unknown-operation',
      `The target "${text}" is no operation of the graph.`,
      { names: { target: text } },
    )
  })
}

/** Feeds by full tensor name; refuses unknown names, wrong types and shapes that a placeholder excludes. */
export function feedsOf(
  graph: Graph,
  given: Readonly<Record<string, Tensor>>,
): ReadonlyMap<string, Tensor> {
  const feeds = new Map<string, Tensor>()
  for (const [text, tensor] of Object.entries(given)) {
    const name = tensorOf(graph, text, 'feed')
    const place = graph.byName.get(name.node) as number
    const node = graph.nodes[place]
    const dtype = declaredTypes(graph, place)?.[name.index]
    const names = { tensor: text, node: node.name }
    if (feeds.has(keyOf(name))) {
      throw new Refusal('INVALID_ARGUMENT', 'run/fed-twice', `"${keyOf(name)}" is fed twice.`, {
        names,
      })
    }
    if (dtype !== undefined && dtype !== tensor.dtype) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'run/feed-dtype',
        `The feed "${text}" is ${tensor.dtype}; ${dtype} is wanted.`,
        { names },
      )
    }
    if (node.op.startsWith('Placeholder')) {
      const shape = placeholderShape(graph, node)
      if (!fitsShape(tensor.shape, shape)) {
        throw new Refusal(
          'INVALID_ARGUMENT',
          'run/feed-shape',
          `The feed "${text}" has the shape ${formatShape(tensor.shape)}; ${formatShape(shape)} is wanted.`,
          { names },
        )
      }
    }
    feeds.set(keyOf(name), tensor)
  }
  return feeds
}

/** How much of a variable's copy a run may change, in one figure. */
function donationOf({ patched, whole }: Donors, key: string): number {
  return Number(patched.has(key)) + Number(whole.has(key))
}

/** Everything that a plan depends on, as one text. */
export function planKey(
  request: RunRequest,
  feeds: ReadonlyMap<string, Tensor>,
  donors: Donors,
): string {
  const types = [...feeds]
    .map(([name, { dtype, shape }]) => `${name} ${dtype} ${shape.join(',')}`)
    .sort()
  const variables = request.variables.map(({ container, name, binding }) => [
    container,
    name,
    binding === null ? null : `${binding.dtype} ${binding.shape.join(',')}`,
    donationOf(donors, variableKey(container, name)),
  ])
  return JSON.stringify([
    request.graph,
    request.container,
    request.device,
    request.fetches,
    request.targets,
    types,
    variables,
  ])
}
