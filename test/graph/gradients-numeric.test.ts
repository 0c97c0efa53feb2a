// Every gradient against central differences, on the reference device. An op of the table of gradients that
// is neither here nor named as not compared fails the test.
import t from 'tap'
import {
  type AttributeDraft,
  attribute,
  differentiableOps,
  type Output,
} from '../../graph/index.ts'
import {
  elementCountOf,
  type NumericDType,
  type Shape,
  tensorOfElements,
} from '../../tensor/index.ts'
import {
  differences,
  newGraph,
  numbers,
  placeholder,
  referenceEngine,
  weighted,
} from './gradient-bench.ts'

type Numbers = readonly number[]

/** An input: floats to differentiate by, or whole numbers that stay as they are. */
type Given =
  | { readonly shape: Shape; readonly values: Numbers }
  | { readonly fixed: Numbers; readonly of: Shape; readonly dtype: NumericDType }

interface Case {
  readonly op: string
  readonly given: readonly Given[]
  readonly attributes?: Readonly<Record<string, AttributeDraft>>
  /** Default float64. */
  readonly dtype?: 'float32' | 'float64'
  /** Outputs to look at; default: all that are floats. */
  readonly outputs?: Numbers
  /** Types named by other attributes than T. */
  readonly typeAttribute?: string
}

/** Floats of that shape between 0.2 and 1.2, moved and stretched. */
function floats(shape: Shape, scale = 1, offset = 0, from = 1): Given {
  const values = numbers(elementCountOf(shape), from).map((value) => value * scale + offset)
  return { shape, values }
}

function whole(
  values: Numbers,
  shape: Shape = [values.length],
  dtype: NumericDType = 'int32',
): Given {
  return { fixed: values, of: shape, dtype }
}

const int32 = attribute.type('int32')
const ints = (...values: Numbers): AttributeDraft => ({ list: { i: values.map(BigInt) } })
const matrix = [2, 3]

/** Elementwise ops of one input, at values where they are smooth. */
const unary = (scale: number, offset: number, ...ops: readonly string[]): Case[] =>
  ops.map((op) => ({ op, given: [floats(matrix, scale, offset)] }))

const unaries: readonly Case[] = [
  ...unary(
    2,
    -1.37,
    'Neg',
    'Abs',
    'Sign',
    'Square',
    'Exp',
    'Expm1',
    'Sin',
    'Cos',
    'Tanh',
    'Sigmoid',
  ),
  ...unary(2, -1.37, 'Atan', 'Sinh', 'Cosh', 'Asinh', 'Erf', 'Erfc', 'Softplus', 'Softsign'),
  ...unary(2, -1.37, 'Relu', 'Elu', 'Selu', 'Identity', 'Snapshot', 'DeepCopy', 'LeakyRelu'),
  ...unary(1, 0, 'Sqrt', 'Rsqrt', 'Log', 'Log1p', 'Tan', 'Reciprocal', 'Inv', 'Lgamma', 'Digamma'),
  ...unary(0.7, 0, 'Asin', 'Acos', 'Atanh', 'Erfinv'),
  ...unary(0.7, 0.05, 'Ndtri'),
  ...unary(1, 1, 'Acosh'),
  ...unary(9, -4.2, 'Relu6'),
  ...unary(1, 0, 'Softmax', 'LogSoftmax', 'L2Loss'),
]

const binary = (second: Given, ...ops: readonly string[]): Case[] =>
  ops.map((op) => ({ op, given: [floats(matrix, 2, -0.77), second] }))

const binaries: readonly Case[] = [
  ...binary(floats([3], 1, 0, 9), 'Add', 'AddV2', 'Sub', 'Mul', 'MulNoNan', 'Div', 'RealDiv'),
  ...binary(floats([3], 1, 0, 9), 'DivNoNan', 'FloorMod', 'Maximum', 'Minimum'),
  ...binary(floats([3], 1, 0, 9), 'SquaredDifference', 'Atan2', 'Xdivy', 'Xlogy', 'Xlog1py'),
  { op: 'Pow', given: [floats(matrix), floats([3], 2, -1, 9)] },
  { op: 'Zeta', given: [whole([2, 3], [2, 1], 'float64'), floats([3], 1, 1)] },
  { op: 'Polygamma', given: [whole([1, 2], [2, 1], 'float64'), floats([3], 1, 1)] },
  { op: 'Igamma', given: [whole([1, 2], [2, 1], 'float64'), floats([3])] },
  { op: 'Igammac', given: [whole([1, 2], [2, 1], 'float64'), floats([3])] },
  {
    op: 'Betainc',
    given: [
      whole([1, 2], [2], 'float64'),
      whole([3, 2], [2], 'float64'),
      { shape: [2], values: [0.3, 0.6] },
    ],
  },
  // Gradients of gradients.
  ...['TanhGrad', 'SigmoidGrad', 'SqrtGrad', 'RsqrtGrad', 'InvGrad', 'ReciprocalGrad'].map(
    (op): Case => ({ op, given: [floats(matrix), floats(matrix, 1, 0, 9)] }),
  ),
  ...['ReluGrad', 'Relu6Grad', 'EluGrad', 'SeluGrad', 'SoftplusGrad', 'LeakyReluGrad'].map(
    (op): Case => ({ op, given: [floats(matrix, 1, 0, 9), floats(matrix, 2, -1.37)] }),
  ),
]

const choice: readonly Case[] = [
  {
    op: 'Select',
    given: [whole([1, 0, 0, 1, 1, 0], matrix, 'bool'), floats(matrix), floats(matrix)],
  },
  { op: 'SelectV2', given: [whole([1, 0, 1], [3], 'bool'), floats([2, 1]), floats([3])] },
  {
    op: 'ClipByValue',
    given: [floats([6], 2), { shape: [], values: [0.55] }, { shape: [], values: [1.6] }],
  },
  { op: 'AddN', given: [floats([3]), floats([3])], attributes: { N: attribute.int(2) } },
  { op: 'AccumulateNV2', given: [floats([3]), floats([3])], attributes: { N: attribute.int(2) } },
  {
    op: 'IdentityN',
    given: [floats([3]), floats([2])],
    attributes: { T: attribute.types(['float64', 'float64']) },
  },
]

const reductions: readonly Case[] = [
  ...['Sum', 'Mean', 'Max', 'Min', 'Prod', 'EuclideanNorm'].flatMap((op): Case[] => [
    { op, given: [floats([2, 3, 2]), whole([0, 2])] },
    {
      op,
      given: [floats([2, 3, 2]), whole([-1, 0])],
      attributes: { keep_dims: attribute.bool(false) },
    },
    { op, given: [floats(matrix), whole([1])], attributes: { keep_dims: attribute.bool(true) } },
  ]),
  ...['Cumsum', 'Cumprod'].flatMap((op) =>
    [true, false].map((one): Case => {
      const attributes = { exclusive: attribute.bool(one), reverse: attribute.bool(one) }
      return { op, given: [floats([4, 2]), whole([0], [])], attributes }
    }),
  ),
  ...['SegmentSum', 'SegmentMean', 'SegmentMax', 'SegmentMin'].map(
    (op): Case => ({ op, given: [floats([4, 2]), whole([0, 0, 1, 3])] }),
  ),
  ...['Sum', 'Max', 'Min', 'Prod'].map(
    (op): Case => ({
      op: `UnsortedSegment${op}`,
      given: [floats([4, 2]), whole([1, 0, 1, 0]), whole([2], [])],
    }),
  ),
  { op: 'UnsortedSegmentSum', given: [floats([4, 2]), whole([2, -1, 2, 0]), whole([3], [])] },
  ...['Sum', 'Mean', 'SqrtN'].flatMap((op): Case[] => [
    { op: `SparseSegment${op}`, given: [floats([4, 2]), whole([0, 3, 3]), whole([0, 0, 1])] },
    {
      op: `SparseSegment${op}WithNumSegments`,
      given: [floats([4, 2]), whole([0, 3, 3]), whole([0, 0, 1]), whole([3], [])],
    },
  ]),
]

const flag = (name: string, value: boolean) => ({ [name]: attribute.bool(value) })
/** Matrices that can be inverted. */
const regular: Given = {
  shape: [2, 3, 3],
  values: numbers(18).map((value, place) => value + (place % 9 === (place % 3) * 4 ? 3 : 0)),
}

const matrices: readonly Case[] = [
  ...[false, true].flatMap((a) =>
    [false, true].flatMap((b): Case[] => [
      {
        op: 'MatMul',
        given: [floats(a ? [3, 2] : [2, 3]), floats(b ? [4, 3] : [3, 4])],
        attributes: { ...flag('transpose_a', a), ...flag('transpose_b', b) },
      },
      {
        op: 'BatchMatMulV2',
        given: [floats(a ? [2, 1, 3, 2] : [2, 1, 2, 3]), floats(b ? [2, 4, 3] : [2, 3, 4])],
        attributes: { ...flag('adj_x', a), ...flag('adj_y', b) },
      },
    ]),
  ),
  { op: 'BatchMatMul', given: [floats([2, 2, 3]), floats([2, 3, 2])] },
  ...['ij,jk->ik', 'ij,kj->k', 'ij,jk->', 'ij,kl->ljk', 'ij,jk->ikj'].map(
    (equation): Case => ({
      op: 'Einsum',
      given: [floats([2, 3]), floats(equation.startsWith('ij,jk') ? [3, 2] : [2, 3])],
      attributes: { N: attribute.int(2), equation: attribute.text(equation) },
    }),
  ),
  ...(
    [
      ['ijk->ki', [2, 3, 2]],
      ['ii->i', [3, 3]],
      ['...ij->...ji', [2, 2, 3]],
      ['i...->...', [2, 3, 2]],
    ] as const
  ).map(
    ([equation, shape]): Case => ({
      op: 'Einsum',
      given: [floats(shape)],
      attributes: { N: attribute.int(1), equation: attribute.text(equation) },
    }),
  ),
  {
    op: 'Einsum',
    given: [floats([2, 1, 2, 3]), floats([4, 3, 2])],
    attributes: { N: attribute.int(2), equation: attribute.text('...ij,...jk->...ik') },
  },
  ...[false, true].flatMap((adjoint): Case[] => [
    { op: 'MatrixInverse', given: [regular], attributes: flag('adjoint', adjoint) },
    {
      op: 'MatrixSolve',
      given: [regular, floats([2, 3, 2])],
      attributes: flag('adjoint', adjoint),
    },
    {
      op: 'MatrixTriangularSolve',
      given: [regular, floats([2, 3, 2])],
      attributes: { ...flag('adjoint', adjoint), ...flag('lower', !adjoint) },
    },
  ]),
  { op: 'MatrixDeterminant', given: [regular] },
  { op: 'LogMatrixDeterminant', given: [regular], outputs: [1] },
  { op: 'Cross', given: [floats([2, 3]), floats([2, 3], 1, 0, 9)] },
  { op: 'Diag', given: [floats([3])] },
  { op: 'DiagPart', given: [floats([3, 3])] },
  { op: 'MatrixDiag', given: [floats([2, 3])] },
  { op: 'MatrixDiagPart', given: [floats([2, 3, 3])] },
  { op: 'MatrixSetDiag', given: [floats([2, 3, 3]), floats([2, 3])] },
  ...['V2', 'V3'].flatMap((version): Case[] => [
    {
      op: `MatrixDiag${version}`,
      given: [
        floats([2, 3]),
        whole([0, 1]),
        whole([-1], []),
        whole([-1], []),
        whole([0], [], 'float64'),
      ],
    },
    {
      op: `MatrixDiagPart${version}`,
      given: [floats([2, 3, 4]), whole([-1, 1]), whole([0], [], 'float64')],
    },
    {
      op: `MatrixSetDiag${version}`,
      given: [floats([2, 3, 3]), floats([2, 2, 3]), whole([0, 1])],
    },
  ]),
  {
    op: 'MatrixBandPart',
    given: [floats([3, 4]), whole([1], [], 'int64'), whole([0], [], 'int64')],
    attributes: { Tindex: attribute.type('int64') },
  },
  ...[false, true].map(
    (adjoint): Case => ({
      op: 'SparseTensorDenseMatMul',
      given: [
        whole([0, 1, 1, 0, 1, 2], [3, 2], 'int64'),
        floats([3]),
        whole([2, 3], [2], 'int64'),
        floats(adjoint ? [4, 2] : [3, 4]),
      ],
      attributes: { ...flag('adjoint_a', adjoint), ...flag('adjoint_b', adjoint) },
    }),
  ),
]

const block = { block_size: attribute.int(2) }

const movement: readonly Case[] = [
  { op: 'Reshape', given: [floats([2, 3]), whole([3, 2])] },
  { op: 'ExpandDims', given: [floats([2, 3]), whole([1], [])] },
  { op: 'Squeeze', given: [floats([2, 1, 3])] },
  { op: 'Transpose', given: [floats([2, 3, 4]), whole([2, 0, 1])] },
  { op: 'ConjugateTranspose', given: [floats([2, 3, 4]), whole([2, 0, 1])] },
  { op: 'ReverseV2', given: [floats([2, 3]), whole([1])] },
  {
    op: 'ReverseSequence',
    given: [floats([2, 3]), whole([2, 3], [2], 'int64')],
    attributes: { seq_dim: attribute.int(1), batch_dim: attribute.int(0) },
  },
  { op: 'Roll', given: [floats([2, 3]), whole([1, 2]), whole([0, 1])] },
  {
    op: 'SpaceToBatchND',
    given: [floats([1, 3, 2, 1]), whole([2, 1]), whole([1, 0, 0, 0], [2, 2])],
  },
  {
    op: 'BatchToSpaceND',
    given: [floats([2, 2, 2, 1]), whole([2, 1]), whole([1, 0, 0, 0], [2, 2])],
  },
  { op: 'SpaceToDepth', given: [floats([1, 2, 2, 1])], attributes: block },
  { op: 'DepthToSpace', given: [floats([1, 1, 1, 4])], attributes: block },
  {
    op: 'ConcatV2',
    given: [floats([2, 1]), floats([2, 3]), whole([-1], [])],
    attributes: { N: attribute.int(2) },
  },
  {
    op: 'Concat',
    given: [whole([1], []), floats([2, 1]), floats([2, 3])],
    attributes: { N: attribute.int(2) },
  },
  {
    op: 'Split',
    given: [whole([1], []), floats([2, 4])],
    attributes: { num_split: attribute.int(2) },
    outputs: [1],
  },
  {
    op: 'SplitV',
    given: [floats([2, 4]), whole([1, 3]), whole([1], [])],
    attributes: { num_split: attribute.int(2) },
  },
  {
    op: 'Pack',
    given: [floats([2]), floats([2])],
    attributes: { N: attribute.int(2), axis: attribute.int(1) },
  },
  {
    op: 'Unpack',
    given: [floats([2, 3])],
    attributes: { num: attribute.int(3), axis: attribute.int(1) },
    outputs: [0, 2],
  },
  { op: 'Slice', given: [floats([3, 4]), whole([1, 0]), whole([2, 3])] },
  {
    op: 'StridedSlice',
    given: [floats([3, 4]), whole([0, 3]), whole([3, 0]), whole([2, -1])],
    attributes: { Index: int32, end_mask: attribute.int(2) },
  },
  {
    op: 'StridedSliceGrad',
    given: [whole([3, 4]), whole([0, 0]), whole([3, 4]), whole([2, 2]), floats([2, 2])],
    attributes: { Index: int32 },
  },
  { op: 'Tile', given: [floats([2, 3]), whole([2, 1])] },
  { op: 'Pad', given: [floats([2, 3]), whole([1, 0, 2, 1], [2, 2])] },
  { op: 'PadV2', given: [floats([2, 3]), whole([1, 0, 2, 1], [2, 2]), whole([3], [], 'float64')] },
  ...['MirrorPad', 'MirrorPadGrad'].flatMap((op) =>
    ['REFLECT', 'SYMMETRIC'].map(
      (mode): Case => ({
        op,
        given: [floats(op === 'MirrorPad' ? [2, 3] : [3, 6]), whole([1, 0, 2, 1], [2, 2])],
        attributes: { mode: attribute.text(mode) },
      }),
    ),
  ),
  { op: 'BroadcastTo', given: [floats([3, 1]), whole([2, 3, 2])] },
  { op: 'Fill', given: [whole([2, 2]), floats([])], attributes: { index_type: int32 } },
  {
    op: 'PlaceholderWithDefault',
    given: [floats([2])],
    attributes: { shape: attribute.unknownShape },
    typeAttribute: 'dtype',
  },
  { op: 'EnsureShape', given: [floats([2])], attributes: { shape: attribute.shape([2]) } },
  { op: 'CheckNumerics', given: [floats([2])], attributes: { message: attribute.text('') } },
  { op: 'CheckNumericsV2', given: [floats([2])], attributes: { message: attribute.text('') } },
]

const gathers: readonly Case[] = [
  { op: 'Gather', given: [floats([4, 2]), whole([3, 1, 3])], typeAttribute: 'Tparams' },
  ...[0, 1, -1].map(
    (axis): Case => ({
      op: 'GatherV2',
      given: [floats([3, 4, 3]), whole([2, 0, 2, 1], [2, 2]), whole([axis], [])],
      typeAttribute: 'Tparams',
    }),
  ),
  ...[1, 2].map(
    (axis): Case => ({
      op: 'GatherV2',
      given: [floats([2, 3, 3]), whole([2, 0, 2, 1, 0, 0], [2, 3]), whole([axis], [])],
      attributes: { batch_dims: attribute.int(1) },
      typeAttribute: 'Tparams',
    }),
  ),
  {
    op: 'GatherNd',
    given: [floats([3, 2]), whole([2, 1, 0, 0], [2, 2])],
    typeAttribute: 'Tparams',
  },
  { op: 'ScatterNd', given: [whole([2, 0, 2], [3, 1]), floats([3, 2]), whole([4, 2])] },
  ...['Update', 'Add', 'Sub'].map(
    (verb): Case => ({
      op: `TensorScatter${verb}`,
      given: [floats([4]), whole([2, 0], [2, 1]), floats([2])],
    }),
  ),
  { op: 'ScatterNdNonAliasingAdd', given: [floats([4]), whole([2, 2], [2, 1]), floats([2])] },
  { op: 'TopKV2', given: [floats([2, 4]), whole([2], [])], outputs: [0] },
  { op: 'TopK', given: [floats([2, 4])], attributes: { k: attribute.int(2) }, outputs: [0] },
  { op: 'NthElement', given: [floats([2, 4]), whole([1], [])] },
  {
    op: 'DynamicPartition',
    given: [floats([4, 2]), whole([0, 1, 1, 0])],
    attributes: { num_partitions: attribute.int(2) },
    outputs: [1],
  },
  ...['DynamicStitch', 'ParallelDynamicStitch'].map(
    (op): Case => ({
      op,
      given: [whole([0, 3]), whole([1, 2]), floats([2, 2]), floats([2, 2])],
      attributes: { N: attribute.int(2) },
    }),
  ),
  {
    op: 'SparseToDense',
    given: [whole([1, 3]), whole([4]), floats([2]), floats([])],
  },
  {
    op: 'SparseTensorDenseAdd',
    given: [whole([1, 0], [2, 1]), floats([2]), whole([3]), floats([3])],
  },
]

const window = (op: string, size: number, padding: string, rank: number): Case => {
  const spatial = new Array(rank).fill(size)
  const strides = [1, ...new Array(rank).fill(2), 1]
  return {
    op,
    dtype: 'float32',
    given: [floats([1, ...new Array(rank).fill(4), 2], 3)],
    attributes: {
      ksize: ints(1, ...spatial, 1),
      strides: ints(...strides),
      padding: attribute.text(padding),
    },
  }
}

const convolution = (strides: number, padding: string) => ({
  strides: ints(1, strides, strides, 1),
  padding: attribute.text(padding),
})
const volume = { strides: ints(1, 1, 1, 1, 1), padding: attribute.text('VALID') }

const networks: readonly Case[] = [
  { op: 'BiasAdd', given: [floats([2, 3]), floats([3])] },
  { op: 'BiasAddV1', given: [floats([2, 3]), floats([3])] },
  {
    op: 'BiasAdd',
    given: [floats([2, 3, 2, 1]), floats([3])],
    attributes: { data_format: attribute.text('NCHW') },
  },
  { op: 'BiasAddGrad', given: [floats([2, 3])] },
  {
    op: 'BiasAddGrad',
    given: [floats([2, 3, 2, 1])],
    attributes: { data_format: attribute.text('NCHW') },
  },
  {
    op: 'SoftmaxCrossEntropyWithLogits',
    given: [floats([2, 3]), { shape: [2, 3], values: [0.2, 0.3, 0.5, 0.6, 0.3, 0.1] }],
    outputs: [0],
  },
  {
    op: 'SoftmaxCrossEntropyWithLogits',
    given: [floats([2, 3]), whole([1, 0, 0, 0, 0, 1], [2, 3], 'float64')],
  },
  { op: 'SparseSoftmaxCrossEntropyWithLogits', given: [floats([2, 3]), whole([1, 0])] },
  ...[1, 2].flatMap((stride) =>
    ['SAME', 'VALID'].flatMap((padding): Case[] => [
      {
        op: 'Conv2D',
        given: [floats([1, 4, 3, 2]), floats([2, 2, 2, 2])],
        attributes: convolution(stride, padding),
      },
      {
        op: 'DepthwiseConv2dNative',
        given: [floats([1, 4, 3, 2]), floats([2, 2, 2, 2])],
        attributes: convolution(stride, padding),
      },
    ]),
  ),
  ...['Conv2D', 'DepthwiseConv2dNative'].flatMap((op): Case[] => [
    {
      op: `${op}BackpropInput`,
      given: [
        whole([1, 3, 3, 2]),
        floats([2, 2, 2, 1]),
        floats([1, 2, 2, op === 'Conv2D' ? 1 : 2]),
      ],
      attributes: convolution(1, 'VALID'),
    },
    {
      op: `${op}BackpropFilter`,
      given: [
        floats([1, 3, 3, 2]),
        whole([2, 2, 2, 1]),
        floats([1, 2, 2, op === 'Conv2D' ? 1 : 2]),
      ],
      attributes: convolution(1, 'VALID'),
    },
  ]),
  { op: 'Conv3D', given: [floats([1, 2, 2, 2, 1]), floats([1, 2, 2, 1, 2])], attributes: volume },
  {
    op: 'Conv3DBackpropInputV2',
    given: [whole([1, 2, 2, 2, 1]), floats([1, 2, 2, 1, 1]), floats([1, 2, 1, 1, 1])],
    attributes: volume,
  },
  {
    op: 'Conv3DBackpropFilterV2',
    given: [floats([1, 2, 2, 2, 1]), whole([1, 2, 2, 1, 1]), floats([1, 2, 1, 1, 1])],
    attributes: volume,
  },
  ...['SAME', 'VALID'].flatMap((padding): Case[] => [
    window('MaxPool', 2, padding, 2),
    window('AvgPool', 3, padding, 2),
    window('MaxPool3D', 2, padding, 3),
    window('AvgPool3D', 3, padding, 3),
  ]),
  ...[2, 3].map((rank): Case => {
    const { attributes } = window('', 2, 'VALID', rank)
    const inner = new Array(rank).fill(4)
    const outer = new Array(rank).fill(2)
    return {
      op: rank === 2 ? 'AvgPoolGrad' : 'AvgPool3DGrad',
      dtype: 'float32',
      given: [whole([1, ...inner, 1]), floats([1, ...outer, 1])],
      attributes,
    }
  }),
  ...['FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3'].flatMap((op) =>
    [true, false].map(
      (training): Case => ({
        op,
        dtype: 'float32',
        given: [
          floats([2, 2, 2, 2], 3),
          floats([2]),
          floats([2]),
          ...(training
            ? [whole([], [0], 'float32'), whole([], [0], 'float32')]
            : [whole([0.5, 0.7], [2], 'float32'), whole([1.5, 0.8], [2], 'float32')]),
        ],
        attributes: {
          is_training: attribute.bool(training),
          epsilon: attribute.float(0.1),
          ...(op === 'FusedBatchNorm' ? {} : { U: attribute.type('float32') }),
        },
        outputs: [0],
      }),
    ),
  ),
  {
    op: 'LRN',
    dtype: 'float32',
    given: [floats([1, 1, 2, 4])],
    attributes: { depth_radius: attribute.int(1), beta: attribute.float(0.75) },
  },
  ...['ResizeBilinear', 'ResizeBicubic'].map(
    (op): Case => ({ op, dtype: 'float32', given: [floats([1, 2, 3, 1]), whole([3, 5])] }),
  ),
  { op: 'ResizeNearestNeighbor', dtype: 'float32', given: [floats([1, 2, 3, 1]), whole([3, 5])] },
  {
    op: 'CropAndResize',
    dtype: 'float32',
    given: [
      floats([2, 4, 5, 1]),
      { shape: [2, 4], values: [0.13, 0.21, 0.81, 0.77, 0.06, 0.09, 0.53, 0.61] },
      whole([1, 0]),
      whole([3, 2]),
    ],
  },
  {
    op: 'FakeQuantWithMinMaxArgs',
    dtype: 'float32',
    given: [whole([0.5, 7], [2], 'float32')],
  },
]

/** Ops that are tested elsewhere, or cannot be compared with difference quotients. */
const elsewhere: Readonly<Record<string, string>> = {
  Cast: 'gradients.test.ts',
  ComplexAbs: 'gradients.test.ts, as all of complex numbers',
  Conj: 'gradients.test.ts',
  Real: 'gradients.test.ts',
  Imag: 'gradients.test.ts',
  Angle: 'gradients.test.ts',
  Complex: 'gradients.test.ts',
  Cholesky: 'reads one half of a symmetric matrix; gradients.test.ts',
  SelfAdjointEigV2: 'reads one half of a symmetric matrix; gradients.test.ts',
  BatchMatMulV3: 'as BatchMatMulV2; no engine runs it here',
  ...Object.fromEntries(
    ['FFT', 'IFFT', 'FFT2D', 'IFFT2D', 'FFT3D', 'IFFT3D'].map((op) => [op, 'gradients.test.ts']),
  ),
  ...Object.fromEntries(
    ['Switch', 'RefSwitch', 'Merge', 'RefMerge', 'Enter', 'RefEnter', 'Exit', 'RefExit'].map(
      (op) => [op, 'gradients-control.test.ts'],
    ),
  ),
  NextIteration: 'gradients-control.test.ts',
  RefNextIteration: 'gradients-control.test.ts',
  ...Object.fromEntries(
    [
      'If',
      'StatelessIf',
      'Case',
      'StatelessCase',
      'While',
      'StatelessWhile',
      'PartitionedCall',
      'StatefulPartitionedCall',
    ].map((op) => [op, 'gradients-control.test.ts']),
  ),
  ReadVariableOp: 'gradients-training.test.ts',
  RefIdentity: 'gradients-training.test.ts, as Identity',
  ResourceGather: 'gradients-training.test.ts',
  ResourceGatherNd: 'as GatherNd',
  Reverse: 'as ReverseV2; no engine runs it here',
  SpaceToBatch: 'as SpaceToBatchND; no engine runs it here',
  BatchToSpace: 'as BatchToSpaceND; no engine runs it here',
  MaxPoolV2: 'its gradient is an op that no engine runs here',
  MaxPoolWithArgmax: 'its gradient is an op that no engine runs here',
  MaxPoolGrad: 'its gradient is an op that no engine runs here',
  MaxPoolGradGrad: 'no engine runs it here',
  MaxPool3DGrad: 'its gradient is an op that no engine runs here',
  Print: 'passes on what it is given',
  QuantizeAndDequantize: 'steps, whose gradient is that of no step at all',
  QuantizeAndDequantizeV2: 'steps, whose gradient is that of no step at all',
  QuantizeAndDequantizeV3: 'steps, whose gradient is that of no step at all',
  FakeQuantWithMinMaxVars: 'steps, whose gradient is that of no step at all',
  FakeQuantWithMinMaxVarsPerChannel: 'steps, whose gradient is that of no step at all',
}

const cases: readonly Case[] = [
  ...unaries,
  ...binaries,
  ...choice,
  ...reductions,
  ...matrices,
  ...movement,
  ...gathers,
  ...networks,
]

t.test('gradients agree with difference quotients', async (t) => {
  const engine = await referenceEngine(t)
  for (const [place, one] of cases.entries()) {
    const dtype = one.dtype ?? 'float64'
    const e = newGraph()
    const xs = new Map<Output, ReturnType<typeof tensorOfElements>>()
    const inputs = one.given.map((given, index): Output => {
      if ('fixed' in given) {
        const values = given.dtype === 'bool' ? given.fixed.map(Boolean) : given.fixed
        const elements = given.dtype === 'int64' ? given.fixed.map(BigInt) : values
        return e.constant(tensorOfElements(given.dtype, given.of, elements))
      }
      const x = placeholder(e, `x${index}`, dtype)
      xs.set(x, tensorOfElements(dtype, given.shape, given.values))
      return x
    })
    const types = { [one.typeAttribute ?? 'T']: attribute.type(dtype) }
    const needed = { Tindices: int32, ...indexTypes[one.op] }
    const { outputs } = e.node(one.op, inputs, { ...needed, ...types, ...one.attributes })
    const looked = (one.outputs ?? [...outputs.keys()]).map((index) => outputs[index])
    const sums = looked.filter((output) => output?.dtype === dtype)
    const lines =
      sums.length === 0
        ? ['there is nothing to look at']
        : await differences(engine, e, weighted(e, sums), xs).catch((error: Error) => [
            error.message,
          ])
    t.same(lines, [], `${one.op} (case ${place})`)
  }
})

const int64 = attribute.type('int64')

/** Attributes that say of which type indices, sizes and labels are, where the op has no default for them. */
const indexTypes: Readonly<Record<string, Readonly<Record<string, AttributeDraft>>>> = {
  SparseTensorDenseMatMul: { Tindices: int64 },
  GatherV2: { Tindices: int32, Taxis: int32 },
  Roll: { Tshift: int32, Taxis: int32 },
  Slice: { Index: int32 },
  SplitV: { Tlen: int32 },
  SparseSoftmaxCrossEntropyWithLogits: { Tlabels: int32 },
}

t.test('every gradient is compared here or somewhere else', async (t) => {
  const seen = new Set([...cases.map(({ op }) => op), ...Object.keys(elsewhere)])
  const lists = /^Tensor(Array|List)/
  t.same(
    differentiableOps().filter((op) => !seen.has(op) && !lists.test(op)),
    [],
  )
})
