// Schemas of variables and their values. A schema with a title becomes a
// component of the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'
import { cursor, DTypeName, PartialShape, shapeReply } from './shared.ts'

/** A described initializer, a constant tensor, or an expression over other variables. */
const Initializer = Type.Object(
  {
    kind: Type.Optional(
      Type.String({
        description:
          'zeros, ones, constant, identity, random_uniform, random_normal, truncated_normal, uniform_unit_scaling, variance_scaling, glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, orthogonal. Without it, the object is a tensor or an expression.',
      }),
    ),
    seed: Type.Optional(Type.Integer({ description: 'Seed of the random op.' })),
    graph_seed: Type.Optional(
      Type.Integer({ description: 'Seed of the graph that the op would be in.' }),
    ),
    initialized_value: Type.Optional(
      Type.String({
        description:
          'A variable whose initialized value this one starts from; add, sub, mul and div apply to it in the order given.',
      }),
    ),
  },
  {
    title: 'Initializer',
    additionalProperties: true,
    examples: [
      { kind: 'glorot_uniform', seed: 7 },
      { initialized_value: 'v', mul: 2 },
    ],
  },
)

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
    device: Type.Optional(Type.String()),
    reuse: Type.Optional(Type.Union([Type.Boolean(), Type.Literal('auto')])),
    validate_shape: Type.Optional(Type.Boolean({ default: true })),
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
    device: Type.Optional(Type.String()),
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

/** A variable's value in JSON. */
export const VariableValue = Type.Object(
  {
    name: Type.String(),
    container: Type.String(),
    version: Type.Integer(),
    dtype: Type.String(),
    shape: Type.Array(Type.Integer()),
    value: Type.Optional(Type.Unknown()),
    b64: Type.Optional(Type.String()),
  },
  { title: 'VariableValue' },
)
