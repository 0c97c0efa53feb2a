// Arguments of described initializers: numbers, words, seeds and constants as requests give them, and the
// refusals of what they cannot be, in TensorFlow's words where it has some.
// Source: tensorflow/python/ops/init_ops.py, tensorflow/python/framework/random_seed.py.
import type { Json } from '../store/index.ts'
import {
  type DType,
  elementCountOf,
  formatShape,
  kindOf,
  Refusal,
  type Shape,
} from '../tensor/index.ts'

/** The two seeds of a random op; both 0 where it shall draw other numbers each time. */
export type Seeds = readonly [seed: number, seed2: number]

/** An initializer as a request gives it: a kind and its arguments. */
export type InitializerDescription = { readonly kind: string } & { readonly [key: string]: Json }

/** Refusal (INVALID_ARGUMENT, `initializer/invalid`) of an initializer. */
export function invalidInitializer(message: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'initializer/invalid', message)
}

/** A finite number. Refuses its absence where there is no `fallback`. */
export function numberArgument(
  description: InitializerDescription,
  key: string,
  fallback: number,
): number {
  const value = description[key] === undefined ? fallback : description[key]
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw invalidInitializer(
    `The argument "${key}" of the initializer ${description.kind} is a number; ${shown(value)} was given.`,
  )
}

/** A bound of whole numbers of the type: a number, or digits in a string where one would not be exact. */
export function wholeArgument(
  description: InitializerDescription,
  key: string,
  dtype: DType,
  fallback?: number,
): bigint {
  const value = description[key] === undefined ? fallback : description[key]
  if (value === undefined)
    throw invalidInitializer(`Must specify ${key} for integer dtype ${dtype}`)
  const isExact =
    (typeof value === 'number' && Number.isSafeInteger(value)) ||
    (typeof value === 'string' && /^-?\d{1,20}$/.test(value))
  const bits = dtype === 'int32' ? 32 : 64
  if (isExact && BigInt.asIntN(bits, BigInt(value)) === BigInt(value)) return BigInt(value)
  throw invalidInitializer(
    `minval and maxval of an ${dtype} variable are whole numbers of that type, ` +
      `as strings beyond 2^53; "${key}" is ${shown(value)}.`,
  )
}

/** A word. */
export function textArgument(
  description: InitializerDescription,
  key: string,
  fallback: string,
): string {
  const value = description[key] === undefined ? fallback : description[key]
  if (typeof value === 'string') return value
  throw invalidInitializer(
    `The argument "${key}" of the initializer ${description.kind} is a string; ${shown(value)} was given.`,
  )
}

function shown(value: Json): string {
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/**
 * The elements of `value` in order, the last of which fills the rest of the shape. Refuses lists that are
 * no array, more elements than fit, and with `verify_shape` any other shape than the variable's.
 */
export function constantElements(
  description: InitializerDescription,
  dtype: DType,
  shape: Shape,
  fallback: Json,
): readonly Json[] {
  const value = description.value === undefined ? fallback : description.value
  const { elements, shape: given } = flattened(value, kindOf(dtype) === 'complex')
  const count = elementCountOf(shape)
  if (elements.length > count && count > 0) {
    throw invalidInitializer(
      `Too many elements provided. Needed at most ${count}, but received ${elements.length}`,
    )
  }
  if (elements.length === 0 && count > 0) {
    throw invalidInitializer('A constant needs at least one element.')
  }
  const verify = description.verify_shape ?? false
  if (typeof verify !== 'boolean') {
    throw invalidInitializer('The argument "verify_shape" is true or false.')
  }
  if (verify && given.join() !== shape.join()) {
    throw invalidInitializer(
      `Expected Tensor's shape: ${formatShape(shape)}, got ${formatShape(given)}.`,
    )
  }
  return elements
}

interface Flattened {
  readonly elements: readonly Json[]
  readonly shape: readonly number[]
}

/** Nested lists as elements and a shape; a complex element is itself a list of two. */
function flattened(value: Json, isComplex: boolean): Flattened {
  if (value === null || (typeof value === 'object' && !Array.isArray(value))) {
    throw invalidInitializer(
      `Invalid type for initial value: ${shown(value)} ` +
        '(expected Python scalar, list or tuple of values, or numpy.ndarray).',
    )
  }
  if (!Array.isArray(value)) return { elements: [value], shape: [] }
  const list: readonly Json[] = value
  const isPair =
    isComplex && list.length === 2 && list.every((part) => !Array.isArray(part) && part !== null)
  if (isPair) return { elements: [list], shape: [] }
  const parts = list.map((item) => flattened(item, isComplex))
  const inner = parts[0]?.shape ?? []
  const other = parts.find(({ shape }) => shape.join() !== inner.join())
  if (other !== undefined) {
    throw invalidInitializer(
      `Argument must be a dense tensor: a part of shape ${formatShape(other.shape)} ` +
        `lies beside one of shape ${formatShape(inner)}.`,
    )
  }
  return { elements: parts.flatMap(({ elements }) => elements), shape: [list.length, ...inner] }
}

// tensorflow/python/framework/random_seed.py (get_seed): the graph's seed where only an op has one, and
// the modulus that keeps seeds within 31 bits.
const defaultGraphSeed = 87_654_321
const seedModulus = 2 ** 31 - 1

/** The seeds that TensorFlow gives a random op made with this op seed, in a graph of this seed. */
export function seedsOf(description: InitializerDescription): Seeds {
  const opSeed = seedArgument(description, 'seed')
  const graphSeed = seedArgument(description, 'graph_seed')
  if (opSeed === undefined) {
    if (graphSeed === undefined) return [0, 0]
    throw invalidInitializer(
      'A "graph_seed" wants a "seed" beside it: REST has no count of operations.',
    )
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
  throw invalidInitializer('A seed is a whole number.')
}
