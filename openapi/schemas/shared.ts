// What every resource's schemas share: shapes, types, tensors, cursors, refusals. A schema with a title becomes a
// component of the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'

/** A list of sizes; -1 (or null) would be an unknown one, and is allowed only where said so. */
const Shape = Type.Array(Type.Integer({ minimum: 0 }), {
  maxItems: 254,
  description: 'Dimension sizes, outermost first; [] is a scalar.',
})

/** Sizes of a declared shape. */
export const PartialShape = Type.Array(Type.Integer({ minimum: -1 }), {
  maxItems: 254,
  description: 'Dimension sizes, outermost first; -1 is an unknown one.',
})

/** A shape as replies show it. */
export const shapeReply = Type.Union([Type.Array(Type.Integer()), Type.Null()], {
  description: 'Dimension sizes; -1 is an unknown one, null an unknown rank.',
})

/** An element type as requests name it. */
export const DTypeName = Type.String({
  description:
    'NumPy name (float32, bfloat16, int64, bool, string, ..) or TensorFlow name (DT_FLOAT).',
  examples: ['float32'],
})

/** Where the next page begins. */
export const cursor = Type.Union([Type.String(), Type.Null()], {
  description: 'Continues the list; null at its end.',
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
export const Tensor = Type.Object(
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
