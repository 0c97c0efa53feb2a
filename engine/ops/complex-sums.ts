// Sums of complex tensors, as gradients need them: the ops are those of real tensors, and take these too.
import {
  elementCountOf,
  elementsOf,
  type NumericDType,
  type NumericTensor,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { isComplex } from './complex-ops.ts'
import type { Lowering, OpDefinition } from './definition.ts'
import { listArithmeticOps } from './list-arithmetic.ts'
import { reductionOps } from './reductions.ts'
import { integersOf, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

type Pair = readonly [number, number]

function pairsOf(tensor: Tensor): readonly Pair[] {
  return elementsOf(tensor as NumericTensor) as unknown as readonly Pair[]
}

/** The sum of tensors of one shape. */
function addedUp(at: Lowering): TensorValue {
  const inputs = at.inputs('inputs')
  const [{ dtype, shape }] = inputs
  const [sum] = at.step({
    inputs,
    outputs: [{ dtype, shape }],
    run: (tensors) => {
      const sums = tensors
        .map(pairsOf)
        .reduce((x, y) => x.map(([re, im], place) => [re + y[place][0], im + y[place][1]]))
      return [tensorOfElements(dtype as NumericDType, shape, sums)]
    },
  })
  return sum
}

/** The sum over axes. */
function reduced(at: Lowering): TensorValue {
  const input = at.input('input')
  const { shape, dtype } = input
  const rank = shape.length
  const axes = new Set(
    integersOf(at.contentOf(at.input('reduction_indices'))).map((axis) => {
      if (axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis
      throw invalid(
        'shape/invalid',
        `Invalid reduction dimension (${axis} for input with ${rank} dimension(s)`,
      )
    }),
  )
  const wide = shape.map((size, axis) => (axes.has(axis) ? 1 : size))
  const kept = at.attributes.bool('keep_dims') ? wide : shape.filter((_, axis) => !axes.has(axis))
  const [sum] = at.step({
    inputs: [input],
    outputs: [{ dtype, shape: kept }],
    run: ([tensor]) => [
      tensorOfElements(dtype as NumericDType, kept, sumsOver(pairsOf(tensor), shape, wide)),
    ],
  })
  return sum
}

/** Elements of `shape` added up at their places in `wide`, where summed axes have size 1. */
function sumsOver(pairs: readonly Pair[], shape: Shape, wide: Shape): readonly Pair[] {
  const sums = Array.from({ length: elementCountOf(wide) }, (): Pair => [0, 0])
  const place = shape.map(() => 0)
  for (const [re, im] of pairs) {
    const to = wide.reduce((flat, size, axis) => flat * size + (size === 1 ? 0 : place[axis]), 0)
    sums[to] = [sums[to][0] + re, sums[to][1] + im]
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place[axis] = (place[axis] + 1) % shape[axis]
      if (place[axis] !== 0) break
    }
  }
  return sums
}

/** The op as it is, which does something of its own where it is given complex numbers. */
function overComplex(
  definitions: readonly OpDefinition[],
  name: string,
  ofComplex: (at: Lowering) => TensorValue,
): OpDefinition {
  const plain = definitions.find((definition) => definition.name === name)
  if (plain === undefined) throw new Error(`there is no op ${name}`)
  return {
    ...plain,
    lower: (at) => {
      const [first] = at.raw
      return isComplex(first.dtype) ? [ofComplex(at)] : plain.lower(at)
    },
  }
}

/** Sums of real tensors (and lists) that take complex ones too; they stand in place of those that do not. */
export const complexSumOps: readonly OpDefinition[] = [
  overComplex(listArithmeticOps, 'AddN', addedUp),
  overComplex(reductionOps, 'Sum', reduced),
]
