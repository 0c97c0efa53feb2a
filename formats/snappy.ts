// Snappy decompression, strict: what a block declares must be exactly what comes out of it.
// Source: https://github.com/google/snappy/blob/main/format_description.txt

/**
 * The `length` bytes that the elements of `block` from `start` on unpack to; undefined where they
 * do not, or refer to bytes that are not there. `start` is after the declared length.
 */
export function decompressSnappy(
  block: Uint8Array,
  start: number,
  length: number,
): Uint8Array | undefined {
  const bytes = new Uint8Array(length)
  let at = start
  let out = 0
  while (at < block.byteLength) {
    const tag = block[at++]
    const kind = tag & 3
    // A literal's length may need up to 4 bytes more; a copy's distance takes 1, 2 or 4.
    const extra = kind === 0 ? Math.max(0, (tag >>> 2) - 59) : kind === 3 ? 4 : kind
    if (at + extra > block.byteLength) return undefined
    let number = 0
    for (let index = extra - 1; index >= 0; index--) number = number * 256 + block[at + index]
    at += extra
    if (kind === 0) {
      const size = extra === 0 ? (tag >>> 2) + 1 : number + 1
      if (size > block.byteLength - at || size > length - out) return undefined
      bytes.set(block.subarray(at, at + size), out)
      at += size
      out += size
    } else {
      const size = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1
      const distance = kind === 1 ? ((tag >>> 5) << 8) + number : number
      if (distance === 0 || distance > out || size > length - out) return undefined
      for (let index = 0; index < size; index++, out++) bytes[out] = bytes[out - distance]
    }
  }
  return out === length ? bytes : undefined
}
