// Gradients of resizing: each element of the image collects what the elements it went to bring back,
// axis by axis, with the weights it went there with.
import { formatShape, type Shape, tensorOfElements } from '../../tensor/index.ts'
import { elementwise, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { cubicTaps, linearTaps, nearestTaps, type Resize, type Taps } from './resampling.ts'
import { integersOf, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** The weights of an axis as a matrix `[to, from]`. */
function matrixOf({ taps, places, weights }: Taps, { from, to }: Resize): readonly number[] {
  const matrix = new Array<number>(to * from).fill(0)
  for (const [tap, place] of places.entries()) {
    matrix[Math.floor(tap / taps) * from + place] += weights[tap]
  }
  return matrix
}

function collected(
  at: Lowering,
  grads: TensorValue,
  axis: 1 | 2,
  resize: Resize,
  taps: Taps,
): TensorValue {
  const weights = tensorOfElements('float32', [resize.to, resize.from], matrixOf(taps, resize))
  return at.compute({
    shape: grads.shape.with(axis, resize.from),
    dtype: 'float32',
    inputs: [grads, at.known(weights)],
    reduce: {
      extents: [resize.to],
      combine: 'sum',
      dtype: 'float32',
      body: ({ b, axes, reduced, read }) => {
        const brought = b.cast(read(0, axes.with(axis, reduced[0])), 'float32')
        return b.mul(brought, read(1, [reduced[0], axes[axis]]))
      },
    },
    body: ({ total }) => total,
  })
}

/** The gradient on an image of `size` out of the one on the resized image. */
function gradientOf(
  at: Lowering,
  size: Shape,
  dtype: TensorValue['dtype'],
  tapsOf: (resize: Resize) => Taps,
): TensorValue {
  const grads = at.input('grads')
  if (grads.shape.length !== 4 || size.length !== 2 || size.some((one) => one <= 0)) {
    throw invalid(
      'shape/mismatch',
      `Gradients of shape ${formatShape(grads.shape)} do not go to an image of size ${formatShape(size)}`,
    )
  }
  const [alignCorners, halfPixelCenters] = ['align_corners', 'half_pixel_centers'].map(
    (name) => at.attributes.specs.has(name) && at.attributes.bool(name),
  )
  if (alignCorners && halfPixelCenters) {
    throw invalid('op/attribute', 'If half_pixel_centers is True, align_corners must be False.')
  }
  const [height, width] = size.map(
    (from, axis): Resize => ({
      from,
      to: grads.shape[axis + 1],
      alignCorners,
      halfPixelCenters,
    }),
  )
  const rows = collected(at, grads, 1, height, tapsOf(height))
  const both = collected(at, rows, 2, width, tapsOf(width))
  const type = scalarType(dtype)
  return type === 'float32' ? both : elementwise(at, [both], type, (b, [x]) => b.cast(x, type))
}

/** Taps of linear resizing, each with its own weight. */
function linearWeights(resize: Resize): Taps {
  const taps = linearTaps(resize)
  return {
    ...taps,
    weights: taps.weights.map((share, tap) => (tap % 2 === 0 ? Math.fround(1 - share) : share)),
  }
}

const attributes = ['align_corners: bool = false', 'half_pixel_centers: bool = false']

function ofImage(name: string, tapsOf: (resize: Resize) => Taps): OpDefinition {
  return defineOp({
    name,
    inputs: ['grads: float', 'original_image: T'],
    outputs: ['output: T'],
    attributes: ['T: {float, bfloat16, half, double}', ...attributes],
    infer: (shapes) => [shapes[1]],
    lower: (at) => {
      const { shape, dtype } = at.input('original_image')
      return [gradientOf(at, shape.slice(1, 3), dtype, tapsOf)]
    },
  })
}

const nearest = defineOp({
  name: 'ResizeNearestNeighborGrad',
  inputs: ['grads: T', 'size: int32'],
  outputs: ['output: T'],
  attributes: ['T: {half, bfloat16, float}', ...attributes],
  lower: (at) => {
    const size = integersOf(at.contentOf(at.input('size')))
    return [gradientOf(at, size, at.input('grads').dtype, nearestTaps)]
  },
})

/** Gradients of resizing. */
export const resizeGradientOps: readonly OpDefinition[] = [
  ofImage('ResizeBilinearGrad', linearWeights),
  ofImage('ResizeBicubicGrad', cubicTaps),
  nearest,
]
