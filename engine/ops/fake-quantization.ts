// Rounding of floats to what a quantized number could hold, and the gradients of that.
// Source: tensorflow/core/kernels/fake_quant_ops_functor.h.
import { formatShape, type Shape } from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** Ends of the range, moved so that 0 is one of the steps, and the size of a step. */
interface Range {
  readonly least: Expression
  readonly most: Expression
  readonly scale: Expression
}

function rangeOf(
  b: Builder,
  [low, high]: readonly [Expression, Expression],
  [first, last]: readonly [number, number],
): Range {
  const scale = b.div(b.sub(high, low), last - first)
  const zero = b.sub(b.number('float32', first), b.div(low, scale))
  const rounded = b.one('floor', b.add(zero, 0.5))
  const nudged = b.select(
    b.less(zero, first),
    first,
    b.select(b.greater(zero, last), b.number('float32', last), rounded),
  )
  return {
    least: b.mul(b.sub(b.number('float32', first), nudged), scale),
    most: b.mul(b.sub(b.number('float32', last), nudged), scale),
    scale,
  }
}

function quantized(b: Builder, x: Expression, { least, most, scale }: Range): Expression {
  const inverse = b.div(1, scale)
  const zero = b.one('floor', b.add(b.mul(b.one('neg', least), inverse), 0.5))
  const shifted = b.sub(b.max(b.min(x, most), least), least)
  const step = b.one('floor', b.add(b.sub(b.mul(shifted, inverse), zero), 0.5))
  return b.mul(step, scale)
}

/** First and last step that the attributes allow. */
function stepsOf(at: Lowering): readonly [number, number] {
  const bits = at.attributes.int('num_bits')
  if (bits < 2 || bits > 16) {
    throw invalid('op/attribute', `num_bits must be between 2 and 16, inclusive, not ${bits}`)
  }
  return [at.attributes.bool('narrow_range') ? 1 : 0, 2 ** bits - 1]
}

const attributes = ['num_bits: int = 8', 'narrow_range: bool = false']

/** The range that the attributes say. */
function fixedRange(at: Lowering): (b: Builder) => Range {
  const [low, high] = [at.attributes.float('min'), at.attributes.float('max')]
  if (!(low < high)) {
    throw invalid('op/attribute', `min has to be smaller than max, was: ${low} >= ${high}`)
  }
  const steps = stepsOf(at)
  return (b) => rangeOf(b, [b.number('float32', low), b.number('float32', high)], steps)
}

const ofArguments = defineOp({
  name: 'FakeQuantWithMinMaxArgs',
  inputs: ['inputs: float'],
  outputs: ['outputs: float'],
  attributes: ['min: float = -6', 'max: float = 6', ...attributes],
  infer: (shapes) => shapes,
  lower: (at) => {
    const input = at.input('inputs')
    const range = fixedRange(at)
    return [
      at.compute({
        shape: input.shape,
        dtype: 'float32',
        inputs: [input],
        body: ({ b, axes, read }) => quantized(b, read(0, axes), range(b)),
      }),
    ]
  },
})

const ofArgumentsGradient = defineOp({
  name: 'FakeQuantWithMinMaxArgsGradient',
  inputs: ['gradients: float', 'inputs: float'],
  outputs: ['backprops: float'],
  attributes: ['min: float = -6', 'max: float = 6', ...attributes],
  infer: (shapes) => [shapes[0]],
  lower: (at) => {
    const [gradients, input] = [at.input('gradients'), at.input('inputs')]
    expectShape('gradients', gradients, input.shape)
    const range = fixedRange(at)
    return [
      at.compute({
        shape: input.shape,
        dtype: 'float32',
        inputs: [gradients, input],
        body: ({ b, axes, read }) => {
          const { least, most } = range(b)
          const x = read(1, axes)
          const isInside = b.and(b.greaterEqual(x, least), b.lessEqual(x, most))
          return b.select(isInside, read(0, axes), 0)
        },
      }),
    ]
  },
})

function expectShape(name: string, value: TensorValue, shape: Shape): void {
  if (formatShape(value.shape) === formatShape(shape)) return
  throw invalid(
    'shape/mismatch',
    `${name} must have shape ${formatShape(shape)}, not ${formatShape(value.shape)}`,
  )
}

/** Range of a channel (the last axis), or of all. */
function endsOf(at: Lowering, input: TensorValue, perChannel: boolean): readonly TensorValue[] {
  if (perChannel && input.shape.length === 0) {
    throw invalid('shape/mismatch', 'inputs must have at least one dimension')
  }
  const ends = [at.input('min'), at.input('max')]
  const wanted = perChannel ? input.shape.slice(-1) : []
  for (const [place, name] of (['min', 'max'] as const).entries()) {
    expectShape(name, ends[place], wanted)
  }
  return ends
}

/** Where the range of an element is read. */
function channelOf(axes: readonly Expression[], perChannel: boolean): readonly Expression[] {
  return perChannel ? axes.slice(-1) : []
}

const ofVariables = (perChannel: boolean): OpDefinition =>
  defineOp({
    name: `FakeQuantWithMinMaxVars${perChannel ? 'PerChannel' : ''}`,
    inputs: ['inputs: float', 'min: float', 'max: float'],
    outputs: ['outputs: float'],
    attributes,
    infer: (shapes) => [shapes[0]],
    lower: (at) => {
      const input = at.input('inputs')
      const ends = endsOf(at, input, perChannel)
      const steps = stepsOf(at)
      return [
        at.compute({
          shape: input.shape,
          dtype: 'float32',
          inputs: [input, ...ends],
          body: ({ b, axes, read }) => {
            const channel = channelOf(axes, perChannel)
            const [low, high] = [read(1, channel), read(2, channel)]
            const isNothing = b.and(b.equal(low, 0), b.equal(high, 0))
            const value = quantized(b, read(0, axes), rangeOf(b, [low, high], steps))
            return b.select(isNothing, 0, value)
          },
        }),
      ]
    },
  })

/** Gradients to the inputs inside of the range; to its ends what lies beyond them. */
const ofVariablesGradient = (perChannel: boolean): OpDefinition =>
  defineOp({
    name: `FakeQuantWithMinMaxVars${perChannel ? 'PerChannel' : ''}Gradient`,
    inputs: ['gradients: float', 'inputs: float', 'min: float', 'max: float'],
    outputs: ['backprops_wrt_input: float', 'backprop_wrt_min: float', 'backprop_wrt_max: float'],
    attributes,
    lower: (at) => {
      const [gradients, input] = [at.input('gradients'), at.input('inputs')]
      expectShape('gradients', gradients, input.shape)
      const inputs = [gradients, input, ...endsOf(at, input, perChannel)]
      const steps = stepsOf(at)
      /** The gradient where an element lies so. */
      const where = (
        b: Builder,
        place: readonly Expression[],
        read: (input: number, positions: readonly Expression[]) => Expression,
        side: 'below' | 'inside' | 'above',
      ): Expression => {
        const channel = channelOf(place, perChannel)
        const [low, high] = [read(2, channel), read(3, channel)]
        const { least, most } = rangeOf(b, [low, high], steps)
        const x = read(1, place)
        const isNothing = b.and(b.equal(low, 0), b.equal(high, 0))
        const isInside = b.and(b.greaterEqual(x, least), b.lessEqual(x, most))
        const isThere =
          side === 'inside'
            ? b.or(isNothing, isInside)
            : b.and(b.not(isNothing), side === 'below' ? b.less(x, least) : b.greater(x, most))
        return b.select(isThere, read(0, place), 0)
      }
      const extents = perChannel ? input.shape.slice(0, -1) : input.shape
      const beyond = (side: 'below' | 'above'): TensorValue =>
        at.compute({
          shape: perChannel ? input.shape.slice(-1) : [],
          dtype: 'float32',
          inputs,
          reduce: {
            extents,
            combine: 'sum',
            dtype: 'float32',
            body: ({ b, axes, reduced, read }) => where(b, [...reduced, ...axes], read, side),
          },
          body: ({ total }) => total,
        })
      const inside = at.compute({
        shape: input.shape,
        dtype: 'float32',
        inputs,
        body: ({ b, axes, read }) => where(b, axes, read, 'inside'),
      })
      return [inside, beyond('below'), beyond('above')]
    },
  })

/** Quantization that stays in floats. */
export const fakeQuantizationOps: readonly OpDefinition[] = [
  ofArguments,
  ofArgumentsGradient,
  ofVariables(false),
  ofVariables(true),
  ofVariablesGradient(false),
  ofVariablesGradient(true),
]
