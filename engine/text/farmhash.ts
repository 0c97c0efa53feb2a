// FarmHash's Fingerprint64, on which StringToHashBucketFast rests. 64-bit words as bigints that are
// wrapped after every operation. Source: FarmHash (farmhashna::Hash64), Geoff Pike, 2014.

type Word = bigint
type Pair = readonly [Word, Word]

const k0 = 0xc3a5c85c97cb3127n
const k1 = 0xb492b66fbe98f273n
const k2 = 0x9ae16a3b2f90404fn

const wrap = (word: Word): Word => BigInt.asUintN(64, word)
const rotate = (word: Word, by: bigint): Word => wrap((word >> by) | (word << (64n - by)))
const shiftMix = (word: Word): Word => word ^ (word >> 47n)

function mix(u: Word, v: Word, by: Word): Word {
  const a = shiftMix(wrap((u ^ v) * by))
  return wrap(shiftMix(wrap((v ^ a) * by)) * by)
}

function upTo16(bytes: DataView, length: number): Word {
  const by = wrap(k2 + 2n * BigInt(length))
  if (length >= 8) {
    const a = wrap(bytes.getBigUint64(0, true) + k2)
    const b = bytes.getBigUint64(length - 8, true)
    const c = wrap(rotate(b, 37n) * by + a)
    const d = wrap((rotate(a, 25n) + b) * by)
    return mix(c, d, by)
  }
  if (length >= 4) {
    const a = BigInt(bytes.getUint32(0, true))
    return mix(BigInt(length) + (a << 3n), BigInt(bytes.getUint32(length - 4, true)), by)
  }
  if (length === 0) return k2
  const a = bytes.getUint8(0)
  const b = bytes.getUint8(length >> 1)
  const c = bytes.getUint8(length - 1)
  const y = BigInt(a + (b << 8))
  const z = BigInt(length + (c << 2))
  return wrap(shiftMix(wrap(y * k2) ^ wrap(z * k0)) * k2)
}

function upTo32(bytes: DataView, length: number): Word {
  const by = wrap(k2 + 2n * BigInt(length))
  const a = wrap(bytes.getBigUint64(0, true) * k1)
  const b = bytes.getBigUint64(8, true)
  const c = wrap(bytes.getBigUint64(length - 8, true) * by)
  const d = wrap(bytes.getBigUint64(length - 16, true) * k2)
  return mix(
    wrap(rotate(wrap(a + b), 43n) + rotate(c, 30n) + d),
    wrap(a + rotate(wrap(b + k2), 18n) + c),
    by,
  )
}

function upTo64(bytes: DataView, length: number): Word {
  const by = wrap(k2 + 2n * BigInt(length))
  const word = (at: number): Word => bytes.getBigUint64(at, true)
  const a = wrap(word(0) * k2)
  const b = word(8)
  const c = wrap(word(length - 8) * by)
  const d = wrap(word(length - 16) * k2)
  const y = wrap(rotate(wrap(a + b), 43n) + rotate(c, 30n) + d)
  const z = mix(y, wrap(a + rotate(wrap(b + k2), 18n) + c), by)
  const e = wrap(word(16) * by)
  const f = word(24)
  const g = wrap((y + word(length - 32)) * by)
  const h = wrap((z + word(length - 24)) * by)
  return mix(
    wrap(rotate(wrap(e + f), 43n) + rotate(g, 30n) + h),
    wrap(e + rotate(wrap(f + a), 18n) + g),
    by,
  )
}

/** A weak hash of 32 bytes with two seeds. */
function weak(bytes: DataView, at: number, seedA: Word, seedB: Word): Pair {
  const word = (offset: number): Word => bytes.getBigUint64(at + offset, true)
  const z = word(24)
  const start = wrap(seedA + word(0))
  const b = rotate(wrap(seedB + start + z), 21n)
  const a = wrap(start + word(8) + word(16))
  return [wrap(a + z), wrap(b + rotate(a, 44n) + start)]
}

function long(bytes: DataView, length: number): Word {
  const word = (at: number): Word => bytes.getBigUint64(at, true)
  let x = 81n
  let y = wrap(81n * k1 + 113n)
  let z = wrap(shiftMix(wrap(y * k2 + 113n)) * k2)
  let v: Pair = [0n, 0n]
  let w: Pair = [0n, 0n]
  x = wrap(x * k2 + word(0))
  const end = Math.floor((length - 1) / 64) * 64
  const last = end + ((length - 1) % 64) - 63
  for (let at = 0; at < end; at += 64) {
    x = wrap(rotate(wrap(x + y + v[0] + word(at + 8)), 37n) * k1)
    y = wrap(rotate(wrap(y + v[1] + word(at + 48)), 42n) * k1)
    x ^= w[1]
    y = wrap(y + v[0] + word(at + 40))
    z = wrap(rotate(wrap(z + w[0]), 33n) * k1)
    v = weak(bytes, at, wrap(v[1] * k1), wrap(x + w[0]))
    w = weak(bytes, at + 32, wrap(z + w[1]), wrap(y + word(at + 16)))
    ;[z, x] = [x, z]
  }
  const by = wrap(k1 + ((z & 0xffn) << 1n))
  w = [wrap(w[0] + BigInt((length - 1) % 64)), w[1]]
  v = [wrap(v[0] + w[0]), v[1]]
  w = [wrap(w[0] + v[0]), w[1]]
  x = wrap(rotate(wrap(x + y + v[0] + word(last + 8)), 37n) * by)
  y = wrap(rotate(wrap(y + v[1] + word(last + 48)), 42n) * by)
  x ^= wrap(w[1] * 9n)
  y = wrap(y + v[0] * 9n + word(last + 40))
  z = wrap(rotate(wrap(z + w[0]), 33n) * by)
  v = weak(bytes, last, wrap(v[1] * by), wrap(x + w[0]))
  w = weak(bytes, last + 32, wrap(z + w[1]), wrap(y + word(last + 16)))
  ;[z, x] = [x, z]
  return mix(
    wrap(mix(v[0], w[0], by) + wrap(shiftMix(y) * k0) + z),
    wrap(mix(v[1], w[1], by) + x),
    by,
  )
}

/** The fingerprint of the bytes, an unsigned 64-bit number. */
export function fingerprint64(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { length } = bytes
  if (length <= 16) return upTo16(view, length)
  if (length <= 32) return upTo32(view, length)
  if (length <= 64) return upTo64(view, length)
  return long(view, length)
}
