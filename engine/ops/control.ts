// Control flow: If, While and Case by functions; Switch, Merge and the frames of V1 loops. Which branch
// and how many iterations is settled while planning; what only a run can tell is asked for.
import { elementCountOf, type Tensor, tensorOfElements } from '../../tensor/index.ts'
import type { FunctionReference } from './attributes.ts'
import { type Call, defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { integerOf } from './shapes.ts'
import type { TensorValue, Value } from './value.ts'

/** Whether a predicate holds: a scalar that is not zero or empty; of other ranks, one with elements. */
function holds(tensor: Tensor): boolean {
  if (tensor.shape.length > 0) return elementCountOf(tensor.shape) > 0
  if (tensor.dtype === 'string') return tensor.strings[0].byteLength > 0
  return tensor.bytes.some((byte) => byte !== 0)
}

/** A value as a tensor; refuses lists and handles. */
function predicateOf(at: Lowering, value: Value): Tensor {
  if (value.kind === 'reference') return at.contentOf(at.read(value.variable))
  if (value.kind === 'known' || value.kind === 'array') return at.contentOf(value)
  throw new Error(`a predicate cannot be a ${value.kind}`)
}

const branching = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['cond: Tcond', 'input: Tin'],
    outputs: ['output: Tout'],
    attributes: [
      'Tcond: type',
      'Tin: list(type)',
      'Tout: list(type)',
      'then_branch: func',
      'else_branch: func',
      'output_shapes: list(shape) = []',
    ],
    calls: { functions: ['then_branch', 'else_branch'], argument: 'input' },
    always: name === 'If',
    lower: (at) => {
      const taken = holds(at.contentOf(at.input('cond'))) ? 'then_branch' : 'else_branch'
      return at.call(
        at.attributes.function(taken),
        at.rawInputs('input'),
        (_at, outputs) => outputs,
      )
    },
  })

const looping = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['input: T'],
    outputs: ['output: T'],
    attributes: [
      'T: list(type)',
      'cond: func',
      'body: func',
      'output_shapes: list(shape) = []',
      'parallel_iterations: int = 10',
    ],
    calls: { functions: ['cond', 'body'], argument: 'input' },
    always: name === 'While',
    lower: (at) => {
      const [condition, body] = [at.attributes.function('cond'), at.attributes.function('body')]
      return iterate(at, condition, body, at.rawInputs('input'))
    },
  })

function iterate(
  at: Lowering,
  condition: FunctionReference,
  body: FunctionReference,
  values: readonly Value[],
): Call {
  const decide: Call['resume'] = (later, [predicate]) => {
    if (!holds(predicateOf(later, predicate))) return values
    return later.call(body, values, (last, next) => iterate(last, condition, body, next))
  }
  return at.call(condition, values, decide, values)
}

const choosing = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['branch_index: int32', 'input: Tin'],
    outputs: ['output: Tout'],
    attributes: [
      'Tin: list(type)',
      'Tout: list(type)',
      'branches: list(func)',
      'output_shapes: list(shape) = []',
    ],
    calls: { functions: ['branches'], argument: 'input' },
    always: name === 'Case',
    lower: (at) => {
      const branches = at.attributes.functions('branches')
      const index = integerOf(at.contentOf(at.input('branch_index')), 'branch_index')
      const taken = index >= 0 && index < branches.length ? index : branches.length - 1
      return at.call(branches[taken], at.rawInputs('input'), (_at, outputs) => outputs)
    },
  })

const dead: Value = { kind: 'dead', dtype: 'float32' }

const switching = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: [name === 'RefSwitch' ? 'data: Ref(T)' : 'data: T', 'pred: bool'],
    outputs:
      name === 'RefSwitch'
        ? ['output_false: Ref(T)', 'output_true: Ref(T)']
        : ['output_false: T', 'output_true: T'],
    attributes: ['T: type'],
    reads: false,
    lower: (at) => {
      const [data] = at.rawInputs('data')
      return holds(at.contentOf(at.input('pred'))) ? [dead, data] : [data, dead]
    },
  })

const switchN = defineOp({
  name: '_SwitchN',
  inputs: ['data: T', 'output_index: int32'],
  outputs: ['outputs: num_outs * T'],
  attributes: ['num_outs: int >= 1', 'T: type'],
  reads: false,
  lower: (at) => {
    const count = at.attributes.int('num_outs')
    const index = integerOf(at.contentOf(at.input('output_index')), 'output_index')
    const taken = index >= 0 && index < count ? index : count - 1
    const [data] = at.rawInputs('data')
    return Array.from({ length: count }, (_, place) => (place === taken ? data : dead))
  },
})

/** The one input that is alive; the trace sees to loops. */
const merging = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: [name === 'RefMerge' ? 'inputs: N * Ref(T)' : 'inputs: N * T'],
    outputs: [name === 'RefMerge' ? 'output: Ref(T)' : 'output: T', 'value_index: int32'],
    attributes: ['T: type', 'N: int >= 1'],
    reads: false,
    lower: (at) => {
      const index = at.raw.findIndex((value) => value.kind !== 'dead')
      const place: TensorValue = at.known(tensorOfElements('int32', [], [index]))
      return [at.raw[index], place]
    },
  })

/** An op that hands its one input on, reference or not. */
function handing(name: string, attributes: readonly string[] = []): OpDefinition {
  const type = name.startsWith('Ref') ? 'Ref(T)' : 'T'
  return defineOp({
    name,
    inputs: [`data: ${type}`],
    outputs: [`output: ${type}`],
    attributes: ['T: type', ...attributes],
    reads: false,
    lower: (at) => at.rawInputs('data'),
  })
}

const entering = [
  "frame_name: string = ''",
  'is_constant: bool = false',
  'parallel_iterations: int = 10',
]

const loopCondition = defineOp({
  name: 'LoopCond',
  inputs: ['input: bool'],
  outputs: ['output: bool'],
  lower: (at) => [at.input('input')],
})

/** Control flow. */
export const controlOps: readonly OpDefinition[] = [
  branching('If'),
  branching('StatelessIf'),
  looping('While'),
  looping('StatelessWhile'),
  choosing('Case'),
  choosing('StatelessCase'),
  switching('Switch'),
  switching('RefSwitch'),
  switchN,
  merging('Merge'),
  merging('RefMerge'),
  handing('Enter', entering),
  handing('RefEnter', entering),
  handing('Exit'),
  handing('RefExit'),
  handing('NextIteration'),
  handing('RefNextIteration'),
  loopCondition,
]
