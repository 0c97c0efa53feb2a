// Arithmetic of complex numbers in float64, each a pair of its real and imaginary part.

export type Complex = readonly [number, number]

const one: Complex = [1, 0]

export const add = ([a, b]: Complex, [c, d]: Complex): Complex => [a + c, b + d]
export const subtract = ([a, b]: Complex, [c, d]: Complex): Complex => [a - c, b - d]
export const multiply = ([a, b]: Complex, [c, d]: Complex): Complex => [
  a * c - b * d,
  a * d + b * c,
]
export const negative = ([a, b]: Complex): Complex => [-a, -b]
export const conjugate = ([a, b]: Complex): Complex => [a, -b]
export const magnitude = ([a, b]: Complex): number => Math.hypot(a, b)
export const angle = ([a, b]: Complex): number => Math.atan2(b, a)
const scaled = ([a, b]: Complex, by: number): Complex => [a * by, b * by]
const isZero = ([a, b]: Complex): boolean => a === 0 && b === 0
/** `i z`, and `-i z`. */
const turnedLeft = ([a, b]: Complex): Complex => [-b, a]
const turnedRight = ([a, b]: Complex): Complex => [b, -a]

/** The quotient; scaled by the larger part of the divisor, so that nothing overflows (Smith 1962). */
export function divide([a, b]: Complex, [c, d]: Complex): Complex {
  if (c === 0 && d === 0) return [a / c, b / c]
  if (Math.abs(c) >= Math.abs(d)) {
    const ratio = d / c
    const whole = c + d * ratio
    return [(a + b * ratio) / whole, (b - a * ratio) / whole]
  }
  const ratio = c / d
  const whole = c * ratio + d
  return [(a * ratio + b) / whole, (b * ratio - a) / whole]
}

export const reciprocal = (z: Complex): Complex => divide(one, z)

export function squareRoot([a, b]: Complex): Complex {
  if (a === 0 && b === 0) return [0, b]
  const half = Math.sqrt((Math.abs(a) + Math.hypot(a, b)) / 2)
  if (a >= 0) return [half, b / (2 * half)]
  return [Math.abs(b) / (2 * half), b < 0 || Object.is(b, -0) ? -half : half]
}

export const exponential = ([a, b]: Complex): Complex => {
  const size = Math.exp(a)
  return b === 0 ? [size, b] : [size * Math.cos(b), size * Math.sin(b)]
}

/** `exp(z) - 1`, exact for small z. */
export const exponentialLessOne = ([a, b]: Complex): Complex => {
  const half = Math.sin(b / 2)
  return [Math.expm1(a) * Math.cos(b) - 2 * half * half, Math.exp(a) * Math.sin(b)]
}

export const logarithm = (z: Complex): Complex => [Math.log(magnitude(z)), angle(z)]

/** `log(1 + z)`, exact for small z. */
export const logarithmOfOnePlus = ([a, b]: Complex): Complex => [
  Math.log1p(a * (2 + a) + b * b) / 2,
  Math.atan2(b, 1 + a),
]

export function power(z: Complex, exponent: Complex): Complex {
  if (isZero(exponent)) return one
  if (isZero(z)) return exponent[0] > 0 ? [0, 0] : [Number.NaN, Number.NaN]
  return exponential(multiply(exponent, logarithm(z)))
}

export const hyperbolicSine = ([a, b]: Complex): Complex => [
  Math.sinh(a) * Math.cos(b),
  Math.cosh(a) * Math.sin(b),
]
export const hyperbolicCosine = ([a, b]: Complex): Complex => [
  Math.cosh(a) * Math.cos(b),
  Math.sinh(a) * Math.sin(b),
]

export function hyperbolicTangent([a, b]: Complex): Complex {
  // Beyond it the quotient of exponentials is 1 to the last bit, and they would overflow.
  if (Math.abs(a) > 20)
    return [Math.sign(a), 4 * Math.sin(b) * Math.cos(b) * Math.exp(-2 * Math.abs(a))]
  const whole = Math.cosh(2 * a) + Math.cos(2 * b)
  return [Math.sinh(2 * a) / whole, Math.sin(2 * b) / whole]
}

export const sine = (z: Complex): Complex => turnedRight(hyperbolicSine(turnedLeft(z)))
export const cosine = (z: Complex): Complex => hyperbolicCosine(turnedLeft(z))
export const tangent = (z: Complex): Complex => turnedRight(hyperbolicTangent(turnedLeft(z)))

export const inverseHyperbolicSine = (z: Complex): Complex =>
  // The other sign where the sum would cancel.
  z[0] < 0
    ? negative(inverseHyperbolicSine(negative(z)))
    : logarithm(add(z, squareRoot(add(multiply(z, z), one))))
export const inverseHyperbolicCosine = (z: Complex): Complex =>
  logarithm(add(z, multiply(squareRoot(add(z, one)), squareRoot(subtract(z, one)))))
export const inverseHyperbolicTangent = (z: Complex): Complex =>
  scaled(subtract(logarithmOfOnePlus(z), logarithmOfOnePlus(negative(z))), 0.5)

export const inverseSine = (z: Complex): Complex =>
  turnedRight(inverseHyperbolicSine(turnedLeft(z)))
export const inverseCosine = (z: Complex): Complex => subtract([Math.PI / 2, 0], inverseSine(z))
export const inverseTangent = (z: Complex): Complex =>
  turnedRight(inverseHyperbolicTangent(turnedLeft(z)))

/** `1 / (1 + exp(-z))`. */
export const logistic = (z: Complex): Complex => reciprocal(add(one, exponential(negative(z))))

/** The number of magnitude 1 in the same direction; 0 of 0. */
export const direction = (z: Complex): Complex => (isZero(z) ? [0, 0] : scaled(z, 1 / magnitude(z)))

/** Quotient, 0 where the divisor is. */
export const divideOrZero = (x: Complex, y: Complex): Complex => (isZero(y) ? [0, 0] : divide(x, y))
/** Product, 0 where the second is. */
export const multiplyOrZero = (x: Complex, y: Complex): Complex =>
  isZero(y) ? [0, 0] : multiply(x, y)
/** Quotient, 0 where the dividend is. */
export const zeroOrDivide = (x: Complex, y: Complex): Complex => (isZero(x) ? [0, 0] : divide(x, y))
/** `x log(y)`, 0 where x is. */
export const zeroOrLogarithm = (x: Complex, y: Complex): Complex =>
  isZero(x) ? [0, 0] : multiply(x, logarithm(y))
/** `x log(1 + y)`, 0 where x is. */
export const zeroOrLogarithmOfOnePlus = (x: Complex, y: Complex): Complex =>
  isZero(x) ? [0, 0] : multiply(x, logarithmOfOnePlus(y))
