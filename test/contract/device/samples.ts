// Values that kernels are tried on: the edges of each type, and others from a fixed random sequence.
import {
  isFloat,
  isWide,
  limitsOf,
  roundTo,
  type Scalar,
  type ScalarType,
} from '../../../engine/ir/index.ts'

/** A sequence of numbers in `[0, 1)`, always the same for the same seed (a 32-bit xorshift). */
export function sequence(seed: number): () => number {
  let state = seed | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const floatEdges = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  -2.5,
  3,
  -7,
  0.1,
  1e-8,
  12.75,
  -100.25,
  2 ** 24,
  -(2 ** 31),
  3e9,
  Infinity,
  -Infinity,
  Number.NaN,
]

const integerEdges = [0, 1, -1, 2, -2, 3, 7, -8, 31, 100, 127, 128, 255]

/** Edge values of a type. */
export function edgesOf(dtype: ScalarType): Scalar[] {
  if (dtype === 'bool') return [false, true]
  if (isFloat(dtype)) return floatEdges.map((value) => roundTo(dtype, value))
  const all: bigint[] = integerEdges.map(BigInt)
  if (dtype === 'int64') all.push(-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n, -(2n ** 32n) - 5n)
  else if (dtype === 'uint64') all.push(2n ** 64n - 1n, 2n ** 63n, 2n ** 53n + 1n)
  else all.push(...limitsOf(dtype).map((limit) => BigInt(limit)))
  return [...new Set(all.map((value) => roundTo(dtype, value)))]
}

/** One value of a type: mostly small, sometimes anything. */
function anyValue(dtype: ScalarType, random: () => number): Scalar {
  if (dtype === 'bool') return random() < 0.5
  const small = (random() * 2 - 1) * (random() < 0.5 ? 2 : 40)
  if (isFloat(dtype)) {
    const far = random() < 0.2
    const scale = dtype === 'float16' ? 8 : dtype === 'float64' ? 200 : 60
    return roundTo(dtype, far ? small * Math.exp((random() * 2 - 1) * scale) : small)
  }
  if (random() < 0.5) return roundTo(dtype, BigInt(Math.trunc(small)))
  const word = () => BigInt(Math.floor(random() * 2 ** 32))
  return roundTo(dtype, isWide(dtype) ? (word() << 32n) | word() : word())
}

/** `count` lists of operands of the types: all pairs of edges first, as many as fit, then random ones. */
export function operandsFor(
  types: readonly ScalarType[],
  count: number,
  random: () => number,
): Scalar[][] {
  const edges = types.map(edgesOf)
  const total = edges.reduce((product, list) => product * list.length, 1)
  // Where not all combinations fit, a stride through them that meets all edges of each operand.
  const stride = total <= count / 2 ? 1 : coprimeStride(total, Math.floor(count / 2))
  const edgeCount = Math.min(total, Math.floor(count / 2))
  return Array.from({ length: count }, (_, place) => {
    if (place >= edgeCount) return types.map((type) => anyValue(type, random))
    let rest = (place * stride) % total
    return edges.map((list) => {
      const value = list[rest % list.length] as Scalar
      rest = Math.floor(rest / list.length)
      return value
    })
  })
}

/** About `total / count`, without a factor in common with `total`. */
function coprimeStride(total: number, count: number): number {
  const divides = (a: number, b: number): boolean => {
    while (b !== 0) [a, b] = [b, a % b]
    return a === 1
  }
  let stride = Math.max(1, Math.floor(total / count))
  while (!divides(total, stride)) stride++
  return stride
}
