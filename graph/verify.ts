// A GraphDef message to a verified Graph: names, references between nodes, cycles, functions.
// Unknown ops are no fault here; attributes and types are checked where ops are known.
import type { Message } from '../proto/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Body, Edge, FunctionValue, Graph, GraphFunction, GraphNode } from './graph.ts'
import { isNodeName, parseInputName, shorten } from './name.ts'
import { findCycle } from './order.ts'

/**
 * The graph of a GraphDef. Refuses (INVALID_ARGUMENT, `graph/..`) empty, malformed and doubled names,
 * inputs that name no node, data inputs after control inputs, and cycles that are no V1 loop.
 */
export function graphOf(def: Message<'GraphDef'>): Graph {
  const body = bodyOf(def.node, [], '')
  const functions = new Map<string, GraphFunction>()
  for (const definition of def.library?.function ?? []) {
    const made = functionOf(definition)
    if (functions.has(made.name)) {
      throw refuse('duplicate-function', `Two functions are called "${shorten(made.name)}".`, {
        function: made.name,
      })
    }
    functions.set(made.name, made)
  }
  return { ...body, functions, producer: def.versions?.producer ?? 0 }
}

function bodyOf(
  defs: readonly Message<'NodeDef'>[],
  args: readonly GraphNode[],
  owner: string,
): Body {
  const byName = new Map<string, number>()
  for (const name of [...args, ...defs].map((node) => node.name)) {
    if (!isNodeName(name)) {
      throw refuse('node-name', `"${shorten(name)}"${owner} is not a name that a node may have.`, {
        node: shorten(name),
      })
    }
    if (byName.has(name)) {
      throw refuse('duplicate-node', `Two nodes${owner} are called "${shorten(name)}".`, {
        node: shorten(name),
      })
    }
    byName.set(name, byName.size)
  }
  const nodes = [...args, ...defs.map((def) => nodeOf(def, byName, owner))]
  const cycle = findCycle(nodes)
  if (cycle !== undefined) {
    const names = cycle.slice(0, 20).map((place) => nodes[place].name)
    const more = cycle.length > names.length ? `, .. (${cycle.length} nodes)` : ''
    throw refuse('cycle', `Nodes${owner} depend on themselves: ${names.join(', ')}${more}.`, {
      nodes: names,
    })
  }
  return { nodes, byName }
}

function nodeOf(
  def: Message<'NodeDef'>,
  byName: ReadonlyMap<string, number>,
  owner: string,
): GraphNode {
  const inputs: Edge[] = []
  const controls = new Set<number>()
  for (const text of def.input) {
    const input = parseInputName(text)
    const problem = (words: string): Refusal =>
      refuse('input', `Input "${shorten(text)}" of node "${shorten(def.name)}"${owner} ${words}.`, {
        node: shorten(def.name),
        input: shorten(text),
      })
    if (input === undefined) throw problem('is not the name of a tensor or a control input')
    const node = byName.get(input.node)
    if (node === undefined) throw problem('names a node that does not exist')
    if (input.control) controls.add(node)
    else if (controls.size > 0) throw problem('is a data input after a control input')
    else inputs.push({ node, port: input.port, index: input.index })
  }
  return {
    name: def.name,
    op: def.op,
    device: def.device,
    attributes: def.attr,
    inputs,
    controls: [...controls].sort((a, b) => a - b),
  }
}

function functionOf(definition: Message<'FunctionDef'>): GraphFunction {
  const { signature } = definition
  const name = signature?.name ?? ''
  if (signature === undefined || name === '') {
    throw refuse('function', 'A function of the library has no name.', {})
  }
  const owner = ` of function "${shorten(name)}"`
  const functionValueOf = (arg: Message<'ArgDef'>): FunctionValue => {
    if (arg.number_attr !== '' || arg.type_list_attr !== '') {
      throw refuse(
        'function',
        `"${shorten(arg.name)}"${owner} is a list; lists are not supported.`,
        {
          function: name,
        },
      )
    }
    return { name: arg.name, type: arg.type, typeAttribute: arg.type_attr }
  }
  const inputs = signature.input_arg.map(functionValueOf)
  const args = inputs.map(
    (input): GraphNode => ({
      name: input.name,
      op: '_Arg',
      device: '',
      attributes: new Map(),
      inputs: [],
      controls: [],
    }),
  )
  const body = bodyOf(definition.node_def, args, owner)
  const outputs = signature.output_arg.map((arg) => {
    const text = definition.ret.get(arg.name)
    const source = text === undefined ? undefined : parseInputName(text)
    const node = source === undefined ? undefined : body.byName.get(source.node)
    if (source === undefined || node === undefined || source.control) {
      throw refuse('function', `Result "${shorten(arg.name)}"${owner} names no tensor of it.`, {
        function: name,
      })
    }
    return { ...functionValueOf(arg), source: { node, port: source.port, index: source.index } }
  })
  return { ...body, name, inputs, outputs, controlOutputs: controlOutputsOf(definition, body) }
}

/** Places of the nodes that `control_ret` names. */
function controlOutputsOf(definition: Message<'FunctionDef'>, body: Body): number[] {
  const places = new Set<number>()
  for (const name of definition.control_ret.values()) {
    const place = body.byName.get(name)
    if (place === undefined) {
      throw refuse('function', `Control result "${shorten(name)}" names no node of its function.`, {
        function: definition.signature?.name ?? '',
      })
    }
    places.add(place)
  }
  return [...places].sort((a, b) => a - b)
}

function refuse(
  word: string,
  message: string,
  names: Readonly<Record<string, string | readonly string[]>>,
): Refusal {
  return new Refusal('INVALID_ARGUMENT', `graph/${word}`, message, { names })
}
