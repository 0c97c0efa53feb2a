// Ops that rearrange sparse tensors: reshaping, ordering, filling rows, cutting, joining. All of it is
// index work for the host; values are picked by place.
import {
  elementCountOf,
  numericTensor,
  type Shape,
  type StringTensor,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { gathered } from './host-movement.ts'
import { boundedRows } from './indices.ts'
import { axisOf, integersOf, invalid } from './shapes.ts'
import { compareRows, type IndexRows, indexRowsOf, rowOf } from './sparse-values.ts'
import { wholeTensor } from './string-values.ts'

/** The shape with its one -1 worked out. */
function inferred(from: Shape, to: readonly number[]): Shape {
  const count = elementCountOf(from)
  const open = to.indexOf(-1)
  if (open !== to.lastIndexOf(-1)) {
    throw invalid(
      'shape/invalid',
      `only one output dimension may be -1, not both ${open} and ${to.lastIndexOf(-1)}`,
    )
  }
  const negative = to.findIndex((size) => size < -1)
  if (negative >= 0) {
    throw invalid('shape/invalid', `size ${negative} must be non-negative, not ${to[negative]}`)
  }
  const others = elementCountOf(to.filter((size) => size >= 0))
  const shape = open < 0 ? to : to.with(open, others === 0 ? 0 : Math.floor(count / others))
  if (elementCountOf(shape) !== count) {
    throw invalid(
      'shape/mismatch',
      `Input to reshape is a tensor with ${count} dense values, but the requested shape has ${open < 0 ? elementCountOf(shape) : `a multiple of ${others}`}`,
    )
  }
  return shape
}

const sparseReshape = defineOp({
  name: 'SparseReshape',
  inputs: ['input_indices: int64', 'input_shape: int64', 'new_shape: int64'],
  outputs: ['output_indices: int64', 'output_shape: int64'],
  lower: (at) => {
    const [indices, shape, wanted] = ['input_indices', 'input_shape', 'new_shape'].map((name) =>
      at.input(name),
    )
    const rank = wanted.shape[0] ?? 0
    return at.step({
      inputs: [indices, shape, wanted],
      outputs: [
        { dtype: 'int64', shape: [indices.shape[0], rank] },
        { dtype: 'int64', shape: [rank] },
      ],
      run: ([rows, from, to]) => {
        const before = integersOf(from)
        const after = inferred(before, integersOf(to))
        return [
          wholeTensor([indices.shape[0], rank], reindexed(indexRowsOf(rows), before, after)),
          wholeTensor([rank], after),
        ]
      },
    })
  },
})

/** Index vectors of the same elements in another shape. */
function reindexed(rows: IndexRows, from: Shape, to: Shape): number[] {
  const values = new Array<number>(rows.count * to.length)
  for (let row = 0; row < rows.count; row++) {
    let flat = rowOf(rows, row).reduce((sum, index, axis) => sum * from[axis] + index, 0)
    for (let axis = to.length - 1; axis >= 0; axis--) {
      values[row * to.length + axis] = flat % to[axis]
      flat = Math.floor(flat / to[axis])
    }
  }
  return values
}

const sparseReorder = defineOp({
  name: 'SparseReorder',
  inputs: ['input_indices: int64', 'input_values: T', 'input_shape: int64'],
  outputs: ['output_indices: int64', 'output_values: T'],
  attributes: ['T: type'],
  lower: (at) => {
    const [indices, values] = [at.input('input_indices'), at.input('input_values')]
    return at.step({
      inputs: [indices, values],
      outputs: [
        { dtype: 'int64', shape: indices.shape },
        { dtype: values.dtype, shape: values.shape },
      ],
      run: ([picks, given]) => {
        const rows = indexRowsOf(picks)
        const order = Array.from({ length: rows.count }, (_, row) => row).sort(
          (a, b) => compareRows(rowOf(rows, a), rowOf(rows, b)) || a - b,
        )
        return [
          wholeTensor(
            indices.shape,
            order.flatMap((row) => rowOf(rows, row)),
          ),
          gathered(given, values.shape, order),
        ]
      },
    })
  },
})

/** Every row gets a value: one without any gets the default in its first column. */
const sparseFillEmptyRows = defineOp({
  name: 'SparseFillEmptyRows',
  inputs: ['indices: int64', 'values: T', 'dense_shape: int64', 'default_value: T'],
  outputs: [
    'output_indices: int64',
    'output_values: T',
    'empty_row_indicator: bool',
    'reverse_index_map: int64',
  ],
  attributes: ['T: type'],
  lower: (at) => {
    const [indices, values, shape, fill] = [
      'indices',
      'values',
      'dense_shape',
      'default_value',
    ].map((name) => at.input(name))
    return at.step({
      inputs: [indices, values, shape, fill],
      outputs: [
        { dtype: 'int64', shape: undefined },
        { dtype: values.dtype, shape: undefined },
        { dtype: 'bool', shape: undefined },
        { dtype: 'int64', shape: [indices.shape[0]] },
      ],
      run: ([picks, given, dense, one]) => {
        const rows = indexRowsOf(picks)
        const [height] = integersOf(dense)
        const filled = fillRows(rows, boundedRows(height))
        const count = filled.sources.length
        const empty = Array.from({ length: height }, (_, row) => !filled.used.has(row))
        return [
          wholeTensor([count, rows.rank], filled.indices),
          gathered(given, [count], filled.sources, one),
          tensorOfElements('bool', [height], empty),
          wholeTensor([rows.count], filled.places),
        ]
      },
    })
  },
})

interface FilledRows {
  readonly indices: number[]
  /** Place of each value of the result in the input, -1 for the default. */
  readonly sources: number[]
  /** Place of each value of the input in the result. */
  readonly places: number[]
  readonly used: ReadonlySet<number>
}

function fillRows(rows: IndexRows, height: number): FilledRows {
  const byRow = Array.from({ length: height }, (): number[] => [])
  const used = new Set<number>()
  for (let entry = 0; entry < rows.count; entry++) {
    const row = rows.values[entry * rows.rank]
    if (row < 0 || row >= height) {
      throw invalid('run/index', `indices(${entry}, 0) is invalid: ${row} >= ${height}`)
    }
    byRow[row].push(entry)
    used.add(row)
  }
  const result = { indices: [] as number[], sources: [] as number[], places: [] as number[], used }
  for (const [row, entries] of byRow.entries()) {
    if (entries.length === 0) {
      result.indices.push(row, ...new Array<number>(rows.rank - 1).fill(0))
      result.sources.push(-1)
    }
    for (const entry of entries) {
      result.places[entry] = result.sources.length
      result.indices.push(...rowOf(rows, entry))
      result.sources.push(entry)
    }
  }
  return result
}

/** The part of a sparse tensor within a box. */
const sparseSlice = defineOp({
  name: 'SparseSlice',
  inputs: ['indices: int64', 'values: T', 'shape: int64', 'start: int64', 'size: int64'],
  outputs: ['output_indices: int64', 'output_values: T', 'output_shape: int64'],
  attributes: ['T: type'],
  lower: (at) => {
    const inputs = ['indices', 'values', 'shape', 'start', 'size'].map((name) => at.input(name))
    const rank = inputs[2].shape[0]
    return at.step({
      inputs,
      outputs: [
        { dtype: 'int64', shape: undefined },
        { dtype: inputs[1].dtype, shape: undefined },
        { dtype: 'int64', shape: [rank] },
      ],
      run: ([picks, given, shape, start, size]) => {
        const rows = indexRowsOf(picks)
        const [whole, from, wanted] = [shape, start, size].map(integersOf)
        const cut = whole.map((extent, axis) =>
          Math.max(Math.min(wanted[axis], extent - from[axis]), 0),
        )
        const kept: number[] = []
        const indices: number[] = []
        for (let row = 0; row < rows.count; row++) {
          const index = rowOf(rows, row).map((place, axis) => place - from[axis])
          if (!index.every((place, axis) => place >= 0 && place < cut[axis])) continue
          kept.push(row)
          indices.push(...index)
        }
        return [
          wholeTensor([kept.length, rank], indices),
          gathered(given, [kept.length], kept),
          wholeTensor([rank], cut),
        ]
      },
    })
  },
})

/** Sparse tensors one behind the other along an axis, in row-major order. */
const sparseConcat = defineOp({
  name: 'SparseConcat',
  inputs: ['indices: N * int64', 'values: N * T', 'shapes: N * int64'],
  outputs: ['output_indices: int64', 'output_values: T', 'output_shape: int64'],
  attributes: ['concat_dim: int', 'N: int >= 2', 'T: type'],
  lower: (at) => {
    const [indices, values, shapes] = ['indices', 'values', 'shapes'].map((name) => at.inputs(name))
    const count = indices.length
    const rank = shapes[0].shape[0]
    const axis = axisOf(at.attributes.int('concat_dim'), rank, 'concat_dim')
    const total = indices.reduce((sum, { shape }) => sum + shape[0], 0)
    return at.step({
      inputs: [...indices, ...values, ...shapes],
      outputs: [
        { dtype: 'int64', shape: [total, rank] },
        { dtype: values[0].dtype, shape: [total] },
        { dtype: 'int64', shape: [rank] },
      ],
      run: (tensors) => {
        const dense = tensors.slice(2 * count).map(integersOf)
        const entries: { readonly index: readonly number[]; readonly place: number }[] = []
        let offset = 0
        for (const [one, picks] of tensors.slice(0, count).entries()) {
          if (dense[one].some((size, own) => own !== axis && size !== dense[0][own])) {
            throw invalid(
              'shape/mismatch',
              `Concat shapes must match in all dimensions but ${axis}: [${dense[0]}] vs. [${dense[one]}]`,
            )
          }
          const rows = indexRowsOf(picks)
          for (let row = 0; row < rows.count; row++) {
            const own = rowOf(rows, row)
            entries.push({ index: own.with(axis, own[axis] + offset), place: entries.length })
          }
          offset += dense[one][axis]
        }
        entries.sort((a, b) => compareRows(a.index, b.index) || a.place - b.place)
        return [
          wholeTensor(
            [total, rank],
            entries.flatMap(({ index }) => index),
          ),
          gathered(
            joined(tensors.slice(count, 2 * count)),
            [total],
            entries.map(({ place }) => place),
          ),
          wholeTensor([rank], dense[0].with(axis, offset)),
        ]
      },
    })
  },
})

/** All elements of several tensors of one type, one after the other. */
export function joined(tensors: readonly Tensor[]): Tensor {
  const count = tensors.reduce((sum, { shape }) => sum + elementCountOf(shape), 0)
  const [first] = tensors
  if (first.dtype === 'string') {
    return stringTensor(
      [count],
      tensors.flatMap((tensor) => (tensor as StringTensor).strings),
    )
  }
  const parts = tensors.map((tensor) => (tensor as typeof first).bytes)
  return numericTensor(first.dtype, [count], new Uint8Array(Buffer.concat(parts)))
}

/** Rearranging sparse tensors. */
export const sparseStructureOps: readonly OpDefinition[] = [
  sparseReshape,
  sparseReorder,
  sparseFillEmptyRows,
  sparseSlice,
  sparseConcat,
]
