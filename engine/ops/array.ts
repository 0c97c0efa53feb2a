// Joining, splitting and picking: Concat, Pack, Split, Gather, OneHot, diagonals.
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
import type { Builder } from './builder.ts'
import { isKernelType, narrowIndices, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { gathered } from './host-movement.ts'
import { moved } from './movement.ts'
import { axisOf, integerOf, integersOf, invalid, shapeFrom } from './shapes.ts'
import type { ComputeCheck, TensorValue } from './value.ts'

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
export function concatTensors(tensors: readonly Tensor[], axis: number, shape: Shape): Tensor {
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

/** A check that an index lies within a dimension, in TensorFlow's words. */
export function indexCheck(
  b: Builder,
  index: Expression,
  size: number,
  placeOf: (position: readonly number[]) => readonly number[],
  options: { readonly name?: string; readonly narrowed?: boolean } = {},
): ComputeCheck {
  const { name = 'indices', narrowed = false } = options
  return {
    ok: b.and(b.greaterEqual(index, 0), b.less(index, size)),
    ...(narrowed ? {} : { shown: index }),
    message: (position, shown) => {
      const place = placeOf(position)
      const shownPlace = place.length === 0 ? '' : `[${place.join(',')}]`
      return {
        code: 'INVALID_ARGUMENT',
        reason: 'run/index',
        message: `${name}${shownPlace}${shown === '' ? '' : ` = ${shown}`} is not in [0, ${size})`,
      }
    },
  }
}

/** Picks slices of `params` along `axis`; leading `batch` dimensions are paired with those of the indices. */
export function gatherSlices(
  at: Lowering,
  params: TensorValue,
  given: TensorValue,
  axis: number,
  batch: number,
): TensorValue {
  const indices = isKernelType(params.dtype) ? narrowIndices(at, given, params.shape[axis]) : given
  const picked = indices.shape.slice(batch)
  const shape = [...params.shape.slice(0, axis), ...picked, ...params.shape.slice(axis + 1)]
  const size = params.shape[axis]
  const indexAxes = (axes: readonly Expression[]): readonly Expression[] => [
    ...axes.slice(0, batch),
    ...axes.slice(axis, axis + picked.length),
  ]
  if (!isKernelType(params.dtype)) return gatherOnHost(at, params, indices, axis, batch, shape)
  if (size === 0 && elementCountOf(indices.shape) > 0 && elementCountOf(shape) === 0) {
    return at.known(numericTensor(scalarType(params.dtype), shape, new Uint8Array(0)))
  }
  return at.compute({
    shape,
    dtype: scalarType(params.dtype),
    inputs: [params, indices],
    body: ({ b, axes, read }) => {
      const index = b.cast(read(1, indexAxes(axes)), 'int32')
      return read(0, [...axes.slice(0, axis), index, ...axes.slice(axis + picked.length)])
    },
    checks: ({ b, axes, read }) => [
      indexCheck(
        b,
        read(1, indexAxes(axes)),
        size,
        (position) => [...position.slice(0, batch), ...position.slice(axis, axis + picked.length)],
        { narrowed: indices !== given },
      ),
    ],
  })
}

function gatherOnHost(
  at: Lowering,
  params: TensorValue,
  indices: TensorValue,
  axis: number,
  batch: number,
  shape: Shape,
): TensorValue {
  const [output] = at.step({
    inputs: [params, indices],
    outputs: [{ dtype: params.dtype, shape }],
    run: ([tensor, picks]) => {
      const places = integersOf(picks)
      const size = params.shape[axis]
      const bad = places.findIndex((place) => place < 0 || place >= size)
      if (bad >= 0) {
        throw invalid('run/index', `indices[${bad}] = ${places[bad]} is not in [0, ${size})`)
      }
      const outerBatch = elementCountOf(params.shape.slice(0, batch))
      const outer = elementCountOf(params.shape.slice(batch, axis))
      const inner = elementCountOf(params.shape.slice(axis + 1))
      const count = places.length / Math.max(outerBatch, 1)
      const sources: number[] = []
      for (let group = 0; group < outerBatch; group++) {
        for (let place = 0; place < outer; place++) {
          for (let pick = 0; pick < count; pick++) {
            const index = places[group * count + pick]
            const from = ((group * outer + place) * size + index) * inner
            for (let one = 0; one < inner; one++) sources.push(from + one)
          }
        }
      }
      return [gathered(tensor, shape, sources)]
    },
  })
  return output
}

const gatherV2 = defineOp({
  name: 'GatherV2',
  inputs: ['params: Tparams', 'indices: Tindices', 'axis: Taxis'],
  outputs: ['output: Tparams'],
  attributes: [
    'batch_dims: int = 0',
    'Tparams: type',
    'Tindices: {int16, int32, int64}',
    'Taxis: {int32, int64}',
  ],
  lower: (at) => {
    const [params, indices] = [at.input('params'), at.input('indices')]
    const axis = axisOf(integerOf(at.contentOf(at.input('axis')), 'axis'), params.shape.length)
    const dims = at.attributes.int('batch_dims')
    const batch = dims < 0 ? dims + indices.shape.length : dims
    if (batch > axis || batch > indices.shape.length) {
      throw invalid(
        'shape/invalid',
        `batch_dims (${batch}) must be less than or equal to axis (${axis}).`,
      )
    }
    return [gatherSlices(at, params, indices, axis, batch)]
  },
})

const gather = defineOp({
  name: 'Gather',
  inputs: ['params: Tparams', 'indices: Tindices'],
  outputs: ['output: Tparams'],
  attributes: ['validate_indices: bool = true', 'Tparams: type', 'Tindices: {int32, int64}'],
  lower: (at) => {
    const params = at.input('params')
    if (params.shape.length === 0)
      throw invalid('shape/mismatch', 'params must be at least 1 dimensional')
    return [gatherSlices(at, params, at.input('indices'), 0, 0)]
  },
})

const resourceGather = defineOp({
  name: 'ResourceGather',
  inputs: ['resource: resource', 'indices: Tindices'],
  outputs: ['output: dtype'],
  attributes: [
    'batch_dims: int = 0',
    'validate_indices: bool = true',
    'dtype: type',
    'Tindices: {int32, int64}',
  ],
  lower: (at) => {
    const params = at.read(at.variableOf(at.rawInputs('resource')[0]))
    const batch = at.attributes.int('batch_dims')
    return [gatherSlices(at, params, at.input('indices'), batch, batch)]
  },
})

/** Picks the slices that index vectors (the last axis of `indices`) name. */
export function gatherNd(at: Lowering, params: TensorValue, given: TensorValue): TensorValue {
  const indices = narrowIndices(at, given, 2 ** 31 - 1)
  const depth = indices.shape[indices.shape.length - 1] ?? 0
  const outer = indices.shape.slice(0, -1)
  if (depth > params.shape.length) {
    throw invalid(
      'shape/mismatch',
      `index innermost dimension length must be <= params rank; saw: ${depth} vs. ${params.shape.length}`,
    )
  }
  const shape = [...outer, ...params.shape.slice(depth)]
  return at.compute({
    shape,
    dtype: scalarType(params.dtype),
    inputs: [params, indices],
    body: ({ b, axes, read }) => {
      const lead = axes.slice(0, outer.length)
      const picks = Array.from({ length: depth }, (_, place) =>
        b.cast(read(1, [...lead, b.index(place)]), 'int32'),
      )
      return read(0, [...picks, ...axes.slice(outer.length)])
    },
    checks: ({ b, axes, read }) => {
      const lead = axes.slice(0, outer.length)
      return Array.from({ length: depth }, (_, place) => {
        const index = read(1, [...lead, b.index(place)])
        return {
          ok: b.and(b.greaterEqual(index, 0), b.less(index, params.shape[place])),
          shown: index,
          message: (position: readonly number[]) => ({
            code: 'INVALID_ARGUMENT' as const,
            reason: 'run/index',
            message: `indices[${position.slice(0, outer.length).join(',')}] does not index into param shape ${formatShape(params.shape)}`,
          }),
        }
      })
    },
  })
}

const gatherNdOp = defineOp({
  name: 'GatherNd',
  inputs: ['params: Tparams', 'indices: Tindices'],
  outputs: ['output: Tparams'],
  attributes: ['Tparams: type', 'Tindices: {int16, int32, int64}'],
  lower: (at) => [gatherNd(at, at.input('params'), at.input('indices'))],
})

const oneHot = defineOp({
  name: 'OneHot',
  inputs: ['indices: TI', 'depth: int32', 'on_value: T', 'off_value: T'],
  outputs: ['output: T'],
  attributes: ['axis: int = -1', 'T: type', 'TI: {uint8, int8, int32, int64} = int64'],
  lower: (at) => {
    const depth = integerOf(at.contentOf(at.input('depth')), 'depth')
    const indices = narrowIndices(at, at.input('indices'), Math.max(depth, 0))
    if (depth < 0) throw invalid('shape/invalid', `depth must be non-negative, got: ${depth}`)
    const on = at.input('on_value')
    const rank = indices.shape.length
    const axis = axisOf(at.attributes.int('axis'), rank + 1)
    return [
      at.compute({
        shape: indices.shape.toSpliced(axis, 0, depth),
        dtype: scalarType(on.dtype),
        inputs: [indices, on, at.input('off_value')],
        body: ({ b, axes, read }) => {
          const index = read(0, axes.toSpliced(axis, 1))
          const here = b.cast(axes[axis], scalarType(indices.dtype))
          // A narrow type cannot count further than it reaches.
          const equal =
            indices.dtype === 'uint8' || indices.dtype === 'int8'
              ? b.equal(b.cast(index, 'int32'), axes[axis])
              : b.equal(index, here)
          return b.select(equal, read(1, []), read(2, []))
        },
      }),
    ]
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

/** Joining, splitting and picking. */
export const arrayOps: readonly OpDefinition[] = [
  concatV1,
  concatV2,
  parallelConcat,
  pack,
  unpack,
  split,
  splitV,
  gather,
  gatherV2,
  resourceGather,
  gatherNdOp,
  oneHot,
  diag,
  diagPart,
  emptyOp,
]
