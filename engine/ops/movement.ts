// Ops that only move elements: index arithmetic in the reading of their input.
import { elementCountOf, formatShape, type Shape, sameShape } from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { isKernelType, scalarType } from './common.ts'
import { complexElementwise, isComplex } from './complex-ops.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { moveOnHost } from './host-movement.ts'
import {
  axisOf,
  broadcastPositions,
  broadcastShape,
  integersOf,
  invalid,
  shapeFrom,
} from './shapes.ts'
import { maskAttributes, stridedSliceOf } from './strided-slice.ts'
import type { TensorValue } from './value.ts'

/** Where an element of the result comes from: an input and a position in it; undefined: the fill. */
export type Movement = (
  b: Builder,
  axes: readonly Expression[],
) => { readonly positions: readonly Expression[]; readonly guard?: Expression }

/**
 * The result of moving elements of one input. Types without kernels move on the host. `fill` is read
 * where the guard is false; zero without one.
 */
export function moved(
  at: Lowering,
  input: TensorValue,
  shape: Shape,
  movement: Movement,
  fill?: TensorValue,
): TensorValue {
  if (!isKernelType(input.dtype)) return moveOnHost(at, input, shape, movement, fill)
  const dtype = scalarType(input.dtype)
  return at.compute({
    shape,
    dtype,
    inputs: fill === undefined ? [input] : [input, fill],
    body: ({ b, axes, read }) => {
      const { positions, guard } = movement(b, axes)
      const value = read(0, positions, guard)
      return guard === undefined || fill === undefined ? value : b.select(guard, value, read(1, []))
    },
  })
}

const transpose = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['x: T', 'perm: Tperm'],
    outputs: ['y: T'],
    attributes: ['T: type', 'Tperm: {int32, int64} = int32'],
    lower: (at) => {
      const given = at.input('x')
      const isConjugated = name === 'ConjugateTranspose' && isComplex(given.dtype)
      const x = isConjugated ? complexElementwise(at, [given]) : given
      const perm = integersOf(at.contentOf(at.input('perm')))
      const rank = x.shape.length
      if (perm.length !== rank) {
        throw invalid(
          'shape/mismatch',
          `transpose expects a vector of size ${rank}. But input(1) is a vector of size ${perm.length}`,
        )
      }
      const axes = perm.map((axis) => (axis < 0 ? axis + rank : axis))
      for (const [place, axis] of axes.entries()) {
        if (axis < 0 || axis >= rank) {
          throw invalid('shape/axis', `${perm[place]} is out of range [0 .. ${rank})`)
        }
        if (axes.indexOf(axis) !== place) {
          throw invalid('shape/axis', `${axis} is missing from {${perm.join(',')}}.`)
        }
      }
      const shape = axes.map((axis) => x.shape[axis])
      // Dimensions of one element may go anywhere: where the others keep their order nothing moves.
      const wide = axes.filter((axis) => x.shape[axis] !== 1)
      if (wide.every((axis, place) => place === 0 || axis > wide[place - 1])) {
        return [at.reshaped(x, shape)]
      }
      return [
        moved(at, x, shape, (_b, out) => {
          const positions = new Array<Expression>(rank)
          for (const [place, axis] of axes.entries()) positions[axis] = out[place]
          return { positions }
        }),
      ]
    },
  })

/** A part of the input from `begin`, every `strides`th element. */
function sliced(
  at: Lowering,
  input: TensorValue,
  begin: readonly number[],
  shape: Shape,
  strides: readonly number[] = shape.map(() => 1),
): TensorValue {
  if (sameShape(input.shape, shape) && strides.every((stride) => stride === 1)) return input
  return moved(at, input, shape, (b, axes) => ({
    positions: axes.map((axis, place) =>
      shape[place] === 1 ? b.index(begin[place]) : b.add(b.mul(axis, strides[place]), begin[place]),
    ),
  }))
}

const slice = defineOp({
  name: 'Slice',
  inputs: ['input: T', 'begin: Index', 'size: Index'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Index: {int32, int64}'],
  lower: (at) => {
    const input = at.input('input')
    const begin = integersOf(at.contentOf(at.input('begin')))
    const size = integersOf(at.contentOf(at.input('size')))
    const rank = input.shape.length
    if (begin.length !== rank || size.length !== rank) {
      throw invalid(
        'shape/mismatch',
        `Expected begin and size arguments to be 1-D tensors of size ${rank}, but got shapes [${begin.length}] and [${size.length}] instead.`,
      )
    }
    const shape = size.map((one, axis) => (one === -1 ? input.shape[axis] - begin[axis] : one))
    for (let axis = 0; axis < rank; axis++) {
      const limit = input.shape[axis]
      if (begin[axis] < 0 || begin[axis] > limit) {
        throw invalid(
          'shape/slice',
          `Expected begin[${axis}] in [0, ${limit}], but got ${begin[axis]}`,
        )
      }
      if (shape[axis] < 0 || begin[axis] + shape[axis] > limit) {
        throw invalid(
          'shape/slice',
          `Expected size[${axis}] in [0, ${limit - begin[axis]}], but got ${size[axis]}`,
        )
      }
    }
    return [sliced(at, input, begin, shape)]
  },
})

const stridedSlice = defineOp({
  name: 'StridedSlice',
  inputs: ['input: T', 'begin: Index', 'end: Index', 'strides: Index'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Index: {int16, int32, int64}', ...maskAttributes],
  lower: (at) => {
    const input = at.input('input')
    const { begin, strides, processing, final } = stridedSliceOf(at, input.shape)
    return [at.reshaped(sliced(at, input, begin, processing, strides), final)]
  },
})

/** The gradient of a strided slice: the slice put into zeros. */
const stridedSliceGrad = defineOp({
  name: 'StridedSliceGrad',
  inputs: ['shape: Index', 'begin: Index', 'end: Index', 'strides: Index', 'dy: T'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Index: {int32, int64}', ...maskAttributes],
  lower: (at) => {
    const shape = shapeFrom(at.contentOf(at.input('shape')))
    const { begin, strides, processing } = stridedSliceOf(at, shape)
    const dy = at.reshaped(at.input('dy'), processing)
    return [moved(at, dy, shape, scattered(begin, strides, processing))]
  },
})

/** Reads the element of a slice that lies at a position of the whole. */
export function scattered(
  begin: readonly number[],
  strides: readonly number[],
  shape: Shape,
): Movement {
  return (b, axes) => {
    const terms: Expression[] = []
    const positions = axes.map((axis, place) => {
      // A negative stride walks down from `begin`; the lowest element is counted from there.
      const stride = Math.abs(strides[place])
      const isDown = strides[place] < 0
      const low = isDown ? begin[place] + (shape[place] - 1) * strides[place] : begin[place]
      const offset = b.sub(axis, low)
      terms.push(b.within(axis, low, low + (shape[place] - 1) * stride + 1))
      if (stride !== 1) terms.push(b.equal(b.remainder(offset, stride), 0))
      const place0 = stride === 1 ? offset : b.quotient(offset, stride)
      return isDown ? b.sub(shape[place] - 1, place0) : place0
    })
    return { positions, guard: b.and(...terms) }
  }
}

const pad = (name: string, hasValue: boolean): OpDefinition =>
  defineOp({
    name,
    inputs: ['input: T', 'paddings: Tpaddings', ...(hasValue ? ['constant_values: T'] : [])],
    outputs: ['output: T'],
    attributes: ['T: type', 'Tpaddings: {int32, int64} = int32'],
    lower: (at) => {
      const input = at.input('input')
      const { before, shape } = paddingsOf(at, input.shape)
      const fill = hasValue ? at.input('constant_values') : undefined
      return [
        moved(
          at,
          input,
          shape,
          padded(before, input.shape),
          fill === undefined ? fill : at.reshaped(fill, []),
        ),
      ]
    },
  })

function padded(before: readonly number[], shape: Shape): Movement {
  return (b, axes) => ({
    positions: axes.map((axis, place) => b.sub(axis, before[place])),
    guard: b.and(
      ...axes.map((axis, place) => b.within(axis, before[place], before[place] + shape[place])),
    ),
  })
}

function paddingsOf(
  at: Lowering,
  shape: Shape,
): {
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly shape: Shape
} {
  const content = at.contentOf(at.input('paddings'))
  if (content.shape.length !== 2 || content.shape[0] !== shape.length || content.shape[1] !== 2) {
    throw invalid(
      'shape/mismatch',
      `paddings must be a matrix with 2 columns and ${shape.length} rows: ${formatShape(content.shape)}`,
    )
  }
  const all = integersOf(content)
  const before = shape.map((_, axis) => all[2 * axis])
  const after = shape.map((_, axis) => all[2 * axis + 1])
  const negative = all.find((one) => one < 0)
  if (negative !== undefined) {
    throw invalid('shape/invalid', `Paddings must be non-negative: ${negative}`)
  }
  return { before, after, shape: shape.map((one, axis) => one + before[axis] + after[axis]) }
}

const mirrorPad = defineOp({
  name: 'MirrorPad',
  inputs: ['input: T', 'paddings: Tpaddings'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Tpaddings: {int32, int64} = int32', "mode: {'REFLECT', 'SYMMETRIC'}"],
  lower: (at) => {
    const input = at.input('input')
    const { before, after, shape } = paddingsOf(at, input.shape)
    const edge = at.attributes.text('mode') === 'SYMMETRIC' ? 0 : 1
    for (const [axis, one] of input.shape.entries()) {
      if (before[axis] > one - edge || after[axis] > one - edge) {
        throw invalid(
          'shape/invalid',
          `paddings must be ${edge === 0 ? 'no greater than' : 'less than'} the dimension size: ${before[axis]}, ${after[axis]} not less than ${one}`,
        )
      }
    }
    return [
      moved(at, input, shape, (b, axes) => ({
        positions: axes.map((axis, place) => {
          const size = input.shape[place]
          const from = b.sub(axis, before[place])
          const low = b.select(b.less(from, 0), b.sub(edge - 1, from), from)
          return b.select(b.less(low, size), low, b.sub(2 * size - 1 - edge, low))
        }),
      })),
    ]
  },
})

const broadcastTo = defineOp({
  name: 'BroadcastTo',
  inputs: ['input: T', 'shape: Tidx'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Tidx: {int32, int64} = int32'],
  lower: (at) => {
    const input = at.input('input')
    const shape = shapeFrom(at.contentOf(at.input('shape')))
    if (
      input.shape.length > shape.length ||
      !sameShape(broadcastShape(input.shape, shape), shape)
    ) {
      throw invalid(
        'shape/mismatch',
        `Incompatible shapes: ${formatShape(input.shape)} vs. ${formatShape(shape)}`,
      )
    }
    return [broadcastValue(at, input, shape)]
  },
})

/** The value repeated to a shape that it broadcasts to. */
export function broadcastValue(at: Lowering, input: TensorValue, shape: Shape): TensorValue {
  if (sameShape(input.shape, shape)) return input
  return moved(at, input, shape, (b, axes) => ({
    positions: broadcastPositions(b, axes, input.shape),
  }))
}

const tile = defineOp({
  name: 'Tile',
  inputs: ['input: T', 'multiples: Tmultiples'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Tmultiples: {int32, int64} = int32'],
  lower: (at) => {
    const input = at.input('input')
    const multiples = integersOf(at.contentOf(at.input('multiples')))
    if (multiples.length !== input.shape.length) {
      throw invalid(
        'shape/mismatch',
        `Expected multiples argument to be a vector of length ${input.shape.length} but got length ${multiples.length}`,
      )
    }
    const negative = multiples.findIndex((one) => one < 0)
    if (negative >= 0) {
      throw invalid(
        'shape/invalid',
        `Expected multiples[${negative}] >= 0, but got ${multiples[negative]}`,
      )
    }
    const shape = input.shape.map((one, axis) => one * multiples[axis])
    if (sameShape(shape, input.shape)) return [input]
    return [
      moved(at, input, shape, (b, axes) => ({
        positions: axes.map((axis, place) =>
          multiples[place] === 1 ? axis : b.remainder(axis, Math.max(input.shape[place], 1)),
        ),
      })),
    ]
  },
})

const fill = defineOp({
  name: 'Fill',
  inputs: ['dims: index_type', 'value: T'],
  outputs: ['output: T'],
  attributes: ['T: type', 'index_type: {int32, int64} = int32'],
  lower: (at) => {
    const value = at.input('value')
    if (elementCountOf(value.shape) !== 1 || value.shape.length > 0) {
      throw invalid(
        'shape/mismatch',
        `value must be a scalar, got shape ${formatShape(value.shape)}`,
      )
    }
    return [broadcastValue(at, value, shapeFrom(at.contentOf(at.input('dims')), 'dims'))]
  },
})

const reverse = defineOp({
  name: 'ReverseV2',
  inputs: ['tensor: T', 'axis: Tidx'],
  outputs: ['output: T'],
  attributes: ['Tidx: {int32, int64} = int32', 'T: type'],
  lower: (at) => {
    const input = at.input('tensor')
    const rank = input.shape.length
    const reversed = integersOf(at.contentOf(at.input('axis'))).map((axis) => axisOf(axis, rank))
    if (new Set(reversed).size !== reversed.length) {
      throw invalid(
        'shape/axis',
        `axis ${reversed.find((one, place) => reversed.indexOf(one) !== place)} specified more than once.`,
      )
    }
    if (reversed.every((axis) => input.shape[axis] <= 1)) return [input]
    return [
      moved(at, input, input.shape, (b, axes) => ({
        positions: axes.map((axis, place) =>
          reversed.includes(place) ? b.sub(input.shape[place] - 1, axis) : axis,
        ),
      })),
    ]
  },
})

const roll = defineOp({
  name: 'Roll',
  inputs: ['input: T', 'shift: Tshift', 'axis: Taxis'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Tshift: {int32, int64}', 'Taxis: {int32, int64}'],
  lower: (at) => {
    const input = at.input('input')
    const shifts = integersOf(at.contentOf(at.input('shift')))
    const axes = integersOf(at.contentOf(at.input('axis')))
    if (shifts.length !== axes.length) {
      throw invalid('shape/mismatch', 'shift and axis must have the same size')
    }
    const total = input.shape.map(() => 0)
    for (const [place, axis] of axes.entries()) {
      total[axisOf(axis, input.shape.length)] += shifts[place]
    }
    return [
      moved(at, input, input.shape, (b, out) => ({
        positions: out.map((axis, place) => {
          const size = Math.max(input.shape[place], 1)
          const shift = ((total[place] % size) + size) % size
          return shift === 0 ? axis : b.remainder(b.add(axis, size - shift), size)
        }),
      })),
    ]
  },
})

/** Ops that only move elements. */
export const movementOps: readonly OpDefinition[] = [
  transpose('Transpose'),
  transpose('ConjugateTranspose'),
  slice,
  stridedSlice,
  stridedSliceGrad,
  pad('Pad', false),
  pad('PadV2', true),
  mirrorPad,
  broadcastTo,
  tile,
  fill,
  reverse,
  roll,
]
