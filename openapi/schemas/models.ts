// Schemas of models and predictions. A schema with a title becomes a
// component of the OpenAPI document; routes validate with these very objects.
import { Type } from 'typebox'

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
