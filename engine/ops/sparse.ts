// Sparse tensors (indices, values, shape) made dense, reduced and multiplied. The host reads indices;
// values are moved and added by kernels.
import {
  elementCountOf,
  formatShape,
  Refusal,
  type Shape,
  type StringTensor,
  sameShape,
  stringTensor,
} from '../../tensor/index.ts'
import { isFloat } from '../ir/index.ts'
import { isKernelType, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { scattered } from './scatter.ts'
import { scatteredOnHost } from './scatter-host.ts'
import { segmented } from './segmented.ts'
import { axisOf, integersOf, invalid } from './shapes.ts'
import {
  checkSparse,
  compareRows,
  denseShape,
  flatPlaces,
  type IndexRows,
  indexRowsOf,
  rowOf,
} from './sparse-values.ts'
import type { TensorValue } from './value.ts'

/** Refuses index vectors that do not rise. */
function checkOrder(rows: IndexRows): void {
  for (let row = 1; row < rows.count; row++) {
    const order = compareRows(rowOf(rows, row - 1), rowOf(rows, row))
    if (order < 0) continue
    throw invalid(
      'run/index',
      `indices[${row}] = [${rowOf(rows, row)}] is ${order === 0 ? 'repeated' : 'out of order'}. Many sparse ops require sorted indices. Use \`tf.sparse.reorder\` to create a correctly ordered copy.`,
    )
  }
}

/** The default everywhere, and values where indices say; one value may stand for all. */
const sparseToDense = defineOp({
  name: 'SparseToDense',
  inputs: [
    'sparse_indices: Tindices',
    'output_shape: Tindices',
    'sparse_values: T',
    'default_value: T',
  ],
  outputs: ['dense: T'],
  attributes: ['validate_indices: bool = true', 'T: type', 'Tindices: {int32, int64}'],
  lower: (at) => {
    const [indices, values] = [at.input('sparse_indices'), at.input('sparse_values')]
    const shape = denseShape(at, 'output_shape')
    const count = indices.shape[0] ?? 1
    if (values.shape.length > 0 && values.shape[0] !== count) {
      throw invalid(
        'shape/mismatch',
        `sparse_values has incorrect shape ${formatShape(values.shape)}, should be [] or [${count}]`,
      )
    }
    const validates = at.attributes.bool('validate_indices')
    const placesOf = (rows: IndexRows): Int32Array => {
      if (validates) checkOrder(rows)
      return flatPlaces(
        rows,
        shape,
        (row, index) =>
          `indices[${row}] = [${index}] is out of bounds: need 0 <= index < [${shape}]`,
      )
    }
    return [madeDense(at, shape, at.input('default_value'), indices, values, placesOf)]
  },
})

function madeDense(
  at: Lowering,
  shape: Shape,
  fill: TensorValue,
  indices: TensorValue,
  values: TensorValue,
  placesOf: (rows: IndexRows) => Int32Array,
): TensorValue {
  const { dtype } = values
  if (fill.shape.length > 0) throw invalid('shape/mismatch', 'default_value should be a scalar.')
  if (!isKernelType(dtype)) return madeDenseOnHost(at, shape, fill, indices, values, placesOf)
  const background = at.compute({
    shape,
    dtype,
    inputs: [fill],
    body: ({ read }) => read(0, []),
  })
  return scattered(at, {
    shape,
    dtype,
    current: background,
    depth: shape.length,
    indices,
    slicesOf: (content) => placesOf(indexRowsOf(content)),
    updates: values,
    count: indices.shape[0] ?? 1,
    combine: 'update',
  })
}

function madeDenseOnHost(
  at: Lowering,
  shape: Shape,
  fill: TensorValue,
  indices: TensorValue,
  values: TensorValue,
  placesOf: (rows: IndexRows) => Int32Array,
): TensorValue {
  const { dtype } = values
  const count = elementCountOf(shape)
  const [dense] = at.step({
    inputs: [indices, values, fill],
    outputs: [{ dtype, shape }],
    run: ([picks, given, one]) => {
      const everywhere = Int32Array.from({ length: count }, (_, place) => place)
      const before =
        one.dtype === 'string'
          ? stringTensor(shape, new Array<Uint8Array>(count).fill((one as StringTensor).strings[0]))
          : scatteredOnHost({ dtype, shape, before: undefined }, everywhere, 1, one, 'update')
      const places = placesOf(indexRowsOf(picks))
      return [scatteredOnHost({ dtype, shape, before }, places, 1, given, 'update')]
    },
  })
  return dense
}

const sparseTensorDenseAdd = defineOp({
  name: 'SparseTensorDenseAdd',
  inputs: ['a_indices: Tindices', 'a_values: T', 'a_shape: Tindices', 'b: T'],
  outputs: ['output: T'],
  attributes: ['T: numbertype', 'Tindices: {int32, int64}'],
  lower: (at) => {
    const [indices, values, dense] = [at.input('a_indices'), at.input('a_values'), at.input('b')]
    const shape = denseShape(at, 'a_shape')
    checkSparse(indices, values, shape.length)
    if (!sameShape(shape, dense.shape)) {
      throw invalid(
        'shape/mismatch',
        `Dimensions do not equal (no broadcasting is supported): sparse side ${formatShape(shape)} vs dense side ${formatShape(dense.shape)}`,
      )
    }
    return [
      scattered(at, {
        shape,
        dtype: dense.dtype,
        current: dense,
        depth: shape.length,
        indices,
        slicesOf: (content) =>
          flatPlaces(
            indexRowsOf(content),
            shape,
            (row, index) => `Sparse tensor has an invalid index [${index}] at position ${row}`,
          ),
        updates: values,
        count: values.shape[0],
        combine: 'add',
      }),
    ]
  },
})

/** Sums or extremes over axes of the dense shape; places without values are not counted. */
function sparseReduce(name: string, combine: 'sum' | 'max'): OpDefinition {
  return defineOp({
    name,
    inputs: [
      'input_indices: int64',
      'input_values: T',
      'input_shape: int64',
      'reduction_axes: int32',
    ],
    outputs: ['output: T'],
    attributes: ['keep_dims: bool = false', 'T: numbertype'],
    lower: (at) => {
      const [indices, values] = [at.input('input_indices'), at.input('input_values')]
      const shape = denseShape(at, 'input_shape')
      checkSparse(indices, values, shape.length)
      const given = integersOf(at.contentOf(at.input('reduction_axes')))
      const over = new Set(given.map((axis) => axisOf(axis, shape.length)))
      // Without axes all are reduced.
      const kept = [...shape.keys()].filter((axis) => over.size > 0 && !over.has(axis))
      const sizes = kept.map((axis) => shape[axis])
      const segments = elementCountOf(sizes)
      const reduced = segmented(at, {
        values,
        inputs: [indices],
        entriesOf: ([content]) => {
          const rows = indexRowsOf(content)
          const message = (row: number): string => `indices[${row}] is out of bounds`
          flatPlaces(rows, shape, message)
          const inner: number[] = []
          for (let row = 0; row < rows.count; row++) {
            const index = rowOf(rows, row)
            for (const axis of kept) inner.push(index[axis])
          }
          const own = { rank: kept.length, count: rows.count, values: inner }
          return { rows: undefined, places: flatPlaces(own, sizes, message), segments }
        },
        segments,
        combine,
        empty: 'zero',
      })
      const keeps = at.attributes.bool('keep_dims')
      const final = shape.flatMap((size, axis) => (kept.includes(axis) ? [size] : keeps ? [1] : []))
      return [at.reshaped(reduced, final)]
    },
  })
}

/** Shapes of a product of matrices, the first sparse; refuses what does not fit. */
function productOf(
  shape: Shape,
  dense: Shape,
  turnsA: boolean,
  turnsB: boolean,
): { readonly rows: number; readonly inner: number; readonly width: number } {
  if (shape.length !== 2) throw invalid('shape/mismatch', "Tensor 'a_shape' must have 2 elements")
  if (dense.length !== 2) throw invalid('shape/mismatch', "Tensor 'b' is not a matrix")
  const [rows, inner] = turnsA ? shape.toReversed() : shape
  const [height, width] = turnsB ? dense.toReversed() : dense
  if (inner === height) return { rows, inner, width }
  throw invalid(
    'shape/mismatch',
    `Cannot multiply A and B because inner dimension does not match: ${inner} vs. ${height}.  Did you forget a transpose?  Dimensions of A: [${rows}, ${inner}).  Dimensions of B: ${formatShape([height, width])}`,
  )
}

/** A sparse matrix times a dense one: rows of the dense one, scaled, and added up by row. */
const sparseMatMul = defineOp({
  name: 'SparseTensorDenseMatMul',
  inputs: ['a_indices: Tindices', 'a_values: T', 'a_shape: int64', 'b: T'],
  outputs: ['product: T'],
  attributes: [
    'T: type',
    'Tindices: {int32, int64} = int64',
    'adjoint_a: bool = false',
    'adjoint_b: bool = false',
  ],
  lower: (at) => {
    const [indices, values, dense] = [at.input('a_indices'), at.input('a_values'), at.input('b')]
    const shape = denseShape(at, 'a_shape')
    const [turnsA, turnsB] = ['adjoint_a', 'adjoint_b'].map((name) => at.attributes.bool(name))
    const { rows, inner, width } = productOf(shape, dense.shape, turnsA, turnsB)
    checkSparse(indices, values, 2)
    const [rowAxis, columnAxis] = turnsA ? [1, 0] : [0, 1]
    const scaled = at.compute({
      shape: [values.shape[0], width],
      dtype: scalarType(values.dtype),
      inputs: [values, indices, dense],
      body: ({ b, axes, read }) => {
        const column = b.cast(read(1, [axes[0], b.index(columnAxis)]), 'int32')
        const place = b.max(b.min(column, inner - 1), 0)
        return b.mul(read(0, [axes[0]]), read(2, turnsB ? [axes[1], place] : [place, axes[1]]))
      },
    })
    return [
      segmented(at, {
        values: scaled,
        inputs: [indices],
        entriesOf: ([content]) => {
          const vectors = indexRowsOf(content)
          flatPlaces(
            vectors,
            shape,
            (row, index) => `Index [${index}] of entry ${row} is out of bounds of a`,
          )
          const places = Int32Array.from(
            { length: vectors.count },
            (_, row) => vectors.values[2 * row + rowAxis],
          )
          return { rows: undefined, places, segments: rows }
        },
        segments: rows,
        combine: 'sum',
        empty: 'zero',
      }),
    ]
  },
})

/** Values combined with the elements of a dense tensor at their places; it may broadcast. */
function sparseWithDense(name: string, row: 'add' | 'mul' | 'div'): OpDefinition {
  return defineOp({
    name,
    inputs: ['sp_indices: int64', 'sp_values: T', 'sp_shape: int64', 'dense: T'],
    outputs: ['output: T'],
    attributes: ['T: numbertype'],
    lower: (at) => {
      const [indices, values, dense] = ['sp_indices', 'sp_values', 'dense'].map((one) =>
        at.input(one),
      )
      const shape = denseShape(at, 'sp_shape')
      checkSparse(indices, values, shape.length)
      const skipped = shape.length - dense.shape.length
      const fits = dense.shape.every((size, axis) => size === 1 || size === shape[axis + skipped])
      if (skipped < 0 || !fits) {
        throw invalid(
          'shape/mismatch',
          `SparseDenseBinaryOpShared broadcasts dense to sparse only; got incompatible shapes: ${formatShape(shape)} vs. ${formatShape(dense.shape)}`,
        )
      }
      const dtype = scalarType(values.dtype)
      if (row === 'div' && !isFloat(dtype)) {
        throw new Refusal('UNIMPLEMENTED', 'op/type', `${name} is not implemented for ${dtype}.`)
      }
      return [
        at.compute({
          shape: values.shape,
          dtype,
          inputs: [values, indices, dense],
          body: ({ b, axes, read }) => {
            const positions = dense.shape.map((size, axis) => {
              if (size === 1) return b.index(0)
              const index = b.cast(read(1, [axes[0], b.index(axis + skipped)]), 'int32')
              return b.max(b.min(index, size - 1), 0)
            })
            return b.both(row, read(0, axes), read(2, positions))
          },
          checks: ({ b, axes, read }) =>
            shape.map((size, axis) => {
              const index = read(1, [axes[0], b.index(axis)])
              return {
                ok: b.and(b.greaterEqual(index, 0), b.less(index, size)),
                message: ([entry]) => ({
                  code: 'INVALID_ARGUMENT',
                  reason: 'run/index',
                  message: `Sparse tensor has an invalid index on dimension ${axis} at entry ${entry}`,
                }),
              }
            }),
        }),
      ]
    },
  })
}

/** Sparse tensors with dense ones. */
export const sparseOps: readonly OpDefinition[] = [
  sparseToDense,
  sparseTensorDenseAdd,
  sparseReduce('SparseReduceSum', 'sum'),
  sparseReduce('SparseReduceMax', 'max'),
  sparseMatMul,
  sparseWithDense('SparseDenseCwiseAdd', 'add'),
  sparseWithDense('SparseDenseCwiseMul', 'mul'),
  sparseWithDense('SparseDenseCwiseDiv', 'div'),
]
