// What an initializer is: how a request may describe it, what it says about shape and dtype, and
// the scale of the random kinds. The graphs that give the numbers are initial-graph.ts's.
// Source: tensorflow/python/ops/init_ops.py.

import type { Json } from '../store/index.ts'
import { type DType, elementCountOf, kindOf, Refusal, type Shape } from '../tensor/index.ts'
import {
  constantElements,
  type InitializerDescription,
  invalidInitializer,
  numberArgument,
  type Seeds,
  seedsOf,
  textArgument,
  wholeArgument,
} from './initializer-arguments.ts'

export type { InitializerDescription, Seeds } from './initializer-arguments.ts'

/** Where the part of a partitioned variable lies. */
export interface PlannedPart {
  readonly fullShape: Shape
  readonly offset: readonly number[]
}

/** An initializer with every argument known that is computed: what has to be drawn or filled. */
export type ComputedPlan =
  | {
      readonly fill: 'identity'
      readonly gain: number
      /** The part of a larger identity matrix that is wanted. */
      readonly part?: PlannedPart | undefined
    }
  | { readonly fill: 'orthogonal'; readonly gain: number; readonly seeds: Seeds }
  | {
      readonly fill: 'uniform'
      /** Bigints for a type of whole numbers. */
      readonly minimum: number | bigint
      readonly maximum: number | bigint
      readonly seeds: Seeds
    }
  | {
      readonly fill: 'normal' | 'truncated_normal'
      readonly mean: number
      readonly deviation: number
      readonly seeds: Seeds
    }

/** An initializer with every argument known. */
export type FillPlan =
  | { readonly fill: 'constant'; readonly elements: readonly Json[] }
  | ComputedPlan

interface Scaling {
  readonly scale: number
  readonly mode: string
  readonly distribution: string
}

// Variance scaling under other names, as init_ops.py defines them.
const scalings: Readonly<Record<string, Scaling>> = {
  glorot_uniform: { scale: 1, mode: 'fan_avg', distribution: 'uniform' },
  glorot_normal: { scale: 1, mode: 'fan_avg', distribution: 'truncated_normal' },
  he_uniform: { scale: 2, mode: 'fan_in', distribution: 'uniform' },
  he_normal: { scale: 2, mode: 'fan_in', distribution: 'truncated_normal' },
  lecun_uniform: { scale: 1, mode: 'fan_in', distribution: 'uniform' },
  lecun_normal: { scale: 1, mode: 'fan_in', distribution: 'truncated_normal' },
}

const seedArguments = ['seed', 'graph_seed']

// Arguments of each kind; anything else in the description is refused.
const argumentsOfKind: Readonly<Record<string, readonly string[]>> = {
  zeros: [],
  ones: [],
  constant: ['value', 'verify_shape'],
  identity: ['gain'],
  orthogonal: ['gain', ...seedArguments],
  random_uniform: ['minval', 'maxval', ...seedArguments],
  random_normal: ['mean', 'stddev', ...seedArguments],
  truncated_normal: ['mean', 'stddev', ...seedArguments],
  uniform_unit_scaling: ['factor', ...seedArguments],
  variance_scaling: ['scale', 'mode', 'distribution', ...seedArguments],
  ...Object.fromEntries(Object.keys(scalings).map((kind) => [kind, seedArguments])),
}

/** Every kind that {@link planInitializer} knows. */
const initializerKinds: readonly string[] = Object.keys(argumentsOfKind)

// Standard deviation of a standard normal cut at two deviations (init_ops.py).
const truncatedDeviation = 0.87962566103423978

/**
 * The plan of a described initializer for a variable of that type, or for a part of one: scales then go
 * by the shape of the whole, numbers are drawn in the shape of the part. Refuses (INVALID_ARGUMENT,
 * `initializer/..`) unknown kinds and arguments, and values that TensorFlow refuses.
 */
export function planInitializer(
  description: InitializerDescription,
  dtype: DType,
  shape: Shape,
  part?: PlannedPart,
): FillPlan {
  const scaleShape = part?.fullShape ?? shape
  checkArguments(description)
  const seeds = seedsOf(description)
  const { kind } = description
  if (kind === 'zeros') return { fill: 'constant', elements: [zeroOf(dtype)] }
  if (kind === 'ones') return { fill: 'constant', elements: [oneOf(dtype)] }
  if (kind === 'constant')
    return {
      fill: 'constant',
      elements: constantElements(description, dtype, shape, zeroOf(dtype)),
    }
  if (kind === 'identity') {
    if (shape.length !== 2) {
      throw invalidInitializer('Identity matrix initializer can only be used for 2D matrices.')
    }
    return { fill: 'identity', gain: identityGain(description, dtype), part }
  }
  if (kindOf(dtype) !== 'float') {
    const integerUniform = kind === 'random_uniform' && (dtype === 'int32' || dtype === 'int64')
    if (!integerUniform) throw invalidInitializer(`Expected floating point type, got ${dtype}.`)
  }
  switch (kind) {
    case 'orthogonal':
      if (shape.length < 2) {
        throw invalidInitializer('The tensor to initialize must be at least two-dimensional')
      }
      if (dtype !== 'float32' && dtype !== 'float64') {
        throw invalidInitializer(
          `There is no Qr of ${dtype}: float32 and float64 can be orthogonal.`,
        )
      }
      return { fill: 'orthogonal', gain: numberArgument(description, 'gain', 1), seeds }
    case 'random_uniform':
      return uniformPlan(description, dtype, seeds)
    case 'random_normal':
    case 'truncated_normal':
      return {
        fill: kind === 'random_normal' ? 'normal' : 'truncated_normal',
        mean: numberArgument(description, 'mean', 0),
        deviation: numberArgument(description, 'stddev', 1),
        seeds,
      }
    case 'uniform_unit_scaling': {
      const inputSize = Math.max(1, elementCountOf(scaleShape.slice(0, -1)))
      const limit = Math.sqrt(3 / inputSize) * numberArgument(description, 'factor', 1)
      return { fill: 'uniform', minimum: -limit, maximum: limit, seeds }
    }
    default:
      return scaledPlan(scalings[kind] ?? scalingOf(description), scaleShape, seeds)
  }
}

function identityGain(description: InitializerDescription, dtype: DType): number {
  const gain = numberArgument(description, 'gain', 1)
  const kind = kindOf(dtype)
  if (kind !== 'float' && kind !== 'signed' && kind !== 'unsigned') {
    throw invalidInitializer(`Expected a type of real numbers, got ${dtype}.`)
  }
  if (kind === 'float' || Number.isSafeInteger(gain)) return gain
  throw invalidInitializer(`The gain of a ${dtype} variable is a whole number.`)
}

function uniformPlan(description: InitializerDescription, dtype: DType, seeds: Seeds): FillPlan {
  if (kindOf(dtype) === 'float') {
    const minimum = numberArgument(description, 'minval', 0)
    const maximum = numberArgument(description, 'maxval', 1)
    return { fill: 'uniform', minimum, maximum, seeds }
  }
  const minimum = wholeArgument(description, 'minval', dtype, 0)
  const maximum = wholeArgument(description, 'maxval', dtype)
  if (minimum >= maximum) {
    throw invalidInitializer(`Need minval < maxval, got ${minimum} >= ${maximum}`)
  }
  return { fill: 'uniform', minimum, maximum, seeds }
}

function scalingOf(description: InitializerDescription): Scaling {
  return {
    scale: numberArgument(description, 'scale', 1),
    mode: textArgument(description, 'mode', 'fan_in'),
    distribution: textArgument(description, 'distribution', 'truncated_normal'),
  }
}

function scaledPlan(scaling: Scaling, shape: Shape, seeds: Seeds): FillPlan {
  if (!(scaling.scale > 0)) throw invalidInitializer('`scale` must be positive float.')
  const { fanIn, fanOut } = fansOf(shape)
  const fans = { fan_in: fanIn, fan_out: fanOut, fan_avg: (fanIn + fanOut) / 2 }
  if (!Object.hasOwn(fans, scaling.mode))
    throw invalidInitializer(`Invalid \`mode\` argument: ${scaling.mode}`)
  const scale = scaling.scale / Math.max(1, fans[scaling.mode as keyof typeof fans])
  switch (scaling.distribution.toLowerCase()) {
    case 'uniform': {
      const limit = Math.sqrt(3 * scale)
      return { fill: 'uniform', minimum: -limit, maximum: limit, seeds }
    }
    case 'normal':
    case 'truncated_normal':
      return {
        fill: 'truncated_normal',
        mean: 0,
        deviation: Math.sqrt(scale) / truncatedDeviation,
        seeds,
      }
    case 'untruncated_normal':
      return { fill: 'normal', mean: 0, deviation: Math.sqrt(scale), seeds }
    default:
      throw invalidInitializer(`Invalid \`distribution\` argument: ${scaling.distribution}`)
  }
}

/** Fan-in and fan-out as init_ops.py counts them. */
export function fansOf(shape: Shape): { readonly fanIn: number; readonly fanOut: number } {
  if (shape.length === 0) return { fanIn: 1, fanOut: 1 }
  if (shape.length === 1) return { fanIn: shape[0], fanOut: shape[0] }
  const field = elementCountOf(shape.slice(0, -2))
  return { fanIn: shape[shape.length - 2] * field, fanOut: shape[shape.length - 1] * field }
}

function checkArguments(description: InitializerDescription): void {
  const { kind } = description
  if (!Object.hasOwn(argumentsOfKind, kind)) {
    throw new Refusal(
      'UNIMPLEMENTED',
      'initializer/unknown',
      `There is no initializer of kind "${kind}".`,
      { fix: `Use one of ${initializerKinds.join(', ')}.`, names: { kind } },
    )
  }
  for (const key of Object.keys(description)) {
    if (key === 'kind' || argumentsOfKind[kind].includes(key)) continue
    const known = argumentsOfKind[kind].join(', ') || 'none'
    throw invalidInitializer(`The initializer ${kind} has no argument "${key}" (it has: ${known}).`)
  }
}

function zeroOf(dtype: DType): Json {
  if (dtype === 'string') return ''
  if (kindOf(dtype) === 'complex') return [0, 0]
  return dtype === 'bool' ? false : 0
}

function oneOf(dtype: DType): Json {
  if (dtype === 'string') throw invalidInitializer('Expected numeric or boolean dtype, got string.')
  if (kindOf(dtype) === 'complex') return [1, 0]
  return dtype === 'bool' ? true : 1
}
