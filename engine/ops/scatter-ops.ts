// Scatter ops: slices of a variable (by reference or by handle) or of a tensor, updated where indices say.
import {
  type DType,
  elementCountOf,
  formatShape,
  Refusal,
  type Shape,
  sameShape,
  type Tensor,
} from '../../tensor/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { gatherNd } from './gather.ts'
import { formatPosition, placesWithin } from './indices.ts'
import { type Scatter, type ScatterCombine, scattered } from './scatter.ts'
import { integersOf, invalid, shapeFrom } from './shapes.ts'
import type { TensorValue, Variable } from './value.ts'
import { variableIn } from './variables.ts'

const combines: readonly (readonly [string, ScatterCombine])[] = [
  ['Update', 'update'],
  ['Add', 'add'],
  ['Sub', 'sub'],
  ['Mul', 'mul'],
  ['Div', 'div'],
  ['Min', 'min'],
  ['Max', 'max'],
]

/** Current value of the variable that is scattered into; refuses in TensorFlow's words. */
export function scatterTarget(at: Lowering, variable: Variable): TensorValue {
  if (!variable.reference || at.peek(variable) !== undefined) return at.read(variable)
  throw new Refusal('FAILED_PRECONDITION', 'variable/uninitialized', 'Null ref for params', {
    names: { variable: variable.name },
  })
}

/** `target` with the slices of its first dimension that `indices` name updated. */
function scatterSlices(at: Lowering, target: TensorValue, combine: ScatterCombine): TensorValue {
  const [indices, updates] = [at.input('indices'), at.input('updates')]
  const { shape, dtype } = target
  if (shape.length === 0) {
    throw invalid('shape/mismatch', `params must be at least 1-D, got shape ${formatShape(shape)}`)
  }
  if (
    updates.shape.length > 0 &&
    !sameShape(updates.shape, [...indices.shape, ...shape.slice(1)])
  ) {
    throw invalid(
      'shape/mismatch',
      `Must have updates.shape = indices.shape + params.shape[1:] or updates.shape = [], got updates.shape ${formatShape(updates.shape)}, indices.shape ${formatShape(indices.shape)}, params.shape ${formatShape(shape)}`,
    )
  }
  return scattered(at, {
    shape,
    dtype,
    current: target,
    depth: 1,
    indices,
    slicesOf: (content) => placesWithin(content, shape[0]),
    updates,
    count: elementCountOf(indices.shape),
    combine,
  })
}

function referenceScatter(name: string, combine: ScatterCombine): OpDefinition {
  return defineOp({
    name,
    inputs: ['ref: Ref(T)', 'indices: Tindices', 'updates: T'],
    outputs: ['output_ref: Ref(T)'],
    attributes: [
      'T: type',
      'Tindices: {int32, int64}',
      `use_locking: bool = ${combine === 'update'}`,
    ],
    writes: ['ref'],
    lower: (at) => {
      const variable = variableIn(at, 'ref')
      at.assign(variable, scatterSlices(at, scatterTarget(at, variable), combine))
      return [at.reference(variable)]
    },
  })
}

function resourceScatter(name: string, combine: ScatterCombine): OpDefinition {
  return defineOp({
    name,
    inputs: ['resource: resource', 'indices: Tindices', 'updates: dtype'],
    attributes: ['dtype: type', 'Tindices: {int32, int64}'],
    writes: ['resource'],
    lower: (at) => {
      const variable = variableIn(at, 'resource')
      checkType(variable, at.attributes.type('dtype'))
      at.assign(variable, scatterSlices(at, scatterTarget(at, variable), combine))
      return []
    },
  })
}

function checkType(variable: Variable, dtype: DType): void {
  if (variable.dtype === dtype) return
  throw invalid(
    'variable/type',
    `DType of scatter resource and updates does not match: the variable is ${variable.dtype}, the updates are ${dtype}.`,
  )
}

/** What index vectors and updates say about a value of `shape`. */
function indexed(
  shape: Shape,
  dtype: DType,
  indices: TensorValue,
  updates: TensorValue,
): Omit<Scatter, 'current' | 'combine'> {
  if (shape.length === 0)
    throw invalid('shape/mismatch', 'Output must be at least 1-D, got shape: []')
  const outer = indices.shape.slice(0, -1)
  const depth =
    indices.shape.length <= 1 ? (indices.shape[0] ?? 1) : (indices.shape.at(-1) as number)
  const count = elementCountOf(outer)
  if (elementCountOf(shape) === 0 && count > 0 && elementCountOf(updates.shape) > 0) {
    throw invalid(
      'shape/mismatch',
      `Indices and updates specified for empty output. indices shape: ${formatShape(indices.shape)}`,
    )
  }
  const problem = (text: string): Refusal =>
    invalid(
      'shape/mismatch',
      `${text} indices.shape: ${formatShape(indices.shape)}, updates.shape: ${formatShape(updates.shape)}, params.shape: ${formatShape(shape)}`,
    )
  if (depth > shape.length) {
    throw problem(
      `The last dimension of indices must be at most the rank of params, but got ${depth}.`,
    )
  }
  if (!sameShape(updates.shape.slice(0, outer.length), outer)) {
    throw problem(
      `Dimensions [0,${outer.length}) of indices must match dimensions [0,${outer.length}) of updates.`,
    )
  }
  if (!sameShape(updates.shape.slice(outer.length), shape.slice(depth))) {
    throw problem(
      `Dimensions [${depth},${shape.length}) of params must match dimensions [${outer.length},${updates.shape.length}) of updates.`,
    )
  }
  return {
    shape,
    dtype,
    depth,
    indices,
    slicesOf: (content) => slicesOfVectors(content, depth, outer, shape),
    // A scalar here is one update, not one for all.
    updates: updates.shape.length === 0 ? { ...updates, shape: [1] } : updates,
    count,
  }
}

/** Flat place of the slice that each index vector names; refuses one outside of the shape. */
function slicesOfVectors(indices: Tensor, depth: number, outer: Shape, shape: Shape): Int32Array {
  const values = integersOf(indices)
  const places = new Int32Array(elementCountOf(outer))
  for (let vector = 0; vector < places.length; vector++) {
    let place = 0
    for (let axis = 0; axis < depth; axis++) {
      const index = values[vector * depth + axis]
      if (index < 0 || index >= shape[axis]) {
        const shown = values.slice(vector * depth, (vector + 1) * depth).join(', ')
        throw invalid(
          'run/index',
          `indices${formatPosition(vector, outer)} = [${shown}] does not index into shape ${formatShape(shape)}`,
        )
      }
      place = place * shape[axis] + index
    }
    places[vector] = place
  }
  return places
}

const vectorCombines = combines.filter(([name]) => name !== 'Mul' && name !== 'Div')

function referenceScatterNd(name: string, combine: ScatterCombine): OpDefinition {
  return defineOp({
    name,
    inputs: ['ref: Ref(T)', 'indices: Tindices', 'updates: T'],
    outputs: ['output_ref: Ref(T)'],
    attributes: [
      'T: type',
      'Tindices: {int32, int64}',
      `use_locking: bool = ${combine === 'update'}`,
      "bad_indices_policy: string = ''",
    ],
    writes: ['ref'],
    lower: (at) => {
      const variable = variableIn(at, 'ref')
      at.assign(variable, scatterVectors(at, scatterTarget(at, variable), combine))
      return [at.reference(variable)]
    },
  })
}

function resourceScatterNd(name: string, combine: ScatterCombine): OpDefinition {
  return defineOp({
    name,
    inputs: ['ref: resource', 'indices: Tindices', 'updates: T'],
    attributes: [
      'T: type',
      'Tindices: {int32, int64}',
      'use_locking: bool = true',
      "bad_indices_policy: string = ''",
    ],
    writes: ['ref'],
    lower: (at) => {
      const variable = variableIn(at, 'ref')
      checkType(variable, at.attributes.type('T'))
      at.assign(variable, scatterVectors(at, scatterTarget(at, variable), combine))
      return []
    },
  })
}

function scatterVectors(at: Lowering, target: TensorValue, combine: ScatterCombine): TensorValue {
  const what = indexed(target.shape, target.dtype, at.input('indices'), at.input('updates'))
  return scattered(at, { ...what, current: target, combine })
}

function tensorScatter(name: string, combine: ScatterCombine, input = 'tensor'): OpDefinition {
  return defineOp({
    name,
    inputs: [`${input}: T`, 'indices: Tindices', 'updates: T'],
    outputs: ['output: T'],
    attributes: [
      'T: type',
      'Tindices: {int16, uint16, int32, int64}',
      "bad_indices_policy: string = ''",
    ],
    infer: ([shape]) => [shape],
    lower: (at) => [scatterVectors(at, at.input(input), combine)],
  })
}

/** Zeros with updates added: duplicates add up. */
const scatterNd = defineOp({
  name: 'ScatterNd',
  inputs: ['indices: Tindices', 'updates: T', 'shape: Tindices'],
  outputs: ['output: T'],
  attributes: ['T: type', 'Tindices: {int16, int32, int64}', "bad_indices_policy: string = ''"],
  lower: (at) => {
    const updates = at.input('updates')
    const shape = shapeFrom(at.contentOf(at.input('shape')))
    const what = indexed(shape, updates.dtype, at.input('indices'), updates)
    return [scattered(at, { ...what, current: undefined, combine: 'add' })]
  },
})

const resourceGatherNd = defineOp({
  name: 'ResourceGatherNd',
  inputs: ['resource: resource', 'indices: Tindices'],
  outputs: ['output: dtype'],
  attributes: ['dtype: type', 'Tindices: {int32, int64}'],
  lower: (at) => [gatherNd(at, at.read(variableIn(at, 'resource')), at.input('indices'))],
})

/** Scatter into variables and tensors. */
export const scatterOps: readonly OpDefinition[] = [
  ...combines.map(([suffix, combine]) => referenceScatter(`Scatter${suffix}`, combine)),
  ...combines.map(([suffix, combine]) => resourceScatter(`ResourceScatter${suffix}`, combine)),
  ...vectorCombines.map(([suffix, combine]) => referenceScatterNd(`ScatterNd${suffix}`, combine)),
  ...vectorCombines.map(([suffix, combine]) =>
    resourceScatterNd(`ResourceScatterNd${suffix}`, combine),
  ),
  ...vectorCombines.map(([suffix, combine]) => tensorScatter(`TensorScatter${suffix}`, combine)),
  tensorScatter('ScatterNdNonAliasingAdd', 'add', 'input'),
  scatterNd,
  resourceGatherNd,
]
