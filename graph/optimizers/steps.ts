// One variable's step, whole or in slices, by the optimizer's own op or out of others.
// Source: tensorflow/python/training/{optimizer,adam,gradient_descent}.py.
import { attribute, type BuiltNode, type Expressions, type Output } from '../builder/index.ts'
import { type Gradient, type IndexedSlices, isSparse } from '../gradients/index.ts'
import type { ReadSettings } from './settings.ts'
import {
  beside,
  dtypeOfVariable,
  isReference,
  readVariable,
  scatterVariable,
  writeVariable,
} from './variables.ts'

/** What a step of one variable uses. */
export interface StepParts {
  readonly e: Expressions
  readonly settings: ReadSettings
  readonly variable: BuiltNode
  readonly gradient: Gradient
  /** By the names of the rule. */
  readonly slots: ReadonlyMap<string, BuiltNode>
  readonly powers: ReadonlyMap<string, BuiltNode>
  readonly hyperparameters: ReadonlyMap<string, Output>
  readonly globalStep: Output | undefined
}

function named<Value>(values: ReadonlyMap<string, Value>, name: string): Value {
  const value = values.get(name)
  if (value === undefined) throw new Error(`the optimizer has no ${name}`)
  return value
}

/** A hyperparameter in the variable's type. */
function hyperparameter({ e, variable, hyperparameters }: StepParts, name: string): Output {
  return e.cast(named(hyperparameters, name), dtypeOfVariable(variable))
}

function power({ e, variable, powers }: StepParts, name: string): Output {
  return e.cast(readVariable(e, named(powers, name)), dtypeOfVariable(variable))
}

/** Adds the nodes of a step; the last of them. */
export function addStep(parts: StepParts): BuiltNode {
  const { gradient, settings } = parts
  if (!isSparse(gradient)) return byOp(parts, [gradient], '')
  switch (settings.rule.sparse) {
    case 'scatter':
      return byScatter(parts, gradient)
    case 'op': {
      const { values, indices } = summed(parts, gradient)
      return byOp(parts, [values, indices], 'Sparse')
    }
    case 'adam':
      return sparseAdam(parts, summed(parts, gradient))
    case 'adamax':
      return sparseAdaMax(parts, summed(parts, gradient))
    default:
      throw new Error(`unknown form ${settings.rule.sparse satisfies never}`)
  }
}

/** By the optimizer's own op: what it is given of the gradient stands where the rule says. */
function byOp(parts: StepParts, gradient: readonly Output[], form: string): BuiltNode {
  const { e, variable, settings, slots, globalStep } = parts
  const { rule, flags } = settings
  const inputs = rule.inputs.flatMap((name): readonly Output[] => {
    if (name === 'var') return [variable.outputs[0]]
    if (name === 'grad') return gradient
    if (name === 'global_step') return [globalStep as Output]
    if (name.startsWith('slot:')) return [named(slots, name.slice(5)).outputs[0]]
    if (name.startsWith('power:')) return [power(parts, name.slice(6))]
    return [hyperparameter(parts, name)]
  })
  const op = `${isReference(variable) ? '' : 'Resource'}${form}Apply${rule.op}`
  return beside(e, variable, op, inputs, {
    T: attribute.type(dtypeOfVariable(variable)),
    ...(form === '' ? {} : { Tindices: attribute.type(gradient[1].dtype) }),
    ...Object.fromEntries([...flags].map(([name, value]) => [name, attribute.bool(value)])),
  })
}

/** Slices with their places, each place once: what several slices say of one is added. */
function summed({ e }: StepParts, { values, indices }: IndexedSlices): Slices {
  const unique = e.node('Unique', [indices], {
    T: attribute.type(indices.dtype),
    out_idx: attribute.type('int32'),
  })
  const [places, which] = unique.outputs
  const count = e.element(e.shape(places), 0)
  return { values: e.unsortedSegmentSum(values, which, count), indices: places }
}

type Slices = Pick<IndexedSlices, 'values' | 'indices'>

function byScatter(parts: StepParts, { values, indices }: IndexedSlices): BuiltNode {
  const { e, variable } = parts
  const step = e.mul(e.neg(values), hyperparameter(parts, 'learning_rate'))
  return scatterVariable(e, variable, 'Add', indices, step)
}

/** `1 - x`. */
function rest(e: Expressions, x: Output): Output {
  return e.sub(e.scalar(1, x.dtype), x)
}

/** A value of a variable once something has been done to it. */
function readAfter(e: Expressions, variable: BuiltNode, before: BuiltNode): Output {
  return e.builder.controlled([before], () =>
    isReference(variable)
      ? e.identity(variable.outputs[0], 'read')
      : e.op('ReadVariableOp', [variable.outputs[0]], {
          dtype: attribute.type(dtypeOfVariable(variable)),
        }),
  )
}

/** All of both averages decay; only slices take in something new; the whole variable moves. */
function sparseAdam(parts: StepParts, { values, indices }: Slices): BuiltNode {
  const { e, variable, slots } = parts
  const [beta1, beta2] = [hyperparameter(parts, 'beta1'), hyperparameter(parts, 'beta2')]
  const rate = e.div(
    e.mul(hyperparameter(parts, 'learning_rate'), e.t('Sqrt', rest(e, power(parts, 'beta2')))),
    rest(e, power(parts, 'beta1')),
  )
  const moved = (slot: BuiltNode, decay: Output, taken: Output): Output => {
    const decayed = writeVariable(e, slot, 'Assign', e.mul(readVariable(e, slot), decay))
    const added = e.builder.controlled([decayed], () =>
      scatterVariable(e, slot, 'Add', indices, e.mul(taken, rest(e, decay))),
    )
    return readAfter(e, slot, added)
  }
  const m = moved(named(slots, 'm'), beta1, values)
  const v = moved(named(slots, 'v'), beta2, e.mul(values, values))
  const ahead = parts.settings.flags.get('use_nesterov')
    ? nesterov(parts, { values, indices }, m, beta1)
    : m
  const divisor = e.add(e.t('Sqrt', v), hyperparameter(parts, 'epsilon'))
  return writeVariable(e, variable, 'AssignSub', e.div(e.mul(rate, ahead), divisor))
}

/** `beta1 * m`, and in the slices `(1 - beta1) * gradient` beside. */
function nesterov({ e }: StepParts, slices: Slices, m: Output, beta1: Output): Output {
  const fresh = e.mul(slices.values, rest(e, beta1))
  const indices = e.expandDims(slices.indices, -1)
  return e.add(e.mul(m, beta1), e.scatterNd(indices, fresh, e.shape(m)))
}

/** Only the slices change. */
function sparseAdaMax(parts: StepParts, { values, indices }: Slices): BuiltNode {
  const { e, variable, slots } = parts
  const [beta1, beta2] = [hyperparameter(parts, 'beta1'), hyperparameter(parts, 'beta2')]
  const [slotM, slotV] = [named(slots, 'm'), named(slots, 'v')]
  const was = (slot: BuiltNode): Output => e.gather(readVariable(e, slot), indices)
  const m = e.add(e.mul(was(slotM), beta1), e.mul(values, rest(e, beta1)))
  const v = e.t('Maximum', e.mul(was(slotV), beta2), e.t('Abs', values))
  const rate = e.div(hyperparameter(parts, 'learning_rate'), rest(e, power(parts, 'beta1')))
  const step = e.div(e.mul(rate, m), e.add(v, hyperparameter(parts, 'epsilon')))
  const kept = [
    scatterVariable(e, slotM, 'Update', indices, m),
    scatterVariable(e, slotV, 'Update', indices, v),
  ]
  return e.builder.controlled(kept, () => scatterVariable(e, variable, 'Add', indices, e.neg(step)))
}
