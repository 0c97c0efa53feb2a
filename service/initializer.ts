// What an initializer is: how a request may describe it, what it says about shape and dtype, and
// the scale of the random kinds. The graphs that give the numbers are initial-graph.ts's.
// Source: tensorflow/python/ops/init_ops.py.

import type { Json } from '../store/index.ts'
import { type DType, elementCountOf, kindOf, Refusal, type Shape } from '../tensor/index.ts'

/** The two seeds of a random op; both 0 where it shall draw other numbers each time. */
export type Seeds = readonly [seed: number, seed2: number]

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
      readonly minimum: number
      readonly maximum: number
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

/** An initializer as a request gives it: a kind and its arguments. */
export type InitializerDescription = { readonly kind: string } & { readonly [key: string]: Json }

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
  constant: ['value'],
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
    return { fill: 'constant', elements: constantElements(description, dtype, shape) }
  if (kind === 'identity') {
    if (shape.length !== 2) {
      throw invalid('Identity matrix initializer can only be used for 2D matrices.')
    }
    return { fill: 'identity', gain: identityGain(description, dtype), part }
  }
  if (kindOf(dtype) !== 'float') {
    const integerUniform = kind === 'random_uniform' && (dtype === 'int32' || dtype === 'int64')
    if (!integerUniform) throw invalid(`Expected floating point type, got ${dtype}.`)
  }
  switch (kind) {
    case 'orthogonal':
      if (shape.length < 2) {
        throw invalid('The tensor to initialize must be at least two-dimensional')
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
    throw invalid(`Expected a type of real numbers, got ${dtype}.`)
  }
  if (kind === 'float' || Number.isSafeInteger(gain)) return gain
  throw invalid(`The gain of a ${dtype} variable is a whole number.`)
}

function uniformPlan(description: InitializerDescription, dtype: DType, seeds: Seeds): FillPlan {
  const minimum = numberArgument(description, 'minval', 0)
  const isInteger = kindOf(dtype) !== 'float'
  const maximum = numberArgument(description, 'maxval', isInteger ? undefined : 1)
  if (isInteger && !(Number.isSafeInteger(minimum) && Number.isSafeInteger(maximum))) {
    throw invalid(`minval and maxval of a ${dtype} variable are whole numbers.`)
  }
  if (isInteger && minimum >= maximum) {
    throw invalid(`Need minval < maxval, got ${minimum} >= ${maximum}`)
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
  if (!(scaling.scale > 0)) throw invalid('`scale` must be positive float.')
  const { fanIn, fanOut } = fansOf(shape)
  const fans = { fan_in: fanIn, fan_out: fanOut, fan_avg: (fanIn + fanOut) / 2 }
  if (!Object.hasOwn(fans, scaling.mode))
    throw invalid(`Invalid \`mode\` argument: ${scaling.mode}`)
  const scale = scaling.scale / Math.max(1, fans[scaling.mode as keyof typeof fans])
  switch (scaling.distribution) {
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
      throw invalid(`Invalid \`distribution\` argument: ${scaling.distribution}`)
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
    throw invalid(`The initializer ${kind} has no argument "${key}" (it has: ${known}).`)
  }
}

function constantElements(
  description: InitializerDescription,
  dtype: DType,
  shape: Shape,
): readonly Json[] {
  const value = description.value ?? zeroOf(dtype)
  const elements = flattened(value, kindOf(dtype) === 'complex')
  const count = elementCountOf(shape)
  if (elements.length > count && count > 0) {
    throw invalid(
      `Too many elements provided. Needed at most ${count}, but received ${elements.length}`,
    )
  }
  if (elements.length === 0 && count > 0) throw invalid('A constant needs at least one element.')
  return elements
}

/** The elements of nested lists; a complex element is itself a list of two. */
function flattened(value: Json, isComplex: boolean): readonly Json[] {
  if (!Array.isArray(value)) return [value]
  const list: readonly Json[] = value
  const isPair = isComplex && list.length === 2 && !list.some((part) => Array.isArray(part))
  return isPair ? [list] : list.flatMap((item) => flattened(item, isComplex))
}

function zeroOf(dtype: DType): Json {
  if (dtype === 'string') return ''
  if (kindOf(dtype) === 'complex') return [0, 0]
  return dtype === 'bool' ? false : 0
}

function oneOf(dtype: DType): Json {
  if (dtype === 'string') throw invalid('Expected numeric or boolean dtype, got string.')
  if (kindOf(dtype) === 'complex') return [1, 0]
  return dtype === 'bool' ? true : 1
}

function numberArgument(
  description: InitializerDescription,
  key: string,
  fallback: number | undefined,
): number {
  const value = description[key] ?? fallback
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw invalid(
    value === undefined
      ? `The initializer ${description.kind} needs the argument "${key}".`
      : `The argument "${key}" of the initializer ${description.kind} is a number; ${JSON.stringify(value)} was given.`,
  )
}

function textArgument(description: InitializerDescription, key: string, fallback: string): string {
  const value = description[key] ?? fallback
  if (typeof value === 'string') return value
  throw invalid(`The argument "${key}" of the initializer ${description.kind} is a string.`)
}

// tensorflow/python/framework/random_seed.py (get_seed): the graph's seed where only an op has one, and
// the modulus that keeps seeds within 31 bits.
const defaultGraphSeed = 87_654_321
const seedModulus = 2 ** 31 - 1

/** The seeds that TensorFlow gives a random op made with this op seed, in a graph of this seed. */
function seedsOf(description: InitializerDescription): Seeds {
  const opSeed = seedArgument(description, 'seed')
  const graphSeed = seedArgument(description, 'graph_seed')
  if (opSeed === undefined) {
    if (graphSeed === undefined) return [0, 0]
    throw invalid('A "graph_seed" wants a "seed" beside it: REST has no count of operations.')
  }
  const seeds: Seeds = [truncated(graphSeed ?? defaultGraphSeed), truncated(opSeed)]
  return seeds[0] === 0 && seeds[1] === 0 ? [0, seedModulus] : seeds
}

function truncated(seed: number): number {
  return ((seed % seedModulus) + seedModulus) % seedModulus
}

function seedArgument(description: InitializerDescription, key: string): number | undefined {
  const seed = description[key]
  if (seed === undefined || seed === null) return undefined
  if (typeof seed === 'number' && Number.isSafeInteger(seed)) return seed
  throw invalid('A seed is a whole number.')
}

function invalid(message: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'initializer/invalid', message)
}
