// Schemas of what belongs to no resource: operations, devices, readiness. A schema with a title becomes a
// component of the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'

/** A piece of long work. */
export const Operation = Type.Object(
  {
    id: Type.String(),
    kind: Type.String(),
    state: Type.Union([
      Type.Literal('running'),
      Type.Literal('done'),
      Type.Literal('failed'),
      Type.Literal('cancelled'),
    ]),
    cancelling: Type.Boolean({ description: 'Whether it was told to stop and has not ended yet.' }),
    progress: Type.Object({
      bytes_done: Type.Integer({ description: 'Bytes that have been dealt with.' }),
      bytes_total: Type.Union([Type.Integer(), Type.Null()], {
        description: 'Of so many; null as long as nobody knows.',
      }),
    }),
    started_at: Type.String(),
    ended_at: Type.Union([Type.String(), Type.Null()]),
    result: Type.Unknown(),
    error: Type.Unknown({ description: 'A Problem where it failed, else null.' }),
  },
  { title: 'Operation' },
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
    resident: Type.Array(
      Type.Object({
        container: Type.String(),
        name: Type.String(),
        version: Type.Integer(),
        nbytes: Type.Integer(),
      }),
      { description: 'Variables whose present values it holds.' },
    ),
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
      damaged_chunks: Type.Integer({
        description: 'Known to be damaged; GET /v1/scrub names them. The rest is served.',
      }),
    }),
    engine: Type.Object({ devices: Type.Record(Type.String(), Type.String()) }),
    models: Type.Record(Type.String(), Type.String()),
  },
  { title: 'Readiness' },
)
