// The optimizers as data: their hyperparameters with TensorFlow's defaults, their slots, and the op that
// takes a step. One row each; nothing else in the tree names them.
// Source: tensorflow/python/training/*.py.

/** A hyperparameter. A name of a tensor of the graph may stand in place of its number. */
export interface Hyperparameter {
  readonly name: string
  /** None: it must be given. */
  readonly fallback?: number
  readonly minimum?: number
  readonly maximum?: number
}

/** A variable beside each trained one, of its shape. */
export interface SlotRule {
  /** As TensorFlow's `get_slot_names` has it. */
  readonly name: string
  /** Its first value, or the hyperparameter that says it. */
  readonly initial: number | string
}

/** One optimizer. */
export interface OptimizerRule {
  readonly kind: string
  readonly hyperparameters: readonly Hyperparameter[]
  readonly slots: readonly SlotRule[]
  /** As in `ApplyAdam`. */
  readonly op: string
  /** Inputs of the op in order: `var`, `grad`, slots, hyperparameters, powers, `global_step`. */
  readonly inputs: readonly string[]
  /** Boolean attributes of the op. */
  readonly flags?: readonly string[]
  /** Hyperparameters of which powers are kept: variables for the whole graph, named `<name>_power`. */
  readonly powers?: readonly string[]
  /** How a step in slices is written: by an op of its own, or out of others. */
  readonly sparse: 'op' | 'scatter' | 'adam' | 'adamax'
}

const rate: Hyperparameter = { name: 'learning_rate' }
const l1: Hyperparameter = { name: 'l1_regularization_strength', fallback: 0, minimum: 0 }
const l2: Hyperparameter = { name: 'l2_regularization_strength', fallback: 0, minimum: 0 }

function among(name: string, fallback: number): Hyperparameter {
  return { name, fallback }
}

const accumulated: Hyperparameter = {
  name: 'initial_accumulator_value',
  fallback: 0.1,
  minimum: 0,
}

const adamHyperparameters = [
  among('learning_rate', 0.001),
  among('beta1', 0.9),
  among('beta2', 0.999),
  among('epsilon', 1e-8),
]

const rmsProp = {
  kind: 'RMSProp',
  hyperparameters: [rate, among('decay', 0.9), among('momentum', 0), among('epsilon', 1e-10)],
  sparse: 'op',
} as const

const ftrl = {
  kind: 'Ftrl',
  hyperparameters: [
    rate,
    { name: 'learning_rate_power', fallback: -0.5, maximum: 0 },
    accumulated,
    l1,
    l2,
  ],
  slots: [
    { name: 'accum', initial: accumulated.name },
    { name: 'linear', initial: 0 },
  ],
  sparse: 'op',
} as const

const rules: readonly OptimizerRule[] = [
  {
    kind: 'GradientDescent',
    hyperparameters: [rate],
    slots: [],
    op: 'GradientDescent',
    inputs: ['var', 'learning_rate', 'grad'],
    sparse: 'scatter',
  },
  {
    kind: 'Momentum',
    hyperparameters: [rate, { name: 'momentum' }],
    slots: [{ name: 'momentum', initial: 0 }],
    op: 'Momentum',
    inputs: ['var', 'slot:momentum', 'learning_rate', 'grad', 'momentum'],
    flags: ['use_nesterov'],
    sparse: 'op',
  },
  {
    kind: 'Adagrad',
    hyperparameters: [rate, accumulated],
    slots: [{ name: 'accumulator', initial: accumulated.name }],
    op: 'Adagrad',
    inputs: ['var', 'slot:accumulator', 'learning_rate', 'grad'],
    sparse: 'op',
  },
  {
    kind: 'AdagradDA',
    hyperparameters: [
      rate,
      { name: 'initial_gradient_squared_accumulator_value', fallback: 0.1, minimum: 0 },
      l1,
      l2,
    ],
    slots: [
      { name: 'gradient_accumulator', initial: 0 },
      {
        name: 'gradient_squared_accumulator',
        initial: 'initial_gradient_squared_accumulator_value',
      },
    ],
    op: 'AdagradDA',
    inputs: [
      'var',
      'slot:gradient_accumulator',
      'slot:gradient_squared_accumulator',
      'grad',
      'learning_rate',
      l1.name,
      l2.name,
      'global_step',
    ],
    sparse: 'op',
  },
  {
    kind: 'Adadelta',
    hyperparameters: [among('learning_rate', 0.001), among('rho', 0.95), among('epsilon', 1e-8)],
    slots: [
      { name: 'accum', initial: 0 },
      { name: 'accum_update', initial: 0 },
    ],
    op: 'Adadelta',
    inputs: ['var', 'slot:accum', 'slot:accum_update', 'learning_rate', 'rho', 'epsilon', 'grad'],
    sparse: 'op',
  },
  {
    kind: 'Adam',
    hyperparameters: adamHyperparameters,
    slots: [
      { name: 'm', initial: 0 },
      { name: 'v', initial: 0 },
    ],
    op: 'Adam',
    inputs: [
      'var',
      'slot:m',
      'slot:v',
      'power:beta1',
      'power:beta2',
      'learning_rate',
      'beta1',
      'beta2',
      'epsilon',
      'grad',
    ],
    flags: ['use_nesterov'],
    powers: ['beta1', 'beta2'],
    sparse: 'adam',
  },
  {
    kind: 'AdaMax',
    hyperparameters: adamHyperparameters,
    slots: [
      { name: 'm', initial: 0 },
      { name: 'v', initial: 0 },
    ],
    op: 'AdaMax',
    inputs: [
      'var',
      'slot:m',
      'slot:v',
      'power:beta1',
      'learning_rate',
      'beta1',
      'beta2',
      'epsilon',
      'grad',
    ],
    powers: ['beta1'],
    sparse: 'adamax',
  },
  {
    ...rmsProp,
    slots: [
      { name: 'rms', initial: 1 },
      { name: 'momentum', initial: 0 },
    ],
    op: 'RMSProp',
    inputs: [
      'var',
      'slot:rms',
      'slot:momentum',
      'learning_rate',
      'decay',
      'momentum',
      'epsilon',
      'grad',
    ],
  },
  {
    ...ftrl,
    op: 'Ftrl',
    inputs: [
      'var',
      'slot:accum',
      'slot:linear',
      'grad',
      'learning_rate',
      l1.name,
      l2.name,
      'learning_rate_power',
    ],
  },
  {
    kind: 'ProximalGradientDescent',
    hyperparameters: [rate, l1, l2],
    slots: [],
    op: 'ProximalGradientDescent',
    inputs: ['var', 'learning_rate', l1.name, l2.name, 'grad'],
    sparse: 'op',
  },
  {
    kind: 'ProximalAdagrad',
    hyperparameters: [rate, accumulated, l1, l2],
    slots: [{ name: 'accumulator', initial: accumulated.name }],
    op: 'ProximalAdagrad',
    inputs: ['var', 'slot:accumulator', 'learning_rate', l1.name, l2.name, 'grad'],
    sparse: 'op',
  },
]

/** RMSProp with a moving average of the gradient itself. */
const centered: OptimizerRule = {
  ...rmsProp,
  slots: [
    { name: 'rms', initial: 1 },
    { name: 'mg', initial: 0 },
    { name: 'momentum', initial: 0 },
  ],
  op: 'CenteredRMSProp',
  inputs: [
    'var',
    'slot:mg',
    'slot:rms',
    'slot:momentum',
    'learning_rate',
    'decay',
    'momentum',
    'epsilon',
    'grad',
  ],
}

const shrinkage: Hyperparameter = {
  name: 'l2_shrinkage_regularization_strength',
  fallback: 0,
  minimum: 0,
}

/** Ftrl that also shrinks the variable itself. */
const shrinking: OptimizerRule = {
  ...ftrl,
  hyperparameters: [...ftrl.hyperparameters, shrinkage],
  op: 'FtrlV2',
  inputs: [
    'var',
    'slot:accum',
    'slot:linear',
    'grad',
    'learning_rate',
    l1.name,
    l2.name,
    shrinkage.name,
    'learning_rate_power',
  ],
}

/** The optimizer's names, in the order in which they are listed. */
export const optimizerKinds: readonly string[] = rules.map(({ kind }) => kind)

/** The rule of a kind, by what was asked beside it; undefined where there is no such kind. */
export function ruleOf(
  kind: string,
  asked: { readonly centered: boolean; readonly shrinks: boolean },
): OptimizerRule | undefined {
  if (kind === 'RMSProp' && asked.centered) return centered
  if (kind === 'Ftrl' && asked.shrinks) return shrinking
  return rules.find((rule) => rule.kind === kind)
}
