// Factors, inverses, determinants and spectra of matrices: algorithms, done on the host matrix by matrix.
// What they do is in matrix.ts and spectra.ts.
import { formatShape, type NumericDType, sameShape, tensorOfElements } from '../../tensor/index.ts'
import { blockFactors, isForBlocks } from './block-reflections.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { eachMatrix, epsilonOf, matrixInput, type Part, roundOf, singular } from './each-matrix.ts'
import {
  choleskyFactor,
  identity,
  type Matrix,
  orthogonalFactors,
  solveFactored,
  transposed,
  triangularFactors,
} from './matrix.ts'
import { invalid } from './shapes.ts'
import { type Eigenvalues, singularValues, symmetricEigenvalues } from './spectra.ts'
import type { TensorValue } from './value.ts'

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
      const { q, r } = isForBlocks(rows, columns)
        ? blockFactors(matrix, height)
        : orthogonalFactors(matrix, full)
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

/** Factors, inverses and spectra. */
export const decompositionOps: readonly OpDefinition[] = [
  cholesky,
  inverse,
  determinant,
  logDeterminant,
  lu,
  eigenvalues,
  eigenvaluesV1,
  qr,
  svd,
  cross,
]
