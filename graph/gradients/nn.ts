// Gradients of activations, convolutions, pools, normalizations, losses and image resizing.
// Source: tensorflow/python/ops/{nn_grad,image_grad}.py.
import { type AttributeDrafts, attribute, type Expressions, type Output } from '../builder/index.ts'
import { type Flow, type GradientFunction, type GradientTable, sameFor } from './gradient.ts'

const windows = [
  'T',
  'strides',
  'padding',
  'explicit_paddings',
  'data_format',
  'dilations',
  'use_cudnn_on_gpu',
]
const pools = ['T', 'ksize', 'strides', 'padding', 'explicit_paddings', 'data_format']

/** Of activations whose gradient is an op of the flow and of the activation's output or input. */
function activation(op: string, from: 'x' | 'out', ...attributes: string[]): GradientFunction {
  return (at) => [
    at.e.op(op, [at.grad, at[from]], {
      T: attribute.type(at.grad.dtype),
      ...at.same(...attributes),
    }),
  ]
}

/** Second derivatives of activations that are straight lines on either side. */
function piecewise(...attributes: string[]): GradientFunction {
  return (at) => {
    const { e, node, y, grad } = at
    const types = { T: attribute.type(grad.dtype), ...at.same(...attributes) }
    return [e.op(node.op, [grad, y], types), e.zerosLike(y)]
  }
}

/** Second derivatives of activations that are exponential below 0. */
const exponential: GradientFunction = ({ e, node, x, y, grad }) => {
  const below = e.t('Less', y, e.scalar(0, y.dtype))
  return [e.t(node.op, grad, y), e.select(below, e.mul(grad, x), e.zerosLike(y))]
}

const activations: GradientTable = {
  Relu: activation('ReluGrad', 'out'),
  Relu6: activation('Relu6Grad', 'out'),
  Elu: activation('EluGrad', 'out'),
  Selu: activation('SeluGrad', 'out'),
  LeakyRelu: activation('LeakyReluGrad', 'x', 'alpha'),
  Softplus: activation('SoftplusGrad', 'x'),
  Softsign: activation('SoftsignGrad', 'x'),
  ReluGrad: piecewise(),
  Relu6Grad: piecewise(),
  LeakyReluGrad: piecewise('alpha'),
  EluGrad: exponential,
  SeluGrad: exponential,
  SoftplusGrad: ({ e, x: flow, y: x, grad }) => {
    const spread = e.plus(e.add(e.t('Exp', e.neg(x)), e.t('Exp', x)), 2)
    return [e.t('SoftplusGrad', grad, x), e.div(e.mul(grad, flow), spread)]
  },
}

/** Sum over the last axis, which is kept. */
function rowSum(e: Expressions, x: Output): Output {
  return e.sum(x, [-1], true)
}

const softmaxes: GradientTable = {
  Softmax: ({ e, out, grad }) => [e.mul(e.sub(grad, rowSum(e, e.mul(grad, out))), out)],
  LogSoftmax: ({ e, out, grad }) => [e.sub(grad, e.mul(rowSum(e, grad), e.t('Exp', out)))],
}

/** What flows to the logits of a cross entropy: through the loss, and through its own gradient output. */
function toLogits({ e, x: logits, outputs, flows, given }: Flow): Output {
  const [, derivative] = outputs
  const [toLoss, toDerivative] = flows
  const column = e.expandDims(toLoss ?? e.zerosLike(outputs[0]), -1)
  const flow = e.mul(column, derivative)
  if (toDerivative === undefined || !given[1]) return flow
  const softmax = e.t('Softmax', logits)
  const mean = rowSum(e, e.mul(toDerivative, softmax))
  return e.add(flow, e.mul(e.sub(toDerivative, mean), softmax))
}

const losses: GradientTable = {
  SoftmaxCrossEntropyWithLogits: (at) => {
    const { e, x: logits, flows, outputs } = at
    const column = e.expandDims(flows[0] ?? e.zerosLike(outputs[0]), -1)
    return [toLogits(at), e.mul(column, e.neg(e.t('LogSoftmax', logits)))]
  },
  SparseSoftmaxCrossEntropyWithLogits: (at) => [toLogits(at), undefined],
}

function biasSum(at: Flow): Output {
  const attributes = { T: attribute.type(at.grad.dtype), ...at.same('data_format') }
  return at.e.op('BiasAddGrad', [at.grad], attributes)
}

const biases: GradientTable = {
  BiasAdd: (at) => [at.grad, biasSum(at)],
  BiasAddV1: (at) => [at.grad, biasSum(at)],
  BiasAddGrad: (at) => {
    const { e, x, grad } = at
    const shape = e.shape(x)
    if (at.text('data_format', 'NHWC') !== 'NCHW') return [e.broadcastTo(grad, shape)]
    const inner = e.fill(e.reshape(e.plus(e.rank(x), -2), [1]), e.scalar(1, 'int32'))
    const wide = e.reshape(grad, e.concat([e.integers([-1]), inner], 0))
    return [e.broadcastTo(wide, shape)]
  },
}

/** A convolution: its ops to the input and to the filter, which are each other's gradients too. */
function convolution(forward: string, toInput: string, toFilter: string): GradientTable {
  const attributes = (at: Flow): AttributeDrafts => at.same(...windows)
  return {
    [forward]: (at) => {
      const { e, x, y, grad } = at
      return [
        e.op(toInput, [e.shape(x), y, grad], attributes(at)),
        e.op(toFilter, [x, e.shape(y), grad], attributes(at)),
      ]
    },
    [toInput]: (at) => {
      const { e, inputs, grad } = at
      const [, filter, flow] = inputs
      return [
        undefined,
        e.op(toFilter, [grad, e.shape(filter), flow], attributes(at)),
        e.op(forward, [grad, filter], attributes(at)),
      ]
    },
    [toFilter]: (at) => {
      const { e, inputs, grad } = at
      const [input, , flow] = inputs
      return [
        e.op(toInput, [e.shape(input), grad, flow], attributes(at)),
        undefined,
        e.op(forward, [input, grad], attributes(at)),
      ]
    },
  }
}

const maxPool = (op: string): GradientFunction => {
  return (at) => [at.e.op(op, [at.x, at.out, at.grad], at.same(...pools))]
}

/** Of the gradient of a max pool: only what flows to the flow is not zero. */
const maxPoolSecond = (op: string): GradientFunction => {
  return (at) => {
    const { e, inputs, grad } = at
    const [x, out] = inputs
    return [e.zerosLike(x), e.zerosLike(out), e.op(op, [x, out, grad], at.same(...pools))]
  }
}

const pooling: GradientTable = {
  MaxPool: maxPool('MaxPoolGrad'),
  MaxPoolGrad: maxPoolSecond('MaxPoolGradGrad'),
  MaxPoolGradGrad: maxPoolSecond('MaxPoolGrad'),
  MaxPoolV2: (at) => {
    const { e, x, inputs, out, grad } = at
    const attributes = at.same('T', 'padding', 'data_format')
    const flow = e.op('MaxPoolGradV2', [x, out, grad, inputs[1], inputs[2]], attributes)
    return [flow, undefined, undefined]
  },
  MaxPoolWithArgmax: (at) => {
    const attributes = at.same('T', 'Targmax', ...pools.slice(1), 'include_batch_in_index')
    return [at.e.op('MaxPoolGradWithArgmax', [at.x, at.grad, at.outputs[1]], attributes)]
  },
  MaxPool3D: (at) => [
    at.e.op('MaxPool3DGrad', [at.x, at.out, at.grad], {
      ...at.same(...pools),
      TInput: attribute.type(at.x.dtype),
    }),
  ],
  MaxPool3DGrad: maxPoolSecond('MaxPool3DGradGrad'),
  AvgPool: (at) => [at.e.op('AvgPoolGrad', [at.e.shape(at.x), at.grad], at.same(...pools))],
  AvgPool3D: (at) => [at.e.op('AvgPool3DGrad', [at.e.shape(at.x), at.grad], at.same(...pools))],
  AvgPoolGrad: (at) => [undefined, at.e.op('AvgPool', [at.grad], at.same(...pools))],
  AvgPool3DGrad: (at) => [undefined, at.e.op('AvgPool3D', [at.grad], at.same(...pools))],
}

/** Of a batch normalization: statistics of the batch where it trains, those that were handed in elsewhere. */
function batchNorm(op: string, reserved: number): GradientFunction {
  return (at) => {
    const { e, inputs, outputs, grad } = at
    const [x, scale] = inputs
    const isTraining = at.bool('is_training', true)
    const spaces = isTraining
      ? outputs.slice(3, 3 + reserved)
      : [inputs[3], inputs[4], ...outputs.slice(5, 3 + reserved)]
    const { outputs: flows } = e.node(op, [grad, x, scale, ...spaces], {
      ...at.same('T', 'U', 'epsilon', 'data_format', 'is_training'),
    })
    return [flows[0], flows[1], flows[2], undefined, undefined]
  }
}

const images: GradientTable = {
  ResizeBilinear: (at) => [
    at.e.op('ResizeBilinearGrad', [at.grad, at.x], {
      T: attribute.type(at.x.dtype),
      ...at.same('align_corners', 'half_pixel_centers'),
    }),
    undefined,
  ],
  ResizeBicubic: (at) => [
    at.e.op('ResizeBicubicGrad', [at.grad, at.x], {
      T: attribute.type(at.x.dtype),
      ...at.same('align_corners', 'half_pixel_centers'),
    }),
    undefined,
  ],
  ResizeNearestNeighbor: (at) => {
    const size = at.e.part(at.e.shape(at.x), 1, 3)
    const attributes = {
      T: attribute.type(at.grad.dtype),
      ...at.same('align_corners', 'half_pixel_centers'),
    }
    return [at.e.op('ResizeNearestNeighborGrad', [at.grad, size], attributes), undefined]
  },
  CropAndResize: (at) => {
    const { e, inputs, grad } = at
    const [image, boxes, places] = inputs
    const toImage = e.op('CropAndResizeGradImage', [grad, boxes, places, e.shape(image)], {
      T: attribute.type(image.dtype),
      ...at.same('method'),
    })
    const toBoxes = e.op('CropAndResizeGradBoxes', [grad, image, boxes, places], {
      T: attribute.type(image.dtype),
      ...at.same('method'),
    })
    return [toImage, toBoxes, undefined, undefined]
  },
}

const quantized: GradientTable = {
  ...sameFor(
    ['QuantizeAndDequantize', 'QuantizeAndDequantizeV2', 'QuantizeAndDequantizeV3'],
    ({ inputs, grad }) => inputs.map((_, place) => (place === 0 ? grad : undefined)),
  ),
  FakeQuantWithMinMaxArgs: (at) => [
    at.e.op('FakeQuantWithMinMaxArgsGradient', [at.grad, at.x], {
      ...at.same('min', 'max', 'num_bits', 'narrow_range'),
    }),
  ],
  ...Object.fromEntries(
    ['FakeQuantWithMinMaxVars', 'FakeQuantWithMinMaxVarsPerChannel'].map(
      (op): [string, GradientFunction] => [
        op,
        (at) =>
          at.e.node(`${op}Gradient`, [at.grad, ...at.inputs], {
            ...at.same('num_bits', 'narrow_range'),
          }).outputs,
      ],
    ),
  ),
}

/** Networks and images. */
export const nnGradients: GradientTable = {
  ...activations,
  ...softmaxes,
  ...losses,
  ...biases,
  ...convolution('Conv2D', 'Conv2DBackpropInput', 'Conv2DBackpropFilter'),
  ...convolution(
    'DepthwiseConv2dNative',
    'DepthwiseConv2dNativeBackpropInput',
    'DepthwiseConv2dNativeBackpropFilter',
  ),
  ...convolution('Conv3D', 'Conv3DBackpropInputV2', 'Conv3DBackpropFilterV2'),
  ...pooling,
  FusedBatchNorm: batchNorm('FusedBatchNormGrad', 2),
  FusedBatchNormV2: batchNorm('FusedBatchNormGradV2', 2),
  FusedBatchNormV3: batchNorm('FusedBatchNormGradV3', 3),
  LRN: (at) => [
    at.e.op('LRNGrad', [at.grad, at.x, at.out], {
      T: attribute.type(at.x.dtype),
      ...at.same('depth_radius', 'bias', 'alpha', 'beta'),
    }),
  ],
  ...images,
  ...quantized,
}
