// The body of a function under construction: a builder whose first nodes are the arguments. It reads
// FunctionDefs and writes them; what is called is not its matter.
import type { Draft } from '../../proto/index.ts'
import { type DType, dtypeOfNumber, numberOfDType, Refusal } from '../../tensor/index.ts'
import type { AttributeDraft } from './attributes.ts'
import type { BuiltNode, OpCatalogue, Output } from './built-node.ts'
import { GraphBuilder } from './graph-builder.ts'

/** A function's nodes, arguments and results. */
export interface FunctionBody {
  readonly builder: GraphBuilder
  readonly arguments: readonly Output[]
  readonly results: readonly Output[]
  /** Nodes that run whenever the function does. */
  readonly effects: readonly BuiltNode[]
}

type Library = Map<string, Draft<'FunctionDef'>>
type Attributes = ReadonlyMap<string, AttributeDraft>

/** An empty body that shares a library. */
export function emptyBody(catalogue: OpCatalogue, library: Library): GraphBuilder {
  return new GraphBuilder(catalogue, library)
}

/**
 * The body of a function of the library, its type attributes filled in by those of the call. Refuses
 * (INVALID_ARGUMENT, `graph/function`) a function that is not there.
 */
export function loadFunction(
  name: string,
  bindings: Attributes,
  catalogue: OpCatalogue,
  library: Library,
): FunctionBody {
  const definition = library.get(name)
  if (definition === undefined) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'graph/function',
      `Function "${name}" is not defined in the graph's library.`,
      { names: { function: name } },
    )
  }
  const builder = emptyBody(catalogue, library)
  const { input_arg: inputs = [], output_arg: outputs = [] } = definition.signature ?? {}
  const given = inputs.map((argument) =>
    addArgument(builder, argument.name ?? '', typeOf(argument, bindings)),
  )
  builder.load((definition.node_def ?? []).map((node) => filledIn(node, bindings)))
  const results = outputs.map((output) => {
    const text = definition.ret?.get(output.name ?? '') ?? ''
    return builder.outputNamed(text)
  })
  const effects = [...(definition.control_ret?.values() ?? [])].flatMap((effect) => {
    const node = builder.node(effect)
    return node === undefined ? [] : [node]
  })
  return { builder, arguments: given, results, effects }
}

/** Adds an argument; only before anything else is added does its place count. */
export function addArgument(builder: GraphBuilder, name: string, dtype: DType): Output {
  return builder.insertArgument(name, dtype).outputs[0]
}

function typeOf(argument: Draft<'ArgDef'>, bindings: Attributes): DType {
  const number = argument.type_attr
    ? (bindings.get(argument.type_attr)?.type ?? 0)
    : (argument.type ?? 0)
  const dtype = dtypeOfNumber(number)
  if (dtype !== undefined) return dtype
  throw new Refusal(
    'INVALID_ARGUMENT',
    'graph/function',
    `The type of the function's argument "${argument.name}" is not known.`,
  )
}

function filledIn(node: Draft<'NodeDef'>, bindings: Attributes): Draft<'NodeDef'> {
  const attributes = [...(node.attr ?? [])].map(([name, value]): [string, AttributeDraft] => {
    return [name, bound(value, bindings)]
  })
  return { ...node, attr: new Map(attributes) }
}

/** The attribute with placeholders filled in, those of functions that it names too. */
function bound(value: AttributeDraft, bindings: Attributes): AttributeDraft {
  if (value.placeholder !== undefined) return bindings.get(value.placeholder) ?? value
  if (value.func?.attr === undefined) return value
  const attr = new Map([...value.func.attr].map(([name, one]) => [name, bound(one, bindings)]))
  return { func: { ...value.func, attr } }
}

/** The function that the body is. Refuses (UNIMPLEMENTED, `op/unknown`) uses of nodes of unknown ops. */
export function functionDef(name: string, body: FunctionBody): Draft<'FunctionDef'> {
  const { builder, results } = body
  const given = new Set(body.arguments.map((argument) => argument.node))
  const resultName = (place: number): string => `output_${place}`
  return {
    signature: {
      name,
      input_arg: body.arguments.map(({ node, dtype }) => ({
        name: node.name,
        type: numberOfDType(dtype),
      })),
      output_arg: results.map(({ dtype }, place) => ({
        name: resultName(place),
        type: numberOfDType(dtype),
      })),
      control_output: body.effects.map((node) => node.name),
    },
    node_def: builder.nodeDefs(nameWithin, given),
    ret: new Map(results.map((result, place) => [resultName(place), nameWithin(result)])),
    control_ret: new Map(body.effects.map((node) => [node.name, node.name])),
  }
}

/** An output as function bodies name it: an argument by its name, others by node, port and place. */
function nameWithin({ node, index }: Output): string {
  if (node.op === '_Arg') return node.name
  let left = index
  for (const { name, dtypes } of node.ports) {
    if (left < dtypes.length) return `${node.name}:${name}:${left}`
    left -= dtypes.length
  }
  throw new Refusal(
    'UNIMPLEMENTED',
    'op/unknown',
    `Op ${node.op} of node "${node.name}" is not known here, or its attributes do not tell its outputs; the function that holds it cannot be written anew.`,
    { names: { op: node.op, node: node.name } },
  )
}

/** Adds a function to the library under a name that it has not, like `name`; that name. */
export function addFunction(library: Library, name: string, body: FunctionBody): string {
  let unique = name
  for (let suffix = 1; library.has(unique); suffix++) unique = `${name}_${suffix}`
  library.set(unique, functionDef(unique, body))
  return unique
}
