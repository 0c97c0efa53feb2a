// Schemas of what two checkpoints differ in, and of the history of a name. A schema with a title becomes a
// component of the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'
import { CheckpointTensor } from './checkpoints.ts'
import { cursor } from './shared.ts'

const nullable = (description: string) =>
  Type.Union([Type.Number(), Type.Null()], {
    description: `${description} Null for another dtype or shape, for strings, and where values were not read.`,
  })

/** A tensor that two sides hold differently. */
const ChangedTensor = Type.Object(
  {
    name: Type.String(),
    before: CheckpointTensor,
    after: CheckpointTensor,
    dtype_changed: Type.Boolean(),
    shape_changed: Type.Boolean(),
    elements: nullable('All elements.'),
    differing: nullable('Elements that are not equal; NaN equals NaN here, and 0 equals -0.'),
    not_finite: nullable(
      'Of these, those whose difference is no finite number; the next two leave them out.',
    ),
    max_abs_difference: nullable(
      'The greatest absolute difference, in doubles; of complex elements the magnitude of the difference.',
    ),
    mean_abs_difference: nullable('Over all elements, equal ones too.'),
    chunks: Type.Integer({ description: 'Chunks (of 1 MiB) that the tensor after lies in.' }),
    shared_chunks: Type.Integer({
      description: 'Those that the tensor before holds too: kept once.',
    }),
    shared_bytes: Type.Integer(),
  },
  { title: 'ChangedTensor' },
)

/** What two checkpoints differ in. */
export const CheckpointDiff = Type.Object(
  {
    checkpoint: Type.String({ description: 'Id of the first: before.' }),
    with: Type.String({
      description: 'Id of the second, after; or current: the present variables.',
    }),
    container: Type.String({ description: 'Where present variables are.' }),
    added_count: Type.Integer({ description: 'Of all, like the other counts, not of this page.' }),
    removed_count: Type.Integer(),
    changed_count: Type.Integer(),
    unchanged_count: Type.Integer(),
    added: Type.Array(CheckpointTensor, { description: 'Only the second holds them.' }),
    removed: Type.Array(CheckpointTensor, { description: 'Only the first holds them.' }),
    changed: Type.Array(ChangedTensor),
    cursor,
  },
  { title: 'CheckpointDiff' },
)

/** `?with=` and `?values=`. */
export const diffQuery = {
  with: Type.Optional(
    Type.String({
      description:
        'The second: an id, a label, latest, or current: the present variables. A checkpoint with the label current goes by its id. Unless given: current.',
    }),
  ),
  values: Type.Optional(
    Type.Boolean({
      default: true,
      description:
        'false: say what changed without reading values, so not by how much. Else only chunks that differ are read.',
    }),
  ),
}

/** A page of the history of a name. */
export const TensorHistory = Type.Object(
  {
    name: Type.String(),
    history: Type.Array(
      Type.Object({
        checkpoint: Type.String(),
        container: Type.String(),
        step: Type.Union([Type.Integer(), Type.Null()]),
        labels: Type.Array(Type.String()),
        created_at: Type.String(),
        tensor: CheckpointTensor,
      }),
      { description: 'Newest first. Equal sha256 of the same dtype and shape: the same value.' },
    ),
    cursor,
  },
  { title: 'TensorHistory' },
)
