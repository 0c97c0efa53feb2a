// Values without elements, and which element types kernels compute.
import {
  type DType,
  isNumeric,
  numericTensor,
  type Shape,
  stringTensor,
  type Tensor,
} from '../../tensor/index.ts'
import { type ScalarType, scalarTypes } from '../ir/index.ts'

/** Whether kernels compute with the type. */
export function isScalarType(dtype: DType): dtype is ScalarType {
  return (scalarTypes as readonly DType[]).includes(dtype)
}

/** A tensor without elements. */
export function emptyTensor(dtype: DType, shape: Shape): Tensor {
  if (isNumeric(dtype)) return numericTensor(dtype, shape, new Uint8Array(0))
  return stringTensor(shape, [])
}
