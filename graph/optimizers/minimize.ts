// Training as nodes: gradients of a loss, a step for every variable, and what the steps need beside them.
// Source: tensorflow/python/training/optimizer.py (Optimizer.minimize).
import { kindOf, Refusal } from '../../tensor/index.ts'
import {
  attribute,
  type BuiltNode,
  Expressions,
  type GraphBuilder,
  nameOfOutput,
  type Output,
} from '../builder/index.ts'
import { addGradients, type Gradient } from '../gradients/index.ts'
import { type OptimizerSettings, type ReadSettings, readSettings } from './settings.ts'
import { addStep } from './steps.ts'
import {
  dtypeOfVariable,
  isReference,
  isVariable,
  type NewVariable,
  newVariable,
  readVariable,
  shapeOfVariable,
  writeVariable,
} from './variables.ts'

/** What to minimize, how, and by changing what. */
export interface MinimizeRequest {
  readonly loss: Output
  readonly optimizer: OptimizerSettings
  /** Names of variables; default: all of the graph that the loss depends on. */
  readonly variables?: readonly string[] | undefined
  /** Name of a variable that counts steps; made where the graph has none. */
  readonly globalStep?: string | undefined
}

/** A variable that was made for training. */
export interface TrainingVariable extends NewVariable {
  /** The slot's name, as `m`; of variables that are not a slot their own name. */
  readonly slot: string
  /** The trained variable that it belongs to; undefined where it belongs to the whole graph. */
  readonly of: BuiltNode | undefined
}

/** What was added. */
export interface Minimization {
  /** Runs one step. */
  readonly train: BuiltNode
  /** Gives all variables that were made their first values. */
  readonly initialize: BuiltNode
  readonly trained: readonly { readonly variable: BuiltNode; readonly gradient: Gradient }[]
  readonly made: readonly TrainingVariable[]
  readonly globalStep: BuiltNode | undefined
}

function refuse(word: string, message: string, fix?: string): Refusal {
  const extras = fix === undefined ? {} : { fix }
  return new Refusal('INVALID_ARGUMENT', `optimizer/${word}`, message, extras)
}

/**
 * Adds a train op that makes the loss smaller, as `Optimizer.minimize` does, with slots named as TensorFlow
 * names them. Refuses what {@link addGradients} and {@link readSettings} refuse, a loss that is no real
 * number (`optimizer/loss`), names that are no variables (`optimizer/variable`), and a loss that depends on none of
 * them (`optimizer/no-gradient`).
 */
export function addMinimize(builder: GraphBuilder, request: MinimizeRequest): Minimization {
  const settings = readSettings(request.optimizer)
  const { loss } = request
  if (kindOf(loss.dtype) !== 'float') {
    throw refuse(
      'loss',
      `The loss ${nameOfOutput(loss)} is of type ${loss.dtype}; a floating-point type is wanted.`,
    )
  }
  const e = new Expressions(builder)
  const counter = globalStepOf(builder, request.globalStep)
  const variables = variablesOf(builder, request.variables)
  const given = hyperparametersGiven(builder, settings)
  const trained = withGradients(builder, loss, variables)
  const { rule } = settings
  if (rule.inputs.includes('global_step') && counter === undefined) {
    throw refuse('global-step', `${rule.kind} needs "global_step".`, 'Name a variable for it.')
  }
  const powers = powersOf(builder, settings, trained[0].variable)
  const slots = slotsOf(builder, settings, trained)
  const made = [...(counter?.made ?? []), ...powers, ...slots]
  const train = builder.within(rule.kind, (scope) => {
    const hyperparameters = new Map(
      [...settings.values]
        .filter(([name]) => !name.startsWith('initial_'))
        .map(([name, value]): [string, Output] => [
          name,
          given.get(name) ?? e.scalar(value as number, 'float32', name),
        ]),
    )
    const step =
      counter === undefined || !rule.inputs.includes('global_step')
        ? undefined
        : e.plus(e.cast(readVariable(e, counter.node), 'int64'), 1)
    const powerNodes = new Map(
      powers.map((power) => [power.slot.replace(/_power$/, ''), power.node]),
    )
    const steps = trained.map(({ variable, gradient }) =>
      builder.within(`update_${variable.name}`, () =>
        addStep({
          e,
          settings,
          variable,
          gradient,
          slots: new Map(
            slots.filter((slot) => slot.of === variable).map((slot) => [slot.slot, slot.node]),
          ),
          powers: powerNodes,
          hyperparameters,
          globalStep: step,
        }),
      ),
    )
    const raised = builder.controlled(steps, () => raisePowers(e, powerNodes, hyperparameters))
    const all = [...steps, ...raised]
    if (counter === undefined) return builder.add({ op: 'NoOp', name: scope, controls: all })
    const update = builder.add({ op: 'NoOp', name: 'update', controls: all })
    return builder.controlled([update], () =>
      writeVariable(
        e,
        counter.node,
        'AssignAdd',
        e.scalar(1, dtypeOfVariable(counter.node)),
        scope,
      ),
    )
  })
  const initialize = builder.within(null, () =>
    e.noOp(
      made.map((variable) => variable.initializer),
      'init',
    ),
  )
  return { train, initialize, trained, made, globalStep: counter?.node }
}

/** Variables whose gradient there is. */
function withGradients(
  builder: GraphBuilder,
  loss: Output,
  variables: readonly BuiltNode[],
): Minimization['trained'] {
  const xs = variables.map((variable) => variable.outputs[0])
  const gradients = addGradients(builder, { ys: [loss], xs, isGated: true })
  const trained = variables.flatMap((variable, place) => {
    const gradient = gradients[place]
    return gradient === undefined ? [] : [{ variable, gradient }]
  })
  if (trained.length > 0) return trained
  const names = variables.map(({ name }) => name)
  throw refuse(
    'no-gradient',
    `No gradients provided for any variable, check your graph for ops that do not support gradients, between variables [${names.slice(0, 20).join(', ')}] and loss ${nameOfOutput(loss)}.`,
  )
}

function variablesOf(
  builder: GraphBuilder,
  names: readonly string[] | undefined,
): readonly BuiltNode[] {
  if (names === undefined) {
    return builder.nodes.filter((node) => isVariable(node) && isFloating(node))
  }
  const nodes = names.map((name) => variableNamed(builder, name))
  const strange = nodes.find((node) => !isFloating(node))
  if (strange === undefined) return [...new Set(nodes)]
  throw refuse(
    'variable',
    `The variable ${strange.name} is of type ${dtypeOfVariable(strange)}; only floating-point types are trained.`,
  )
}

function isFloating(node: BuiltNode): boolean {
  return kindOf(dtypeOfVariable(node)) === 'float'
}

function variableNamed(builder: GraphBuilder, name: string): BuiltNode {
  const node = builder.node(name.replace(/:0$/, ''))
  if (node !== undefined && isVariable(node)) return node
  throw new Refusal(
    'NOT_FOUND',
    'optimizer/variable',
    node === undefined
      ? `The graph has no node "${name}".`
      : `The node "${name}" (op ${node.op}) is no variable.`,
    { names: { node: name } },
  )
}

function globalStepOf(
  builder: GraphBuilder,
  name: string | undefined,
): { readonly node: BuiltNode; readonly made: readonly TrainingVariable[] } | undefined {
  if (name === undefined) return undefined
  if (builder.node(name.replace(/:0$/, '')) === undefined) {
    const spec = { name, dtype: 'int64', shape: [], initial: 0 } as const
    const made = newVariable(builder, undefined, spec)
    return { node: made.node, made: [{ ...made, slot: name, of: undefined }] }
  }
  const node = variableNamed(builder, name)
  const dtype = dtypeOfVariable(node)
  if (dtype === 'int64' || dtype === 'int32') return { node, made: [] }
  throw refuse(
    'global-step',
    `Existing "global_step" does not have integer type: ${dtype}`,
    'Name a variable of int64.',
  )
}

/** Hyperparameters that tensors of the graph give. */
function hyperparametersGiven(
  builder: GraphBuilder,
  { values }: ReadSettings,
): ReadonlyMap<string, Output> {
  return new Map(
    [...values].flatMap(([name, value]): [string, Output][] => {
      if (typeof value !== 'string') return []
      const [nodeName, index = '0'] = value.split(':')
      const output = builder.node(nodeName)?.outputs[Number(index)]
      if (output !== undefined && kindOf(output.dtype) === 'float') return [[name, output]]
      throw refuse(
        'setting',
        output === undefined
          ? `"${name}" names the tensor "${value}", which the graph does not have.`
          : `"${name}" names the tensor "${value}" of type ${output.dtype}; a floating-point type is wanted.`,
        'Give a number, or the name of a scalar of the graph such as "learning_rate:0".',
      )
    }),
  )
}

function powersOf(
  builder: GraphBuilder,
  { rule, values }: ReadSettings,
  first: BuiltNode,
): readonly TrainingVariable[] {
  return (rule.powers ?? []).map((name) => {
    const initial = values.get(name)
    if (typeof initial !== 'number') {
      throw refuse('setting', `"${name}" of ${rule.kind} must be a number: its powers are kept.`)
    }
    const slot = `${name}_power`
    const dtype = dtypeOfVariable(first)
    return {
      ...newVariable(builder, first, { name: slot, dtype, shape: [], initial }),
      slot,
      of: undefined,
    }
  })
}

function slotsOf(
  builder: GraphBuilder,
  { rule, values }: ReadSettings,
  trained: Minimization['trained'],
): readonly TrainingVariable[] {
  return trained.flatMap(({ variable }) =>
    rule.slots.map(({ name, initial }): TrainingVariable => {
      const spec = {
        name: `${variable.name}/${rule.kind}`,
        dtype: dtypeOfVariable(variable),
        shape: shapeOfVariable(variable),
        initial: typeof initial === 'number' ? initial : (values.get(initial) as number),
      }
      return { ...newVariable(builder, variable, spec), slot: name, of: variable }
    }),
  )
}

/** After all steps, each power is one higher. */
function raisePowers(
  e: Expressions,
  powers: ReadonlyMap<string, BuiltNode>,
  hyperparameters: ReadonlyMap<string, Output>,
): readonly BuiltNode[] {
  return [...powers].map(([name, variable]) => {
    const dtype = dtypeOfVariable(variable)
    const value = isReference(variable)
      ? readVariable(e, variable)
      : e.op('ReadVariableOp', [variable.outputs[0]], { dtype: attribute.type(dtype) })
    const factor = e.cast(hyperparameters.get(name) as Output, dtype)
    return writeVariable(e, variable, 'Assign', e.mul(value, factor))
  })
}
