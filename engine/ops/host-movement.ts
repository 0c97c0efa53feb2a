// Moves elements of types that no kernel holds (strings, complex numbers): the same index arithmetic,
// evaluated in JavaScript.
import {
  byteLengthOf,
  elementCountOf,
  isNumeric,
  type NumericTensor,
  numericTensor,
  type Shape,
  type StringTensor,
  stringTensor,
  type Tensor,
} from '../../tensor/index.ts'
import { interpret } from '../device/reference/index.ts'
import { type Expression, expressionBuilder } from '../ir/index.ts'
import { Builder } from './builder.ts'
import type { Lowering } from './definition.ts'
import type { TensorValue } from './value.ts'

/** {@link moved} for one input on the host. */
export function moveOnHost(
  at: Lowering,
  input: TensorValue,
  shape: Shape,
  movement: (
    b: Builder,
    axes: readonly Expression[],
  ) => { readonly positions: readonly Expression[]; readonly guard?: Expression },
  fill?: TensorValue,
): TensorValue {
  const [output] = at.step({
    inputs: fill === undefined ? [input] : [input, fill],
    outputs: [{ dtype: input.dtype, shape }],
    run: ([tensor, filler]) => [
      gathered(tensor, shape, sourcesOf(tensor.shape, shape, movement), filler),
    ],
  })
  return output
}

/** For each element of the result its place in the input, -1 for the fill. */
function sourcesOf(
  from: Shape,
  shape: Shape,
  movement: Parameters<typeof moveOnHost>[3],
): Int32Array {
  const b = new Builder(expressionBuilder())
  const axes = shape.map((extent, axis) => b.build.loop(axis, extent))
  const { positions, guard } = movement(b, axes)
  const place = b.flatten(positions, from)
  const value = guard === undefined ? place : b.select(guard, place, -1)
  const sources = new Int32Array(elementCountOf(shape))
  interpret(
    {
      inputs: [],
      outputs: [{ dtype: 'int32', elementCount: sources.length }],
      loops: shape,
      reduced: [],
      reductions: [],
      stores: [{ output: 0, index: b.flatten(axes, shape), value }],
      checks: [],
    },
    [],
    [sources],
  )
  return sources
}

/** Elements of a tensor by place; -1 takes the fill: an empty string, zeros, or what is given. */
export function gathered(
  tensor: Tensor,
  shape: Shape,
  sources: ArrayLike<number>,
  fill?: Tensor,
): Tensor {
  if (tensor.dtype === 'string') {
    const empty = (fill as StringTensor | undefined)?.strings[0] ?? new Uint8Array(0)
    return stringTensor(
      shape,
      Array.from(sources, (place) => (place < 0 ? empty : tensor.strings[place])),
    )
  }
  if (!isNumeric(tensor.dtype)) throw new Error(`${tensor.dtype} has no elements`)
  const size = byteLengthOf(tensor.dtype)
  const bytes = new Uint8Array(sources.length * size)
  const filler = (fill as NumericTensor | undefined)?.bytes ?? new Uint8Array(size)
  for (let place = 0; place < sources.length; place++) {
    const from = sources[place]
    const element = from < 0 ? filler : tensor.bytes.subarray(from * size, (from + 1) * size)
    bytes.set(element, place * size)
  }
  return numericTensor(tensor.dtype, shape, bytes)
}
