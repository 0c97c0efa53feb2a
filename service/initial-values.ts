// The values that an initializer gives: streams of elements drawn from Philox as TensorFlow's CPU
// kernels draw them, or constants. Written piece by piece, giving way to other work in between.
// Source: tensorflow/core/lib/random/random_distributions.h.
import { setImmediate as giveWay } from 'node:timers/promises'
import {
  byteLengthOf,
  type DType,
  type Element,
  elementArrayOf,
  elementCountOf,
  elementsOf,
  isNumeric,
  type NumericDType,
  packStrings,
  roundToBfloat16,
  type Shape,
  stringTensor,
  type Tensor,
  type TensorStream,
  writeElement,
} from '../tensor/index.ts'
import type { FillPlan } from './initializer.ts'
import { keyOfOpSeed, type PhiloxKey, philoxBlock } from './philox.ts'

/** A tensor's content without a name, as the store takes it in. */
export type TensorContent = Omit<TensorStream, 'name'>

// A multiple of every group size; small enough that a piece takes a few milliseconds.
const pieceElements = 16_384

type Draw = (index: number) => Element

/**
 * The content that `plan` describes. `constants` are the parsed elements of a constant fill;
 * `freshSeed` gives a key where the plan has no seed.
 */
export function initialContent(
  plan: FillPlan,
  dtype: DType,
  shape: Shape,
  constants: Tensor | undefined,
  freshSeed: () => PhiloxKey,
): TensorContent {
  if (!isNumeric(dtype)) return stringContent(shape, constants)
  const key = 'seed' in plan && plan.seed !== undefined ? keyOfOpSeed(plan.seed) : freshSeed()
  const drawer = () => drawOf(plan, dtype, shape, constants, key)
  const count = elementCountOf(shape)
  return {
    dtype,
    shape,
    byteLength: count * byteLengthOf(dtype),
    chunks: () => pieces(dtype, count, drawer()),
  }
}

/** A tensor at hand as content for the store. */
export function contentOfTensor(tensor: Tensor): TensorContent {
  const bytes = tensor.dtype === 'string' ? packStrings(tensor) : tensor.bytes
  return {
    dtype: tensor.dtype,
    shape: tensor.shape,
    byteLength: bytes.byteLength,
    async *chunks() {
      yield bytes
    },
  }
}

async function* pieces(dtype: NumericDType, count: number, draw: Draw): AsyncIterable<Uint8Array> {
  for (let start = 0; start < count; start += pieceElements) {
    const length = Math.min(pieceElements, count - start)
    const bytes = new Uint8Array(length * byteLengthOf(dtype))
    const array = elementArrayOf(dtype, bytes)
    for (let index = 0; index < length; index++) {
      writeElement(dtype, array, index, draw(start + index))
    }
    yield bytes
    await giveWay()
  }
}

function stringContent(shape: Shape, constants: Tensor | undefined): TensorContent {
  const given = constants?.dtype === 'string' ? constants.strings : []
  const last = given[given.length - 1] ?? new Uint8Array(0)
  const strings = Array.from({ length: elementCountOf(shape) }, (_, index) => given[index] ?? last)
  return contentOfTensor(stringTensor(shape, strings))
}

function drawOf(
  plan: FillPlan,
  dtype: NumericDType,
  shape: Shape,
  constants: Tensor | undefined,
  key: PhiloxKey,
): Draw {
  switch (plan.fill) {
    case 'constant': {
      const elements = constants && constants.dtype !== 'string' ? elementsOf(constants) : [0]
      return (index) => elements[Math.min(index, elements.length - 1)]
    }
    case 'identity': {
      const columns = shape[1]
      return (index) => (Math.floor(index / columns) === index % columns ? plan.gain : 0)
    }
    case 'uniform':
      return dtype === 'int32' || dtype === 'int64'
        ? integerDraw(key, dtype, plan.minimum, plan.maximum)
        : uniformDraw(key, dtype, plan.minimum, plan.maximum)
    case 'normal':
      return scaledDraw(grouped(dtype, normalGroup(key, dtype)), dtype, plan.mean, plan.deviation)
    case 'truncated_normal':
      return scaledDraw(
        grouped(dtype, truncatedGroup(key, dtype)),
        dtype,
        plan.mean,
        plan.deviation,
      )
    default:
      throw new Error(`unknown fill ${JSON.stringify(plan satisfies never)}`)
  }
}

/** Elements that one group draws: 2 of 64-bit types, 4 of the others. */
function groupSizeOf(dtype: NumericDType): number {
  return dtype === 'float64' || dtype === 'int64' ? 2 : 4
}

/** Rounds an intermediate result as a kernel of that type would hold it. */
function roundingOf(dtype: NumericDType): (value: number) => number {
  if (dtype === 'float64') return (value) => value
  if (dtype === 'float16') return Math.f16round
  return dtype === 'bfloat16' ? roundToBfloat16 : Math.fround
}

/** Normals of 16-bit types are drawn in float32 and rounded once. */
function normalRoundingOf(dtype: NumericDType): (value: number) => number {
  return dtype === 'float64' ? (value) => value : Math.fround
}

/** Reads a sequence that is made a group at a time, in ascending order. */
function grouped(dtype: NumericDType, fill: (group: number, out: Float64Array) => void) {
  const size = groupSizeOf(dtype)
  const out = new Float64Array(size)
  let present = -1
  return (index: number): number => {
    const group = Math.floor(index / size)
    if (group !== present) {
      fill(group, out)
      present = group
    }
    return out[index % size]
  }
}

function scaledDraw(
  draw: (index: number) => number,
  dtype: NumericDType,
  mean: number,
  deviation: number,
): Draw {
  const round = roundingOf(dtype)
  return (index) => round(round(round(draw(index)) * round(deviation)) + round(mean))
}

const doubleBits = new DataView(new ArrayBuffer(8))

/** Uniform in [0, 1) from the mantissa bits of 64 random bits. */
function unitDouble(low: number, high: number): number {
  doubleBits.setUint32(0, ((0x3ff << 20) | (low & 0xfffff)) >>> 0)
  doubleBits.setUint32(4, high)
  return doubleBits.getFloat64(0) - 1
}

/** Uniform in [0, 1) with the mantissa bits of the type, from one word. */
function unitSingle(word: number, dtype: NumericDType): number {
  if (dtype === 'float16') return (word & 0x3ff) / 0x400
  if (dtype === 'bfloat16') return (word & 0x7f) / 0x80
  return (word & 0x7fffff) / 0x800000
}

function uniformDraw(key: PhiloxKey, dtype: NumericDType, minimum: number, maximum: number): Draw {
  const words = new Uint32Array(4)
  const round = roundingOf(dtype)
  const width = round(round(maximum) - round(minimum))
  const unit = grouped(dtype, (group, out) => {
    philoxBlock(key, group, words)
    if (dtype === 'float64') {
      out[0] = unitDouble(words[0], words[1])
      out[1] = unitDouble(words[2], words[3])
      return
    }
    for (let lane = 0; lane < 4; lane++) out[lane] = unitSingle(words[lane], dtype)
  })
  return (index) => round(round(unit(index) * width) + round(minimum))
}

function integerDraw(
  key: PhiloxKey,
  dtype: 'int32' | 'int64',
  minimum: number,
  maximum: number,
): Draw {
  const words = new Uint32Array(4)
  const low = BigInt(minimum)
  const range = BigInt(maximum) - low
  const size = groupSizeOf(dtype)
  return (index) => {
    philoxBlock(key, Math.floor(index / size), words)
    const lane = index % size
    const bits =
      dtype === 'int32'
        ? BigInt(words[lane])
        : BigInt(words[2 * lane]) | (BigInt(words[2 * lane + 1]) << 32n)
    const value = low + (bits % range)
    return dtype === 'int32' ? Number(value) : value
  }
}

/** Box-Muller: two normals from two uniforms, sine first. */
function boxMuller(u1: number, u2: number, round: (value: number) => number): [number, number] {
  const angle = round(2 * Math.PI * u2)
  const radius = round(Math.sqrt(round(-2 * round(Math.log(Math.max(u1, 1e-7))))))
  return [round(round(Math.sin(angle)) * radius), round(round(Math.cos(angle)) * radius)]
}

function normalGroup(key: PhiloxKey, dtype: NumericDType) {
  const words = new Uint32Array(4)
  const round = normalRoundingOf(dtype)
  return (group: number, out: Float64Array) => {
    philoxBlock(key, group, words)
    if (dtype === 'float64') {
      const pair = boxMuller(unitDouble(words[0], words[1]), unitDouble(words[2], words[3]), round)
      out.set(pair)
      return
    }
    for (let lane = 0; lane < 4; lane += 2) {
      const first = unitSingle(words[lane], 'float32')
      out.set(boxMuller(first, unitSingle(words[lane + 1], 'float32'), round), lane)
    }
  }
}

/** Each group has a stretch of 64 counters for every element and keeps what lies within two. */
function truncatedGroup(key: PhiloxKey, dtype: NumericDType) {
  const words = new Uint32Array(4)
  const round = normalRoundingOf(dtype)
  const size = groupSizeOf(dtype)
  return (group: number, out: Float64Array) => {
    let counter = group * size * 64
    let word = 4
    const next = () => {
      if (word === 4) {
        philoxBlock(key, counter++, words)
        word = 0
      }
      return words[word++]
    }
    const unit = () =>
      dtype === 'float64' ? unitDouble(next(), next()) : unitSingle(next(), 'float32')
    for (let kept = 0; kept < size; ) {
      const first = unit()
      for (const value of boxMuller(first, unit(), round)) {
        if (Math.abs(value) < 2 && kept < size) out[kept++] = value
      }
    }
  }
}
