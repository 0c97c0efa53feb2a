// Q and R of a large matrix: Householder's reflections, gathered in blocks so that most of the work is
// products of matrices. Source: Schreiber and Van Loan, "A storage-efficient WY representation" (1989).
import { BlockProducts, columnGroup, type MatrixView } from './block-product.ts'
import { type Matrix, type Reflection, reflect, reflectionOf, zeros } from './matrix.ts'

/** Reflections of a block. */
const width = 32

/** Rows or columns, whichever are fewer, from which blocks pay. */
const blocksFrom = 160

/** Largest memory that the blocks may take, in elements. */
const mostElements = 2 ** 28

const roundedUp = (count: number): number => Math.ceil(count / columnGroup) * columnGroup

/** Whether {@link blockFactors} is for a matrix of that size. */
export function isForBlocks(rows: number, columns: number): boolean {
  const size = rows * (roundedUp(columns) + roundedUp(Math.max(rows, columns)) + width)
  return Math.min(rows, columns) >= blocksFrom && size <= mostElements
}

/** `matrix = Q R`, with `wanted` columns of Q and as many rows of R. */
export function blockFactors(
  { rows, columns, elements }: Matrix,
  wanted: number,
): { readonly q: Matrix; readonly r: Matrix } {
  const least = Math.min(rows, columns)
  const [wideA, wideQ] = [roundedUp(columns), roundedUp(wanted)]
  const widest = Math.max(wideA, wideQ)
  const square = width * width
  const space = new BlockProducts([
    rows * wideA,
    rows * wideQ,
    rows * width,
    width * widest,
    width * widest,
    square,
    square,
  ])
  const [a, q] = space.arrays
  for (let row = 0; row < rows; row++) {
    a.set(elements.subarray(row * columns, (row + 1) * columns), row * wideA)
  }
  const blocks: Block[] = []
  for (let first = 0; first < least; first += width) {
    const block = reflectedPanel({ rows, columns, elements: a }, wideA, first)
    blocks.push(block)
    const from = Math.min(first + width, wideA)
    applyBlock(space, block, { array: a, wide: wideA, from, rows }, true)
  }
  for (let k = 0; k < wanted; k++) q[k * wideQ + k] = 1
  for (const block of blocks.reverse()) {
    const from = Math.min(block.first, wideQ)
    applyBlock(space, block, { array: q, wide: wideQ, from, rows }, false)
  }
  const cut = (array: Float64Array, wide: number, height: number, breadth: number): Matrix => {
    const made = zeros(height, breadth)
    for (let row = 0; row < height; row++) {
      made.elements.set(array.subarray(row * wide, row * wide + breadth), row * breadth)
    }
    return made
  }
  return { q: cut(q, wideQ, rows, wanted), r: cut(a, wideA, wanted, columns) }
}

/** Reflections that follow one another, from row `first` on. */
interface Block {
  readonly first: number
  readonly reflections: readonly Reflection[]
}

/** Makes the next columns from `first` on zero below the diagonal, and tells by which reflections. */
function reflectedPanel(
  { rows, columns, elements: a }: Matrix,
  wide: number,
  first: number,
): Block {
  const end = Math.min(first + width, columns)
  const panel = zeros(rows - first, end - first)
  for (let row = 0; row < panel.rows; row++) {
    const start = (first + row) * wide
    panel.elements.set(a.subarray(start + first, start + end), row * panel.columns)
  }
  const reflections: Reflection[] = []
  for (let k = 0; k < Math.min(panel.columns, panel.rows); k++) {
    const below = new Float64Array(panel.rows - k)
    for (let row = k; row < panel.rows; row++) {
      below[row - k] = panel.elements[row * panel.columns + k]
    }
    const reflection = reflectionOf(below)
    reflect(panel, reflection, k, k)
    for (let row = k + 1; row < panel.rows; row++) panel.elements[row * panel.columns + k] = 0
    panel.elements[k * panel.columns + k] = reflection.beta
    reflections.push(reflection)
  }
  for (let row = 0; row < panel.rows; row++) {
    const values = panel.elements.subarray(row * panel.columns, (row + 1) * panel.columns)
    a.set(values, (first + row) * wide + first)
  }
  return { first, reflections }
}

/** Columns of a matrix from `from` on, which are changed. */
interface Target {
  readonly array: Float64Array
  readonly wide: number
  readonly from: number
  readonly rows: number
}

/**
 * Applies a block's reflections from the left, the last one first, or the first one first where `inverse`:
 * `I - V T V^T`, or that with `T` transposed.
 */
function applyBlock(
  space: BlockProducts,
  { first, reflections }: Block,
  { array, wide, from, rows }: Target,
  inverse: boolean,
): void {
  const columns = wide - from
  if (columns <= 0) return
  const [, , v, w, scaled, overlaps, t] = space.arrays
  const height = rows - first
  v.fill(0)
  for (const [k, { vector }] of reflections.entries()) {
    for (let row = 0; row < vector.length; row++) v[(k + row) * width + k] = vector[row]
  }
  const vView: MatrixView = { array: v, start: 0, rowStride: width }
  const across: MatrixView = { ...vView, rowStride: 1, columnStride: width }
  const plain = (matrix: Float64Array, rowStride: number): MatrixView => {
    return { array: matrix, start: 0, rowStride }
  }
  overlaps.fill(0)
  space.apply(1, plain(overlaps, width), across, vView, [width, height, width])
  fillTriangle(t, overlaps, reflections)
  const part: MatrixView = { array, start: first * wide + from, rowStride: wide }
  w.fill(0)
  space.apply(1, plain(w, wide), across, part, [width, height, columns])
  scaled.fill(0)
  const factor = inverse ? { ...plain(t, 1), columnStride: width } : plain(t, width)
  space.apply(1, plain(scaled, wide), factor, plain(w, wide), [width, width, columns])
  space.apply(-1, part, vView, plain(scaled, wide), [height, width, columns])
}

/** The upper triangle T, from the products of the vectors with each other. */
function fillTriangle(
  t: Float64Array,
  overlaps: Float64Array,
  reflections: readonly Reflection[],
): void {
  t.fill(0)
  for (const [k, { weight }] of reflections.entries()) {
    t[k * width + k] = weight
    for (let row = 0; row < k; row++) {
      let sum = 0
      for (let inner = row; inner < k; inner++) {
        sum += t[row * width + inner] * overlaps[inner * width + k]
      }
      t[row * width + k] = -weight * sum
    }
  }
}
