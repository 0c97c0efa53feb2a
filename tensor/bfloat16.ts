// bfloat16: the upper half of a float32. float16 needs no code of ours: Float16Array knows it.

const scratch = new DataView(new ArrayBuffer(4))

/** Bits of the bfloat16 nearest to `value` (ties to even; NaN stays a quiet NaN with its sign). */
export function bfloat16BitsOf(value: number): number {
  scratch.setFloat32(0, value)
  const bits = scratch.getUint32(0)
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x0040) & 0xffff
  const roundingBias = 0x7fff + ((bits >>> 16) & 1)
  return ((bits + roundingBias) >>> 16) & 0xffff
}

/** The number that the 16 bits of a bfloat16 stand for. */
export function numberOfBfloat16(bits: number): number {
  scratch.setUint32(0, (bits & 0xffff) << 16)
  return scratch.getFloat32(0)
}

/** `value` rounded to the nearest bfloat16. */
export function roundToBfloat16(value: number): number {
  return numberOfBfloat16(bfloat16BitsOf(value))
}
