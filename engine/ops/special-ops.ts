// Special functions: the normal quantile as an expression, those of several numbers on the host.
import {
  elementCountOf,
  elementsOf,
  type NumericDType,
  type NumericTensor,
  type Shape,
  sameShape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { type Expression, isFloat } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { elementwise, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { placeIn } from './host-broadcast.ts'
import { broadcastShape, invalid } from './shapes.ts'
import { incompleteBeta, lowerGamma, polygamma, upperGamma, zeta } from './special-functions.ts'
import type { TensorValue } from './value.ts'

// Coefficients of Cephes' ndtri, the highest power first.
const centerAbove = [
  -59.96335010141079, 98.00107541859997, -56.67628574690703, 13.931260938727968,
  -1.2391658386738125,
]
const centerBelow = [
  1, 1.9544885833814176, 4.676279128988815, 86.36024213908905, -225.46268785411937,
  200.26021238006066, -82.03722561683334, 15.90562251262117, -1.1833162112133,
]
const tailAbove = [
  4.0554489230596245, 31.525109459989388, 57.16281922464213, 44.08050738932008, 14.684956192885803,
  2.1866330685079025, -0.1402560791713545, -0.03504246268278482, -0.0008574567851546854,
]
const tailBelow = [
  1, 15.779988325646675, 45.39076351288792, 41.3172038254672, 15.04253856929075, 2.504649462083094,
  -0.14218292285478779, -0.03808064076915783, -0.0009332594808954574,
]
const farAbove = [
  3.2377489177694603, 6.915228890689842, 3.9388102529247444, 1.3330346081580755,
  0.20148538954917908, 0.012371663481782003, 0.00030158155350823543, 0.0000026580697468673755,
  6.239745391849833e-9,
]
const farBelow = [
  1, 6.02427039364742, 3.6798356385616087, 1.3770209948908132, 0.21623699359449663,
  0.013420400608854318, 0.00032801446468212774, 0.0000028924786474538068, 6.790194080099813e-9,
]

function polynomial(b: Builder, x: Expression, coefficients: readonly number[]): Expression {
  return coefficients
    .slice(1)
    .reduce<Expression>(
      (sum, coefficient) => b.add(b.mul(sum, x), coefficient),
      b.number(x.dtype, coefficients[0]),
    )
}

const edge = Math.exp(-2)

/** The number below which a normal variable lies with this probability. */
function normalQuantile(b: Builder, probability: Expression): Expression {
  const isUpper = b.greater(probability, 1 - edge)
  const p = b.select(isUpper, b.sub(1, probability), probability)
  const away = b.sub(p, 0.5)
  const square = b.mul(away, away)
  const bend = b.div(polynomial(b, square, centerAbove), polynomial(b, square, centerBelow))
  const center = b.mul(b.add(away, b.mul(away, b.mul(square, bend))), Math.sqrt(2 * Math.PI))
  const x = b.one('sqrt', b.mul(b.one('log', p), -2))
  const first = b.sub(x, b.div(b.one('log', x), x))
  const z = b.div(1, x)
  const near = b.div(polynomial(b, z, tailAbove), polynomial(b, z, tailBelow))
  const far = b.div(polynomial(b, z, farAbove), polynomial(b, z, farBelow))
  const tail = b.sub(first, b.mul(z, b.select(b.less(x, 8), near, far)))
  const signed = b.select(isUpper, tail, b.one('neg', tail))
  const inside = b.select(b.greater(p, edge), center, signed)
  const atEnd = b.select(
    b.equal(probability, 0),
    Number.NEGATIVE_INFINITY,
    b.select(b.equal(probability, 1), b.number(p.dtype, Number.POSITIVE_INFINITY), Number.NaN),
  )
  return b.select(b.and(b.greater(probability, 0), b.less(probability, 1)), inside, atEnd)
}

function quantile(name: string, of: (b: Builder, x: Expression) => Expression): OpDefinition {
  return defineOp({
    name,
    inputs: ['x: T'],
    outputs: ['y: T'],
    attributes: ['T: {half, bfloat16, float, double}'],
    infer: (shapes) => shapes,
    lower: (at) => {
      const x = at.input('x')
      const dtype = scalarType(x.dtype)
      const wide = dtype === 'float64' ? 'float64' : 'float32'
      return [
        elementwise(at, [x], dtype, (b, [value]) => b.cast(of(b, b.cast(value, wide)), dtype)),
      ]
    },
  })
}

function spread(tensor: Tensor, to: Shape): Float64Array {
  const all = elementsOf(tensor as NumericTensor)
  return Float64Array.from({ length: elementCountOf(to) }, (_, flat) =>
    Number(all[placeIn(flat, to, tensor.shape)]),
  )
}

function onHost(
  at: Lowering,
  inputs: readonly TensorValue[],
  of: (...numbers: number[]) => number,
): TensorValue {
  const shape = inputs.map((input) => input.shape).reduce(broadcastShape)
  const dtype = scalarType(inputs[0].dtype)
  if (!isFloat(dtype)) throw invalid('op/type', `The op is not defined for ${dtype}`)
  const [output] = at.step({
    inputs,
    outputs: [{ dtype, shape }],
    run: (tensors) => {
      const all = tensors.map((tensor) => spread(tensor, shape))
      const values = Array.from({ length: elementCountOf(shape) }, (_, place) =>
        of(...all.map((numbers) => numbers[place])),
      )
      return [tensorOfElements(dtype as NumericDType, shape, values)]
    },
  })
  return output
}

function ofTwo(
  name: string,
  inputs: readonly [string, string],
  of: (x: number, y: number) => number,
): OpDefinition {
  return defineOp({
    name,
    inputs: inputs.map((input) => `${input}: T`),
    outputs: ['z: T'],
    attributes: ['T: type'],
    lower: (at) => [
      onHost(
        at,
        inputs.map((input) => at.input(input)),
        of,
      ),
    ],
  })
}

/** Scalars go with any shape; other shapes must be the same. */
const betainc = defineOp({
  name: 'Betainc',
  inputs: ['a: T', 'b: T', 'x: T'],
  outputs: ['z: T'],
  attributes: ['T: {float, double}'],
  lower: (at) => {
    const inputs = ['a', 'b', 'x'].map((name) => at.input(name))
    const shapes = inputs.map((input) => input.shape).filter((shape) => shape.length > 0)
    if (shapes.some((shape) => !sameShape(shape, shapes[0]))) {
      throw invalid(
        'shape/mismatch',
        'Shapes of a, b and x must be the same where they are no scalars',
      )
    }
    return [onHost(at, inputs, incompleteBeta)]
  },
})

/** Special functions. */
export const specialOps: readonly OpDefinition[] = [
  quantile('Ndtri', normalQuantile),
  quantile('Erfinv', (b, x) => b.mul(normalQuantile(b, b.add(b.mul(x, 0.5), 0.5)), Math.SQRT1_2)),
  ofTwo('Igamma', ['a', 'x'], lowerGamma),
  ofTwo('Igammac', ['a', 'x'], upperGamma),
  ofTwo('Zeta', ['x', 'q'], zeta),
  ofTwo('Polygamma', ['a', 'x'], polygamma),
  betainc,
]
