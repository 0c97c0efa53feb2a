// What values of a variable have to be is answered from memory also while values are written; it must be
// what the catalogue has all the same.
import t from 'tap'
import { openStore } from '../../store/index.ts'
import { contentOf, create, stage, temporaryFolder, write } from '../helper/store.ts'

t.test('a declaration follows every change that is to more than a value', async (t) => {
  const store = await openStore({ directory: temporaryFolder(t), clock: () => 7 })
  t.teardown(() => store.close())
  const { commit, declaration } = store.catalogue
  const shapeOf = async () => (await declaration('', 'v'))?.shape
  t.equal(await declaration('', 'v'), undefined)
  await commit([create('v', await stage(store, contentOf(8, 1)), { shape: [8] })])
  t.same(await shapeOf(), [8])
  const values = await Promise.all([2, 3, 4].map((seed) => stage(store, contentOf(8, seed))))
  const writes = values.map((value) => commit([write('v', value)]))
  t.same(await shapeOf(), [8], 'while values are written')
  await Promise.all(writes)
  const longer = commit([write('v', await stage(store, contentOf(9, 1)), { redeclareShape: true })])
  const seen = await shapeOf()
  t.ok(seen?.[0] === 8 || seen?.[0] === 9)
  await longer
  t.same(await shapeOf(), [9])
  await commit([{ kind: 'delete_variable', container: '', name: 'v' }])
  t.equal(await declaration('', 'v'), undefined)
  await commit([create('v', null, { shape: [3] })])
  t.same(await shapeOf(), [3])
  await commit([{ kind: 'delete_container', container: '' }])
  t.equal(await declaration('', 'v'), undefined)
})

t.test('a declaration is never older than one that a reply was built on', async (t) => {
  const store = await openStore({ directory: temporaryFolder(t), clock: () => 7 })
  t.teardown(() => store.close())
  const { commit, declaration } = store.catalogue
  await commit([create('v', await stage(store, contentOf(1, 1)), { shape: [1] })])
  for (let length = 2; length <= 20; length++) {
    const redeclared = await stage(store, contentOf(length, length))
    const change = commit([write('v', redeclared, { redeclareShape: true })])
    const readers = Array.from({ length: 4 }, async () => {
      await declaration('', 'v')
    })
    await Promise.all([change, ...readers])
    t.same((await declaration('', 'v'))?.shape, [length])
  }
})
