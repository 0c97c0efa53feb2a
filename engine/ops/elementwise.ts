// Elementwise ops: one line each over scalar rows. Which rows there are, and how exact, is in engine/ir.
import { elementsOf, formatShape, sameShape, type Tensor } from '../../tensor/index.ts'
import { type Expression, isFloat, isUnsigned } from '../ir/index.ts'
import { elementwise, scalarType } from './common.ts'
import { complexComparison, complexElementwise, isComplex } from './complex-ops.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { binary, both, type One, row, type Two, unary } from './elementwise-form.ts'
import { compareStrings, joinStrings } from './elementwise-strings.ts'
import { broadcastPositions, broadcastShape, invalid } from './shapes.ts'
import type { BodyScope, ComputeCheck } from './value.ts'

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
