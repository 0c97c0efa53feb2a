// Sparse tensors (indices `[n, rank]`, values `[n]`, a shape) that become dense or meet dense ones, on the
// host: where values go depends on the content of the indices.
import {
  type DType,
  type Element,
  elementArrayOf,
  elementCountOf,
  elementsOf,
  formatShape,
  isNumeric,
  type NumericDType,
  type NumericTensor,
  numericTensor,
  Refusal,
  readElement,
  type Shape,
  sameShape,
  stridesOf,
  type Tensor,
  tensorOfElements,
  writeElement,
} from '../../tensor/index.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { gathered } from './host-movement.ts'
import { axisOf, integersOf, invalid, shapeFrom } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** Rows of a matrix of indices. */
function rowsOf(indices: Tensor): readonly (readonly number[])[] {
  const all = integersOf(indices)
  const [count, rank = 1] = indices.shape
  return Array.from({ length: count }, (_, row) => all.slice(row * rank, (row + 1) * rank))
}

function outOfBounds(place: number, index: readonly number[], shape: Shape): Refusal {
  return invalid(
    'run/index',
    `indices[${place}] = [${index.join(', ')}] is out of bounds: need 0 <= index < ${formatShape(shape)}`,
  )
}

/** Flat places of indices in a dense shape; refuses those outside of it. */
function placesOf(rows: readonly (readonly number[])[], shape: Shape): number[] {
  const strides = stridesOf(shape)
  return rows.map((index, place) => {
    if (index.some((at, axis) => !(at >= 0 && at < shape[axis]))) {
      throw outOfBounds(place, index, shape)
    }
    return index.reduce((sum, at, axis) => sum + at * strides[axis], 0)
  })
}

/** Refuses indices, values and a shape that make no sparse tensor. */
function checkSparse(indices: TensorValue, values: TensorValue, shape: TensorValue): void {
  if (indices.shape.length !== 2) {
    throw invalid(
      'shape/mismatch',
      `Input indices should be a matrix but received shape: ${formatShape(indices.shape)}`,
    )
  }
  if (values.shape.length !== 1 || values.shape[0] !== indices.shape[0]) {
    throw invalid(
      'shape/mismatch',
      `Number of values must match first dimension of indices. Got ${formatShape(values.shape)} values, indices shape: ${formatShape(indices.shape)}`,
    )
  }
  if (shape.shape.length !== 1 || shape.shape[0] !== indices.shape[1]) {
    throw invalid(
      'shape/mismatch',
      `Number of dimensions must match second dimension of indices. Got ${formatShape(shape.shape)} dimensions, indices shape: ${formatShape(indices.shape)}`,
    )
  }
}

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
    const [indices, values, fill] = ['sparse_indices', 'sparse_values', 'default_value'].map(
      (name) => at.input(name),
    )
    const shape = shapeFrom(at.contentOf(at.input('output_shape')), 'output_shape')
    if (indices.shape.length > 2) {
      throw invalid(
        'shape/mismatch',
        `sparse_indices should be a scalar, vector, or matrix, got shape ${formatShape(indices.shape)}`,
      )
    }
    const [count = 1, rank = 1] = indices.shape
    if (rank !== shape.length) {
      throw invalid(
        'shape/mismatch',
        `output_shape has incorrect number of elements: ${shape.length} should be: ${rank}`,
      )
    }
    if (values.shape.length > 1 || (values.shape.length === 1 && values.shape[0] !== count)) {
      throw invalid(
        'shape/mismatch',
        `sparse_values has incorrect shape ${formatShape(values.shape)}, should be [] or [${count}]`,
      )
    }
    if (fill.shape.length > 0) throw invalid('shape/mismatch', 'default_value should be a scalar.')
    const isChecked = at.attributes.bool('validate_indices')
    return at.step({
      inputs: [indices, values, fill],
      outputs: [{ dtype: values.dtype, shape }],
      run: ([where, content, filler]) => {
        const rows = rowsOf({ ...where, shape: [count, rank] } as Tensor)
        const places = placesOf(rows, shape)
        for (let k = 1; isChecked && k < places.length; k++) {
          if (places[k] > places[k - 1]) continue
          const problem = places[k] === places[k - 1] ? 'repeated' : 'out of order'
          throw invalid('run/index', `indices[${k}] = [${rows[k].join(', ')}] is ${problem}`)
        }
        const sources = new Int32Array(elementCountOf(shape)).fill(-1)
        for (const [k, place] of places.entries())
          sources[place] = content.shape.length === 0 ? 0 : k
        return [gathered(content, shape, sources, filler)]
      },
    })
  },
})

function sumOf(x: Element, y: Element): Element {
  if (Array.isArray(x) && Array.isArray(y)) return [x[0] + y[0], x[1] + y[1]]
  if (typeof x === 'bigint' && typeof y === 'bigint') return x + y
  return Number(x) + Number(y)
}

/** The sum of a dense tensor and values at places. */
function addedAt(dense: NumericTensor, places: readonly number[], values: NumericTensor): Tensor {
  const { dtype, shape } = dense
  const result = dense.bytes.slice()
  const [to, from] = [elementArrayOf(dtype, result), elementArrayOf(dtype, values.bytes)]
  for (const [k, place] of places.entries()) {
    const sum = sumOf(readElement(dtype, to, place), readElement(dtype, from, k))
    writeElement(dtype, to, place, sum)
  }
  return numericTensor(dtype, shape, result)
}

const sparseTensorDenseAdd = defineOp({
  name: 'SparseTensorDenseAdd',
  inputs: ['a_indices: Tindices', 'a_values: T', 'a_shape: Tindices', 'b: T'],
  outputs: ['output: T'],
  attributes: ['T: numbertype', 'Tindices: {int32, int64}'],
  lower: (at) => {
    const [indices, values, shape, dense] = ['a_indices', 'a_values', 'a_shape', 'b'].map((name) =>
      at.input(name),
    )
    checkSparse(indices, values, shape)
    const sizes = shapeFrom(at.contentOf(shape), 'a_shape')
    if (!sameShape(sizes, dense.shape)) {
      throw invalid(
        'shape/mismatch',
        `Dimensions of the sparse and the dense tensor differ: ${formatShape(sizes)} vs. ${formatShape(dense.shape)}`,
      )
    }
    return at.step({
      inputs: [indices, values, dense],
      outputs: [{ dtype: dense.dtype, shape: dense.shape }],
      run: ([where, content, to]) => [
        addedAt(to as NumericTensor, placesOf(rowsOf(where), sizes), content as NumericTensor),
      ],
    })
  },
})

function realType(dtype: DType): NumericDType {
  if (dtype === 'string' || !isNumeric(dtype) || dtype.startsWith('complex')) {
    throw new Refusal('UNIMPLEMENTED', 'op/type', `The op is not implemented for ${dtype}.`)
  }
  return dtype
}

const sparseTensorDenseMatMul = defineOp({
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
    const [indices, values, shape, dense] = ['a_indices', 'a_values', 'a_shape', 'b'].map((name) =>
      at.input(name),
    )
    checkSparse(indices, values, shape)
    const sizes = shapeFrom(at.contentOf(shape), 'a_shape')
    if (sizes.length !== 2) throw invalid('shape/mismatch', "Tensor 'a_shape' must have 2 elements")
    if (dense.shape.length !== 2) throw invalid('shape/mismatch', "Tensor 'b' is not a matrix")
    const dtype = realType(dense.dtype)
    const [adjointA, adjointB] = [at.attributes.bool('adjoint_a'), at.attributes.bool('adjoint_b')]
    const [rows, inner] = adjointA ? [sizes[1], sizes[0]] : sizes
    const [own, columns] = adjointB ? [dense.shape[1], dense.shape[0]] : dense.shape
    if (inner !== own) {
      throw invalid(
        'shape/mismatch',
        `Cannot multiply A and B because inner dimension does not match: ${inner} vs. ${own}.`,
      )
    }
    return at.step({
      inputs: [indices, values, dense],
      outputs: [{ dtype, shape: [rows, columns] }],
      run: ([where, content, right]) => {
        const all = rowsOf(where)
        placesOf(all, sizes)
        const [left, b] = [content, right].map((one) =>
          elementsOf(one as NumericTensor).map(Number),
        )
        const sums = new Float64Array(rows * columns)
        for (const [k, index] of all.entries()) {
          const [i, j] = adjointA ? [index[1], index[0]] : index
          for (let column = 0; column < columns; column++) {
            const other = adjointB ? b[column * own + j] : b[j * columns + column]
            sums[i * columns + column] += left[k] * other
          }
        }
        return [tensorOfElements(dtype, [rows, columns], exactly(dtype, sums))]
      },
    })
  },
})

/** Numbers as elements of a type: whole ones as bigints where it holds those. */
function exactly(dtype: NumericDType, numbers: Float64Array): ArrayLike<Element> {
  if (dtype !== 'int64' && dtype !== 'uint64') return numbers
  return Array.from(numbers, BigInt)
}

type Reduce = (sum: number, value: number) => number

/** Sums (or largest) of the entries over axes, as a dense tensor; what has no entry is 0. */
function sparseReduce(name: string, reduce: Reduce): OpDefinition {
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
      const [indices, values, shape] = ['input_indices', 'input_values', 'input_shape'].map(
        (input) => at.input(input),
      )
      checkSparse(indices, values, shape)
      const sizes = shapeFrom(at.contentOf(shape), 'input_shape')
      const given = integersOf(at.contentOf(at.input('reduction_axes')))
      const all = given.length === 0 ? [...sizes.keys()] : given
      const axes = new Set(all.map((axis) => axisOf(axis, sizes.length, 'reduction dimension')))
      const kept = sizes.map((size, axis) => (axes.has(axis) ? 1 : size))
      const output = at.attributes.bool('keep_dims')
        ? kept
        : sizes.filter((_, axis) => !axes.has(axis))
      const dtype = realType(values.dtype)
      return at.step({
        inputs: [indices, values],
        outputs: [{ dtype, shape: output }],
        run: ([where, content]) => {
          const rows = rowsOf(where)
          placesOf(rows, sizes)
          const places = placesOf(
            rows.map((index) => index.map((at, axis) => (axes.has(axis) ? 0 : at))),
            kept,
          )
          const numbers = elementsOf(content as NumericTensor).map(Number)
          const results = new Map<number, number>()
          for (const [k, place] of places.entries()) {
            const former = results.get(place)
            results.set(place, former === undefined ? numbers[k] : reduce(former, numbers[k]))
          }
          const dense = new Float64Array(elementCountOf(output))
          for (const [place, value] of results) dense[place] = value
          return [tensorOfElements(dtype, output, exactly(dtype, dense))]
        },
      })
    },
  })
}

/** Entries combined with the elements of a dense tensor at their places, which broadcasts. */
function sparseDense(name: string, combine: (x: number, y: number) => number): OpDefinition {
  return defineOp({
    name,
    inputs: ['sp_indices: int64', 'sp_values: T', 'sp_shape: int64', 'dense: T'],
    outputs: ['output: T'],
    attributes: ['T: numbertype'],
    lower: (at) => {
      const [indices, values, shape, dense] = ['sp_indices', 'sp_values', 'sp_shape', 'dense'].map(
        (input) => at.input(input),
      )
      checkSparse(indices, values, shape)
      const sizes = shapeFrom(at.contentOf(shape), 'sp_shape')
      const skipped = sizes.length - dense.shape.length
      const fits = (size: number, axis: number): boolean =>
        size === 1 || size === sizes[axis + skipped]
      if (skipped < 0 || !dense.shape.every(fits)) {
        throw invalid(
          'shape/mismatch',
          `A dense tensor of shape ${formatShape(dense.shape)} does not broadcast to a sparse one of shape ${formatShape(sizes)}`,
        )
      }
      const dtype = realType(values.dtype)
      if (name.endsWith('Div') && !dtype.includes('float')) {
        throw new Refusal('UNIMPLEMENTED', 'op/type', `${name} is not implemented for ${dtype}.`)
      }
      return at.step({
        inputs: [indices, values, dense],
        outputs: [{ dtype, shape: values.shape }],
        run: ([where, content, other]) => {
          const rows = rowsOf(where)
          placesOf(rows, sizes)
          const places = placesOf(
            rows.map((index) =>
              dense.shape.map((size, axis) => (size === 1 ? 0 : index[axis + skipped])),
            ),
            dense.shape,
          )
          const [x, y] = [content, other].map((one) => elementsOf(one as NumericTensor).map(Number))
          const results = Float64Array.from(places, (place, k) => combine(x[k], y[place]))
          return [tensorOfElements(dtype, values.shape, exactly(dtype, results))]
        },
      })
    },
  })
}

/** Sparse tensors that meet dense ones. */
export const sparseOps: readonly OpDefinition[] = [
  sparseToDense,
  sparseTensorDenseAdd,
  sparseTensorDenseMatMul,
  sparseReduce('SparseReduceSum', (sum, value) => sum + value),
  sparseReduce('SparseReduceMax', Math.max),
  sparseDense('SparseDenseCwiseAdd', (x, y) => x + y),
  sparseDense('SparseDenseCwiseMul', (x, y) => x * y),
  sparseDense('SparseDenseCwiseDiv', (x, y) => x / y),
]
