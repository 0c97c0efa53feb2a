// Blocks of space moved into the batch or the depth, and back.
import type { Expression } from '../ir/index.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { moved } from './movement.ts'
import { integersOf, invalid } from './shapes.ts'

const spaceToBatch = defineOp({
  name: 'SpaceToBatchND',
  inputs: ['input: T', 'block_shape: Tblock_shape', 'paddings: Tpaddings'],
  outputs: ['output: T'],
  attributes: [
    'T: type',
    'Tblock_shape: {int32, int64} = int32',
    'Tpaddings: {int32, int64} = int32',
  ],
  lower: (at) => {
    const input = at.input('input')
    const block = integersOf(at.contentOf(at.input('block_shape')))
    const paddings = integersOf(at.contentOf(at.input('paddings')))
    const batch = input.shape[0]
    const spatial = block.map((one, axis) => {
      const size = input.shape[axis + 1] + paddings[2 * axis] + paddings[2 * axis + 1]
      if (size % one !== 0) {
        throw invalid(
          'shape/mismatch',
          `padded_shape[${axis}]=${size} is not divisible by block_shape[${axis}]=${one}`,
        )
      }
      return size / one
    })
    const blocks = block.reduce((product, one) => product * one, 1)
    const rest = input.shape.slice(block.length + 1)
    const shape = [batch * blocks, ...spatial, ...rest]
    return [
      moved(at, input, shape, (b, axes) => {
        const inBlock = b.unflatten(b.quotient(axes[0], batch), block)
        const terms: Expression[] = []
        const places = block.map((one, axis) => {
          const size = input.shape[axis + 1]
          const place = b.sub(b.add(b.mul(axes[axis + 1], one), inBlock[axis]), paddings[2 * axis])
          terms.push(b.within(place, 0, size))
          return place
        })
        const positions = [b.remainder(axes[0], batch), ...places, ...axes.slice(block.length + 1)]
        return { positions, guard: b.and(...terms) }
      }),
    ]
  },
})

const batchToSpace = defineOp({
  name: 'BatchToSpaceND',
  inputs: ['input: T', 'block_shape: Tblock_shape', 'crops: Tcrops'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Tblock_shape: {int32, int64} = int32', 'Tcrops: {int32, int64} = int32'],
  lower: (at) => {
    const input = at.input('input')
    const block = integersOf(at.contentOf(at.input('block_shape')))
    const crops = integersOf(at.contentOf(at.input('crops')))
    const blocks = block.reduce((product, one) => product * one, 1)
    if (input.shape[0] % blocks !== 0) {
      throw invalid(
        'shape/mismatch',
        `Input batch dimension (${input.shape[0]}) is not divisible by product of block sizes (${blocks})`,
      )
    }
    const batch = input.shape[0] / blocks
    const spatial = block.map(
      (one, axis) => input.shape[axis + 1] * one - crops[2 * axis] - crops[2 * axis + 1],
    )
    const shape = [batch, ...spatial, ...input.shape.slice(block.length + 1)]
    return [
      moved(at, input, shape, (b, axes) => {
        let inBlock = b.index(0)
        const places = block.map((one, axis) => {
          const whole = b.add(axes[axis + 1], crops[2 * axis])
          inBlock = b.add(b.mul(inBlock, one), b.remainder(whole, one))
          return b.quotient(whole, one)
        })
        return {
          positions: [
            b.add(b.mul(inBlock, batch), axes[0]),
            ...places,
            ...axes.slice(block.length + 1),
          ],
        }
      }),
    ]
  },
})

/** Batch, height, width and channels in a data format. */
function imageAxes(format: string): readonly [number, number, number, number] {
  return format === 'NCHW' ? [0, 2, 3, 1] : [0, 1, 2, 3]
}

const depthToSpace = defineOp({
  name: 'DepthToSpace',
  inputs: ['input: T'],
  outputs: ['output: T'],
  attributes: ['T: type', 'block_size: int >= 2', "data_format: {'NHWC', 'NCHW'} = 'NHWC'"],
  lower: (at) => {
    const input = at.input('input')
    const block = at.attributes.int('block_size')
    const [n, h, w, c] = imageAxes(at.attributes.text('data_format'))
    const depth = input.shape[c] / (block * block)
    if (!Number.isInteger(depth)) {
      throw invalid(
        'shape/mismatch',
        `Input depth dimension ${input.shape[c]} should be divisible by: ${block * block}`,
      )
    }
    const shape = [...input.shape]
    shape[h] *= block
    shape[w] *= block
    shape[c] = depth
    return [
      moved(at, input, shape, (b, axes) => {
        const positions = new Array<Expression>(4)
        const inBlock = b.add(
          b.mul(b.remainder(axes[h], block), block),
          b.remainder(axes[w], block),
        )
        positions[n] = axes[n]
        positions[h] = b.quotient(axes[h], block)
        positions[w] = b.quotient(axes[w], block)
        positions[c] = b.add(b.mul(inBlock, depth), axes[c])
        return { positions }
      }),
    ]
  },
})

const spaceToDepth = defineOp({
  name: 'SpaceToDepth',
  inputs: ['input: T'],
  outputs: ['output: T'],
  attributes: ['T: type', 'block_size: int >= 2', "data_format: {'NHWC', 'NCHW'} = 'NHWC'"],
  lower: (at) => {
    const input = at.input('input')
    const block = at.attributes.int('block_size')
    const [n, h, w, c] = imageAxes(at.attributes.text('data_format'))
    if (input.shape[h] % block !== 0 || input.shape[w] % block !== 0) {
      throw invalid(
        'shape/mismatch',
        `Image width ${input.shape[w]} and height ${input.shape[h]} should be divisible by block_size: ${block}`,
      )
    }
    const depth = input.shape[c]
    const shape = [...input.shape]
    shape[h] /= block
    shape[w] /= block
    shape[c] = depth * block * block
    return [
      moved(at, input, shape, (b, axes) => {
        const inBlock = b.quotient(axes[c], depth)
        const positions = new Array<Expression>(4)
        positions[n] = axes[n]
        positions[h] = b.add(b.mul(axes[h], block), b.quotient(inBlock, block))
        positions[w] = b.add(b.mul(axes[w], block), b.remainder(inBlock, block))
        positions[c] = b.remainder(axes[c], depth)
        return { positions }
      }),
    ]
  },
})

/** Blocks of space. */
export const blockOps: readonly OpDefinition[] = [
  spaceToBatch,
  batchToSpace,
  depthToSpace,
  spaceToDepth,
]
