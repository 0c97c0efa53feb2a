// Gradients of local response normalization, of mirrored padding, and of crops of images.
// Source: tensorflow/core/kernels/{lrn_op,mirror_pad_op,image/crop_and_resize_op}.cc.
import { formatShape, type NumericDType, type Shape } from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { numbersOf, tensorOfNumbers } from './host-numbers.ts'
import { productAccumulator } from './linalg.ts'
import { integersOf, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** Sums of squares over neighbouring channels, scaled and moved: what LRN divides by a power of. */
function responseNorm(at: Lowering, image: TensorValue, radius: number): TensorValue {
  const [bias, alpha] = ['bias', 'alpha'].map((name) => at.attributes.float(name))
  return at.compute({
    shape: image.shape,
    dtype: 'float32',
    inputs: [image],
    reduce: {
      extents: [2 * radius + 1],
      combine: 'sum',
      dtype: 'float32',
      body: ({ b, axes, reduced, read }) => {
        const channel = b.sub(b.add(axes[3], reduced[0]), radius)
        const isThere = b.within(channel, 0, image.shape[3])
        const value = b.cast(read(0, axes.with(3, channel), isThere), 'float32')
        return b.mul(value, value)
      },
    },
    body: ({ b, total }) => b.add(b.mul(total, alpha), bias),
  })
}

const localResponseGrad = defineOp({
  name: 'LRNGrad',
  inputs: ['input_grads: T', 'input_image: T', 'output_image: T'],
  outputs: ['output: T'],
  attributes: [
    'depth_radius: int = 5',
    'bias: float = 1.0',
    'alpha: float = 1.0',
    'beta: float = 0.5',
    'T: {half, bfloat16, float} = float',
  ],
  lower: (at) => {
    const names = ['input_grads', 'input_image', 'output_image']
    const [grads, image, output] = names.map((name) => at.input(name))
    if (image.shape.length !== 4) throw invalid('shape/mismatch', 'in must be 4-dimensional')
    const radius = at.attributes.int('depth_radius')
    const [alpha, beta] = ['alpha', 'beta'].map((name) => at.attributes.float(name))
    const dtype = scalarType(image.dtype)
    const norm = responseNorm(at, image, radius)
    const wide = (b: Builder, x: Expression): Expression => b.cast(x, 'float32')
    return [
      at.compute({
        shape: image.shape,
        dtype,
        inputs: [grads, image, output, norm],
        reduce: {
          extents: [2 * radius + 1],
          combine: 'sum',
          dtype: 'float32',
          body: ({ b, axes, reduced, read }) => {
            const channel = b.sub(b.add(axes[3], reduced[0]), radius)
            const isThere = b.within(channel, 0, image.shape[3])
            const near = (input: number): Expression =>
              wide(b, read(input, axes.with(3, channel), isThere))
            const part = b.div(b.mul(near(0), near(2)), near(3))
            return b.select(isThere, part, 0)
          },
        },
        body: ({ b, axes, read, total }) => {
          const own = (input: number): Expression => wide(b, read(input, axes))
          const scale = b.both('pow', own(3), b.number('float32', -beta))
          const through = b.mul(b.mul(own(1), total), 2 * alpha * beta)
          return b.cast(b.sub(b.mul(own(0), scale), through), dtype)
        },
      }),
    ]
  },
})

/** Along one axis: each element collects what its mirror images before and after bring. */
function folded(
  at: Lowering,
  input: TensorValue,
  axis: number,
  [before, after]: readonly [number, number],
  edge: 0 | 1,
): TensorValue {
  const size = input.shape[axis] - before - after
  if (before > size - edge || after > size - edge) {
    throw invalid(
      'shape/invalid',
      `paddings must be ${edge === 0 ? 'no greater than' : 'less than'} the output dimension size: ${before}, ${after} not less than ${size}`,
    )
  }
  const dtype = scalarType(input.dtype)
  const accumulator = productAccumulator(dtype)
  return at.compute({
    shape: input.shape.with(axis, size),
    dtype,
    inputs: [input],
    body: ({ b, axes, read }) => {
      const place = axes[axis]
      const image = (position: Expression, low: number, high: number): Expression => {
        const isThere = b.within(position, low, high)
        const value = b.cast(read(0, axes.with(axis, position), isThere), accumulator)
        return b.select(isThere, value, 0)
      }
      const own = b.cast(read(0, axes.with(axis, b.add(place, before))), accumulator)
      const left = image(b.sub(before - 1 + edge, place), 0, before)
      const last = before + 2 * size - 1 - edge
      const right = image(b.sub(last, place), before + size, before + size + after)
      return b.cast(b.add(b.add(own, left), right), dtype)
    },
  })
}

const mirrorPadGrad = defineOp({
  name: 'MirrorPadGrad',
  inputs: ['input: T', 'paddings: Tpaddings'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Tpaddings: {int32, int64} = int32', "mode: {'REFLECT', 'SYMMETRIC'}"],
  lower: (at) => {
    const input = at.input('input')
    const content = at.contentOf(at.input('paddings'))
    const rank = input.shape.length
    if (content.shape.length !== 2 || content.shape[0] !== rank || content.shape[1] !== 2) {
      throw invalid(
        'shape/mismatch',
        `paddings must be a matrix with 2 columns and ${rank} rows: ${formatShape(content.shape)}`,
      )
    }
    const paddings = integersOf(content)
    const edge = at.attributes.text('mode') === 'SYMMETRIC' ? 0 : 1
    let result = input
    for (let axis = 0; axis < rank; axis++) {
      const [before, after] = [paddings[2 * axis], paddings[2 * axis + 1]]
      if (before < 0 || after < 0) {
        throw invalid('shape/invalid', `paddings must be non-negative: ${before}, ${after}`)
      }
      if (before + after > 0) result = folded(at, result, axis, [before, after], edge)
    }
    return [result]
  },
})

/** A crop, as both of its gradients walk it. */
interface CropWalk {
  readonly imageShape: Shape
  readonly cropShape: Shape
  readonly boxes: Float64Array
  readonly owners: Float64Array
}

/** One element of a crop: where it was taken from, in rows and columns of its image. */
type Visit = (owner: number, box: number, y: number, x: number, row: number, column: number) => void

const f = Math.fround

/** Calls `visit` for every element of the crops that lies within its image. */
function walkCrops({ imageShape, cropShape, boxes, owners }: CropWalk, visit: Visit): void {
  const [images, rows, columns] = imageShape
  const [count, height, width] = cropShape
  const placeOf = (start: number, end: number, at: number, of: number, size: number): number => {
    if (of === 1) return f(f(0.5 * f(start + end)) * (size - 1))
    return f(f(start * (size - 1)) + f(at * f(f(f(end - start) * (size - 1)) / (of - 1))))
  }
  for (let box = 0; box < count; box++) {
    const owner = owners[box]
    if (owner < 0 || owner >= images) {
      throw invalid('run/index', 'box_index has values outside [0, batch_size)')
    }
    const [y1, x1, y2, x2] = boxes.subarray(4 * box, 4 * box + 4)
    for (let y = 0; y < height; y++) {
      const row = placeOf(y1, y2, y, height, rows)
      if (!(row >= 0 && row <= rows - 1)) continue
      for (let x = 0; x < width; x++) {
        const column = placeOf(x1, x2, x, width, columns)
        if (column >= 0 && column <= columns - 1) visit(owner, box, y, x, row, column)
      }
    }
  }
}

function checkCrops(grads: TensorValue, boxes: TensorValue, owners: TensorValue): void {
  if (grads.shape.length !== 4) throw invalid('shape/mismatch', 'grads image must be 4-D')
  if (boxes.shape.length !== 2 || boxes.shape[1] !== 4) {
    throw invalid('shape/mismatch', `boxes must be [num_boxes, 4], not ${formatShape(boxes.shape)}`)
  }
  if (owners.shape.length !== 1 || owners.shape[0] !== boxes.shape[0]) {
    throw invalid('shape/mismatch', 'box_index has incompatible shape')
  }
  if (grads.shape[0] !== boxes.shape[0]) {
    throw invalid('shape/mismatch', 'boxes and grads have incompatible shape')
  }
}

const cropGradImage = defineOp({
  name: 'CropAndResizeGradImage',
  inputs: ['grads: float', 'boxes: float', 'box_ind: int32', 'image_size: int32'],
  outputs: ['output: T'],
  attributes: ['T: {float, half, double}', "method: {'bilinear', 'nearest'} = 'bilinear'"],
  lower: (at) => {
    const [grads, boxes, owners] = ['grads', 'boxes', 'box_ind'].map((name) => at.input(name))
    checkCrops(grads, boxes, owners)
    const shape = integersOf(at.contentOf(at.input('image_size')))
    if (shape.length !== 4) throw invalid('shape/mismatch', 'image_size must have four elements')
    if (shape.some((size) => size <= 0)) {
      throw invalid('shape/invalid', 'image dimensions must be positive')
    }
    if (shape[3] !== grads.shape[3]) {
      throw invalid('shape/mismatch', 'image_size and grads are incompatible')
    }
    const dtype = at.attributes.type('T') as NumericDType
    const isNearest = at.attributes.text('method') === 'nearest'
    return at.step({
      inputs: [grads, boxes, owners],
      outputs: [{ dtype, shape }],
      run: ([flow, corners, places]) => {
        const [, rows, columns, channels] = shape
        const size = shape.reduce((product, one) => product * one, 1)
        const result = new Float64Array(size)
        const flows = numbersOf(flow)
        const [, height, width] = grads.shape
        const add = (owner: number, row: number, column: number, from: number, share: number) => {
          const to = ((owner * rows + row) * columns + column) * channels
          for (let channel = 0; channel < channels; channel++) {
            result[to + channel] += flows[from + channel] * share
          }
        }
        const walk = {
          imageShape: shape,
          cropShape: grads.shape,
          boxes: numbersOf(corners),
          owners: numbersOf(places),
        }
        walkCrops(walk, (owner, box, y, x, row, column) => {
          const from = ((box * height + y) * width + x) * channels
          if (isNearest) {
            add(owner, Math.round(row), Math.round(column), from, 1)
            return
          }
          const [top, left] = [Math.floor(row), Math.floor(column)]
          const [down, right] = [row - top, column - left]
          add(owner, top, left, from, (1 - down) * (1 - right))
          add(owner, top, Math.ceil(column), from, (1 - down) * right)
          add(owner, Math.ceil(row), left, from, down * (1 - right))
          add(owner, Math.ceil(row), Math.ceil(column), from, down * right)
        })
        return [tensorOfNumbers(dtype, shape, result)]
      },
    })
  },
})

const cropGradBoxes = defineOp({
  name: 'CropAndResizeGradBoxes',
  inputs: ['grads: float', 'image: T', 'boxes: float', 'box_ind: int32'],
  outputs: ['output: float'],
  attributes: ['T: type', "method: {'bilinear'} = 'bilinear'"],
  lower: (at) => {
    const names = ['grads', 'image', 'boxes', 'box_ind']
    const [grads, image, boxes, owners] = names.map((name) => at.input(name))
    checkCrops(grads, boxes, owners)
    if (image.shape.length !== 4) throw invalid('shape/mismatch', 'image must be 4-D')
    if (image.shape[3] !== grads.shape[3]) {
      throw invalid('shape/mismatch', 'image, grads depth differ')
    }
    return at.step({
      inputs: [grads, image, boxes, owners],
      outputs: [{ dtype: 'float32', shape: boxes.shape }],
      run: ([flow, pixels, corners, places]) => {
        const walk = {
          imageShape: image.shape,
          cropShape: grads.shape,
          boxes: numbersOf(corners),
          owners: numbersOf(places),
        }
        const result = toCorners(walk, numbersOf(flow), numbersOf(pixels))
        return [tensorOfNumbers('float32', boxes.shape, result)]
      },
    })
  },
})

/** What flows to the corners of boxes: along the slopes of the image where each element was taken. */
function toCorners(walk: CropWalk, flows: Float64Array, pixels: Float64Array): Float64Array {
  const [, rows, columns, channels] = walk.imageShape
  const [, height, width] = walk.cropShape
  const result = new Float64Array(walk.boxes.length)
  walkCrops(walk, (owner, box, y, x, row, column) => {
    const [top, left, bottom, right] = [
      Math.floor(row),
      Math.floor(column),
      Math.ceil(row),
      Math.ceil(column),
    ]
    const [down, across] = [row - top, column - left]
    const from = ((box * height + y) * width + x) * channels
    let [slopeY, slopeX] = [0, 0]
    for (let channel = 0; channel < channels; channel++) {
      const pixel = (atRow: number, atColumn: number): number =>
        pixels[((owner * rows + atRow) * columns + atColumn) * channels + channel]
      const [a, b] = [pixel(top, left), pixel(top, right)]
      const [c, d] = [pixel(bottom, left), pixel(bottom, right)]
      const flow = flows[from + channel]
      slopeY += flow * ((1 - across) * (c - a) + across * (d - b))
      slopeX += flow * ((1 - down) * (b - a) + down * (d - c))
    }
    const shareY = height > 1 ? y / (height - 1) : 0.5
    const shareX = width > 1 ? x / (width - 1) : 0.5
    result[4 * box] += slopeY * (rows - 1) * (1 - shareY)
    result[4 * box + 1] += slopeX * (columns - 1) * (1 - shareX)
    result[4 * box + 2] += slopeY * (rows - 1) * shareY
    result[4 * box + 3] += slopeX * (columns - 1) * shareX
  })
  return result
}

/** Gradients of normalization, padding and crops of images. */
export const imageGradientOps: readonly OpDefinition[] = [
  localResponseGrad,
  mirrorPadGrad,
  cropGradImage,
  cropGradBoxes,
]
