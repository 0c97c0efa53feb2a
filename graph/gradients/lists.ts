// Gradients of TensorArrays and TensorLists.
// Source: tensorflow/python/ops/{tensor_array_grad,list_ops}.py.
import { attribute, type Output } from '../builder/index.ts'
import { type Flow, type GradientFunction, type GradientTable, sameFor } from './gradient.ts'

/** The TensorArray that collects the gradients of the node's array: its handle, and a flow to order by. */
function gradientArray(at: Flow, handle: Output, flow: Output): readonly [Output, Output] {
  const { e, source } = at
  const array = e.node(
    'TensorArrayGradV3',
    [handle, flow],
    { source: attribute.text(source) },
    'TensorArrayGrad/TensorArrayGradV3',
  )
  const ordered = e.builder.add({
    op: 'Identity',
    name: 'TensorArrayGrad/gradient_flow',
    inputs: [array.outputs[1]],
    controls: [array],
    attributes: { T: attribute.type('float32') },
  })
  return [array.outputs[0], ordered.outputs[0]]
}

const arrayRead: GradientFunction = (at) => {
  const { e, inputs, grad } = at
  const [handle, index, flow] = inputs
  const [array, ordered] = gradientArray(at, handle, flow)
  const attributes = { T: attribute.type(grad.dtype) }
  return [
    undefined,
    undefined,
    e.op('TensorArrayWriteV3', [array, index, grad, ordered], attributes),
  ]
}

const arrayWrite: GradientFunction = (at) => {
  const { e, inputs, grad } = at
  const [handle, index, value] = inputs
  const [array, ordered] = gradientArray(at, handle, grad)
  const attributes = { dtype: attribute.type(value.dtype) }
  const read = e.op('TensorArrayReadV3', [array, index, ordered], attributes)
  return [undefined, undefined, read, grad]
}

const arrayGather: GradientFunction = (at) => {
  const { e, inputs, grad } = at
  const [handle, indices, flow] = inputs
  const [array, ordered] = gradientArray(at, handle, flow)
  const attributes = { T: attribute.type(grad.dtype) }
  return [
    undefined,
    undefined,
    e.op('TensorArrayScatterV3', [array, indices, grad, ordered], attributes),
  ]
}

const arrayScatter: GradientFunction = (at) => {
  const { e, inputs, grad } = at
  const [handle, indices, value] = inputs
  const [array, ordered] = gradientArray(at, handle, grad)
  const read = e.op('TensorArrayGatherV3', [array, indices, ordered], {
    dtype: attribute.type(value.dtype),
    element_shape: attribute.unknownShape,
  })
  return [undefined, undefined, read, grad]
}

const arrayConcat: GradientFunction = (at) => {
  const { e, inputs, outputs, grad } = at
  const [array, ordered] = gradientArray(at, inputs[0], inputs[1])
  const attributes = { T: attribute.type(grad.dtype) }
  return [undefined, e.op('TensorArraySplitV3', [array, grad, outputs[1], ordered], attributes)]
}

const arraySplit: GradientFunction = (at) => {
  const { e, inputs, grad } = at
  const [array, ordered] = gradientArray(at, inputs[0], grad)
  const read = e.op('TensorArrayConcatV3', [array, ordered], {
    dtype: attribute.type(inputs[1].dtype),
    element_shape_except0: attribute.unknownShape,
  })
  return [undefined, read, undefined, grad]
}

const arrays: GradientTable = {
  ...sameFor(['TensorArrayReadV3', 'TensorArrayReadV2', 'TensorArrayRead'], arrayRead),
  ...sameFor(['TensorArrayWriteV3', 'TensorArrayWriteV2', 'TensorArrayWrite'], arrayWrite),
  ...sameFor(['TensorArrayGatherV3', 'TensorArrayGatherV2', 'TensorArrayGather'], arrayGather),
  ...sameFor(['TensorArrayScatterV3', 'TensorArrayScatterV2', 'TensorArrayScatter'], arrayScatter),
  ...sameFor(['TensorArrayConcatV3', 'TensorArrayConcatV2', 'TensorArrayConcat'], arrayConcat),
  ...sameFor(['TensorArraySplitV3', 'TensorArraySplitV2', 'TensorArraySplit'], arraySplit),
}

function elementType(dtype: Output['dtype']) {
  return { element_dtype: attribute.type(dtype) }
}

/** The shape that the elements of a list have, as far as it is known. */
function elementShape({ e }: Flow, list: Output): Output {
  return e.op('TensorListElementShape', [list], { shape_type: attribute.type('int32') })
}

const listPush: GradientFunction = (at) => {
  const { e, y: value, grad } = at
  const { outputs } = e.node('TensorListPopBack', [grad, e.shape(value)], elementType(value.dtype))
  return [outputs[0], outputs[1]]
}

const listPop: GradientFunction = (at) => {
  const { e, outputs, flows } = at
  const value = flows[1] ?? e.zerosLike(outputs[1])
  const list =
    flows[0] ??
    e.op('EmptyTensorList', [elementShape(at, outputs[0]), e.scalar(-1, 'int32')], {
      ...elementType(value.dtype),
      shape_type: attribute.type('int32'),
    })
  return [e.op('TensorListPushBack', [list, value], elementType(value.dtype)), undefined]
}

const listGet: GradientFunction = (at) => {
  const { e, inputs, grad } = at
  const [list, index] = inputs
  const empty = e.op(
    'TensorListReserve',
    [elementShape(at, list), e.op('TensorListLength', [list])],
    {
      ...elementType(grad.dtype),
      shape_type: attribute.type('int32'),
    },
  )
  const set = e.op('TensorListSetItem', [empty, index, grad], elementType(grad.dtype))
  return [set, undefined, undefined]
}

const listSet: GradientFunction = ({ e, inputs, grad }) => {
  const [, index, item] = inputs
  const types = elementType(item.dtype)
  return [
    e.op('TensorListSetItem', [grad, index, e.zerosLike(item)], types),
    undefined,
    e.op('TensorListGetItem', [grad, index, e.shape(item)], types),
  ]
}

/** The shape of one element of a stacked tensor. */
function innerShape({ e }: Flow, stacked: Output): Output {
  return e.part(e.shape(stacked), 1)
}

function fromTensor(at: Flow, tensor: Output): Output {
  return at.e.op('TensorListFromTensor', [tensor, innerShape(at, tensor)], {
    ...elementType(tensor.dtype),
    shape_type: attribute.type('int32'),
  })
}

const lists: GradientTable = {
  TensorListPushBack: listPush,
  TensorListPopBack: listPop,
  TensorListGetItem: listGet,
  TensorListSetItem: listSet,
  TensorListStack: (at) => [fromTensor(at, at.grad), undefined],
  TensorListFromTensor: (at) => [
    at.e.op('TensorListStack', [at.grad, innerShape(at, at.x)], elementType(at.x.dtype)),
    undefined,
  ],
  TensorListGather: (at) => {
    const { e, inputs, grad } = at
    const [list, indices] = inputs
    const scattered = e.op(
      'TensorListScatterV2',
      [grad, indices, innerShape(at, grad), e.op('TensorListLength', [list])],
      { ...elementType(grad.dtype), shape_type: attribute.type('int32') },
    )
    return [scattered, undefined, undefined]
  },
  ...sameFor(['TensorListScatter', 'TensorListScatterV2'], (at) => {
    const { e, inputs, grad } = at
    const [tensor, indices] = inputs
    const types = elementType(tensor.dtype)
    const read = e.op('TensorListGather', [grad, indices, innerShape(at, tensor)], types)
    return inputs.map((_, place) => (place === 0 ? read : undefined))
  }),
}

/** Arrays and lists of tensors. */
export const listGradients: GradientTable = { ...arrays, ...lists }
