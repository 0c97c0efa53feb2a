// What definitions of many families need: types that kernels compute, elementwise arrays.
import { type DType, Refusal, type Shape } from '../../tensor/index.ts'
import { type Expression, type ScalarType, scalarTypes } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import type { Lowering } from './definition.ts'
import { broadcastPositions, broadcastShape } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** The type as one that kernels compute; refuses (UNIMPLEMENTED, `op/type`) complex, quantized and others. */
export function scalarType(dtype: DType): ScalarType {
  if ((scalarTypes as readonly DType[]).includes(dtype)) return dtype as ScalarType
  throw unsupportedType(dtype)
}

/** The refusal of a type that an op is not defined for here. */
export function unsupportedType(dtype: DType): Refusal {
  return new Refusal('UNIMPLEMENTED', 'op/type', `The op is not implemented for ${dtype}.`)
}

/** Whether kernels compute the type. */
export function isKernelType(dtype: DType): dtype is ScalarType {
  return (scalarTypes as readonly DType[]).includes(dtype)
}

/** An array whose elements depend on the elements at the same place of the broadcast inputs. */
export function elementwise(
  at: Lowering,
  inputs: readonly TensorValue[],
  dtype: ScalarType,
  body: (b: Builder, operands: readonly Expression[]) => Expression,
  shape: Shape = inputs.map((input) => input.shape).reduce(broadcastShape),
): TensorValue {
  return at.compute({
    shape,
    dtype,
    inputs,
    body: ({ b, axes, read }) =>
      body(
        b,
        inputs.map((input, place) => read(place, broadcastPositions(b, axes, input.shape))),
      ),
  })
}

/**
 * Indices into a dimension of `size`, in a type that the preferred device has. Narrowed ones keep
 * whether they are in bounds, but not by how much they are out.
 */
export function narrowIndices(at: Lowering, indices: TensorValue, size: number): TensorValue {
  if (!at.lacks(indices.dtype)) return indices
  const dtype = scalarType(indices.dtype)
  return elementwise(at, [indices], 'int32', (b, [index]) => {
    const high = b.min(index, b.number(dtype, size))
    return b.cast(dtype.startsWith('uint') ? high : b.max(high, b.number(dtype, -1)), 'int32')
  })
}
