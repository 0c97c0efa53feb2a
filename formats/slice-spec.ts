// TensorFlow's shape_and_slice text, and the part of a tensor that it names, as a stream.
// Source: tensorflow/core/util/saved_tensor_slice_util.cc (ParseShapeAndSlice)
import {
  byteLengthOf,
  elementCountOf,
  formatShape,
  isNumeric,
  Refusal,
  type Shape,
  sameShape,
  stridesOf,
  type TensorStream,
} from '../tensor/index.ts'

/** A part of a tensor: where it starts and how large it is, per dimension of the whole. */
export interface SliceSpec {
  readonly fullShape: Shape
  readonly starts: readonly number[]
  readonly shape: Shape
}

function bad(text: string, problem: string): Refusal {
  const shown = JSON.stringify(text.slice(0, 200))
  return new Refusal('INVALID_ARGUMENT', 'tensor/bad-slice', `The slice ${shown} ${problem}.`)
}

/**
 * The part that a text such as `4 2 0,2:-` names: the full shape, then start and length of each
 * dimension, `-` being all of it. Undefined for the empty text, which names the whole tensor.
 */
export function parseSliceSpec(text: string): SliceSpec | undefined {
  if (text === '') return undefined
  const words = text.split(' ')
  const sizes = words.slice(0, -1)
  const parts = words[words.length - 1].split(':')
  if (!sizes.every((size) => /^[0-9]{1,15}$/.test(size)) || parts.length !== sizes.length) {
    throw bad(text, 'is not a shape with a start and a length for each dimension')
  }
  const fullShape = sizes.map(Number)
  elementCountOf(fullShape)
  const extents = parts.map((part, axis) => {
    if (part === '-') return [0, fullShape[axis]] as const
    const found = /^([0-9]{1,15}),([0-9]{1,15})$/.exec(part)
    if (found === null)
      throw bad(text, 'is not a shape with a start and a length for each dimension')
    return [Number(found[1]), Number(found[2])] as const
  })
  if (extents.some(([start, length], axis) => start + length > fullShape[axis])) {
    throw bad(text, 'lies outside of its shape')
  }
  return {
    fullShape,
    starts: extents.map(([start]) => start),
    shape: extents.map(([, length]) => length),
  }
}

/**
 * The part of `tensor` that `text` names, under the same name; the tensor itself for the empty text.
 * Refuses INVALID_ARGUMENT (`tensor/bad-slice`) a text that is none or of another shape, and parts of
 * string tensors.
 */
export function sliceTensor(tensor: TensorStream, text: string): TensorStream {
  const spec = parseSliceSpec(text)
  if (spec === undefined) return tensor
  if (!sameShape(spec.fullShape, tensor.shape)) {
    throw bad(text, `is of another shape than "${tensor.name}", ${formatShape(tensor.shape)}`)
  }
  if (!isNumeric(tensor.dtype)) throw bad(text, `is of ${tensor.dtype}, which is not sliced`)
  const itemLength = byteLengthOf(tensor.dtype)
  return {
    name: tensor.name,
    dtype: tensor.dtype,
    shape: spec.shape,
    byteLength: elementCountOf(spec.shape) * itemLength,
    chunks: () => pick(tensor.chunks(), byteRuns(spec, itemLength)),
  }
}

/** A stretch of a tensor's bytes. */
export interface Run {
  readonly start: number
  readonly end: number
}

/** The part's bytes within the whole, as runs in rising order; an item length of 1 counts elements. */
export function* byteRuns(
  { fullShape, starts, shape }: SliceSpec,
  itemLength: number,
): Generator<Run> {
  if (elementCountOf(shape) === 0) return
  const strides = stridesOf(fullShape).map((stride) => stride * itemLength)
  let axis = shape.length
  while (axis > 0 && shape[axis - 1] === fullShape[axis - 1]) axis--
  // All axes from this one on are contiguous in the whole.
  const runAxis = Math.max(0, axis - 1)
  const runLength = shape.length === 0 ? itemLength : shape[runAxis] * strides[runAxis]
  const index = shape.slice(0, runAxis).map(() => 0)
  for (;;) {
    let start = (starts[runAxis] ?? 0) * (strides[runAxis] ?? 0)
    index.forEach((place, outer) => {
      start += (starts[outer] + place) * strides[outer]
    })
    yield { start, end: start + runLength }
    let outer = runAxis - 1
    while (outer >= 0 && ++index[outer] === shape[outer]) index[outer--] = 0
    if (outer < 0) return
  }
}

/** The runs of a stream, which is read to its end so that its checksum is checked. */
async function* pick(
  chunks: AsyncIterable<Uint8Array>,
  runs: Generator<Run>,
): AsyncGenerator<Uint8Array> {
  let next = runs.next()
  let offset = 0
  for await (const chunk of chunks) {
    const end = offset + chunk.byteLength
    const picked: Uint8Array[] = []
    while (!next.done && next.value.start < end) {
      const { start, end: runEnd } = next.value
      picked.push(chunk.subarray(Math.max(0, start - offset), Math.min(runEnd, end) - offset))
      if (runEnd > end) break
      next = runs.next()
    }
    if (picked.length > 0) yield joinedBytes(picked)
    offset = end
  }
}

function joinedBytes(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}
