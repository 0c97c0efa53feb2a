// Bytes with something wrong in them, by chance: what flips, lies, ends early or stands twice.
import type { Chance } from './chance.ts'

const telling = [0, 1, 0x7f, 0x80, 0xfe, 0xff]
const wide = [
  0n,
  1n,
  0x7fffffffn,
  0xffffffffn,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
]

type Mutation = (bytes: Uint8Array, chance: Chance, other: Uint8Array) => Uint8Array

/** A copy to write into, and a place in it where `width` bytes fit. */
function placed(bytes: Uint8Array, chance: Chance, width = 1): [Uint8Array, number] {
  return [bytes.slice(), chance.whole(Math.max(1, bytes.byteLength - width + 1))]
}

function spliced(bytes: Uint8Array, at: number, removed: number, added: Uint8Array): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, at), ...added, ...bytes.subarray(at + removed)])
}

const mutations: readonly Mutation[] = [
  function flip(bytes, chance) {
    const [copy, at] = placed(bytes, chance)
    copy[at] ^= 1 << chance.whole(8)
    return copy
  },
  function set(bytes, chance) {
    const [copy, at] = placed(bytes, chance)
    copy[at] = chance.happens(0.5) ? chance.one(telling) : chance.whole(256)
    return copy
  },
  function count(bytes, chance) {
    const [copy, at] = placed(bytes, chance)
    copy[at] += chance.happens(0.5) ? 1 : -1
    return copy
  },
  function lie(bytes, chance) {
    const width = chance.one([2, 4, 8])
    if (bytes.byteLength < width) return bytes
    const [copy, at] = placed(bytes, chance, width)
    const field = new DataView(new ArrayBuffer(8))
    field.setBigUint64(0, chance.one(wide), true)
    copy.set(new Uint8Array(field.buffer, 0, width), at)
    return copy
  },
  function stretch(bytes, chance) {
    const at = chance.whole(bytes.byteLength + 1)
    const length = 1 + chance.whole(11)
    const varint = new Uint8Array(length).fill(chance.one([0x80, 0xff]))
    varint[length - 1] = chance.whole(128)
    return spliced(bytes, at, chance.whole(2), varint)
  },
  function cut(bytes, chance) {
    return bytes.slice(0, chance.whole(bytes.byteLength + 1))
  },
  function remove(bytes, chance) {
    const at = chance.whole(bytes.byteLength + 1)
    return spliced(bytes, at, chance.whole(16), new Uint8Array())
  },
  function double(bytes, chance) {
    const at = chance.whole(bytes.byteLength + 1)
    const piece = bytes.slice(at, at + 1 + chance.whole(32))
    return spliced(bytes, chance.whole(bytes.byteLength + 1), 0, piece)
  },
  function cross(bytes, chance, other) {
    const at = chance.whole(bytes.byteLength + 1)
    const from = chance.whole(other.byteLength + 1)
    return spliced(bytes, at, chance.whole(32), other.subarray(from, from + chance.whole(64)))
  },
]

/** `bytes` with one to four things wrong; `other` lends pieces. */
export function mutated(bytes: Uint8Array, chance: Chance, other: Uint8Array): Uint8Array {
  let result = bytes
  const count = 1 + chance.whole(4)
  for (let index = 0; index < count; index++) result = chance.one(mutations)(result, chance, other)
  return result
}
