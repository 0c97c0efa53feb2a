// Gradients of ops that move, pick and join elements.
// Source: tensorflow/python/ops/{array_grad,data_flow_grad}.py.
import { attribute, type Expressions, type Output } from '../builder/index.ts'
import {
  constantIntegers,
  type Flow,
  type Gradient,
  type GradientFunction,
  type GradientTable,
  sameFor,
} from './gradient.ts'

/** Only the first input's gradient; nothing flows to what says where. */
function first(rule: (at: Flow) => Gradient | undefined): GradientFunction {
  return (at) => at.inputs.map((_, place) => (place === 0 ? rule(at) : undefined))
}

const likeInput = first(({ e, x, grad }) => e.reshape(grad, e.shape(x)))
/** Slices stay slices. */
const passing: GradientFunction = ({ raw }) => raw

/** An op applied to what flows in, with the other inputs and attributes of the node. */
function again(op?: string, ...attributes: readonly string[]): GradientFunction {
  return first((at) => {
    const { e, node, inputs, grad } = at
    return e.op(op ?? node.op, [grad, ...inputs.slice(1)], at.same(...attributes))
  })
}

/** Slices of the gradient, one for each part that was joined. */
function parted(at: Flow, axis: Output, values: readonly Output[]): Output[] {
  const { e, grad } = at
  if (values.length === 1) return [grad]
  const rank = e.rank(values[0])
  const place = e.t('FloorMod', e.add(e.cast(axis, 'int32'), rank), rank)
  const shapes = values.map((value) => e.shape(value))
  const offsets = e.node('ConcatOffset', [place, ...shapes], {
    N: attribute.int(values.length),
  }).outputs
  return shapes.map((shape, part) => e.slice(grad, offsets[part], shape))
}

const slice: GradientFunction = first(({ e, x, inputs, out, grad }) => {
  const begin = inputs[1]
  const type = begin.dtype === 'int64' ? 'int64' : 'int32'
  const rest = e.sub(e.sub(e.shape(x, type), e.shape(out, type)), begin)
  const paddings = e.pack([begin, rest], 1)
  return e.op('Pad', [grad, paddings], {
    T: attribute.type(grad.dtype),
    Tpaddings: attribute.type(type),
  })
})

const masks = ['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask']

const stridedSlice: GradientFunction = first((at) => {
  const { e, x, inputs, grad } = at
  const type = inputs[1].dtype === 'int64' ? 'int64' : 'int32'
  return e.op('StridedSliceGrad', [e.shape(x, type), ...inputs.slice(1), grad], {
    ...at.same('T', 'Index', ...masks),
  })
})

const tile: GradientFunction = first(({ e, x, y, grad }) => {
  const shape = e.shape(x, y.dtype === 'int64' ? 'int64' : 'int32')
  const split = e.reshape(e.pack([y, shape], 1), [-1])
  const axes = e.range(0, e.size(split), 2)
  return e.reshape(e.sum(e.reshape(grad, split), axes), shape)
})

const pad: GradientFunction = first(({ e, x, y, grad }) => {
  const type = y.dtype === 'int64' ? 'int64' : 'int32'
  const before = e.slice(y, e.cast(e.integers([0, 0]), type), e.cast(e.integers([-1, 1]), type))
  return e.slice(grad, e.reshape(before, [-1]), e.shape(x, type))
})

const broadcastTo: GradientFunction = first(({ e, x, y, grad }) => {
  const shape = e.shape(x, y.dtype === 'int64' ? 'int64' : 'int32')
  const [, axes] = e.broadcastAxes(y, shape)
  return e.reshape(e.sum(grad, axes, true), shape)
})

/** Of rows that were gathered: the rows of the gradient with their places. */
function gatheredRows({ e, grad }: Flow, shape: Output, indices: Output): Gradient {
  const size = e.reshape(e.size(indices), [1])
  const values = e.reshape(grad, e.concat([size, e.part(shape, 1)], 0))
  return { values, indices: e.reshape(indices, size), denseShape: shape }
}

/** Moves axis `from` of `rank` axes to the place `to`, and what is between by one. */
function moved(e: Expressions, x: Output, from: Output, to: Output): Output {
  const rank = e.rank(x)
  const rest = e.node('ListDiff', [e.range(0, rank), e.reshape(from, [1])], {
    T: attribute.type('int32'),
    out_idx: attribute.type('int32'),
  }).outputs[0]
  const order = e.concat([e.part(rest, 0, to), e.reshape(from, [1]), e.part(rest, to)], 0)
  return e.transpose(x, order)
}

/** Of a gather along an inner axis, or within batches. */
function gatheredWithin(at: Flow): Output {
  const { e, x, inputs, grad } = at
  const [, indices, axis] = inputs
  const shape = e.shape(x)
  const rank = e.rank(x)
  const given = at.int('batch_dims', 0)
  const batches = given >= 0 ? e.scalar(given, 'int32') : e.plus(e.rank(indices), given)
  const place = e.t('FloorMod', e.add(e.cast(axis, 'int32'), rank), rank)
  const one = e.scalar(1, 'int32')
  // Shape of the gradient: outer axes, the axes of the indices after the batches, inner axes.
  const outer = e.part(shape, 0, place)
  const inner = e.part(shape, e.add(place, one))
  const batchShape = e.part(shape, 0, batches)
  const indexCount = e.reduce('Prod', e.part(e.shape(indices), batches), [0], true)
  const rows = e.reshape(grad, e.concat([outer, indexCount, inner], 0))
  const extent = e.gather(shape, place)
  const batchCount = e.reduce('Prod', batchShape, [0])
  // Batches and the gathered axis first, then one axis of segments for all batches.
  const leading = moved(e, rows, place, batches)
  const tail = e.part(e.shape(leading), e.add(batches, one))
  const flat = e.reshape(leading, e.concat([e.integers([-1]), tail], 0))
  const perBatch = e.reshape(e.cast(indices, 'int32'), e.pack([batchCount, e.scalar(-1, 'int32')]))
  const starts = e.mul(e.range(0, batchCount), extent)
  const ids = e.reshape(e.add(perBatch, e.expandDims(starts, 1)), [-1])
  const summed = e.unsortedSegmentSum(flat, ids, e.mul(batchCount, extent))
  const whole = e.reshape(summed, e.concat([batchShape, e.reshape(extent, [1]), tail], 0))
  return moved(e, whole, batches, place)
}

const gather: GradientFunction = first((at) => {
  const { e, x, y, inputs } = at
  const isOuter =
    at.int('batch_dims', 0) === 0 && (inputs.length === 2 || constantIntegers(inputs[2])?.[0] === 0)
  return isOuter ? gatheredRows(at, e.shape(x), y) : gatheredWithin(at)
})

const gatherNd = first(({ e, x, y, grad }) => e.scatterNd(y, grad, e.shape(x)))

function variableShape({ e, x }: Flow): Output {
  return e.op('VariableShape', [x], { out_type: attribute.type('int32') })
}

const topK: GradientFunction = first(({ e, x, outputs, grad }) => {
  const shape = e.shape(x)
  const extent = e.element(shape, -1)
  const indices = outputs[1]
  const rows = e.reshape(indices, e.pack([e.scalar(-1, 'int32'), e.element(e.shape(indices), -1)]))
  const count = e.element(e.shape(rows), 0)
  const starts = e.mul(e.range(0, count), extent)
  const places = e.reshape(e.add(rows, e.expandDims(starts, -1)), [-1, 1])
  const size = e.reduce('Prod', shape, [0], true)
  return e.reshape(e.scatterNd(places, e.reshape(grad, [-1]), size), shape)
})

const dynamicPartition: GradientFunction = first(({ e, node, x, y, flows }) => {
  const shape = e.shape(y)
  const places = e.reshape(e.range(0, e.reduce('Prod', shape, [0])), shape)
  const count = node.outputs.length
  const parts = e.node('DynamicPartition', [places, y], {
    num_partitions: attribute.int(count),
    T: attribute.type('int32'),
  }).outputs
  const values = flows.map((flow, place) => flow ?? e.zerosLike(node.outputs[place]))
  const joined = e.op('DynamicStitch', [...parts, ...values], {
    N: attribute.int(count),
    T: attribute.type(values[0].dtype),
  })
  return e.reshape(joined, e.shape(x))
})

const dynamicStitch: GradientFunction = ({ e, inputs, grad }) => {
  const count = inputs.length / 2
  return inputs.map((_, place) =>
    place < count ? undefined : e.gather(grad, inputs[place - count]),
  )
}

const scattering: GradientTable = {
  ScatterNd: ({ e, x, grad }) => [undefined, e.gatherNd(grad, x), undefined],
  TensorScatterUpdate: (at) => {
    const { e, inputs, grad } = at
    const zeros = e.zerosLike(inputs[2])
    const kept = e.op('TensorScatterUpdate', [grad, inputs[1], zeros], {
      ...at.same('T', 'Tindices'),
    })
    return [kept, undefined, e.gatherNd(grad, inputs[1])]
  },
  ...sameFor(['TensorScatterAdd', 'ScatterNdNonAliasingAdd'], ({ e, y, grad }) => [
    grad,
    undefined,
    e.gatherNd(grad, y),
  ]),
  TensorScatterSub: ({ e, y, grad }) => [grad, undefined, e.neg(e.gatherNd(grad, y))],
}

const moving: GradientTable = {
  ...sameFor(['Reshape', 'ExpandDims', 'Squeeze'], likeInput),
  Transpose: first(({ e, y, grad }) => e.transpose(grad, e.t('InvertPermutation', y))),
  ConjugateTranspose: first(({ e, y, grad }) =>
    e.conj(e.transpose(grad, e.t('InvertPermutation', y))),
  ),
  ReverseV2: again(undefined, 'T', 'Tidx'),
  Reverse: again(undefined, 'T'),
  ReverseSequence: again(undefined, 'T', 'Tlen', 'seq_dim', 'batch_dim'),
  Roll: first((at) => {
    const { e, inputs, grad } = at
    return e.op('Roll', [grad, e.neg(inputs[1]), inputs[2]], at.same('T', 'Tshift', 'Taxis'))
  }),
  SpaceToBatchND: again('BatchToSpaceND', 'T', 'Tblock_shape', 'Tcrops', 'Tpaddings'),
  BatchToSpaceND: again('SpaceToBatchND', 'T', 'Tblock_shape', 'Tcrops', 'Tpaddings'),
  SpaceToBatch: again('BatchToSpace', 'T', 'block_size'),
  BatchToSpace: again('SpaceToBatch', 'T', 'block_size'),
  SpaceToDepth: again('DepthToSpace', 'T', 'block_size', 'data_format'),
  DepthToSpace: again('SpaceToDepth', 'T', 'block_size', 'data_format'),
}

const joining: GradientTable = {
  ConcatV2: (at) => {
    const axis = at.inputs[at.inputs.length - 1]
    return [...parted(at, axis, at.inputs.slice(0, -1)), undefined]
  },
  Concat: (at) => [undefined, ...parted(at, at.x, at.inputs.slice(1))],
  Split: (at) => [undefined, at.e.concat(whole(at), at.x)],
  SplitV: (at) => [at.e.concat(whole(at), at.inputs[2]), undefined, undefined],
  Pack: (at) => at.e.unpack(at.grad, at.inputs.length, at.int('axis', 0)),
  Unpack: (at) => [at.e.pack(whole(at), at.int('axis', 0))],
}

/** What flows into all outputs, zeros where nothing does. */
function whole({ e, flows, outputs }: Flow): readonly Output[] {
  return flows.map((flow, place) => flow ?? e.zerosLike(outputs[place]))
}

/** Moving, picking and joining. */
export const arrayGradients: GradientTable = {
  ...moving,
  ...joining,
  ...scattering,
  ...sameFor(
    ['Identity', 'RefIdentity', 'IdentityN', 'Snapshot', 'DeepCopy', 'PlaceholderWithDefault'],
    passing,
  ),
  ...sameFor(
    ['EnsureShape', 'Print', 'ReadVariableOp'],
    first(({ raw }) => raw[0]),
  ),
  ...sameFor(['CheckNumerics', 'CheckNumericsV2'], (at) => {
    const message = at.text('message', '')
    const text = `Not a number (NaN) or infinity (Inf) values detected in gradient. ${message}`
    return [at.e.op(at.node.op, [at.grad], { ...at.same('T'), message: attribute.text(text) })]
  }),
  Fill: ({ e, grad }) => [undefined, e.sum(grad, e.range(0, e.rank(grad)))],
  Slice: slice,
  StridedSlice: stridedSlice,
  StridedSliceGrad: (at) => {
    const { e, inputs, grad } = at
    const flow = e.op('StridedSlice', [grad, ...inputs.slice(1, 4)], {
      ...at.same('T', 'Index', ...masks),
    })
    return [undefined, undefined, undefined, undefined, flow]
  },
  Tile: tile,
  Pad: pad,
  PadV2: pad,
  MirrorPad: again('MirrorPadGrad', 'T', 'Tpaddings', 'mode'),
  MirrorPadGrad: again('MirrorPad', 'T', 'Tpaddings', 'mode'),
  BroadcastTo: broadcastTo,
  ...sameFor(['Gather', 'GatherV2'], gather),
  ResourceGather: first((at) => gatheredRows(at, variableShape(at), at.y)),
  GatherNd: gatherNd,
  ResourceGatherNd: first((at) => at.e.scatterNd(at.y, at.grad, variableShape(at))),
  ...sameFor(['TopK', 'TopKV2'], topK),
  NthElement: first(({ e, x, out, grad }) => {
    const chosen = e.cast(e.t('Equal', e.expandDims(out, -1), x), grad.dtype)
    const count = e.sum(chosen, [-1], true)
    return e.mul(e.div(chosen, count), e.expandDims(grad, -1))
  }),
  DynamicPartition: dynamicPartition,
  ...sameFor(['DynamicStitch', 'ParallelDynamicStitch'], dynamicStitch),
  SparseToDense: ({ e, x, inputs, grad }) => {
    // Places may come as a matrix, as a vector, or as one number; values may be one for all.
    const places = e.reshape(x, e.pack([e.scalar(-1, 'int32'), e.rank(grad)]))
    const each = e.gatherNd(grad, places)
    const shape = e.shape(inputs[2])
    const [axes] = e.broadcastAxes(shape, e.shape(each))
    const rest = e.sub(total(e, grad), total(e, each))
    return [undefined, undefined, e.reshape(e.sum(each, axes), shape), rest]
  },
  SparseTensorDenseAdd: ({ e, x, grad }) => [undefined, e.gatherNd(grad, x), undefined, grad],
}

function total(e: Expressions, x: Output): Output {
  return e.sum(x, e.range(0, e.rank(x)))
}
