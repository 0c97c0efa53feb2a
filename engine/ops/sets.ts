// Sets of values in the rows of dense or sparse tensors: what both have, what one has and the other
// lacks, how many there are. Results are sparse, values of each row in order.
import {
  elementCountOf,
  elementsOf,
  formatShape,
  type NumericDType,
  type Shape,
  sameShape,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { integersOf, invalid } from './shapes.ts'
import { indexRowsOf, rowOf } from './sparse-values.ts'
import { wholeTensor } from './string-values.ts'
import type { TensorValue } from './value.ts'

type Item = number | bigint | string

/** Sets by the text of their row's position. */
interface Sets {
  readonly shape: Shape
  readonly byRow: ReadonlyMap<string, ReadonlySet<Item>>
}

function itemsOf(tensor: Tensor): readonly Item[] {
  if (tensor.dtype === 'string') {
    return tensor.strings.map((bytes) => Buffer.from(bytes).toString('latin1'))
  }
  return elementsOf(tensor) as Item[]
}

function added(sets: Map<string, Set<Item>>, row: string, item: Item): void {
  const set = sets.get(row)
  if (set === undefined) sets.set(row, new Set([item]))
  else set.add(item)
}

function setsOfDense(tensor: Tensor): Sets {
  const size = tensor.shape[tensor.shape.length - 1]
  const shape = tensor.shape.slice(0, -1)
  const byRow = new Map<string, Set<Item>>()
  for (const [place, item] of itemsOf(tensor).entries()) {
    added(byRow, positionIn(Math.floor(place / size), shape).join(), item)
  }
  return { shape, byRow }
}

function positionIn(flat: number, shape: Shape): number[] {
  const position: number[] = []
  let rest = flat
  for (const size of shape.toReversed()) {
    position.unshift(rest % size)
    rest = Math.floor(rest / size)
  }
  return position
}

function setsOfSparse(indices: Tensor, values: Tensor, dense: Tensor): Sets {
  const rows = indexRowsOf(indices)
  const shape = integersOf(dense)
  const items = itemsOf(values)
  const byRow = new Map<string, Set<Item>>()
  for (let entry = 0; entry < rows.count; entry++) {
    const index = rowOf(rows, entry)
    if (index.some((place, axis) => place < 0 || place >= shape[axis])) {
      throw invalid('run/index', `Set index [${index}] is outside of the shape [${shape}]`)
    }
    added(byRow, index.slice(0, -1).join(), items[entry])
  }
  return { shape: shape.slice(0, -1), byRow }
}

const empty: ReadonlySet<Item> = new Set()

type Operation = (a: ReadonlySet<Item>, b: ReadonlySet<Item>) => ReadonlySet<Item>

const operations: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ['a-b', (a, b) => a.difference(b)],
  ['b-a', (a, b) => b.difference(a)],
  ['intersection', (a, b) => a.intersection(b)],
  ['union', (a, b) => a.union(b)],
])

function combined(operation: string, a: ReadonlySet<Item>, b: ReadonlySet<Item>): Item[] {
  const items = operations.get(operation)?.(a, b)
  if (items === undefined) {
    throw invalid('graph/attribute', `Invalid set_operation ${operation}.`)
  }
  return [...items].sort((x, y) => (x < y ? -1 : x > y ? 1 : 0))
}

/** The sparse result of an operation on the sets of each row. */
function resultOf(operation: string, a: Sets, b: Sets, like: Tensor): readonly Tensor[] {
  if (!sameShape(a.shape, b.shape)) {
    throw invalid(
      'shape/mismatch',
      `Mismatched group shapes ${formatShape(a.shape)} vs ${formatShape(b.shape)}.`,
    )
  }
  const indices: number[] = []
  const items: Item[] = []
  let most = 0
  for (let row = 0; row < elementCountOf(a.shape); row++) {
    const position = positionIn(row, a.shape)
    const key = position.join()
    const set = combined(operation, a.byRow.get(key) ?? empty, b.byRow.get(key) ?? empty)
    most = Math.max(most, set.length)
    for (const [place, item] of set.entries()) {
      indices.push(...position, place)
      items.push(item)
    }
  }
  const rank = a.shape.length + 1
  const values =
    like.dtype === 'string'
      ? stringTensor(
          [items.length],
          items.map((item) => Uint8Array.from(Buffer.from(item as string, 'latin1'))),
        )
      : tensorOfElements(like.dtype, [items.length], items as (number | bigint)[])
  return [
    wholeTensor([items.length, rank], indices),
    values,
    wholeTensor([rank], [...a.shape, most]),
  ]
}

const outputs = ['result_indices: int64', 'result_values: T', 'result_shape: int64']
const attributes = ['set_operation: string', 'validate_indices: bool = true', 'T: type']

function operated(
  at: Lowering,
  inputs: readonly TensorValue[],
  rank: number,
  setsOf: (tensors: readonly Tensor[]) => readonly [Sets, Sets, Tensor],
): readonly TensorValue[] {
  const operation = at.attributes.text('set_operation')
  return at.step({
    inputs,
    outputs: [
      { dtype: 'int64', shape: undefined },
      { dtype: at.attributes.type('T') as NumericDType, shape: undefined },
      { dtype: 'int64', shape: [rank] },
    ],
    run: (tensors) => resultOf(operation, ...setsOf(tensors)),
  })
}

const denseToDense = defineOp({
  name: 'DenseToDenseSetOperation',
  inputs: ['set1: T', 'set2: T'],
  outputs,
  attributes,
  lower: (at) => {
    const inputs = [at.input('set1'), at.input('set2')]
    return operated(at, inputs, inputs[0].shape.length, ([a, b]) => [
      setsOfDense(a),
      setsOfDense(b),
      a,
    ])
  },
})

const denseToSparse = defineOp({
  name: 'DenseToSparseSetOperation',
  inputs: ['set1: T', 'set2_indices: int64', 'set2_values: T', 'set2_shape: int64'],
  outputs,
  attributes,
  lower: (at) => {
    const names = ['set1', 'set2_indices', 'set2_values', 'set2_shape']
    const inputs = names.map((name) => at.input(name))
    return operated(at, inputs, inputs[0].shape.length, ([a, indices, values, shape]) => [
      setsOfDense(a),
      setsOfSparse(indices, values, shape),
      a,
    ])
  },
})

const sparseToSparse = defineOp({
  name: 'SparseToSparseSetOperation',
  inputs: ['set1', 'set2'].flatMap((set) => [
    `${set}_indices: int64`,
    `${set}_values: T`,
    `${set}_shape: int64`,
  ]),
  outputs,
  attributes,
  lower: (at) => {
    const inputs = ['set1', 'set2'].flatMap((set) =>
      ['indices', 'values', 'shape'].map((part) => at.input(`${set}_${part}`)),
    )
    return operated(at, inputs, inputs[0].shape[1], ([a, b, c, d, e, f]) => [
      setsOfSparse(a, b, c),
      setsOfSparse(d, e, f),
      b,
    ])
  },
})

/** How many different values each row has. */
const setSize = defineOp({
  name: 'SetSize',
  inputs: ['set_indices: int64', 'set_values: T', 'set_shape: int64'],
  outputs: ['size: int32'],
  attributes: ['validate_indices: bool = true', 'T: type'],
  lower: (at) =>
    at.step({
      inputs: ['set_indices', 'set_values', 'set_shape'].map((name) => at.input(name)),
      outputs: [{ dtype: 'int32', shape: undefined }],
      run: ([indices, values, dense]) => {
        const { shape, byRow } = setsOfSparse(indices, values, dense)
        const sizes = Array.from(
          { length: elementCountOf(shape) },
          (_, row) => byRow.get(positionIn(row, shape).join())?.size ?? 0,
        )
        return [tensorOfElements('int32', shape, sizes)]
      },
    }),
})

/** Sets in rows. */
export const setOps: readonly OpDefinition[] = [
  denseToDense,
  denseToSparse,
  sparseToSparse,
  setSize,
]
