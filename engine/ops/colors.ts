// Colors and contrast of images.
import { formatShape } from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

type Triple = readonly [Expression, Expression, Expression]

/** Hue (0 to 1) of a color, its largest part, and how far its parts are from each other. */
function hueOf(b: Builder, [red, green, blue]: Triple): Triple {
  const top = b.max(red, b.max(green, blue))
  const range = b.sub(top, b.min(red, b.min(green, blue)))
  const norm = b.div(1, b.mul(range, 6))
  const sector = b.select(
    b.equal(red, top),
    b.mul(norm, b.sub(green, blue)),
    b.select(
      b.equal(green, top),
      b.add(b.mul(norm, b.sub(blue, red)), 2 / 6),
      b.add(b.mul(norm, b.sub(red, green)), 4 / 6),
    ),
  )
  const hue = b.select(b.greater(range, 0), sector, 0)
  return [b.select(b.less(hue, 0), b.add(hue, 1), hue), top, range]
}

/** How much of the range each part of a color of this hue has. */
function partsOf(b: Builder, hue: Expression): Triple {
  const turned = b.mul(hue, 6)
  const clamped = (x: Expression): Expression => b.min(b.max(x, 0), 1)
  const away = (from: number): Expression => b.one('abs', b.sub(turned, from))
  return [
    clamped(b.sub(away(3), 1)),
    clamped(b.sub(b.number(hue.dtype, 2), away(2))),
    clamped(b.sub(b.number(hue.dtype, 2), away(4))),
  ]
}

function saturationOf(b: Builder, top: Expression, range: Expression): Expression {
  return b.select(b.greater(top, 0), b.div(range, top), 0)
}

/** The color of hue, saturation and value. */
function colorOf(b: Builder, [hue, saturation, value]: Triple): Triple {
  const [red, green, blue] = partsOf(b, hue).map((part) =>
    b.mul(b.add(b.sub(1, saturation), b.mul(saturation, part)), value),
  )
  return [red, green, blue]
}

/** An array of colors out of one; the last dimension holds the three parts. */
function recolored(
  at: Lowering,
  images: TensorValue,
  extra: readonly TensorValue[],
  color: (b: Builder, parts: Triple, extra: readonly Expression[]) => Triple,
): TensorValue {
  const { shape } = images
  const last = shape.length - 1
  if (last < 0 || shape[last] !== 3) {
    throw invalid(
      'shape/mismatch',
      `input must have 3 channels but instead has shape ${formatShape(shape)}`,
    )
  }
  const dtype = scalarType(images.dtype)
  const wide = dtype === 'float64' ? 'float64' : 'float32'
  return at.compute({
    shape,
    dtype,
    inputs: [images, ...extra],
    body: ({ b, axes, read }) => {
      const part = (channel: number): Expression =>
        b.cast(read(0, axes.with(last, b.index(channel))), wide)
      const scalars = extra.map((_, place) => b.cast(read(place + 1, []), wide))
      const [first, second, third] = color(b, [part(0), part(1), part(2)], scalars)
      const channel = axes[last]
      const picked = b.select(
        b.equal(channel, 0),
        first,
        b.select(b.equal(channel, 1), second, third),
      )
      return b.cast(picked, dtype)
    },
  })
}

function conversion(name: string, input: string, color: (b: Builder, parts: Triple) => Triple) {
  return defineOp({
    name,
    inputs: [`${input}: T`],
    outputs: ['output: T'],
    attributes: ['T: {half, bfloat16, float, double} = float'],
    infer: (shapes) => shapes,
    lower: (at) => [recolored(at, at.input(input), [], color)],
  })
}

const rgbToHsv = conversion('RGBToHSV', 'images', (b, parts) => {
  const [hue, top, range] = hueOf(b, parts)
  return [hue, saturationOf(b, top, range), top]
})

const hsvToRgb = conversion('HSVToRGB', 'images', colorOf)

function adjusting(
  name: string,
  amount: string,
  color: (b: Builder, parts: Triple, by: Expression) => Triple,
): OpDefinition {
  return defineOp({
    name,
    inputs: ['images: T', `${amount}: float`],
    outputs: ['output: T'],
    attributes: ['T: {half, float} = float'],
    infer: (shapes) => [shapes[0]],
    lower: (at) => {
      const images = at.input('images')
      if (images.shape.length < 3) {
        throw invalid(
          'shape/mismatch',
          `input must be at least 3-D, got shape${formatShape(images.shape)}`,
        )
      }
      const by = scalarInput(at, amount)
      return [recolored(at, images, [by], (b, parts, [scalar]) => color(b, parts, scalar))]
    },
  })
}

function scalarInput(at: Lowering, name: string): TensorValue {
  const value = at.input(name)
  if (value.shape.length === 0) return value
  throw invalid('shape/mismatch', `${name} must be scalar: ${formatShape(value.shape)}`)
}

const adjustHue = adjusting('AdjustHue', 'delta', (b, parts, by) => {
  const [hue, top, range] = hueOf(b, parts)
  const turned = b.add(hue, by)
  const least = b.sub(top, range)
  const [red, green, blue] = partsOf(b, b.sub(turned, b.one('floor', turned))).map((part) =>
    b.add(least, b.mul(range, part)),
  )
  return [red, green, blue]
})

const adjustSaturation = adjusting('AdjustSaturation', 'scale', (b, parts, by) => {
  const [hue, top, range] = hueOf(b, parts)
  const saturation = b.mul(saturationOf(b, top, range), by)
  return colorOf(b, [hue, b.min(b.max(saturation, 0), 1), top])
})

/** Distances from the mean of each channel of each image, made larger or smaller. */
const adjustContrast = defineOp({
  name: 'AdjustContrastv2',
  inputs: ['images: T', 'contrast_factor: float'],
  outputs: ['output: T'],
  attributes: ['T: {half, float} = float'],
  infer: (shapes) => [shapes[0]],
  lower: (at) => {
    const images = at.input('images')
    const factor = scalarInput(at, 'contrast_factor')
    const { shape } = images
    if (shape.length < 3) {
      throw invalid('shape/mismatch', `input must be at least 3-D, got shape${formatShape(shape)}`)
    }
    const dtype = scalarType(images.dtype)
    const batch = shape.slice(0, -3)
    const [rows, columns, channels] = shape.slice(-3)
    const rank = batch.length
    const means = at.compute({
      shape: [...batch, channels],
      dtype: 'float32',
      inputs: [images],
      reduce: {
        extents: [rows, columns],
        combine: 'sum',
        dtype: 'float32',
        body: ({ b, axes, reduced, read }) =>
          b.cast(read(0, axes.toSpliced(rank, 0, ...reduced)), 'float32'),
      },
      body: ({ b, total }) => b.div(total, rows * columns),
    })
    return [
      at.compute({
        shape,
        dtype,
        inputs: [images, means, factor],
        body: ({ b, axes, read }) => {
          const mean = read(1, axes.toSpliced(rank, 2))
          const away = b.sub(b.cast(read(0, axes), 'float32'), mean)
          return b.cast(b.add(b.mul(away, read(2, [])), mean), dtype)
        },
      }),
    ]
  },
})

/** Colors. */
export const colorOps: readonly OpDefinition[] = [
  rgbToHsv,
  hsvToRgb,
  adjustHue,
  adjustSaturation,
  adjustContrast,
]
