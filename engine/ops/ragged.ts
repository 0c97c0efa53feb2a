// Ragged tensors: rows of different lengths, by the places where each row begins. The host reads the
// row partitions; values are picked by kernels.
import {
  elementCountOf,
  elementsOf,
  formatShape,
  type NumericDType,
  type NumericTensor,
  numericTensor,
  type Shape,
  sameShape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { isKernelType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { gatherSlices } from './gather.ts'
import { gathered } from './host-movement.ts'
import { boundedRows, placesWithin } from './indices.ts'
import { integersOf, invalid } from './shapes.ts'
import { wholeElements, wholeTensor } from './string-values.ts'
import type { TensorValue } from './value.ts'

function vector(values: ArrayLike<number>): Tensor {
  const array = Int32Array.from(values)
  return numericTensor('int32', [array.length], new Uint8Array(array.buffer))
}

/** A range for each row, one after the other. */
const raggedRange = defineOp({
  name: 'RaggedRange',
  inputs: ['starts: T', 'limits: T', 'deltas: T'],
  outputs: ['rt_nested_splits: Tsplits', 'rt_dense_values: T'],
  attributes: [
    'T: {bfloat16, float, double, int32, int64} = int32',
    'Tsplits: {int32, int64} = int64',
  ],
  lower: (at) => {
    const inputs = ['starts', 'limits', 'deltas'].map((name) => at.input(name))
    const vectors = inputs.filter(({ shape }) => shape.length > 0)
    const count = vectors[0]?.shape[0] ?? 1
    if (
      inputs.some(({ shape }) => shape.length > 1) ||
      vectors.some(({ shape }) => shape[0] !== count)
    ) {
      throw invalid('shape/mismatch', 'starts, limits, and deltas must have the same shape')
    }
    const dtype = at.attributes.type('T') as NumericDType
    const splits = at.attributes.type('Tsplits') as NumericDType
    return at.step({
      inputs,
      outputs: [
        { dtype: splits, shape: [count + 1] },
        { dtype, shape: undefined },
      ],
      run: (tensors) => {
        const [starts, limits, deltas] = tensors.map((tensor) => {
          const all = elementsOf(tensor as NumericTensor).map(Number)
          return (row: number): number => all[all.length === 1 ? 0 : row]
        })
        const begins = [0]
        const values: number[] = []
        for (let row = 0; row < count; row++) {
          const [start, limit, delta] = [starts(row), limits(row), deltas(row)]
          if (delta === 0) throw invalid('run/range', 'Requires delta != 0')
          const size = Math.max(Math.ceil((limit - start) / delta), 0)
          boundedRows(values.length + size)
          for (let one = 0; one < size; one++) values.push(start + one * delta)
          begins.push(values.length)
        }
        return [
          tensorOfElements(splits, [count + 1], wholeElements(splits, begins)),
          tensorOfElements(dtype, [values.length], wholeElements(dtype, values)),
        ]
      },
    })
  },
})

/** Places where rows begin, and the end; refuses what cannot be that. */
function splitsOf(tensor: Tensor, values: number | undefined): readonly number[] {
  const splits = integersOf(tensor)
  const isRising = splits.every((split, place) => place === 0 || split >= splits[place - 1])
  const last = splits[splits.length - 1]
  if (splits.length === 0 || splits[0] !== 0 || !isRising) {
    throw invalid(
      'run/splits',
      `Invalid row splits: ${splits}; they must begin with 0 and not fall`,
    )
  }
  if (values !== undefined && last !== values) {
    throw invalid(
      'run/splits',
      `Invalid row splits: the last is ${last}; there are ${values} values`,
    )
  }
  return splits
}

/** Row partitions from the outermost to the innermost, each as places where rows begin. */
function partitionsOf(
  tensors: readonly Tensor[],
  types: readonly string[],
  values: number,
): readonly (readonly number[])[] {
  const partitions: (readonly number[])[] = []
  let rows = types[0] === 'FIRST_DIM_SIZE' ? integersOf(tensors[0])[0] : undefined
  const levels = types.slice(rows === undefined ? 0 : 1)
  for (const [level, type] of levels.entries()) {
    const tensor = tensors[level + tensors.length - levels.length]
    if (type === 'ROW_SPLITS') partitions.push(splitsOf(tensor, undefined))
    else if (type === 'VALUE_ROWIDS' && rows !== undefined) {
      const counts = new Array<number>(boundedRows(rows)).fill(0)
      for (const id of placesWithin(tensor, rows, (_, id) => `Invalid row id ${id}`)) counts[id]++
      let sum = 0
      partitions.push([0, ...counts.map((count) => (sum += count))])
    } else throw invalid('graph/attribute', `Unsupported row partition type: ${type}`)
    rows = partitions[level][partitions[level].length - 1]
  }
  if (partitions.length === 0 || rows !== values) {
    throw invalid('run/splits', `Row partitions stand for ${rows} values; there are ${values}`)
  }
  return partitions
}

/** Rows filled up to one length with a default, or cut. */
const raggedTensorToTensor = defineOp({
  name: 'RaggedTensorToTensor',
  inputs: [
    'shape: Tshape',
    'values: T',
    'default_value: T',
    'row_partition_tensors: num_row_partition_tensors * Tindex',
  ],
  outputs: ['result: T'],
  attributes: [
    'T: type',
    'Tindex: {int64, int32}',
    'Tshape: {int64, int32}',
    'num_row_partition_tensors: int >= 1',
    'row_partition_types: list(string)',
  ],
  lower: (at) => {
    const [values, fill] = [at.input('values'), at.input('default_value')]
    const partitions = at.inputs('row_partition_tensors')
    const types = at.attributes.texts('row_partition_types')
    const wanted = at.contentOf(at.input('shape'))
    const given = wanted.shape.length === 0 ? undefined : integersOf(wanted)
    const rest = values.shape.slice(1)
    const levels = types[0] === 'FIRST_DIM_SIZE' ? types.length : types.length + 1
    if (fill.shape.length > 0 && !sameShape(fill.shape, rest)) {
      throw invalid(
        'shape/mismatch',
        `default_value of shape ${formatShape(fill.shape)} does not fit values of shape ${formatShape(values.shape)}`,
      )
    }
    const [places, sizes] = at.step({
      inputs: partitions,
      outputs: [
        { dtype: 'int32', shape: undefined },
        { dtype: 'int64', shape: [levels] },
      ],
      run: (tensors) => {
        const all = partitionsOf(tensors, types, values.shape[0])
        const outer = sizesOf(all).map((size, level) =>
          given === undefined || given[level] < 0 ? size : given[level],
        )
        boundedRows(elementCountOf(outer))
        return [
          numericTensor('int32', outer, new Uint8Array(placesOf(all, outer).buffer)),
          wholeTensor([levels], outer),
        ]
      },
    })
    if (sizes.shape[0] !== places.shape.length) {
      throw invalid('graph/attribute', 'Row partitions and their types do not fit.')
    }
    return [filled(at, values, fill, places, [...places.shape, ...rest])]
  },
})

/** Number of rows, and the longest row of each partition. */
function sizesOf(partitions: readonly (readonly number[])[]): readonly number[] {
  const longest = partitions.map((splits) =>
    splits.reduce(
      (most, split, place) => Math.max(most, place === 0 ? 0 : split - splits[place - 1]),
      0,
    ),
  )
  return [partitions[0].length - 1, ...longest]
}

/** For each place of the dense result the row of the values, -1 for none. */
function placesOf(partitions: readonly (readonly number[])[], sizes: Shape): Int32Array {
  let rows = Int32Array.from({ length: sizes[0] }, (_, row) =>
    row < partitions[0].length - 1 ? row : -1,
  )
  for (const [level, splits] of partitions.entries()) {
    const size = sizes[level + 1]
    const next = new Int32Array(rows.length * size).fill(-1)
    for (const [place, row] of rows.entries()) {
      if (row < 0) continue
      const count = Math.min(splits[row + 1] - splits[row], size)
      for (let one = 0; one < count; one++) next[place * size + one] = splits[row] + one
    }
    rows = next
  }
  return rows
}

function filled(
  at: Lowering,
  values: TensorValue,
  fill: TensorValue,
  places: TensorValue,
  shape: Shape,
): TensorValue {
  const { dtype } = values
  const outer = places.shape.length
  if (isKernelType(dtype)) {
    const rows = values.shape[0]
    return at.compute({
      shape,
      dtype,
      inputs: rows === 0 ? [fill] : [fill, places, values],
      body: ({ b, axes, read }) => {
        const standard = read(0, fill.shape.length === 0 ? [] : axes.slice(outer))
        if (rows === 0) return standard
        const place = read(1, axes.slice(0, outer))
        const row = b.max(b.min(place, rows - 1), 0)
        return b.select(b.greaterEqual(place, 0), read(2, [row, ...axes.slice(outer)]), standard)
      },
    })
  }
  if (fill.shape.length > 0) {
    throw invalid('op/type', `A default of several elements is not implemented for ${dtype}.`)
  }
  const width = elementCountOf(shape.slice(outer))
  const [result] = at.step({
    inputs: [values, fill, places],
    outputs: [{ dtype, shape }],
    run: ([rows, one, picks]) => {
      const sources = integersOf(picks).flatMap((row) =>
        Array.from({ length: width }, (_, column) => (row < 0 ? -1 : row * width + column)),
      )
      return [gathered(rows, shape, sources, one)]
    },
  })
  return result
}

/** The values of a ragged tensor with their positions. */
const raggedTensorToSparse = defineOp({
  name: 'RaggedTensorToSparse',
  inputs: ['rt_nested_splits: RAGGED_RANK * Tsplits', 'rt_dense_values: T'],
  outputs: ['sparse_indices: int64', 'sparse_values: T', 'sparse_dense_shape: int64'],
  attributes: ['RAGGED_RANK: int >= 1', 'T: type', 'Tsplits: {int32, int64} = int64'],
  lower: (at) => {
    const values = at.input('rt_dense_values')
    const splits = at.inputs('rt_nested_splits')
    const rest = values.shape.slice(1)
    const rank = splits.length + 1 + rest.length
    const count = elementCountOf(values.shape)
    const [indices, shape] = at.step({
      inputs: splits,
      outputs: [
        { dtype: 'int64', shape: [count, rank] },
        { dtype: 'int64', shape: [rank] },
      ],
      run: (tensors) => {
        const types = tensors.map(() => 'ROW_SPLITS')
        const all = partitionsOf(tensors, types, values.shape[0])
        const positions = positionsOf(all).flatMap((row) =>
          positionsIn(rest).flatMap((inner) => [...row, ...inner]),
        )
        return [
          wholeTensor([count, rank], positions),
          wholeTensor([rank], [...sizesOf(all), ...rest]),
        ]
      },
    })
    return [indices, at.reshaped(values, [count]), shape]
  },
})

function positionsIn(shape: Shape): readonly number[][] {
  return shape.reduce(
    (all: readonly number[][], size) =>
      all.flatMap((position) => Array.from({ length: size }, (_, place) => [...position, place])),
    [[]],
  )
}

/** Position of each value: row, place in the row, and so on inwards. */
function positionsOf(partitions: readonly (readonly number[])[]): readonly number[][] {
  let positions: number[][] = Array.from({ length: partitions[0].length - 1 }, (_, row) => [row])
  for (const splits of partitions) {
    positions = positions.flatMap((position, row) =>
      Array.from({ length: splits[row + 1] - splits[row] }, (_, place) => [...position, place]),
    )
  }
  return positions
}

/** Picks rows of a ragged tensor. */
const raggedGather = defineOp({
  name: 'RaggedGather',
  inputs: [
    'params_nested_splits: PARAMS_RAGGED_RANK * Tsplits',
    'params_dense_values: Tvalues',
    'indices: Tindices',
  ],
  outputs: ['output_nested_splits: OUTPUT_RAGGED_RANK * Tsplits', 'output_dense_values: Tvalues'],
  attributes: [
    'Tvalues: type',
    'Tindices: {int32, int64}',
    'Tsplits: {int32, int64} = int64',
    'PARAMS_RAGGED_RANK: int >= 1',
    'OUTPUT_RAGGED_RANK: int >= 0',
  ],
  lower: (at) => {
    const [values, indices] = [at.input('params_dense_values'), at.input('indices')]
    const splits = at.inputs('params_nested_splits')
    const dtype = at.attributes.type('Tsplits') as NumericDType
    const outer = indices.shape.slice(0, -1)
    if (indices.shape.length === 0) {
      throw invalid('op/type', 'RaggedGather is not implemented for a scalar index.')
    }
    const outputs = at.step({
      inputs: [indices, ...splits],
      outputs: [
        ...Array.from({ length: outer.length + splits.length }, () => ({
          dtype,
          shape: undefined,
        })),
        { dtype: 'int32' as const, shape: undefined },
      ],
      run: ([picks, ...tensors]) => {
        const types = tensors.map(() => 'ROW_SPLITS')
        const all = partitionsOf(tensors, types, values.shape[0])
        const rows = placesWithin(picks, all[0].length - 1)
        const picked = pickedRows(all, Array.from(rows))
        const even = outer.map((_, axis) => evenSplits(indices.shape, axis))
        return [
          ...[...even, ...picked.splits].map((one) =>
            tensorOfElements(dtype, [one.length], wholeElements(dtype, one)),
          ),
          vector(picked.rows),
        ]
      },
    })
    const rows = outputs[outputs.length - 1]
    return [...outputs.slice(0, -1), gatherSlices(at, values, rows, 0, 0)]
  },
})

/** Row splits of a dense dimension. */
function evenSplits(shape: Shape, axis: number): number[] {
  const rows = elementCountOf(shape.slice(0, axis + 1))
  return Array.from({ length: rows + 1 }, (_, row) => row * shape[axis + 1])
}

/** Splits of the picked rows on every level, and the rows of the values. */
function pickedRows(
  partitions: readonly (readonly number[])[],
  picks: readonly number[],
): { readonly splits: readonly number[][]; readonly rows: readonly number[] } {
  const result: number[][] = []
  let rows = picks
  for (const splits of partitions) {
    const own = [0]
    const next: number[] = []
    for (const row of rows) {
      for (let value = splits[row]; value < splits[row + 1]; value++) next.push(value)
      own.push(next.length)
    }
    result.push(own)
    rows = next
  }
  return { splits: result, rows }
}

/** Ragged tensors. */
export const raggedOps: readonly OpDefinition[] = [
  raggedRange,
  raggedTensorToTensor,
  raggedTensorToSparse,
  raggedGather,
]
