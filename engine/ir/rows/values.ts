// The truth of special functions that JavaScript does not have, in doubles: plain series and recurrences,
// slow and obviously right. Sources: Abramowitz and Stegun, "Handbook of Mathematical Functions",
// 6.1, 6.3 and 7.1.

const eulerGamma = 0.5772156649015329

/** The error function. */
export function erf(x: number): number {
  const magnitude = Math.abs(x)
  if (!(magnitude < 1)) return Number.isNaN(x) ? x : Math.sign(x) * (1 - erfc(magnitude))
  // 7.1.5, from the end: for |x| < 1 its terms fall fast, so that hardly anything cancels.
  let sum = 0
  for (let n = 30; n >= 0; n--) sum = 1 / (2 * n + 1) - (x * x * sum) / (n + 1)
  return (2 / Math.sqrt(Math.PI)) * x * sum
}

/** `1 - erf(x)` with all its digits. */
export function erfc(x: number): number {
  if (Number.isNaN(x)) return x
  if (x < 0.75) return 1 - erf(x)
  if (x > 28) return 0
  // 7.1.14, from the end: x / (x^2 + 1/2 / (1 + 1 / (x^2 + 3/2 / ..))) in its contracted form.
  let tail = x
  for (let n = 400; n >= 1; n--) tail = x + n / 2 / tail
  return gaussianOf(x) / (Math.sqrt(Math.PI) * tail)
}

/** `e^(-x^2)`, with the square's lost digits given back. */
function gaussianOf(x: number): number {
  const high = Math.fround(x)
  return Math.exp(-high * high) * Math.exp(-(x - high) * (x + high))
}

/** Bernoulli's numbers over `2k (2k - 1)`, the terms of Stirling's series (6.1.40). */
const stirling = [
  1 / 12,
  -1 / 360,
  1 / 1260,
  -1 / 1680,
  1 / 1188,
  -691 / 360360,
  1 / 156,
  -3617 / 122400,
]

/** Riemann's zeta less 1, of 2, 3, ..; further ones are `2^-k` and `3^-k` to the last bit. */
const zetaLess1 = [
  0.6449340668482264, 0.2020569031595943, 0.08232323371113819, 0.03692775514336993,
  0.01734306198444914, 0.008349277381922827, 0.00407735619794434, 0.0020083928260822143,
  0.0009945751278180853, 0.0004941886041194645, 0.0002460865533080483, 0.00012271334757848915,
  6.124813505870483e-5, 3.058823630702049e-5, 1.528225940865187e-5, 7.637197637899763e-6,
  3.81729326499984e-6, 1.908212716553939e-6, 9.539620338727962e-7,
]

/** `ln |gamma(x)|`; infinite at 0 and the negative whole numbers. */
export function lgamma(x: number): number {
  if (Number.isNaN(x)) return x
  if (!Number.isFinite(x) || (x <= 0 && Number.isInteger(x))) return Infinity
  if (x < 0.5) {
    if (x > -0.5) return lgamma(1 + x) - Math.log(Math.abs(x))
    // 6.1.17
    return Math.log(Math.PI / Math.abs(x * sineOfTurns(x))) - lgamma(-x)
  }
  if (x <= 1.5) return nearTwo(x - 1) - Math.log1p(x - 1)
  if (x <= 2.5) return nearTwo(x - 2)
  if (x < 14) {
    let product = 1
    let rest = x
    while (rest > 2.5) product *= --rest
    return nearTwo(rest - 2) + Math.log(product)
  }
  let series = 0
  for (const [k, term] of stirling.entries()) series += term / x ** (2 * k + 1)
  return (x - 0.5) * (Math.log(x) - 1) + (Math.log(2 * Math.PI) - 1) / 2 + series
}

/** `sin(pi x)`. */
function sineOfTurns(x: number): number {
  const rest = x - 2 * Math.round(x / 2)
  return Math.sin(Math.PI * (Math.abs(rest) > 0.5 ? Math.sign(rest) - rest : rest))
}

/** `lgamma(2 + z)` for small z (6.1.33). */
function nearTwo(z: number): number {
  let sum = (1 - eulerGamma) * z
  for (let k = 2; k < 60; k++) {
    const less1 = zetaLess1[k - 2] ?? 2 ** -k + 3 ** -k
    sum += (((-1) ** k * less1) / k) * z ** k
  }
  return sum
}

/** Bernoulli's numbers over 2k (6.3.18). */
const digammaTerms = [1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12]

/** The derivative of lgamma; NaN at 0 and the negative whole numbers. */
export function digamma(x: number): number {
  if (Number.isNaN(x) || x === Infinity) return x
  if (x <= 0 && (Number.isInteger(x) || x === -Infinity)) return Number.NaN
  if (x < 0) return digamma(1 - x) - cotangentOfTurns(x) * Math.PI
  let shift = 0
  let far = x
  while (far < 12) shift += 1 / far++
  let series = 0
  for (const [k, term] of digammaTerms.entries()) series += term / far ** (2 * k + 2)
  return Math.log(far) - 0.5 / far - series - shift
}

function cotangentOfTurns(x: number): number {
  const rest = x - Math.round(x)
  return 1 / Math.tan(Math.PI * rest)
}
