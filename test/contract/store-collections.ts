// What every driver of the store must do with collections and their members.
import type { Test } from 'tap'
import type { Change, CollectionMember, Store } from '../../store/index.ts'
import { create } from '../helper/store.ts'
import type { Suite } from './store-suite.ts'

function add(collection: string, ...members: readonly CollectionMember[]): Change {
  return { kind: 'add_to_collection', container: '', collection, members }
}

function clear(collection: string): Change {
  return { kind: 'clear_collection', container: '', collection }
}

async function membersOf(store: Store, collection: string): Promise<unknown[]> {
  const { items } = await store.catalogue.collectionMembers('', collection, { limit: 1000 })
  return items.map((member) => ('variable' in member ? member.variable : [member.value]))
}

async function listOf(store: Store, name: string): Promise<readonly string[] | undefined> {
  return (await store.catalogue.variable('', name))?.collections
}

async function namesIn(store: Store, collection: string): Promise<string[]> {
  const { items } = await store.catalogue.listVariables(
    { container: '', collection },
    { limit: 1000 },
  )
  return items.map(({ name }) => name)
}

/** See the sentences of its tests. */
export function collectionFacts(t: Test, { opened }: Suite): void {
  t.test('members stand in the order in which they joined, of any kind', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([
      create('b', null, { collections: ['c'] }),
      add('c', { value: { any: [1, null, 'x'] } }),
      create('a', null, { collections: ['d', 'c'] }),
      create('z', null),
    ])
    await store.catalogue.commit([
      add('c', { variable: 'z' }, { value: null }, { variable: 'b' }, { value: '' }),
    ])
    t.same(await membersOf(store, 'c'), [
      'b',
      [{ any: [1, null, 'x'] }],
      'a',
      'z',
      [null],
      'b',
      [''],
    ])
    t.same(await namesIn(store, 'c'), ['a', 'b', 'z'], 'a list by name has each variable once')
    t.same(await listOf(store, 'z'), ['c'])
    t.same(await listOf(store, 'b'), ['c'])
    t.same((await store.catalogue.collections('', { limit: 10 })).items, [
      { name: 'c', memberCount: 7 },
      { name: 'd', memberCount: 1 },
    ])
  })

  t.test('members and collections come in pages', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([
      add('c', ...[5, 3, 5, 1].map((value) => ({ value }))),
      add('a', { value: 1 }),
      add('b', { value: 1 }),
    ])
    const page = await store.catalogue.collectionMembers('', 'c', { limit: 3 })
    t.same(page.items, [{ value: 5 }, { value: 3 }, { value: 5 }])
    const rest = await store.catalogue.collectionMembers('', 'c', { limit: 3, cursor: page.cursor })
    t.same(rest, { items: [{ value: 1 }], cursor: undefined })
    const names = await store.catalogue.collections('', { limit: 2 })
    t.same(
      names.items.map(({ name }) => name),
      ['a', 'b'],
    )
    const last = await store.catalogue.collections('', { limit: 2, cursor: names.cursor })
    t.same(last, { items: [{ name: 'c', memberCount: 4 }], cursor: undefined })
    t.same(await membersOf(store, 'none'), [])
    t.same((await store.catalogue.collections('other', { limit: 2 })).items, [])
  })

  t.test('a variable that is not there joins nothing, and nobody with it', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', null)])
    await t.rejects(store.catalogue.commit([add('c', { variable: 'v' }, { variable: 'w' })]), {
      code: 'NOT_FOUND',
      reason: 'variable/unknown',
      names: { variable: 'w' },
    })
    t.same(await membersOf(store, 'c'), [])
    t.same(await listOf(store, 'v'), [])
    await store.catalogue.commit([add('c')])
    t.same((await store.catalogue.collections('', { limit: 10 })).items, [])
  })

  t.test('changing a variable keeps its place in the collections that it stays in', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([
      create('a', null, { collections: ['c', 'd'] }),
      create('b', null, { collections: ['c'] }),
    ])
    const update = (collections: readonly string[]): Change => ({
      kind: 'update_variable',
      container: '',
      name: 'a',
      collections,
    })
    await store.catalogue.commit([update(['e', 'c'])])
    t.same(await listOf(store, 'a'), ['e', 'c'])
    t.same(await membersOf(store, 'c'), ['a', 'b'])
    t.same(await membersOf(store, 'd'), [])
    await store.catalogue.commit([update(['e'])])
    await store.catalogue.commit([update(['e', 'c'])])
    t.same(await membersOf(store, 'c'), ['b', 'a'], 'who comes back stands at the end')
    t.same(await membersOf(store, 'e'), ['a'])
  })

  t.test('a deleted variable leaves its collections, however often it is in them', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([
      create('a', null, { collections: ['c', 'd'] }),
      add('c', { variable: 'a' }, { value: 1 }, { variable: 'a' }),
      { kind: 'delete_variable', container: '', name: 'a' },
    ])
    t.same(await membersOf(store, 'c'), [[1]])
    t.same((await store.catalogue.collections('', { limit: 10 })).items, [
      { name: 'c', memberCount: 1 },
    ])
    await store.catalogue.commit([create('a', null)])
    t.same(await listOf(store, 'a'), [])
    t.same(await namesIn(store, 'c'), [])
  })

  t.test('a cleared collection is empty and in no list of a variable', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([
      create('a', null, { collections: ['c', 'd'] }),
      add('c', { value: 1 }, { variable: 'a' }),
    ])
    t.same(await listOf(store, 'a'), ['c', 'd'], 'also in memory now')
    await store.catalogue.commit([clear('c'), clear('none')])
    t.same(await membersOf(store, 'c'), [])
    t.same(await listOf(store, 'a'), ['d'])
    t.same(await namesIn(store, 'c'), [])
    await store.catalogue.commit([add('c', { variable: 'a' })])
    t.same(await listOf(store, 'a'), ['d', 'c'])
    t.same(await membersOf(store, 'c'), ['a'])
  })

  t.test('collections go with their container, which they keep alive until then', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([
      { ...add('c', { value: 1 }), container: 'k' } as Change,
      add('c', { value: 2 }),
      create('v', null, { container: 'k', collections: ['c'] }),
    ])
    t.same(await store.catalogue.containers(), ['', 'k'])
    await store.catalogue.commit([{ kind: 'delete_container', container: 'k' }])
    t.same(await store.catalogue.containers(), [''])
    t.same(await store.catalogue.collectionMembers('k', 'c', { limit: 1 }), {
      items: [],
      cursor: undefined,
    })
    t.same(await membersOf(store, 'c'), [[2]])
  })
}
