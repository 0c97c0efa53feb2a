// Resized images and parts of images: kernels over tables of places and weights (resampling.ts).
import { formatShape, Refusal, type Shape, tensorOfElements } from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { moved } from './movement.ts'
import {
  areaTaps,
  cubicTaps,
  linearTaps,
  nearestTaps,
  type Resize,
  scaleOf,
  type Taps,
} from './resampling.ts'
import { integersOf, invalid } from './shapes.ts'
import type { Read, TensorValue } from './value.ts'
import { windowOf } from './window.ts'

/** An image batch and how its height and width are resized. */
interface Resizing {
  readonly images: TensorValue
  readonly height: Resize
  readonly width: Resize
  /** `[batch, height, width, channels]` of the result. */
  readonly shape: Shape
}

function resizingOf(at: Lowering): Resizing {
  const images = at.input('images')
  const size = integersOf(at.contentOf(at.input('size')))
  const { attributes } = at
  if (images.shape.length !== 4) {
    throw invalid('shape/mismatch', `input must be 4-dimensional${formatShape(images.shape)}`)
  }
  if (size.length !== 2) {
    throw invalid('shape/mismatch', `shape_t must have two elements, not ${size.length}`)
  }
  const [batch, rows, columns, channels] = images.shape
  if (size.some((one) => one <= 0)) {
    throw invalid('shape/invalid', 'output dimensions must be positive')
  }
  if (rows === 0 || columns === 0 || channels === 0) {
    throw invalid('shape/invalid', 'input image must be of non-zero size')
  }
  const alignCorners = attributes.bool('align_corners')
  const halfPixelCenters =
    attributes.specs.has('half_pixel_centers') && attributes.bool('half_pixel_centers')
  if (alignCorners && halfPixelCenters) {
    throw invalid('op/attribute', 'If half_pixel_centers is True, align_corners must be False.')
  }
  const one = (from: number, to: number): Resize => ({ from, to, alignCorners, halfPixelCenters })
  return {
    images,
    height: one(rows, size[0]),
    width: one(columns, size[1]),
    shape: [batch, size[0], size[1], channels],
  }
}

/** Tables of an axis as values to read: `[to, taps]`. */
function tablesOf(at: Lowering, { taps, places, weights }: Taps): readonly TensorValue[] {
  const shape = [places.length / taps, taps]
  return [
    at.known(tensorOfElements('int32', shape, places)),
    at.known(tensorOfElements('float32', shape, weights)),
  ]
}

function resizeOp(
  name: string,
  output: 'resized_images: T' | 'resized_images: float',
  lower: (at: Lowering, resizing: Resizing) => TensorValue,
): OpDefinition {
  return defineOp({
    name,
    inputs: ['images: T', 'size: int32'],
    outputs: [output],
    attributes: [
      'T: type',
      'align_corners: bool = false',
      ...(name === 'ResizeArea' ? [] : ['half_pixel_centers: bool = false']),
    ],
    lower: (at) => [lower(at, resizingOf(at))],
  })
}

const bilinear = resizeOp('ResizeBilinear', 'resized_images: float', (at, resizing) => {
  const { images, height, width, shape } = resizing
  const rows = tablesOf(at, linearTaps(height))
  const columns = tablesOf(at, linearTaps(width))
  scalarType(images.dtype)
  return at.compute({
    shape,
    dtype: 'float32',
    inputs: [images, ...rows, ...columns],
    body: ({ b, axes: [batch, y, x, channel], read }) => {
      const pixel = (top: number, left: number): Expression => {
        const row = read(1, [y, b.index(top)])
        const column = read(3, [x, b.index(left)])
        return b.cast(read(0, [batch, row, column, channel]), 'float32')
      }
      const [down, right] = [read(2, [y, b.index(0)]), read(4, [x, b.index(0)])]
      return between(
        b,
        between(b, pixel(0, 0), pixel(0, 1), right),
        between(b, pixel(1, 0), pixel(1, 1), right),
        down,
      )
    },
  })
})

function between(b: Builder, x: Expression, y: Expression, share: Expression): Expression {
  return b.add(x, b.mul(b.sub(y, x), share))
}

const nearest = resizeOp('ResizeNearestNeighbor', 'resized_images: T', (at, resizing) => {
  const { images, height, width, shape } = resizing
  const [rows] = tablesOf(at, nearestTaps(height))
  const [columns] = tablesOf(at, nearestTaps(width))
  return at.compute({
    shape,
    dtype: scalarType(images.dtype),
    inputs: [images, rows, columns],
    body: ({ b, axes: [batch, y, x, channel], read }) =>
      read(0, [batch, read(1, [y, b.index(0)]), read(2, [x, b.index(0)]), channel]),
  })
})

/** Weighted sums along one axis of a batch. */
function weighted(at: Lowering, input: TensorValue, axis: 1 | 2, taps: Taps): TensorValue {
  const shape = input.shape.with(axis, taps.places.length / taps.taps)
  scalarType(input.dtype)
  return at.compute({
    shape,
    dtype: 'float32',
    inputs: [input, ...tablesOf(at, taps)],
    reduce: {
      extents: [taps.taps],
      combine: 'sum',
      dtype: 'float32',
      body: ({ b, axes, reduced, read }) => {
        const place = read(1, [axes[axis], reduced[0]])
        const value = b.cast(read(0, axes.with(axis, place)), 'float32')
        return b.mul(value, read(2, [axes[axis], reduced[0]]))
      },
    },
    body: ({ total }) => total,
  })
}

const bicubic = resizeOp('ResizeBicubic', 'resized_images: float', (at, resizing) => {
  const { images, height, width } = resizing
  return weighted(at, weighted(at, images, 1, cubicTaps(height)), 2, cubicTaps(width))
})

const area = resizeOp('ResizeArea', 'resized_images: float', (at, resizing) => {
  const { images, height, width, shape } = resizing
  const sums = weighted(at, weighted(at, images, 1, areaTaps(height)), 2, areaTaps(width))
  const share = 1 / (scaleOf(height) * scaleOf(width))
  return at.compute({
    shape,
    dtype: 'float32',
    inputs: [sums],
    body: ({ b, axes, read }) => b.mul(read(0, axes), share),
  })
})

/** Where row (or column) `element` of `count` in a box lies in an image of `size` rows. */
function placeInBox(
  b: Builder,
  [start, end]: readonly [Expression, Expression],
  element: Expression,
  count: number,
  size: number,
): Expression {
  if (count === 1) return b.mul(b.mul(b.add(start, end), 0.5), size - 1)
  const scale = b.div(b.mul(b.sub(end, start), size - 1), count - 1)
  return b.add(b.mul(start, size - 1), b.mul(b.cast(element, 'float32'), scale))
}

const cropAndResize = defineOp({
  name: 'CropAndResize',
  inputs: ['image: T', 'boxes: float', 'box_ind: int32', 'crop_size: int32'],
  outputs: ['crops: float'],
  attributes: [
    'T: type',
    "method: {'bilinear', 'nearest'} = 'bilinear'",
    'extrapolation_value: float = 0',
  ],
  lower: (at) => {
    const [image, boxes, owners] = ['image', 'boxes', 'box_ind'].map((name) => at.input(name))
    const size = integersOf(at.contentOf(at.input('crop_size')))
    if (image.shape.length !== 4) throw invalid('shape/mismatch', 'input image must be 4-D')
    if (boxes.shape.length !== 2 || boxes.shape[1] !== 4) {
      throw invalid(
        'shape/mismatch',
        `boxes must be [num_boxes, 4], not ${formatShape(boxes.shape)}`,
      )
    }
    if (owners.shape.length !== 1 || owners.shape[0] !== boxes.shape[0]) {
      throw invalid('shape/mismatch', 'box_index has incompatible shape')
    }
    if (size.length !== 2) throw invalid('shape/mismatch', 'crop_size must have two elements')
    if (size.some((one) => one <= 0)) {
      throw invalid('shape/invalid', 'crop dimensions must be positive')
    }
    const [images, rows, columns, channels] = image.shape
    if (rows === 0 || columns === 0) {
      throw invalid('shape/invalid', 'image dimensions must be positive')
    }
    scalarType(image.dtype)
    const isNearest = at.attributes.text('method') === 'nearest'
    const outside = at.attributes.float('extrapolation_value')
    const body = ({ b, axes, read }: { b: Builder; axes: readonly Expression[]; read: Read }) => {
      const [box, y, x, channel] = axes
      const corner = (place: number): Expression => read(1, [box, b.index(place)])
      const top = placeInBox(b, [corner(0), corner(2)], y, size[0], rows)
      const left = placeInBox(b, [corner(1), corner(3)], x, size[1], columns)
      const owner = read(2, [box])
      const isInside = b.and(
        b.greaterEqual(top, 0),
        b.lessEqual(top, rows - 1),
        b.greaterEqual(left, 0),
        b.lessEqual(left, columns - 1),
        b.greaterEqual(owner, 0),
        b.less(owner, images),
      )
      const place = (row: string, at: Expression): Expression =>
        b.cast(row === 'near' ? b.one('floor', b.add(at, 0.5)) : b.one(row, at), 'int32')
      const pixel = (row: string, column: string): Expression =>
        b.cast(read(0, [owner, place(row, top), place(column, left), channel], isInside), 'float32')
      const share = (at: Expression): Expression => b.sub(at, b.one('floor', at))
      const value = isNearest
        ? pixel('near', 'near')
        : between(
            b,
            between(b, pixel('floor', 'floor'), pixel('floor', 'ceil'), share(left)),
            between(b, pixel('ceil', 'floor'), pixel('ceil', 'ceil'), share(left)),
            share(top),
          )
      return b.select(isInside, value, outside)
    }
    return [
      at.compute({
        shape: [boxes.shape[0], size[0], size[1], channels],
        dtype: 'float32',
        inputs: [image, boxes, owners],
        body,
        checks: ({ b, axes, read }) => [
          {
            ok: b.within(read(2, [axes[0]]), 0, images),
            message: () => ({
              code: 'OUT_OF_RANGE',
              reason: 'run/index',
              message: 'box_index has values outside [0, batch_size)',
            }),
          },
        ],
      }),
    ]
  },
})

/** Patches of images as channels: `[batch, rows, columns, patch rows * patch columns * channels]`. */
const extractImagePatches = defineOp({
  name: 'ExtractImagePatches',
  inputs: ['images: T'],
  outputs: ['patches: T'],
  attributes: [
    'ksizes: list(int)',
    'strides: list(int)',
    'rates: list(int)',
    'T: type',
    "padding: {'SAME', 'VALID'}",
  ],
  lower: (at) => {
    const images = at.input('images')
    const { attributes } = at
    const [sizes, strides, rates] = ['ksizes', 'strides', 'rates'].map((name) =>
      attributes.ints(name),
    )
    if (images.shape.length !== 4) {
      throw invalid('shape/mismatch', `input must be 4-dimensional${formatShape(images.shape)}`)
    }
    for (const list of [sizes, strides, rates]) {
      if (list.length === 4 && list[0] === 1 && list[3] === 1) continue
      throw new Refusal(
        'UNIMPLEMENTED',
        'op/attribute',
        'Only sizes, strides and rates of the form [1, rows, columns, 1] are supported.',
      )
    }
    const [batch, rows, columns, channels] = images.shape
    const padding = attributes.text('padding')
    const [y, x] = [rows, columns].map((size, place) =>
      windowOf(size, sizes[place + 1], strides[place + 1], rates[place + 1], padding),
    )
    const shape = [batch, y.output, x.output, y.size * x.size * channels]
    return [
      moved(at, images, shape, (b, axes) => {
        const [row, column, channel] = b.unflatten(axes[3], [y.size, x.size, channels])
        const place = (axis: Expression, step: Expression, window: typeof y): Expression =>
          b.sub(b.add(b.mul(axis, window.stride), b.mul(step, window.dilation)), window.before)
        const [top, left] = [place(axes[1], row, y), place(axes[2], column, x)]
        const guard = b.and(b.within(top, 0, rows), b.within(left, 0, columns))
        return { positions: [axes[0], top, left, channel], guard }
      }),
    ]
  },
})

/** Resizing and cutting of images. */
export const resizeOps: readonly OpDefinition[] = [
  bilinear,
  nearest,
  bicubic,
  area,
  cropAndResize,
  extractImagePatches,
]
