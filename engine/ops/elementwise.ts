// Elementwise ops: one line each over scalar rows. Which rows there are, and how exact, is in engine/ir.
import {
  elementCountOf,
  elementsOf,
  formatShape,
  type Shape,
  type StringTensor,
  sameShape,
  stridesOf,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { type Expression, isFloat, isUnsigned, type ScalarType } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { elementwise, scalarType } from './common.ts'
import { complexComparison, complexElementwise, isComplex } from './complex-ops.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { broadcastPositions, broadcastShape, invalid } from './shapes.ts'
import type { BodyScope, ComputeCheck, TensorValue } from './value.ts'

type One = (b: Builder, x: Expression, dtype: ScalarType) => Expression
type Two = (b: Builder, x: Expression, y: Expression, dtype: ScalarType) => Expression

const row =
  (name: string): One =>
  (b, x) =>
    b.one(name, x)

const both =
  (name: string): Two =>
  (b, x, y) =>
    b.both(name, x, y)

/** An op of one operand whose result has its type. */
function unary(
  name: string,
  body: One = row(name.toLowerCase()),
  [input, output]: readonly [string, string] = ['x', 'y'],
): OpDefinition {
  return defineOp({
    name,
    inputs: [`${input}: T`],
    outputs: [`${output}: T`],
    attributes: ['T: type'],
    infer: (shapes) => shapes,
    lower: (at) => {
      const x = at.input(input)
      if (isComplex(x.dtype)) return [complexElementwise(at, [x])]
      const dtype = scalarType(x.dtype)
      return [elementwise(at, [x], dtype, (b, [operand]) => body(b, operand, dtype))]
    },
  })
}

/** A test of one operand. */
function test(name: string, body: One): OpDefinition {
  return defineOp({
    name,
    inputs: ['x: T'],
    outputs: ['y: bool'],
    attributes: ['T: type'],
    infer: (shapes) => shapes,
    lower: (at) => {
      const x = at.input('x')
      const dtype = scalarType(x.dtype)
      return [elementwise(at, [x], 'bool', (b, [operand]) => body(b, operand, dtype))]
    },
  })
}

/** An op of two operands that broadcast; the result has their type. */
function binary(name: string, body: Two): OpDefinition {
  return defineOp({
    name,
    inputs: ['x: T', 'y: T'],
    outputs: ['z: T'],
    attributes: ['T: type'],
    lower: (at) => {
      const operands = [at.input('x'), at.input('y')]
      if (isComplex(operands[0].dtype)) return [complexElementwise(at, operands)]
      const dtype = scalarType(operands[0].dtype)
      return [elementwise(at, operands, dtype, (b, [x, y]) => body(b, x, y, dtype))]
    },
  })
}

/** An integer division: refuses a divisor of 0; of floats the plain row. */
function division(name: string, body: Two): OpDefinition {
  return defineOp({
    name,
    inputs: ['x: T', 'y: T'],
    outputs: ['z: T'],
    attributes: ['T: type'],
    lower: (at) => {
      const [x, y] = [at.input('x'), at.input('y')]
      if (isComplex(x.dtype)) return [complexElementwise(at, [x, y])]
      const dtype = scalarType(x.dtype)
      const plain = elementwise(at, [x, y], dtype, (b, [p, q]) => body(b, p, q, dtype))
      if (isFloat(dtype) || plain.shape.includes(0)) return [plain]
      const divisor = at.knownContentOf(y)
      const isSafe = divisor !== undefined && !hasZero(divisor)
      if (isSafe) return [plain]
      const check: ComputeCheck['message'] = () => ({
        // TensorFlow expects no error of this op, and says so.
        code: name === 'TruncateDiv' ? 'INTERNAL' : 'INVALID_ARGUMENT',
        reason: 'run/division-by-zero',
        message: 'Integer division by zero',
      })
      return [
        at.compute({
          shape: plain.shape,
          dtype,
          inputs: [x, y],
          body: ({ b, axes, read }) =>
            body(
              b,
              read(0, broadcastPositions(b, axes, x.shape)),
              read(1, broadcastPositions(b, axes, y.shape)),
              dtype,
            ),
          checks: ({ b, axes, read }) => [
            { ok: b.notEqual(read(1, broadcastPositions(b, axes, y.shape)), 0), message: check },
          ],
        }),
      ]
    },
  })
}

function hasZero(tensor: Tensor): boolean {
  return tensor.dtype !== 'string' && elementsOf(tensor).some((element) => Number(element) === 0)
}

function comparison(name: string, rowName: string): OpDefinition {
  return defineOp({
    name,
    inputs: ['x: T', 'y: T'],
    outputs: ['z: bool'],
    attributes: ['T: type', 'incompatible_shape_error: bool = true'],
    lower: (at) => {
      const operands = [at.input('x'), at.input('y')]
      if (operands[0].dtype === 'string') return [compareStrings(at, name === 'Equal')]
      if (isComplex(operands[0].dtype)) return [complexComparison(at, operands)]
      return [elementwise(at, operands, 'bool', (b, [x, y]) => b.both(rowName, x, y))]
    },
  })
}

function logical(name: string, rowName: string): OpDefinition {
  return defineOp({
    name,
    inputs: ['x: bool', 'y: bool'],
    outputs: ['z: bool'],
    lower: (at) => [
      elementwise(at, [at.input('x'), at.input('y')], 'bool', (b, [x, y]) => b.both(rowName, x, y)),
    ],
  })
}

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

const activations: readonly OpDefinition[] = [
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

/** Of integers TensorFlow gives 0: its half, 0.5, is 0 in their type, so that every value is a tie. */
const round: One = (b, x, dtype) => (isFloat(dtype) ? b.one('round', x) : b.number(dtype, 0))

const unaries: readonly OpDefinition[] = [
  unary('Abs'),
  unary('Neg'),
  unary('Sign'),
  unary('Reciprocal'),
  unary('Inv', row('reciprocal')),
  unary('Square'),
  unary('Sqrt'),
  unary('Rsqrt'),
  unary('Exp'),
  unary('Expm1'),
  unary('Log'),
  unary('Log1p'),
  unary('Sin'),
  unary('Cos'),
  unary('Tan'),
  unary('Asin'),
  unary('Acos'),
  unary('Atan'),
  unary('Sinh'),
  unary('Cosh'),
  unary('Tanh'),
  unary('Asinh'),
  unary('Acosh'),
  unary('Atanh'),
  unary('Erf'),
  unary('Erfc'),
  unary('Lgamma'),
  unary('Digamma'),
  unary('Floor'),
  unary('Ceil'),
  unary('Round', round),
  unary('Rint', row('round')),
  unary('Invert'),
  unary('OnesLike', (b, _x, dtype) => b.number(dtype, 1)),
  unary('ZerosLike', (b, _x, dtype) => b.number(dtype, 0)),
  test('IsNan', row('is_nan')),
  test('IsInf', row('is_inf')),
  test('IsFinite', row('is_finite')),
  defineOp({
    name: 'LogicalNot',
    inputs: ['x: bool'],
    outputs: ['y: bool'],
    lower: (at) => [elementwise(at, [at.input('x')], 'bool', (b, [x]) => b.not(x))],
  }),
]

/** `y` where `x` is 0, so that what is undefined there counts nothing. */
const zeroWhere =
  (of: 'x' | 'y', body: Two): Two =>
  (b, x, y, dtype) =>
    b.select(b.equal(of === 'x' ? x : y, 0), 0, body(b, x, y, dtype))

const binaries: readonly OpDefinition[] = [
  binary('AddV2', both('add')),
  binary('Sub', both('sub')),
  binary('Mul', both('mul')),
  binary('RealDiv', both('div')),
  binary('Maximum', both('max')),
  binary('Minimum', both('min')),
  binary('Atan2', both('atan2')),
  binary('SquaredDifference', (b, x, y) => b.one('square', b.sub(x, y))),
  binary('DivNoNan', zeroWhere('y', both('div'))),
  binary('MulNoNan', zeroWhere('y', both('mul'))),
  binary('Xdivy', zeroWhere('x', both('div'))),
  binary(
    'Xlogy',
    zeroWhere('x', (b, x, y) => b.mul(x, b.one('log', y))),
  ),
  binary(
    'Xlog1py',
    zeroWhere('x', (b, x, y) => b.mul(x, b.one('log1p', y))),
  ),
  binary('BitwiseAnd', both('bitwise_and')),
  binary('BitwiseOr', both('bitwise_or')),
  binary('BitwiseXor', both('bitwise_xor')),
  binary('LeftShift', both('shift_left')),
  binary('RightShift', both('shift_right')),
  division('Div', (b, x, y, dtype) => b.both(isFloat(dtype) ? 'div' : 'truncate_div', x, y)),
  division('FloorDiv', both('floor_div')),
  division('TruncateDiv', both('truncate_div')),
  division('FloorMod', both('floor_mod')),
  division('Mod', both('truncate_mod')),
  division('TruncateMod', both('truncate_mod')),
  comparison('Equal', 'equal'),
  comparison('NotEqual', 'not_equal'),
  comparison('Less', 'less'),
  comparison('LessEqual', 'less_equal'),
  comparison('Greater', 'greater'),
  comparison('GreaterEqual', 'greater_equal'),
  logical('LogicalAnd', 'logical_and'),
  logical('LogicalOr', 'logical_or'),
]

const add = defineOp({
  name: 'Add',
  inputs: ['x: T', 'y: T'],
  outputs: ['z: T'],
  attributes: ['T: type'],
  lower: (at) => {
    const operands = [at.input('x'), at.input('y')]
    if (operands[0].dtype === 'string') return [joinStrings(at)]
    if (isComplex(operands[0].dtype)) return [complexElementwise(at, operands)]
    const dtype = scalarType(operands[0].dtype)
    return [elementwise(at, operands, dtype, (b, [x, y]) => b.add(x, y))]
  },
})

function joinStrings(at: Lowering): TensorValue {
  const operands = [at.input('x'), at.input('y')]
  const shape = broadcastShape(operands[0].shape, operands[1].shape)
  const [output] = at.step({
    inputs: operands,
    outputs: [{ dtype: 'string', shape }],
    run: (tensors) => {
      const [x, y] = tensors.map((tensor) => broadcastStrings(tensor as StringTensor, shape))
      return [
        stringTensor(
          shape,
          x.map((bytes, place) => concatBytes(bytes, y[place])),
        ),
      ]
    },
  })
  return output
}

function compareStrings(at: Lowering, wantsEqual: boolean): TensorValue {
  const operands = [at.input('x'), at.input('y')]
  const shape = broadcastShape(operands[0].shape, operands[1].shape)
  const [output] = at.step({
    inputs: operands,
    outputs: [{ dtype: 'bool', shape }],
    run: (tensors) => {
      const [x, y] = tensors.map((tensor) => broadcastStrings(tensor as StringTensor, shape))
      const same = x.map((bytes, place) => sameBytes(bytes, y[place]) === wantsEqual)
      return [tensorOfElements('bool', shape, same)]
    },
  })
  return output
}

function broadcastStrings({ shape, strings }: StringTensor, to: Shape): readonly Uint8Array[] {
  const strides = stridesOf(shape)
  const skipped = to.length - shape.length
  return Array.from({ length: elementCountOf(to) }, (_, flat) => {
    let rest = flat
    let place = 0
    for (let axis = to.length - 1; axis >= 0; axis--) {
      const own = axis - skipped
      if (own >= 0 && shape[own] !== 1) place += (rest % to[axis]) * strides[own]
      rest = Math.floor(rest / to[axis])
    }
    return strings[place]
  })
}

function concatBytes(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.byteLength + b.byteLength)
  joined.set(a)
  joined.set(b, a.byteLength)
  return joined
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, place) => byte === b[place])
}

/** Of integers a negative exponent is refused. */
const pow = defineOp({
  name: 'Pow',
  inputs: ['x: T', 'y: T'],
  outputs: ['z: T'],
  attributes: ['T: type'],
  lower: (at) => {
    const [x, y] = [at.input('x'), at.input('y')]
    if (isComplex(x.dtype)) return [complexElementwise(at, [x, y])]
    const dtype = scalarType(x.dtype)
    const shape = broadcastShape(x.shape, y.shape)
    const body = ({ b, axes, read }: BodyScope): Expression =>
      b.both(
        'pow',
        read(0, broadcastPositions(b, axes, x.shape)),
        read(1, broadcastPositions(b, axes, y.shape)),
      )
    const inputs = [x, y]
    if (isFloat(dtype) || isUnsigned(dtype)) return [at.compute({ shape, dtype, inputs, body })]
    return [
      at.compute({
        shape,
        dtype,
        inputs,
        body,
        checks: ({ b, axes, read }) => [
          {
            ok: b.greaterEqual(read(1, broadcastPositions(b, axes, y.shape)), 0),
            message: () => ({
              code: 'INVALID_ARGUMENT',
              reason: 'run/negative-power',
              message: 'Integers to negative integer powers are not allowed',
            }),
          },
        ],
      }),
    ]
  },
})

/** The sum of all inputs, two at a time so that no kernel binds many. */
const addN = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['inputs: N * T'],
    outputs: ['sum: T'],
    attributes: ['N: int >= 1', 'T: type', 'shape: shape = unknown'],
    lower: (at) => {
      const inputs = at.inputs('inputs')
      const dtype = scalarType(inputs[0].dtype)
      for (const { shape } of inputs) {
        if (!sameShape(shape, inputs[0].shape)) {
          throw invalid(
            'shape/mismatch',
            `Inputs to operation ${at.node.name} of type ${name} must have the same size and shape.  Input 0: ${formatShape(inputs[0].shape)} != input: ${formatShape(shape)}`,
          )
        }
      }
      return [
        inputs.reduce((sum, input) =>
          elementwise(at, [sum, input], dtype, (b, [x, y]) => b.add(x, y)),
        ),
      ]
    },
  })

const cast = defineOp({
  name: 'Cast',
  inputs: ['x: SrcT'],
  outputs: ['y: DstT'],
  attributes: ['SrcT: type', 'DstT: type', 'Truncate: bool = false'],
  infer: (shapes) => shapes,
  lower: (at) => {
    const x = at.input('x')
    const to = at.attributes.type('DstT')
    if (to === x.dtype) return [x]
    const truncates = at.attributes.bool('Truncate') && isFloat(scalarType(to))
    const dtype = scalarType(to)
    return [
      elementwise(at, [x], dtype, (b, [v]) =>
        truncates ? b.apply('truncate_cast', [v], dtype) : b.cast(v, dtype),
      ),
    ]
  },
})

const selectV2 = defineOp({
  name: 'SelectV2',
  inputs: ['condition: bool', 't: T', 'e: T'],
  outputs: ['output: T'],
  attributes: ['T: type'],
  lower: (at) => {
    const operands = [at.input('condition'), at.input('t'), at.input('e')]
    const dtype = scalarType(operands[1].dtype)
    return [elementwise(at, operands, dtype, (b, [condition, t, e]) => b.select(condition, t, e))]
  },
})

/** The condition is a scalar, a vector over the first dimension, or of the operands' shape. */
const select = defineOp({
  name: 'Select',
  inputs: ['condition: bool', 't: T', 'e: T'],
  outputs: ['output: T'],
  attributes: ['T: type'],
  lower: (at) => {
    const [condition, t, e] = [at.input('condition'), at.input('t'), at.input('e')]
    const { shape } = t
    if (!sameShape(shape, e.shape)) {
      throw invalid(
        'shape/mismatch',
        `'then' and 'else' must have the same size.  but received: ${formatShape(shape)} vs. ${formatShape(e.shape)}`,
      )
    }
    const isVector = condition.shape.length === 1 && shape.length > 1
    const fits = isVector
      ? condition.shape[0] === shape[0]
      : condition.shape.length === 0 || sameShape(condition.shape, shape)
    if (!fits) {
      throw invalid(
        'shape/mismatch',
        `Inputs to operation ${at.node.name} of type Select must have the same size and shape: condition ${formatShape(condition.shape)}, then ${formatShape(shape)}`,
      )
    }
    return [
      at.compute({
        shape,
        dtype: scalarType(t.dtype),
        inputs: [condition, t, e],
        body: ({ b, axes, read }) =>
          b.select(read(0, axes.slice(0, condition.shape.length)), read(1, axes), read(2, axes)),
      }),
    ]
  },
})

const clipByValue = defineOp({
  name: 'ClipByValue',
  inputs: ['t: T', 'clip_value_min: T', 'clip_value_max: T'],
  outputs: ['output: T'],
  attributes: ['T: type'],
  lower: (at) => {
    const operands = [at.input('t'), at.input('clip_value_min'), at.input('clip_value_max')]
    const dtype = scalarType(operands[0].dtype)
    return [elementwise(at, operands, dtype, (b, [t, low, high]) => b.max(b.min(t, high), low))]
  },
})

const approximateEqual = defineOp({
  name: 'ApproximateEqual',
  inputs: ['x: T', 'y: T'],
  outputs: ['z: bool'],
  attributes: ['T: type', 'tolerance: float = 1e-5'],
  lower: (at) => {
    const operands = [at.input('x'), at.input('y')]
    const tolerance = at.attributes.float('tolerance')
    return [
      elementwise(at, operands, 'bool', (b, [x, y]) =>
        b.less(b.one('abs', b.sub(x, y)), tolerance),
      ),
    ]
  },
})

/** Elementwise ops. */
export const elementwiseOps: readonly OpDefinition[] = [
  ...activations,
  ...gradients,
  ...unaries,
  ...binaries,
  add,
  pow,
  addN('AddN'),
  addN('AccumulateNV2'),
  cast,
  select,
  selectV2,
  clipByValue,
  approximateEqual,
]
