// Lists of tensors: TensorList (a value), TensorArray and Stack (by handle). The trace holds their
// elements one by one; stacking them is a concatenation.
import {
  type DType,
  elementCountOf,
  fitsShape,
  formatShape,
  isNumeric,
  numericTensor,
  type PartialShape,
  Refusal,
  type Shape,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { concatenated, part, stacked, unstacked } from './array.ts'
import { elementwise, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { integerOf, integersOf, invalid } from './shapes.ts'
import type { ListValue, TensorValue, Value } from './value.ts'

/** Most elements of one list. */
const maxElements = 1_000_000

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

function merged(a: PartialShape, b: PartialShape): PartialShape {
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

function listOf(
  elementDtype: DType,
  elementShape: PartialShape,
  elements: ListValue['elements'],
): ListValue {
  return { kind: 'list', dtype: 'variant', elementDtype, elementShape, elements }
}

function countFrom(at: Lowering, input: string): number {
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
function joinedList(at: Lowering, list: ListValue, dtype: 'int64'): readonly TensorValue[] {
  const tensors = tensorsOf(at, list, [...list.elements.keys()], undefined)
  const lengths = tensors.map((tensor) => BigInt(tensor.shape[0] ?? 0))
  const known = at.known(tensorOfElements(dtype, [lengths.length], lengths))
  if (tensors.length > 0) return [concatenated(at, tensors, 0), known]
  const shape = (list.elementShape ?? [0]).map((size, axis) => (axis === 0 ? 0 : Math.max(size, 0)))
  return [zerosOf(at, list.elementDtype, shape), known]
}

// TensorArrays and Stacks: the handle names the content, which the trace replaces.

function arrayId(at: Lowering, input = 'handle'): number {
  const [value] = at.rawInputs(input)
  if (value.kind === 'handle' && value.target.kind === 'list') return value.target.id
  throw invalid('graph/type', `Input "${input}" is no TensorArray or Stack.`)
}

/** The flow of a TensorArray only orders. */
function flowOf(at: Lowering): TensorValue {
  return at.known(tensorOfElements('float32', [], [0]))
}

const tensorArray = defineOp({
  name: 'TensorArrayV3',
  inputs: ['size: int32'],
  outputs: ['handle: resource', 'flow: float'],
  attributes: [
    'dtype: type',
    'element_shape: shape = unknown',
    'dynamic_size: bool = false',
    'clear_after_read: bool = true',
    'identical_element_shapes: bool = false',
    "tensor_array_name: string = ''",
  ],
  lower: (at) => {
    const elements = new Array<undefined>(countFrom(at, 'size')).fill(undefined)
    const content = {
      ...listOf(at.attributes.type('dtype'), at.attributes.shape('element_shape'), elements),
      grows: at.attributes.bool('dynamic_size'),
    }
    return [at.handle({ kind: 'list', id: at.newList(content) }), flowOf(at)]
  },
})

/** The array that collects the gradient of another; the same one for the same source. */
const tensorArrayGrad = defineOp({
  name: 'TensorArrayGradV3',
  inputs: ['handle: resource', 'flow_in: float'],
  outputs: ['grad_handle: resource', 'flow_out: float'],
  attributes: ['source: string'],
  lower: (at) => {
    const forward = arrayId(at)
    const content = at.listOf(forward)
    const source = at.attributes.text('source')
    let id = content.gradients?.get(source)
    if (id === undefined) {
      id = at.newList({
        ...content,
        elements: content.elements.map(() => undefined),
        accumulates: true,
        gradients: new Map(),
        like: content.elements,
      })
      const gradients = new Map(content.gradients).set(source, id)
      at.setList(forward, { ...content, gradients })
    }
    return [at.handle({ kind: 'list', id }), at.input('flow_in')]
  },
})

function written(at: Lowering, content: ListValue, index: number, item: TensorValue): ListValue {
  const size = content.elements.length
  if (index < 0 || (index >= size && content.grows !== true) || index >= maxElements) {
    throw invalid(
      'run/index',
      `TensorArray: Tried to write to index ${index} but array is not resizeable and size is: ${size}`,
    )
  }
  const elements = [...content.elements]
  while (elements.length <= index) elements.push(undefined)
  const before = elements[index]
  if (before === undefined) elements[index] = item
  else if (content.accumulates === true && (before.kind === 'known' || before.kind === 'array')) {
    const dtype = scalarType(item.dtype)
    elements[index] = elementwise(at, [before, item], dtype, (b, [x, y]) => b.add(x, y))
  } else {
    throw invalid(
      'run/index',
      `TensorArray: Could not write to TensorArray index ${index} because it has already been written to.`,
    )
  }
  return { ...content, elements }
}

const arrayWrite = defineOp({
  name: 'TensorArrayWriteV3',
  inputs: ['handle: resource', 'index: int32', 'value: T', 'flow_in: float'],
  outputs: ['flow_out: float'],
  attributes: ['T: type'],
  lower: (at) => {
    const id = arrayId(at)
    const index = integerOf(at.contentOf(at.input('index')), 'index')
    const content = at.listOf(id)
    const value = at.input('value')
    if (value.dtype !== content.elementDtype) {
      throw invalid(
        'graph/type',
        `TensorArray dtype is ${content.elementDtype} but Op is trying to write dtype ${value.dtype}.`,
      )
    }
    at.setList(id, written(at, content, index, value))
    return [at.input('flow_in')]
  },
})

/** An element of a TensorArray; of a gradient's, zeros where nothing was written. */
function arrayElement(at: Lowering, content: ListValue, index: number): Value {
  const size = content.elements.length
  if (index < 0 || index >= size) {
    throw invalid(
      'run/index',
      `TensorArray: Tried to read from index ${index} but array size is: ${size}`,
    )
  }
  const element = content.elements[index]
  if (element !== undefined) return element
  const model = content.like?.[index]
  const shape =
    model?.kind === 'known' || model?.kind === 'array' ? model.shape : content.elementShape
  if (content.accumulates === true && shape !== undefined && !shape.includes(-1)) {
    return zerosOf(at, content.elementDtype, shape)
  }
  throw invalid(
    'run/index',
    `TensorArray: Could not read index ${index} twice because it was cleared after a previous read, or it was never written`,
  )
}

const arrayRead = defineOp({
  name: 'TensorArrayReadV3',
  inputs: ['handle: resource', 'index: int32', 'flow_in: float'],
  outputs: ['value: dtype'],
  attributes: ['dtype: type'],
  lower: (at) => {
    const index = integerOf(at.contentOf(at.input('index')), 'index')
    return [arrayElement(at, at.listOf(arrayId(at)), index)]
  },
})

const arraySize = defineOp({
  name: 'TensorArraySizeV3',
  inputs: ['handle: resource', 'flow_in: float'],
  outputs: ['size: int32'],
  lower: (at) => [
    at.known(tensorOfElements('int32', [], [at.listOf(arrayId(at)).elements.length])),
  ],
})

function arrayElements(
  at: Lowering,
  content: ListValue,
  places: readonly number[],
): readonly TensorValue[] {
  return places.map((place) => {
    const element = arrayElement(at, content, place)
    if (element.kind === 'known' || element.kind === 'array') return element
    throw invalid('graph/type', `An element of the TensorArray is a ${element.kind}.`)
  })
}

const arrayGather = defineOp({
  name: 'TensorArrayGatherV3',
  inputs: ['handle: resource', 'indices: int32', 'flow_in: float'],
  outputs: ['value: dtype'],
  attributes: ['dtype: type', 'element_shape: shape = unknown'],
  lower: (at) => {
    const content = at.listOf(arrayId(at))
    const places = integersOf(at.contentOf(at.input('indices')))
    const tensors = arrayElements(at, content, places)
    if (tensors.length > 0) return [stacked(at, tensors, 0)]
    const shape = merged(content.elementShape, at.attributes.shape('element_shape'))
    if (shape === undefined || shape.includes(-1)) {
      throw new Refusal(
        'UNIMPLEMENTED',
        'shape/unknown',
        `TensorArray has size zero, but element shape ${formatShape(shape)} is not fully defined. Currently only static shapes are supported when packing zero-size TensorArrays.`,
      )
    }
    return [zerosOf(at, content.elementDtype, [0, ...shape])]
  },
})

const arrayScatter = defineOp({
  name: 'TensorArrayScatterV3',
  inputs: ['handle: resource', 'indices: int32', 'value: T', 'flow_in: float'],
  outputs: ['flow_out: float'],
  attributes: ['T: type'],
  lower: (at) => {
    const id = arrayId(at)
    const indices = integersOf(at.contentOf(at.input('indices')))
    const value = at.input('value')
    if (value.shape[0] !== indices.length) {
      throw invalid(
        'shape/mismatch',
        `Expected len(indices) == values.shape[0], but saw: ${indices.length} vs. ${value.shape[0]}`,
      )
    }
    let content = at.listOf(id)
    for (const [place, row] of unstacked(at, value, 0).entries()) {
      content = written(at, content, indices[place], row)
    }
    at.setList(id, content)
    return [at.input('flow_in')]
  },
})

const arrayConcat = defineOp({
  name: 'TensorArrayConcatV3',
  inputs: ['handle: resource', 'flow_in: float'],
  outputs: ['value: dtype', 'lengths: int64'],
  attributes: ['dtype: type', 'element_shape_except0: shape = unknown'],
  lower: (at) => {
    const content = at.listOf(arrayId(at))
    const elements = arrayElements(at, content, [...content.elements.keys()])
    return joinedList(at, { ...content, elements }, 'int64')
  },
})

const arraySplit = defineOp({
  name: 'TensorArraySplitV3',
  inputs: ['handle: resource', 'value: T', 'lengths: int64', 'flow_in: float'],
  outputs: ['flow_out: float'],
  attributes: ['T: type'],
  lower: (at) => {
    const id = arrayId(at)
    const value = at.input('value')
    const lengths = integersOf(at.contentOf(at.input('lengths')))
    const total = lengths.reduce((sum, one) => sum + one, 0)
    if (total !== (value.shape[0] ?? 0)) {
      throw invalid(
        'shape/mismatch',
        `Expected sum of lengths to be equal to values.shape[0], but sum of lengths is ${total} and value's shape is: ${formatShape(value.shape)}`,
      )
    }
    let content = at.listOf(id)
    let start = 0
    for (const [place, one] of lengths.entries()) {
      content = written(at, content, place, part(at, value, 0, start, one))
      start += one
    }
    at.setList(id, content)
    return [at.input('flow_in')]
  },
})

const closing = (name: string): OpDefinition =>
  defineOp({ name, inputs: ['handle: resource'], lower: () => [] })

const stackV2 = defineOp({
  name: 'StackV2',
  inputs: ['max_size: int32'],
  outputs: ['handle: resource'],
  attributes: ['elem_type: type', "stack_name: string = ''"],
  lower: (at) => [
    at.handle({
      kind: 'list',
      id: at.newList(listOf(at.attributes.type('elem_type'), undefined, [])),
    }),
  ],
})

const stackPush = defineOp({
  name: 'StackPushV2',
  inputs: ['handle: resource', 'elem: T'],
  outputs: ['output: T'],
  attributes: ['T: type', 'swap_memory: bool = false'],
  lower: (at) => {
    const id = arrayId(at)
    const content = at.listOf(id)
    const item = at.input('elem')
    at.setList(id, { ...content, elements: [...content.elements, item] })
    return [item]
  },
})

const stackPop = defineOp({
  name: 'StackPopV2',
  inputs: ['handle: resource'],
  outputs: ['elem: elem_type'],
  attributes: ['elem_type: type'],
  lower: (at) => {
    const id = arrayId(at)
    const content = at.listOf(id)
    const last = content.elements[content.elements.length - 1]
    if (last === undefined) throw invalid('run/index', 'Stack is empty when calling Pop().')
    at.setList(id, { ...content, elements: content.elements.slice(0, -1) })
    return [last]
  },
})

/** Lists of tensors. */
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
  tensorArray,
  tensorArrayGrad,
  arrayWrite,
  arrayRead,
  arraySize,
  arrayGather,
  arrayScatter,
  arrayConcat,
  arraySplit,
  closing('TensorArrayCloseV3'),
  stackV2,
  stackPush,
  stackPop,
  closing('StackCloseV2'),
]
