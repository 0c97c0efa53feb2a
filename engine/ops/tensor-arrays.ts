// TensorArrays and Stacks: the handle names the content, which the trace replaces.
import { formatShape, Refusal, tensorOfElements } from '../../tensor/index.ts'
import { part, stacked, unstacked } from './array.ts'
import { elementwise, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { countFrom, joinedList, listOf, maxElements, merged, zerosOf } from './lists.ts'
import { integerOf, integersOf, invalid } from './shapes.ts'
import type { ListValue, TensorValue, Value } from './value.ts'

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

/** TensorArrays and Stacks. */
export const tensorArrayOps: readonly OpDefinition[] = [
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
