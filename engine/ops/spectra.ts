// Singular values and eigenvalues of dense real matrices, in float64.
import {
  copyOf,
  identity,
  type Matrix,
  reflect,
  reflectionOf,
  transposed,
  zeros,
} from './matrix.ts'

/** `matrix = u diag(values) v^T`, values falling. */
export interface SingularValues {
  readonly values: Float64Array
  readonly u: Matrix
  readonly v: Matrix
}

const mostSweeps = 60

/**
 * Singular values by rotations of columns (Hestenes 1958), which finds small ones to full precision. `u`
 * and `v` are square where `full`. TensorFlow leaves the signs of vectors open, and so do we.
 */
export function singularValues(matrix: Matrix, full: boolean): SingularValues {
  if (matrix.rows < matrix.columns) {
    const { values, u, v } = singularValues(transposed(matrix), full)
    return { values, u: v, v: u }
  }
  // Columns as rows: what is rotated lies together.
  const columns = rowsOf(transposed(matrix))
  const turned = rowsOf(identity(matrix.columns))
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    if (!rotateAll(columns, turned)) break
  }
  const norms = columns.map((column) => Math.hypot(...column))
  const order = [...norms.keys()].sort((x, y) => norms[y] - norms[x])
  const values = Float64Array.from(order, (place) => norms[place])
  const negligible = (values[0] ?? 0) * 2 ** -52 * matrix.rows
  const left: Float64Array[] = []
  for (const place of order) {
    if (norms[place] > negligible) left.push(columns[place].map((x) => x / norms[place]))
  }
  complete(left, matrix.rows, full ? matrix.rows : matrix.columns)
  return {
    values,
    u: transposed(matrixOf(left, matrix.rows)),
    v: transposed(
      matrixOf(
        order.map((place) => turned[place]),
        matrix.columns,
      ),
    ),
  }
}

function rowsOf({ rows, columns, elements }: Matrix): Float64Array[] {
  return Array.from({ length: rows }, (_, i) => elements.slice(i * columns, (i + 1) * columns))
}

function matrixOf(rows: readonly Float64Array[], columns: number): Matrix {
  const made = zeros(rows.length, columns)
  for (const [i, row] of rows.entries()) made.elements.set(row, i * columns)
  return made
}

function inner(x: Float64Array, y: Float64Array): number {
  let sum = 0
  for (let k = 0; k < x.length; k++) sum += x[k] * y[k]
  return sum
}

/** Makes each pair of columns orthogonal once; false where all were already. */
function rotateAll(columns: readonly Float64Array[], turned: readonly Float64Array[]): boolean {
  let hasRotated = false
  for (let p = 0; p < columns.length; p++) {
    for (let q = p + 1; q < columns.length; q++) {
      const both = inner(columns[p], columns[q])
      const [own, other] = [inner(columns[p], columns[p]), inner(columns[q], columns[q])]
      if (both === 0 || !(Math.abs(both) > 2 ** -52 * Math.sqrt(own * other))) continue
      hasRotated = true
      const ratio = (other - own) / (2 * both)
      const tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.sqrt(1 + ratio * ratio))
      const cosine = 1 / Math.sqrt(1 + tangent * tangent)
      for (const all of [columns, turned]) turn(all[p], all[q], cosine, cosine * tangent)
    }
  }
  return hasRotated
}

function turn(x: Float64Array, y: Float64Array, cosine: number, sine: number): void {
  for (let k = 0; k < x.length; k++) {
    const former = x[k]
    x[k] = cosine * former - sine * y[k]
    y[k] = sine * former + cosine * y[k]
  }
}

/** Adds unit vectors that are orthogonal to all others until there are `count`. */
function complete(vectors: Float64Array[], size: number, count: number): void {
  for (let axis = 0; vectors.length < count; axis++) {
    const candidate = new Float64Array(size)
    candidate[axis % size] = 1
    // Twice: what rounding left of the others after the first time goes in the second.
    for (const vector of [...vectors, ...vectors]) {
      const share = inner(candidate, vector)
      for (let k = 0; k < size; k++) candidate[k] -= share * vector[k]
    }
    const norm = Math.hypot(...candidate)
    if (norm > 0.5 / Math.sqrt(size)) vectors.push(candidate.map((x) => x / norm))
  }
}

/** `matrix = vectors diag(values) vectors^T`, values rising. */
export interface Eigenvalues {
  readonly values: Float64Array
  readonly vectors: Matrix
}

/**
 * Eigenvalues of a symmetric matrix, of which the lower half is read: reduced to three diagonals, then QR
 * steps with Wilkinson's shift, as Eigen's SelfAdjointEigenSolver does, so signs are its signs.
 * `epsilon`: of the type of the elements.
 */
export function symmetricEigenvalues(matrix: Matrix, epsilon: number): Eigenvalues {
  const n = matrix.rows
  const work = symmetric(matrix)
  const scale = work.elements.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1
  for (let k = 0; k < work.elements.length; k++) work.elements[k] /= scale
  const vectors = tridiagonalize(work)
  const diagonal = Float64Array.from({ length: n }, (_, k) => work.elements[k * n + k])
  const below = Float64Array.from({ length: Math.max(n - 1, 0) }, (_, k) => {
    return work.elements[(k + 1) * n + k]
  })
  // Columns of the vectors as rows.
  const columns = rowsOf(transposed(vectors))
  iterate(diagonal, below, columns, epsilon)
  for (let k = 0; k < n; k++) {
    let least = k
    for (let other = k + 1; other < n; other++) {
      if (diagonal[other] < diagonal[least]) least = other
    }
    ;[diagonal[k], diagonal[least]] = [diagonal[least], diagonal[k]]
    ;[columns[k], columns[least]] = [columns[least], columns[k]]
  }
  return { values: diagonal.map((x) => x * scale), vectors: transposed(matrixOf(columns, n)) }
}

function symmetric(matrix: Matrix): Matrix {
  const n = matrix.rows
  const made = copyOf(matrix)
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) made.elements[i * n + j] = made.elements[j * n + i]
  }
  return made
}

/** Brings a symmetric matrix to three diagonals, in place; the product of the reflections. */
function tridiagonalize(work: Matrix): Matrix {
  const n = work.rows
  const reflections = []
  for (let i = 0; i < n - 1; i++) {
    const column = Float64Array.from(
      { length: n - i - 1 },
      (_, k) => work.elements[(i + 1 + k) * n + i],
    )
    const reflection = reflectionOf(column)
    reflections.push(reflection)
    reflect(work, reflection, i + 1)
    const other = transposed(work)
    reflect(other, reflection, i + 1)
    work.elements.set(other.elements)
    work.elements[(i + 1) * n + i] = reflection.beta
  }
  const vectors = identity(n)
  for (let i = n - 2; i >= 0; i--) reflect(vectors, reflections[i], i + 1)
  return vectors
}

/** Steps until the elements below the diagonal are negligible. */
function iterate(
  diagonal: Float64Array,
  below: Float64Array,
  columns: readonly Float64Array[],
  epsilon: number,
): void {
  const most = 30 * diagonal.length
  let end = diagonal.length - 1
  let start = 0
  for (let iteration = 0; end > 0 && iteration <= most; iteration++) {
    for (let k = start; k < end; k++) {
      const scaled = below[k] / epsilon
      if (scaled * scaled <= Math.abs(diagonal[k]) + Math.abs(diagonal[k + 1])) below[k] = 0
    }
    while (end > 0 && below[end - 1] === 0) end--
    if (end <= 0) break
    start = end - 1
    while (start > 0 && below[start - 1] !== 0) start--
    step(diagonal, below, columns, start, end)
  }
}

function shiftOf(diagonal: Float64Array, below: Float64Array, end: number): number {
  const half = (diagonal[end - 1] - diagonal[end]) / 2
  const e = below[end - 1]
  if (half === 0) return diagonal[end] - Math.abs(e)
  const h = Math.hypot(half, e)
  return diagonal[end] - (e * e) / (half + (half > 0 ? h : -h))
}

function rotationOf(p: number, q: number): readonly [number, number] {
  if (q === 0) return [p < 0 ? -1 : 1, 0]
  if (p === 0) return [0, q < 0 ? 1 : -1]
  if (Math.abs(p) > Math.abs(q)) {
    const t = q / p
    const u = Math.sqrt(1 + t * t) * (p < 0 ? -1 : 1)
    return [1 / u, -t / u]
  }
  const t = p / q
  const u = Math.sqrt(1 + t * t) * (q < 0 ? -1 : 1)
  return [t / u, -1 / u]
}

/** One implicit QR step on rows `start` to `end`. */
function step(
  diagonal: Float64Array,
  below: Float64Array,
  columns: readonly Float64Array[],
  start: number,
  end: number,
): void {
  let x = diagonal[start] - shiftOf(diagonal, below, end)
  let z = below[start]
  for (let k = start; k < end && z !== 0; k++) {
    const [c, s] = rotationOf(x, z)
    const sd = s * diagonal[k] + c * below[k]
    const next = s * below[k] + c * diagonal[k + 1]
    diagonal[k] = c * (c * diagonal[k] - s * below[k]) - s * (c * below[k] - s * diagonal[k + 1])
    diagonal[k + 1] = s * sd + c * next
    below[k] = c * sd - s * next
    if (k > start) below[k - 1] = c * below[k - 1] - s * z
    x = below[k]
    if (k < end - 1) {
      z = -s * below[k + 1]
      below[k + 1] = c * below[k + 1]
    }
    turn(columns[k], columns[k + 1], c, s)
  }
}
