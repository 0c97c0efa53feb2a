// The filters of a list of checkpoints, as a query gives them.
import { Type } from 'typebox'
import type { CheckpointFilter } from '../service/index.ts'
import { Refusal } from '../tensor/index.ts'

const step = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description }))

const time = (description: string) =>
  Type.Optional(
    Type.String({
      description: `${description} A time as replies show it (2026-01-31T12:00:00Z; a + before an offset is %2B), or a date.`,
    }),
  )

/** `?step=`, `?metadata.key=` and so on: what is given, all of it, lets a checkpoint through. */
export const checkpointFilterQuery = {
  container: Type.Optional(Type.String({ description: 'Only those of this container.' })),
  label: Type.Optional(Type.String({ description: 'Only the one that this label points to.' })),
  step: step('Only those saved at this step.'),
  min_step: step('Saved at this step or later; those without a step are left out.'),
  max_step: step('Saved at this step or earlier; those without a step are left out.'),
  created_after: time('Only those made after it.'),
  created_before: time('Only those made before it.'),
}

const metadataPrefix = 'metadata.'

/** Members of a query that begin so are filters too: the key of the metadata follows. */
export const metadataPattern = {
  '^metadata\\.': Type.String(),
}

interface FilterQuery {
  readonly container?: string
  readonly label?: string
  readonly step?: number
  readonly min_step?: number
  readonly max_step?: number
  readonly created_after?: string
  readonly created_before?: string
}

/** The filter that a query means. Refuses (INVALID_ARGUMENT) a time that is none. */
export function checkpointFilterOf(query: FilterQuery): CheckpointFilter {
  const metadata: Record<string, string> = Object.create(null)
  for (const [name, text] of Object.entries(query)) {
    if (name.startsWith(metadataPrefix)) metadata[name.slice(metadataPrefix.length)] = text
  }
  const after = timeOf('created_after', query.created_after)
  return {
    container: query.container,
    label: query.label,
    step: query.step,
    minStep: query.min_step,
    maxStep: query.max_step,
    createdFrom: after === undefined ? undefined : after + 1,
    createdBefore: timeOf('created_before', query.created_before),
    metadata,
  }
}

const dateForm = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/

function timeOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const milliseconds = dateForm.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(milliseconds)) return milliseconds
  throw new Refusal(
    'INVALID_ARGUMENT',
    'http/invalid-querystring',
    `${name} is a time such as 2026-01-31T12:00:00Z, or a date; ${JSON.stringify(text)} was given.`,
  )
}
