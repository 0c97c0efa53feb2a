// Schemas of variables and their values. A schema with a title becomes a
// component of the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'
import { Initializer, Partitions, Reuse } from './get-variable.ts'
import { cursor, DTypeName, PartialShape, shapeReply } from './shared.ts'

/** A variable without its value. */
export const Variable = Type.Object(
  {
    name: Type.String(),
    container: Type.String(),
    dtype: Type.String(),
    shape: shapeReply,
    trainable: Type.Boolean(),
    collections: Type.Array(Type.String()),
    initializer: Type.Unknown(),
    initialized: Type.Boolean(),
    version: Type.Integer(),
    etag: Type.String(),
    nbytes: Type.Integer({ description: 'Bytes of the present value; 0 while uninitialized.' }),
    sha256: Type.Union([Type.String(), Type.Null()]),
    device: Type.String({ description: 'As it was requested; empty: anywhere.' }),
    actual_device: Type.Optional(Type.String({ description: 'Where graphs that use it run it.' })),
    resident_on: Type.Optional(Type.Array(Type.String())),
    device_note: Type.Optional(
      Type.String({ description: 'Said where the actual device is not the requested one.' }),
    ),
    partitions: Type.Optional(
      Type.Array(Type.Integer(), {
        description: 'Of a partitioned variable: the number of parts of each axis.',
      }),
    ),
    parts: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Of a partitioned variable: the variables that it consists of, in order. Its version is the sum of theirs.',
      }),
    ),
    part_of: Type.Optional(
      Type.Object(
        {
          name: Type.String(),
          shape: Type.Array(Type.Integer()),
          offset: Type.Array(Type.Integer()),
        },
        { description: 'Of a part: the partitioned variable, and where the part begins in it.' },
      ),
    ),
    created_at: Type.String(),
    updated_at: Type.String(),
  },
  { title: 'Variable' },
)

/** A page of variables. */
export const VariablePage = Type.Object(
  { variables: Type.Array(Variable), cursor },
  { title: 'VariablePage' },
)

/** Arguments of get_variable. */
export const CreateVariable = Type.Object(
  {
    name: Type.String({ examples: ['dense/kernel'] }),
    shape: Type.Optional(PartialShape),
    dtype: Type.Optional(DTypeName),
    initializer: Type.Optional(Initializer),
    trainable: Type.Optional(Type.Boolean({ default: true })),
    collections: Type.Optional(Type.Array(Type.String(), { maxItems: 100 })),
    device: Type.Optional(
      Type.String({
        description: "Merged with the scope's, field by field.",
        examples: ['/device:CPU:0'],
      }),
    ),
    scope: Type.Optional(
      Type.String({
        description:
          'The scope that the variable is made in: it stands before the name, and its defaults hold. Slashes in the name select no scope.',
        examples: ['dense'],
      }),
    ),
    reuse: Type.Optional(Reuse),
    partitions: Type.Optional(Partitions),
    validate_shape: Type.Optional(
      Type.Boolean({
        default: true,
        description: 'false: the shape may be unknown, wholly or in part.',
      }),
    ),
    container: Type.Optional(Type.String()),
  },
  {
    title: 'CreateVariable',
    additionalProperties: false,
    examples: [
      { name: 'dense/kernel', shape: [2, 3], initializer: { kind: 'glorot_uniform', seed: 7 } },
    ],
  },
)

/** Changes of a variable's metadata. */
export const UpdateVariable = Type.Object(
  {
    trainable: Type.Optional(Type.Boolean()),
    collections: Type.Optional(Type.Array(Type.String(), { maxItems: 100 })),
    device: Type.Optional(
      Type.String({
        description:
          'Merged over the present one field by field, as nested tf.device blocks are; empty: asks for none.',
        examples: ['/cpu:0'],
      }),
    ),
  },
  { title: 'UpdateVariable', additionalProperties: false, minProperties: 1 },
)

/** Which variables to initialize. */
export const InitializeVariables = Type.Object(
  {
    names: Type.Optional(Type.Array(Type.String(), { maxItems: 10_000 })),
    collection: Type.Optional(Type.String()),
    only_uninitialized: Type.Optional(Type.Boolean()),
  },
  { title: 'InitializeVariables', additionalProperties: false },
)

/** What a write did. */
export const Written = Type.Object(
  {
    name: Type.String(),
    container: Type.String(),
    version: Type.Integer(),
    etag: Type.String(),
    durable: Type.Boolean(),
  },
  { title: 'Written' },
)

/** What a write did, with the new value where it was asked for. */
export const WrittenValue = Type.Object(
  {
    name: Type.String(),
    container: Type.String(),
    version: Type.Integer(),
    etag: Type.String(),
    durable: Type.Boolean(),
    dtype: Type.Optional(Type.String()),
    shape: Type.Optional(Type.Array(Type.Integer())),
    value: Type.Optional(Type.Unknown()),
  },
  { title: 'WrittenValue' },
)
