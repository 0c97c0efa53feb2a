// Picking by index: Gather in its forms, and one-hot rows.
import { elementCountOf, formatShape, numericTensor, type Shape } from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { isKernelType, narrowIndices, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { gathered } from './host-movement.ts'
import { axisOf, integerOf, integersOf, invalid } from './shapes.ts'
import type { ComputeCheck, TensorValue } from './value.ts'

/** A check that an index lies within a dimension, in TensorFlow's words. */
function indexCheck(
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

/** Picking by index. */
export const gatherOps: readonly OpDefinition[] = [
  gather,
  gatherV2,
  resourceGather,
  gatherNdOp,
  oneHot,
]
