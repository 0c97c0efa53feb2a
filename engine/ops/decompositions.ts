// Factors, inverses, determinants and spectra of matrices, and systems of equations: algorithms, done on the
// host matrix by matrix. What they do is in matrix.ts and spectra.ts; complex matrices are refused.
import {
  elementCountOf,
  elementsOf,
  formatShape,
  type NumericDType,
  Refusal,
  type Shape,
  sameShape,
  stridesOf,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import {
  choleskyFactor,
  identity,
  type Matrix,
  orthogonalFactors,
  product,
  type Round,
  solveFactored,
  solveTriangle,
  transposed,
  triangularFactors,
} from './matrix.ts'
import { broadcastShape, invalid } from './shapes.ts'
import { type Eigenvalues, singularValues, symmetricEigenvalues } from './spectra.ts'
import type { TensorValue } from './value.ts'

/** Result for one matrix: its shape, and its type where that is not the input's. */
interface Part {
  readonly shape: Shape
  readonly dtype?: NumericDType
}

/** Runs on each matrix of a batch (batches broadcast), and stacks what comes of it. */
function eachMatrix(
  at: Lowering,
  inputs: readonly TensorValue[],
  parts: readonly Part[],
  run: (matrices: readonly Matrix[]) => readonly ArrayLike<number>[],
): readonly TensorValue[] {
  const { dtype } = inputs[0]
  if (dtype !== 'float32' && dtype !== 'float64') {
    throw new Refusal('UNIMPLEMENTED', 'op/type', `The op is not implemented for ${dtype}.`)
  }
  const batches = inputs.map((input) => input.shape.slice(0, -2))
  const batch = batches.reduce<Shape>(broadcastShape, [])
  const outputs = parts.map((part) => ({
    dtype: part.dtype ?? dtype,
    shape: [...batch, ...part.shape],
  }))
  return at.step({
    inputs,
    outputs,
    run: (tensors) => {
      const all = tensors.map(numbersOf)
      const results = outputs.map((): number[] => [])
      for (let place = 0; place < elementCountOf(batch); place++) {
        const matrices = inputs.map((input, which) =>
          matrixAt(all[which], input.shape, placeIn(place, batch, batches[which])),
        )
        for (const [output, values] of run(matrices).entries()) {
          for (let k = 0; k < values.length; k++) results[output].push(values[k])
        }
      }
      return outputs.map((output, which) =>
        tensorOfElements(output.dtype, output.shape, results[which]),
      )
    },
  })
}

function numbersOf(tensor: Tensor): Float64Array {
  if (tensor.dtype === 'string') throw new Error('a matrix of strings')
  return Float64Array.from(elementsOf(tensor), Number)
}

function matrixAt(all: Float64Array, shape: Shape, place: number): Matrix {
  const [rows, columns] = shape.slice(-2)
  const size = rows * columns
  return { rows, columns, elements: all.slice(place * size, (place + 1) * size) }
}

/** Which matrix of a batch that was broadcast. */
function placeIn(flat: number, space: Shape, own: Shape): number {
  const strides = stridesOf(own)
  let rest = flat
  let place = 0
  for (let axis = space.length - 1; axis >= 0; axis--) {
    const mine = axis - space.length + own.length
    if (mine >= 0 && own[mine] !== 1) place += (rest % space[axis]) * strides[mine]
    rest = Math.floor(rest / space[axis])
  }
  return place
}

function roundOf(input: TensorValue): Round {
  return input.dtype === 'float32' ? Math.fround : (value) => value
}

function matrixInput(at: Lowering, name: string, isSquare: boolean): TensorValue {
  const input = at.input(name)
  const { shape } = input
  if (shape.length < 2) {
    throw invalid('shape/mismatch', `Input tensor ${name} must have rank >= 2, got ${shape.length}`)
  }
  const [rows, columns] = shape.slice(-2)
  if (isSquare && rows !== columns) {
    throw invalid('shape/mismatch', `Input matrix must be square, got: ${rows} != ${columns}`)
  }
  return input
}

/** An op from a square matrix to one result, or several. */
function ofSquare(
  name: string,
  outputs: readonly string[],
  attributes: readonly string[],
  body: (
    at: Lowering,
    n: number,
    input: TensorValue,
  ) => {
    readonly parts: readonly Part[]
    readonly run: (matrix: Matrix) => readonly ArrayLike<number>[]
  },
): OpDefinition {
  return defineOp({
    name,
    inputs: ['input: T'],
    outputs,
    attributes: ['T: type', ...attributes],
    lower: (at) => {
      const input = matrixInput(at, 'input', true)
      const { parts, run } = body(at, input.shape[input.shape.length - 1], input)
      return eachMatrix(at, [input], parts, ([matrix]) => run(matrix))
    },
  })
}

const singular = (message: string): Refusal => invalid('run/singular', message)

const cholesky = ofSquare('Cholesky', ['output: T'], [], (_at, n) => ({
  parts: [{ shape: [n, n] }],
  run: (matrix) => {
    const lower = choleskyFactor(matrix)
    if (lower === undefined) {
      throw singular('Cholesky decomposition was not successful. The input might not be valid.')
    }
    return [lower.elements]
  },
}))

const inverse = ofSquare(
  'MatrixInverse',
  ['output: T'],
  ['adjoint: bool = false'],
  (at, n, input) => ({
    parts: [{ shape: [n, n] }],
    run: (matrix) => {
      const source = at.attributes.bool('adjoint') ? transposed(matrix) : matrix
      const factors = triangularFactors(source, roundOf(input))
      if (factors.isSingular) throw singular('Input is not invertible.')
      return [
        solveFactored(
          triangularFactors(source, (x) => x),
          identity(n),
        ).elements,
      ]
    },
  }),
)

const determinant = ofSquare('MatrixDeterminant', ['output: T'], [], (_at, n, input) => ({
  parts: [{ shape: [] }],
  run: (matrix) => {
    const { packed, sign } = triangularFactors(matrix, roundOf(input))
    let value: number = sign
    for (let k = 0; k < n; k++) value *= packed.elements[k * n + k]
    return [[value]]
  },
}))

const logDeterminant = ofSquare(
  'LogMatrixDeterminant',
  ['sign: T', 'log_abs_determinant: T'],
  [],
  (_at, n, input) => ({
    parts: [{ shape: [] }, { shape: [] }],
    run: (matrix) => {
      const { packed, sign } = triangularFactors(matrix, roundOf(input))
      let [whole, logarithm]: [number, number] = [sign, 0]
      for (let k = 0; k < n; k++) {
        const pivot = packed.elements[k * n + k]
        whole *= Math.sign(pivot)
        logarithm += Math.log(Math.abs(pivot))
      }
      if (!Number.isFinite(logarithm)) {
        return [[0], [logarithm > 0 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY]]
      }
      return [[whole], [logarithm]]
    },
  }),
)

const lu = ofSquare(
  'Lu',
  ['lu: T', 'p: output_idx_type'],
  ['output_idx_type: {int32, int64} = int32'],
  (at, n, input) => ({
    parts: [
      { shape: [n, n] },
      { shape: [n], dtype: at.attributes.type('output_idx_type') as NumericDType },
    ],
    run: (matrix) => {
      const { packed, order, isSingular } = triangularFactors(matrix, roundOf(input))
      if (isSingular) throw singular('Input is not invertible.')
      return [packed.elements, order]
    },
  }),
)

const epsilonOf = (input: TensorValue): number => (input.dtype === 'float32' ? 2 ** -23 : 2 ** -52)

/** Refuses a matrix with NaN, of which nothing comes. */
function spectrumOf(matrix: Matrix, input: TensorValue): Eigenvalues {
  const found = symmetricEigenvalues(matrix, epsilonOf(input))
  if (!found.values.some(Number.isNaN)) return found
  throw singular(
    'Self-adjoint eigen decomposition was not successful. The input might not be valid.',
  )
}

const eigenvalues = defineOp({
  name: 'SelfAdjointEigV2',
  inputs: ['input: T'],
  outputs: ['e: T', 'v: T'],
  attributes: ['compute_v: bool = true', 'T: type'],
  lower: (at) => {
    const input = matrixInput(at, 'input', true)
    const [n] = input.shape.slice(-1)
    if (at.attributes.bool('compute_v')) {
      return eachMatrix(at, [input], [{ shape: [n] }, { shape: [n, n] }], ([matrix]) => {
        const { values, vectors } = spectrumOf(matrix, input)
        return [values, vectors.elements]
      })
    }
    const values = eachMatrix(at, [input], [{ shape: [n] }], ([matrix]) => [
      spectrumOf(matrix, input).values,
    ])
    return [...values, at.known(tensorOfElements(input.dtype as NumericDType, [0], []))]
  },
})

/** Values in the first row, vectors below. */
const eigenvaluesV1 = ofSquare('SelfAdjointEig', ['output: T'], [], (_at, n, input) => ({
  parts: [{ shape: [n + 1, n] }],
  run: (matrix) => {
    const { values, vectors } = spectrumOf(matrix, input)
    return [Float64Array.of(...values, ...vectors.elements)]
  },
}))

/** The two sides of `matrix x = rhs`; refuses sizes that do not fit. */
function sides(
  at: Lowering,
  isSquare: boolean,
  mayBroadcast: boolean,
): readonly [TensorValue, TensorValue] {
  const [matrix, rhs] = [matrixInput(at, 'matrix', isSquare), matrixInput(at, 'rhs', false)]
  const [rows] = matrix.shape.slice(-2)
  const [given] = rhs.shape.slice(-2)
  const batches = [matrix, rhs].map((side) => side.shape.slice(0, -2))
  if (rows !== given || (!mayBroadcast && !sameShape(batches[0], batches[1]))) {
    throw invalid(
      'shape/mismatch',
      `Input matrix and rhs are incompatible: ${formatShape(matrix.shape)} vs. ${formatShape(rhs.shape)}`,
    )
  }
  return [matrix, rhs]
}

const notInvertible = 'Input matrix is not invertible.'

const matrixSolve = defineOp({
  name: 'MatrixSolve',
  inputs: ['matrix: T', 'rhs: T'],
  outputs: ['output: T'],
  attributes: ['adjoint: bool = false', 'T: type'],
  lower: (at) => {
    const [matrix, rhs] = sides(at, true, false)
    const isAdjoint = at.attributes.bool('adjoint')
    return eachMatrix(at, [matrix, rhs], [{ shape: rhs.shape.slice(-2) }], ([a, b]) => {
      const source = isAdjoint ? transposed(a) : a
      if (triangularFactors(source, roundOf(matrix)).isSingular) throw singular(notInvertible)
      return [
        solveFactored(
          triangularFactors(source, (x) => x),
          b,
        ).elements,
      ]
    })
  },
})

const triangularSolve = defineOp({
  name: 'MatrixTriangularSolve',
  inputs: ['matrix: T', 'rhs: T'],
  outputs: ['output: T'],
  attributes: ['lower: bool = true', 'adjoint: bool = false', 'T: type'],
  lower: (at) => {
    const [matrix, rhs] = sides(at, true, true)
    const isAdjoint = at.attributes.bool('adjoint')
    const isLower = at.attributes.bool('lower')
    return eachMatrix(at, [matrix, rhs], [{ shape: rhs.shape.slice(-2) }], ([a, b]) => {
      for (let k = 0; k < a.rows; k++) {
        if (a.elements[k * a.rows + k] === 0) throw singular(notInvertible)
      }
      const solution = isAdjoint
        ? solveTriangle(transposed(a), b, !isLower)
        : solveTriangle(a, b, isLower)
      return [solution.elements]
    })
  },
})

/** Least squares: by normal equations, or (not `fast`) the shortest solution by singular values. */
const solveLs = defineOp({
  name: 'MatrixSolveLs',
  inputs: ['matrix: T', 'rhs: T', 'l2_regularizer: double'],
  outputs: ['output: T'],
  attributes: ['T: type', 'fast: bool = true'],
  lower: (at) => {
    const [matrix, rhs] = sides(at, false, false)
    const [l2] = numbersOf(at.contentOf(at.input('l2_regularizer')))
    if (!(l2 >= 0)) throw invalid('run/range', 'l2_regularizer must be >= 0.')
    const [, columns] = matrix.shape.slice(-2)
    const [, width] = rhs.shape.slice(-2)
    const isFast = at.attributes.bool('fast')
    return eachMatrix(at, [matrix, rhs], [{ shape: [columns, width] }], ([a, b]) => [
      (isFast ? byNormalEquations(a, b, l2) : bySingularValues(a, b, epsilonOf(matrix))).elements,
    ])
  },
})

function byNormalEquations(a: Matrix, b: Matrix, l2: number): Matrix {
  const across = transposed(a)
  const isTall = a.rows >= a.columns
  const gram = isTall ? product(across, a) : product(a, across)
  for (let k = 0; k < gram.rows; k++) gram.elements[k * gram.rows + k] += l2
  const lower = choleskyFactor(gram)
  if (lower === undefined)
    throw singular(
      'Input matrix was rank deficient or ill-conditioned. Try setting fast=False or provide a larger l2_regularizer > 0.',
    )
  const right = isTall ? product(across, b) : b
  const solution = solveTriangle(transposed(lower), solveTriangle(lower, right, true), false)
  return isTall ? solution : product(across, solution)
}

function bySingularValues(a: Matrix, b: Matrix, epsilon: number): Matrix {
  const { values, u, v } = singularValues(a, false)
  const threshold = (values[0] ?? 0) * epsilon * Math.min(a.rows, a.columns)
  const shares = product(transposed(u), b)
  for (const [k, value] of values.entries()) {
    for (let j = 0; j < b.columns; j++) {
      const place = k * b.columns + j
      shares.elements[place] = value > threshold ? shares.elements[place] / value : 0
    }
  }
  return product(v, shares)
}

const qr = defineOp({
  name: 'Qr',
  inputs: ['input: T'],
  outputs: ['q: T', 'r: T'],
  attributes: ['full_matrices: bool = false', 'T: type'],
  lower: (at) => {
    const input = matrixInput(at, 'input', false)
    const [rows, columns] = input.shape.slice(-2)
    const full = at.attributes.bool('full_matrices')
    const height = full ? rows : Math.min(rows, columns)
    const parts = [{ shape: [rows, height] }, { shape: [height, columns] }]
    return eachMatrix(at, [input], parts, ([matrix]) => {
      const { q, r } = orthogonalFactors(matrix, full)
      return [q.elements, r.elements]
    })
  },
})

const svd = defineOp({
  name: 'Svd',
  inputs: ['input: T'],
  outputs: ['s: T', 'u: T', 'v: T'],
  attributes: ['compute_uv: bool = true', 'full_matrices: bool = false', 'T: type'],
  lower: (at) => {
    const input = matrixInput(at, 'input', false)
    const [rows, columns] = input.shape.slice(-2)
    const least = Math.min(rows, columns)
    const full = at.attributes.bool('full_matrices')
    if (!at.attributes.bool('compute_uv')) {
      const values = eachMatrix(at, [input], [{ shape: [least] }], ([matrix]) => [
        singularValues(matrix, false).values,
      ])
      const none = tensorOfElements(input.dtype as NumericDType, [0], [])
      return [...values, at.known(none), at.known(none)]
    }
    const parts = [
      { shape: [least] },
      { shape: [rows, full ? rows : least] },
      { shape: [columns, full ? columns : least] },
    ]
    return eachMatrix(at, [input], parts, ([matrix]) => {
      const { values, u, v } = singularValues(matrix, full)
      return [values, u.elements, v.elements]
    })
  },
})

/** The product of vectors in space, which stands on both. */
const cross = defineOp({
  name: 'Cross',
  inputs: ['a: T', 'b: T'],
  outputs: ['product: T'],
  attributes: ['T: realnumbertype'],
  infer: (shapes) => [shapes[0]],
  lower: (at) => {
    const inputs = [at.input('a'), at.input('b')]
    const [{ shape }, other] = inputs
    if (!sameShape(shape, other.shape)) {
      throw invalid(
        'shape/mismatch',
        `inputs must be of same shape: ${formatShape(shape)} vs. ${formatShape(other.shape)}`,
      )
    }
    if (shape.length === 0 || shape[shape.length - 1] !== 3) {
      throw invalid(
        'shape/mismatch',
        `input must be at least 1-D with inner-most dimension 3, got ${formatShape(shape)}`,
      )
    }
    return [
      at.compute({
        shape,
        dtype: scalarType(inputs[0].dtype),
        inputs,
        body: ({ b, axes, read }) => {
          const last = shape.length - 1
          const next = (by: number) => b.remainder(b.add(axes[last], by), 3)
          const part = (input: number, by: number) => read(input, axes.with(last, next(by)))
          return b.sub(b.mul(part(0, 1), part(1, 2)), b.mul(part(0, 2), part(1, 1)))
        },
      }),
    ]
  },
})

/** Factors, solutions and spectra. */
export const decompositionOps: readonly OpDefinition[] = [
  cholesky,
  inverse,
  determinant,
  logDeterminant,
  lu,
  eigenvalues,
  eigenvaluesV1,
  matrixSolve,
  triangularSolve,
  solveLs,
  qr,
  svd,
  cross,
]
