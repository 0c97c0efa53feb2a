// Systems of linear equations: square, triangular, and in the sense of least squares. On the host.
import { formatShape, sameShape } from '../../tensor/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { eachMatrix, epsilonOf, matrixInput, roundOf, singular } from './each-matrix.ts'
import { numbersOf } from './host-numbers.ts'
import {
  choleskyFactor,
  type Matrix,
  product,
  solveFactored,
  solveTriangle,
  transposed,
  triangularFactors,
} from './matrix.ts'
import { invalid } from './shapes.ts'
import { singularValues } from './spectra.ts'
import type { TensorValue } from './value.ts'

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

/** Systems of equations. */
export const equationOps: readonly OpDefinition[] = [matrixSolve, triangularSolve, solveLs]
