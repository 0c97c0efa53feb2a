// Schemas of checkpoints. A schema with a title becomes a
// component of the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'
import { TensorFigures } from './reads.ts'
import { cursor } from './shared.ts'

/** A checkpoint without its tensors. */
export const Checkpoint = Type.Object(
  {
    id: Type.String(),
    container: Type.String(),
    step: Type.Union([Type.Integer(), Type.Null()]),
    labels: Type.Array(Type.String()),
    metadata: Type.Record(Type.String(), Type.Unknown()),
    pinned: Type.Boolean(),
    tensor_count: Type.Integer({
      description: 'Values that are kept; each part of a partitioned variable is one.',
    }),
    nbytes: Type.Integer({ description: 'Of all tensors together, as if nothing were shared.' }),
    created_at: Type.String(),
    own_bytes: Type.Optional(
      Type.Integer({
        description:
          'With usage=true: bytes of content on the disk that nothing else names, each counted once. Deleting the checkpoint frees them.',
      }),
    ),
    shared_bytes: Type.Optional(
      Type.Integer({
        description:
          'With usage=true: bytes that variables, other checkpoints or other values hold too.',
      }),
    ),
  },
  { title: 'Checkpoint' },
)

/** A tensor of a checkpoint without its value. */
export const CheckpointTensor = Type.Object(
  {
    name: Type.String(),
    dtype: Type.String(),
    shape: Type.Array(Type.Integer()),
    nbytes: Type.Integer(),
    sha256: Type.Union([Type.String(), Type.Null()], {
      description:
        "SHA-256 of the content's bytes; of its chunks' digests above one chunk. Null where it is in parts.",
    }),
    parts: Type.Optional(
      Type.Array(
        Type.Object({
          name: Type.String({ description: 'The stored name of the part alone.' }),
          offset: Type.Array(Type.Integer()),
          shape: Type.Array(Type.Integer()),
          nbytes: Type.Integer(),
          sha256: Type.String(),
        }),
        { description: 'The parts of a partitioned variable, which are kept one by one.' },
      ),
    ),
    statistics: Type.Optional(TensorFigures),
  },
  { title: 'CheckpointTensor' },
)

/** A checkpoint with (a page of) its tensors. */
export const CheckpointDetail = Type.Object(
  { ...Checkpoint.properties, tensors: Type.Array(CheckpointTensor), cursor },
  { title: 'CheckpointDetail' },
)

/** A page of checkpoints, newest first. */
export const CheckpointPage = Type.Object(
  { checkpoints: Type.Array(Checkpoint), cursor },
  { title: 'CheckpointPage' },
)

const step = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** What to save. */
export const SaveCheckpoint = Type.Object(
  {
    names: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: 100_000,
        description: 'These variables. A partitioned one is saved with all of its parts.',
      }),
    ),
    rename: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'These variables, under other names: variable by stored name.',
      }),
    ),
    collection: Type.Optional(
      Type.Union([Type.String(), Type.Array(Type.String(), { maxItems: 16 })], {
        description:
          "The members of this collection, or of any of several. Unless told otherwise a save takes the global variables (collection variables, to which optimizers' slots belong), as TensorFlow's Saver does; local_variables are saved by choice.",
        examples: ['local_variables', ['variables', 'local_variables']],
      }),
    ),
    scope: Type.Optional(
      Type.String({
        description: 'Only variables below this scope: a takes a/w and a/b/w, and not ab/w.',
        examples: ['layers/first'],
      }),
    ),
    all: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Every variable of the container, whatever its collections.',
      }),
    ),
    only_initialized: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Leave out variables without a value, which else are refused.',
      }),
    ),
    step: Type.Optional(step),
    labels: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: 100,
        description: 'Labels that point at the checkpoint from then on.',
      }),
    ),
    metadata: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), { description: 'Anything, kept as given.' }),
    ),
    async: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Answer 202 with an operation at once.',
      }),
    ),
  },
  {
    title: 'SaveCheckpoint',
    additionalProperties: false,
    examples: [{ step: 1, labels: ['best'] }],
  },
)

/** Changes of a checkpoint. */
export const UpdateCheckpoint = Type.Object(
  {
    pinned: Type.Optional(Type.Boolean()),
    metadata: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { title: 'UpdateCheckpoint', additionalProperties: false, minProperties: 1 },
)

const maxMapped = 100_000
const oneOrMore = Type.Union([Type.String(), Type.Array(Type.String(), { maxItems: 1000 })])

const RestoreRule = Type.Object(
  {
    from: Type.Optional(
      Type.String({
        description: 'Stored names that begin so; the rest of the name follows what is in to.',
      }),
    ),
    pattern: Type.Optional(
      Type.String({
        description:
          'A regular expression for whole stored names, without look-around and back references: its time is linear in the name.',
      }),
    ),
    to: Type.Union([Type.String(), Type.Array(Type.String(), { maxItems: 1000 })], {
      description:
        'Variables that they go to, one or several. For a pattern $1 to $9 are what its groups took, $0 is the whole name, $$ a dollar. An empty list leaves them out.',
    }),
  },
  { title: 'RestoreRule', additionalProperties: false },
)

/** How to restore. */
export const RestoreCheckpoint = Type.Object(
  {
    names: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: maxMapped,
        description:
          'Only these stored names, and those that rename and slices name. The parts of a partitioned variable may be asked for one by one.',
      }),
    ),
    rename: Type.Optional(
      Type.Record(Type.String(), oneOrMore, {
        description: 'Variable, or several of them, by stored name.',
        examples: [{ 'old/w': 'new/w', table: ['a/table', 'b/table'] }],
      }),
    ),
    rules: Type.Optional(
      Type.Array(RestoreRule, {
        maxItems: 1000,
        description:
          'For stored names that are not in rename: the first rule that fits says where they go; where none fits, they go to the variable of their own name.',
        examples: [
          [
            { from: 'old/', to: 'new/' },
            { pattern: '(.*)/w', to: '$1/weights' },
          ],
        ],
      }),
    ),
    slices: Type.Optional(
      Type.Record(
        Type.String(),
        Type.Object(
          {
            tensor: Type.String({ description: 'A stored name.' }),
            slice: Type.String({ description: "The part, in NumPy's notation." }),
          },
          { additionalProperties: false },
        ),
        {
          description:
            'Parts of stored tensors by variable. Only what is needed of a tensor is read, and it goes nowhere else unless names or rename say so.',
          examples: [{ 'shard_0/table': { tensor: 'table', slice: '0:10,:' } }],
        },
      ),
    ),
    only_mapped: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Leave out stored tensors that rename, rules and slices do not speak of.',
      }),
    ),
    scope: Type.Optional(
      Type.String({
        description: "Put before the variables' names: stored w goes to scope/w.",
      }),
    ),
    strict: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          'Refuse unless everything that is meant is stored, has its variable and fits; else restore what fits.',
      }),
    ),
    allow_missing: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          "False: strict refuses also where the checkpoint lacks a global variable of the container (of scope, where given), as TensorFlow's Saver does.",
      }),
    ),
    dry_run: Type.Optional(
      Type.Boolean({ default: false, description: 'Report only; nothing is refused or changed.' }),
    ),
    create: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Make the variables that are not there, with dtype and shape as stored, partitioned as stored.',
      }),
    ),
    async: Type.Optional(
      Type.Boolean({ default: false, description: 'Answer 202 with an operation at once.' }),
    ),
  },
  { title: 'RestoreCheckpoint', additionalProperties: false, examples: [{}] },
)

const mismatches = Type.Array(
  Type.Object({
    name: Type.String({ description: 'The variable.' }),
    tensor: Type.String({ description: 'The stored name.' }),
    expected: Type.String({ description: 'What the variable has.' }),
    found: Type.String({ description: 'What is stored.' }),
  }),
)

/** What a restore did, or would do. */
export const RestoreReport = Type.Object(
  {
    checkpoint: Type.String(),
    container: Type.String(),
    strict: Type.Boolean(),
    dry_run: Type.Boolean(),
    restored: Type.Array(Type.String(), { description: 'Variables.' }),
    created: Type.Array(Type.String(), { description: 'Those of restored that were made.' }),
    missing: Type.Array(Type.String(), {
      description:
        'Stored names asked for that are not there, and, unless it was said what to restore, global variables that the checkpoint does not have.',
    }),
    unexpected: Type.Array(Type.String(), {
      description: 'Stored tensors without a variable.',
    }),
    skipped: Type.Array(Type.String(), {
      description: 'Stored tensors that a rule leaves out.',
    }),
    shape_mismatches: mismatches,
    dtype_mismatches: mismatches,
    sources: Type.Array(
      Type.Object({
        name: Type.String({ description: 'The variable.' }),
        tensor: Type.String({ description: 'The stored name.' }),
        slice: Type.Union([Type.String(), Type.Null()]),
      }),
      {
        description:
          'For every variable that is meant to get another tensor than that of its own name, or a part of one: which.',
      },
    ),
    versions: Type.Record(Type.String(), Type.Integer(), {
      description: 'New version by variable; empty for a dry run.',
    }),
  },
  { title: 'RestoreReport' },
)
