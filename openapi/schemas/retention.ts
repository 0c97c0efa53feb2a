// Schemas of retention. A schema with a title becomes a component of the OpenAPI document; routes validate
// with these very objects.
import { Type } from 'typebox'

const most = 1_000_000

const maxToKeep = Type.Union([Type.Integer({ minimum: 0, maximum: most }), Type.Null()], {
  description:
    'So many of the newest checkpoints of the container stay. Null and 0: all of them, whatever else is said.',
})

const everyHours = Type.Union([Type.Number({ exclusiveMinimum: 0, maximum: most }), Type.Null()], {
  description:
    "One more stays every n hours, as of TensorFlow's Saver: of those that leave the newest ones, each whose time has come stays for good: the first made over n hours after the rule was set, and each after it whose time is n hours later. Of checkpoints that were there before, those n hours apart stay. Null: none.",
})

const best = Type.Union(
  [
    Type.Object(
      {
        metadata: Type.String({
          minLength: 1,
          maxLength: 1024,
          description:
            "Key of the metadata whose number counts; without a number one isn't among the best.",
        }),
        mode: Type.Enum(['max', 'min'], { description: 'Whether much or little is good.' }),
        count: Type.Integer({
          minimum: 1,
          maximum: most,
          description: 'So many stay; of equals the newer.',
        }),
      },
      { additionalProperties: false },
    ),
    Type.Null(),
  ],
  { description: 'The best by a number in their metadata stay. Null: none.' },
)

/** Rules of a container. */
export const PutRetention = Type.Object(
  {
    max_to_keep: Type.Optional(maxToKeep),
    keep_checkpoint_every_n_hours: Type.Optional(everyHours),
    best: Type.Optional(best),
  },
  {
    title: 'PutRetention',
    additionalProperties: false,
    description: 'What is left out is null: the rules stand in place of those before as a whole.',
    examples: [{ max_to_keep: 5, best: { metadata: 'accuracy', mode: 'max', count: 1 } }],
  },
)

const shown = Type.Object({
  id: Type.String(),
  step: Type.Union([Type.Integer(), Type.Null()]),
  created_at: Type.String(),
})

/** What rules do to the checkpoints that are there. */
const RetentionReport = Type.Object(
  {
    dry_run: Type.Boolean({ description: 'Whether nothing was deleted.' }),
    deleted_count: Type.Integer(),
    deleted: Type.Array(shown, {
      description: 'What went, or would go, newest first; at most 1000 are listed.',
    }),
    kept_count: Type.Integer(),
    kept: Type.Array(
      Type.Object({
        ...shown.properties,
        because: Type.Array(Type.String(), {
          description:
            'Why it stays: newest, every_n_hours, best, pinned, labelled, or unlimited (max_to_keep is null or 0).',
        }),
      }),
      { description: 'What stays, newest first; at most 1000 are listed.' },
    ),
  },
  { title: 'RetentionReport' },
)

/** Rules as replies show them. */
export const Retention = Type.Object(
  {
    container: Type.String(),
    max_to_keep: maxToKeep,
    keep_checkpoint_every_n_hours: everyHours,
    best,
    since: Type.Union([Type.String(), Type.Null()], {
      description: 'From when the hours count; null where no rules were set.',
    }),
    report: Type.Optional(RetentionReport),
  },
  { title: 'Retention' },
)
