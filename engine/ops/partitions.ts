// Rows dealt out to several lists, and put together again. The host reads who goes where; kernels move
// the rows.
import {
  elementCountOf,
  formatShape,
  numericTensor,
  type Shape,
  sameShape,
  type Tensor,
} from '../../tensor/index.ts'
import { isKernelType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { gatherSlices } from './gather.ts'
import { gathered } from './host-movement.ts'
import { boundedRows, formatPosition, placesWithin } from './indices.ts'
import { integersOf, invalid } from './shapes.ts'
import { joined } from './sparse-structure.ts'
import type { TensorValue } from './value.ts'

/** An int32 vector. */
function vector(values: ArrayLike<number>): Tensor {
  const array = Int32Array.from(values)
  return numericTensor('int32', [array.length], new Uint8Array(array.buffer))
}

const dynamicPartition = defineOp({
  name: 'DynamicPartition',
  inputs: ['data: T', 'partitions: int32'],
  outputs: ['outputs: num_partitions * T'],
  attributes: ['num_partitions: int >= 1', 'T: type'],
  lower: (at) => {
    const [data, partitions] = [at.input('data'), at.input('partitions')]
    const rank = partitions.shape.length
    if (!sameShape(data.shape.slice(0, rank), partitions.shape)) {
      throw invalid(
        'shape/mismatch',
        `data.shape must start with partitions.shape, got data.shape = ${formatShape(data.shape)}, partitions.shape = ${formatShape(partitions.shape)}`,
      )
    }
    const count = at.attributes.int('num_partitions')
    const lists = at.step({
      inputs: [partitions],
      outputs: Array.from({ length: count }, () => ({ dtype: 'int32', shape: undefined })),
      always: true,
      run: ([content]) => dealt(content, count).map(vector),
    })
    const rows = at.reshaped(data, [elementCountOf(partitions.shape), ...data.shape.slice(rank)])
    return lists.map((places) => gatherSlices(at, rows, places, 0, 0))
  },
})

/** Rows of each partition in their order. */
function dealt(partitions: Tensor, count: number): readonly number[][] {
  const lists = Array.from({ length: count }, (): number[] => [])
  const places = placesWithin(
    partitions,
    count,
    (place, partition) =>
      `partitions${formatPosition(place, partitions.shape)} = ${partition} is not in [0, ${count})`,
  )
  for (const [row, place] of places.entries()) lists[place].push(row)
  return lists
}

function dynamicStitch(name: string): OpDefinition {
  return defineOp({
    name,
    inputs: ['indices: N * int32', 'data: N * T'],
    outputs: ['merged: T'],
    attributes: ['N: int >= 1', 'T: type'],
    lower: (at) => {
      const [indices, data] = [at.inputs('indices'), at.inputs('data')]
      const rest = data[0].shape.slice(indices[0].shape.length)
      for (const [place, { shape }] of indices.entries()) {
        const own = data[place].shape
        if (
          !sameShape(own.slice(0, shape.length), shape) ||
          !sameShape(own.slice(shape.length), rest)
        ) {
          throw invalid(
            'shape/mismatch',
            `data[${place}].shape = ${formatShape(own)} does not start with indices[${place}].shape = ${formatShape(shape)}, or the data's other dimensions differ.`,
          )
        }
      }
      return [stitched(at, indices, data, rest)]
    },
  })
}

/** `[largest index + 1, ...rest]`; of rows for one place the last counts, places without a row are zero. */
function stitched(
  at: Lowering,
  indices: readonly TensorValue[],
  data: readonly TensorValue[],
  rest: Shape,
): TensorValue {
  const counts = indices.map(({ shape }) => elementCountOf(shape))
  const rows = data.map((value, place) => at.reshaped(value, [counts[place], ...rest]))
  const [sources] = at.step({
    inputs: indices,
    outputs: [{ dtype: 'int32', shape: undefined }],
    always: true,
    run: (tensors) => [vector(sourcesOf(tensors))],
  })
  const shape = [...sources.shape, ...rest]
  const { dtype } = data[0]
  if (!isKernelType(dtype)) return stitchedOnHost(at, sources, rows, shape)
  let first = 0
  let merged = at.compute({ shape, dtype, inputs: [], body: ({ b }) => b.number(dtype, 0) })
  for (const [place, list] of rows.entries()) {
    const from = first
    const count = counts[place]
    first += count
    if (count === 0) continue
    merged = at.compute({
      shape,
      dtype,
      inputs: [sources, list, merged],
      body: ({ b, axes, read }) => {
        const row = b.sub(read(0, [axes[0]]), from)
        const isHere = b.within(row, 0, count)
        const own = read(1, [b.max(b.min(row, count - 1), 0), ...axes.slice(1)])
        return b.select(isHere, own, read(2, axes))
      },
    })
  }
  return merged
}

/** For each place of the result its row among all lists, one list after the other; -1 for none. */
function sourcesOf(indices: readonly Tensor[]): Int32Array {
  const lists = indices.map((tensor, list) =>
    placesWithin(
      tensor,
      2 ** 31 - 1,
      (place, index) =>
        `indices[${list}]${formatPosition(place, tensor.shape)} = ${index} is out of range`,
    ),
  )
  const last = lists.map((places) => places.reduce((most, place) => Math.max(most, place), -1))
  const sources = new Int32Array(boundedRows(Math.max(-1, ...last) + 1)).fill(-1)
  let row = 0
  for (const places of lists) for (const place of places) sources[place] = row++
  return sources
}

function stitchedOnHost(
  at: Lowering,
  sources: TensorValue,
  rows: readonly TensorValue[],
  shape: Shape,
): TensorValue {
  const { dtype } = rows[0]
  const width = elementCountOf(shape.slice(1))
  const [merged] = at.step({
    inputs: [sources, ...rows],
    outputs: [{ dtype, shape }],
    run: ([places, ...lists]) => {
      const all = joined(lists)
      const elements = integersOf(places).flatMap((row) =>
        Array.from({ length: width }, (_, one) => (row < 0 ? -1 : row * width + one)),
      )
      return [gathered(all, shape, elements)]
    },
  })
  return merged
}

/** Dealing rows out and putting them together. */
export const partitionOps: readonly OpDefinition[] = [
  dynamicPartition,
  dynamicStitch('DynamicStitch'),
  dynamicStitch('ParallelDynamicStitch'),
]
