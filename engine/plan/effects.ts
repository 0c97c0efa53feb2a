// What a run would read and write, from the graph alone: variables followed along references, handles
// and function calls. It may name more than a run will touch, never less.
import { type Body, type Graph, runningOrder, type TensorName } from '../../graph/index.ts'
import {
  Attributes,
  type Bindings,
  countOf,
  definitionOf,
  type OpDefinition,
} from '../ops/index.ts'
import { functionOrder, unknownOp } from './library.ts'
import { variableKey } from './tracing.ts'

/** A variable by its container and name. */
interface Named {
  readonly container: string
  readonly name: string
}

export interface Effects {
  readonly reads: readonly Named[]
  readonly writes: readonly Named[]
  readonly stateful: boolean
}

type Held = ReadonlyMap<string, Named>

const nothing: Held = new Map()

/** Functions may be nested this deep. */
const maxDepth = 64

/**
 * Effects of running `targets` and what `fetches` need. Refuses ops without a definition among the
 * nodes that would run.
 */
export function effectsOf(
  graph: Graph,
  fetches: readonly TensorName[],
  targets: readonly number[],
  feeds: ReadonlySet<string>,
  container: string,
): Effects {
  const walk = new EffectsWalk(graph, container)
  const isFed = (node: number, index: number): boolean =>
    feeds.size > 0 && feeds.has(`${graph.nodes[node].name}:${index}`)
  const wanted = fetches
    .map(({ node, index }) => ({ place: graph.byName.get(node) as number, index }))
    .filter(({ place, index }) => !isFed(place, index))
  const order = runningOrder(graph, [...wanted.map(({ place }) => place), ...targets], isFed)
  const outputs = walk.body(graph, order, new Map(), '', new Map(), isFed, 0)
  for (const { place } of wanted) walk.read(outputs.get(place) ?? nothing)
  return walk.effects()
}

class EffectsWalk {
  readonly #graph: Graph
  readonly #container: string
  readonly #reads = new Map<string, Named>()
  readonly #writes = new Map<string, Named>()
  #stateful = false

  constructor(graph: Graph, container: string) {
    this.#graph = graph
    this.#container = container
  }

  effects(): Effects {
    return {
      reads: [...this.#reads.values()],
      writes: [...this.#writes.values()],
      stateful: this.#stateful,
    }
  }

  read(held: Held): void {
    for (const [key, variable] of held) this.#reads.set(key, variable)
  }

  /** Walks a body; what each node's outputs may hold. */
  body(
    body: Body,
    order: readonly number[],
    given: ReadonlyMap<number, Held>,
    path: string,
    bindings: Bindings,
    isFed: (node: number, index: number) => boolean,
    depth: number,
  ): ReadonlyMap<number, Held> {
    const held = new Map(given)
    for (const place of order) {
      const node = body.nodes[place]
      if (given.has(place) || node.op === '_Arg') continue
      const inputs = node.inputs.map((edge) =>
        isFed(edge.node, edge.index) ? nothing : (held.get(edge.node) ?? nothing),
      )
      const definition = definitionOf(node.op)
      const attributes = new Attributes(node, definition?.attributes ?? new Map(), bindings)
      const called =
        definition === undefined
          ? this.#graph.functions.has(node.op)
            ? { functions: [{ name: node.op, bindings: node.attributes }], inputs }
            : undefined
          : callsOf(definition, attributes, inputs)
      if (definition === undefined && called === undefined) throw unknownOp(node, path)
      let result = nothing
      if (definition !== undefined)
        result = this.#node(definition, attributes, inputs, node.name, node)
      if (called !== undefined && depth < maxDepth) {
        for (const { name, bindings: own } of called.functions) {
          const callee = this.#graph.functions.get(name)
          if (callee === undefined) continue
          const args = new Map(called.inputs.map((input, place): [number, Held] => [place, input]))
          const inner = `${path}${node.name}/`
          const never = (): boolean => false
          const results = this.body(
            callee,
            functionOrder(callee),
            args,
            inner,
            own,
            never,
            depth + 1,
          )
          for (const { source } of callee.outputs) {
            result = union(result, results.get(source.node) ?? nothing)
          }
        }
      }
      if (result.size > 0) held.set(place, result)
    }
    return held
  }

  #node(
    definition: OpDefinition,
    attributes: Attributes,
    inputs: readonly Held[],
    name: string,
    node: Parameters<NonNullable<OpDefinition['declares']>>[0]['node'],
  ): Held {
    if (definition.stateful) this.#stateful = true
    if (definition.declares !== undefined) {
      const spec = definition.declares({ node, attributes })
      const container = spec.container === '' ? this.#container : spec.container
      const variable = { container, name: spec.name === '' ? name : spec.name }
      return new Map([[variableKey(container, variable.name), variable]])
    }
    let all = nothing
    let at = 0
    for (const argument of definition.inputs) {
      const count = countOf(argument, attributes)
      for (const held of inputs.slice(at, at + count)) {
        if (held.size === 0) continue
        all = union(all, held)
        if (definition.reads) this.read(held)
        if (definition.writes.includes(argument.name)) {
          for (const [key, variable] of held) this.#writes.set(key, variable)
        }
      }
      at += count
    }
    return definition.outputs.some(mayHold(attributes)) ? all : nothing
  }
}

function mayHold(attributes: Attributes): (output: OpDefinition['outputs'][number]) => boolean {
  return ({ type, reference, typeList }) => {
    if (reference) return true
    if ('dtype' in type) return type.dtype === 'resource'
    if (typeList) return attributes.types(type.attribute).includes('resource')
    return attributes.type(type.attribute) === 'resource'
  }
}

function callsOf(
  definition: OpDefinition,
  attributes: Attributes,
  inputs: readonly Held[],
):
  | {
      readonly functions: readonly { readonly name: string; readonly bindings: Bindings }[]
      readonly inputs: readonly Held[]
    }
  | undefined {
  const { calls } = definition
  if (calls === undefined) return undefined
  const functions = calls.functions.flatMap((name) => {
    const raw = attributes.raw(name)
    return raw?.list === undefined ? [attributes.function(name)] : attributes.functions(name)
  })
  let at = 0
  for (const argument of definition.inputs) {
    const count = countOf(argument, attributes)
    if (argument.name === calls.argument) return { functions, inputs: inputs.slice(at, at + count) }
    at += count
  }
  return { functions, inputs: [] }
}

function union(a: Held, b: Held): Held {
  if (a.size === 0) return b
  return b.size === 0 ? a : new Map([...a, ...b])
}
