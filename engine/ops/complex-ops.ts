// Elementwise ops of complex tensors, on the host: no kernel holds complex numbers. The ops that have
// real forms too are defined in elementwise.ts, which comes here for complex operands.
import {
  type DType,
  type Element,
  elementCountOf,
  elementsOf,
  type NumericDType,
  type NumericTensor,
  Refusal,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { isKernelType } from './common.ts'
import * as complex from './complex.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { placeIn } from './host-broadcast.ts'
import { broadcastShape } from './shapes.ts'
import type { TensorValue } from './value.ts'

type Complex = complex.Complex

/** Whether elements of the type are complex numbers. */
export function isComplex(dtype: DType): dtype is 'complex64' | 'complex128' {
  return dtype === 'complex64' || dtype === 'complex128'
}

const ofOne: Readonly<Record<string, (z: Complex) => Complex>> = {
  Neg: complex.negative,
  Sign: complex.direction,
  Reciprocal: complex.reciprocal,
  Inv: complex.reciprocal,
  Square: (z) => complex.multiply(z, z),
  Sqrt: complex.squareRoot,
  Rsqrt: (z) => complex.reciprocal(complex.squareRoot(z)),
  Exp: complex.exponential,
  Expm1: complex.exponentialLessOne,
  Log: complex.logarithm,
  Log1p: complex.logarithmOfOnePlus,
  Sin: complex.sine,
  Cos: complex.cosine,
  Tan: complex.tangent,
  Sinh: complex.hyperbolicSine,
  Cosh: complex.hyperbolicCosine,
  Tanh: complex.hyperbolicTangent,
  Asin: complex.inverseSine,
  Acos: complex.inverseCosine,
  Atan: complex.inverseTangent,
  Asinh: complex.inverseHyperbolicSine,
  Acosh: complex.inverseHyperbolicCosine,
  Atanh: complex.inverseHyperbolicTangent,
  Sigmoid: complex.logistic,
  Conj: complex.conjugate,
  ConjugateTranspose: complex.conjugate,
  OnesLike: () => [1, 0],
  ZerosLike: () => [0, 0],
}

const ofTwo: Readonly<Record<string, (x: Complex, y: Complex) => Complex>> = {
  Add: complex.add,
  AddV2: complex.add,
  Sub: complex.subtract,
  Mul: complex.multiply,
  Div: complex.divide,
  RealDiv: complex.divide,
  Pow: complex.power,
  SquaredDifference: (x, y) => {
    const away = complex.subtract(x, y)
    return complex.multiply(away, complex.conjugate(away))
  },
  DivNoNan: complex.divideOrZero,
  MulNoNan: complex.multiplyOrZero,
  Xdivy: complex.zeroOrDivide,
  Xlogy: complex.zeroOrLogarithm,
  Xlog1py: complex.zeroOrLogarithmOfOnePlus,
  SigmoidGrad: (y, dy) =>
    complex.multiply(
      complex.multiply(dy, complex.conjugate(y)),
      complex.subtract([1, 0], complex.conjugate(y)),
    ),
  TanhGrad: (y, dy) => {
    const conjugate = complex.conjugate(y)
    return complex.multiply(dy, complex.subtract([1, 0], complex.multiply(conjugate, conjugate)))
  },
}

function missing(op: string, dtype: DType): Refusal {
  return new Refusal('UNIMPLEMENTED', 'op/type', `${op} is not implemented for ${dtype}.`)
}

function numbersOf(tensor: Tensor): readonly Complex[] {
  return elementsOf(tensor as NumericTensor) as unknown as readonly Complex[]
}

/** Elements repeated to a shape that their own broadcasts to. */
function spread(tensor: Tensor, to: Shape): readonly Complex[] {
  const all = numbersOf(tensor)
  return Array.from(
    { length: elementCountOf(to) },
    (_, flat) => all[placeIn(flat, to, tensor.shape)],
  )
}

function mapped(
  at: Lowering,
  inputs: readonly TensorValue[],
  dtype: NumericDType,
  of: (operands: readonly Complex[]) => Element,
): TensorValue {
  const shape = inputs.map((input) => input.shape).reduce(broadcastShape)
  const [output] = at.step({
    inputs,
    outputs: [{ dtype, shape }],
    run: (tensors) => {
      const all = tensors.map((tensor) => spread(tensor, shape))
      const elements = Array.from({ length: elementCountOf(shape) }, (_, place) =>
        of(all.map((operand) => operand[place])),
      )
      return [tensorOfElements(dtype, shape, elements)]
    },
  })
  return output
}

/** The node's op on complex operands; refuses (UNIMPLEMENTED, `op/type`) an op that has no such form. */
export function complexElementwise(at: Lowering, inputs: readonly TensorValue[]): TensorValue {
  const { op } = at.node
  const dtype = inputs[0].dtype as NumericDType
  const one = Object.hasOwn(ofOne, op) ? ofOne[op] : undefined
  if (one !== undefined && inputs.length === 1) return mapped(at, inputs, dtype, ([z]) => one(z))
  const two = Object.hasOwn(ofTwo, op) ? ofTwo[op] : undefined
  if (two === undefined || inputs.length !== 2) throw missing(op, dtype)
  return mapped(at, inputs, dtype, ([x, y]) => two(x, y))
}

/** Whether complex elements are equal (or not); refuses other comparisons, which they do not have. */
export function complexComparison(at: Lowering, inputs: readonly TensorValue[]): TensorValue {
  const { op } = at.node
  if (op !== 'Equal' && op !== 'NotEqual') throw missing(op, inputs[0].dtype)
  return mapped(at, inputs, 'bool', ([[a, b], [c, d]]) => (a === c && b === d) === (op === 'Equal'))
}

/** An op from complex numbers to real ones. */
function toReal(
  name: string,
  input: string,
  output: string,
  of: (z: Complex) => number,
): OpDefinition {
  return defineOp({
    name,
    inputs: [`${input}: T`],
    outputs: [`${output}: Tout`],
    attributes: ['T: {complex64, complex128} = complex64', 'Tout: {float, double} = float'],
    infer: (shapes) => shapes,
    lower: (at) => {
      const z = at.input(input)
      if (!isComplex(z.dtype)) throw missing(name, z.dtype)
      return [mapped(at, [z], at.attributes.type('Tout') as NumericDType, ([one]) => of(one))]
    },
  })
}

const complexOf = defineOp({
  name: 'Complex',
  inputs: ['real: T', 'imag: T'],
  outputs: ['out: Tout'],
  attributes: ['T: {float, double} = float', 'Tout: {complex64, complex128} = complex64'],
  lower: (at) => {
    const inputs = [at.input('real'), at.input('imag')]
    const shape = inputs.map((input) => input.shape).reduce(broadcastShape)
    const dtype = at.attributes.type('Tout') as NumericDType
    return at.step({
      inputs,
      outputs: [{ dtype, shape }],
      run: (tensors) => {
        const [re, im] = tensors.map((tensor) => spread(tensor, shape) as unknown as number[])
        return [
          tensorOfElements(
            dtype,
            shape,
            re.map((part, place): Complex => [part, im[place]]),
          ),
        ]
      },
    })
  },
})

/** Of real numbers the number itself. */
const conj = defineOp({
  name: 'Conj',
  inputs: ['input: T'],
  outputs: ['output: T'],
  attributes: ['T: type'],
  infer: (shapes) => shapes,
  lower: (at) => {
    const input = at.input('input')
    if (isComplex(input.dtype)) return [complexElementwise(at, [input])]
    if (isKernelType(input.dtype)) return [input]
    throw missing('Conj', input.dtype)
  },
})

/** Ops that only complex numbers have. */
export const complexOps: readonly OpDefinition[] = [
  complexOf,
  conj,
  toReal('Real', 'input', 'output', ([re]) => re),
  toReal('Imag', 'input', 'output', ([, im]) => im),
  toReal('Angle', 'input', 'output', complex.angle),
  toReal('ComplexAbs', 'x', 'y', complex.magnitude),
]
