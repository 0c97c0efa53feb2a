// Schemas of graphs and their runs. A schema with a title becomes a
// component of the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'
import { cursor, shapeReply, Tensor } from './shared.ts'
import { Written } from './variables.ts'

/** A graph as a request body. */
export const GraphBody = Type.Unknown({
  title: 'GraphBody',
  description: 'A GraphDef: serialized, as protobuf JSON, or in text format.',
})

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
