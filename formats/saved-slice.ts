// The value of one slice in a V1 checkpoint: a message that repeats the tensor's name and place, and
// lists every element. Its type is not in it; the checkpoint's description has it.
// Source: tensorflow/core/util/{saved_tensor_slice.proto,saved_tensor_slice_util.h}
import {
  decodeSavedTensorSlices,
  type SlicedTensorProto,
  type TensorProto,
} from '../proto/index.ts'
import {
  byteLengthOf,
  type DType,
  elementCountOf,
  isNumeric,
  kindOf,
  type NumericDType,
  numberOfDType,
  packStrings,
  type Shape,
} from '../tensor/index.ts'
import { damagedTensor } from './checkpoint-tensor.ts'
import { extentsOf, type SliceExtent } from './ordered-code.ts'
import { refusingWireErrors } from './refusal-of-wire.ts'
import { tensorOfProto, valuesOf } from './tensor-proto.ts'

/** What the checkpoint's description says of a slice. */
export interface DescribedSlice {
  readonly name: string
  readonly dtype: DType
  /** Sizes of the slice. */
  readonly shape: Shape
  readonly extents: readonly SliceExtent[]
}

/** The fewest bytes that the stored value of such a slice can have. */
export function leastByteLength({ dtype, shape }: DescribedSlice): number {
  const isFixed = isNumeric(dtype) && isFixedWidth(dtype)
  // A varint takes at least one byte; a string its tag and its length.
  return elementCountOf(shape) * (isFixed ? byteLengthOf(dtype) : dtype === 'string' ? 2 : 1)
}

function isFixedWidth(dtype: NumericDType): boolean {
  return dtype === 'float32' || dtype === 'float64' || kindOf(dtype) === 'complex'
}

/**
 * The bytes of a slice, in the form that tensors have everywhere; views into `value` where the file
 * has that form already. Refuses (DATA_LOSS) a value that cannot be read (`bundle/bad-entry`), is of
 * another slice (`bundle/bad-slice`) or has not exactly its elements (`bundle/size-mismatch`).
 */
export function bytesOfSavedSlice(slice: DescribedSlice, value: Uint8Array): Uint8Array {
  const { name, dtype, shape } = slice
  const what = `The value of the tensor "${name}"`
  const saved = refusingWireErrors('bundle/bad-entry', what, () => decodeSavedTensorSlices(value))
  const { name: savedName, slice: savedSlice, data } = saved.data ?? {}
  const extents = savedSlice === undefined ? [] : extentsOf(savedSlice)
  if (savedName !== name || !sameExtents(extents, slice.extents)) {
    throw damagedTensor(name, 'bad-slice', 'has a value that says it is of another slice')
  }
  const proto = { ...emptyProto, ...listsOf(slice, data) }
  const count = elementCountOf(shape)
  const given = countOfValues(proto, dtype)
  if (given !== count) {
    throw damagedTensor(name, 'size-mismatch', `has a slice of ${given} elements, not of ${count}`)
  }
  const tensor = tensorOfProto(proto, Number.POSITIVE_INFINITY)
  return tensor.dtype === 'string' ? packStrings(tensor) : tensor.bytes
}

function sameExtents(a: readonly SliceExtent[], b: readonly SliceExtent[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ start, length }, axis) => start === b[axis].start && length === b[axis].length)
  )
}

const emptyProto: TensorProto = {
  dtype: 0,
  version_number: 0,
  tensor_content: new Uint8Array(),
  float_val: [],
  double_val: [],
  int_val: [],
  string_val: [],
  scomplex_val: [],
  int64_val: [],
  bool_val: [],
  dcomplex_val: [],
  half_val: [],
  resource_handle_val: [],
  variant_val: [],
  uint32_val: [],
  uint64_val: [],
  float8_val: new Uint8Array(),
}

/** The fields of a plain TensorProto of the slice; packed numbers of fixed width are raw content. */
function listsOf(
  { dtype, shape }: DescribedSlice,
  data: SlicedTensorProto | undefined,
): Partial<TensorProto> {
  const type = {
    dtype: numberOfDType(dtype),
    tensor_shape: { dim: shape.map((size) => ({ size, name: '' })), unknown_rank: false },
  }
  if (data === undefined) return type
  const { float_val, double_val, scomplex_val, dcomplex_val, ...lists } = data
  switch (dtype) {
    case 'float32':
      return { ...type, tensor_content: float_val }
    case 'float64':
      return { ...type, tensor_content: double_val }
    case 'complex64':
      return { ...type, tensor_content: scomplex_val }
    case 'complex128':
      return { ...type, tensor_content: dcomplex_val }
    default:
      return { ...type, ...lists }
  }
}

/** Elements that the message lists: a whole number where they are complete. */
function countOfValues(proto: TensorProto, dtype: DType): number {
  if (dtype === 'string') return proto.string_val.length
  if (!isNumeric(dtype)) return 0
  if (isFixedWidth(dtype)) return proto.tensor_content.byteLength / byteLengthOf(dtype)
  return valuesOf(proto, dtype).length
}
