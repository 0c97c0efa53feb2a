// Gradients of functional while loops: a loop that runs backwards. What the gradient needs of each
// iteration is kept in TensorLists that the forward loop fills and the backward one empties.
// Source: tensorflow/python/ops/while_v2.py.
import { type DType, Refusal } from '../../tensor/index.ts'
import {
  addArgument,
  addFunction,
  attribute,
  Expressions,
  emptyBody,
  type FunctionBody,
  loadFunction,
  type Output,
} from '../builder/index.ts'
import {
  capturedBy,
  copyGradient,
  type Differentiated,
  differentiated,
  referenceOf,
  withoutGradient,
} from './calls.ts'
import { type Flow, type GradientFunction, type GradientTable, sameFor } from './gradient.ts'
import { zerosOf } from './zeros.ts'

/** A loop and the parts of its gradient, by variables of the loop. */
interface LoopPlan {
  readonly body: Differentiated
  /** Variables through which gradients flow from iteration to iteration. */
  readonly flowing: readonly number[]
  /** Handles of variables: what flows to them is added up. */
  readonly handles: readonly number[]
  /** Forward values of each iteration that the gradient needs. */
  readonly kept: readonly Output[]
  /** Variables that no iteration changes. */
  readonly constants: readonly number[]
}

function planOf(at: Flow): LoopPlan {
  const { node, flows } = at
  const reference = referenceOf(node.attributes.get('body'), node)
  const flowing = flows.flatMap((flow, place) => (flow === undefined ? [] : [place]))
  const plain = differentiated(
    at,
    reference,
    flows.map((flow) => flow !== undefined),
    () => true,
  )
  const body = zerosWhereNothing(plain, flowing)
  const handles = [...body.gradients.keys()].filter(
    (place) => body.gradients[place] !== undefined && !flowing.includes(place),
  )
  const isConstant = (place: number): boolean =>
    body.body.results[place] === body.body.arguments[place]
  const constants = [...body.body.arguments.keys()].filter(
    (place) => isConstant(place) && body.captured.includes(body.body.arguments[place]),
  )
  const known = new Set(constants.map((place) => body.body.arguments[place]))
  const kept = body.captured.filter((output) => !known.has(output))
  const handle = kept.find((output) => output.dtype === 'resource')
  if (handle !== undefined) {
    throw new Refusal(
      'UNIMPLEMENTED',
      'gradient/loop',
      `The loop "${node.name}" changes which resource "${handle.node.name}" is; its gradient is not implemented.`,
      { names: { node: node.name, op: node.op } },
    )
  }
  return { body, flowing, handles, kept, constants }
}

/** Zeros flow to what an iteration does not use. */
function zerosWhereNothing(of: Differentiated, flowing: readonly number[]): Differentiated {
  const { builder } = of.body
  const before = builder.nodes.length
  const e = new Expressions(builder)
  const gradients = of.gradients.map((gradient, place) =>
    gradient === undefined && flowing.includes(place)
      ? e.zerosLike(of.body.arguments[place])
      : gradient,
  )
  const added = new Set([...of.added, ...builder.nodes.slice(before)])
  return { ...of, added, gradients, captured: capturedBy(added, of.flows, gradients) }
}

function elementType(dtype: DType) {
  return { element_dtype: attribute.type(dtype) }
}

/** Makes the forward loop count and keep; the count and the lists. */
function rewriteForward(at: Flow, { body, kept }: LoopPlan): readonly Output[] {
  const { e, node } = at
  const { builder, functions } = { builder: e.builder, functions: e.builder.functions }
  const more = [
    e.scalar(0, 'int32'),
    ...kept.map(({ dtype }) =>
      e.op('EmptyTensorList', [e.scalar(-1, 'int32'), e.scalar(-1, 'int32')], {
        ...elementType(dtype),
        shape_type: attribute.type('int32'),
      }),
    ),
  ]
  const counting = { ...body.body, ...withoutGradient(body) }
  const inner = new Expressions(counting.builder)
  const given = more.map(({ dtype }) =>
    addArgument(counting.builder, counting.builder.uniqueName('kept'), dtype),
  )
  const results = [
    inner.plus(given[0], 1),
    ...kept.map((value, place) =>
      inner.op('TensorListPushBack', [given[place + 1], value], elementType(value.dtype)),
    ),
  ]
  const bodyName = referenceOf(node.attributes.get('body'), node).name
  const bodyRewritten = addFunction(functions, `${bodyName}_rewritten`, {
    ...counting,
    arguments: [...counting.arguments, ...given],
    results: [...counting.results, ...results],
  })
  const { name, bindings } = referenceOf(node.attributes.get('cond'), node)
  const condition = loadFunction(name, bindings, builder.catalogue, functions)
  const conditionRewritten = addFunction(functions, `${name}_rewritten`, {
    ...condition,
    arguments: [
      ...condition.arguments,
      ...more.map(({ dtype }) =>
        addArgument(condition.builder, condition.builder.uniqueName('kept'), dtype),
      ),
    ],
  })
  const former = node.outputs.length
  node.inputs.push(...more)
  node.attributes.delete('output_shapes')
  builder.replace(node, node.op, {
    T: attribute.types(node.inputs.map(({ dtype }) => dtype)),
    body: attribute.function(bodyRewritten),
    cond: attribute.function(conditionRewritten),
  })
  return node.outputs.slice(former)
}

/** The body of the backward loop: one iteration back. */
function backwardBody(plan: LoopPlan, types: readonly DType[]): FunctionBody {
  const { body, flowing, handles, kept, constants } = plan
  const builder = emptyBody(body.body.builder.catalogue, body.body.builder.functions)
  const given = types.map((dtype, place) => addArgument(builder, `input_${place}`, dtype))
  const e = new Expressions(builder)
  const known = new Map<Output, Output>()
  let next = 1
  for (const place of flowing) known.set(body.flows[place] as Output, given[next++])
  const sums = handles.map(() => given[next++])
  const lists = kept.map((value) => {
    const list = given[next++]
    const popped = e.node(
      'TensorListPopBack',
      [list, e.scalar(-1, 'int32')],
      elementType(value.dtype),
    )
    known.set(value, popped.outputs[1])
    return popped.outputs[0]
  })
  const held = constants.map((place) => {
    known.set(body.body.arguments[place], given[next])
    return given[next++]
  })
  const copyOf = copyGradient(plan.body, builder, known)
  const gradientOf = (place: number): Output => copyOf(body.gradients[place] as Output)
  const results = [
    e.plus(given[0], -1),
    ...flowing.map(gradientOf),
    ...handles.map((place, index) => e.add(sums[index], gradientOf(place))),
    ...lists,
    ...held,
  ]
  return { builder, arguments: given, results, effects: [] }
}

/** Whether an iteration is left. */
function backwardCondition(body: FunctionBody): FunctionBody {
  const builder = emptyBody(body.builder.catalogue, body.builder.functions)
  const given = body.arguments.map(({ dtype }, place) =>
    addArgument(builder, `input_${place}`, dtype),
  )
  const e = new Expressions(builder)
  const result = e.t('Greater', given[0], e.scalar(0, 'int32'))
  return { builder, arguments: given, results: [result], effects: [] }
}

const ofWhile: GradientFunction = (at) => {
  const { e, node, flows, inputs } = at
  const before = [...inputs]
  const plan = planOf(at)
  const { flowing, handles, body } = plan
  const dtypeOf = (place: number): DType => (body.gradients[place] as Output).dtype
  const [count, ...lists] = rewriteForward(at, plan)
  const zeros = handles.map((place) => zerosOf(e, before[place], dtypeOf(place)))
  const given = [
    count,
    ...flowing.map((place) => flows[place] as Output),
    ...zeros,
    ...lists,
    ...plan.constants.map((place) => before[place]),
  ]
  const types = given.map(({ dtype }) => dtype)
  const name = referenceOf(node.attributes.get('body'), node).name
  const backward = backwardBody(plan, types)
  const { functions } = e.builder
  const bodyName = addFunction(functions, `${name}_grad`, backward)
  const conditionName = addFunction(functions, `${name}_grad_cond`, backwardCondition(backward))
  const loop = e.node(node.op, given, {
    T: attribute.types(types),
    body: attribute.function(bodyName),
    cond: attribute.function(conditionName),
    ...at.same('parallel_iterations'),
  })
  const targets = [...flowing, ...handles]
  return node.inputs.map((_, place) => {
    const target = targets.indexOf(place)
    return target < 0 ? undefined : loop.outputs[target + 1]
  })
}

/** Functional loops. */
export const whileGradients: GradientTable = sameFor(['While', 'StatelessWhile'], ofWhile)
