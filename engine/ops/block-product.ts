// Products of float64 matrices that lie in one WebAssembly memory, for algorithms that spend their time on
// them. What the matrices mean it does not know.
import {
  assemble,
  type FunctionWriter,
  op,
  type Piece,
  type ValueType,
  FunctionWriter as Writer,
  word,
} from '../device/wasm/index.ts'

/** A part of an array, seen as a matrix: how far apart rows and columns are, in elements. */
export interface MatrixView {
  readonly array: Float64Array
  readonly start: number
  readonly rowStride: number
  /** 1 where it is not said. */
  readonly columnStride?: number
}

type MultiplyAdd = (
  c: number,
  cRow: number,
  a: number,
  aRow: number,
  aColumn: number,
  b: number,
  bRow: number,
  rows: number,
  inner: number,
  columns: number,
) => void

const pageBytes = 65_536
/** Rows of `b` taken at a time: what they take of a few columns stays in the nearest cache. */
const innerBlock = 128
/** Columns that a product's width is a multiple of. */
export const columnGroup = 4

/** Arrays of these lengths, of zeros, and products of parts of them. */
export class BlockProducts {
  readonly arrays: readonly Float64Array[]
  readonly #add: MultiplyAdd
  readonly #subtract: MultiplyAdd

  constructor(lengths: readonly number[]) {
    const bytes = lengths.map((length) => Math.ceil(length / 8) * 64)
    const total = bytes.reduce((sum, one) => sum + one, 0)
    const pages = Math.max(1, Math.ceil(total / pageBytes))
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    let start = 0
    this.arrays = lengths.map((length, place) => {
      const array = new Float64Array(memory.buffer, start, length)
      start += bytes[place]
      return array
    })
    const module = new WebAssembly.Module(
      assemble([multiplyAdd('add', 'f64x2.add'), multiplyAdd('subtract', 'f64x2.sub')]),
    )
    const { exports } = new WebAssembly.Instance(module, { environment: { memory } })
    this.#add = exports.add as MultiplyAdd
    this.#subtract = exports.subtract as MultiplyAdd
  }

  /**
   * Adds `a b` to `c`, or takes it away: `[rows, inner]` times `[inner, columns]`. `columns` is a multiple of
   * {@link columnGroup}; columns of `b` and of `c` lie side by side.
   */
  apply(
    sign: 1 | -1,
    c: MatrixView,
    a: MatrixView,
    b: MatrixView,
    [rows, inner, columns]: readonly [number, number, number],
  ): void {
    const run = sign === 1 ? this.#add : this.#subtract
    const aColumn = 8 * (a.columnStride ?? 1)
    for (let first = 0; first < inner; first += innerBlock) {
      run(
        addressOf(c),
        8 * c.rowStride,
        addressOf(a) + first * aColumn,
        8 * a.rowStride,
        aColumn,
        addressOf(b) + 8 * first * b.rowStride,
        8 * b.rowStride,
        rows,
        Math.min(innerBlock, inner - first),
        columns,
      )
    }
  }
}

function addressOf({ array, start }: MatrixView): number {
  return array.byteOffset + 8 * start
}

const tileRows = 4
const lanes = 2

/** Columns in groups of four; in each, rows in groups of four, then one by one. */
function multiplyAdd(name: string, combine: string) {
  const f = new Writer(name, new Array<ValueType>(10).fill('i32'))
  const [c, cRow, a, aRow, aColumn, b, bRow, rows, inner, columns] = Array.from(
    { length: 10 },
    (_, place) => f.parameter(place),
  )
  const whole = f.keep('i32', op('i32.and', rows, word(-tileRows)))
  const rest = f.keep('i32', op('i32.sub', rows, whole))
  f.repeat(columns, columnGroup, (column) => {
    const shift = f.keep('i32', op('i32.mul', column, word(8)))
    const tileC = f.local('i32')
    const tileA = f.local('i32')
    const bTop = f.keep('i32', op('i32.add', b, shift))
    f.set(tileC, op('i32.add', c, shift))
    f.set(tileA, a)
    const strides = { cRow, aRow, aColumn, bRow, inner }
    for (const [count, end] of [
      [tileRows, whole],
      [1, rest],
    ] as const) {
      f.repeat(end, count, () => {
        addTile(f, combine, count, [['local.get', tileC]], [['local.get', tileA]], bTop, strides)
        f.set(tileC, op('i32.add', [['local.get', tileC]], op('i32.mul', cRow, word(count))))
        f.set(tileA, op('i32.add', [['local.get', tileA]], op('i32.mul', aRow, word(count))))
      })
    }
  })
  return f.finish()
}

function addTile(
  f: FunctionWriter,
  combine: string,
  rows: number,
  c: Piece,
  a: Piece,
  b: Piece,
  strides: { cRow: Piece; aRow: Piece; aColumn: Piece; bRow: Piece; inner: Piece },
): void {
  const vectors = columnGroup / lanes
  const sums = Array.from({ length: rows * vectors }, () => f.local('v128'))
  const zero: Piece = [['v128.const', new Uint8Array(16)]]
  for (const sum of sums) f.set(sum, zero)
  const [aAt, bAt] = [f.local('i32'), f.local('i32')]
  f.set(aAt, a)
  f.set(bAt, b)
  const getA: Piece = [['local.get', aAt]]
  const getB: Piece = [['local.get', bAt]]
  f.repeat(strides.inner, 1, () => {
    const right = Array.from({ length: vectors }, (_, vector) =>
      f.keep('v128', [...getB, ['v128.load', 16 * vector]]),
    )
    const row = f.local('i32')
    f.set(row, getA)
    for (let place = 0; place < rows; place++) {
      const left = f.keep('v128', [
        ['local.get', row],
        ['v128.load64_splat', 0],
      ])
      for (const [vector, factor] of right.entries()) {
        const sum = sums[place * vectors + vector]
        f.set(sum, op('f64x2.add', [['local.get', sum]], op('f64x2.mul', left, factor)))
      }
      if (place + 1 < rows) f.set(row, op('i32.add', [['local.get', row]], strides.aRow))
    }
    f.set(aAt, op('i32.add', getA, strides.aColumn))
    f.set(bAt, op('i32.add', getB, strides.bRow))
  })
  const row = f.local('i32')
  f.set(row, c)
  const at: Piece = [['local.get', row]]
  for (let place = 0; place < rows; place++) {
    for (let vector = 0; vector < vectors; vector++) {
      const offset = 16 * vector
      const known: Piece = [...at, ['v128.load', offset]]
      const sum: Piece = [['local.get', sums[place * vectors + vector]]]
      f.run(at, op(combine, known, sum), [['v128.store', offset]])
    }
    f.set(row, op('i32.add', at, strides.cRow))
  }
}
