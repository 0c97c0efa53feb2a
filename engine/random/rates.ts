// Gamma and Poisson distributed numbers, by rejection. Every sample has a stretch of the stream of its
// own, so that it depends on no other. Sources: Marsaglia and Tsang, 2000; Knuth; Hörmann, 1993;
// tensorflow/core/kernels/{random_op,random_poisson_op}.cc.
import { rowOf } from '../ir/index.ts'
import { addNormalPair, blocksPerElement, uniformFloat64 } from './distributions.ts'
import { Philox, type PhiloxState } from './philox.ts'

/** Numbers in [0, 1) and normal ones of one sample's stretch; of each pair the second comes first. */
class Sampler {
  readonly #state: PhiloxState
  readonly #philox: Philox
  readonly #uniforms = new Float64Array(2)
  readonly #normals = new Float64Array(2)
  #uniformsLeft = 0
  #normalsLeft = 0

  constructor(state: PhiloxState) {
    this.#state = state
    this.#philox = new Philox(state)
  }

  /** Goes to the beginning of the stretch of a sample. */
  begin(sample: number): void {
    this.#philox.moveTo(this.#state.counter, Number(blocksPerElement) * sample)
    this.#uniformsLeft = 0
    this.#normalsLeft = 0
  }

  uniform(): number {
    if (this.#uniformsLeft === 0) {
      const words = this.#philox.next()
      this.#uniforms[0] = uniformFloat64(words[0], words[1])
      this.#uniforms[1] = uniformFloat64(words[2], words[3])
      this.#uniformsLeft = 2
    }
    return this.#uniforms[--this.#uniformsLeft]
  }

  normal(): number {
    if (this.#normalsLeft === 0) {
      addNormalPair(this.#philox.next(), 0, this.#normals, 0)
      this.#normalsLeft = 2
    }
    return this.#normals[--this.#normalsLeft]
  }
}

/** `samples` numbers for each parameter, one sample of all parameters after the other. */
function fill(
  state: PhiloxState,
  parameters: ArrayLike<number>,
  samples: number,
  drawOf: (parameter: number) => (sampler: Sampler) => number,
): Float64Array {
  const count = parameters.length
  const values = new Float64Array(count * samples)
  const sampler = new Sampler(state)
  for (let place = 0; place < count; place++) {
    const draw = drawOf(parameters[place])
    for (let sample = 0; sample < samples; sample++) {
      sampler.begin(place * samples + sample)
      values[sample * count + place] = draw(sampler)
    }
  }
  return values
}

function gammaOf(alpha: number): (sampler: Sampler) => number {
  if (!(alpha > 0)) return () => Number.NaN
  if (alpha === 1) return (sampler) => -Math.log1p(-sampler.uniform())
  const isSmall = alpha < 1
  const d = alpha + (isSmall ? 2 / 3 : -1 / 3)
  const c = 1 / 3 / Math.sqrt(d)
  return (sampler) => {
    for (;;) {
      const x = sampler.normal()
      const root = 1 + c * x
      if (root <= 0) continue
      const v = root * root * root
      const u = sampler.uniform()
      const isInside =
        u < 1 - 0.0331 * (x * x) * (x * x) || Math.log(u) < 0.5 * x * x + d * (1 - v + Math.log(v))
      if (isInside) return isSmall ? d * v * sampler.uniform() ** (1 / alpha) : d * v
    }
  }
}

/** Gamma distributed numbers of rate 1; NaN for a parameter that is not positive. */
export function fillGamma(
  state: PhiloxState,
  alphas: ArrayLike<number>,
  samples: number,
): Float64Array {
  return fill(state, alphas, samples, gammaOf)
}

/** Products of uniform numbers until they fall below exp(-rate). */
function knuth(rate: number, most: number): (sampler: Sampler) => number {
  const limit = Math.exp(-rate)
  return (sampler) => {
    let product = 1
    for (let count = 0; ; count++) {
      product *= sampler.uniform()
      if (product <= limit && count <= most) return count
    }
  }
}

/** Transformed rejection. */
function hormann(rate: number, most: number): (sampler: Sampler) => number {
  const logGamma = rowOf('lgamma').value
  const logRate = Math.log(rate)
  const b = 0.931 + 2.53 * Math.sqrt(rate)
  const a = -0.059 + 0.02483 * b
  const inverseAlpha = 1.1239 + 1.1328 / (b - 3.4)
  return (sampler) => {
    for (;;) {
      const u = sampler.uniform() - 0.5
      const v = sampler.uniform()
      const shifted = 0.5 - Math.abs(u)
      const k = Math.floor(((2 * a) / shifted + b) * u + rate + 0.43)
      if (k > most) continue
      if (shifted >= 0.07 && v <= 0.9277 - 3.6224 / (b - 2)) return k
      if (k < 0 || (shifted < 0.013 && v > shifted)) continue
      const s = Math.log((v * inverseAlpha) / (a / (shifted * shifted) + b))
      const t = -rate + k * logRate - Number(logGamma('float64', k + 1))
      if (s <= t) return k
    }
  }
}

/** Poisson distributed counts up to `most`; NaN for a rate that is negative or not finite. */
export function fillPoisson(
  state: PhiloxState,
  rates: ArrayLike<number>,
  samples: number,
  most: number,
): Float64Array {
  return fill(state, rates, samples, (rate) => {
    if (!(rate >= 0 && rate < Number.POSITIVE_INFINITY)) return () => Number.NaN
    return rate < 10 ? knuth(rate, most) : hormann(rate, most)
  })
}
