// Fourier transforms over the last one, two or three dimensions, on the host in float64.
import {
  elementArrayOf,
  elementCountOf,
  formatShape,
  type NumericDType,
  type NumericTensor,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { integersOf, invalid } from './shapes.ts'

/** Complex numbers in two arrays. */
interface Signal {
  readonly re: Float64Array
  readonly im: Float64Array
}

function silence(length: number): Signal {
  return { re: new Float64Array(length), im: new Float64Array(length) }
}

/** In place, of a power of two elements; `sign` of the exponent. Not scaled. */
function transformPowerOfTwo({ re, im }: Signal, sign: 1 | -1): void {
  const n = re.length
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1
    for (; (j & bit) !== 0; bit >>= 1) j ^= bit
    j ^= bit
    if (i >= j) continue
    ;[re[i], re[j]] = [re[j], re[i]]
    ;[im[i], im[j]] = [im[j], im[i]]
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2
    for (let k = 0; k < half; k++) {
      const turn = (sign * 2 * Math.PI * k) / size
      const [c, s] = [Math.cos(turn), Math.sin(turn)]
      for (let start = 0; start < n; start += size) {
        const [x, y] = [start + k, start + k + half]
        const [re2, im2] = [re[y] * c - im[y] * s, re[y] * s + im[y] * c]
        ;[re[y], im[y]] = [re[x] - re2, im[x] - im2]
        re[x] += re2
        im[x] += im2
      }
    }
  }
}

/** Of any length, as a convolution with a chirp (Bluestein 1970). */
function transform(signal: Signal, sign: 1 | -1): void {
  const n = signal.re.length
  if ((n & (n - 1)) === 0) {
    transformPowerOfTwo(signal, sign)
    return
  }
  const size = 2 ** Math.ceil(Math.log2(2 * n - 1))
  const chirp = silence(n)
  for (let k = 0; k < n; k++) {
    // k^2 taken modulo 2n: the angle stays small, and so exact.
    const turn = (sign * Math.PI * ((k * k) % (2 * n))) / n
    chirp.re[k] = Math.cos(turn)
    chirp.im[k] = Math.sin(turn)
  }
  const [a, b] = [silence(size), silence(size)]
  for (let k = 0; k < n; k++) {
    a.re[k] = signal.re[k] * chirp.re[k] - signal.im[k] * chirp.im[k]
    a.im[k] = signal.re[k] * chirp.im[k] + signal.im[k] * chirp.re[k]
    for (const place of [k, (size - k) % size]) {
      b.re[place] = chirp.re[k]
      b.im[place] = -chirp.im[k]
    }
  }
  transformPowerOfTwo(a, -1)
  transformPowerOfTwo(b, -1)
  for (let k = 0; k < size; k++) {
    ;[a.re[k], a.im[k]] = [
      a.re[k] * b.re[k] - a.im[k] * b.im[k],
      a.re[k] * b.im[k] + a.im[k] * b.re[k],
    ]
  }
  transformPowerOfTwo(a, 1)
  for (let k = 0; k < n; k++) {
    const [re, im] = [a.re[k] / size, a.im[k] / size]
    signal.re[k] = re * chirp.re[k] - im * chirp.im[k]
    signal.im[k] = re * chirp.im[k] + im * chirp.re[k]
  }
}

/** Transforms every row along one axis, in place; the way back is divided by the length. */
function transformAxis(all: Signal, shape: Shape, axis: number, isInverse: boolean): void {
  const length = shape[axis]
  const stride = elementCountOf(shape.slice(axis + 1))
  const row = silence(length)
  const scale = isInverse ? 1 / length : 1
  for (let start = 0; start < all.re.length; start++) {
    if (Math.floor(start / stride) % length !== 0) continue
    for (let k = 0; k < length; k++) {
      row.re[k] = all.re[start + k * stride]
      row.im[k] = all.im[start + k * stride]
    }
    transform(row, isInverse ? 1 : -1)
    for (let k = 0; k < length; k++) {
      all.re[start + k * stride] = row.re[k] * scale
      all.im[start + k * stride] = row.im[k] * scale
    }
  }
}

function signalOf(tensor: Tensor): Signal {
  const { dtype, bytes, shape } = tensor as NumericTensor
  const parts = elementArrayOf(dtype, bytes) as Float64Array
  const signal = silence(elementCountOf(shape))
  const isComplex = dtype.startsWith('complex')
  for (let k = 0; k < signal.re.length; k++) {
    signal.re[k] = isComplex ? parts[2 * k] : parts[k]
    if (isComplex) signal.im[k] = parts[2 * k + 1]
  }
  return signal
}

function complexTensor(dtype: NumericDType, shape: Shape, { re, im }: Signal): Tensor {
  return tensorOfElements(
    dtype,
    shape,
    Array.from(re, (part, place): readonly [number, number] => [part, im[place]]),
  )
}

/** The corner of a signal that has the wanted shape; what the signal does not have is 0. */
function cornerOf(all: Signal, from: Shape, to: Shape): Signal {
  const corner = silence(elementCountOf(to))
  for (let flat = 0; flat < corner.re.length; flat++) {
    let rest = flat
    let place = 0
    let stride = 1
    let isInside = true
    for (let axis = to.length - 1; axis >= 0; axis--) {
      const own = rest % to[axis]
      rest = Math.floor(rest / to[axis])
      isInside &&= own < from[axis]
      place += own * stride
      stride *= from[axis]
    }
    if (!isInside) continue
    corner.re[flat] = all.re[place]
    corner.im[flat] = all.im[place]
  }
  return corner
}

const suffixes = ['', '2D', '3D']

/** The last `rank` axes of a shape. */
function lastAxes(shape: Shape, rank: number): number[] {
  return Array.from({ length: rank }, (_, place) => shape.length - rank + place)
}

function checkRank(shape: Shape, rank: number): void {
  if (shape.length >= rank) return
  throw invalid(
    'shape/mismatch',
    `Input must have rank of at least ${rank} but got: ${formatShape(shape)}`,
  )
}

const complexTransform = (rank: number, isInverse: boolean): OpDefinition =>
  defineOp({
    name: `${isInverse ? 'I' : ''}FFT${suffixes[rank - 1]}`,
    inputs: ['input: Tcomplex'],
    outputs: ['output: Tcomplex'],
    attributes: ['Tcomplex: {complex64, complex128} = complex64'],
    infer: (shapes) => shapes,
    lower: (at) => {
      const { shape, dtype } = at.input('input')
      checkRank(shape, rank)
      return at.step({
        inputs: [at.input('input')],
        outputs: [{ dtype, shape }],
        run: ([tensor]) => {
          const all = signalOf(tensor)
          for (const axis of lastAxes(shape, rank)) transformAxis(all, shape, axis, isInverse)
          return [complexTensor(dtype as NumericDType, shape, all)]
        },
      })
    },
  })

/** Real to half of the complex spectrum (the other half mirrors it), and back. */
const realTransform = (rank: number, isInverse: boolean): OpDefinition =>
  defineOp({
    name: `${isInverse ? 'I' : ''}RFFT${suffixes[rank - 1]}`,
    inputs: [`input: ${isInverse ? 'Tcomplex' : 'Treal'}`, 'fft_length: int32'],
    outputs: [`output: ${isInverse ? 'Treal' : 'Tcomplex'}`],
    attributes: ['Treal: {float, double} = float', 'Tcomplex: {complex64, complex128} = complex64'],
    lower: (at) => {
      const input = at.input('input')
      checkRank(input.shape, rank)
      const lengths = integersOf(at.contentOf(at.input('fft_length')))
      if (lengths.length !== rank) {
        throw invalid(
          'shape/mismatch',
          `fft_length must have length ${rank}, not ${lengths.length}`,
        )
      }
      if (lengths.some((length) => length < 0)) {
        throw invalid('shape/invalid', 'fft_length must not be negative')
      }
      const batch = input.shape.slice(0, input.shape.length - rank)
      const halved = lengths.with(-1, lengths[rank - 1] === 0 ? 0 : (lengths[rank - 1] >> 1) + 1)
      const wanted = isInverse ? halved : lengths
      for (const [place, length] of wanted.entries()) {
        const given = input.shape[batch.length + place]
        if (given >= length || given === 0) continue
        throw invalid(
          'shape/mismatch',
          `Input dimension ${batch.length + place} must have length of at least ${length} but got: ${given}`,
        )
      }
      const shape = [...batch, ...(isInverse ? lengths : halved)]
      const dtype = at.attributes.type(isInverse ? 'Treal' : 'Tcomplex') as NumericDType
      return at.step({
        inputs: [input],
        outputs: [{ dtype, shape }],
        run: ([tensor]) => {
          const whole = [...batch, ...lengths]
          const used = cornerOf(signalOf(tensor), tensor.shape, [...batch, ...wanted])
          if (isInverse) return [tensorOfElements(dtype, shape, backToReal(used, batch, lengths))]
          for (const axis of lastAxes(whole, rank)) transformAxis(used, whole, axis, false)
          return [complexTensor(dtype, shape, cornerOf(used, whole, shape))]
        },
      })
    },
  })

/** The real signal of a half spectrum. */
function backToReal(half: Signal, batch: Shape, lengths: Shape): Float64Array {
  const length = lengths[lengths.length - 1]
  const kept = (length >> 1) + 1
  const shape = [...batch, ...lengths.slice(0, -1), kept]
  for (const axis of lastAxes(shape, lengths.length).slice(0, -1)) {
    transformAxis(half, shape, axis, true)
  }
  const rows = elementCountOf(shape.slice(0, -1))
  const real = new Float64Array(rows * length)
  const row = silence(length)
  for (let place = 0; place < rows && length > 0; place++) {
    for (let k = 0; k < length; k++) {
      const isMirrored = k >= kept
      const from = place * kept + (isMirrored ? length - k : k)
      row.re[k] = half.re[from]
      // What is its own mirror image has no imaginary part.
      const isOwn = k === 0 || 2 * k === length
      row.im[k] = isOwn ? 0 : isMirrored ? -half.im[from] : half.im[from]
    }
    transform(row, 1)
    for (let k = 0; k < length; k++) real[place * length + k] = row.re[k] / length
  }
  return real
}

/** Fourier transforms. */
export const fourierOps: readonly OpDefinition[] = [1, 2, 3].flatMap((rank) => [
  complexTransform(rank, false),
  complexTransform(rank, true),
  realTransform(rank, false),
  realTransform(rank, true),
])
