// Special functions of several numbers, in float64: incomplete gamma and beta functions, Hurwitz zeta.
// Sources: Cephes (Moshier), which TensorFlow's own follow in what they give at the edges.
import { rowOf } from '../ir/index.ts'

const epsilon = 2 ** -53
const mostTerms = 10_000

export function logGamma(x: number): number {
  return Number(rowOf('lgamma').value('float64', x))
}

export function digamma(x: number): number {
  return Number(rowOf('digamma').value('float64', x))
}

/** `x^a e^-x / gamma(a)`. */
function gammaFactor(a: number, x: number): number {
  return Math.exp(a * Math.log(x) - x - logGamma(a))
}

/** The lower part by its power series, for x below a or 1. */
function lowerBySeries(a: number, x: number): number {
  let term = 1
  let sum = 1
  for (let k = 1; k < mostTerms && term > sum * epsilon; k++) {
    term *= x / (a + k)
    sum += term
  }
  return (sum * gammaFactor(a, x)) / a
}

/** The upper part by its continued fraction (Lentz 1976), for x above a and 1. */
function upperByFraction(a: number, x: number): number {
  const tiny = 2 ** -1000
  let b = x + 1 - a
  let c = 1 / tiny
  let d = 1 / b
  let value = d
  for (let k = 1; k < mostTerms; k++) {
    const numerator = -k * (k - a)
    b += 2
    d = 1 / (numerator * d + b || tiny)
    c = b + numerator / c || tiny
    value *= d * c
    if (Math.abs(d * c - 1) < epsilon) break
  }
  return value * gammaFactor(a, x)
}

/** The regularized lower incomplete gamma function; NaN unless a > 0 and x >= 0. */
export function lowerGamma(a: number, x: number): number {
  if (x === 0 && a > 0) return 0
  if (!(x >= 0 && a > 0)) return Number.NaN
  if (x === Number.POSITIVE_INFINITY) return a === x ? Number.NaN : 1
  if (a === Number.POSITIVE_INFINITY) return 0
  return x > 1 && x > a ? 1 - upperByFraction(a, x) : lowerBySeries(a, x)
}

/** The regularized upper incomplete gamma function; NaN unless a > 0 and x >= 0. */
export function upperGamma(a: number, x: number): number {
  if (!(x >= 0 && a > 0)) return Number.NaN
  if (x === 0) return 1
  if (x === Number.POSITIVE_INFINITY) return a === x ? Number.NaN : 0
  if (a === Number.POSITIVE_INFINITY) return 1
  return x < 1 || x < a ? 1 - lowerBySeries(a, x) : upperByFraction(a, x)
}

/** The continued fraction of the incomplete beta function (Lentz 1976). */
function betaFraction(a: number, b: number, x: number): number {
  const tiny = 2 ** -1000
  let c = 1
  let d = 1 / (1 - ((a + b) * x) / (a + 1) || tiny)
  let value = d
  for (let k = 1; k < mostTerms; k++) {
    const even = (k * (b - k) * x) / ((a + 2 * k - 1) * (a + 2 * k))
    d = 1 / (1 + even * d || tiny)
    c = 1 + even / c || tiny
    value *= d * c
    const odd = (-(a + k) * (a + b + k) * x) / ((a + 2 * k) * (a + 2 * k + 1))
    d = 1 / (1 + odd * d || tiny)
    c = 1 + odd / c || tiny
    value *= d * c
    if (Math.abs(d * c - 1) < epsilon) break
  }
  return value
}

/** The regularized incomplete beta function; NaN unless a, b > 0 and 0 <= x <= 1. */
export function incompleteBeta(a: number, b: number, x: number): number {
  if (!(a > 0 && b > 0 && x >= 0 && x <= 1)) return Number.NaN
  if (x === 0 || x === 1) return x
  const logFactor =
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)
  const factor = Math.exp(logFactor)
  if (x < (a + 1) / (a + b + 2)) return (factor * betaFraction(a, b, x)) / a
  return 1 - (factor * betaFraction(b, a, 1 - x)) / b
}

/** `(2k)! / B(2k)` for k from 1, of the Euler-Maclaurin sum. */
const zetaDivisors = [
  12, -720, 30240, -1209600, 47900160, -1892437580.3183792, 7.47242496e10, -2950130727918.164,
  116467828143500.67, -4597978722407473, 181521054019435460, -7166165256175667000,
]

/** Hurwitz zeta: the sum of `(q + k)^-x` over k from 0. */
export function zeta(x: number, q: number): number {
  if (Number.isNaN(x) || Number.isNaN(q) || x < 1) return Number.NaN
  if (x === 1) return Number.POSITIVE_INFINITY
  if (q <= 0) {
    if (q === Math.floor(q)) return x % 2 === 0 ? Number.POSITIVE_INFINITY : Number.NaN
    if (x !== Math.floor(x)) return Number.NaN
  }
  let place = q
  let sum = q ** -x
  let term = 0
  for (let k = 0; k < 9 || place <= 9; k++) {
    place += 1
    term = place ** -x
    sum += term
    if (Math.abs(term / sum) < epsilon) return sum
  }
  const end = place
  sum += (term * end) / (x - 1) - term / 2
  let rising = 1
  for (const [k, divisor] of zetaDivisors.entries()) {
    rising *= x + 2 * k
    term /= end
    const correction = (rising * term) / divisor
    sum += correction
    if (Math.abs(correction / sum) < epsilon) return sum
    rising *= x + 2 * k + 1
    term /= end
  }
  return sum
}

/** The n-th derivative of digamma; NaN unless n is whole and not negative. */
export function polygamma(n: number, x: number): number {
  if (n !== Math.floor(n)) return Number.NaN
  if (n === 0) return digamma(x)
  const size = Math.exp(logGamma(n + 1)) * zeta(n + 1, x)
  return n % 2 === 0 ? -size : size
}
