// What each optimizer makes of one element of a variable and its slots. The rules are TensorFlow's own
// kernels', in their order of operations. Source: tensorflow/core/kernels/training_ops.cc.
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'

/** Values by the names of the op's inputs: variable, slots, hyperparameters, `grad`. */
export type Named = Readonly<Record<string, Expression>>

/** Attributes that change a rule. */
export interface OptimizerFlags {
  readonly use_nesterov: boolean
  readonly update_slots: boolean
  readonly multiply_linear_by_lr: boolean
}

/** One optimizer. */
export interface Optimizer {
  /** As in `ApplyAdam`. */
  readonly name: string
  /** Names of the variable and its slots: the op's first inputs. */
  readonly slots: readonly string[]
  /** The other inputs in their order; `grad` stands for the gradient, whatever the op calls it. */
  readonly inputs: readonly string[]
  readonly flags?: readonly (keyof OptimizerFlags)[]
  /** Which ops there are: default all of `ApplyX`, `ResourceApplyX`. */
  readonly resourceOnly?: boolean
  /** Whether there are `SparseApplyX`, `ResourceSparseApplyX`. */
  readonly sparse?: boolean
  /** New values of what changes. */
  readonly update: (b: Builder, was: Named, flags: OptimizerFlags) => Named
}

/** `old + (aim - old) * (1 - decay)`: a moving average. */
function towards(b: Builder, old: Expression, aim: Expression, decay: Expression): Expression {
  return b.add(old, b.mul(b.sub(aim, old), b.sub(1, decay)))
}

/** `old * decay + value * (1 - decay)`. */
function mixed(b: Builder, old: Expression, value: Expression, decay: Expression): Expression {
  return b.add(b.mul(old, decay), b.mul(value, b.sub(1, decay)))
}

/** `max(|x| - most, 0) * sign(x)` where `most` counts, divided by `1 + l2 * rate`. */
function proximal(b: Builder, x: Expression, rate: Expression, { l1, l2 }: Named): Expression {
  const shrunk = b.mul(b.one('sign', x), b.max(b.sub(b.one('abs', x), b.mul(rate, l1)), 0))
  return b.div(b.select(b.greater(l1, 0), shrunk, x), b.add(b.mul(l2, rate), 1))
}

const sqrt = (b: Builder, x: Expression): Expression => b.one('sqrt', x)

const gradientDescent: Optimizer = {
  name: 'GradientDescent',
  slots: ['var'],
  inputs: ['alpha', 'grad'],
  update: (b, was) => ({ var: b.sub(was.var, b.mul(was.grad, was.alpha)) }),
}

const proximalGradientDescent: Optimizer = {
  name: 'ProximalGradientDescent',
  slots: ['var'],
  inputs: ['alpha', 'l1', 'l2', 'grad'],
  sparse: true,
  update: (b, was) => ({
    var: proximal(b, b.sub(was.var, b.mul(was.grad, was.alpha)), was.alpha, was),
  }),
}

const adadelta: Optimizer = {
  name: 'Adadelta',
  slots: ['var', 'accum', 'accum_update'],
  inputs: ['lr', 'rho', 'epsilon', 'grad'],
  sparse: true,
  update: (b, was) => {
    const accum = mixed(b, was.accum, b.one('square', was.grad), was.rho)
    const update = b.mul(
      b.mul(
        sqrt(b, b.add(was.accum_update, was.epsilon)),
        b.one('rsqrt', b.add(accum, was.epsilon)),
      ),
      was.grad,
    )
    return {
      accum,
      var: b.sub(was.var, b.mul(update, was.lr)),
      accum_update: mixed(b, was.accum_update, b.one('square', update), was.rho),
    }
  },
}

const adagrad: Optimizer = {
  name: 'Adagrad',
  slots: ['var', 'accum'],
  inputs: ['lr', 'grad'],
  flags: ['update_slots'],
  sparse: true,
  update: (b, was, { update_slots }) => {
    const accum = update_slots ? b.add(was.accum, b.one('square', was.grad)) : was.accum
    return {
      accum,
      var: b.sub(was.var, b.mul(b.mul(was.grad, was.lr), b.one('rsqrt', accum))),
    }
  },
}

const adagradV2: Optimizer = {
  name: 'AdagradV2',
  slots: ['var', 'accum'],
  inputs: ['lr', 'epsilon', 'grad'],
  flags: ['update_slots'],
  sparse: true,
  update: (b, was, { update_slots }) => {
    const accum = update_slots ? b.add(was.accum, b.one('square', was.grad)) : was.accum
    return {
      accum,
      var: b.sub(was.var, b.div(b.mul(was.grad, was.lr), b.add(sqrt(b, accum), was.epsilon))),
    }
  },
}

const adagradDualAveraging: Optimizer = {
  name: 'AdagradDA',
  slots: ['var', 'gradient_accumulator', 'gradient_squared_accumulator'],
  inputs: ['grad', 'lr', 'l1', 'l2', 'global_step'],
  sparse: true,
  update: (b, was) => {
    const sum = b.add(was.gradient_accumulator, was.grad)
    const squares = b.add(was.gradient_squared_accumulator, b.one('square', was.grad))
    const size = b.max(b.sub(b.one('abs', sum), b.mul(was.l1, was.global_step)), 0)
    const shrunk = b.select(b.greater(was.l1, 0), b.mul(b.one('sign', sum), size), sum)
    const rate = b.add(b.mul(b.mul(was.l2, was.global_step), was.lr), sqrt(b, squares))
    return {
      gradient_accumulator: sum,
      gradient_squared_accumulator: squares,
      var: b.div(b.mul(b.one('neg', was.lr), shrunk), rate),
    }
  },
}

const proximalAdagrad: Optimizer = {
  name: 'ProximalAdagrad',
  slots: ['var', 'accum'],
  inputs: ['lr', 'l1', 'l2', 'grad'],
  sparse: true,
  update: (b, was) => {
    const accum = b.add(was.accum, b.one('square', was.grad))
    const rate = b.mul(was.lr, b.one('rsqrt', accum))
    return { accum, var: proximal(b, b.sub(was.var, b.mul(was.grad, rate)), rate, was) }
  },
}

/** Follow the regularized leader; `shrunk`: the gradient with what shrinkage adds. */
function followLeader(
  b: Builder,
  was: Named,
  shrunk: Expression,
  { multiply_linear_by_lr: multiplies }: OptimizerFlags,
): Named {
  const accum = b.add(was.accum, b.one('square', was.grad))
  const isSqrt = b.equal(was.lr_power, -0.5)
  const power = (x: Expression): Expression =>
    b.select(isSqrt, sqrt(b, x), b.both('pow', x, b.one('neg', was.lr_power)))
  const root = power(accum)
  const growth = b.sub(root, power(was.accum))
  const linear = multiplies
    ? b.add(was.linear, b.sub(b.mul(shrunk, was.lr), b.mul(growth, was.var)))
    : b.add(was.linear, b.sub(shrunk, b.mul(b.div(growth, was.lr), was.var)))
  const l1 = multiplies ? b.mul(was.l1, was.lr) : was.l1
  const numerator = b.sub(b.max(b.min(linear, l1), b.one('neg', l1)), linear)
  const denominator = multiplies
    ? b.add(root, b.mul(b.mul(was.l2, 2), was.lr))
    : b.add(b.div(root, was.lr), b.mul(was.l2, 2))
  return { accum, linear, var: b.div(numerator, denominator) }
}

const ftrl: Optimizer = {
  name: 'Ftrl',
  slots: ['var', 'accum', 'linear'],
  inputs: ['grad', 'lr', 'l1', 'l2', 'lr_power'],
  flags: ['multiply_linear_by_lr'],
  sparse: true,
  update: (b, was, flags) => followLeader(b, was, was.grad, flags),
}

const ftrlV2: Optimizer = {
  name: 'FtrlV2',
  slots: ['var', 'accum', 'linear'],
  inputs: ['grad', 'lr', 'l1', 'l2', 'l2_shrinkage', 'lr_power'],
  flags: ['multiply_linear_by_lr'],
  sparse: true,
  update: (b, was, flags) => {
    const shrinkage = b.mul(b.mul(was.l2_shrinkage, 2), was.var)
    return followLeader(b, was, b.add(was.grad, shrinkage), flags)
  },
}

const momentum: Optimizer = {
  name: 'Momentum',
  slots: ['var', 'accum'],
  inputs: ['lr', 'grad', 'momentum'],
  flags: ['use_nesterov'],
  sparse: true,
  update: (b, was, { use_nesterov }) => {
    const accum = b.add(b.mul(was.accum, was.momentum), was.grad)
    const step = use_nesterov
      ? b.add(b.mul(was.grad, was.lr), b.mul(b.mul(accum, was.momentum), was.lr))
      : b.mul(accum, was.lr)
    return { accum, var: b.sub(was.var, step) }
  },
}

const kerasMomentum: Optimizer = {
  name: 'KerasMomentum',
  slots: ['var', 'accum'],
  inputs: ['lr', 'grad', 'momentum'],
  flags: ['use_nesterov'],
  resourceOnly: true,
  sparse: true,
  update: (b, was, { use_nesterov }) => {
    const step = b.mul(was.grad, was.lr)
    const accum = b.sub(b.mul(was.accum, was.momentum), step)
    return {
      accum,
      var: b.add(was.var, use_nesterov ? b.sub(b.mul(accum, was.momentum), step) : accum),
    }
  },
}

/** `lr * sqrt(1 - beta2_power) / (1 - beta1_power)`. */
function adamRate(b: Builder, was: Named): Expression {
  return b.div(b.mul(was.lr, sqrt(b, b.sub(1, was.beta2_power))), b.sub(1, was.beta1_power))
}

const adamInputs = ['beta1_power', 'beta2_power', 'lr', 'beta1', 'beta2', 'epsilon', 'grad']

const adam: Optimizer = {
  name: 'Adam',
  slots: ['var', 'm', 'v'],
  inputs: adamInputs,
  flags: ['use_nesterov'],
  update: (b, was, { use_nesterov }) => {
    const m = towards(b, was.m, was.grad, was.beta1)
    const v = towards(b, was.v, b.one('square', was.grad), was.beta2)
    const ahead = use_nesterov
      ? b.add(b.mul(was.grad, b.sub(1, was.beta1)), b.mul(was.beta1, m))
      : m
    const step = b.div(b.mul(ahead, adamRate(b, was)), b.add(sqrt(b, v), was.epsilon))
    return { m, v, var: b.sub(was.var, step) }
  },
}

const adamWithAmsgrad: Optimizer = {
  name: 'AdamWithAmsgrad',
  slots: ['var', 'm', 'v', 'vhat'],
  inputs: adamInputs,
  resourceOnly: true,
  update: (b, was) => {
    const m = towards(b, was.m, was.grad, was.beta1)
    const v = towards(b, was.v, b.one('square', was.grad), was.beta2)
    const vhat = b.max(was.vhat, v)
    const step = b.div(b.mul(m, adamRate(b, was)), b.add(sqrt(b, vhat), was.epsilon))
    return { m, v, vhat, var: b.sub(was.var, step) }
  },
}

const adaMax: Optimizer = {
  name: 'AdaMax',
  slots: ['var', 'm', 'v'],
  inputs: ['beta1_power', 'lr', 'beta1', 'beta2', 'epsilon', 'grad'],
  update: (b, was) => {
    const m = towards(b, was.m, was.grad, was.beta1)
    const v = b.max(b.mul(was.beta2, was.v), b.one('abs', was.grad))
    const rate = b.div(was.lr, b.sub(1, was.beta1_power))
    return { m, v, var: b.sub(was.var, b.mul(rate, b.div(m, b.add(v, was.epsilon)))) }
  },
}

const rmsProp: Optimizer = {
  name: 'RMSProp',
  slots: ['var', 'ms', 'mom'],
  inputs: ['lr', 'rho', 'momentum', 'epsilon', 'grad'],
  sparse: true,
  update: (b, was) => {
    const ms = towards(b, was.ms, b.one('square', was.grad), was.rho)
    const step = b.div(b.mul(was.grad, was.lr), sqrt(b, b.add(ms, was.epsilon)))
    const mom = b.add(b.mul(was.mom, was.momentum), step)
    return { ms, mom, var: b.sub(was.var, mom) }
  },
}

const centeredRmsProp: Optimizer = {
  name: 'CenteredRMSProp',
  slots: ['var', 'mg', 'ms', 'mom'],
  inputs: ['lr', 'rho', 'momentum', 'epsilon', 'grad'],
  sparse: true,
  update: (b, was) => {
    const ms = towards(b, was.ms, b.one('square', was.grad), was.rho)
    const mg = towards(b, was.mg, was.grad, was.rho)
    const variance = b.add(b.sub(ms, b.one('square', mg)), was.epsilon)
    const step = b.div(b.mul(was.grad, was.lr), sqrt(b, variance))
    const mom = b.add(b.mul(was.mom, was.momentum), step)
    return { ms, mg, mom, var: b.sub(was.var, mom) }
  },
}

/** Whether gradient and average point the same way, scaled by the decay: `decay * sign(g) * sign(m)`. */
function agreement(b: Builder, was: Named, m: Expression): Expression {
  return b.mul(was.sign_decay, b.mul(b.one('sign', was.grad), b.one('sign', m)))
}

const addSign: Optimizer = {
  name: 'AddSign',
  slots: ['var', 'm'],
  inputs: ['lr', 'alpha', 'sign_decay', 'beta', 'grad'],
  update: (b, was) => {
    const m = mixed(b, was.m, was.grad, was.beta)
    const factor = b.add(was.alpha, agreement(b, was, m))
    return { m, var: b.sub(was.var, b.mul(b.mul(was.lr, factor), was.grad)) }
  },
}

const powerSign: Optimizer = {
  name: 'PowerSign',
  slots: ['var', 'm'],
  inputs: ['lr', 'logbase', 'sign_decay', 'beta', 'grad'],
  update: (b, was) => {
    const m = mixed(b, was.m, was.grad, was.beta)
    const factor = b.one('exp', b.mul(was.logbase, agreement(b, was, m)))
    return { m, var: b.sub(was.var, b.mul(b.mul(was.lr, factor), was.grad)) }
  },
}

/** Every optimizer that TensorFlow has ops for. */
export const optimizers: readonly Optimizer[] = [
  gradientDescent,
  proximalGradientDescent,
  adadelta,
  adagrad,
  adagradV2,
  adagradDualAveraging,
  proximalAdagrad,
  ftrl,
  ftrlV2,
  momentum,
  kerasMomentum,
  adam,
  adamWithAmsgrad,
  adaMax,
  rmsProp,
  centeredRmsProp,
  addSign,
  powerSign,
]
