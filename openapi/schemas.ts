// The named schemas that routes share: one shape each, with its description. A schema with a title
// becomes a component of the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'

/** A list of sizes; -1 (or null) would be an unknown one, and is allowed only where said so. */
const Shape = Type.Array(Type.Integer({ minimum: 0 }), {
  maxItems: 254,
  description: 'Dimension sizes, outermost first; [] is a scalar.',
})

const PartialShape = Type.Array(Type.Integer({ minimum: -1 }), {
  maxItems: 254,
  description: 'Dimension sizes, outermost first; -1 is an unknown one.',
})

const shapeReply = Type.Union([Type.Array(Type.Integer()), Type.Null()], {
  description: 'Dimension sizes; -1 is an unknown one, null an unknown rank.',
})

const DTypeName = Type.String({
  description:
    'NumPy name (float32, bfloat16, int64, bool, string, ..) or TensorFlow name (DT_FLOAT).',
  examples: ['float32'],
})

/** Problem details of RFC 9457, as every refusal is answered. */
export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.String(),
    code: Type.String({ description: "TensorFlow's canonical error code." }),
    reason: Type.String({ description: 'A stable word, such as variable/unknown.' }),
    fix: Type.Optional(Type.String()),
    names: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { title: 'Problem', additionalProperties: true },
)

/** A refusal in TensorFlow Serving's form. */
export const ServingError = Type.Object({ error: Type.String() }, { title: 'ServingError' })

/** A tensor in JSON. */
const Tensor = Type.Object(
  {
    dtype: Type.Optional(DTypeName),
    shape: Type.Optional(Shape),
    value: Type.Optional(
      Type.Unknown({
        description:
          'Nested lists. 64-bit integers beyond 2^53 as strings; "NaN", "Infinity", "-Infinity"; bytes as {"b64": ".."}; complex as [re, im].',
        examples: [
          [
            [1, 2],
            [3, 4],
          ],
        ],
      }),
    ),
    b64: Type.Optional(
      Type.String({ description: 'Instead of value: base64 of the raw little-endian bytes.' }),
    ),
  },
  { title: 'Tensor', additionalProperties: false },
)

/** A tensor as a request body: the object form, or the bare value. */
export const TensorBody = Type.Unknown({
  title: 'TensorBody',
  description:
    'A Tensor object, or just its value (a nested list, a number, ..) where dtype and shape are known.',
  examples: [{ value: [1, 2, 3] }],
})

/** A file as a request body. */
export const FileBody = Type.Unknown({
  title: 'FileBody',
  description: 'The file itself; its first bytes say which kind it is.',
})

/** A graph as a request body. */
export const GraphBody = Type.Unknown({
  title: 'GraphBody',
  description: 'A GraphDef: serialized, as protobuf JSON, or in text format.',
})

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

const cursor = Type.Union([Type.String(), Type.Null()], {
  description: 'Continues the list; null at its end.',
})

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

/** A checkpoint without its tensors. */
export const Checkpoint = Type.Object(
  {
    id: Type.String(),
    container: Type.String(),
    step: Type.Union([Type.Integer(), Type.Null()]),
    labels: Type.Array(Type.String()),
    metadata: Type.Record(Type.String(), Type.Unknown()),
    pinned: Type.Boolean(),
    tensor_count: Type.Integer(),
    nbytes: Type.Integer(),
    created_at: Type.String(),
  },
  { title: 'Checkpoint' },
)

/** A tensor of a checkpoint without its value. */
const CheckpointTensor = Type.Object(
  {
    name: Type.String(),
    dtype: Type.String(),
    shape: Type.Array(Type.Integer()),
    nbytes: Type.Integer(),
    sha256: Type.String({
      description: "SHA-256 of the content's bytes; of its chunks' digests above one chunk.",
    }),
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
    names: Type.Optional(Type.Array(Type.String(), { maxItems: 100_000 })),
    collection: Type.Optional(Type.String()),
    rename: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'Variable by stored name.' }),
    ),
    step: Type.Optional(step),
    labels: Type.Optional(Type.Array(Type.String(), { maxItems: 100 })),
    metadata: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    async: Type.Optional(Type.Boolean()),
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

/** How to restore. */
export const RestoreCheckpoint = Type.Object(
  {
    names: Type.Optional(Type.Array(Type.String(), { maxItems: 100_000 })),
    rename: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'Variable by stored name.' }),
    ),
    scope: Type.Optional(
      Type.String({ description: "Put before the variables' names: stored w goes to scope/w." }),
    ),
    strict: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          'Refuse unless every stored tensor has its variable and fits; else restore what fits.',
      }),
    ),
    dry_run: Type.Optional(Type.Boolean({ default: false })),
    create: Type.Optional(
      Type.Boolean({ default: false, description: 'Make the variables that are not there.' }),
    ),
  },
  { title: 'RestoreCheckpoint', additionalProperties: false, examples: [{}] },
)

const mismatches = Type.Array(
  Type.Object({ name: Type.String(), expected: Type.String(), found: Type.String() }),
)

/** What a restore did, or would do. */
export const RestoreReport = Type.Object(
  {
    checkpoint: Type.String(),
    container: Type.String(),
    strict: Type.Boolean(),
    dry_run: Type.Boolean(),
    restored: Type.Array(Type.String()),
    created: Type.Array(Type.String()),
    missing: Type.Array(Type.String(), {
      description: 'Names asked for, else variables, that the checkpoint does not have.',
    }),
    unexpected: Type.Array(Type.String()),
    shape_mismatches: mismatches,
    dtype_mismatches: mismatches,
    versions: Type.Record(Type.String(), Type.Integer()),
  },
  { title: 'RestoreReport' },
)

/** A piece of long work. */
export const Operation = Type.Object(
  {
    id: Type.String(),
    kind: Type.String(),
    state: Type.Union([Type.Literal('running'), Type.Literal('done'), Type.Literal('failed')]),
    started_at: Type.String(),
    ended_at: Type.Union([Type.String(), Type.Null()]),
    result: Type.Unknown(),
    error: Type.Unknown({ description: 'A Problem where it failed, else null.' }),
  },
  { title: 'Operation' },
)

const namedTensors = Type.Array(
  Type.Object({
    name: Type.String(),
    dtype: Type.Union([Type.String(), Type.Null()]),
    shape: shapeReply,
  }),
)

/** A graph and what an upload learned of it. */
export const Graph = Type.Object(
  {
    id: Type.String({ description: 'SHA-256 of the serialized GraphDef.' }),
    node_count: Type.Integer(),
    ops: Type.Record(Type.String(), Type.Integer()),
    unsupported: Type.Array(Type.Object({ op: Type.String(), node: Type.String() })),
    inputs: namedTensors,
    outputs: namedTensors,
    variables: Type.Array(
      Type.Object({
        name: Type.String(),
        container: Type.String(),
        node: Type.String(),
        dtype: Type.String(),
        shape: shapeReply,
        reference: Type.Boolean(),
      }),
    ),
    nbytes: Type.Integer(),
    created_at: Type.String(),
  },
  { title: 'Graph' },
)

/** A page of graphs. */
export const GraphPage = Type.Object({ graphs: Type.Array(Graph), cursor }, { title: 'GraphPage' })

/** A run of a graph. */
export const RunGraph = Type.Object(
  {
    feeds: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'Tensors by tensor name: a Tensor object, or its bare value.',
      }),
    ),
    fetches: Type.Optional(Type.Array(Type.String(), { maxItems: 10_000 })),
    targets: Type.Optional(Type.Array(Type.String(), { maxItems: 10_000 })),
    container: Type.Optional(Type.String()),
    device: Type.Optional(Type.String()),
    durability: Type.Optional(
      Type.Union([Type.Literal('durable'), Type.Literal('checkpoint')], {
        description: 'Writes are committed before the reply in either case; the reply says so.',
      }),
    ),
    report: Type.Optional(Type.Boolean()),
  },
  {
    title: 'RunGraph',
    additionalProperties: false,
    examples: [{ feeds: { x: [1, 2, 5] }, fetches: ['y'] }],
  },
)

/** What a run gave. */
export const RunReply = Type.Object(
  {
    fetches: Type.Record(Type.String(), Tensor),
    written: Type.Array(Written),
    durable: Type.Boolean(),
    replayed: Type.Optional(Type.Boolean()),
    report: Type.Optional(Type.Unknown()),
  },
  { title: 'RunReply' },
)

/** How a version of a model is doing. */
export const ModelVersion = Type.Object(
  {
    name: Type.String(),
    version: Type.Integer(),
    state: Type.String(),
    error: Type.Union([Type.String(), Type.Null()]),
    container: Type.String({ description: 'Where its variables are.' }),
    signatures: Type.Array(Type.String()),
    created_at: Type.String(),
  },
  { title: 'ModelVersion' },
)

/** A predict request in TensorFlow Serving's JSON. */
export const PredictRequest = Type.Object(
  {
    signature_name: Type.Optional(Type.String()),
    instances: Type.Optional(Type.Unknown({ description: 'Row form: a list of examples.' })),
    inputs: Type.Optional(Type.Unknown({ description: 'Column form: values by input name.' })),
  },
  { title: 'PredictRequest', examples: [{ instances: [1, 2, 5] }] },
)

/** A classify or regress request in TensorFlow Serving's JSON. */
export const ExamplesRequest = Type.Object(
  {
    signature_name: Type.Optional(Type.String()),
    context: Type.Optional(Type.Unknown()),
    examples: Type.Array(Type.Unknown()),
  },
  { title: 'ExamplesRequest' },
)

/** Versions of a model in TensorFlow Serving's form. */
export const ModelStatus = Type.Object(
  {
    model_version_status: Type.Array(
      Type.Object({
        version: Type.String(),
        state: Type.String(),
        status: Type.Object({ error_code: Type.String(), error_message: Type.String() }),
      }),
    ),
  },
  { title: 'ModelStatus' },
)

/** A device as the engine sees it. */
export const Device = Type.Object(
  {
    name: Type.String(),
    kind: Type.String(),
    description: Type.String(),
    state: Type.String(),
    default: Type.Boolean(),
    types: Type.Array(Type.String()),
    limits: Type.Record(Type.String(), Type.Unknown()),
    memory: Type.Record(Type.String(), Type.Unknown()),
    resident: Type.Array(Type.Object({ value: Type.Integer(), nbytes: Type.Integer() })),
  },
  { title: 'Device' },
)

/** Whether the service can work. */
export const Readiness = Type.Object(
  {
    ready: Type.Boolean(),
    store: Type.Object({
      writable: Type.Boolean(),
      reason: Type.Union([Type.String(), Type.Null()]),
    }),
    engine: Type.Object({ devices: Type.Record(Type.String(), Type.String()) }),
    models: Type.Record(Type.String(), Type.String()),
  },
  { title: 'Readiness' },
)
