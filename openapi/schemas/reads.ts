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

/** `?bins=`. */
export const binsQuery = {
  bins: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        'Bins of the histogram; 10 unless given, at most statistics_bins of GET /v1/limits.',
    }),
  ),
}

const figure = (description: string) =>
  Type.Union([Type.Number(), Type.String(), Type.Null()], { description })

const figures = {
  of: Type.String({
    description:
      'What the figures are figures of: the elements (of bool: 0 and 1), the magnitudes of complex ones, the lengths of strings in bytes.',
  }),
  count: Type.Integer({ description: 'All elements.' }),
  zeros: Type.Integer({ description: 'Elements equal to 0, -0 among them; empty strings.' }),
  nans: Type.Integer({ description: 'Complex: where either part is NaN.' }),
  infinities: Type.Integer({ description: 'Of both signs.' }),
  negative_infinities: Type.Integer(),
  min: figure(
    'Of the finite elements, like max, mean, std and the histogram; null where there is none. Exact: a string beyond 2^53.',
  ),
  max: figure('Exact, as min is.'),
  mean: figure('Reckoned in doubles with corrected summation.'),
  std: figure(
    'Population standard deviation: the root of the mean squared deviation (numpy.std with ddof=0), in a second pass.',
  ),
  histogram: Type.Object(
    {
      counts: Type.Array(Type.Integer()),
      edges: Type.Array(Type.Number()),
    },
    {
      description:
        'As numpy.histogram: bins of equal width from min to max (min - 0.5 to max + 0.5 where these are equal), in doubles. Each bin holds its lower edge, the last one also its upper. No edges where no element is finite.',
    },
  ),
}

/** Figures of a checkpoint's tensor. */
export const TensorFigures = Type.Object(figures, {
  title: 'TensorFigures',
  description: 'With statistics=true: taken once, and kept beside the value.',
})

/** Figures of a value. */
export const ValueStatistics = Type.Object(
  {
    name: Type.String(),
    container: Type.String(),
    version: Type.Optional(Type.Integer()),
    checkpoint: Type.Optional(Type.String()),
    dtype: Type.String(),
    shape: Type.Array(Type.Integer()),
    ...figures,
  },
  { title: 'ValueStatistics' },
)
