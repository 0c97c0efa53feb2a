// Where the elements of a resized axis come from: places and weights, in float32 as TensorFlow computes
// them. Source: tensorflow/core/util/image_resizer_state.h and the kernels resize_*_op.cc.

/** How an axis is resized. */
export interface Resize {
  readonly from: number
  readonly to: number
  readonly alignCorners: boolean
  readonly halfPixelCenters: boolean
}

/** For each of `to` elements `taps` places in the axis and their weights. */
export interface Taps {
  readonly taps: number
  readonly places: readonly number[]
  readonly weights: readonly number[]
}

const { fround } = Math

/** Input elements for one output element. */
export function scaleOf({ from, to, alignCorners }: Resize): number {
  return alignCorners && to > 1 ? fround((from - 1) / (to - 1)) : fround(fround(from) / fround(to))
}

/** Where an output element lies in the input. */
function locationOf(resize: Resize, element: number): number {
  const scale = scaleOf(resize)
  if (!resize.halfPixelCenters) return fround(fround(element) * scale)
  return fround(fround(fround(element + 0.5) * scale) - 0.5)
}

function bounded(place: number, from: number): number {
  return Math.min(Math.max(place, 0), from - 1)
}

function eachElement(to: number, of: (element: number) => Omit<Taps, 'taps'>): Taps {
  const all = Array.from({ length: to }, (_, element) => of(element))
  const taps = all.reduce((most, { places }) => Math.max(most, places.length), 1)
  const padded = (list: readonly number[]): readonly number[] => [
    ...list,
    ...new Array<number>(taps - list.length).fill(0),
  ]
  return {
    taps,
    places: all.flatMap(({ places }) => padded(places)),
    weights: all.flatMap(({ weights }) => padded(weights)),
  }
}

/** The element before and the one after, and in `weights` the share of the one after (twice). */
export function linearTaps(resize: Resize): Taps {
  return eachElement(resize.to, (element) => {
    const location = locationOf(resize, element)
    const whole = Math.floor(location)
    const share = fround(location - whole)
    const after = Math.min(Math.ceil(location), resize.from - 1)
    return { places: [Math.max(whole, 0), Math.max(after, 0)], weights: [share, share] }
  })
}

/** The nearest element. */
export function nearestTaps(resize: Resize): Taps {
  const scale = scaleOf(resize)
  return eachElement(resize.to, (element) => {
    const location = fround(fround(resize.halfPixelCenters ? element + 0.5 : element) * scale)
    const near = resize.alignCorners ? Math.floor(location + 0.5) : Math.floor(location)
    return { places: [bounded(near, resize.from)], weights: [1] }
  })
}

const tableSize = 1024

/** Weights of the near and the far element at `step` of 1024 on the way between two. */
function cubicWeights(step: number, a: number): readonly [number, number] {
  const x = fround(step / tableSize)
  const far = fround(x + 1)
  return [
    fround(((a + 2) * x - (a + 3)) * x * x + 1),
    fround(((a * far - 5 * a) * far + 8 * a) * far - 4 * a),
  ]
}

function roundToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}

/** Four elements weighted by a cubic kernel; with half pixel centers those outside count nothing. */
export function cubicTaps(resize: Resize): Taps {
  const isKeys = resize.halfPixelCenters
  const a = isKeys ? -0.5 : -0.75
  return eachElement(resize.to, (element) => {
    const location = locationOf(resize, element)
    const whole = Math.floor(location)
    const offset = roundToEven(fround(fround(location - whole) * tableSize))
    const [near, far] = cubicWeights(offset, a)
    const [nearAfter, farAfter] = cubicWeights(tableSize - offset, a)
    const wanted = [whole - 1, whole, whole + 1, whole + 2]
    const places = wanted.map((place) => bounded(place, resize.from))
    const weights = [far, near, nearAfter, farAfter]
    if (!isKeys) return { places, weights }
    const inside = weights.map((weight, tap) => (places[tap] === wanted[tap] ? weight : 0))
    const sum = fround(inside.reduce((total, weight) => fround(total + weight), 0))
    if (Math.abs(sum) < 1000 * 2 ** -126) return { places, weights: inside }
    const share = fround(1 / sum)
    return { places, weights: inside.map((weight) => fround(weight * share)) }
  })
}

/** Every element that the output element covers, by how much of it is covered. */
export function areaTaps(resize: Resize): Taps {
  const scale = scaleOf(resize)
  return eachElement(resize.to, (element) => {
    const start = fround(element * scale)
    const end = fround((element + 1) * scale)
    const places: number[] = []
    const weights: number[] = []
    for (let place = Math.floor(start); place < Math.ceil(end); place++) {
      const isWhole = place + 1 <= end
      const share =
        place < start ? (isWhole ? place + 1 - start : scale) : isWhole ? 1 : end - place
      places.push(bounded(place, resize.from))
      weights.push(fround(share))
    }
    return { places, weights }
  })
}
