// Joining and splitting: Concat, Pack, Split; diagonals.
import {
  byteLengthOf,
  elementCountOf,
  formatShape,
  isNumeric,
  numericTensor,
  type Shape,
  type StringTensor,
  sameShape,
  stringTensor,
  type Tensor,
} from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import { isKernelType, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { moved } from './movement.ts'
import { axisOf, integerOf, integersOf, invalid, shapeFrom } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** Inputs that one kernel of a concatenation reads; more go through partial results. */
const maxJoined = 6

/** The values one after another along an axis; all other sizes are equal. */
export function concatenated(
  at: Lowering,
  values: readonly TensorValue[],
  axis: number,
): TensorValue {
  const present = values.filter((value) => value.shape[axis] !== 0)
  if (present.length === 0) return values[0]
  if (present.length === 1) return present[0]
  if (!isKernelType(present[0].dtype)) return concatenatedOnHost(at, present, axis)
  let level = present
  while (level.length > 1) {
    const next: TensorValue[] = []
    for (let start = 0; start < level.length; start += maxJoined) {
      next.push(joined(at, level.slice(start, start + maxJoined), axis))
    }
    level = next
  }
  return level[0]
}

function joined(at: Lowering, values: readonly TensorValue[], axis: number): TensorValue {
  if (values.length === 1) return values[0]
  const offsets: number[] = []
  let size = 0
  for (const value of values) {
    offsets.push(size)
    size += value.shape[axis]
  }
  return at.compute({
    shape: values[0].shape.with(axis, size),
    dtype: scalarType(values[0].dtype),
    inputs: values,
    body: ({ b, axes, read }) => {
      const part = (place: number): Expression => {
        const start = offsets[place]
        const positions = axes.with(axis, b.sub(axes[axis], start))
        return read(
          place,
          positions,
          b.within(axes[axis], start, start + values[place].shape[axis]),
        )
      }
      let value = part(values.length - 1)
      for (let place = values.length - 2; place >= 0; place--) {
        value = b.select(b.less(axes[axis], offsets[place + 1]), part(place), value)
      }
      return value
    },
  })
}

function concatenatedOnHost(
  at: Lowering,
  values: readonly TensorValue[],
  axis: number,
): TensorValue {
  const size = values.reduce((sum, value) => sum + value.shape[axis], 0)
  const shape = values[0].shape.with(axis, size)
  const [output] = at.step({
    inputs: values,
    outputs: [{ dtype: values[0].dtype, shape }],
    run: (tensors) => [concatTensors(tensors, axis, shape)],
  })
  return output
}

/** Tensors of any type one after another along an axis. */
function concatTensors(tensors: readonly Tensor[], axis: number, shape: Shape): Tensor {
  const outer = elementCountOf(shape.slice(0, axis))
  const inner = elementCountOf(shape.slice(axis + 1))
  const { dtype } = tensors[0]
  if (dtype === 'string') {
    const strings: Uint8Array[] = []
    for (let place = 0; place < outer; place++) {
      for (const tensor of tensors as readonly StringTensor[]) {
        const run = tensor.shape[axis] * inner
        strings.push(...tensor.strings.slice(place * run, (place + 1) * run))
      }
    }
    return stringTensor(shape, strings)
  }
  if (!isNumeric(dtype)) throw new Error(`${dtype} has no elements`)
  const size = byteLengthOf(dtype)
  const bytes = new Uint8Array(elementCountOf(shape) * size)
  let offset = 0
  for (let place = 0; place < outer; place++) {
    for (const tensor of tensors) {
      if (tensor.dtype === 'string') continue
      const run = tensor.shape[axis] * inner * size
      bytes.set(tensor.bytes.subarray(place * run, (place + 1) * run), offset)
      offset += run
    }
  }
  return numericTensor(dtype, shape, bytes)
}

/** Axis and values of a concatenation, their shapes checked. */
function concat(at: Lowering, values: readonly TensorValue[], axisValue: TensorValue): TensorValue {
  const rank = values[0].shape.length
  const axis = axisOf(integerOf(at.contentOf(axisValue), 'axis'), rank, 'concatenating dimension')
  for (const [place, value] of values.entries()) {
    const fits =
      value.shape.length === rank &&
      value.shape.every((size, dim) => dim === axis || size === values[0].shape[dim])
    if (!fits) {
      throw invalid(
        'shape/mismatch',
        `ConcatOp : Dimensions of inputs should match: shape[0] = ${formatShape(values[0].shape)} vs. shape[${place}] = ${formatShape(value.shape)}`,
      )
    }
  }
  return concatenated(at, values, axis)
}

const concatV2 = defineOp({
  name: 'ConcatV2',
  inputs: ['values: N * T', 'axis: Tidx'],
  outputs: ['output: T'],
  attributes: ['N: int >= 1', 'T: type', 'Tidx: {int32, int64} = int32'],
  lower: (at) => [concat(at, at.inputs('values'), at.input('axis'))],
})

const concatV1 = defineOp({
  name: 'Concat',
  inputs: ['concat_dim: int32', 'values: N * T'],
  outputs: ['output: T'],
  attributes: ['N: int >= 1', 'T: type'],
  lower: (at) => [concat(at, at.inputs('values'), at.input('concat_dim'))],
})

const parallelConcat = defineOp({
  name: 'ParallelConcat',
  inputs: ['values: N * T'],
  outputs: ['output: T'],
  attributes: ['N: int >= 1', 'T: type', 'shape: shape'],
  lower: (at) => [concatenated(at, at.inputs('values'), 0)],
})

const pack = defineOp({
  name: 'Pack',
  inputs: ['values: N * T'],
  outputs: ['output: T'],
  attributes: ['N: int >= 1', 'T: type', 'axis: int = 0'],
  lower: (at) => [stacked(at, at.inputs('values'), at.attributes.int('axis'))],
})

/** Values of one shape as the elements of a new axis. */
export function stacked(
  at: Lowering,
  values: readonly TensorValue[],
  axisGiven: number,
): TensorValue {
  const { shape } = values[0]
  const axis = axisOf(axisGiven, shape.length + 1)
  for (const [place, value] of values.entries()) {
    if (!sameShape(value.shape, shape)) {
      throw invalid(
        'shape/mismatch',
        `Shapes of all inputs must match: values[0].shape = ${formatShape(shape)} != values[${place}].shape = ${formatShape(value.shape)}`,
      )
    }
  }
  const one = shape.toSpliced(axis, 0, 1)
  if (elementCountOf(shape) === 0) {
    return at.reshaped(values[0], shape.toSpliced(axis, 0, values.length))
  }
  return concatenated(
    at,
    values.map((value) => at.reshaped(value, one)),
    axis,
  )
}

const unpack = defineOp({
  name: 'Unpack',
  inputs: ['value: T'],
  outputs: ['output: num * T'],
  attributes: ['num: int >= 0', 'T: type', 'axis: int = 0'],
  lower: (at) => {
    const value = at.input('value')
    const axis = axisOf(at.attributes.int('axis'), value.shape.length)
    const count = at.attributes.int('num')
    if (value.shape[axis] !== count) {
      throw invalid(
        'shape/mismatch',
        `Input shape axis ${axis} must equal ${count}, got shape ${formatShape(value.shape)}`,
      )
    }
    return unstacked(at, value, axis)
  },
})

/** The elements of an axis, without it. */
export function unstacked(at: Lowering, value: TensorValue, axis: number): readonly TensorValue[] {
  const shape = value.shape.toSpliced(axis, 1)
  return Array.from({ length: value.shape[axis] }, (_, place) =>
    at.reshaped(part(at, value, axis, place, 1), shape),
  )
}

/** `size` elements of an axis from `start`. */
export function part(
  at: Lowering,
  value: TensorValue,
  axis: number,
  start: number,
  size: number,
): TensorValue {
  if (start === 0 && size === value.shape[axis]) return value
  return moved(at, value, value.shape.with(axis, size), (b, axes) => ({
    positions: axes.with(axis, b.add(axes[axis], start)),
  }))
}

const split = defineOp({
  name: 'Split',
  inputs: ['split_dim: int32', 'value: T'],
  outputs: ['output: num_split * T'],
  attributes: ['num_split: int >= 1', 'T: type'],
  lower: (at) => {
    const value = at.input('value')
    const given = integerOf(at.contentOf(at.input('split_dim')), 'split_dim')
    const axis = axisOf(given, value.shape.length, 'split_dim')
    const count = at.attributes.int('num_split')
    if (value.shape[axis] % count !== 0) {
      throw invalid(
        'shape/mismatch',
        `Number of ways to split should evenly divide the split dimension, but got split_dim ${axis} (size = ${value.shape[axis]}) and num_split ${count}`,
      )
    }
    const size = value.shape[axis] / count
    return Array.from({ length: count }, (_, place) => part(at, value, axis, place * size, size))
  },
})

const splitV = defineOp({
  name: 'SplitV',
  inputs: ['value: T', 'size_splits: Tlen', 'split_dim: int32'],
  outputs: ['output: num_split * T'],
  attributes: ['num_split: int >= 1', 'T: type', 'Tlen: {int8, int32, int64} = int64'],
  lower: (at) => {
    const value = at.input('value')
    const given = integerOf(at.contentOf(at.input('split_dim')), 'split_dim')
    const axis = axisOf(given, value.shape.length, 'split_dim')
    const sizes = integersOf(at.contentOf(at.input('size_splits')))
    const whole = value.shape[axis]
    const rest = whole - sizes.reduce((sum, size) => (size === -1 ? sum : sum + size), 0)
    const unknown = sizes.filter((size) => size === -1).length
    if (unknown > 1) throw invalid('shape/invalid', 'There can only be one -1 in the input.')
    if (unknown === 0 ? rest !== 0 : rest < 0) {
      throw invalid(
        'shape/mismatch',
        `Determined shape must either match input shape along split_dim exactly if fully specified, or be less than the size of the input along split_dim if not fully specified.  Got: ${whole - rest}`,
      )
    }
    let start = 0
    return sizes.map((size) => {
      const own = size === -1 ? rest : size
      start += own
      return part(at, value, axis, start - own, own)
    })
  },
})

const diag = defineOp({
  name: 'Diag',
  inputs: ['diagonal: T'],
  outputs: ['output: T'],
  attributes: ['T: type'],
  lower: (at) => {
    const input = at.input('diagonal')
    const rank = input.shape.length
    return [
      moved(at, input, [...input.shape, ...input.shape], (b, axes) => ({
        positions: axes.slice(0, rank),
        guard: b.and(...input.shape.map((_, axis) => b.equal(axes[axis], axes[axis + rank]))),
      })),
    ]
  },
})

const diagPart = defineOp({
  name: 'DiagPart',
  inputs: ['input: T'],
  outputs: ['diagonal: T'],
  attributes: ['T: type'],
  lower: (at) => {
    const input = at.input('input')
    const rank = input.shape.length / 2
    const half = input.shape.slice(0, rank)
    if (!Number.isInteger(rank) || !sameShape(half, input.shape.slice(rank))) {
      throw invalid(
        'shape/mismatch',
        `Invalid shape ${formatShape(input.shape)}: dimensions must be equal in pairs`,
      )
    }
    return [moved(at, input, half, (_b, axes) => ({ positions: [...axes, ...axes] }))]
  },
})

/** Zeros of a shape given as a value. */
const emptyOp = defineOp({
  name: 'Empty',
  inputs: ['shape: int32'],
  outputs: ['output: dtype'],
  attributes: ['dtype: type', 'init: bool = false'],
  lower: (at) => {
    const dtype = scalarType(at.attributes.type('dtype'))
    return [
      at.compute({
        shape: shapeFrom(at.contentOf(at.input('shape'))),
        dtype,
        inputs: [],
        body: ({ b }) => b.number(dtype, 0),
      }),
    ]
  },
})

/** Joining and splitting. */
export const arrayOps: readonly OpDefinition[] = [
  concatV1,
  concatV2,
  parallelConcat,
  pack,
  unpack,
  split,
  splitV,
  diag,
  diagPart,
  emptyOp,
]
