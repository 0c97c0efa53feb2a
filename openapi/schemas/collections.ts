// Schemas of collections. A schema with a title becomes a component of the OpenAPI document; routes
// validate with these very objects.
import { Type } from 'typebox'
import { cursor } from './shared.ts'

const variable = Type.String({
  description:
    'Name of a variable of the container; of a partitioned one all parts join, in order.',
  examples: ['dense/kernel'],
})

const value = Type.Unknown({
  description:
    'Any JSON value. Numbers are doubles: give larger integers as strings. An object with a string "name" counts as named where a scope filters.',
  examples: [{ name: 'loss/l2', weight: 0.5 }],
})

/** A member of a collection: it has a variable or a value, and not both. */
export const CollectionMember = Type.Object(
  { variable: Type.Optional(variable), value: Type.Optional(value) },
  {
    title: 'CollectionMember',
    description: 'Either a variable or a value.',
    additionalProperties: false,
  },
)

/** What joins a collection: one member, or several. */
export const AddToCollection = Type.Object(
  {
    variable: Type.Optional(variable),
    value: Type.Optional(value),
    members: Type.Optional(
      Type.Array(CollectionMember, { description: 'Appended in this order, all or none.' }),
    ),
  },
  {
    title: 'AddToCollection',
    description: 'One of variable, value and members.',
    additionalProperties: false,
  },
)

/** What joined. */
export const AddedToCollection = Type.Object(
  {
    name: Type.String({ description: 'The collection; global_variables is shown as variables.' }),
    container: Type.String(),
    added: Type.Integer({ description: 'Members that the request gave.' }),
    durable: Type.Boolean(),
  },
  { title: 'AddedToCollection' },
)

/** A page of names of collections. */
export const CollectionPage = Type.Object(
  {
    collections: Type.Array(
      Type.Object({
        name: Type.String(),
        member_count: Type.Integer({ description: 'A member that joined twice counts twice.' }),
      }),
    ),
    cursor,
  },
  { title: 'CollectionPage' },
)

/** A page of members. */
export const CollectionMemberPage = Type.Object(
  {
    name: Type.String(),
    container: Type.String(),
    members: Type.Array(CollectionMember, { description: 'In order of joining.' }),
    cursor,
  },
  { title: 'CollectionMemberPage' },
)
