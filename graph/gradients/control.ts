// Gradients of V1 control flow: Switch and Merge, and what loops are made of.
// Source: tensorflow/python/ops/control_flow_grad.py.
import { Refusal } from '../../tensor/index.ts'
import { attribute, type BuiltNode, type Expressions, type Output } from '../builder/index.ts'
import { isConstantEnter, isLoopMerge, isLoopSwitch } from './frames.ts'
import { type Flow, type GradientFunction, type GradientTable, sameFor } from './gradient.ts'
import { zerosOf } from './zeros.ts'

function switched(e: Expressions, value: Output, predicate: Output, name: string): BuiltNode {
  const attributes = { T: attribute.type(value.dtype) }
  return e.builder.add({ op: 'Switch', name, inputs: [value, predicate], attributes })
}

function merged(e: Expressions, values: readonly Output[], name: string): BuiltNode {
  return e.builder.add({
    op: 'Merge',
    name,
    inputs: values,
    attributes: { T: attribute.type(values[0].dtype), N: attribute.int(values.length) },
  })
}

function noLoop({ name, op }: BuiltNode): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'gradient/loop',
    `Node "${name}" (op ${op}) is in no loop that an Enter begins.`,
    { names: { node: name, op } },
  )
}

/** At its first visit it begins the backward loop's variable; at its second it carries it on. */
function ofLoopSwitch({ node, flows, loop }: Flow): readonly (Output | undefined)[] {
  if (loop === undefined) throw noLoop(node)
  const begun = loop.switchMerges.get(node)
  const [toExit, toBody] = flows
  if (begun !== undefined) {
    if (toBody !== undefined) loop.frame.carry(begun, toBody)
    return [undefined, undefined]
  }
  if (toExit === undefined) return [undefined, undefined]
  const merge = loop.frame.add('Merge', [toExit, toExit], 'b_switch')
  loop.switchMerges.set(node, merge)
  return [merge.outputs[0], undefined]
}

const ofSwitch: GradientFunction = (at) => {
  if (isLoopSwitch(at.node)) return ofLoopSwitch(at)
  const given = at.flows.find((flow) => flow !== undefined)
  if (given === undefined) return [undefined, undefined]
  const branches = at.flows.map(
    (flow, branch) => flow ?? zerosOf(at.e, at.outputs[branch], given.dtype),
  )
  return [merged(at.e, branches, 'cond_grad').outputs[0], undefined]
}

const ofMerge: GradientFunction = (at) => {
  const { e, node, grad, loop } = at
  if (isLoopMerge(node) && loop !== undefined) {
    return switched(e, grad, loop.condition, 'Switch').outputs
  }
  const taken = node.outputs[1]
  const isInput = (place: number): Output => e.t('Equal', taken, e.scalar(place, 'int32'))
  if (node.inputs.length === 2) return switched(e, grad, isInput(1), 'cond_grad').outputs
  return node.inputs.map((_, place) => switched(e, grad, isInput(place), 'cond_grad').outputs[1])
}

const ofEnter: GradientFunction = ({ node, x, grad, loop }) => {
  if (loop === undefined) return [grad]
  if (isConstantEnter(node.outputs[0])) return [loop.summed(grad, x)]
  return [loop.frame.add('Exit', [grad], 'b_exit').outputs[0]]
}

const ofExit: GradientFunction = ({ node, grad, loop }) => {
  if (loop === undefined) throw noLoop(node)
  return [loop.frame.enter(grad, false, 'b_exit')]
}

/** V1 control flow. */
export const controlGradients: GradientTable = {
  ...sameFor(['Switch', 'RefSwitch'], ofSwitch),
  ...sameFor(['Merge', 'RefMerge'], ofMerge),
  ...sameFor(['Enter', 'RefEnter'], ofEnter),
  ...sameFor(['Exit', 'RefExit'], ofExit),
  ...sameFor(['NextIteration', 'RefNextIteration'], ({ flows }) => flows),
}
