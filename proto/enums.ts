// The enumerations of the wire messages: name to number, for the text and JSON forms. On the wire and
// in memory an enumeration is its number, known or not.

const dataTypes = {
  DT_INVALID: 0,
  DT_FLOAT: 1,
  DT_DOUBLE: 2,
  DT_INT32: 3,
  DT_UINT8: 4,
  DT_INT16: 5,
  DT_INT8: 6,
  DT_STRING: 7,
  DT_COMPLEX64: 8,
  DT_INT64: 9,
  DT_BOOL: 10,
  DT_QINT8: 11,
  DT_QUINT8: 12,
  DT_QINT32: 13,
  DT_BFLOAT16: 14,
  DT_QINT16: 15,
  DT_QUINT16: 16,
  DT_UINT16: 17,
  DT_COMPLEX128: 18,
  DT_HALF: 19,
  DT_RESOURCE: 20,
  DT_VARIANT: 21,
  DT_UINT32: 22,
  DT_UINT64: 23,
  DT_FLOAT8_E5M2: 24,
  DT_FLOAT8_E4M3FN: 25,
  DT_INT4: 29,
  DT_UINT4: 30,
} as const

/** Every type has a reference form: its name with `_REF`, its number plus 100. */
const referenceTypes = Object.fromEntries(
  Object.entries(dataTypes)
    .filter(([name]) => name !== 'DT_INVALID')
    .map(([name, number]) => [`${name}_REF`, number + 100]),
)

/** Name to number, per enumeration. Source: the `.proto` files under tensorflow/core. */
export const enums = {
  DataType: { ...dataTypes, ...referenceTypes },
  Endianness: { LITTLE: 0, BIG: 1 },
  CheckpointFormatVersion: { LEGACY: 0, V1: 1, V2: 2 },
  VariableSynchronization: {
    VARIABLE_SYNCHRONIZATION_AUTO: 0,
    VARIABLE_SYNCHRONIZATION_NONE: 1,
    VARIABLE_SYNCHRONIZATION_ON_WRITE: 2,
    VARIABLE_SYNCHRONIZATION_ON_READ: 3,
  },
  VariableAggregation: {
    VARIABLE_AGGREGATION_NONE: 0,
    VARIABLE_AGGREGATION_SUM: 1,
    VARIABLE_AGGREGATION_MEAN: 2,
    VARIABLE_AGGREGATION_ONLY_FIRST_REPLICA: 3,
  },
} as const satisfies Record<string, Readonly<Record<string, number>>>

/** The name of an enumeration. */
export type EnumName = keyof typeof enums

/** The number of `name` in that enumeration, or undefined. */
export function numberOfEnum(enumName: EnumName, name: string): number | undefined {
  const values: Readonly<Record<string, number>> = enums[enumName]
  return Object.hasOwn(values, name) ? values[name] : undefined
}

/** The name of `number` in that enumeration, or undefined. */
export function nameOfEnum(enumName: EnumName, number: number): string | undefined {
  return Object.entries(enums[enumName]).find(([, value]) => value === number)?.[0]
}
