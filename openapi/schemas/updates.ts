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
