// Draws as a WebAssembly module: words, uniform and normal numbers in blocks of four words, and whole
// numbers of a range. Routines write into the memory that the module is made with.
import {
  type AssembledFunction,
  assemble,
  doubles,
  FunctionWriter,
  longs,
  op,
  type Piece,
  picked,
  type ValueType,
  word,
} from '../device/wasm/index.ts'
import { addNormals, uniformFloats } from './normal-code.ts'
import { addBlocks, blockByBlock, type FourWords } from './philox-code.ts'

/** What a block becomes: its words; four or two uniform numbers; four normal numbers. */
export type BlockRoutine = 'words' | 'uniform32' | 'uniform64' | 'normal32'

/**
 * Writes `blocks` blocks of 16 bytes at address `out`, rounded up to a multiple of four blocks. Block `b` is
 * `b * step` blocks behind the stream's place; where `list` is not 0, as far as the word at `list + 4 b` says.
 */
export type DrawBlocks = (
  out: number,
  blocks: number,
  step: number,
  list: number,
  key0: number,
  key1: number,
  counter0: number,
  counter1: number,
  counter2: number,
  counter3: number,
) => void

/** The module's functions. Integers are made in place of `count` words, or pairs of words. */
export interface Routines extends Readonly<Record<BlockRoutine, DrawBlocks>> {
  integers32(out: number, count: number, low: number, range: number): void
  integers64(out: number, count: number, low: bigint, range: bigint): void
}

/** The routines on a shared memory. */
export function instantiateRoutines(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): Routines {
  const { exports } = new WebAssembly.Instance(module, { environment: { memory } })
  return exports as unknown as Routines
}

/** Compiles the routines; takes some milliseconds. */
export function compileRoutines(): WebAssembly.Module {
  return new WebAssembly.Module(assemble(routineCode()))
}

/** The routines' code, for the module and for tests. */
export function routineCode(): readonly AssembledFunction[] {
  return [
    blocks('words', blockByBlock),
    blocks('uniform32', (f, lanes) =>
      blockByBlock(
        f,
        lanes.map((lane) => f.keep('v128', uniformFloats(lane))) as unknown as FourWords,
      ),
    ),
    blocks(
      'uniform64',
      (f, lanes) => blockByBlock(f, lanes).map(uniformDoubles) as unknown as FourWords,
    ),
    blocks('normal32', (f, lanes) => blockByBlock(f, addNormals(f, lanes))),
    integers('integers32', 'i32', 4),
    integers('integers64', 'i64', 8),
  ]
}

/** Two numbers in [0, 1) of a block: each of the low 20 bits of a word, then all bits of the next. */
function uniformDoubles(block: Piece): Piece {
  const ordered = picked([1, 0, 3, 2], block, block)
  const bits = op('v128.or', op('v128.and', ordered, longs(2n ** 52n - 1n)), longs(0x3ffn << 52n))
  return op('f64x2.sub', bits, doubles(1))
}

function blocks(
  name: BlockRoutine,
  results: (f: FunctionWriter, lanes: FourWords) => FourWords,
): AssembledFunction {
  const f = new FunctionWriter(name, new Array<ValueType>(10).fill('i32'))
  const [out, count, step, list, key0, key1, c0, c1, c2, c3] = Array.from(
    { length: 10 },
    (_, place) => f.parameter(place),
  )
  const ramp = f.local('v128')
  const advance = f.keep('v128', op('i32x4.splat', op('i32.mul', step, word(4))))
  const lanes: Piece = [['v128.const', new Uint8Array(Int32Array.of(0, 1, 2, 3).buffer)]]
  f.set(ramp, op('i32x4.mul', op('i32x4.splat', step), lanes))
  f.repeat(count, 4, (at) => {
    const offsets = f.local('v128')
    f.run(list, [['if']])
    f.set(offsets, [...op('i32.add', list, op('i32.mul', at, word(4))), ['v128.load', 0]])
    f.run([['else']])
    f.set(offsets, [['local.get', ramp]])
    f.set(ramp, op('i32x4.add', [['local.get', ramp]], advance))
    f.run([['end']])
    const stream = { key: [key0, key1], counter: [c0, c1, c2, c3] } as const
    const drawn = results(f, addBlocks(f, stream, [['local.get', offsets]]))
    const place = f.keep('i32', op('i32.add', out, op('i32.mul', at, word(16))))
    for (const [block, vector] of drawn.entries()) {
      f.run(place, vector, [['v128.store', 16 * block]])
    }
  })
  return f.finish()
}

/** `low + word % range` in place of each word. */
function integers(name: string, type: 'i32' | 'i64', byteLength: number): AssembledFunction {
  const f = new FunctionWriter(name, ['i32', 'i32', type, type])
  const [out, count, low, range] = [0, 1, 2, 3].map((place) => f.parameter(place))
  f.repeat(count, 1, (at) => {
    const place = f.keep('i32', op('i32.add', out, op('i32.mul', at, word(byteLength))))
    const rest = op(`${type}.rem_u`, [...place, [`${type}.load`, 0]], range)
    f.run(place, op(`${type}.add`, rest, low), [[`${type}.store`, 0]])
  })
  return f.finish()
}
