// Gradients of matrix products, decompositions, solvers and diagonals.
// Source: tensorflow/python/ops/{math_grad,linalg_grad,array_grad}.py.
import { attribute, type Expressions, type Output } from '../builder/index.ts'
import { einsumGradient } from './einsum.ts'
import { type Flow, type GradientFunction, type GradientTable, sameFor } from './gradient.ts'

const matMul: GradientFunction = (at) => {
  const { e, x, y, grad } = at
  const [a, b] = [e.conj(x), e.conj(y)]
  const [ta, tb] = [at.bool('transpose_a'), at.bool('transpose_b')]
  if (ta) {
    return tb
      ? [e.matMul(b, grad, true, true), e.matMul(grad, a, true, true)]
      : [e.matMul(b, grad, false, true), e.matMul(a, grad)]
  }
  return tb
    ? [e.matMul(grad, b), e.matMul(grad, a, true)]
    : [e.matMul(grad, b, false, true), e.matMul(a, grad, true)]
}

const batchMatMul: GradientFunction = (at) => {
  const { e, x, y, grad } = at
  const [ax, ay] = [at.bool('adj_x'), at.bool('adj_y')]
  const toX = ax ? e.batchMatMul(y, grad, ay, true) : e.batchMatMul(grad, y, false, !ay)
  const toY = ay ? e.batchMatMul(grad, x, true, ax) : e.batchMatMul(x, grad, !ax, false)
  return at.node.op === 'BatchMatMul' ? [toX, toY] : unbroadcastBatches(at, toX, toY)
}

/** Sums over the outer axes that were repeated; the two innermost are matrices. */
function unbroadcastBatches({ e, x, y }: Flow, toX: Output, toY: Output): readonly Output[] {
  const [shapeX, shapeY] = [e.shape(x), e.shape(y)]
  const [axesX, axesY] = e.broadcastAxes(e.part(shapeX, 0, -2), e.part(shapeY, 0, -2))
  return [e.reshape(e.sum(toX, axesX), shapeX), e.reshape(e.sum(toY, axesY), shapeY)]
}

/** The adjoint of the innermost matrices: transposed, and conjugated where they are complex. */
function adjoint(e: Expressions, x: Output): Output {
  const rank = e.rank(x)
  const outer = e.range(0, e.plus(rank, -2))
  const swapped = e.pack([e.plus(rank, -1), e.plus(rank, -2)])
  return e.conj(e.transpose(x, e.concat([outer, swapped], 0)))
}

function inverse(e: Expressions, x: Output, isAdjoint: boolean): Output {
  const attributes = { T: attribute.type(x.dtype), adjoint: attribute.bool(isAdjoint) }
  return e.op('MatrixInverse', [x], attributes)
}

function bandPart(e: Expressions, x: Output, lower: number, upper: number): Output {
  const inputs = [x, e.scalar(lower, 'int64'), e.scalar(upper, 'int64')]
  const attributes = { T: attribute.type(x.dtype), Tindex: attribute.type('int64') }
  return e.op('MatrixBandPart', inputs, attributes)
}

/** The lower triangle, with half of the diagonal. */
function lowerHalf(e: Expressions, x: Output): Output {
  const diagonal = e.t('MatrixDiagPart', x)
  return bandPart(e, e.t('MatrixSetDiag', x, e.scaled(diagonal, 0.5)), -1, 0)
}

function triangularSolve(
  e: Expressions,
  matrix: Output,
  right: Output,
  lower: boolean,
  isAdjoint: boolean,
): Output {
  return e.op('MatrixTriangularSolve', [matrix, right], {
    T: attribute.type(matrix.dtype),
    lower: attribute.bool(lower),
    adjoint: attribute.bool(isAdjoint),
  })
}

const cholesky: GradientFunction = ({ e, out, grad }) => {
  const shape = e.shape(out)
  const ones = e.fill(e.part(shape, 0, -1), e.scalar(1, out.dtype))
  const inverted = triangularSolve(e, out, e.t('MatrixDiag', ones), true, false)
  const middle = lowerHalf(e, e.batchMatMul(out, grad, true))
  const half = e.batchMatMul(e.batchMatMul(inverted, middle, true), inverted)
  return [e.scaled(e.add(half, adjoint(e, half)), 0.5)]
}

/** A number per matrix, as a matrix of one element. */
function asMatrix(e: Expressions, x: Output): Output {
  return e.reshape(x, e.concat([e.shape(x), e.integers([1, 1])], 0))
}

const solve: GradientFunction = (at) => {
  const { e, x: matrix, out, grad } = at
  const isAdjoint = at.bool('adjoint')
  const toRight = e.op('MatrixSolve', [matrix, grad], {
    T: attribute.type(matrix.dtype),
    adjoint: attribute.bool(!isAdjoint),
  })
  const toMatrix = isAdjoint
    ? e.batchMatMul(out, toRight, false, true)
    : e.batchMatMul(toRight, out, false, true)
  return [e.neg(toMatrix), toRight]
}

const solveTriangular: GradientFunction = (at) => {
  const { e, x: matrix, out, grad } = at
  const [isAdjoint, lower] = [at.bool('adjoint'), at.bool('lower', true)]
  const toRight = triangularSolve(e, matrix, grad, lower, !isAdjoint)
  const product = isAdjoint
    ? e.batchMatMul(out, toRight, false, true)
    : e.batchMatMul(toRight, out, false, true)
  const toMatrix = bandPart(e, e.neg(product), lower ? -1 : 0, lower ? 0 : -1)
  return unbroadcastBatches(at, toMatrix, toRight)
}

const selfAdjointEig: GradientFunction = (at) => {
  const { e, x, outputs, flows } = at
  const [values] = outputs
  const hasVectors = at.bool('compute_v', true)
  const vectors = hasVectors
    ? outputs[1]
    : e.node('SelfAdjointEigV2', [x], {
        T: attribute.type(x.dtype),
        compute_v: attribute.bool(true),
      }).outputs[1]
  let inner = e.t('MatrixDiag', flows[0] ?? e.zerosLike(values))
  if (hasVectors && flows[1] !== undefined) {
    const differences = e.sub(e.expandDims(values, -2), e.expandDims(values, -1))
    const inverses = e.t('DivNoNan', e.onesLike(differences), differences)
    const factors = e.t('MatrixSetDiag', inverses, e.zerosLike(values))
    inner = e.add(inner, e.mul(factors, e.batchMatMul(vectors, flows[1], true)))
  }
  const whole = e.batchMatMul(e.batchMatMul(vectors, inner), vectors, false, true)
  // Only the lower triangle is read, so what flows to both halves flows to it.
  return [lowerHalf(e, e.add(whole, adjoint(e, whole)))]
}

const determinants: GradientTable = {
  MatrixDeterminant: ({ e, x, out, grad }) => [
    e.mul(asMatrix(e, e.mul(grad, out)), inverse(e, x, true)),
  ],
  LogMatrixDeterminant: ({ e, x, flows }) => [
    flows[1] === undefined ? undefined : e.mul(asMatrix(e, flows[1]), inverse(e, x, true)),
  ],
}

/** An op of the diagonal family with attributes of its own. */
function diagonal(at: Flow, op: string, inputs: readonly Output[]): Output {
  const attributes = { T: attribute.type(inputs[0].dtype), ...at.same('align') }
  return at.e.op(op, inputs, attributes)
}

const diagonals: GradientTable = {
  Diag: ({ e, grad }) => [e.t('DiagPart', grad)],
  DiagPart: ({ e, grad }) => [e.t('Diag', grad)],
  MatrixDiag: ({ e, grad }) => [e.t('MatrixDiagPart', grad)],
  MatrixDiagPart: ({ e, x, grad }) => [e.t('MatrixSetDiag', e.zerosLike(x), grad)],
  MatrixSetDiag: ({ e, y, grad }) => [
    e.t('MatrixSetDiag', grad, e.zerosLike(y)),
    e.t('MatrixDiagPart', grad),
  ],
  ...Object.fromEntries(
    ['V2', 'V3'].flatMap((version): [string, GradientFunction][] => {
      const part = `MatrixDiagPart${version}`
      const set = `MatrixSetDiag${version}`
      const padding = ({ e, grad }: Flow): Output => e.scalar(0, grad.dtype)
      return [
        [
          `MatrixDiag${version}`,
          (at) => [
            diagonal(at, part, [at.grad, at.y, padding(at)]),
            ...at.inputs.slice(1).map(() => undefined),
          ],
        ],
        [
          part,
          (at) => [diagonal(at, set, [at.e.zerosLike(at.x), at.grad, at.y]), undefined, undefined],
        ],
        [
          set,
          (at) => [
            diagonal(at, set, [at.grad, at.e.zerosLike(at.y), at.inputs[2]]),
            diagonal(at, part, [at.grad, at.inputs[2], padding(at)]),
            undefined,
          ],
        ],
      ]
    }),
  ),
  MatrixBandPart: (at) => {
    const { e, inputs, grad } = at
    const attributes = at.same('T', 'Tindex')
    return [e.op('MatrixBandPart', [grad, inputs[1], inputs[2]], attributes), undefined, undefined]
  },
}

/** Of a Fourier transform over the innermost axes: the other way, times the number of elements. */
function fourier(op: string, back: string, rank: number, isInverse: boolean): GradientTable {
  return {
    [op]: ({ e, grad }) => {
      const attributes = { Tcomplex: attribute.type(grad.dtype) }
      const real = grad.dtype === 'complex128' ? 'float64' : 'float32'
      const sizes = e.part(e.shape(grad), -rank)
      const size = e.cast(e.reduce('Prod', sizes, [0]), real)
      const count = e.complex(size, e.zerosLike(size))
      const flow = e.op(back, [grad], attributes)
      return [isInverse ? e.div(flow, count) : e.mul(flow, count)]
    },
  }
}

const sparseDense: GradientFunction = (at) => {
  const { e, inputs, grad } = at
  const [indices, values, shape, dense] = inputs
  const [aa, ab] = [at.bool('adjoint_a'), at.bool('adjoint_b')]
  const swapped = (x: Output): Output => e.conj(e.transpose(x, [1, 0]))
  const product = e.op('SparseTensorDenseMatMul', [indices, values, shape, grad], {
    ...at.same('T', 'Tindices'),
    adjoint_a: attribute.bool(!aa),
    adjoint_b: attribute.bool(false),
  })
  const column = (place: number): Output => {
    const [rows, columns] = e.unpack(indices, 2, 1)
    return place === 0 ? rows : columns
  }
  const parts = e.mul(
    e.gather(grad, column(aa ? 1 : 0)),
    e.conj(e.gather(ab ? swapped(dense) : dense, column(aa ? 0 : 1))),
  )
  const toValues = e.sum(parts, [1])
  return [undefined, aa ? e.conj(toValues) : toValues, undefined, ab ? swapped(product) : product]
}

/** Matrices. */
export const linalgGradients: GradientTable = {
  MatMul: matMul,
  ...sameFor(['BatchMatMul', 'BatchMatMulV2', 'BatchMatMulV3'], batchMatMul),
  Einsum: einsumGradient,
  MatrixInverse: (at) => {
    const { e, out, grad } = at
    const flow = e.batchMatMul(out, e.batchMatMul(grad, out, false, true), true)
    return [e.neg(at.bool('adjoint') ? adjoint(e, flow) : flow)]
  },
  Cholesky: cholesky,
  MatrixSolve: solve,
  MatrixTriangularSolve: solveTriangular,
  SelfAdjointEigV2: selfAdjointEig,
  Cross: ({ e, x, y, grad }) => [e.t('Cross', y, grad), e.t('Cross', grad, x)],
  SparseTensorDenseMatMul: sparseDense,
  ...determinants,
  ...diagonals,
  ...fourier('FFT', 'IFFT', 1, false),
  ...fourier('IFFT', 'FFT', 1, true),
  ...fourier('FFT2D', 'IFFT2D', 2, false),
  ...fourier('IFFT2D', 'FFT2D', 2, true),
  ...fourier('FFT3D', 'IFFT3D', 3, false),
  ...fourier('IFFT3D', 'FFT3D', 3, true),
}
