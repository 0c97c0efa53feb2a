// Neural networks: bias, convolutions, pools, normalization, losses.
import { elementCountOf, formatShape, type Shape, sameShape } from '../../tensor/index.ts'
import { type Combine, type Expression, limitsOf, type ScalarType } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { elementwise, narrowIndices, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { productAccumulator } from './linalg.ts'
import { reduceAxes } from './reductions.ts'
import { integersOf, invalid } from './shapes.ts'
import type { Read, TensorValue } from './value.ts'
import { type Layout, layoutOf, type Window, windowsOf } from './window.ts'

const formats2d = "data_format: {'NHWC', 'NCHW'} = 'NHWC'"
const formats3d = "data_format: {'NDHWC', 'NCDHW'} = 'NDHWC'"

const biasAdd = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['value: T', 'bias: T'],
    outputs: ['output: T'],
    attributes: ['T: type', ...(name === 'BiasAdd' ? [formats2d] : [])],
    lower: (at) => {
      const [value, bias] = [at.input('value'), at.input('bias')]
      const axis = channelAxis(at, name === 'BiasAdd', value.shape)
      if (bias.shape.length !== 1 || bias.shape[0] !== value.shape[axis]) {
        throw invalid(
          'shape/mismatch',
          `Must provide as many biases as the last dimension of the input tensor: ${formatShape(bias.shape)} vs. ${formatShape(value.shape)}`,
        )
      }
      return [
        at.compute({
          shape: value.shape,
          dtype: scalarType(value.dtype),
          inputs: [value, bias],
          body: ({ b, axes, read }) => b.add(read(0, axes), read(1, [axes[axis]])),
        }),
      ]
    },
  })

function channelAxis(at: Lowering, hasFormat: boolean, shape: Shape): number {
  const first = hasFormat && at.attributes.text('data_format').startsWith('NC')
  if (shape.length < 2) {
    throw invalid('shape/mismatch', `Input tensor must be at least 2D: ${formatShape(shape)}`)
  }
  return first ? 1 : shape.length - 1
}

const biasAddGrad = defineOp({
  name: 'BiasAddGrad',
  inputs: ['out_backprop: T'],
  outputs: ['output: T'],
  attributes: ['T: type', formats2d],
  lower: (at) => {
    const input = at.input('out_backprop')
    const channels = channelAxis(at, true, input.shape)
    const axes = [...input.shape.keys()].filter((axis) => axis !== channels)
    return [
      reduceAxes(at, input, axes, false, 'sum', {
        dtype: productAccumulator(scalarType(input.dtype)),
      }),
    ]
  },
})

/** A shape in a layout. */
function arranged(
  layout: Layout,
  batch: number,
  spatial: readonly number[],
  channels: number,
): Shape {
  const shape = new Array<number>(spatial.length + 2)
  shape[layout.batch] = batch
  shape[layout.channels] = channels
  for (const [place, axis] of layout.spatial.entries()) shape[axis] = spatial[place]
  return shape
}

/** Positions in a layout. */
function placed(
  layout: Layout,
  batch: Expression,
  spatial: readonly Expression[],
  channel: Expression,
): Expression[] {
  const positions = new Array<Expression>(spatial.length + 2)
  positions[layout.batch] = batch
  positions[layout.channels] = channel
  for (const [place, axis] of layout.spatial.entries()) positions[axis] = spatial[place]
  return positions
}

/** Where a window's element lies in the input, and whether it lies in it at all. */
function underWindow(
  b: Builder,
  windows: readonly Window[],
  outputs: readonly Expression[],
  places: readonly Expression[],
): { readonly positions: readonly Expression[]; readonly guard: Expression } {
  const positions = windows.map(({ stride, dilation, before }, axis) =>
    b.sub(b.add(b.mul(outputs[axis], stride), b.mul(places[axis], dilation)), before),
  )
  const guard = b.and(...positions.map((place, axis) => b.within(place, 0, windows[axis].input)))
  return { positions, guard }
}

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

/** Outputs whose window reaches a place: which one, and whether there is one. */
function overWindow(
  b: Builder,
  { stride, dilation, before, output }: Window,
  place: Expression,
  inWindow: Expression,
): { readonly position: Expression; readonly guard: Expression } {
  const reach = b.sub(b.add(place, before), b.mul(inWindow, dilation))
  const position = stride === 1 ? reach : b.both('floor_div', reach, stride)
  const whole = stride === 1 ? b.and() : b.equal(b.both('floor_mod', reach, stride), 0)
  return { position, guard: b.and(b.within(position, 0, output), whole) }
}

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

/** A shape that an input gives; a vector of two sizes is the spatial part alone. */
function shapeInput(at: Lowering, name: string): Shape {
  return integersOf(at.contentOf(at.input(name)))
}

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

/** Sizes of a pool over the spatial dimensions; refuses one over batch or channels. */
function poolSizes(at: Lowering, layout: Layout): readonly number[] {
  const sizes = at.attributes.ints('ksize')
  const rank = layout.spatial.length + 2
  if (sizes.length !== rank) {
    throw invalid('shape/window', `Sliding window ksize field must specify ${rank} dimensions`)
  }
  if (sizes[layout.batch] !== 1 || sizes[layout.channels] !== 1) {
    throw invalid('shape/window', 'Pooling over batch or depth is not supported')
  }
  const spatial = layout.spatial.map((axis) => sizes[axis])
  if (spatial.some((size) => size <= 0)) {
    throw invalid('shape/window', `Sliding window ksize must be positive: [${sizes.join(',')}]`)
  }
  return spatial
}

function pool(
  at: Lowering,
  input: TensorValue,
  layout: Layout,
  kind: 'max' | 'average',
): TensorValue {
  if (input.shape.length !== layout.spatial.length + 2) {
    throw invalid(
      'shape/mismatch',
      `tensor_in must be ${layout.spatial.length + 2}-dimensional: ${formatShape(input.shape)}`,
    )
  }
  const sizes = poolSizes(at, layout)
  const windows = windowsOf(at.attributes, layout, input.shape, sizes)
  const dtype = scalarType(input.dtype)
  const accumulator = kind === 'max' ? dtype : productAccumulator(dtype)
  const combine: Combine = kind === 'max' ? 'max' : 'sum'
  const channels = input.shape[layout.channels]
  return at.compute({
    shape: arranged(
      layout,
      input.shape[layout.batch],
      windows.map((one) => one.output),
      channels,
    ),
    dtype,
    inputs: [input],
    reduce: {
      extents: sizes,
      combine,
      dtype: accumulator,
      body: ({ b, axes, reduced, read }) => {
        const outputs = layout.spatial.map((axis) => axes[axis])
        const { positions, guard } = underWindow(b, windows, outputs, reduced)
        const at = placed(layout, axes[layout.batch], positions, axes[layout.channels])
        const value = b.cast(read(0, at, guard), accumulator)
        if (kind === 'average' || guard.kind === 'constant') return value
        return b.select(guard, value, b.constant(dtype, limitsOf(dtype)[0]))
      },
    },
    body: ({ b, axes, total }) => {
      if (kind === 'max') return total
      return b.cast(
        b.div(total, b.cast(coveredCount(b, windows, layout, axes), accumulator)),
        dtype,
      )
    },
  })
}

/** Elements of the input under the window of an output: padding does not count. */
function coveredCount(
  b: Builder,
  windows: readonly Window[],
  layout: Layout,
  axes: readonly Expression[],
): Expression {
  return windows
    .map(({ stride, before, size, input }, place) => {
      const start = b.sub(b.mul(axes[layout.spatial[place]], stride), before)
      return b.sub(b.min(b.add(start, size), input), b.max(start, 0))
    })
    .reduce((product, one) => b.mul(product, one))
}

function poolOp(name: string, kind: 'max' | 'average', format: string): OpDefinition {
  const input = kind === 'max' || format === formats3d ? 'input' : 'value'
  return defineOp({
    name,
    inputs: [`${input}: T`],
    outputs: ['output: T'],
    attributes: [
      'T: type',
      'ksize: list(int)',
      'strides: list(int)',
      "padding: {'SAME', 'VALID', 'EXPLICIT'}",
      'explicit_paddings: list(int) = []',
      format,
    ],
    lower: (at) => [pool(at, at.input(input), layoutOf(at.attributes.text('data_format')), kind)],
  })
}

/** Which element of its window an output of a max pool is: the first of the largest, row-major. */
function argOfPool(
  at: Lowering,
  input: TensorValue,
  layout: Layout,
  windows: readonly Window[],
  sizes: readonly number[],
): TensorValue {
  const dtype = scalarType(input.dtype)
  return at.compute({
    shape: arranged(
      layout,
      input.shape[layout.batch],
      windows.map((one) => one.output),
      input.shape[layout.channels],
    ),
    dtype: 'int32',
    inputs: [input],
    reduce: {
      extents: sizes,
      combine: 'argmax',
      dtype,
      body: ({ b, axes, reduced, read }) => {
        const outputs = layout.spatial.map((axis) => axes[axis])
        const { positions, guard } = underWindow(b, windows, outputs, reduced)
        const place = placed(layout, axes[layout.batch], positions, axes[layout.channels])
        return b.select(guard, read(0, place, guard), b.constant(dtype, limitsOf(dtype)[0]))
      },
    },
    body: ({ total }) => total,
  })
}

/** A max pool, and where in its image each largest element lies. */
const maxPoolWithArgmax = defineOp({
  name: 'MaxPoolWithArgmax',
  inputs: ['input: T'],
  outputs: ['output: T', 'argmax: Targmax'],
  attributes: [
    'ksize: list(int)',
    'strides: list(int)',
    'Targmax: {int32, int64} = int64',
    "padding: {'SAME', 'VALID'}",
    'include_batch_in_index: bool = false',
    'T: realnumbertype',
  ],
  lower: (at) => {
    const input = at.input('input')
    const layout = layoutOf('NHWC')
    const output = pool(at, input, layout, 'max')
    const sizes = poolSizes(at, layout)
    const windows = windowsOf(at.attributes, layout, input.shape, sizes)
    const winners = argOfPool(at, input, layout, windows, sizes)
    const withBatch = at.attributes.bool('include_batch_in_index')
    const places = at.compute({
      shape: winners.shape,
      dtype: 'int32',
      inputs: [winners],
      body: ({ b, axes, read }) => {
        const inWindow = b.unflatten(read(0, axes), sizes)
        const spatial = windows.map(({ stride, before }, axis) =>
          b.add(b.sub(b.mul(axes[axis + 1], stride), before), inWindow[axis]),
        )
        const batch = withBatch ? axes[0] : b.index(0)
        return b.flatten([batch, ...spatial, axes[3]], input.shape)
      },
    })
    const dtype = scalarType(at.attributes.type('Targmax'))
    return [output, elementwise(at, [places], dtype, (b, [place]) => b.cast(place, dtype))]
  },
})

/** Each output's gradient goes to the element that was the largest under its window. */
const maxPoolGrad = (name: string, format: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['orig_input: T', 'orig_output: T', 'grad: T'],
    outputs: ['output: T'],
    attributes: [
      'ksize: list(int)',
      'strides: list(int)',
      "padding: {'SAME', 'VALID', 'EXPLICIT'}",
      'explicit_paddings: list(int) = []',
      format,
      'T: type = float',
      ...(format === formats3d ? ['TInput: type = float'] : []),
    ],
    lower: (at) => {
      const [input, gradient] = [at.input('orig_input'), at.input('grad')]
      const layout = layoutOf(at.attributes.text('data_format'))
      const sizes = poolSizes(at, layout)
      const windows = windowsOf(at.attributes, layout, input.shape, sizes)
      const winners = argOfPool(at, input, layout, windows, sizes)
      const dtype = scalarType(input.dtype)
      const accumulator = productAccumulator(dtype)
      return [
        at.compute({
          shape: input.shape,
          dtype,
          inputs: [winners, gradient],
          reduce: {
            extents: sizes,
            combine: 'sum',
            dtype: accumulator,
            body: ({ b, axes, reduced, read }) => {
              const over = windows.map((window, place) =>
                overWindow(b, window, axes[layout.spatial[place]], reduced[place]),
              )
              const guard = b.and(...over.map((one) => one.guard))
              const place = placed(
                layout,
                axes[layout.batch],
                over.map((one) => one.position),
                axes[layout.channels],
              )
              const isWinner = b.equal(read(0, place, guard), b.flatten(reduced, sizes))
              const value = b.cast(read(1, place, guard), accumulator)
              return b.select(b.and(guard, isWinner), value, 0)
            },
          },
          body: ({ b, total }) => b.cast(total, dtype),
        }),
      ]
    },
  })

/** Each output's gradient is spread evenly over the elements under its window. */
const avgPoolGrad = (name: string, format: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['orig_input_shape: int32', 'grad: T'],
    outputs: ['output: T'],
    attributes: [
      'ksize: list(int)',
      'strides: list(int)',
      "padding: {'SAME', 'VALID'}",
      format,
      'T: type',
    ],
    lower: (at) => {
      const gradient = at.input('grad')
      const shape = shapeInput(at, 'orig_input_shape')
      const layout = layoutOf(at.attributes.text('data_format'))
      const sizes = poolSizes(at, layout)
      const windows = windowsOf(at.attributes, layout, shape, sizes)
      const dtype = scalarType(gradient.dtype)
      const accumulator = productAccumulator(dtype)
      return [
        at.compute({
          shape,
          dtype,
          inputs: [gradient],
          reduce: {
            extents: sizes,
            combine: 'sum',
            dtype: accumulator,
            body: ({ b, axes, reduced, read }) => {
              const over = windows.map((window, place) =>
                overWindow(b, window, axes[layout.spatial[place]], reduced[place]),
              )
              const guard = b.and(...over.map((one) => one.guard))
              const outputs = over.map((one) => one.position)
              const place = placed(layout, axes[layout.batch], outputs, axes[layout.channels])
              const value = b.cast(read(0, place, guard), accumulator)
              const count = b.max(coveredCount(b, windows, layout, place), 1)
              return b.div(value, b.cast(count, accumulator))
            },
          },
          body: ({ b, total }) => b.cast(total, dtype),
        }),
      ]
    },
  })

/** Broadcasts a vector over the channels of an array of `rank`. */
function alongChannels(at: Lowering, value: TensorValue, rank: number, axis: number): TensorValue {
  const shape = new Array<number>(rank).fill(1)
  shape[axis] = elementCountOf(value.shape)
  return at.reshaped(value, shape)
}

interface Moments {
  readonly mean: TensorValue
  readonly variance: TensorValue
}

function momentsOf(at: Lowering, x: TensorValue, channels: number, wide: ScalarType): Moments {
  const axes = [...x.shape.keys()].filter((axis) => axis !== channels)
  const input = elementwise(at, [x], wide, (b, [value]) => b.cast(value, wide))
  const divided = {
    after: (b: Builder, total: Expression, count: number): Expression => b.div(total, count),
  }
  const mean = reduceAxes(at, input, axes, true, 'sum', divided)
  const centered = elementwise(at, [input, mean], wide, (b, [value, one]) => b.sub(value, one))
  const variance = reduceAxes(at, centered, axes, true, 'sum', {
    ...divided,
    before: (b, value) => b.mul(value, value),
  })
  const vector = [x.shape[channels]]
  return { mean: at.reshaped(mean, vector), variance: at.reshaped(variance, vector) }
}

const fusedBatchNorm = (name: string): OpDefinition => {
  const wide = name === 'FusedBatchNorm' ? 'T' : 'U'
  const version3 = name === 'FusedBatchNormV3'
  return defineOp({
    name,
    inputs: ['x: T', `scale: ${wide}`, `offset: ${wide}`, `mean: ${wide}`, `variance: ${wide}`],
    outputs: [
      'y: T',
      `batch_mean: ${wide}`,
      `batch_variance: ${wide}`,
      `reserve_space_1: ${wide}`,
      `reserve_space_2: ${wide}`,
      ...(version3 ? [`reserve_space_3: ${wide}`] : []),
    ],
    attributes: [
      'T: type',
      ...(wide === 'U' ? ['U: type'] : []),
      'epsilon: float = 0.0001',
      'exponential_avg_factor: float = 1.0',
      "data_format: {'NHWC', 'NCHW', 'NDHWC', 'NCDHW'} = 'NHWC'",
      'is_training: bool = true',
    ],
    lower: (at) => {
      const x = at.input('x')
      const [scale, offset] = [at.input('scale'), at.input('offset')]
      const { channels } = layoutOf(at.attributes.text('data_format'))
      const training = at.attributes.bool('is_training')
      const epsilon = at.attributes.float('epsilon')
      const rank = x.shape.length
      const type = scalarType(scale.dtype)
      const given = { mean: at.input('mean'), variance: at.input('variance') }
      const { mean, variance } = training ? momentsOf(at, x, channels, type) : given
      const over = (value: TensorValue): TensorValue => alongChannels(at, value, rank, channels)
      const dtype = scalarType(x.dtype)
      const y = elementwise(
        at,
        [x, over(scale), over(offset), over(mean), over(variance)],
        dtype,
        (b, [value, s, o, m, v]) => {
          const factor = b.mul(s, b.one('rsqrt', b.add(v, epsilon)))
          return b.cast(b.add(b.mul(b.sub(b.cast(value, type), m), factor), o), dtype)
        },
      )
      const count = elementCountOf(x.shape) / Math.max(x.shape[channels], 1)
      const unbiased = training
        ? runningMoments(at, { mean, variance }, given, count)
        : { mean: given.mean, variance: given.variance }
      const nothing = at.compute({
        shape: [],
        dtype: type,
        inputs: [],
        body: ({ b }) => b.number(type, 0),
      })
      return [
        y,
        unbiased.mean,
        unbiased.variance,
        training ? mean : given.mean,
        training ? variance : given.variance,
        ...(version3 ? [nothing] : []),
      ]
    },
  })
}

/** What training hands on: the variance of a sample (Bessel), mixed into the running one. */
function runningMoments(at: Lowering, now: Moments, before: Moments, count: number): Moments {
  const factor = at.attributes.float('exponential_avg_factor')
  const type = scalarType(now.mean.dtype)
  const bessel = count / Math.max(count - 1, 1)
  const mixed = (value: TensorValue, old: TensorValue, scale: number): TensorValue => {
    if (factor === 1) return elementwise(at, [value], type, (b, [x]) => b.mul(x, scale))
    return elementwise(at, [value, old], type, (b, [x, y]) =>
      b.add(b.mul(y, 1 - factor), b.mul(b.mul(x, scale), factor)),
    )
  }
  return {
    mean: mixed(now.mean, before.mean, 1),
    variance: mixed(now.variance, before.variance, bessel),
  }
}

const fusedBatchNormGrad = (name: string): OpDefinition => {
  const wide = name === 'FusedBatchNormGrad' ? 'T' : 'U'
  return defineOp({
    name,
    inputs: [
      'y_backprop: T',
      'x: T',
      name === 'FusedBatchNormGrad' ? 'scale: T' : 'scale: float',
      `reserve_space_1: ${wide}`,
      `reserve_space_2: ${wide}`,
      ...(name === 'FusedBatchNormGradV3' ? [`reserve_space_3: ${wide}`] : []),
    ],
    outputs: [
      'x_backprop: T',
      `scale_backprop: ${wide}`,
      `offset_backprop: ${wide}`,
      `reserve_space_4: ${wide}`,
      `reserve_space_5: ${wide}`,
    ],
    attributes: [
      'T: type',
      ...(wide === 'U' ? ['U: type'] : []),
      'epsilon: float = 0.0001',
      "data_format: {'NHWC', 'NCHW', 'NDHWC', 'NCDHW'} = 'NHWC'",
      'is_training: bool = true',
    ],
    lower: (at) => {
      const [dy, x, scale] = [at.input('y_backprop'), at.input('x'), at.input('scale')]
      const { channels } = layoutOf(at.attributes.text('data_format'))
      const type = scalarType(scale.dtype)
      const dtype = scalarType(x.dtype)
      const epsilon = at.attributes.float('epsilon')
      const rank = x.shape.length
      const axes = [...x.shape.keys()].filter((axis) => axis !== channels)
      const over = (value: TensorValue): TensorValue => alongChannels(at, value, rank, channels)
      const [mean, variance] = [at.input('reserve_space_1'), at.input('reserve_space_2')].map(over)
      const vector = [x.shape[channels]]
      const count = elementCountOf(x.shape) / Math.max(x.shape[channels], 1)
      const slope = elementwise(at, [dy], type, (b, [value]) => b.cast(value, type))
      const normal = elementwise(at, [x, mean, variance], type, (b, [value, m, v]) =>
        b.mul(b.sub(b.cast(value, type), m), b.one('rsqrt', b.add(v, epsilon))),
      )
      const offsetGrad = reduceAxes(at, slope, axes, true, 'sum')
      const product = elementwise(at, [slope, normal], type, (b, [p, q]) => b.mul(p, q))
      const scaleGrad = reduceAxes(at, product, axes, true, 'sum')
      const training = at.attributes.bool('is_training')
      const dx = elementwise(
        at,
        [slope, normal, over(scale), variance, offsetGrad, scaleGrad],
        dtype,
        (b, [g, n, s, v, og, sg]) => {
          const factor = b.mul(s, b.one('rsqrt', b.add(v, epsilon)))
          const centered = training
            ? b.sub(b.sub(g, b.div(og, count)), b.mul(n, b.div(sg, count)))
            : g
          return b.cast(b.mul(centered, factor), dtype)
        },
      )
      const nothing = at.compute({
        shape: [0],
        dtype: type,
        inputs: [],
        body: ({ b }) => b.number(type, 0),
      })
      return [dx, at.reshaped(scaleGrad, vector), at.reshaped(offsetGrad, vector), nothing, nothing]
    },
  })
}

/** `log(sum(exp(logits)))` around the largest logit, by row. */
function logSumOf(
  at: Lowering,
  logits: TensorValue,
): { readonly shifted: TensorValue; readonly logSum: TensorValue } {
  const dtype = scalarType(logits.dtype)
  const largest = reduceAxes(at, logits, [1], true, 'max')
  const shifted = elementwise(at, [logits, largest], dtype, (b, [x, top]) => b.sub(x, top))
  const logSum = reduceAxes(at, shifted, [1], true, 'sum', {
    before: (b, x) => b.one('exp', x),
    after: (b, total) => b.one('log', total),
  })
  return { shifted, logSum }
}

const softmaxCrossEntropy = defineOp({
  name: 'SoftmaxCrossEntropyWithLogits',
  inputs: ['features: T', 'labels: T'],
  outputs: ['loss: T', 'backprop: T'],
  attributes: ['T: {half, bfloat16, float, double}'],
  lower: (at) => {
    const [features, labels] = [at.input('features'), at.input('labels')]
    const dtype = scalarType(features.dtype)
    const wide = elementwise(at, [features, labels], dtype, (_b, [x]) => x)
    if (wide.shape.length !== 2)
      throw invalid('shape/mismatch', 'logits and labels must be 2-dimensional')
    const { shifted, logSum } = logSumOf(at, wide)
    const terms = elementwise(at, [shifted, logSum, labels], dtype, (b, [x, sum, label]) =>
      b.select(b.equal(label, 0), 0, b.mul(label, b.sub(sum, x))),
    )
    const loss = reduceAxes(at, terms, [1], false, 'sum')
    const backprop = elementwise(at, [shifted, logSum, labels], dtype, (b, [x, sum, label]) =>
      b.sub(b.one('exp', b.sub(x, sum)), label),
    )
    return [loss, backprop]
  },
})

/** Labels outside of the classes give NaN, as on TensorFlow's GPU; its CPU refuses them, and so do we. */
const sparseSoftmaxCrossEntropy = defineOp({
  name: 'SparseSoftmaxCrossEntropyWithLogits',
  inputs: ['features: T', 'labels: Tlabels'],
  outputs: ['loss: T', 'backprop: T'],
  attributes: ['T: {half, bfloat16, float, double}', 'Tlabels: {int32, int64} = int64'],
  lower: (at) => {
    const features = at.input('features')
    const labels = narrowIndices(at, at.input('labels'), features.shape[1] ?? 0)
    const dtype = scalarType(features.dtype)
    if (features.shape.length !== 2 || !sameShape(labels.shape, features.shape.slice(0, 1))) {
      throw invalid(
        'shape/mismatch',
        `logits and labels must have the same first dimension, got logits shape ${formatShape(features.shape)} and labels shape ${formatShape(labels.shape)}`,
      )
    }
    const classes = features.shape[1]
    const { shifted, logSum } = logSumOf(at, features)
    const loss = at.compute({
      shape: labels.shape,
      dtype,
      inputs: [shifted, logSum, labels],
      body: ({ b, axes, read }) => {
        const label = b.cast(read(2, axes), 'int32')
        return b.sub(read(1, [axes[0], b.index(0)]), read(0, [axes[0], label]))
      },
      checks: ({ b, axes, read }) => [
        {
          ok: b.and(b.greaterEqual(read(2, axes), 0), b.less(read(2, axes), classes)),
          shown: read(2, axes),
          message: (_position, shown) => ({
            code: 'INVALID_ARGUMENT',
            reason: 'run/index',
            message: `Received a label value of ${shown} which is outside the valid range of [0, ${classes}).`,
          }),
        },
      ],
    })
    const backprop = at.compute({
      shape: features.shape,
      dtype,
      inputs: [shifted, logSum, labels],
      body: ({ b, axes, read }) => {
        const probability = b.one('exp', b.sub(read(0, axes), read(1, [axes[0], b.index(0)])))
        const isLabel = b.equal(b.cast(read(2, [axes[0]]), 'int32'), axes[1])
        return b.sub(probability, b.select(isLabel, b.number(dtype, 1), 0))
      },
    })
    return [loss, backprop]
  },
})

const localResponse = defineOp({
  name: 'LRN',
  inputs: ['input: T'],
  outputs: ['output: T'],
  attributes: [
    'depth_radius: int = 5',
    'bias: float = 1.0',
    'alpha: float = 1.0',
    'beta: float = 0.5',
    'T: {half, bfloat16, float} = float',
  ],
  lower: (at) => {
    const input = at.input('input')
    const radius = at.attributes.int('depth_radius')
    const [bias, alpha, beta] = ['bias', 'alpha', 'beta'].map((name) => at.attributes.float(name))
    const dtype = scalarType(input.dtype)
    const depth = input.shape[3]
    const near = (
      b: Builder,
      axes: readonly Expression[],
      place: Expression,
      read: Read,
    ): Expression => {
      const channel = b.sub(b.add(axes[3], place), radius)
      return read(0, axes.with(3, channel), b.within(channel, 0, depth))
    }
    return [
      at.compute({
        shape: input.shape,
        dtype,
        inputs: [input],
        reduce: {
          extents: [2 * radius + 1],
          combine: 'sum',
          dtype: 'float32',
          body: ({ b, axes, reduced, read }) => {
            const value = b.cast(near(b, axes, reduced[0], read), 'float32')
            return b.mul(value, value)
          },
        },
        body: ({ b, axes, read, total }) => {
          const base = b.add(b.mul(total, alpha), bias)
          const scale = b.both('pow', base, b.number('float32', -beta))
          return b.cast(b.mul(b.cast(read(0, axes), 'float32'), scale), dtype)
        },
      }),
    ]
  },
})

/** Neural networks. */
export const nnOps: readonly OpDefinition[] = [
  biasAdd('BiasAdd'),
  biasAdd('BiasAddV1'),
  biasAddGrad,
  conv2d,
  conv3d,
  depthwise,
  conv2dBackpropInput,
  conv2dBackpropFilter,
  conv3dBackpropInput,
  conv3dBackpropFilter,
  depthwiseBackpropInput,
  depthwiseBackpropFilter,
  poolOp('MaxPool', 'max', formats2d),
  poolOp('AvgPool', 'average', formats2d),
  poolOp('MaxPool3D', 'max', formats3d),
  poolOp('AvgPool3D', 'average', formats3d),
  maxPoolWithArgmax,
  maxPoolGrad('MaxPoolGrad', formats2d),
  maxPoolGrad('MaxPool3DGrad', formats3d),
  avgPoolGrad('AvgPoolGrad', formats2d),
  avgPoolGrad('AvgPool3DGrad', formats3d),
  fusedBatchNorm('FusedBatchNorm'),
  fusedBatchNorm('FusedBatchNormV2'),
  fusedBatchNorm('FusedBatchNormV3'),
  fusedBatchNormGrad('FusedBatchNormGrad'),
  fusedBatchNormGrad('FusedBatchNormGradV2'),
  fusedBatchNormGrad('FusedBatchNormGradV3'),
  softmaxCrossEntropy,
  sparseSoftmaxCrossEntropy,
  localResponse,
]
