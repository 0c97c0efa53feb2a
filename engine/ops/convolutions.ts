// Convolutions over any number of spatial dimensions, depthwise ones, and their gradients.
import { formatShape, type Shape, sameShape } from '../../tensor/index.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { productAccumulator } from './linalg.ts'
import { invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'
import { type Layout, layoutOf, type Window, windowsOf } from './window.ts'
import {
  arranged,
  formats2d,
  formats3d,
  overWindow,
  placed,
  shapeInput,
  underWindow,
} from './windowed.ts'

/** `[.., in / groups, out]` filters slid over the input; groups split the channels. */
function convolution(
  at: Lowering,
  input: TensorValue,
  filter: TensorValue,
  layout: Layout,
): TensorValue {
  const rank = layout.spatial.length + 2
  for (const [what, value] of [
    ['input', input],
    ['filter', filter],
  ] as const) {
    if (value.shape.length !== rank) {
      throw invalid(
        'shape/mismatch',
        `${what} must be ${rank}-dimensional: ${formatShape(value.shape)}`,
      )
    }
  }
  const sizes = filter.shape.slice(0, layout.spatial.length)
  const [depth, filters] = filter.shape.slice(-2)
  const channels = input.shape[layout.channels]
  const windows = windowsOf(at.attributes, layout, input.shape, sizes)
  const groups = depth === 0 ? 1 : channels / depth
  if (!Number.isInteger(groups) || groups < 1) {
    throw invalid(
      'shape/mismatch',
      `input depth must be evenly divisible by filter depth: ${channels} vs ${depth}`,
    )
  }
  if (filters % groups !== 0) {
    throw invalid(
      'shape/mismatch',
      `number of filters (${filters}) must be evenly divisible by number of groups (${groups})`,
    )
  }
  const dtype = scalarType(input.dtype)
  const accumulator = productAccumulator(dtype)
  const perGroup = filters / groups
  return at.compute({
    shape: arranged(
      layout,
      input.shape[layout.batch],
      windows.map((one) => one.output),
      filters,
    ),
    dtype,
    inputs: [input, filter],
    reduce: {
      extents: [...sizes, depth],
      combine: 'sum',
      dtype: accumulator,
      body: ({ b, axes, reduced, read }) => {
        const places = reduced.slice(0, -1)
        const channel = reduced[reduced.length - 1]
        const out = axes[layout.channels]
        const outputs = layout.spatial.map((axis) => axes[axis])
        const { positions, guard } = underWindow(b, windows, outputs, places)
        const inputChannel =
          groups === 1 ? channel : b.add(b.mul(b.quotient(out, perGroup), depth), channel)
        const value = read(0, placed(layout, axes[layout.batch], positions, inputChannel), guard)
        const weight = read(1, [...places, channel, out])
        return b.mul(b.cast(value, accumulator), b.cast(weight, accumulator))
      },
    },
    body: ({ b, total }) => b.cast(total, dtype),
  })
}

const conv2d = defineOp({
  name: 'Conv2D',
  inputs: ['input: T', 'filter: T'],
  outputs: ['output: T'],
  attributes: [
    'T: {half, bfloat16, float, double, int32}',
    'strides: list(int)',
    'use_cudnn_on_gpu: bool = true',
    "padding: {'SAME', 'VALID', 'EXPLICIT'}",
    'explicit_paddings: list(int) = []',
    formats2d,
    'dilations: list(int) = [1, 1, 1, 1]',
  ],
  lower: (at) => [
    convolution(
      at,
      at.input('input'),
      at.input('filter'),
      layoutOf(at.attributes.text('data_format')),
    ),
  ],
})

const conv3d = defineOp({
  name: 'Conv3D',
  inputs: ['input: T', 'filter: T'],
  outputs: ['output: T'],
  attributes: [
    'T: {half, bfloat16, float, double}',
    'strides: list(int) >= 5',
    "padding: {'SAME', 'VALID'}",
    formats3d,
    'dilations: list(int) = [1, 1, 1, 1, 1]',
  ],
  lower: (at) => [
    convolution(
      at,
      at.input('input'),
      at.input('filter'),
      layoutOf(at.attributes.text('data_format')),
    ),
  ],
})

const depthwiseAttributes = [
  'T: {half, bfloat16, float, double}',
  'strides: list(int)',
  "padding: {'SAME', 'VALID', 'EXPLICIT'}",
  'explicit_paddings: list(int) = []',
  formats2d,
  'dilations: list(int) = [1, 1, 1, 1]',
]

/** `[h, w, in, multiplier]` filters, each for one input channel. */
const depthwise = defineOp({
  name: 'DepthwiseConv2dNative',
  inputs: ['input: T', 'filter: T'],
  outputs: ['output: T'],
  attributes: depthwiseAttributes,
  lower: (at) => {
    const [input, filter] = [at.input('input'), at.input('filter')]
    const layout = layoutOf(at.attributes.text('data_format'))
    const channels = input.shape[layout.channels]
    if (input.shape.length !== 4 || filter.shape.length !== 4 || filter.shape[2] !== channels) {
      throw invalid(
        'shape/mismatch',
        `input and filter must have the same depth: ${formatShape(input.shape)} vs ${formatShape(filter.shape)}`,
      )
    }
    const sizes = filter.shape.slice(0, 2)
    const multiplier = filter.shape[3]
    const windows = windowsOf(at.attributes, layout, input.shape, sizes)
    const dtype = scalarType(input.dtype)
    const accumulator = productAccumulator(dtype)
    return [
      at.compute({
        shape: arranged(
          layout,
          input.shape[layout.batch],
          windows.map((one) => one.output),
          channels * multiplier,
        ),
        dtype,
        inputs: [input, filter],
        reduce: {
          extents: sizes,
          combine: 'sum',
          dtype: accumulator,
          body: ({ b, axes, reduced, read }) => {
            const out = axes[layout.channels]
            const channel = b.quotient(out, multiplier)
            const outputs = layout.spatial.map((axis) => axes[axis])
            const { positions, guard } = underWindow(b, windows, outputs, reduced)
            const value = read(0, placed(layout, axes[layout.batch], positions, channel), guard)
            const weight = read(1, [...reduced, channel, b.remainder(out, multiplier)])
            return b.mul(b.cast(value, accumulator), b.cast(weight, accumulator))
          },
        },
        body: ({ b, total }) => b.cast(total, dtype),
      }),
    ]
  },
})

/** The gradient of a convolution by its input. */
function convolutionBackpropInput(
  at: Lowering,
  shape: Shape,
  filter: TensorValue,
  gradient: TensorValue,
  layout: Layout,
): TensorValue {
  const sizes = filter.shape.slice(0, layout.spatial.length)
  const [depth, filters] = filter.shape.slice(-2)
  const windows = windowsOf(at.attributes, layout, shape, sizes)
  checkGradient(layout, windows, gradient, filters, shape)
  const groups = shape[layout.channels] / depth
  const perGroup = filters / groups
  const dtype = scalarType(filter.dtype)
  const accumulator = productAccumulator(dtype)
  return at.compute({
    shape,
    dtype,
    inputs: [filter, gradient],
    reduce: {
      extents: [...sizes, perGroup],
      combine: 'sum',
      dtype: accumulator,
      body: ({ b, axes, reduced, read }) => {
        const places = reduced.slice(0, -1)
        const channel = axes[layout.channels]
        const group = b.quotient(channel, depth)
        const out = b.add(b.mul(group, perGroup), reduced[reduced.length - 1])
        const over = windows.map((window, place) =>
          overWindow(b, window, axes[layout.spatial[place]], places[place]),
        )
        const guard = b.and(...over.map((one) => one.guard))
        const value = read(
          1,
          placed(
            layout,
            axes[layout.batch],
            over.map((one) => one.position),
            out,
          ),
          guard,
        )
        const weight = read(0, [...places, b.remainder(channel, depth), out])
        return b.mul(b.cast(value, accumulator), b.cast(weight, accumulator))
      },
    },
    body: ({ b, total }) => b.cast(total, dtype),
  })
}

function checkGradient(
  layout: Layout,
  windows: readonly Window[],
  gradient: TensorValue,
  channels: number,
  input: Shape,
): void {
  const wanted = arranged(
    layout,
    input[layout.batch],
    windows.map((one) => one.output),
    channels,
  )
  if (sameShape(wanted, gradient.shape)) return
  throw invalid(
    'shape/mismatch',
    `Size of out_backprop doesn't match computed: actual = ${formatShape(gradient.shape)}, computed = ${formatShape(wanted)}`,
  )
}

/** The gradient of a convolution by its filter. */
function convolutionBackpropFilter(
  at: Lowering,
  input: TensorValue,
  shape: Shape,
  gradient: TensorValue,
  layout: Layout,
): TensorValue {
  const sizes = shape.slice(0, layout.spatial.length)
  const [depth, filters] = shape.slice(-2)
  const windows = windowsOf(at.attributes, layout, input.shape, sizes)
  checkGradient(layout, windows, gradient, filters, input.shape)
  const groups = input.shape[layout.channels] / depth
  const perGroup = filters / groups
  const dtype = scalarType(input.dtype)
  const accumulator = productAccumulator(dtype)
  return at.compute({
    shape,
    dtype,
    inputs: [input, gradient],
    reduce: {
      extents: [input.shape[layout.batch], ...windows.map((one) => one.output)],
      combine: 'sum',
      dtype: accumulator,
      body: ({ b, axes, reduced, read }) => {
        const places = axes.slice(0, layout.spatial.length)
        const [channel, out] = axes.slice(-2)
        const outputs = reduced.slice(1)
        const { positions, guard } = underWindow(b, windows, outputs, places)
        const inputChannel =
          groups === 1 ? channel : b.add(b.mul(b.quotient(out, perGroup), depth), channel)
        const value = read(0, placed(layout, reduced[0], positions, inputChannel), guard)
        const slope = read(1, placed(layout, reduced[0], outputs, out))
        return b.mul(b.cast(value, accumulator), b.cast(slope, accumulator))
      },
    },
    body: ({ b, total }) => b.cast(total, dtype),
  })
}

const convolutionAttributes = [
  'T: {half, bfloat16, float, double, int32}',
  'strides: list(int)',
  'use_cudnn_on_gpu: bool = true',
  "padding: {'SAME', 'VALID', 'EXPLICIT'}",
  'explicit_paddings: list(int) = []',
  formats2d,
  'dilations: list(int) = [1, 1, 1, 1]',
]

const conv2dBackpropInput = defineOp({
  name: 'Conv2DBackpropInput',
  inputs: ['input_sizes: Tshape', 'filter: T', 'out_backprop: T'],
  outputs: ['output: T'],
  attributes: [...convolutionAttributes, 'Tshape: {int32, int64} = int32'],
  lower: (at) => {
    const layout = layoutOf(at.attributes.text('data_format'))
    const [filter, gradient] = [at.input('filter'), at.input('out_backprop')]
    const given = shapeInput(at, 'input_sizes')
    const shape =
      given.length === 2
        ? arranged(layout, gradient.shape[layout.batch], given, filter.shape[2])
        : given
    return [convolutionBackpropInput(at, shape, filter, gradient, layout)]
  },
})

const conv2dBackpropFilter = defineOp({
  name: 'Conv2DBackpropFilter',
  inputs: ['input: T', 'filter_sizes: int32', 'out_backprop: T'],
  outputs: ['output: T'],
  attributes: convolutionAttributes,
  lower: (at) => [
    convolutionBackpropFilter(
      at,
      at.input('input'),
      shapeInput(at, 'filter_sizes'),
      at.input('out_backprop'),
      layoutOf(at.attributes.text('data_format')),
    ),
  ],
})

const conv3dBackpropInput = defineOp({
  name: 'Conv3DBackpropInputV2',
  inputs: ['input_sizes: Tshape', 'filter: T', 'out_backprop: T'],
  outputs: ['output: T'],
  attributes: [
    'T: {half, bfloat16, float, double}',
    'strides: list(int)',
    "padding: {'SAME', 'VALID'}",
    formats3d,
    'dilations: list(int) = [1, 1, 1, 1, 1]',
    'Tshape: {int32, int64} = int32',
  ],
  lower: (at) => [
    convolutionBackpropInput(
      at,
      shapeInput(at, 'input_sizes'),
      at.input('filter'),
      at.input('out_backprop'),
      layoutOf(at.attributes.text('data_format')),
    ),
  ],
})

const conv3dBackpropFilter = defineOp({
  name: 'Conv3DBackpropFilterV2',
  inputs: ['input: T', 'filter_sizes: int32', 'out_backprop: T'],
  outputs: ['output: T'],
  attributes: [
    'T: {half, bfloat16, float, double}',
    'strides: list(int)',
    "padding: {'SAME', 'VALID'}",
    formats3d,
    'dilations: list(int) = [1, 1, 1, 1, 1]',
  ],
  lower: (at) => [
    convolutionBackpropFilter(
      at,
      at.input('input'),
      shapeInput(at, 'filter_sizes'),
      at.input('out_backprop'),
      layoutOf(at.attributes.text('data_format')),
    ),
  ],
})

/** A depthwise filter `[h, w, c, m]` is the grouped filter `[h, w, 1, c * m]`. */
const depthwiseBackpropInput = defineOp({
  name: 'DepthwiseConv2dNativeBackpropInput',
  inputs: ['input_sizes: int32', 'filter: T', 'out_backprop: T'],
  outputs: ['output: T'],
  attributes: depthwiseAttributes,
  lower: (at) => {
    const filter = at.input('filter')
    const [height, width, channels, multiplier] = filter.shape
    const layout = layoutOf(at.attributes.text('data_format'))
    const grouped = at.reshaped(filter, [height, width, 1, channels * multiplier])
    const shape = shapeInput(at, 'input_sizes')
    return [convolutionBackpropInput(at, shape, grouped, at.input('out_backprop'), layout)]
  },
})

const depthwiseBackpropFilter = defineOp({
  name: 'DepthwiseConv2dNativeBackpropFilter',
  inputs: ['input: T', 'filter_sizes: int32', 'out_backprop: T'],
  outputs: ['output: T'],
  attributes: depthwiseAttributes,
  lower: (at) => {
    const shape = shapeInput(at, 'filter_sizes')
    const [height, width, channels, multiplier] = shape
    const layout = layoutOf(at.attributes.text('data_format'))
    const grouped = convolutionBackpropFilter(
      at,
      at.input('input'),
      [height, width, 1, channels * multiplier],
      at.input('out_backprop'),
      layout,
    )
    return [at.reshaped(grouped, shape)]
  },
})

/** Convolutions. */
export const convolutionOps: readonly OpDefinition[] = [
  conv2d,
  conv3d,
  depthwise,
  conv2dBackpropInput,
  conv2dBackpropFilter,
  conv3dBackpropInput,
  conv3dBackpropFilter,
  depthwiseBackpropInput,
  depthwiseBackpropFilter,
]
