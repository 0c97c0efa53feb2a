// What ops on strings share: one function of a string for every element, texts of messages, dense
// shapes of ragged results.
import {
  type DType,
  type Element,
  isBigInt,
  type NumericDType,
  numericTensor,
  type StringTensor,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import type { Lowering } from './definition.ts'
import type { TensorValue } from './value.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** UTF-8 of a text. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text)
}

/** A text of bytes, what is no UTF-8 replaced: for messages and for parsing numbers. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

/** The strings of a tensor that is known to hold them. */
export function stringsOf(tensor: Tensor): readonly Uint8Array[] {
  return (tensor as StringTensor).strings
}

/** A string for each string of the input. */
export function mapStrings(
  at: Lowering,
  input: TensorValue,
  change: (bytes: Uint8Array, place: number) => Uint8Array,
): TensorValue {
  const [output] = at.step({
    inputs: [input],
    outputs: [{ dtype: 'string', shape: input.shape }],
    run: ([tensor]) => [stringTensor(input.shape, stringsOf(tensor).map(change))],
  })
  return output
}

/** A number for each string of the input. */
export function mapToNumbers(
  at: Lowering,
  input: TensorValue,
  dtype: DType,
  measure: (bytes: Uint8Array, place: number) => Element,
): TensorValue {
  const [output] = at.step({
    inputs: [input],
    outputs: [{ dtype, shape: input.shape }],
    run: ([tensor]) => [
      tensorOfElements(dtype as NumericDType, input.shape, stringsOf(tensor).map(measure)),
    ],
  })
  return output
}

/** An int64 tensor of whole numbers. */
export function wholeTensor(shape: readonly number[], values: readonly number[]): Tensor {
  const array = BigInt64Array.from(values, BigInt)
  return numericTensor('int64', shape, new Uint8Array(array.buffer))
}

/** Whole numbers of a type as elements of it. */
export function wholeElements(dtype: DType, values: readonly number[]): readonly Element[] {
  return isBigInt(dtype) ? values.map(BigInt) : values
}

/** Joined bytes. */
export function joinBytes(
  parts: readonly Uint8Array[],
  separator: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const gaps = Math.max(parts.length - 1, 0) * separator.length
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, gaps))
  let at = 0
  for (const [place, part] of parts.entries()) {
    if (place > 0) {
      joined.set(separator, at)
      at += separator.length
    }
    joined.set(part, at)
    at += part.length
  }
  return joined
}
