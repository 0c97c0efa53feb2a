// Code points of byte strings that should be UTF-8 and may not be.

/** Where the numbers of bytes that are no UTF-8 begin: the byte 0xff is `invalidByte + 0xff`. */
export const invalidByte = 0x110000

/** Code points of a string, and the byte at which each begins (and the end). */
export interface Codes {
  readonly codes: Int32Array
  /** One more than there are codes. */
  readonly offsets: Int32Array
}

/** Length of the well-formed sequence at `at`, 0 where there is none. Source: Unicode 15, table 3-7. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]
  if (first < 0x80) return 1
  if (first < 0xc2 || first > 0xf4) return 0
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  if (at + length > bytes.length) return 0
  const second = bytes[at + 1]
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (second < low || second > high) return 0
  for (let place = at + 2; place < at + length; place++) {
    if (bytes[place] < 0x80 || bytes[place] > 0xbf) return 0
  }
  return length
}

/** Code points of the bytes; each byte that is no part of one counts from {@link invalidByte}. */
export function codesOf(bytes: Uint8Array): Codes {
  const codes = new Int32Array(bytes.length)
  const offsets = new Int32Array(bytes.length + 1)
  let count = 0
  for (let at = 0; at < bytes.length; count++) {
    const length = sequenceLength(bytes, at)
    offsets[count] = at
    if (length <= 1) {
      codes[count] = length === 1 ? bytes[at] : invalidByte + bytes[at]
      at++
      continue
    }
    let code = bytes[at] & (0x7f >> length)
    for (let place = 1; place < length; place++) code = (code << 6) | (bytes[at + place] & 0x3f)
    codes[count] = code
    at += length
  }
  offsets[count] = bytes.length
  return { codes: codes.subarray(0, count), offsets: offsets.subarray(0, count + 1) }
}
