// The other hashes of strings that TensorFlow's ops promise: Hash64 (after MurmurHash64A) and keyed
// SipHash-2-4. Sources: tensorflow/core/platform/hash.cc; Aumasson and Bernstein, 2012.

const wrap = (word: bigint): bigint => BigInt.asUintN(64, word)
const rotate = (word: bigint, by: bigint): bigint => wrap((word << by) | (word >> (64n - by)))

/** The bytes from `at` on as a little-endian number; at most eight. */
function tailOf(bytes: Uint8Array, at: number): bigint {
  let tail = 0n
  for (let place = bytes.length - 1; place >= at; place--) {
    tail = (tail << 8n) | BigInt(bytes[place])
  }
  return tail
}

/** TensorFlow's `Hash64` with its usual seed, unsigned. */
export function hash64(bytes: Uint8Array): bigint {
  const by = 0xc6a4a7935bd1e995n
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const whole = bytes.length - (bytes.length % 8)
  let hash = wrap(0xdecafcaffen ^ wrap(BigInt(bytes.length) * by))
  for (let at = 0; at < whole; at += 8) {
    let word = wrap(view.getBigUint64(at, true) * by)
    word = wrap((word ^ (word >> 47n)) * by)
    hash = wrap((hash ^ word) * by)
  }
  if (whole < bytes.length) hash = wrap((hash ^ tailOf(bytes, whole)) * by)
  hash = wrap((hash ^ (hash >> 47n)) * by)
  return hash ^ (hash >> 47n)
}

/** SipHash-2-4 of the bytes under a key of two 64-bit words, unsigned. */
export function sipHash(bytes: Uint8Array, [key0, key1]: readonly [bigint, bigint]): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let v0 = 0x736f6d6570736575n ^ key0
  let v1 = 0x646f72616e646f6dn ^ key1
  let v2 = 0x6c7967656e657261n ^ key0
  let v3 = 0x7465646279746573n ^ key1
  const rounds = (count: number): void => {
    for (let round = 0; round < count; round++) {
      v0 = wrap(v0 + v1)
      v1 = rotate(v1, 13n) ^ v0
      v0 = rotate(v0, 32n)
      v2 = wrap(v2 + v3)
      v3 = rotate(v3, 16n) ^ v2
      v0 = wrap(v0 + v3)
      v3 = rotate(v3, 21n) ^ v0
      v2 = wrap(v2 + v1)
      v1 = rotate(v1, 17n) ^ v2
      v2 = rotate(v2, 32n)
    }
  }
  const take = (word: bigint): void => {
    v3 ^= word
    rounds(2)
    v0 ^= word
  }
  const whole = bytes.length - (bytes.length % 8)
  for (let at = 0; at < whole; at += 8) take(view.getBigUint64(at, true))
  take(tailOf(bytes, whole) | (BigInt(bytes.length & 0xff) << 56n))
  v2 ^= 0xffn
  rounds(4)
  return v0 ^ v1 ^ v2 ^ v3
}
