// Element types: their names, numbers and sizes. One row each; nothing else in the tree spells them.
// Source: tensorflow/core/framework/types.proto. Names are NumPy's (and ml_dtypes').

/** One element type. `byteLength` is the size of one element, 0 where elements have no fixed size. */
interface DTypeRow {
  /** Number of the type in TensorFlow's `DataType` enum. */
  readonly number: number
  /** Name of the type in TensorFlow's `DataType` enum. */
  readonly tensorflow: string
  readonly byteLength: number
  readonly kind:
    | 'float'
    | 'signed'
    | 'unsigned'
    | 'bool'
    | 'complex'
    | 'quantized'
    | 'string'
    | 'opaque'
}

const rows = {
  float32: { number: 1, tensorflow: 'DT_FLOAT', byteLength: 4, kind: 'float' },
  float64: { number: 2, tensorflow: 'DT_DOUBLE', byteLength: 8, kind: 'float' },
  int32: { number: 3, tensorflow: 'DT_INT32', byteLength: 4, kind: 'signed' },
  uint8: { number: 4, tensorflow: 'DT_UINT8', byteLength: 1, kind: 'unsigned' },
  int16: { number: 5, tensorflow: 'DT_INT16', byteLength: 2, kind: 'signed' },
  int8: { number: 6, tensorflow: 'DT_INT8', byteLength: 1, kind: 'signed' },
  string: { number: 7, tensorflow: 'DT_STRING', byteLength: 0, kind: 'string' },
  complex64: { number: 8, tensorflow: 'DT_COMPLEX64', byteLength: 8, kind: 'complex' },
  int64: { number: 9, tensorflow: 'DT_INT64', byteLength: 8, kind: 'signed' },
  bool: { number: 10, tensorflow: 'DT_BOOL', byteLength: 1, kind: 'bool' },
  qint8: { number: 11, tensorflow: 'DT_QINT8', byteLength: 1, kind: 'quantized' },
  quint8: { number: 12, tensorflow: 'DT_QUINT8', byteLength: 1, kind: 'quantized' },
  qint32: { number: 13, tensorflow: 'DT_QINT32', byteLength: 4, kind: 'quantized' },
  bfloat16: { number: 14, tensorflow: 'DT_BFLOAT16', byteLength: 2, kind: 'float' },
  qint16: { number: 15, tensorflow: 'DT_QINT16', byteLength: 2, kind: 'quantized' },
  quint16: { number: 16, tensorflow: 'DT_QUINT16', byteLength: 2, kind: 'quantized' },
  uint16: { number: 17, tensorflow: 'DT_UINT16', byteLength: 2, kind: 'unsigned' },
  complex128: { number: 18, tensorflow: 'DT_COMPLEX128', byteLength: 16, kind: 'complex' },
  float16: { number: 19, tensorflow: 'DT_HALF', byteLength: 2, kind: 'float' },
  resource: { number: 20, tensorflow: 'DT_RESOURCE', byteLength: 0, kind: 'opaque' },
  variant: { number: 21, tensorflow: 'DT_VARIANT', byteLength: 0, kind: 'opaque' },
  uint32: { number: 22, tensorflow: 'DT_UINT32', byteLength: 4, kind: 'unsigned' },
  uint64: { number: 23, tensorflow: 'DT_UINT64', byteLength: 8, kind: 'unsigned' },
  float8_e5m2: { number: 24, tensorflow: 'DT_FLOAT8_E5M2', byteLength: 1, kind: 'float' },
  float8_e4m3fn: { number: 25, tensorflow: 'DT_FLOAT8_E4M3FN', byteLength: 1, kind: 'float' },
  int4: { number: 29, tensorflow: 'DT_INT4', byteLength: 1, kind: 'signed' },
  uint4: { number: 30, tensorflow: 'DT_UINT4', byteLength: 1, kind: 'unsigned' },
} as const satisfies Record<string, DTypeRow>

/** The name of an element type, as NumPy spells it. */
export type DType = keyof typeof rows

const byNumber = new Map<number, DType>()
const byTensorflowName = new Map<string, DType>()
for (const name of Object.keys(rows) as DType[]) {
  byNumber.set(rows[name].number, name)
  byTensorflowName.set(rows[name].tensorflow, name)
}

/** Every element type, in the order of TensorFlow's numbers. */
export const dtypes: readonly DType[] = [...byNumber.keys()]
  .sort((a, b) => a - b)
  .map((number) => byNumber.get(number) as DType)

/** Bytes of one element; 0 for string, resource and variant. int4 and uint4 take a whole byte. */
export function byteLengthOf(dtype: DType): number {
  return rows[dtype].byteLength
}

/** What sort of number (or not) the type holds. */
export function kindOf(dtype: DType): DTypeRow['kind'] {
  return rows[dtype].kind
}

/** Number in TensorFlow's `DataType` enum. */
export function numberOfDType(dtype: DType): number {
  return rows[dtype].number
}

/** Name in TensorFlow's `DataType` enum, such as `DT_FLOAT`. */
export function tensorflowNameOf(dtype: DType): string {
  return rows[dtype].tensorflow
}

/** The type with that number, or undefined. Reference types (number + 100) are not unwrapped here. */
export function dtypeOfNumber(number: number): DType | undefined {
  return byNumber.get(number)
}

/** The type with that name: NumPy's (`float32`) or TensorFlow's (`DT_FLOAT`); undefined otherwise. */
export function dtypeOfName(name: string): DType | undefined {
  return Object.hasOwn(rows, name) ? (name as DType) : byTensorflowName.get(name)
}
