// Philox's blocks as WebAssembly, four at once: lane `l` of each vector belongs to block `l`.
import { chain, type FunctionWriter, op, type Piece, picked, words } from '../device/wasm/index.ts'
import { multipliers, rounds, weyls } from './philox.ts'

/** Where a stream stands: words of key and counter, lowest first. */
export interface StreamPieces {
  readonly key: readonly [Piece, Piece]
  readonly counter: readonly [Piece, Piece, Piece, Piece]
}

/** Four vectors: word `w` of the blocks is in vector `w`. */
export type FourWords = readonly [Piece, Piece, Piece, Piece]

/** Draws the blocks that lie `offsets` (four words) behind the stream's place. */
export function addBlocks(f: FunctionWriter, stream: StreamPieces, offsets: Piece): FourWords {
  const counter = moved(f, stream, offsets)
  const locals = counter.map((value) => {
    const local = f.local('v128')
    f.set(local, value)
    return local
  })
  const [c0, c1, c2, c3] = locals.map((local): Piece => [['local.get', local]])
  const keyLocals = stream.key.map(() => f.local('v128'))
  const keys = keyLocals.map((local): Piece => [['local.get', local]])
  stream.key.forEach((word, place) => {
    f.set(keyLocals[place], op('i32x4.splat', word))
  })
  for (let round = 0; round < rounds; round++) {
    const first = product(f, multipliers[0], c0)
    const second = product(f, multipliers[1], c2)
    f.set(locals[0], chain('v128.xor', second.high, c1, keys[0]))
    f.set(locals[2], chain('v128.xor', first.high, c3, keys[1]))
    f.set(locals[1], second.low)
    f.set(locals[3], first.low)
    if (round + 1 === rounds) break
    for (const place of [0, 1]) {
      f.set(keyLocals[place], op('i32x4.add', keys[place], words(weyls[place])))
    }
  }
  return [c0, c1, c2, c3]
}

/** The 128-bit counter so much further on. */
function moved(f: FunctionWriter, { counter }: StreamPieces, offsets: Piece): readonly Piece[] {
  const low = f.keep('v128', op('i32x4.add', op('i32x4.splat', counter[0]), offsets))
  const moved = [low]
  // A lane of ones where the words below overflowed: taking that away adds one.
  let carry = f.keep('v128', op('i32x4.lt_u', low, offsets))
  for (const word of counter.slice(1)) {
    const next = f.keep('v128', op('i32x4.sub', op('i32x4.splat', word), carry))
    moved.push(next)
    carry = f.keep('v128', op('v128.and', carry, op('i32x4.eq', next, words(0))))
  }
  return moved
}

/** High and low words of the lanes' products with a word. */
function product(
  f: FunctionWriter,
  multiplier: number,
  lanes: Piece,
): { readonly high: Piece; readonly low: Piece } {
  const half = (name: string): Piece => f.keep('v128', op(name, words(multiplier), lanes))
  const [lower, upper] = ['low', 'high'].map((end) => half(`i64x2.extmul_${end}_i32x4_u`))
  return { high: picked([1, 3, 5, 7], lower, upper), low: picked([0, 2, 4, 6], lower, upper) }
}

/** The same numbers block by block: vector `b` has the words of block `b`. */
export function blockByBlock(f: FunctionWriter, [a, b, c, d]: FourWords): FourWords {
  const low = [0, 4, 1, 5]
  const high = [2, 6, 3, 7]
  const keep = (places: readonly number[], one: Piece, other: Piece): Piece =>
    f.keep('v128', picked(places, one, other))
  const [ab, cd] = [keep(low, a, b), keep(low, c, d)]
  const [abHigh, cdHigh] = [keep(high, a, b), keep(high, c, d)]
  const [first, second] = [
    [0, 1, 4, 5],
    [2, 3, 6, 7],
  ]
  return [
    keep(first, ab, cd),
    keep(second, ab, cd),
    keep(first, abHigh, cdHigh),
    keep(second, abHigh, cdHigh),
  ]
}
