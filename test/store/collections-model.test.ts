// Random histories of collections against a model of a few arrays: the members, their order, their
// number, the lists of the variables and the lists by collection always say the same.
import fc from 'fast-check'
import t from 'tap'
import { type Change, openStore, type Store } from '../../store/index.ts'
import { create, temporaryFolder } from '../helper/store.ts'

const variableNames = ['a', 'b', 'c'] as const
const collectionNames = ['x', 'y'] as const

type Member = { readonly variable: string } | { readonly value: number }

interface Model {
  /** Collections of each variable, in order of joining. */
  variables: Map<string, string[]>
  members: Map<string, Member[]>
}

function membersOf(model: Model, collection: string): Member[] {
  const members = model.members.get(collection) ?? []
  model.members.set(collection, members)
  return members
}

function leave(model: Model, variable: string, collection: string): void {
  const stays = (member: Member): boolean => !('variable' in member && member.variable === variable)
  model.members.set(collection, membersOf(model, collection).filter(stays))
}

/** What a change does to the model; false where the store must refuse it. */
function applied(model: Model, change: Change): boolean {
  switch (change.kind) {
    case 'create_variable': {
      if (model.variables.has(change.name)) return false
      const collections = [...new Set(change.collections)]
      model.variables.set(change.name, collections)
      for (const one of collections) membersOf(model, one).push({ variable: change.name })
      return true
    }
    case 'update_variable': {
      const before = model.variables.get(change.name)
      if (before === undefined) return false
      const after = [...new Set(change.collections ?? before)]
      for (const one of before) if (!after.includes(one)) leave(model, change.name, one)
      for (const one of after) {
        if (!before.includes(one)) membersOf(model, one).push({ variable: change.name })
      }
      model.variables.set(change.name, after)
      return true
    }
    case 'delete_variable':
      for (const one of model.variables.get(change.name) ?? []) leave(model, change.name, one)
      return model.variables.delete(change.name)
    case 'add_to_collection':
      for (const member of change.members as readonly Member[]) {
        if ('variable' in member) {
          const list = model.variables.get(member.variable)
          if (list === undefined) return false
          if (!list.includes(change.collection)) list.push(change.collection)
        }
        membersOf(model, change.collection).push(member)
      }
      return true
    case 'clear_collection':
      model.members.delete(change.collection)
      for (const [name, list] of model.variables) {
        model.variables.set(
          name,
          list.filter((one) => one !== change.collection),
        )
      }
      return true
    default:
      throw new Error(`the history has no ${change.kind}`)
  }
}

const variable = fc.constantFrom(...variableNames)
const collection = fc.constantFrom(...collectionNames)
const someCollections = fc.array(collection, { maxLength: 3 })
const member: fc.Arbitrary<Member> = fc.oneof(
  variable.map((name) => ({ variable: name })),
  fc.nat(3).map((value) => ({ value })),
)
const change: fc.Arbitrary<Change> = fc.oneof(
  fc
    .tuple(variable, someCollections)
    .map(([name, collections]) => create(name, null, { collections })),
  fc.tuple(variable, someCollections).map(
    ([name, collections]): Change => ({
      kind: 'update_variable',
      container: '',
      name,
      collections,
    }),
  ),
  variable.map((name): Change => ({ kind: 'delete_variable', container: '', name })),
  fc.tuple(collection, fc.array(member, { maxLength: 4 })).map(
    ([name, members]): Change => ({
      kind: 'add_to_collection',
      container: '',
      collection: name,
      members,
    }),
  ),
  collection.map((name): Change => ({ kind: 'clear_collection', container: '', collection: name })),
)

/** What the store says of all that the model knows. */
async function seen({ catalogue }: Store): Promise<unknown> {
  const variables = await catalogue.variables('', variableNames)
  const kept = await Promise.all(variableNames.map((name) => catalogue.variable('', name)))
  const members = collectionNames.map((name) =>
    catalogue.collectionMembers('', name, { limit: 1_000 }),
  )
  const lists = collectionNames.map((name) =>
    catalogue.listVariables({ container: '', collection: name }, { limit: 1_000 }),
  )
  return {
    variables: variables.map(({ name, collections }) => [name, collections]),
    kept: kept.flatMap((one) => (one === undefined ? [] : [[one.name, one.collections]])),
    members: (await Promise.all(members)).map(({ items }) => items),
    lists: (await Promise.all(lists)).map(({ items }) => items.map(({ name }) => name)),
    collections: (await catalogue.collections('', { limit: 10 })).items,
  }
}

function expected({ variables, members }: Model): unknown {
  const all = variableNames.flatMap((name) => {
    const collections = variables.get(name)
    return collections === undefined ? [] : [[name, collections]]
  })
  const counted = collectionNames.map((name) => ({
    name,
    memberCount: members.get(name)?.length ?? 0,
  }))
  return {
    variables: all,
    kept: all,
    members: collectionNames.map((name) => members.get(name) ?? []),
    lists: collectionNames.map((one) =>
      variableNames.filter((name) => variables.get(name)?.includes(one)),
    ),
    collections: counted.filter(({ memberCount }) => memberCount > 0),
  }
}

t.test('collections and variables say the same in 60 histories', async (t) => {
  const store = await openStore({ directory: temporaryFolder(t), clock: () => 1 })
  t.teardown(() => store.close())
  const histories = fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { maxLength: 12 })
  let refused = 0
  const property = fc.asyncProperty(histories, async (history) => {
    let model: Model = { variables: new Map(), members: new Map() }
    await store.catalogue.commit([{ kind: 'delete_container', container: '' }])
    for (const changes of history) {
      const next = structuredClone(model)
      const isAllowed = changes.every((one) => applied(next, one))
      const done = await store.catalogue.commit(changes).then(
        () => true,
        () => false,
      )
      if (done !== isAllowed) throw new Error(`the store ${done ? 'took' : 'refused'} a commit`)
      if (done) model = next
      else refused += 1
      t.same(await seen(store), expected(model))
    }
  })
  await fc.assert(property, { numRuns: 60, endOnFailure: true, interruptAfterTimeLimit: 60_000 })
  t.comment(`${refused} commits were refused`)
  t.ok(refused > 0)
})
