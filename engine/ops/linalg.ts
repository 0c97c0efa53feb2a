// Matrix products. Diagonals, equations and decompositions are in files of their own.
import { formatShape, type Shape } from '../../tensor/index.ts'
import type { Expression, ScalarType } from '../ir/index.ts'
import { isKernelType, scalarType } from './common.ts'
import { complexMatrixProduct } from './complex-products.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { broadcastPositions, broadcastShape, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** Narrow floats are summed in float32, other types in their own. */
export function productAccumulator(dtype: ScalarType): ScalarType {
  return dtype === 'float16' || dtype === 'bfloat16' ? 'float32' : dtype
}

/** `[.., m, k] x [.., k, n]`, either transposed first; leading dimensions broadcast. */
export function matrixProduct(
  at: Lowering,
  a: TensorValue,
  b: TensorValue,
  transposeA: boolean,
  transposeB: boolean,
  output: ScalarType = scalarType(a.dtype),
): TensorValue {
  const dtype = scalarType(a.dtype)
  const accumulator = productAccumulator(dtype)
  const [rowsA, columnsA] = a.shape.slice(-2)
  const [rowsB, columnsB] = b.shape.slice(-2)
  const [m, k] = transposeA ? [columnsA, rowsA] : [rowsA, columnsA]
  const [k2, n] = transposeB ? [columnsB, rowsB] : [rowsB, columnsB]
  if (k !== k2) {
    throw invalid(
      'shape/mismatch',
      `Matrix size-incompatible: In[0]: ${formatShape(a.shape)}, In[1]: ${formatShape(b.shape)}`,
    )
  }
  const [batchA, batchB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)]
  const batch: Shape = broadcastShape(batchA, batchB)
  const rank = batch.length
  return at.compute({
    shape: [...batch, m, n],
    dtype: output,
    inputs: [a, b],
    reduce: {
      extents: [k],
      combine: 'sum',
      dtype: accumulator,
      body: ({ b: builder, axes, reduced, read }) => {
        const lead = axes.slice(0, rank)
        const [row, column] = axes.slice(rank)
        const pick = (
          input: number,
          own: Shape,
          transposed: boolean,
          first: Expression,
          second: Expression,
        ): Expression => {
          const matrix = transposed ? [second, first] : [first, second]
          const value = read(input, [...broadcastPositions(builder, lead, own), ...matrix])
          return builder.cast(value, accumulator)
        }
        return builder.mul(
          pick(0, batchA, transposeA, row, reduced[0]),
          pick(1, batchB, transposeB, reduced[0], column),
        )
      },
    },
    body: ({ b: builder, total }) => builder.cast(total, output),
  })
}

const matMul = defineOp({
  name: 'MatMul',
  inputs: ['a: T', 'b: T'],
  outputs: ['product: T'],
  attributes: [
    'transpose_a: bool = false',
    'transpose_b: bool = false',
    'T: type',
    'grad_a: bool = false',
    'grad_b: bool = false',
  ],
  lower: (at) => {
    const [a, b] = [at.input('a'), at.input('b')]
    for (const [place, value] of [a, b].entries()) {
      if (value.shape.length !== 2) {
        throw invalid(
          'shape/mismatch',
          `In[${place}] ndims must be == 2: ${value.shape.length} (shape ${formatShape(value.shape)})`,
        )
      }
    }
    const { attributes } = at
    const [ta, tb] = [attributes.bool('transpose_a'), attributes.bool('transpose_b')]
    if (!isKernelType(a.dtype)) return [complexMatrixProduct(at, a, b, ta, tb, false)]
    return [matrixProduct(at, a, b, ta, tb)]
  },
})

function batchMatMul(name: string): OpDefinition {
  return defineOp({
    name,
    inputs: ['x: T', 'y: T'],
    outputs: ['output: T'],
    attributes: [
      'T: type',
      'adj_x: bool = false',
      'adj_y: bool = false',
      'grad_x: bool = false',
      'grad_y: bool = false',
    ],
    lower: (at) => {
      const [x, y] = [at.input('x'), at.input('y')]
      for (const [place, value] of [x, y].entries()) {
        if (value.shape.length < 2) {
          throw invalid('shape/mismatch', `In[${place}] ndims must be >= 2: ${value.shape.length}`)
        }
      }
      const { attributes } = at
      const [adjointX, adjointY] = [attributes.bool('adj_x'), attributes.bool('adj_y')]
      if (!isKernelType(x.dtype)) {
        return [complexMatrixProduct(at, x, y, adjointX, adjointY, true)]
      }
      return [matrixProduct(at, x, y, adjointX, adjointY)]
    },
  })
}

/** Matrix products. */
export const linalgOps: readonly OpDefinition[] = [
  matMul,
  batchMatMul('BatchMatMul'),
  batchMatMul('BatchMatMulV2'),
]
