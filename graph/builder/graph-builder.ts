// A graph (or the body of a function) under construction: nodes are added below name scopes, and what
// is there can be changed. It knows structure and names; which ops there are it is told.
import type { Draft, Message } from '../../proto/index.ts'
import { type DType, dtypeOfNumber, Refusal } from '../../tensor/index.ts'
import { parseInputName, shorten } from '../name.ts'
import { NameScopes } from '../scopes/name-scopes.ts'
import type { AttributeDraft, AttributeDrafts } from './attributes.ts'
import type { BuiltNode, OpCatalogue, Output, Port } from './built-node.ts'

/** A node to add. */
export interface NodeSpec {
  readonly op: string
  /** Below the current name scope, made unique; default: the op. */
  readonly name?: string | undefined
  readonly inputs?: readonly Output[] | undefined
  readonly controls?: readonly BuiltNode[] | undefined
  readonly attributes?: AttributeDrafts | undefined
  readonly device?: string | undefined
}

/** Where nodes are added: a loop brings values in, and makes nodes wait for its iterations. */
export interface BuildContext {
  /** The value as nodes of this context see it. */
  take(input: Output): Output
  /** The context in which such a node is added instead of this one. */
  contextFor(op: string, inputs: readonly Output[]): BuildContext | undefined
  /** Told of every node that was added here. */
  added(node: BuiltNode): void
}

type Functions = Map<string, Draft<'FunctionDef'>>

/** Nodes under construction, and a library of functions. */
export class GraphBuilder {
  readonly nodes: BuiltNode[] = []
  readonly functions: Functions
  readonly catalogue: OpCatalogue
  readonly #byName = new Map<string, BuiltNode>()
  readonly #names = new NameScopes()
  readonly #seen = new Set<string>()
  #controls: readonly BuiltNode[] = []
  #context: BuildContext | undefined

  constructor(catalogue: OpCatalogue, functions: Functions = new Map()) {
    this.catalogue = catalogue
    this.functions = functions
  }

  /** The nodes of a graph that {@link graphOf} has accepted, and its library. */
  static ofGraph(def: Message<'GraphDef'>, catalogue: OpCatalogue): GraphBuilder {
    const functions = new Map(
      (def.library?.function ?? []).map((f) => [f.signature?.name ?? '', f]),
    )
    const builder = new GraphBuilder(catalogue, functions)
    builder.load(def.node)
    return builder
  }

  /** Takes in nodes as they are; they may refer to each other and to nodes that are there. */
  load(defs: readonly Draft<'NodeDef'>[]): void {
    const loaded = defs.map((def) => {
      const name = def.name ?? ''
      this.#markUsed(name)
      const attributes = new Map(def.attr ?? [])
      const ports = this.#portsOf(def.op ?? '', attributes)
      return this.#insert(name, def.op ?? '', attributes, ports, def.device ?? '')
    })
    for (const [place, node] of loaded.entries()) {
      for (const text of defs[place].input ?? []) {
        if (text.startsWith('^')) node.controls.add(this.#producer(text.slice(1)))
        else node.inputs.push(this.#inputOf(node, text))
      }
    }
  }

  #producer(name: string): BuiltNode {
    const node = this.#byName.get(name)
    if (node === undefined) throw noOutput(name)
    return node
  }

  /**
   * The output that an input names: `w`, `w:1`, and `w:port:1` in function bodies. Refuses
   * (INVALID_ARGUMENT, `graph/port`) one that there is not. `wanted`: its type, should nobody else know it.
   */
  outputNamed(text: string, wanted?: DType): Output {
    const input = parseInputName(text)
    if (input === undefined || input.control) throw noOutput(text)
    const producer = this.#producer(input.node)
    return outputAt(producer, portOffset(producer, input.port) + input.index, wanted)
  }

  /** An input of a node; where its producer does not tell the type, the node does. */
  #inputOf(node: BuiltNode, text: string): Output {
    const name = parseInputName(text)?.node ?? ''
    if ((this.#byName.get(name)?.ports.length ?? 1) > 0) return this.outputNamed(text)
    const wanted = this.catalogue(node.op, node.attributes)?.inputs[node.inputs.length]
    return this.outputNamed(text, wanted)
  }

  /** Adds a function's argument, under that very name. */
  insertArgument(name: string, dtype: DType): BuiltNode {
    this.#markUsed(name)
    return this.#insert(name, '_Arg', new Map(), [{ name: '', dtypes: [dtype] }], '')
  }

  #portsOf(op: string, attributes: ReadonlyMap<string, AttributeDraft>): readonly Port[] {
    const called = this.functions.get(op)
    if (called === undefined) return this.catalogue(op, attributes)?.outputs ?? []
    return (called.signature?.output_arg ?? []).map((arg) => ({
      name: arg.name ?? '',
      dtypes: [dtypeOfNumber(arg.type ?? 0) ?? attributeType(attributes, arg.type_attr ?? '')],
    }))
  }

  #insert(
    name: string,
    op: string,
    attributes: Map<string, AttributeDraft>,
    ports: readonly Port[],
    device: string,
  ): BuiltNode {
    const node: BuiltNode = {
      name,
      op,
      device,
      attributes,
      inputs: [],
      controls: new Set(),
      ports,
      outputs: [],
    }
    for (const dtype of ports.flatMap((port) => port.dtypes)) {
      node.outputs.push({ node, index: node.outputs.length, dtype })
    }
    this.nodes.push(node)
    this.#byName.set(name, node)
    return node
  }

  /** Marks the name of a node, and the scopes that it is in, as used, each once. */
  #markUsed(name: string): void {
    for (let end = name.length; end > 0; end = name.lastIndexOf('/', end - 1)) {
      const part = name.slice(0, end)
      if (this.#seen.has(part.toLowerCase())) continue
      this.#seen.add(part.toLowerCase())
      this.#names.within('', () => this.#names.uniqueName(part))
    }
  }

  /** The node of that name, or undefined. */
  node(name: string): BuiltNode | undefined {
    return this.#byName.get(name)
  }

  /** Adds a node of an op that the catalogue knows. */
  add(spec: NodeSpec): BuiltNode {
    const given = spec.inputs ?? []
    const elsewhere = this.#context?.contextFor(spec.op, given)
    if (elsewhere !== undefined) return this.inContext(elsewhere, () => this.add(spec))
    const context = this.#context
    const inputs = context === undefined ? given : given.map((input) => context.take(input))
    const attributes = new Map(Object.entries(spec.attributes ?? {}))
    const ports = this.#portsOf(spec.op, attributes)
    const name = this.#names.operation(spec.name ?? spec.op)
    const node = this.#insert(name, spec.op, attributes, ports, spec.device ?? '')
    node.inputs.push(...inputs)
    for (const control of [...this.#controls, ...(spec.controls ?? [])]) node.controls.add(control)
    context?.added(node)
    return node
  }

  /** Makes a node another one: its op, attributes and so its outputs; the first outputs stay what they were. */
  replace(node: BuiltNode, op: string, attributes: AttributeDrafts): void {
    node.op = op
    for (const [name, value] of Object.entries(attributes)) node.attributes.set(name, value)
    node.ports = this.#portsOf(op, node.attributes)
    const dtypes = node.ports.flatMap((port) => port.dtypes)
    for (let index = node.outputs.length; index < dtypes.length; index++) {
      node.outputs.push({ node, index, dtype: dtypes[index] })
    }
  }

  /** Runs `body` in a name scope, made unique below the current one; one that ends with a slash is taken whole. */
  within<T>(scope: string | null, body: (scope: string) => T): T {
    return this.#names.within(scope, body)
  }

  /** A name that no node has, below the current scope; it counts as taken. */
  uniqueName(name: string): string {
    return this.#names.uniqueName(name)
  }

  /** Adds nodes that wait for `controls`, beside what they wait for anyway. */
  controlled<T>(controls: readonly BuiltNode[], body: () => T): T {
    const former = this.#controls
    this.#controls = [...former, ...controls]
    try {
      return body()
    } finally {
      this.#controls = former
    }
  }

  /** Adds nodes in a context (undefined: outside of all), waiting for nothing that the caller waits for. */
  inContext<T>(context: BuildContext | undefined, body: () => T): T {
    const former = { context: this.#context, controls: this.#controls }
    this.#context = context
    this.#controls = []
    try {
      return body()
    } finally {
      this.#context = former.context
      this.#controls = former.controls
    }
  }

  get context(): BuildContext | undefined {
    return this.#context
  }

  /** The nodes as the wire has them, their inputs named by `nameOf`. */
  nodeDefs(
    nameOf: (output: Output) => string,
    without: ReadonlySet<BuiltNode> = new Set(),
  ): Draft<'NodeDef'>[] {
    const written = this.nodes.filter((node) => !without.has(node))
    return written.map((node) => ({
      name: node.name,
      op: node.op,
      device: node.device,
      input: [
        ...node.inputs.map(nameOf),
        ...[...node.controls].map((control) => `^${control.name}`),
      ],
      attr: node.attributes,
    }))
  }

  /** The graph; everything of `from` that is not nodes or functions is kept. */
  graphDef(from: Message<'GraphDef'>): Draft<'GraphDef'> {
    const functions = [...this.functions.values()]
    return {
      ...from,
      node: this.nodeDefs(({ node, index }) => (index === 0 ? node.name : `${node.name}:${index}`)),
      ...(functions.length === 0 ? {} : { library: { ...from.library, function: functions } }),
    }
  }
}

/** Outputs that a node of an op that nobody knows may have. */
const mostUnknown = 1000

function noOutput(name: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'graph/port', `There is no output "${shorten(name)}".`, {
    names: { tensor: shorten(name) },
  })
}

/**
 * An output by its place; of an op that nobody knows there are as many as are asked for, of the type that
 * whoever takes them wants.
 */
export function outputAt(node: BuiltNode, index: number, wanted?: DType): Output {
  for (let next = node.outputs.length; next <= index; next++) {
    if (node.ports.length > 0 || index > mostUnknown) throw noOutput(`${node.name}:${index}`)
    const dtype = wanted ?? attributeType(node.attributes, 'T', 'dtype')
    node.outputs.push({ node, index: next, dtype })
  }
  return node.outputs[index]
}

/** Place of the first output of a port; 0 where the port is not named. */
function portOffset(node: BuiltNode, port: string): number {
  if (port === '') return 0
  let offset = 0
  for (const { name, dtypes } of node.ports) {
    if (name === port) return offset
    offset += dtypes.length
  }
  if (node.ports.length === 0) return 0
  throw noOutput(`${node.name}:${port}`)
}

function attributeType(
  attributes: ReadonlyMap<string, AttributeDraft>,
  ...names: readonly string[]
): DType {
  for (const name of names) {
    const dtype = dtypeOfNumber(attributes.get(name)?.type ?? 0)
    if (dtype !== undefined) return dtype
  }
  return 'variant'
}
