// Schemas of verification: of a checkpoint, and of everything. A schema with a title becomes a component of
// the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'

const chunk = Type.Integer({ description: 'Which chunk of the value, from 0.' })
const sha256 = Type.String({ description: 'The SHA-256 that the chunk should have.' })
const problem = Type.Union([Type.String(), Type.Null()], {
  description: 'Null where it was found before and not looked at again.',
})
const variables = Type.Array(Type.Object({ container: Type.String(), name: Type.String() }), {
  description: 'Variables whose present value it is in.',
})
const tensors = Type.Array(Type.Object({ checkpoint: Type.String(), tensor: Type.String() }), {
  description: 'Checkpoints that hold the value, and under which name; newest first.',
})

/** How to verify. */
export const VerifyCheckpoint = Type.Object(
  { async: Type.Optional(Type.Boolean({ description: 'As an operation, with progress.' })) },
  { title: 'VerifyCheckpoint', additionalProperties: false, examples: [{ async: true }] },
)

/** What verifying a checkpoint found. */
export const VerifyReport = Type.Object(
  {
    checkpoint: Type.String(),
    intact: Type.Boolean({ description: 'Whether every byte is what was saved.' }),
    tensors: Type.Integer(),
    chunks: Type.Integer({ description: 'Chunks that were read, each once.' }),
    nbytes: Type.Integer({ description: 'Bytes that were read.' }),
    damaged: Type.Array(
      Type.Object({
        tensor: Type.String(),
        chunk,
        sha256,
        problem,
        variables,
        tensors,
      }),
    ),
  },
  { title: 'VerifyReport' },
)

/** A damaged chunk. */
export const DamagedChunk = Type.Object(
  { chunk, sha256, problem, variables, tensors },
  { title: 'DamagedChunk' },
)

const passed = {
  chunks: Type.Integer(),
  nbytes: Type.Integer({ description: 'Bytes that were read.' }),
}

/** What the scrub is doing. */
export const Scrub = Type.Object(
  {
    state: Type.Union([Type.Literal('off'), Type.Literal('waiting'), Type.Literal('running')]),
    bytes_per_second: Type.Integer({ description: 'It reads no faster in the background.' }),
    pass: Type.Union([Type.Object({ started_at: Type.String(), ...passed }), Type.Null()], {
      description: 'The pass under way. It goes on where it stood after a restart.',
    }),
    last_pass: Type.Union([Type.Object({ finished_at: Type.String(), ...passed }), Type.Null()], {
      description: 'The last whole pass.',
    }),
    next_at: Type.Union([Type.String(), Type.Null()], {
      description: 'When the next pass begins; null while one is under way.',
    }),
    damaged_chunks: Type.Integer({ description: 'Chunks that are known to be damaged.' }),
    damaged: Type.Array(DamagedChunk, { description: 'At most a hundred of them.' }),
  },
  { title: 'Scrub' },
)
