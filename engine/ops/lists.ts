// TensorLists: lists of tensors as values. The trace holds their elements one by one; stacking them is
// a concatenation.
import {
  type DType,
  elementCountOf,
  fitsShape,
  formatShape,
  isNumeric,
  numericTensor,
  type PartialShape,
  type Shape,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { concatenated, stacked, unstacked } from './array.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { integerOf, integersOf, invalid } from './shapes.ts'
import type { ListValue, TensorValue, Value } from './value.ts'

/** Most elements of one list. */
export const maxElements = 1_000_000

/** An element of a list; lists of lists hold lists. */
function listIn(at: Lowering, input: string): ListValue {
  const [value] = at.rawInputs(input)
  if (value.kind === 'list') return value
  throw invalid('graph/type', `Input "${input}" is no list.`)
}

/** A shape from an element_shape input: a scalar -1 is an unknown rank. */
function partialShapeOf(tensor: Tensor): PartialShape {
  return tensor.shape.length === 0 ? undefined : integersOf(tensor)
}

/** Two partly known shapes as one. */
export function merged(a: PartialShape, b: PartialShape): PartialShape {
  if (a === undefined || b === undefined) return a ?? b
  return a.map((size, axis) => (size === -1 ? b[axis] : size))
}

/** Zeros (empty strings) of a type and shape. */
export function zerosOf(at: Lowering, dtype: DType, shape: Shape): TensorValue {
  if (dtype === 'string') {
    const count = elementCountOf(shape)
    return at.known(stringTensor(shape, new Array<Uint8Array>(count).fill(new Uint8Array(0))))
  }
  if (!isNumeric(dtype)) throw invalid('graph/type', `There are no zeros of ${dtype}.`)
  if (elementCountOf(shape) === 0) return at.known(numericTensor(dtype, shape, new Uint8Array(0)))
  const type = scalarType(dtype)
  return at.compute({ shape, dtype: type, inputs: [], body: ({ b }) => b.number(type, 0) })
}

function elementOf(at: Lowering, list: ListValue, index: number, wanted: PartialShape): Value {
  if (index < 0 || index >= list.elements.length) {
    throw invalid(
      'run/index',
      `Trying to access element ${index} in a list with ${list.elements.length} elements.`,
    )
  }
  const element = list.elements[index]
  if (element !== undefined) return element
  const known = list.elements.find((one) => one?.kind === 'known' || one?.kind === 'array')
  const seen = known?.kind === 'known' || known?.kind === 'array' ? known.shape : undefined
  const shape = merged(merged(list.elementShape, wanted), seen)
  if (shape === undefined || shape.includes(-1)) {
    throw invalid(
      'shape/unknown',
      `Trying to read an uninitialized tensor but element_shape is not fully defined: ${formatShape(shape)}`,
    )
  }
  return zerosOf(at, list.elementDtype, shape)
}

function tensorsOf(
  at: Lowering,
  list: ListValue,
  places: readonly number[],
  wanted: PartialShape,
): readonly TensorValue[] {
  return places.map((place) => {
    const element = elementOf(at, list, place, wanted)
    if (element.kind === 'known' || element.kind === 'array') return element
    throw invalid('graph/type', `An element of the list is a ${element.kind}.`)
  })
}

/** The elements one above another. */
function stackedList(
  at: Lowering,
  list: ListValue,
  places: readonly number[],
  wanted: PartialShape,
): TensorValue {
  const tensors = tensorsOf(at, list, places, wanted)
  if (tensors.length > 0) return stacked(at, tensors, 0)
  const shape = merged(list.elementShape, wanted)
  if (shape === undefined || shape.includes(-1)) {
    throw invalid(
      'shape/unknown',
      `Tried to stack elements of an empty list with non-fully-defined element_shape: ${formatShape(shape)}`,
    )
  }
  return zerosOf(at, list.elementDtype, [0, ...shape])
}

/** A list of elements, some of them not set yet. */
export function listOf(
  elementDtype: DType,
  elementShape: PartialShape,
  elements: ListValue['elements'],
): ListValue {
  return { kind: 'list', dtype: 'variant', elementDtype, elementShape, elements }
}

/** A number of elements that an input gives; refuses one out of range. */
export function countFrom(at: Lowering, input: string): number {
  const count = integerOf(at.contentOf(at.input(input)), input)
  if (count < 0 || count > maxElements) {
    throw invalid('shape/invalid', `The size ${count} of a list is not in 0 .. ${maxElements}.`)
  }
  return count
}

const shapeTypes = 'shape_type: {int32, int64}'

const emptyTensorList = defineOp({
  name: 'EmptyTensorList',
  inputs: ['element_shape: shape_type', 'max_num_elements: int32'],
  outputs: ['handle: variant'],
  attributes: ['element_dtype: type', shapeTypes],
  lower: (at) => [
    listOf(
      at.attributes.type('element_dtype'),
      partialShapeOf(at.contentOf(at.input('element_shape'))),
      [],
    ),
  ],
})

const reserve = defineOp({
  name: 'TensorListReserve',
  inputs: ['element_shape: shape_type', 'num_elements: int32'],
  outputs: ['handle: variant'],
  attributes: ['element_dtype: type', shapeTypes],
  lower: (at) => [
    listOf(
      at.attributes.type('element_dtype'),
      partialShapeOf(at.contentOf(at.input('element_shape'))),
      new Array<undefined>(countFrom(at, 'num_elements')).fill(undefined),
    ),
  ],
})

const fromTensor = defineOp({
  name: 'TensorListFromTensor',
  inputs: ['tensor: element_dtype', 'element_shape: shape_type'],
  outputs: ['output_handle: variant'],
  attributes: ['element_dtype: type', shapeTypes],
  lower: (at) => {
    const tensor = at.input('tensor')
    const shape = partialShapeOf(at.contentOf(at.input('element_shape')))
    return [listOf(tensor.dtype, merged(tensor.shape.slice(1), shape), unstacked(at, tensor, 0))]
  },
})

const stack = defineOp({
  name: 'TensorListStack',
  inputs: ['input_handle: variant', 'element_shape: int32'],
  outputs: ['tensor: element_dtype'],
  attributes: ['element_dtype: type', 'num_elements: int = -1'],
  lower: (at) => {
    const list = listIn(at, 'input_handle')
    const wanted = partialShapeOf(at.contentOf(at.input('element_shape')))
    return [stackedList(at, list, [...list.elements.keys()], wanted)]
  },
})

const getItem = defineOp({
  name: 'TensorListGetItem',
  inputs: ['input_handle: variant', 'index: int32', 'element_shape: int32'],
  outputs: ['item: element_dtype'],
  attributes: ['element_dtype: type'],
  lower: (at) => {
    const index = integerOf(at.contentOf(at.input('index')), 'index')
    const wanted = partialShapeOf(at.contentOf(at.input('element_shape')))
    return [elementOf(at, listIn(at, 'input_handle'), index, wanted)]
  },
})

function withItem(list: ListValue, index: number, item: Value): ListValue {
  if (index < 0 || index >= list.elements.length) {
    throw invalid(
      'run/index',
      `Trying to modify element ${index} in a list with ${list.elements.length} elements.`,
    )
  }
  return { ...list, elements: list.elements.with(index, item) }
}

function checkElement(list: ListValue, item: Value): void {
  if (item.kind !== 'known' && item.kind !== 'array') return
  if (fitsShape(item.shape, list.elementShape)) return
  throw invalid(
    'shape/mismatch',
    `Tried to set a tensor with incompatible shape at a list index. Item element shape: ${formatShape(item.shape)} list shape: ${formatShape(list.elementShape)}`,
  )
}

const setItem = defineOp({
  name: 'TensorListSetItem',
  inputs: ['input_handle: variant', 'index: int32', 'item: element_dtype'],
  outputs: ['output_handle: variant'],
  attributes: ['element_dtype: type', 'resize_if_index_out_of_bounds: bool = false'],
  lower: (at) => {
    const index = integerOf(at.contentOf(at.input('index')), 'index')
    const [item] = at.rawInputs('item')
    let list = listIn(at, 'input_handle')
    checkElement(list, item)
    const grows = at.attributes.bool('resize_if_index_out_of_bounds')
    if (grows && index >= list.elements.length && index < maxElements) {
      const more = new Array<undefined>(index + 1 - list.elements.length).fill(undefined)
      list = { ...list, elements: [...list.elements, ...more] }
    }
    return [withItem(list, index, item)]
  },
})

const length = defineOp({
  name: 'TensorListLength',
  inputs: ['input_handle: variant'],
  outputs: ['length: int32'],
  lower: (at) => [
    at.known(tensorOfElements('int32', [], [listIn(at, 'input_handle').elements.length])),
  ],
})

const elementShape = defineOp({
  name: 'TensorListElementShape',
  inputs: ['input_handle: variant'],
  outputs: ['element_shape: shape_type'],
  attributes: [shapeTypes],
  lower: (at) => {
    const { elementShape: shape } = listIn(at, 'input_handle')
    const dtype = at.attributes.type('shape_type') === 'int64' ? 'int64' : 'int32'
    return [
      at.known(
        shape === undefined
          ? tensorOfElements(dtype, [], [-1])
          : tensorOfElements(dtype, [shape.length], shape),
      ),
    ]
  },
})

const pushBack = defineOp({
  name: 'TensorListPushBack',
  inputs: ['input_handle: variant', 'tensor: element_dtype'],
  outputs: ['output_handle: variant'],
  attributes: ['element_dtype: type'],
  lower: (at) => {
    const list = listIn(at, 'input_handle')
    const [item] = at.rawInputs('tensor')
    checkElement(list, item)
    return [{ ...list, elements: [...list.elements, item] }]
  },
})

const popBack = defineOp({
  name: 'TensorListPopBack',
  inputs: ['input_handle: variant', 'element_shape: int32'],
  outputs: ['output_handle: variant', 'tensor: element_dtype'],
  attributes: ['element_dtype: type'],
  lower: (at) => {
    const list = listIn(at, 'input_handle')
    if (list.elements.length === 0) throw invalid('run/index', 'Trying to pop from an empty list.')
    const wanted = partialShapeOf(at.contentOf(at.input('element_shape')))
    const last = elementOf(at, list, list.elements.length - 1, wanted)
    return [{ ...list, elements: list.elements.slice(0, -1) }, last]
  },
})

const listGather = defineOp({
  name: 'TensorListGather',
  inputs: ['input_handle: variant', 'indices: int32', 'element_shape: int32'],
  outputs: ['values: element_dtype'],
  attributes: ['element_dtype: type'],
  lower: (at) => {
    const wanted = partialShapeOf(at.contentOf(at.input('element_shape')))
    const places = integersOf(at.contentOf(at.input('indices')))
    return [stackedList(at, listIn(at, 'input_handle'), places, wanted)]
  },
})

/** A list as long as its largest index, with the rows of a tensor at the indices. */
function scatteredList(
  at: Lowering,
  start: ListValue,
  indices: readonly number[],
  tensor: TensorValue,
): ListValue {
  const rows = unstacked(at, tensor, 0)
  const elements = [...start.elements]
  for (const [place, index] of indices.entries()) {
    if (index < 0 || index >= maxElements) {
      throw invalid('run/index', `Indices in TensorListScatter must all be non-negative: ${index}`)
    }
    while (elements.length <= index) elements.push(undefined)
    elements[index] = rows[place]
  }
  return { ...start, elements }
}

const scatter = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: [
      'tensor: element_dtype',
      'indices: int32',
      'element_shape: shape_type',
      ...(name === 'TensorListScatterV2' ? ['num_elements: int32'] : []),
    ],
    outputs: ['output_handle: variant'],
    attributes: ['element_dtype: type', shapeTypes],
    lower: (at) => {
      const tensor = at.input('tensor')
      const shape = partialShapeOf(at.contentOf(at.input('element_shape')))
      const wanted =
        name === 'TensorListScatterV2'
          ? Math.max(integerOf(at.contentOf(at.input('num_elements')), 'num_elements'), 0)
          : 0
      const start = listOf(tensor.dtype, shape, new Array<undefined>(wanted).fill(undefined))
      const indices = integersOf(at.contentOf(at.input('indices')))
      return [scatteredList(at, start, indices, tensor)]
    },
  })

const concatLists = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: [
      'input_handle: variant',
      ...(name === 'TensorListConcatV2'
        ? ['element_shape: shape_type', 'leading_dims: int64']
        : []),
    ],
    outputs: ['tensor: element_dtype', 'lengths: int64'],
    attributes: [
      'element_dtype: type',
      ...(name === 'TensorListConcatV2' ? [shapeTypes] : ['element_shape: shape = unknown']),
    ],
    lower: (at) => {
      const list = listIn(at, 'input_handle')
      return joinedList(at, list, 'int64')
    },
  })

/** Elements one after another along their first axis, and their lengths. */
export function joinedList(at: Lowering, list: ListValue, dtype: 'int64'): readonly TensorValue[] {
  const tensors = tensorsOf(at, list, [...list.elements.keys()], undefined)
  const lengths = tensors.map((tensor) => BigInt(tensor.shape[0] ?? 0))
  const known = at.known(tensorOfElements(dtype, [lengths.length], lengths))
  if (tensors.length > 0) return [concatenated(at, tensors, 0), known]
  const shape = (list.elementShape ?? [0]).map((size, axis) => (axis === 0 ? 0 : Math.max(size, 0)))
  return [zerosOf(at, list.elementDtype, shape), known]
}

/** TensorLists. */
export const listOps: readonly OpDefinition[] = [
  emptyTensorList,
  reserve,
  fromTensor,
  stack,
  getItem,
  setItem,
  length,
  elementShape,
  pushBack,
  popBack,
  listGather,
  scatter('TensorListScatter'),
  scatter('TensorListScatterV2'),
  concatLists('TensorListConcat'),
  concatLists('TensorListConcatV2'),
]
