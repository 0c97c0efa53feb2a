// Shapes as values, and reshaping: what costs nothing at run time.
import {
  elementCountOf,
  formatShape,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { axisOf, broadcastShape, integerOf, integersOf, invalid, shapeFrom } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** Sizes as a vector of the integer type. */
export function sizesTensor(sizes: readonly number[], dtype: string): Tensor {
  return tensorOfElements(dtype === 'int64' ? 'int64' : 'int32', [sizes.length], sizes)
}

function sizeTensor(size: number, dtype: string): Tensor {
  return tensorOfElements(dtype === 'int64' ? 'int64' : 'int32', [], [size])
}

const shape = defineOp({
  name: 'Shape',
  inputs: ['input: T'],
  outputs: ['output: out_type'],
  attributes: ['T: type', 'out_type: {int32, int64} = int32'],
  lower: (at) => [at.known(sizesTensor(at.input('input').shape, at.attributes.type('out_type')))],
})

const shapeN = defineOp({
  name: 'ShapeN',
  inputs: ['input: N * T'],
  outputs: ['output: N * out_type'],
  attributes: ['N: int >= 1', 'T: type', 'out_type: {int32, int64} = int32'],
  lower: (at) =>
    at
      .inputs('input')
      .map((input) => at.known(sizesTensor(input.shape, at.attributes.type('out_type')))),
})

const size = defineOp({
  name: 'Size',
  inputs: ['input: T'],
  outputs: ['output: out_type'],
  attributes: ['T: type', 'out_type: {int32, int64} = int32'],
  lower: (at) => [
    at.known(sizeTensor(elementCountOf(at.input('input').shape), at.attributes.type('out_type'))),
  ],
})

const rank = defineOp({
  name: 'Rank',
  inputs: ['input: T'],
  outputs: ['output: int32'],
  attributes: ['T: type'],
  lower: (at) => [at.known(sizeTensor(at.input('input').shape.length, 'int32'))],
})

const reshape = defineOp({
  name: 'Reshape',
  inputs: ['tensor: T', 'shape: Tshape'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Tshape: {int32, int64} = int32'],
  lower: (at) => {
    const input = at.input('tensor')
    const content = at.contentOf(at.input('shape'))
    return [at.reshaped(input, wantedShape(input.shape, content))]
  },
})

/** The shape asked for, -1 worked out. */
function wantedShape(from: Shape, content: Tensor): Shape {
  if (content.shape.length !== 1) {
    throw invalid(
      'shape/mismatch',
      `shape must be a vector, but has shape ${formatShape(content.shape)}`,
    )
  }
  const sizes = integersOf(content)
  const count = elementCountOf(from)
  const unknown = sizes.indexOf(-1)
  if (sizes.indexOf(-1, unknown + 1) >= 0 && unknown >= 0 && sizes.lastIndexOf(-1) !== unknown) {
    throw invalid('shape/invalid', 'Only one input size may be -1')
  }
  const negative = sizes.find((one) => one < -1)
  if (negative !== undefined) {
    throw invalid(
      'shape/invalid',
      `Size ${sizes.indexOf(negative)} must be non-negative, not ${negative}`,
    )
  }
  const product = elementCountOf(sizes.filter((_, axis) => axis !== unknown))
  if (unknown >= 0) {
    if (product === 0) {
      // Zeros on both sides are left out of the division.
      if (count !== 0) throw notReshapable(count, product)
      const [whole, known] = [from, sizes].map((all) =>
        elementCountOf(all.filter((one) => one > 0)),
      )
      return sizes.map((one) => (one === -1 ? Math.floor(whole / known) : one))
    }
    if (count % product !== 0) {
      throw invalid(
        'shape/mismatch',
        `Input to reshape is a tensor with ${count} values, but the requested shape requires a multiple of ${product}`,
      )
    }
    return sizes.map((one) => (one === -1 ? count / product : one))
  }
  if (product !== count) throw notReshapable(count, product)
  return sizes
}

function notReshapable(count: number, product: number): Error {
  return invalid(
    'shape/mismatch',
    `Input to reshape is a tensor with ${count} values, but the requested shape has ${product}`,
  )
}

const expandDims = defineOp({
  name: 'ExpandDims',
  inputs: ['input: T', 'dim: Tdim'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Tdim: {int32, int64} = int32'],
  lower: (at) => {
    const input = at.input('input')
    const dim = integerOf(at.contentOf(at.input('dim')), 'dim')
    const rank = input.shape.length
    if (dim < -rank - 1 || dim > rank) {
      throw invalid(
        'shape/axis',
        `Tried to expand dim index ${dim} for tensor with ${rank} dimensions.`,
      )
    }
    const place = dim < 0 ? dim + rank + 1 : dim
    return [at.reshaped(input, input.shape.toSpliced(place, 0, 1))]
  },
})

const squeeze = defineOp({
  name: 'Squeeze',
  inputs: ['input: T'],
  outputs: ['output: T'],
  attributes: ['T: type', 'squeeze_dims: list(int) = []'],
  lower: (at) => {
    const input = at.input('input')
    const rank = input.shape.length
    const dims = new Set(
      at.attributes.ints('squeeze_dims').map((dim) => {
        if (dim < -rank || dim >= rank) {
          throw invalid(
            'shape/axis',
            `Tried to squeeze dim index ${dim} for tensor with ${rank} dimensions.`,
          )
        }
        return dim < 0 ? dim + rank : dim
      }),
    )
    for (const dim of dims) {
      if (input.shape[dim] !== 1) {
        throw invalid(
          'shape/mismatch',
          `Can not squeeze dim[${dim}], expected a dimension of 1, got ${input.shape[dim]}`,
        )
      }
    }
    const kept = input.shape.filter((one, dim) => (dims.size === 0 ? one !== 1 : !dims.has(dim)))
    return [at.reshaped(input, kept)]
  },
})

/** Vectors of sizes, broadcast against each other. */
function broadcastSizes(at: Lowering, names: readonly string[]): readonly Shape[] {
  return names.map((name) => shapeFrom(at.contentOf(at.input(name)), name))
}

const broadcastArgs = defineOp({
  name: 'BroadcastArgs',
  inputs: ['s0: T', 's1: T'],
  outputs: ['r0: T'],
  attributes: ['T: {int32, int64} = int32'],
  lower: (at) => {
    const [a, b] = broadcastSizes(at, ['s0', 's1'])
    return [at.known(sizesTensor(broadcastShape(a, b), at.attributes.type('T')))]
  },
})

const broadcastGradientArgs = defineOp({
  name: 'BroadcastGradientArgs',
  inputs: ['s0: T', 's1: T'],
  outputs: ['r0: T', 'r1: T'],
  attributes: ['T: {int32, int64} = int32'],
  lower: (at) => {
    const [a, b] = broadcastSizes(at, ['s0', 's1'])
    const full = broadcastShape(a, b)
    const reduced = (own: Shape): number[] =>
      [...full.keys()].filter((axis) => {
        const size = own[axis - full.length + own.length]
        return (
          size === undefined || (size === 1 && full[axis] !== 1) || (size === 1 && full[axis] === 1)
        )
      })
    const same = a.length === b.length && a.every((one, axis) => one === b[axis])
    const dtype = at.attributes.type('T')
    return [a, b].map((own) => at.known(sizesTensor(same ? [] : reduced(own), dtype)))
  },
})

const concatOffset = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['concat_dim: int32', 'shape: N * shape_type'],
    outputs: ['offset: N * shape_type'],
    attributes: ['N: int >= 2', 'shape_type: {int32, int64} = int32'],
    lower: (at) => {
      const shapes = at.inputs('shape').map((one) => shapeFrom(at.contentOf(one)))
      const dim = integerOf(at.contentOf(at.input('concat_dim')), 'concat_dim')
      const axis = axisOf(dim, shapes[0].length, 'concat_dim')
      let offset = 0
      return shapes.map((one): TensorValue => {
        const offsets = one.map((_, place) => (place === axis ? offset : 0))
        offset += one[axis]
        return at.known(sizesTensor(offsets, at.attributes.type('shape_type')))
      })
    },
  })

/** Shapes as values, and reshaping. */
export const shapeOps: readonly OpDefinition[] = [
  shape,
  shapeN,
  size,
  rank,
  reshape,
  expandDims,
  squeeze,
  broadcastArgs,
  broadcastGradientArgs,
  concatOffset('ConcatOffset'),
]
