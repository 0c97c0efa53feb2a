// Activations of neural networks, and the gradients of elementwise ops.
import { elementwise, scalarType } from './common.ts'
import { complexElementwise, isComplex } from './complex-ops.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { type One, type Two, unary } from './elementwise-form.ts'

/** The gradient of an elementwise op, by what came in or out of it. */
function gradient(name: string, inputs: readonly [string, string], body: Two): OpDefinition {
  return defineOp({
    name,
    inputs: inputs.map((input) => `${input}: T`),
    outputs: [inputs[0] === 'gradients' ? 'backprops: T' : 'z: T'],
    attributes: ['T: type'],
    lower: (at) => {
      const operands = inputs.map((input) => at.input(input))
      if (isComplex(operands[0].dtype)) return [complexElementwise(at, operands)]
      const dtype = scalarType(operands[0].dtype)
      return [elementwise(at, operands, dtype, (b, [x, y]) => body(b, x, y, dtype))]
    },
  })
}

const sigmoid: One = (b, x) => b.div(1, b.add(b.one('exp', b.one('neg', x)), 1))

/** Where `x` is so large or small that log(1 + exp(x)) is x or exp(x): TensorFlow's threshold. */
const softplus: One = (b, x, dtype) => {
  const epsilon =
    { float64: 2 ** -52, float16: 2 ** -10, bfloat16: 2 ** -7 }[dtype as string] ?? 2 ** -23
  const threshold = Math.log(epsilon) + 2
  const exp = b.one('exp', x)
  const middle = b.select(b.less(x, threshold), exp, b.one('log1p', exp))
  return b.select(b.greater(x, -threshold), x, middle)
}

const seluScale = 1.0507009873554805
const seluScaleAlpha = 1.7580993408473768

const leakyRelu = defineOp({
  name: 'LeakyRelu',
  inputs: ['features: T'],
  outputs: ['activations: T'],
  attributes: ['alpha: float = 0.2', 'T: {half, bfloat16, float, double} = float'],
  infer: (shapes) => shapes,
  lower: (at) => {
    const x = at.input('features')
    const alpha = at.attributes.float('alpha')
    return [
      elementwise(at, [x], scalarType(x.dtype), (b, [v]) =>
        b.select(b.greater(v, 0), v, b.mul(v, alpha)),
      ),
    ]
  },
})

const leakyReluGrad = defineOp({
  name: 'LeakyReluGrad',
  inputs: ['gradients: T', 'features: T'],
  outputs: ['backprops: T'],
  attributes: ['alpha: float = 0.2', 'T: {half, bfloat16, float, double} = float'],
  lower: (at) => {
    const operands = [at.input('gradients'), at.input('features')]
    const alpha = at.attributes.float('alpha')
    return [
      elementwise(at, operands, scalarType(operands[0].dtype), (b, [dy, x]) =>
        b.select(b.greater(x, 0), dy, b.mul(dy, alpha)),
      ),
    ]
  },
})

const activation = ['features', 'activations'] as const

const plain: readonly OpDefinition[] = [
  unary('Sigmoid', sigmoid),
  unary('Softplus', softplus, activation),
  unary('Softsign', (b, x) => b.div(x, b.add(b.one('abs', x), 1)), activation),
  unary('Relu', (b, x) => b.max(x, 0), activation),
  unary('Relu6', (b, x) => b.min(b.max(x, 0), 6), activation),
  unary('Elu', (b, x) => b.select(b.less(x, 0), b.one('expm1', x), x), activation),
  unary(
    'Selu',
    (b, x) => b.select(b.less(x, 0), b.mul(b.one('expm1', x), seluScaleAlpha), b.mul(x, seluScale)),
    activation,
  ),
  leakyRelu,
  leakyReluGrad,
]

const gradients: readonly OpDefinition[] = [
  gradient('ReluGrad', ['gradients', 'features'], (b, dy, x) => b.select(b.greater(x, 0), dy, 0)),
  gradient('Relu6Grad', ['gradients', 'features'], (b, dy, x) =>
    b.select(b.and(b.greater(x, 0), b.less(x, 6)), dy, 0),
  ),
  gradient('EluGrad', ['gradients', 'outputs'], (b, dy, y) =>
    b.select(b.less(y, 0), b.mul(b.add(y, 1), dy), dy),
  ),
  gradient('SeluGrad', ['gradients', 'outputs'], (b, dy, y) =>
    b.select(b.less(y, 0), b.mul(dy, b.add(y, seluScaleAlpha)), b.mul(dy, seluScale)),
  ),
  gradient('SoftplusGrad', ['gradients', 'features'], (b, dy, x) =>
    b.div(dy, b.add(b.one('exp', b.one('neg', x)), 1)),
  ),
  gradient('SoftsignGrad', ['gradients', 'features'], (b, dy, x) =>
    b.div(dy, b.one('square', b.add(b.one('abs', x), 1))),
  ),
  gradient('SigmoidGrad', ['y', 'dy'], (b, y, dy) => b.mul(b.mul(dy, y), b.sub(1, y))),
  gradient('TanhGrad', ['y', 'dy'], (b, y, dy) => b.mul(dy, b.sub(1, b.one('square', y)))),
  gradient('SqrtGrad', ['y', 'dy'], (b, y, dy) => b.div(b.mul(dy, 0.5), y)),
  gradient('RsqrtGrad', ['y', 'dy'], (b, y, dy) => b.mul(b.mul(b.mul(dy, y), b.mul(y, y)), -0.5)),
  gradient('ReciprocalGrad', ['y', 'dy'], (b, y, dy) => b.mul(b.mul(b.one('neg', dy), y), y)),
  gradient('InvGrad', ['y', 'dy'], (b, y, dy) => b.mul(b.mul(b.one('neg', dy), y), y)),
]

/** Activations, and gradients of elementwise ops. */
export const activationOps: readonly OpDefinition[] = [...plain, ...gradients]
