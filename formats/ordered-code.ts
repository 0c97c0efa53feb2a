// OrderedCode: byte strings that sort as the values do. Checkpoints key a tensor's slices with it.
// Source: tensorflow/core/lib/strings/ordered_code.cc
import type { TensorSliceProto } from '../proto/index.ts'

/** One dimension of a slice: `length` -1 is the whole dimension, with `start` 0. */
export interface SliceExtent {
  readonly start: number
  readonly length: number
}

/** The extents of a slice as the files have it: a dimension without a length is whole. */
export function extentsOf({ extent }: TensorSliceProto): SliceExtent[] {
  return extent.map(({ start, length }) => ({ start, length: length ?? -1 }))
}

/** A whole number of 0 or more: the count of its bytes, then the bytes, high first. */
export function numIncreasing(value: bigint): number[] {
  const bytes: number[] = []
  for (let rest = value; rest > 0n; rest >>= 8n) bytes.unshift(Number(rest & 0xffn))
  return [bytes.length, ...bytes]
}

/** Bytes with 00 and ff escaped, ended by 00 01. */
export function stringIncreasing(text: Uint8Array): number[] {
  const bytes: number[] = []
  for (const byte of text) {
    bytes.push(byte)
    if (byte === 0x00) bytes.push(0xff)
    else if (byte === 0xff) bytes.push(0x00)
  }
  bytes.push(0x00, 0x01)
  return bytes
}

/** A signed number: n bytes carry 7n-1 bits, after a unary count of the bytes. */
export function signedNumIncreasing(value: bigint): number[] {
  if (value < 0n) return signedNumIncreasing(-value - 1n).map((byte) => byte ^ 0xff)
  let length = 1
  while (value >= 1n << BigInt(7 * length - 1)) length++
  const ones = ((1n << BigInt(length)) - 1n) << BigInt(7 * length)
  const header = ones | value
  return Array.from({ length }, (_, index) =>
    Number((header >> BigInt(8 * (length - 1 - index))) & 0xffn),
  )
}

/** The key under which a slice of a partitioned tensor is kept. Its first byte is 00. */
export function sliceKey(name: string, slice: readonly SliceExtent[]): Uint8Array {
  const bytes = [
    ...numIncreasing(0n),
    ...stringIncreasing(new TextEncoder().encode(name)),
    ...numIncreasing(BigInt(slice.length)),
  ]
  for (const { start, length } of slice) {
    bytes.push(...signedNumIncreasing(BigInt(start)), ...signedNumIncreasing(BigInt(length)))
  }
  return Uint8Array.from(bytes)
}
