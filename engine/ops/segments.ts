// Segment ops: sorted, unsorted and sparse, their gradients, and counts.
import {
  elementCountOf,
  formatShape,
  isBigInt,
  isNumeric,
  type Refusal,
  sameShape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { formatPosition, placesWithin } from './indices.ts'
import { type Entries, type Segmentation, segmented } from './segmented.ts'
import { integerOf, integersOf, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

type Rule = Pick<Segmentation, 'combine' | 'divide' | 'empty'>

const sum: Rule = { combine: 'sum', empty: 'zero' }
const product: Rule = { combine: 'product', empty: 'one' }
const mean: Rule = { combine: 'sum', divide: 'count', empty: 'zero' }
const meanOfRoot: Rule = { combine: 'sum', divide: 'root', empty: 'zero' }

function mismatch(message: string): Refusal {
  return invalid('shape/mismatch', message)
}

/** Segments of ids that never fall; refuses others. */
function sortedEntries(ids: Tensor, most: number | undefined): Entries {
  const places = Int32Array.from(integersOf(ids))
  for (const [place, id] of places.entries()) {
    if (id < 0) throw invalid('run/index', 'segment ids must be >= 0')
    if (place > 0 && id < places[place - 1]) {
      throw invalid('run/index', 'segment ids are not increasing')
    }
    if (most !== undefined && id >= most) {
      throw invalid('run/index', `Segment id ${id} out of range [0, ${most})`)
    }
  }
  const last = places.length === 0 ? -1 : places[places.length - 1]
  return { rows: undefined, places, segments: most ?? last + 1 }
}

/** Reduces runs of rows with one id. */
function sortedSegments(name: string, rule: Rule): OpDefinition {
  return defineOp({
    name,
    inputs: ['data: T', 'segment_ids: Tindices'],
    outputs: ['output: T'],
    attributes: ['T: type', 'Tindices: {int32, int64}'],
    lower: (at) => [sortedOf(at, rule, undefined)],
  })
}

function sortedSegmentsV2(name: string, rule: Rule): OpDefinition {
  return defineOp({
    name,
    inputs: ['data: T', 'segment_ids: Tindices', 'num_segments: Tnumsegments'],
    outputs: ['output: T'],
    attributes: ['T: type', 'Tindices: {int32, int64}', 'Tnumsegments: {int32, int64} = int32'],
    lower: (at) => [sortedOf(at, rule, segmentsWanted(at))],
  })
}

function segmentsWanted(at: Lowering): number {
  const wanted = integerOf(at.contentOf(at.input('num_segments')), 'num_segments')
  if (wanted < 0) {
    throw invalid('shape/invalid', `Input num_segments == ${wanted} must not be negative.`)
  }
  return wanted
}

function sortedOf(at: Lowering, rule: Rule, most: number | undefined): TensorValue {
  const [values, ids] = [at.input('data'), at.input('segment_ids')]
  if (ids.shape.length !== 1) throw mismatch('segment_ids should be a vector.')
  if (values.shape.length === 0 || values.shape[0] !== ids.shape[0]) {
    throw mismatch('segment_ids should be the same size as dimension 0 of input.')
  }
  return segmented(at, {
    ...rule,
    values,
    inputs: [ids],
    entriesOf: ([tensor]) => sortedEntries(tensor, most),
    segments: most,
  })
}

/** Reduces rows by ids in any order; negative ids are dropped. */
function unsortedSegments(name: string, rule: Rule): OpDefinition {
  return defineOp({
    name,
    inputs: ['data: T', 'segment_ids: Tindices', 'num_segments: Tnumsegments'],
    outputs: ['output: T'],
    attributes: ['T: type', 'Tindices: {int32, int64}', 'Tnumsegments: {int32, int64} = int32'],
    lower: (at) => {
      const [data, ids] = [at.input('data'), at.input('segment_ids')]
      const segments = segmentsWanted(at)
      const rank = ids.shape.length
      if (!sameShape(data.shape.slice(0, rank), ids.shape)) {
        throw mismatch(
          `data.shape = ${formatShape(data.shape)} does not start with segment_ids.shape = ${formatShape(ids.shape)}`,
        )
      }
      return [
        segmented(at, {
          ...rule,
          values: at.reshaped(data, [elementCountOf(ids.shape), ...data.shape.slice(rank)]),
          inputs: [ids],
          entriesOf: ([tensor]) => unsortedEntries(tensor, segments),
          segments,
        }),
      ]
    },
  })
}

function unsortedEntries(ids: Tensor, segments: number): Entries {
  const places = Int32Array.from(integersOf(ids))
  const bad = places.findIndex((id) => id >= segments)
  if (bad >= 0) {
    throw invalid(
      'run/index',
      `segment_ids${formatPosition(bad, ids.shape)} = ${places[bad]} is out of range [0, ${segments})`,
    )
  }
  return { rows: undefined, places, segments }
}

/** Reduces picked rows by ids that never fall. */
function sparseSegments(name: string, rule: Rule, hasCount: boolean): OpDefinition {
  return defineOp({
    name: `SparseSegment${name}${hasCount ? 'WithNumSegments' : ''}`,
    inputs: [
      'data: T',
      'indices: Tidx',
      'segment_ids: Tsegmentids',
      ...(hasCount ? ['num_segments: Tnumsegments'] : []),
    ],
    outputs: ['output: T'],
    attributes: [
      'T: type',
      'Tidx: {int32, int64} = int32',
      'Tsegmentids: {int32, int64} = int32',
      'sparse_gradient: bool = false',
      ...(hasCount ? ['Tnumsegments: {int32, int64} = int32'] : []),
    ],
    lower: (at) => {
      const [values, indices, ids] = ['data', 'indices', 'segment_ids'].map((one) => at.input(one))
      if (ids.shape.length !== 1) throw mismatch('segment_ids should be a vector.')
      if (indices.shape.length !== 1) throw mismatch('indices should be a vector.')
      if (indices.shape[0] !== ids.shape[0]) {
        throw mismatch('segment_ids and indices should have same size.')
      }
      const segments = hasCount ? segmentsWanted(at) : undefined
      return [
        segmented(at, {
          ...rule,
          values,
          inputs: [indices, ids],
          entriesOf: ([picks, tensor]) => ({
            ...sortedEntries(tensor, segments),
            rows: picked(picks, values.shape[0]),
          }),
          segments,
        }),
      ]
    },
  })
}

function picked(indices: Tensor, size: number): Int32Array {
  return placesWithin(
    indices,
    size,
    (place, index) => `indices[${place}] == ${index} out of range [0, ${size})`,
  )
}

/** The gradient of a sparse segment op: rows of its gradient added up where `indices` say. */
function sparseSegmentsGrad(name: string, rule: Rule): OpDefinition {
  return defineOp({
    name: `SparseSegment${name}Grad`,
    inputs: ['grad: T', 'indices: Tidx', 'segment_ids: Tsegmentids', 'output_dim0: int32'],
    outputs: ['output: T'],
    attributes: ['T: type', 'Tidx: {int32, int64} = int32', 'Tsegmentids: {int32, int64} = int32'],
    lower: (at) => {
      const [grad, indices, ids] = ['grad', 'indices', 'segment_ids'].map((one) => at.input(one))
      const size = integerOf(at.contentOf(at.input('output_dim0')), 'output_dim0')
      const scaled = rule.divide === undefined ? grad : sharesOf(at, grad, ids, rule.divide)
      return [
        segmented(at, {
          ...sum,
          values: scaled,
          inputs: [indices, ids],
          entriesOf: ([picks, tensor]) => ({
            rows: picked(tensor, grad.shape[0]),
            places: picked(picks, size),
            segments: size,
          }),
          segments: size,
        }),
      ]
    },
  })
}

/** Each row of the gradient divided by how many rows its segment had, or the root of that. */
function sharesOf(
  at: Lowering,
  grad: TensorValue,
  ids: TensorValue,
  divide: 'count' | 'root',
): TensorValue {
  const [rows] = grad.shape
  const dtype = scalarType(grad.dtype)
  const [sizes] = at.step({
    inputs: [ids],
    outputs: [{ dtype, shape: [rows] }],
    run: ([tensor]) => {
      const counts = new Float64Array(rows)
      for (const id of picked(tensor, rows)) counts[id]++
      const by = counts.map((count) => (divide === 'root' ? Math.sqrt(count) : count))
      return [tensorOfElements(dtype, [rows], by)]
    },
  })
  return at.compute({
    shape: grad.shape,
    dtype,
    inputs: [grad, sizes],
    body: ({ b, axes, read }) => b.div(read(0, axes), read(1, [axes[0]])),
  })
}

/** How often each whole number occurs, or what its weights add up to. */
const bincount = defineOp({
  name: 'Bincount',
  inputs: ['arr: int32', 'size: int32', 'weights: T'],
  outputs: ['bins: T'],
  attributes: ['T: {int32, int64, float, double}'],
  lower: (at) => {
    const [numbers, weights] = [at.input('arr'), at.input('weights')]
    const size = integerOf(at.contentOf(at.input('size')), 'size')
    if (size < 0) throw invalid('shape/invalid', `size (${size}) must be non-negative`)
    const isWeighted = elementCountOf(weights.shape) > 0
    if (isWeighted && !sameShape(weights.shape, numbers.shape)) {
      throw mismatch(
        `weights must be the same shape as arr or have length 0: ${formatShape(weights.shape)} vs ${formatShape(numbers.shape)}`,
      )
    }
    if (!isWeighted) return [countsOf(at, numbers, size)]
    return [
      segmented(at, {
        ...sum,
        values: at.reshaped(weights, [elementCountOf(weights.shape)]),
        inputs: [numbers],
        entriesOf: ([tensor]) => ({
          rows: undefined,
          places: binsOf(tensor, size),
          segments: size,
        }),
        segments: size,
      }),
    ]
  },
})

/** The bin of each number, -1 where it has none; refuses negative numbers. */
function binsOf(numbers: Tensor, size: number): Int32Array {
  return Int32Array.from(integersOf(numbers), (number) => {
    if (number < 0) throw invalid('run/index', 'Input arr must be non-negative!')
    return number < size ? number : -1
  })
}

function countsOf(at: Lowering, numbers: TensorValue, size: number): TensorValue {
  const dtype = at.attributes.type('T')
  if (!isNumeric(dtype)) throw mismatch('weights must be numbers')
  const [bins] = at.step({
    inputs: [numbers],
    outputs: [{ dtype, shape: [size] }],
    run: ([tensor]) => {
      const counts = new Float64Array(size)
      for (const bin of binsOf(tensor, size)) if (bin >= 0) counts[bin]++
      const elements = isBigInt(dtype) ? Array.from(counts, BigInt) : counts
      return [tensorOfElements(dtype, [size], elements)]
    },
  })
  return bins
}

/** Counts of a vector, or of each row of a matrix; `binary_output`: whether there is any. */
const denseBincount = defineOp({
  name: 'DenseBincount',
  inputs: ['input: Tidx', 'size: Tidx', 'weights: T'],
  outputs: ['output: T'],
  attributes: [
    'Tidx: {int32, int64}',
    'T: {int32, int64, float, double}',
    'binary_output: bool = false',
  ],
  lower: (at) => {
    const [numbers, weights] = [at.input('input'), at.input('weights')]
    const size = integerOf(at.contentOf(at.input('size')), 'size')
    if (size < 0) throw invalid('shape/invalid', `size (${size}) must be non-negative`)
    const { shape } = numbers
    if (shape.length > 2) throw mismatch('Shape must be at most rank 2 but is rank 3')
    const isWeighted = elementCountOf(weights.shape) > 0
    if (isWeighted && !sameShape(weights.shape, shape)) {
      throw mismatch(
        `\`weights\` must be the same shape as \`input\` or a length-0 tensor, in which case it acts as all weights equal to 1. Received ${formatShape(weights.shape)}`,
      )
    }
    const dtype = scalarType(at.attributes.type('T'))
    const isBinary = at.attributes.bool('binary_output')
    const count = elementCountOf(shape)
    const rows = shape.length === 2 ? shape[0] : 1
    const ones = at.compute({
      shape: [count],
      dtype,
      inputs: [],
      body: ({ b }) => b.number(dtype, 1),
    })
    const bins = segmented(at, {
      combine: isBinary ? 'max' : 'sum',
      empty: 'zero',
      values: isWeighted && !isBinary ? at.reshaped(weights, [count]) : ones,
      inputs: [numbers],
      entriesOf: ([tensor]) => ({
        rows: undefined,
        places: binsOf(tensor, size).map((bin, place) =>
          bin < 0 ? -1 : Math.floor(place / (count / rows)) * size + bin,
        ),
        segments: rows * size,
      }),
      segments: rows * size,
    })
    return [at.reshaped(bins, shape.length === 2 ? [rows, size] : [size])]
  },
})

/** Segment ops. */
export const segmentOps: readonly OpDefinition[] = [
  sortedSegments('SegmentSum', sum),
  sortedSegments('SegmentMean', mean),
  sortedSegments('SegmentProd', product),
  sortedSegments('SegmentMin', { combine: 'min', empty: 'zero' }),
  sortedSegments('SegmentMax', { combine: 'max', empty: 'zero' }),
  sortedSegmentsV2('SegmentSumV2', sum),
  sortedSegmentsV2('SegmentProdV2', product),
  sortedSegmentsV2('SegmentMinV2', { combine: 'min', empty: 'limit' }),
  sortedSegmentsV2('SegmentMaxV2', { combine: 'max', empty: 'limit' }),
  unsortedSegments('UnsortedSegmentSum', sum),
  unsortedSegments('UnsortedSegmentProd', product),
  unsortedSegments('UnsortedSegmentMin', { combine: 'min', empty: 'limit' }),
  unsortedSegments('UnsortedSegmentMax', { combine: 'max', empty: 'limit' }),
  ...[false, true].flatMap((hasCount) => [
    sparseSegments('Sum', sum, hasCount),
    sparseSegments('Mean', mean, hasCount),
    sparseSegments('SqrtN', meanOfRoot, hasCount),
  ]),
  sparseSegmentsGrad('Sum', sum),
  sparseSegmentsGrad('Mean', mean),
  sparseSegmentsGrad('SqrtN', meanOfRoot),
  bincount,
  denseBincount,
]
