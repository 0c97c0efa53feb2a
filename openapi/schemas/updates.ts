// Schemas of updates of variables: what their verbs take and reply. A schema with a title becomes a
// component of the OpenAPI document; routes validate with these very objects.
import { type TSchema, Type } from 'typebox'
import { Tensor, TensorBody } from './shared.ts'
import { WrittenValue } from './variables.ts'

/** What a schema needs to know of a verb: the row of its table, seen from here. */
export interface DocumentedUpdate {
  readonly inputs: readonly { readonly name: string; readonly help: string }[]
  readonly argument?: 'limit' | 'slice'
  readonly op: string
}

const tensorHelp = 'A Tensor object, or a bare list.'

const ScatterRows = Type.Object(
  {
    indices: Type.Unknown({
      description: `Which rows: places along the first dimension, in any shape; int32 or int64, a bare list is int64. ${tensorHelp}`,
    }),
    updates: Type.Unknown({
      description: `A row for each index, of shape indices.shape + variable.shape[1:]; or one scalar for all. ${tensorHelp}`,
    }),
  },
  {
    title: 'ScatterRows',
    additionalProperties: false,
    description: 'In a safetensors or npz file: tensors of the same names.',
    examples: [{ indices: [0, 2], updates: [1.5, 2.5] }],
  },
)

const ScatterElements = Type.Object(
  {
    indices: Type.Unknown({
      description: `Index vectors along the last dimension, each naming an element or, where shorter than the rank, a slice; int32 or int64, a bare list is int64. ${tensorHelp}`,
    }),
    updates: Type.Unknown({
      description: `An element or slice for each vector, of shape indices.shape[:-1] + variable.shape[indices.shape[-1]:]. ${tensorHelp}`,
    }),
  },
  {
    title: 'ScatterElements',
    additionalProperties: false,
    description: 'In a safetensors or npz file: tensors of the same names.',
    examples: [
      {
        indices: [
          [0, 1],
          [2, 0],
        ],
        updates: [10, 20],
      },
    ],
  },
)

const CountUpTo = Type.Object(
  {
    limit: Type.Union([Type.Integer(), Type.String()], {
      description: 'At this value the count is refused; as a string where it is beyond 2^53.',
    }),
  },
  { title: 'CountUpTo', additionalProperties: false, examples: [{ limit: 10 }] },
)

const AssignSlice = Type.Unknown({
  title: 'AssignSlice',
  description:
    'An object of "slice" (as NumPy writes it; or in the query) and "value" (a Tensor object or a bare list, of exactly the shape of the slice). With the slice in the query, the value alone.',
  examples: [{ slice: '0:2,1', value: [5, 6] }],
})

/** The JSON body of a verb. */
export function updateBody({ argument, inputs, op }: DocumentedUpdate): TSchema {
  if (argument === 'limit') return CountUpTo
  if (argument === 'slice') return AssignSlice
  if (inputs.length === 1) return TensorBody
  return op.startsWith('ScatterNd') ? ScatterElements : ScatterRows
}

/** What an update did, with the output of its op. */
export const UpdatedValue = Type.Object(
  { ...WrittenValue.properties, output: Type.Optional(Tensor) },
  { title: 'UpdatedValue' },
)

const givenTensor = (help: string) =>
  Type.Optional(
    Type.Unknown({
      description: `${help} ${tensorHelp} In a safetensors body also {"tensor": "name"}.`,
    }),
  )

/** A batch of reads, assignments, initializations, and updates by these verbs. */
export function batchBody<Verb extends string>(verbs: readonly Verb[]) {
  const ops = (['read_value', 'assign', 'initialize'] as const).map((op) => Type.Literal(op))
  const operation = Type.Object(
    {
      op: Type.Union([...ops, ...verbs.map((verb) => Type.Literal(verb))], {
        description: 'What to do; the members that it takes are those of the verb of that name.',
      }),
      name: Type.String({
        description: 'The variable, or partitioned variable, in the container of the request.',
      }),
      if_version: Type.Optional(
        Type.Integer({
          minimum: 0,
          description: 'The version that the variable must have before the batch; 412 otherwise.',
        }),
      ),
      value: givenTensor('Of assign, assign_add, assign_sub and assign_slice.'),
      indices: givenTensor('Of the scatters.'),
      updates: givenTensor('Of the scatters.'),
      limit: Type.Optional(
        Type.Union([Type.Integer(), Type.String()], { description: 'Of count_up_to.' }),
      ),
      slice: Type.Optional(
        Type.String({ description: 'Of read_value and assign_slice, as NumPy writes it.' }),
      ),
      validate_shape: Type.Optional(
        Type.Boolean({
          description:
            "Of assign; false: the variable takes the value's shape, whatever its own was.",
        }),
      ),
    },
    { title: 'BatchOperation', additionalProperties: false },
  )
  return Type.Object(
    { operations: Type.Array(operation) },
    {
      title: 'BatchBody',
      additionalProperties: false,
      examples: [
        {
          operations: [
            { op: 'assign', name: 'w', value: [1, 2], if_version: 3 },
            { op: 'scatter_add', name: 'table', indices: [0], updates: [1.5] },
            { op: 'count_up_to', name: 'step', limit: 1000 },
            { op: 'read_value', name: 'b' },
          ],
        },
      ],
    },
  )
}

/** What the operations of a batch did, in their order. */
export const BatchReply = Type.Object(
  {
    results: Type.Array(
      Type.Object({
        op: Type.String(),
        name: Type.String(),
        version: Type.Union([Type.Integer(), Type.Null()], {
          description:
            'Of a write: the version after the batch. Of a read: the version that the value is of; null where a later operation of the batch replaced it.',
        }),
        etag: Type.Optional(Type.String({ description: 'Of a write.' })),
        value: Type.Optional(Tensor),
        output: Type.Optional(Tensor),
      }),
    ),
    durable: Type.Optional(Type.Boolean({ description: 'Where anything was written.' })),
  },
  { title: 'BatchReply' },
)
