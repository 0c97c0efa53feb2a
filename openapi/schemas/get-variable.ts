// What get_variable and scopes are both told: initializers, sharing, partitions.
import { Type } from 'typebox'

/** A described initializer, a constant tensor, or an expression over other variables. */
export const Initializer = Type.Object(
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

/** Whether variables are made or shared. */
export const Reuse = Type.Union([Type.Boolean(), Type.Literal('auto')], {
  description:
    'false makes variables only, true shares those that are there only, "auto" does either (AUTO_REUSE).',
})

/** How a variable is cut into parts. */
export const Partitions = Type.Union(
  [
    Type.Integer({ minimum: 1, description: 'Parts along the first axis.' }),
    Type.Object(
      {
        count: Type.Integer({ minimum: 1 }),
        axis: Type.Optional(
          Type.Integer({
            minimum: -254,
            maximum: 253,
            description: 'The axis to cut; from the end where negative; 0 unless given.',
          }),
        ),
      },
      { additionalProperties: false },
    ),
    Type.Array(Type.Integer({ minimum: 1 }), {
      minItems: 1,
      maxItems: 254,
      description: 'Parts of each axis; one axis may have several.',
    }),
  ],
  { description: 'Parts that a variable is cut into: fixed_size_partitioner.', examples: [2] },
)
