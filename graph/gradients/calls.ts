// Gradients of calls of functions: calls, conditionals and loops. The function is differentiated in its
// own body; what its gradient needs of the forward nodes becomes further results of the forward function,
// and the gradient's nodes become a function of their own.
// Source: tensorflow/python/ops/{cond_v2,while_v2}.py.
import { type DType, Refusal, tensorOfElements } from '../../tensor/index.ts'
import {
  type AttributeDraft,
  addArgument,
  addFunction,
  attribute,
  type BuiltNode,
  Expressions,
  emptyBody,
  type FunctionBody,
  type GraphBuilder,
  loadFunction,
  type Output,
} from '../builder/index.ts'
import { dense, type Flow, type GradientFunction, type GradientTable, sameFor } from './gradient.ts'
import { isTrainable } from './trainable.ts'
import { zerosOf } from './zeros.ts'

/** A function and its gradient, still in one body. */
export interface Differentiated {
  readonly body: FunctionBody
  /** The gradient's own nodes. */
  readonly added: ReadonlySet<BuiltNode>
  /** By result of the function, what flows into it: an argument of the gradient. */
  readonly flows: readonly (Output | undefined)[]
  /** By argument of the function, what flows out of it. */
  readonly gradients: readonly (Output | undefined)[]
  /** Forward values that the gradient's nodes use, arguments among them. */
  readonly captured: readonly Output[]
}

interface Reference {
  readonly name: string
  readonly bindings: ReadonlyMap<string, AttributeDraft>
}

export function referenceOf(value: AttributeDraft | undefined, node: BuiltNode): Reference {
  if (value?.func?.name !== undefined) {
    return { name: value.func.name, bindings: value.func.attr ?? new Map() }
  }
  throw new Refusal(
    'INVALID_ARGUMENT',
    'graph/attribute',
    `Node "${node.name}" (op ${node.op}) names no function.`,
    { names: { node: node.name, op: node.op } },
  )
}

/**
 * Differentiates a function in its own body: what flows into the results of `flowing` becomes arguments.
 * `wanted` says of which arguments a gradient is asked for.
 */
export function differentiated(
  at: Flow,
  { name, bindings }: Reference,
  flowing: readonly boolean[],
  wanted: (argument: Output) => boolean,
): Differentiated {
  const { builder } = at.e
  const body = loadFunction(name, bindings, builder.catalogue, builder.functions)
  const flows = body.results.map((result, place) =>
    flowing[place]
      ? addArgument(body.builder, body.builder.uniqueName(`grad_${place}`), result.dtype)
      : undefined,
  )
  const before = body.builder.nodes.length
  refuseFrames(body.builder, name)
  const reached = body.results.flatMap((result, place) => (flowing[place] ? [result] : []))
  const xs = body.arguments.filter((argument) => isTrainable(argument.dtype) && wanted(argument))
  const found = at.differentiate(body.builder, {
    ys: reached,
    xs,
    gradYs: flows.filter((flow) => flow !== undefined),
  })
  const e = new Expressions(body.builder)
  const gradients = body.arguments.map((argument) => {
    const gradient = xs.includes(argument) ? found[xs.indexOf(argument)] : undefined
    return gradient === undefined ? undefined : dense(e, gradient)
  })
  const added = gradientNodes(body.builder, before)
  return { body, added, flows, gradients, captured: capturedBy(added, flows, gradients) }
}

/** Nodes added from `before` on, without those that forward nodes need: what a nested loop keeps for its own. */
function gradientNodes(builder: GraphBuilder, before: number): Set<BuiltNode> {
  const added = new Set(builder.nodes.slice(before))
  const open = builder.nodes.slice(0, before)
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    for (const needed of [...node.inputs.map((input) => input.node), ...node.controls]) {
      if (added.delete(needed)) open.push(needed)
    }
  }
  return added
}

function refuseFrames(builder: GraphBuilder, name: string): void {
  if (!builder.nodes.some((node) => node.op === 'Enter' || node.op === 'RefEnter')) return
  throw new Refusal(
    'UNIMPLEMENTED',
    'gradient/loop',
    `Function "${name}" holds a loop of Enter and Exit nodes; its gradient is not implemented.`,
    { names: { function: name, op: 'Enter' }, fix: 'Use a While node in functions.' },
  )
}

/** Whether a node is a constant: it is written again where it is needed, rather than handed on. */
function isConstant({ op, inputs }: BuiltNode): boolean {
  return op === 'Const' && inputs.length === 0
}

/** What the gradient's nodes take from the forward ones. */
export function capturedBy(
  added: ReadonlySet<BuiltNode>,
  flows: readonly (Output | undefined)[],
  gradients: readonly (Output | undefined)[],
): Output[] {
  const captured = new Set<Output>()
  const own = new Set(flows.flatMap((flow) => (flow === undefined ? [] : [flow.node])))
  const see = (output: Output | undefined): void => {
    if (output === undefined || added.has(output.node) || own.has(output.node)) return
    if (!isConstant(output.node)) captured.add(output)
  }
  for (const node of added) for (const input of node.inputs) see(input)
  for (const gradient of gradients) see(gradient)
  return [...captured]
}

/** Copies the gradient's nodes into another body, where `known` stands for what they take from outside. */
export function copyGradient(
  of: Differentiated,
  into: GraphBuilder,
  known: ReadonlyMap<Output, Output>,
): (output: Output) => Output {
  const copies = new Map<BuiltNode, BuiltNode>()
  const copyOf = (output: Output): Output => {
    const given = known.get(output)
    if (given !== undefined) return given
    // Nodes come in the order of their making; what is not there yet is a constant of the forward nodes.
    const isThere = copies.has(output.node) || isConstant(output.node)
    if (!isThere) throw new Error(`${output.node.name} was not kept`)
    const copy = copies.get(output.node) ?? copyNode(output.node)
    return copy.outputs[output.index]
  }
  const copyNode = (node: BuiltNode): BuiltNode => {
    const controls = [...node.controls].flatMap((control) => copies.get(control) ?? [])
    const copy = into.add({
      op: node.op,
      name: node.name,
      inputs: node.inputs.map(copyOf),
      controls,
      attributes: Object.fromEntries(node.attributes),
      device: node.device,
    })
    copies.set(node, copy)
    return copy
  }
  for (const node of of.added) if (!copies.has(node)) copyNode(node)
  return copyOf
}

/** A value of the type for a branch that does not make one; nobody looks at it. */
function placeholder(e: Expressions, dtype: Output['dtype']): Output {
  if (dtype === 'variant') {
    return e.op('EmptyTensorList', [e.scalar(-1, 'int32'), e.scalar(-1, 'int32')], {
      element_dtype: attribute.type('float32'),
      shape_type: attribute.type('int32'),
    })
  }
  if (dtype === 'resource') throw new Error('resources are arguments')
  if (dtype === 'string') {
    return e.constant({ dtype, shape: [0], strings: [] })
  }
  return e.constant(tensorOfElements(dtype, [0], []))
}

/** How a node calls its functions. */
interface Calling {
  readonly references: readonly Reference[]
  /** Inputs of the node that are not arguments: the predicate. */
  readonly leading: number
  /** Makes the node call other functions, with further results. */
  readonly rewrite: (names: readonly string[], resultTypes: readonly Output['dtype'][]) => void
  /** A node that calls functions like this one. */
  readonly call: (
    names: readonly string[],
    inputs: readonly Output[],
    resultTypes: readonly Output['dtype'][],
  ) => BuiltNode
}

/** Of a node that runs one of its functions, once. */
function ofCall(calling: (at: Flow) => Calling): GradientFunction {
  return (at) => {
    const { e, node, inputs, flows } = at
    const { references, leading, rewrite, call } = calling(at)
    const flowing = flows.map((flow) => flow !== undefined)
    const branches = references.map((one) => differentiated(at, one, flowing, () => true))
    const count = branches[0].body.arguments.length
    const targets = [...Array(count).keys()].filter((place) =>
      branches.some((branch) => branch.gradients[place] !== undefined),
    )
    if (targets.length === 0) return at.nothing
    const types = targets.map((place) => typeOfGradient(branches, place))
    const filled = branches.map((branch) => withZeros(branch, targets, types))
    const extra = filled.flatMap((branch) =>
      branch.captured.filter((output) => output.node.op !== '_Arg'),
    )
    const forward = filled.map((branch, place) => {
      const scratch = new Expressions(branch.body.builder)
      const more = extra.map((output) =>
        branch.captured.includes(output) ? output : placeholder(scratch, output.dtype),
      )
      const body = {
        ...branch.body,
        ...withoutGradient(branch),
        results: [...branch.body.results, ...more],
      }
      return addFunction(e.builder.functions, `${references[place].name}_rewritten`, body)
    })
    const former = node.outputs.length
    rewrite(forward, [
      ...node.outputs.map(({ dtype }) => dtype),
      ...extra.map(({ dtype }) => dtype),
    ])
    const given = flows.filter((flow) => flow !== undefined)
    const taken = [...inputs.slice(leading), ...given, ...node.outputs.slice(former)]
    const backward = filled.map((branch, place) =>
      addFunction(
        e.builder.functions,
        `${references[place].name}_grad`,
        backwardBody(branch, targets, taken, extra),
      ),
    )
    const gradients = call(backward, [...inputs.slice(0, leading), ...taken], types).outputs
    return inputs.map((_, place) => {
      const target = targets.indexOf(place - leading)
      return target < 0 ? undefined : gradients[target]
    })
  }
}

/** The type of what flows to an argument: not a handle's own, but its variable's. */
function typeOfGradient(branches: readonly Differentiated[], place: number): DType {
  const gradient = branches
    .map((branch) => branch.gradients[place])
    .find((one) => one !== undefined)
  return (gradient as Output).dtype
}

/** The branch with zeros where another branch has a gradient and it has none. */
function withZeros(
  branch: Differentiated,
  targets: readonly number[],
  types: readonly DType[],
): Differentiated {
  const { body, flows } = branch
  const before = body.builder.nodes.length
  const e = new Expressions(body.builder)
  const gradients = branch.gradients.map((gradient, place) =>
    gradient === undefined && targets.includes(place)
      ? zerosOf(e, body.arguments[place], types[targets.indexOf(place)])
      : gradient,
  )
  const added = new Set([...branch.added, ...body.builder.nodes.slice(before)])
  return { ...branch, added, gradients, captured: capturedBy(added, flows, gradients) }
}

/** The body as the forward function has it. */
export function withoutGradient(of: Differentiated): Pick<FunctionBody, 'builder'> {
  const gone = new Set(of.added)
  for (const flow of of.flows) if (flow !== undefined) gone.add(flow.node)
  const { nodes } = of.body.builder
  nodes.splice(0, nodes.length, ...nodes.filter((node) => !gone.has(node)))
  return { builder: of.body.builder }
}

/** The gradient of one branch: a function of the arguments, of what flows in and of what was kept. */
function backwardBody(
  branch: Differentiated,
  targets: readonly number[],
  taken: readonly Output[],
  extra: readonly Output[],
): FunctionBody {
  const { body, flows } = branch
  const builder = emptyBody(body.builder.catalogue, body.builder.functions)
  const given = taken.map(({ dtype }, place) => addArgument(builder, `input_${place}`, dtype))
  const sources = [...body.arguments, ...flows.filter((flow) => flow !== undefined), ...extra]
  const known = new Map(sources.map((source, place) => [source, given[place]]))
  const copyOf = copyGradient(branch, builder, known)
  const results = targets.map((place) => copyOf(branch.gradients[place] as Output))
  return { builder, arguments: given, results, effects: [] }
}

const branching = (names: readonly string[]): GradientFunction =>
  ofCall((at) => {
    const { e, node } = at
    const write = (functions: readonly string[]): Record<string, AttributeDraft> =>
      names[0] === 'branches'
        ? { branches: { list: { func: functions.map((name) => ({ name })) } } }
        : Object.fromEntries(
            names.map((name, place) => [name, attribute.function(functions[place])]),
          )
    const list = node.attributes.get('branches')?.list?.func
    const references =
      names[0] === 'branches'
        ? (list ?? []).map((func) => referenceOf({ func }, node))
        : names.map((name) => referenceOf(node.attributes.get(name), node))
    return {
      references,
      leading: 1,
      rewrite: (functions, types) => {
        node.attributes.delete('output_shapes')
        e.builder.replace(node, node.op, { ...write(functions), Tout: attribute.types(types) })
      },
      call: (functions, inputs, types) =>
        e.builder.add({
          op: node.op,
          name: node.op,
          inputs,
          attributes: {
            ...at.same('Tcond'),
            Tin: attribute.types(inputs.slice(1).map(({ dtype }) => dtype)),
            Tout: attribute.types(types),
            ...write(functions),
          },
        }),
    }
  })

const partitioned = ofCall(({ e, node }) => ({
  references: [referenceOf(node.attributes.get('f'), node)],
  leading: 0,
  rewrite: ([name], types) =>
    e.builder.replace(node, node.op, { f: attribute.function(name), Tout: attribute.types(types) }),
  call: ([name], inputs, types) =>
    e.builder.add({
      op: node.op,
      inputs,
      attributes: {
        f: attribute.function(name),
        Tin: attribute.types(inputs.map(({ dtype }) => dtype)),
        Tout: attribute.types(types),
      },
    }),
}))

/** Of a node whose op is the name of a function. */
export const namedCallGradient: GradientFunction = ofCall(({ e, node }) => ({
  references: [{ name: node.op, bindings: node.attributes }],
  leading: 0,
  rewrite: ([name]) => e.builder.replace(node, name, {}),
  call: ([name], inputs) => e.builder.add({ op: name, inputs }),
}))

/** Calls and conditionals. */
export const callGradients: GradientTable = {
  ...sameFor(['If', 'StatelessIf'], branching(['then_branch', 'else_branch'])),
  ...sameFor(['Case', 'StatelessCase'], branching(['branches'])),
  ...sameFor(['PartitionedCall', 'StatefulPartitionedCall'], partitioned),
}
