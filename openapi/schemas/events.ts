// Schemas of events: what the data of a server-sent event holds. A schema with a title becomes a
// component of the OpenAPI document.
import { Type } from 'typebox'

/** What the store tells of. */
export const eventKinds = [
  'variable',
  'checkpoint',
  'label',
  'graph',
  'model',
  'collection',
  'scope',
  'container',
] as const

/** What can happen to it. */
export const eventActions = ['created', 'written', 'updated', 'deleted'] as const

/** The data of an event that says what changed. */
export const ChangeEvent = Type.Object(
  {
    id: Type.String({
      description: 'Its place: the number of the commit, and the number within it. Only grows.',
      examples: ['12-1'],
    }),
    kind: Type.Enum([...eventKinds]),
    action: Type.Enum([...eventActions]),
    container: Type.String({ description: 'Empty for what belongs to no container.' }),
    name: Type.String({ description: 'Of a checkpoint and of a graph its id.' }),
    version: Type.Optional(Type.Integer({ description: 'The version that a variable then had.' })),
    at: Type.String({ description: 'When it was committed.' }),
  },
  { title: 'ChangeEvent' },
)

/** The data of an event `gap`. */
export const GapEvent = Type.Object(
  {
    after: Type.String({ description: 'Events after this place ..' }),
    resumes_after: Type.String({
      description: '.. and up to this one may be missing: read anew what you follow.',
    }),
  },
  { title: 'GapEvent' },
)
