// TypeScript types of the wire messages, derived from the schema's rows.
import type { EnumName } from './enums.ts'
import type { FieldRow, MessageName, ScalarName, schema } from './schema.ts'

interface ScalarTypes {
  readonly int32: number
  readonly uint32: number
  readonly int53: number
  readonly int64: bigint
  readonly uint64: bigint
  readonly bool: boolean
  readonly float: number
  readonly double: number
  readonly fixed32: number
  readonly string: string
  readonly bytes: Uint8Array
}

type Rows<Name extends MessageName> = (typeof schema)[Name]
type RowOf<Name extends MessageName, Field extends keyof Rows<Name>> = Extract<
  Rows<Name>[Field],
  FieldRow
>

type Value<Type, Deep extends 'message' | 'draft'> = Type extends ScalarName
  ? ScalarTypes[Type]
  : Type extends EnumName
    ? number
    : Type extends MessageName
      ? Deep extends 'message'
        ? Message<Type>
        : Draft<Type>
      : never

type FieldValue<Row extends FieldRow, Deep extends 'message' | 'draft'> = Row[2] extends 'repeated'
  ? readonly Value<Row[1], Deep>[]
  : Row[2] extends 'map'
    ? ReadonlyMap<string, Value<Row[1], Deep>>
    : Row[2] extends 'map_uint32'
      ? ReadonlyMap<number, Value<Row[1], Deep>>
      : Value<Row[1], Deep>

type IsOptional<Row extends FieldRow> = Row[2] extends 'oneof'
  ? true
  : Row[2] extends string
    ? false
    : Row[1] extends MessageName
      ? true
      : false

/**
 * A decoded message. Plain fields that were absent hold their default, lists and maps are there
 * even if empty; only messages and the fields of a oneof may be undefined.
 */
export type Message<Name extends MessageName> = {
  readonly [Field in keyof Rows<Name> as IsOptional<RowOf<Name, Field>> extends true
    ? never
    : Field]: FieldValue<RowOf<Name, Field>, 'message'>
} & {
  readonly [Field in keyof Rows<Name> as IsOptional<RowOf<Name, Field>> extends true
    ? Field
    : never]?: FieldValue<RowOf<Name, Field>, 'message'> | undefined
}

/** A message to encode: any field may be left out. Every {@link Message} is one. */
export type Draft<Name extends MessageName> = {
  readonly [Field in keyof Rows<Name>]?: FieldValue<RowOf<Name, Field>, 'draft'> | undefined
}
