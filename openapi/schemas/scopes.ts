// Schemas of variable scopes. A schema with a title becomes a component of the OpenAPI document; routes
// validate with these very objects.
import { Type } from 'typebox'
import { Initializer, Partitions, Reuse } from './get-variable.ts'
import { cursor, DTypeName } from './shared.ts'

const scopeArguments = {
  reuse: Type.Optional(Reuse),
  initializer: Type.Optional(Initializer),
  dtype: Type.Optional(DTypeName),
  device: Type.Optional(
    Type.String({
      description: "Merged with the outer scopes', field by field.",
      examples: ['/job:ps/task:1'],
    }),
  ),
  partitions: Type.Optional(Partitions),
}

/** The defaults of a scope; what is absent is inherited, and so is reuse false. */
export const ScopeArguments = Type.Object(scopeArguments, {
  title: 'ScopeArguments',
  additionalProperties: false,
  examples: [{ reuse: 'auto', dtype: 'float32', initializer: { kind: 'he_normal', seed: 7 } }],
})

/** A scope: its own defaults, and what is in effect in it. */
export const Scope = Type.Object(
  {
    path: Type.String({ description: 'Empty for the root.' }),
    container: Type.String(),
    ...scopeArguments,
    initializer: Type.Optional(Type.Unknown({ description: 'As it was given.' })),
    partitions: Type.Optional(Type.Unknown({ description: 'As they were given.' })),
    effective: Type.Object(
      {
        reuse: Reuse,
        initializer: Type.Unknown({
          description: "null: by the variable's type, glorot_uniform for floats.",
        }),
        dtype: Type.String(),
        device: Type.String({ description: 'Empty: anywhere.' }),
        partitions: Type.Unknown({ description: 'null: variables are whole.' }),
      },
      {
        description: 'What get_variable finds in this scope: its own defaults and inherited ones.',
      },
    ),
  },
  { title: 'Scope' },
)

/** A page of the scopes that have defaults of their own, by path. */
export const ScopePage = Type.Object({ scopes: Type.Array(Scope), cursor }, { title: 'ScopePage' })
