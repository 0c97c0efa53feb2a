// Places of values in sorted lists, and sequences turned around up to their lengths.
import { formatShape, numericTensor, type Tensor } from '../../tensor/index.ts'
import type { Expression, ScalarType } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { axisOf, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

/**
 * How many of `size` sorted elements are smaller than the value (`isUpper`: or equal): a binary search
 * with all its steps written out.
 */
function searched(
  b: Builder,
  size: number,
  elementAt: (place: Expression) => Expression,
  value: Expression,
  isUpper: boolean,
): Expression {
  let found = b.index(0)
  for (let step = 2 ** Math.floor(Math.log2(Math.max(size, 1))); step >= 1; step /= 2) {
    const next = b.add(found, step)
    const inside = b.lessEqual(next, size)
    const element = elementAt(b.min(b.sub(next, 1), size - 1))
    const isBefore = isUpper ? b.lessEqual(element, value) : b.less(element, value)
    found = b.select(b.and(inside, isBefore), next, found)
  }
  return found
}

function bound(name: 'LowerBound' | 'UpperBound'): OpDefinition {
  return defineOp({
    name,
    inputs: ['sorted_inputs: T', 'values: T'],
    outputs: ['output: out_type'],
    attributes: ['T: type', 'out_type: {int32, int64} = int32'],
    lower: (at) => {
      const [sorted, values] = [at.input('sorted_inputs'), at.input('values')]
      if (sorted.shape.length !== 2) {
        throw invalid('shape/mismatch', 'sorted input argument must be a matrix')
      }
      if (values.shape.length !== 2) {
        throw invalid('shape/mismatch', 'values argument must be a matrix')
      }
      if (sorted.shape[0] !== values.shape[0]) {
        throw invalid(
          'shape/mismatch',
          `Leading dim_size of both tensors must match: ${formatShape(sorted.shape)} vs. ${formatShape(values.shape)}`,
        )
      }
      const dtype = scalarType(at.attributes.type('out_type'))
      const size = sorted.shape[1]
      return [
        at.compute({
          shape: values.shape,
          dtype,
          inputs: size === 0 ? [] : [sorted, values],
          body: ({ b, axes, read }) =>
            size === 0
              ? b.number(dtype, 0)
              : b.cast(
                  searched(
                    b,
                    size,
                    (place) => read(0, [axes[0], place]),
                    read(1, axes),
                    name === 'UpperBound',
                  ),
                  dtype,
                ),
        }),
      ]
    },
  })
}

/** How many boundaries lie before each value. */
function bucketized(
  at: Lowering,
  values: TensorValue,
  boundaries: TensorValue,
  isUpper: boolean,
): TensorValue {
  const [size] = boundaries.shape
  // Boundaries are floats; whole numbers are compared as float64, which holds both.
  const dtype = scalarType(values.dtype)
  const wide: ScalarType = dtype === 'float32' ? 'float32' : 'float64'
  return at.compute({
    shape: values.shape,
    dtype: 'int32',
    inputs: size === 0 ? [] : [values, boundaries],
    body: ({ b, axes, read }) => {
      if (size === 0) return b.index(0)
      const value = b.cast(read(0, axes), wide)
      return searched(b, size, (place) => b.cast(read(1, [place]), wide), value, isUpper)
    },
  })
}

const bucketize = defineOp({
  name: 'Bucketize',
  inputs: ['input: T'],
  outputs: ['output: int32'],
  attributes: ['T: {int32, int64, float, double}', 'boundaries: list(float)'],
  infer: (shapes) => shapes,
  lower: (at) => {
    const boundaries = Float32Array.from(at.attributes.floats('boundaries'))
    if (boundaries.some((value, place) => place > 0 && value < boundaries[place - 1])) {
      throw invalid('graph/attribute', 'Expected sorted boundaries')
    }
    const known: Tensor = numericTensor(
      'float32',
      [boundaries.length],
      new Uint8Array(boundaries.buffer),
    )
    return [bucketized(at, at.input('input'), at.known(known), true)]
  },
})

const boostedTreesBucketize = defineOp({
  name: 'BoostedTreesBucketize',
  inputs: ['float_values: num_features * float', 'bucket_boundaries: num_features * float'],
  outputs: ['buckets: num_features * int32'],
  attributes: ['num_features: int'],
  lower: (at) => {
    const boundaries = at.inputs('bucket_boundaries')
    return at
      .inputs('float_values')
      .map((values, place) => bucketized(at, values, boundaries[place], false))
  },
})

/** The first elements of each sequence in reverse, as many as its length; the others as they are. */
const reverseSequence = defineOp({
  name: 'ReverseSequence',
  inputs: ['input: T', 'seq_lengths: Tlen'],
  outputs: ['output: T'],
  attributes: ['seq_dim: int', 'batch_dim: int = 0', 'T: type', 'Tlen: {int32, int64} = int64'],
  infer: ([shape]) => [shape],
  lower: (at) => {
    const [input, lengths] = [at.input('input'), at.input('seq_lengths')]
    const { shape } = input
    const sequence = axisOf(at.attributes.int('seq_dim'), shape.length, 'seq_dim')
    const batch = axisOf(at.attributes.int('batch_dim'), shape.length, 'batch_dim')
    if (sequence === batch) {
      throw invalid('shape/axis', `batch_dim == seq_dim == ${sequence}`)
    }
    if (lengths.shape.length !== 1 || lengths.shape[0] !== shape[batch]) {
      throw invalid(
        'shape/mismatch',
        `Length of seq_lengths != input.dims(${batch}), (${lengths.shape[0]} vs. ${shape[batch]})`,
      )
    }
    const size = shape[sequence]
    return [
      at.compute({
        shape,
        dtype: scalarType(input.dtype),
        inputs: [input, lengths],
        body: ({ b, axes, read }) => {
          const length = b.cast(read(1, [axes[batch]]), 'int32')
          const turned = b.sub(b.sub(length, 1), axes[sequence])
          const place = b.select(b.less(axes[sequence], length), turned, axes[sequence])
          return read(0, axes.with(sequence, b.max(b.min(place, size - 1), 0)))
        },
        checks: ({ b, axes, read }) => {
          const length = read(1, [axes[batch]])
          return [
            {
              ok: b.and(b.greaterEqual(length, 0), b.lessEqual(length, size)),
              shown: length,
              message: (position, shown) => ({
                code: 'INVALID_ARGUMENT',
                reason: 'run/index',
                message:
                  Number(shown) < 0
                    ? `seq_lens(${position[batch]}) < 0`
                    : `seq_lens(${position[batch]}) > input.dims(${sequence})`,
              }),
            },
          ]
        },
      }),
    ]
  },
})

/** Searches in sorted lists, and sequences. */
export const searchOps: readonly OpDefinition[] = [
  bound('LowerBound'),
  bound('UpperBound'),
  bucketize,
  boostedTreesBucketize,
  reverseSequence,
]
