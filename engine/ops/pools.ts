// Pools: the largest or the mean under a sliding window, and their gradients.
import { formatShape } from '../../tensor/index.ts'
import { type Combine, type Expression, limitsOf } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { elementwise, scalarType } from './common.ts'
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

/** Pools. */
export const poolOps: readonly OpDefinition[] = [
  poolOp('MaxPool', 'max', formats2d),
  poolOp('AvgPool', 'average', formats2d),
  poolOp('MaxPool3D', 'max', formats3d),
  poolOp('AvgPool3D', 'average', formats3d),
  maxPoolWithArgmax,
  maxPoolGrad('MaxPoolGrad', formats2d),
  maxPoolGrad('MaxPool3DGrad', formats3d),
  avgPoolGrad('AvgPoolGrad', formats2d),
  avgPoolGrad('AvgPool3DGrad', formats3d),
]
