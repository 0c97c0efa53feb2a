// Schemas of labels. A schema with a title becomes a component of the OpenAPI document; routes validate
// with these very objects.
import { Type } from 'typebox'
import { cursor } from './shared.ts'

const actor = Type.Union([Type.String(), Type.Null()], {
  description: 'Who turned it, as the header x-holdfast-actor said; null where it did not.',
})

/** A label and its last turn. */
export const Label = Type.Object(
  {
    label: Type.String(),
    checkpoint: Type.Union([Type.String(), Type.Null()], {
      description: 'Id of the checkpoint that it points to; null where it points nowhere now.',
    }),
    container: Type.Union([Type.String(), Type.Null()], { description: "The checkpoint's." }),
    changed_at: Type.String({ description: 'When it was last turned.' }),
    changed_by: actor,
  },
  { title: 'Label' },
)

/** A page of labels. */
export const LabelPage = Type.Object({ labels: Type.Array(Label), cursor }, { title: 'LabelPage' })

/** A label with (a page of) its history. */
export const LabelDetail = Type.Object(
  {
    ...Label.properties,
    history: Type.Array(
      Type.Object({
        checkpoint: Type.Union([Type.String(), Type.Null()], {
          description: 'Where it pointed from then on; null: nowhere.',
        }),
        changed_at: Type.String(),
        changed_by: actor,
        sequence: Type.Integer({ description: 'Of the commit that turned it, as events have it.' }),
      }),
      { description: 'Its turns, newest first; also to checkpoints that are gone.' },
    ),
    cursor,
  },
  { title: 'LabelDetail' },
)

/** `?expect=`. */
export const expectQuery = {
  expect: Type.Optional(
    Type.String({
      pattern: '^(none|[1-9][0-9]{0,15})$',
      description:
        'Id of the checkpoint where the label must point now, or none: it must point nowhere. Else nothing changes (412 label/mismatch).',
    }),
  ),
}

/** Who turns a label. */
export const actorHeader = {
  'x-holdfast-actor': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      description: "Who does it: kept in the labels' history as given, and not verified.",
    }),
  ),
}
