// Dense real matrices on the host: triangular factors, solutions of equations, Householder reflections.
// Arithmetic is float64; pivots are taken as Eigen takes them, so signs and orders are TensorFlow's.

/** A matrix, row-major. */
export interface Matrix {
  readonly rows: number
  readonly columns: number
  readonly elements: Float64Array
}

/** A matrix of zeros. */
export function zeros(rows: number, columns: number): Matrix {
  return { rows, columns, elements: new Float64Array(rows * columns) }
}

/** Ones on the diagonal. */
export function identity(rows: number, columns = rows): Matrix {
  const made = zeros(rows, columns)
  for (let k = 0; k < Math.min(rows, columns); k++) made.elements[k * columns + k] = 1
  return made
}

export function copyOf(matrix: Matrix): Matrix {
  return { ...matrix, elements: matrix.elements.slice() }
}

export function transposed({ rows, columns, elements }: Matrix): Matrix {
  const made = zeros(columns, rows)
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) made.elements[j * rows + i] = elements[i * columns + j]
  }
  return made
}

export function product(a: Matrix, b: Matrix): Matrix {
  const made = zeros(a.rows, b.columns)
  for (let i = 0; i < a.rows; i++) {
    for (let k = 0; k < a.columns; k++) {
      const left = a.elements[i * a.columns + k]
      for (let j = 0; j < b.columns; j++) {
        made.elements[i * b.columns + j] += left * b.elements[k * b.columns + j]
      }
    }
  }
  return made
}

/** Rounds to the type of the elements: Math.fround for float32. */
export type Round = (value: number) => number

/** `input[order[i]] = (L U)[i]`, both factors in one matrix, the ones of L left out. */
export interface TriangularFactors {
  readonly packed: Matrix
  readonly order: Int32Array
  /** Sign of the permutation. */
  readonly sign: 1 | -1
  /** Whether a pivot is 0. */
  readonly isSingular: boolean
}

/**
 * Gaussian elimination with the largest of each column as the pivot. Rounds as the type does after
 * each operation, so that a matrix is singular here where it is in TensorFlow.
 */
export function triangularFactors(matrix: Matrix, round: Round): TriangularFactors {
  const packed = copyOf(matrix)
  const { rows: n, elements } = packed
  const order = Int32Array.from({ length: n }, (_, row) => row)
  let sign: 1 | -1 = 1
  let isSingular = false
  for (let k = 0; k < n; k++) {
    let best = k
    for (let i = k + 1; i < n; i++) {
      if (Math.abs(elements[i * n + k]) > Math.abs(elements[best * n + k])) best = i
    }
    if (best !== k) {
      swapRows(packed, k, best)
      ;[order[k], order[best]] = [order[best], order[k]]
      sign = sign === 1 ? -1 : 1
    }
    const pivot = elements[k * n + k]
    if (pivot === 0) {
      isSingular = true
      continue
    }
    for (let i = k + 1; i < n; i++) {
      const factor = round(elements[i * n + k] / pivot)
      elements[i * n + k] = factor
      for (let j = k + 1; j < n; j++) {
        elements[i * n + j] = round(elements[i * n + j] - round(factor * elements[k * n + j]))
      }
    }
  }
  return { packed, order, sign, isSingular }
}

function swapRows({ columns, elements }: Matrix, x: number, y: number): void {
  const former = elements.slice(x * columns, (x + 1) * columns)
  elements.copyWithin(x * columns, y * columns, (y + 1) * columns)
  elements.set(former, y * columns)
}

/** The lower factor with `L L^T = matrix`, of which the lower half is read; undefined where there is none. */
export function choleskyFactor({ rows: n, elements: from }: Matrix): Matrix | undefined {
  const lower = zeros(n, n)
  const { elements } = lower
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = from[i * n + j]
      for (let k = 0; k < j; k++) sum -= elements[i * n + k] * elements[j * n + k]
      if (i === j && !(sum > 0)) return undefined
      elements[i * n + j] = i === j ? Math.sqrt(sum) : sum / elements[j * n + j]
    }
  }
  return lower
}

/** `x` with `T x = b` for the lower or upper triangle of `matrix`; `unit`: its diagonal counts as ones. */
export function solveTriangle(matrix: Matrix, b: Matrix, lower: boolean, unit = false): Matrix {
  const { rows: n, elements } = matrix
  const x = copyOf(b)
  for (let step = 0; step < n; step++) {
    const i = lower ? step : n - 1 - step
    const [first, end] = lower ? [0, i] : [i + 1, n]
    for (let j = 0; j < b.columns; j++) {
      let sum = x.elements[i * b.columns + j]
      for (let k = first; k < end; k++) sum -= elements[i * n + k] * x.elements[k * b.columns + j]
      x.elements[i * b.columns + j] = unit ? sum : sum / elements[i * n + i]
    }
  }
  return x
}

/** `x` with `matrix x = b`, by the factors of the matrix. */
export function solveFactored({ packed, order }: TriangularFactors, b: Matrix): Matrix {
  const ordered = zeros(b.rows, b.columns)
  for (const [row, from] of order.entries()) {
    const source = b.elements.subarray(from * b.columns, (from + 1) * b.columns)
    ordered.elements.set(source, row * b.columns)
  }
  return solveTriangle(packed, solveTriangle(packed, ordered, true, true), false)
}

/** A reflection `I - weight v v^T` that leaves `beta` as the only element of a vector; `v` begins with 1. */
export interface Reflection {
  readonly vector: Float64Array
  readonly weight: number
  readonly beta: number
}

/** The reflection for a vector, with Eigen's choice of sign. */
export function reflectionOf(of: Float64Array): Reflection {
  const vector = of.slice()
  const tail = of.slice(1).reduce((sum, x) => sum + x * x, 0)
  vector[0] = 1
  if (tail <= 2 ** -1022) {
    vector.fill(0, 1)
    return { vector, weight: 0, beta: of[0] }
  }
  const norm = Math.sqrt(of[0] * of[0] + tail)
  const beta = of[0] >= 0 ? -norm : norm
  for (let k = 1; k < vector.length; k++) vector[k] /= of[0] - beta
  return { vector, weight: (beta - of[0]) / beta, beta }
}

/**
 * Applies a reflection to the rows from `first` on, in place. Columns before `from` are left as they are:
 * for those that are zero in these rows.
 */
export function reflect(
  matrix: Matrix,
  { vector, weight }: Reflection,
  first: number,
  from = 0,
): void {
  const { columns, elements } = matrix
  // Row by row, as the elements lie in memory; each column's sum is taken in the order of its rows.
  const sums = new Float64Array(columns - from)
  for (let k = 0; k < vector.length; k++) {
    const start = (first + k) * columns + from
    const v = vector[k]
    for (let j = 0; j < sums.length; j++) sums[j] += v * elements[start + j]
  }
  for (let j = 0; j < sums.length; j++) sums[j] *= weight
  for (let k = 0; k < vector.length; k++) {
    const start = (first + k) * columns + from
    const v = vector[k]
    for (let j = 0; j < sums.length; j++) elements[start + j] -= sums[j] * v
  }
}

/** `matrix = Q R`: all of Q where `full`, else as many columns as the matrix has (or rows, if fewer). */
export function orthogonalFactors(
  matrix: Matrix,
  full: boolean,
): { readonly q: Matrix; readonly r: Matrix } {
  const { rows, columns } = matrix
  const least = Math.min(rows, columns)
  const work = copyOf(matrix)
  const reflections: Reflection[] = []
  for (let k = 0; k < least; k++) {
    const below = new Float64Array(rows - k)
    for (let i = k; i < rows; i++) below[i - k] = work.elements[i * columns + k]
    const reflection = reflectionOf(below)
    reflect(work, reflection, k, k)
    for (let i = k + 1; i < rows; i++) work.elements[i * columns + k] = 0
    work.elements[k * columns + k] = reflection.beta
    reflections.push(reflection)
  }
  const q = identity(rows, full ? rows : least)
  for (let k = least - 1; k >= 0; k--) reflect(q, reflections[k], k, k)
  const height = full ? rows : least
  return { q, r: { rows: height, columns, elements: work.elements.slice(0, height * columns) } }
}
