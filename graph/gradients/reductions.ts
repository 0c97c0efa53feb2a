// Gradients of reductions, of running sums and of sums by segment.
// Source: tensorflow/python/ops/math_grad.py.
import { attribute, type Output } from '../builder/index.ts'
import {
  constantIntegers,
  type Flow,
  type GradientFunction,
  type GradientTable,
} from './gradient.ts'

/** A value of the reduction's shape, as it would be had the reduction kept the reduced axes. */
export function withReducedAxes(
  { e, x, y, bool }: ReturnType<typeof reduction>,
  value: Output,
): Output {
  if (bool) return value
  const axes = constantIntegers(y)
  // Axes that all count from one end can be put in one after the other.
  if (axes?.every((axis) => axis >= 0) || axes?.every((axis) => axis < 0)) {
    const sorted = axes[0] >= 0 ? [...axes].sort((a, b) => a - b) : [...axes].sort((a, b) => b - a)
    return sorted.reduce((result, axis) => e.expandDims(result, axis), value)
  }
  return e.reshape(value, keptShape({ e, x, y }))
}

/** The shape of the reduced input with ones at the reduced axes. */
function keptShape({ e, x, y }: Pick<Flow, 'e' | 'x' | 'y'>): Output {
  const shape = e.shape(x)
  const rank = e.rank(x)
  const axes = e.reshape(e.cast(y, 'int32'), [-1])
  const places = e.t('FloorMod', e.add(axes, rank), rank)
  const ones = e.fill(e.shape(places), e.scalar(1, 'int32'))
  return e.op('DynamicStitch', [e.range(0, rank), places, shape, ones], {
    N: attribute.int(2),
    T: attribute.type('int32'),
  })
}

function reduction(at: Flow) {
  return { e: at.e, x: at.x, y: at.y, bool: at.bool('keep_dims') }
}

/** What flows into a sum, for every element that was summed. */
function spread(at: Flow, value: Output): Output {
  return at.e.broadcastTo(withReducedAxes(reduction(at), value), at.e.shape(at.x))
}

const mean: GradientFunction = (at) => {
  const { e, x, out, grad } = at
  const count = (value: Output): Output => e.reduce('Prod', e.shape(value), [0])
  const most = e.t('Maximum', count(out), e.scalar(1, 'int32'))
  const factor = e.floorDiv(count(x), most)
  return [e.div(spread(at, grad), e.cast(factor, grad.dtype)), undefined]
}

/** Of Max and Min: those that were chosen share what flows in. */
const extreme: GradientFunction = (at) => {
  const { e, x, y, out, grad } = at
  const kept = reduction(at)
  const chosen = e.cast(e.t('Equal', withReducedAxes(kept, out), x), grad.dtype)
  const count = e.sum(chosen, y, true)
  return [e.mul(e.div(chosen, count), withReducedAxes(kept, grad)), undefined]
}

const product: GradientFunction = (at) => {
  const { e, x, y, grad } = at
  const shape = e.shape(x)
  const rank = e.rank(x)
  const axes = e.t('FloorMod', e.add(e.reshape(e.cast(y, 'int32'), [-1]), rank), rank)
  const others = e.node('ListDiff', [e.range(0, rank), axes], {
    T: attribute.type('int32'),
    out_idx: attribute.type('int32'),
  }).outputs[0]
  const order = e.concat([axes, others], 0)
  const count = (places: Output): Output => e.reduce('Prod', e.gather(shape, places), [0])
  const moved = e.transpose(x, order)
  const rows = e.reshape(moved, e.pack([count(axes), count(others)]))
  const before = cumulative(at, 'Cumprod', rows, e.scalar(0, 'int32'), true, false)
  const after = cumulative(at, 'Cumprod', rows, e.scalar(0, 'int32'), true, true)
  const rest = e.reshape(e.mul(e.conj(before), e.conj(after)), e.shape(moved))
  const back = e.transpose(rest, e.t('InvertPermutation', order))
  return [e.reshape(e.mul(spread(at, grad), back), shape), undefined]
}

function cumulative(
  { e }: Flow,
  op: string,
  x: Output,
  axis: Output,
  exclusive: boolean,
  reverse: boolean,
): Output {
  return e.op(op, [x, axis], {
    T: attribute.type(x.dtype),
    Tidx: attribute.type(axis.dtype),
    exclusive: attribute.bool(exclusive),
    reverse: attribute.bool(reverse),
  })
}

const cumprod: GradientFunction = (at) => {
  const { e, x, y, grad } = at
  const [exclusive, reverse] = [at.bool('exclusive'), at.bool('reverse')]
  const products = cumulative(at, 'Cumprod', x, y, exclusive, reverse)
  const sums = cumulative(at, 'Cumsum', e.mul(products, grad), y, exclusive, !reverse)
  return [e.t('DivNoNan', sums, x), undefined]
}

const segmentMean: GradientFunction = ({ e, x, y, grad }) => {
  const ones = e.fill(
    e.concat([e.shape(y), e.fill(e.reshape(e.plus(e.rank(x), -1), [1]), e.scalar(1, 'int32'))], 0),
    e.scalar(1, grad.dtype),
  )
  const counts = e.op('SegmentSum', [ones, y], segmentTypes(ones, y))
  return [e.gather(e.div(grad, counts), y), undefined]
}

function segmentTypes(data: Output, ids: Output) {
  return { T: attribute.type(data.dtype), Tindices: attribute.type(ids.dtype) }
}

const segmentExtreme: GradientFunction = ({ e, x, y, out, grad }) => {
  const chosen = e.t('Equal', x, e.gather(out, y))
  const counted = e.cast(chosen, grad.dtype)
  const count = e.op('SegmentSum', [counted, y], segmentTypes(counted, y))
  const shared = e.gather(e.div(grad, count), y)
  return [e.select(chosen, shared, e.zerosLike(shared)), undefined]
}

/** What `ids` pick, zeros where an id is negative: such elements were dropped. */
function gatherKept({ e }: Flow, values: Output, ids: Output): readonly [Output, Output] {
  const gathered = e.gather(values, e.t('Maximum', ids, e.zerosLike(ids)))
  const isKept = e.t('GreaterEqual', ids, e.zerosLike(ids))
  const missing = e.sub(e.rank(gathered), e.rank(ids))
  const ones = e.fill(e.reshape(missing, [1]), e.scalar(1, 'int32'))
  const wide = e.reshape(isKept, e.concat([e.shape(ids), ones], 0))
  return [e.select(wide, gathered, e.zerosLike(gathered)), wide]
}

const unsortedExtreme: GradientFunction = (at) => {
  const { e, inputs, out, grad } = at
  const [data, ids, count] = inputs
  const [best, isKept] = gatherKept(at, out, ids)
  const chosen = e.op('LogicalAnd', [e.t('Equal', data, best), isKept])
  const counts = e.unsortedSegmentSum(e.cast(chosen, grad.dtype), ids, count)
  const [shared] = gatherKept(at, e.div(grad, counts), ids)
  return [e.select(chosen, shared, e.zerosLike(shared)), undefined, undefined]
}

const unsortedProduct: GradientFunction = (at) => {
  const { e, inputs, out, grad } = at
  const [data, ids, count] = inputs
  const zero = e.zerosLike(data)
  const isZero = e.t('Equal', data, zero)
  const zeros = e.unsortedSegmentSum(e.cast(isZero, 'int32'), ids, count)
  const many = e.t('Greater', zeros, e.onesLike(zeros))
  const flow = e.select(many, e.zerosLike(grad), grad)
  const others = e.op(
    'UnsortedSegmentProd',
    [e.select(isZero, e.onesLike(data), data), ids, count],
    {
      T: attribute.type(data.dtype),
      Tindices: attribute.type(ids.dtype),
      Tnumsegments: attribute.type(count.dtype),
    },
  )
  const [product] = gatherKept(at, out, ids)
  const [rest] = gatherKept(at, others, ids)
  const partial = e.select(isZero, rest, e.div(product, e.select(isZero, e.onesLike(data), data)))
  return [e.mul(gatherKept(at, flow, ids)[0], partial), undefined, undefined]
}

/** Of a sum of gathered rows by segment: rows of the gradient, each added where it was taken from. */
const sparseSegmentSum: GradientFunction = ({ e, inputs, grad }) => {
  const [data, indices, ids] = inputs
  const rows = e.element(e.shape(data), 0)
  const flow = e.unsortedSegmentSum(e.gather(grad, ids), indices, rows)
  return inputs.map((_, place) => (place === 0 ? flow : undefined))
}

function sparseSegment(op: string): GradientFunction {
  return (at) => {
    const { e, inputs, grad } = at
    const [data, indices, ids] = inputs
    const flow = e.op(op, [grad, indices, ids, e.element(e.shape(data), 0)], {
      T: attribute.type(grad.dtype),
      ...at.same('Tidx', 'Tsegmentids'),
    })
    return inputs.map((_, place) => (place === 0 ? flow : undefined))
  }
}

/** Reductions. */
export const reductionGradients: GradientTable = {
  Sum: (at) => [spread(at, at.grad), undefined],
  Mean: mean,
  Max: extreme,
  Min: extreme,
  Prod: product,
  EuclideanNorm: (at) => {
    const { e, x, out, grad } = at
    const kept = reduction(at)
    return [e.div(x, e.div(withReducedAxes(kept, out), withReducedAxes(kept, grad))), undefined]
  },
  L2Loss: ({ e, x, grad }) => [e.mul(x, grad)],
  Cumsum: (at) => {
    const flow = cumulative(at, 'Cumsum', at.grad, at.y, at.bool('exclusive'), !at.bool('reverse'))
    return [flow, undefined]
  },
  Cumprod: cumprod,
  SegmentSum: ({ e, y, grad }) => [e.gather(grad, y), undefined],
  SegmentMean: segmentMean,
  SegmentMax: segmentExtreme,
  SegmentMin: segmentExtreme,
  UnsortedSegmentSum: (at) => [gatherKept(at, at.grad, at.y)[0], undefined, undefined],
  UnsortedSegmentMax: unsortedExtreme,
  UnsortedSegmentMin: unsortedExtreme,
  UnsortedSegmentProd: unsortedProduct,
  SparseSegmentSum: sparseSegmentSum,
  SparseSegmentSumWithNumSegments: sparseSegmentSum,
  SparseSegmentMean: sparseSegment('SparseSegmentMeanGrad'),
  SparseSegmentMeanWithNumSegments: sparseSegment('SparseSegmentMeanGrad'),
  SparseSegmentSqrtN: sparseSegment('SparseSegmentSqrtNGrad'),
  SparseSegmentSqrtNWithNumSegments: sparseSegment('SparseSegmentSqrtNGrad'),
}
