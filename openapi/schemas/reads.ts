// Schemas of reads: values as JSON, and which part of which version of them is wanted. A schema with a title
// becomes a component of the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'

/** A value as JSON, with what it is the value of. */
export const ReadValue = Type.Object(
  {
    name: Type.String(),
    container: Type.String(),
    version: Type.Optional(
      Type.Integer({ description: "The variable's version; absent where a checkpoint was read." }),
    ),
    checkpoint: Type.Optional(Type.String({ description: 'The id of the checkpoint read.' })),
    dtype: Type.String(),
    shape: Type.Array(Type.Integer(), { description: 'Of the part, where one was asked for.' }),
    value: Type.Optional(
      Type.Unknown({
        description:
          'Nested lists. 64-bit integers beyond 2^53 as strings; "NaN", "Infinity", "-Infinity"; bytes that are no UTF-8 as {"b64": ".."}; complex as [re, im].',
      }),
    ),
    b64: Type.Optional(
      Type.String({ description: 'Instead of value, where encoding=b64 asked for it.' }),
    ),
  },
  { title: 'ReadValue' },
)

/** `?encoding=` of a reply in JSON. */
export const encodingQuery = {
  encoding: Type.Optional(
    Type.Literal('b64', { description: 'JSON with base64 of the raw little-endian bytes.' }),
  ),
}

/** `?slice=`. */
export const sliceQuery = {
  slice: Type.Optional(
    Type.String({
      description:
        "A part in NumPy's basic indexing: integers (which drop their axis), start:stop:step, ... and newaxis (or None), separated by commas. Only the bytes it needs are read.",
      examples: ['0:10,:,-1'],
    }),
  ),
}

/** `?checkpoint=`. */
export const checkpointQuery = {
  checkpoint: Type.Optional(
    Type.String({
      description:
        'Read the past: the id or a label of a checkpoint, or latest (of the container).',
    }),
  ),
}

/** `?min_version=` and `?timeout_ms=`. */
export const waitQuery = {
  min_version: Type.Optional(
    Type.Integer({
      minimum: 0,
      description: 'Wait until the variable has at least this version; of several, each of them.',
    }),
  ),
  timeout_ms: Type.Optional(
    Type.Integer({
      minimum: 0,
      description: 'How long to wait for min_version; 0 looks once. 504 when the time is over.',
    }),
  ),
}
