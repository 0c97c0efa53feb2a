// Large matrices are factored in blocks: by the same reflections as small ones.
import t from 'tap'
import { blockFactors, isForBlocks } from '../../../engine/ops/block-reflections.ts'
import { type Matrix, orthogonalFactors, product, transposed } from '../../../engine/ops/matrix.ts'

/** Numbers from -0.5 to 0.5 without a pattern to see. */
function scattered(rows: number, columns: number): Matrix {
  let state = 12345
  const elements = Float64Array.from({ length: rows * columns }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state / 2 ** 31 - 0.5
  })
  return { rows, columns, elements }
}

function distance(a: Matrix, b: Matrix): number {
  t.same([a.rows, a.columns], [b.rows, b.columns])
  return a.elements.reduce((most, value, at) => Math.max(most, Math.abs(value - b.elements[at])), 0)
}

t.test('blocks give what reflections one by one give, whatever the shape', async (t) => {
  const shapes = [
    [100, 100],
    [131, 97],
    [97, 131],
    [128, 128],
    [101, 190],
    [65, 33],
    [3, 5],
  ] as const
  for (const [rows, columns] of shapes) {
    const matrix = scattered(rows, columns)
    for (const full of [false, true]) {
      const wanted = full ? rows : Math.min(rows, columns)
      const got = blockFactors(matrix, wanted)
      const expected = orthogonalFactors(matrix, full)
      t.ok(distance(got.q, expected.q) < 1e-12, `q of [${rows},${columns}], full: ${full}`)
      t.ok(distance(got.r, expected.r) < 1e-12, `r of [${rows},${columns}], full: ${full}`)
      t.ok(distance(product(got.q, got.r), matrix) < 1e-12)
    }
  }
})

t.test('columns that need no reflection are left as they are', async (t) => {
  const rows = 100
  const elements = new Float64Array(rows * rows)
  for (let k = 0; k < rows; k++) elements[k * rows + k] = k % 3 === 0 ? 0 : k
  const matrix = { rows, columns: rows, elements }
  const { q, r } = blockFactors(matrix, rows)
  t.equal(distance(product(q, r), matrix), 0)
  const { elements: identity } = product(transposed(q), q)
  t.ok(identity.every((value, at) => value === (at % (rows + 1) === 0 ? 1 : 0)))
})

t.test('blocks are for what is large and fits', async (t) => {
  t.notOk(isForBlocks(159, 5000))
  t.ok(isForBlocks(160, 5000))
  t.notOk(isForBlocks(200, 2 ** 22))
})
