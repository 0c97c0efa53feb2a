// Gradients of elementwise arithmetic.
// Source: tensorflow/python/ops/math_grad.py.
import { attribute, isComplex, type Output } from '../builder/index.ts'
import { broadcasting, unbroadcast } from './broadcast.ts'
import { type Flow, type GradientFunction, type GradientTable, sameFor } from './gradient.ts'
import { isTrainable } from './trainable.ts'

/** The gradient of an elementwise op: what flows in, times the derivative. */
function times(derivative: (at: Flow) => Output): GradientFunction {
  return (at) => [at.e.mul(at.grad, derivative(at))]
}

/** A gradient that an op of its own computes, of the output and what flows into it. */
function ofOutput(op: string): GradientFunction {
  return ({ e, out, grad }) => [e.t(op, e.conj(out), grad)]
}

const reciprocal = ({ e }: Flow, x: Output): Output => e.t('Reciprocal', x)
const one = (at: Flow, x: Output): Output => at.e.scalar(1, x.dtype)
const holds = ({ e }: Flow, op: string, x: Output, y: Output): Output => e.t(op, x, y)

const unaries: GradientTable = {
  Neg: ({ e, grad }) => [e.neg(grad)],
  Abs: times(({ e, x }) => e.t('Sign', x)),
  ComplexAbs: ({ e, x, grad }) => [e.mul(e.complex(grad, e.zerosLike(grad)), e.t('Sign', x))],
  Sign: ({ e, x }) => [e.zerosLike(x)],
  Square: times(({ e, x }) => e.scaled(e.conj(x), 2)),
  Sqrt: ({ e, out, grad }) => [e.t('SqrtGrad', out, grad)],
  Rsqrt: ({ e, out, grad }) => [e.t('RsqrtGrad', out, grad)],
  Exp: times(({ e, out }) => e.conj(out)),
  Expm1: times(({ e, x }) => e.t('Exp', e.conj(x))),
  Log: times((at) => reciprocal(at, at.e.conj(at.x))),
  Log1p: times((at) => reciprocal(at, at.e.plus(at.e.conj(at.x), 1))),
  Sin: times(({ e, x }) => e.t('Cos', e.conj(x))),
  Cos: ({ e, x, grad }) => [e.neg(e.mul(grad, e.t('Sin', e.conj(x))))],
  Tan: times((at) => at.e.square(reciprocal(at, at.e.t('Cos', at.e.conj(at.x))))),
  Asin: times((at) => reciprocal(at, sineOfArc(at))),
  Acos: (at) => [at.e.neg(at.e.mul(at.grad, reciprocal(at, sineOfArc(at))))],
  Atan: times((at) => reciprocal(at, at.e.plus(at.e.square(at.e.conj(at.x)), 1))),
  Sinh: times(({ e, x }) => e.t('Cosh', e.conj(x))),
  Cosh: times(({ e, x }) => e.t('Sinh', e.conj(x))),
  Tanh: ofOutput('TanhGrad'),
  Asinh: ({ e, out, grad }) => [e.div(grad, e.t('Cosh', e.conj(out)))],
  Acosh: ({ e, out, grad }) => [e.div(grad, e.t('Sinh', e.conj(out)))],
  Atanh: times((at) => reciprocal(at, at.e.sub(one(at, at.x), at.e.square(at.e.conj(at.x))))),
  Sigmoid: ofOutput('SigmoidGrad'),
  Reciprocal: ofOutput('ReciprocalGrad'),
  Inv: ofOutput('InvGrad'),
  Erf: times((at) => at.e.scaled(bell(at), 2 / Math.sqrt(Math.PI))),
  Erfc: times((at) => at.e.scaled(bell(at), -2 / Math.sqrt(Math.PI))),
  Erfinv: times(({ e, out }) => e.scaled(e.t('Exp', e.square(out)), Math.sqrt(Math.PI) / 2)),
  Ndtri: times(({ e, out }) =>
    e.scaled(e.t('Exp', e.scaled(e.square(out), 0.5)), Math.sqrt(2 * Math.PI)),
  ),
  Lgamma: times(({ e, x }) => e.t('Digamma', x)),
  Digamma: times(({ e, x }) => e.t('Polygamma', e.onesLike(x), x)),
  Conj: ({ e, grad }) => [e.conj(grad)],
  Real: ({ e, grad }) => [e.complex(grad, e.zerosLike(grad))],
  Imag: ({ e, grad }) => [e.complex(e.zerosLike(grad), grad)],
  Angle: (at) => {
    const { e, x, grad } = at
    const turned = reciprocal(at, e.complex(e.imaginary(x), e.real(x)))
    return [e.mul(e.neg(e.complex(grad, e.zerosLike(grad))), turned)]
  },
  Cast: ({ e, x, grad }) =>
    isTrainable(x.dtype) && isTrainable(grad.dtype) ? [e.cast(grad, x.dtype)] : [undefined],
}

/** sqrt(1 - x^2). */
function sineOfArc(at: Flow): Output {
  const { e, x } = at
  return e.t('Sqrt', e.sub(one(at, x), e.square(e.conj(x))))
}

/** exp(-x^2). */
function bell({ e, x }: Flow): Output {
  return e.t('Exp', e.neg(e.square(x)))
}

const power: GradientFunction = (at) => {
  const { e, x, y, out, grad } = at
  const [cx, cy, cz] = [e.conj(x), e.conj(y), e.conj(out)]
  const toX = e.mul(e.mul(grad, cy), e.t('Pow', cx, e.sub(cy, one(at, cy))))
  const zero = e.zerosLike(cx)
  const mask = holds(at, isComplex(x.dtype) ? 'NotEqual' : 'Greater', cx, zero)
  const log = e.select(mask, e.t('Log', e.select(mask, cx, e.onesLike(cx))), zero)
  return unbroadcast(at, toX, e.mul(e.mul(grad, cz), log))
}

/** Of Maximum and Minimum: all of it flows to the input that was taken. */
function taking(comparison: string): GradientFunction {
  return broadcasting((at) => {
    const { e, x, y, grad } = at
    const mask = holds(at, comparison, x, y)
    const zero = e.zerosLike(grad)
    return [e.select(mask, grad, zero), e.select(mask, zero, grad)]
  })
}

/** Of a quotient, by the op that divides. */
function dividing(op: string): GradientFunction {
  return broadcasting(({ e, x, y, grad }) => {
    const [cx, cy] = [e.conj(x), e.conj(y)]
    return [e.t(op, grad, cy), e.mul(grad, e.t(op, e.t(op, e.neg(cx), cy), cy))]
  })
}

/** 1 where `x` counts, 0 where it is 0. */
function counts(at: Flow): Output {
  const { e, x } = at
  return e.cast(holds(at, 'NotEqual', x, e.scalar(0, x.dtype)), x.dtype)
}

const binaries: GradientTable = {
  ...sameFor(
    ['Add', 'AddV2'],
    broadcasting(({ grad }) => [grad, grad]),
  ),
  Sub: broadcasting(({ e, grad }) => [grad, e.neg(grad)]),
  Mul: broadcasting(({ e, x, y, grad }) => [e.mul(grad, e.conj(y)), e.mul(e.conj(x), grad)]),
  MulNoNan: broadcasting(({ e, x, y, grad }) => [
    e.t('MulNoNan', grad, y),
    e.t('MulNoNan', x, grad),
  ]),
  ...sameFor(['Div', 'RealDiv'], dividing('RealDiv')),
  DivNoNan: dividing('DivNoNan'),
  FloorMod: broadcasting(({ e, x, y, grad }) => [grad, e.mul(grad, e.neg(e.floorDiv(x, y)))]),
  Pow: power,
  Maximum: taking('GreaterEqual'),
  Minimum: taking('LessEqual'),
  SquaredDifference: broadcasting(({ e, x, y, grad }) => {
    const toX = e.mul(e.scaled(grad, 2), e.sub(x, y))
    return [toX, e.neg(toX)]
  }),
  Atan2: broadcasting(({ e, x: y, y: x, grad }) => {
    const part = e.div(grad, e.add(e.square(x), e.square(y)))
    return [e.mul(x, part), e.mul(e.neg(y), part)]
  }),
  Xlogy: broadcasting((at) => {
    const { e, x, y, grad } = at
    return [e.mul(e.t('Xlogy', counts(at), y), grad), e.mul(e.t('Xdivy', x, y), grad)]
  }),
  Xlog1py: broadcasting((at) => {
    const { e, x, y, grad } = at
    const toX = e.t('Xlog1py', counts(at), y)
    return [e.mul(toX, grad), e.mul(e.t('Xdivy', x, e.plus(y, 1)), grad)]
  }),
  Xdivy: broadcasting((at) => {
    const { e, x, y, grad } = at
    const toY = e.t('Xdivy', e.neg(x), e.square(y))
    return [e.mul(e.t('Xdivy', counts(at), y), grad), e.mul(toY, grad)]
  }),
  Complex: broadcasting(({ e, grad }) => [e.real(grad), e.imaginary(grad)]),
  Polygamma: broadcasting(({ e, x, y, grad }) => [
    undefined,
    e.mul(grad, e.t('Polygamma', e.plus(x, 1), y)),
  ]),
  Zeta: broadcasting(({ e, x, y, grad }) => [
    undefined,
    e.mul(grad, e.mul(e.neg(x), e.t('Zeta', e.plus(x, 1), y))),
  ]),
  Igamma: broadcasting((at) => incompleteGamma(at, 1)),
  Igammac: broadcasting((at) => incompleteGamma(at, -1)),
}

function incompleteGamma({ e, x: a, y: x, grad }: Flow, sign: 1 | -1): [Output, Output] {
  const exponent = e.sub(e.add(e.neg(x), e.mul(e.plus(a, -1), e.t('Log', x))), e.t('Lgamma', a))
  const parts = [e.t('IgammaGradA', a, x), e.t('Exp', exponent)].map((part) => e.mul(part, grad))
  const [toA, toX] = sign === 1 ? parts : parts.map((part) => e.neg(part))
  return [toA, toX]
}

const betainc: GradientFunction = ({ e, inputs: [a, b, x], grad }) => {
  const logBeta = e.sub(e.add(e.t('Lgamma', a), e.t('Lgamma', b)), e.t('Lgamma', e.add(a, b)))
  const powers = e.add(
    e.mul(e.plus(b, -1), e.t('Log1p', e.neg(x))),
    e.mul(e.plus(a, -1), e.t('Log', x)),
  )
  const toX = e.mul(grad, e.t('Exp', e.sub(powers, logBeta)))
  return [undefined, undefined, unbroadcast({ e, x: a, y: x }, undefined, toX)[1]]
}

/** Gradients of the gradient ops, for second derivatives. */
const seconds: GradientTable = {
  ...sameFor(['InvGrad', 'ReciprocalGrad'], ({ e, x, y, node, grad }) => {
    const [a, g] = [e.conj(x), e.conj(grad)]
    return [e.mul(e.mul(e.scaled(g, -2), y), a), e.t(node.op, a, grad)]
  }),
  SqrtGrad: ({ e, x, out, grad }) => {
    const part = e.div(grad, x)
    return [e.mul(e.neg(e.conj(part)), out), e.scaled(part, 0.5)]
  },
  RsqrtGrad: ({ e, x, y, grad }) => {
    const [a, g] = [e.conj(x), e.conj(grad)]
    return [e.mul(e.mul(e.scaled(g, -1.5), y), e.square(a)), e.t('RsqrtGrad', a, grad)]
  },
  TanhGrad: ({ e, x, y, grad }) => {
    const a = e.conj(x)
    return [e.mul(e.mul(e.scaled(grad, -2), e.conj(y)), a), e.t('TanhGrad', a, grad)]
  },
  SigmoidGrad: ({ e, x, y, grad }) => {
    const a = e.conj(x)
    const part = e.mul(grad, e.conj(y))
    return [e.sub(part, e.mul(e.scaled(part, 2), a)), e.t('SigmoidGrad', a, grad)]
  },
}

const select: GradientFunction = ({ e, inputs: [condition, x], grad }) => {
  const zero = e.zerosLike(x)
  const chosen = (yes: Output, no: Output): Output =>
    e.op('Select', [condition, yes, no], { T: attribute.type(yes.dtype) })
  return [undefined, chosen(grad, zero), chosen(zero, grad)]
}

const selectV2: GradientFunction = ({ e, inputs: [condition, x, y], out, grad }) => {
  const zero = e.scalar(0, grad.dtype)
  const shape = e.shape(out)
  const reduced = (flow: Output, to: Output): Output => {
    const own = e.shape(to)
    const [axes] = e.broadcastAxes(own, shape)
    return e.reshape(e.sum(flow, axes, true), own)
  }
  return [
    undefined,
    reduced(e.select(condition, grad, zero), x),
    reduced(e.select(condition, zero, grad), y),
  ]
}

const clip: GradientFunction = ({ e, inputs: [x, low, high], grad }) => {
  const zero = e.zerosLike(grad)
  const [below, above] = [e.t('Less', x, low), e.t('Greater', x, high)]
  const outside = e.node('LogicalOr', [below, above]).outputs[0]
  const toLow = unbroadcast({ e, x, y: low }, undefined, e.select(below, grad, zero))[1]
  const toHigh = unbroadcast({ e, x, y: high }, undefined, e.select(above, grad, zero))[1]
  return [e.select(outside, zero, grad), toLow, toHigh]
}

/** Elementwise arithmetic. */
export const mathGradients: GradientTable = {
  ...unaries,
  ...binaries,
  ...seconds,
  Betainc: betainc,
  Select: select,
  SelectV2: selectV2,
  ClipByValue: clip,
  ...sameFor(['AddN', 'AccumulateNV2'], ({ inputs, grad }) => inputs.map(() => grad)),
}
