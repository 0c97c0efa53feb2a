// Real tensors on the host as arrays of float64 and back, element by element, without a JavaScript value
// for each.
import {
  elementArrayOf,
  elementCountOf,
  isBigInt,
  type NumericDType,
  type NumericTensor,
  numberOfBfloat16,
  numericTensor,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'

/** Elements of a tensor of real numbers. */
export function numbersOf(tensor: Tensor): Float64Array {
  const { dtype, bytes, shape } = tensor as NumericTensor
  const numbers = new Float64Array(elementCountOf(shape))
  const elements = elementArrayOf(dtype, bytes)
  if (dtype === 'bfloat16') {
    for (let at = 0; at < numbers.length; at++) numbers[at] = numberOfBfloat16(Number(elements[at]))
  } else for (let at = 0; at < numbers.length; at++) numbers[at] = Number(elements[at])
  return numbers
}

/** A tensor of these numbers; in 64-bit integers a NaN, which is no whole number, is 0. */
export function tensorOfNumbers(
  dtype: NumericDType,
  shape: Shape,
  numbers: Float64Array | Int32Array,
): NumericTensor {
  if (!isBigInt(dtype)) return tensorOfElements(dtype, shape, numbers)
  const elements = new BigInt64Array(numbers.length)
  for (let at = 0; at < numbers.length; at++) {
    elements[at] = Number.isNaN(numbers[at]) ? 0n : BigInt(numbers[at])
  }
  return numericTensor(dtype, shape, new Uint8Array(elements.buffer))
}
