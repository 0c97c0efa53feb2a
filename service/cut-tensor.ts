// Tensors at hand, cut into parts and put together again. Streams are part-streams.ts's.
import { byteRuns, type SliceSpec } from '../formats/index.ts'
import {
  byteLengthOf,
  elementCountOf,
  isNumeric,
  numericTensor,
  stringTensor,
  type Tensor,
  type TensorType,
} from '../tensor/index.ts'

/** The part of `tensor` that `slice` names, as a copy. */
export function cutTensor(tensor: Tensor, slice: SliceSpec): Tensor {
  if (tensor.dtype === 'string') {
    const strings: Uint8Array[] = []
    for (const { start, end } of byteRuns(slice, 1)) {
      for (let index = start; index < end; index++) strings.push(tensor.strings[index])
    }
    return stringTensor(slice.shape, strings)
  }
  const itemLength = byteLengthOf(tensor.dtype)
  const bytes = new Uint8Array(elementCountOf(slice.shape) * itemLength)
  let at = 0
  for (const { start, end } of byteRuns(slice, itemLength)) {
    bytes.set(tensor.bytes.subarray(start, end), at)
    at += end - start
  }
  return numericTensor(tensor.dtype, slice.shape, bytes)
}

/** The tensor of that type whose parts are `parts`; together they cover it. */
export function joinTensors(
  { dtype, shape }: TensorType,
  parts: readonly { readonly tensor: Tensor; readonly slice: SliceSpec }[],
): Tensor {
  if (!isNumeric(dtype)) {
    const strings = new Array<Uint8Array>(elementCountOf(shape))
    for (const { tensor, slice } of parts) {
      let at = 0
      for (const { start, end } of byteRuns(slice, 1)) {
        for (let index = start; index < end; index++) {
          strings[index] = tensor.dtype === 'string' ? tensor.strings[at++] : new Uint8Array()
        }
      }
    }
    return stringTensor(shape, strings)
  }
  const itemLength = byteLengthOf(dtype)
  const bytes = new Uint8Array(elementCountOf(shape) * itemLength)
  for (const { tensor, slice } of parts) {
    if (tensor.dtype === 'string') throw new Error('a part of another type')
    let at = 0
    for (const { start, end } of byteRuns(slice, itemLength)) {
      bytes.set(tensor.bytes.subarray(at, at + end - start), start)
      at += end - start
    }
  }
  return numericTensor(dtype, shape, bytes)
}
