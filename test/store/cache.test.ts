// What is kept in memory answers as the catalogue would: never an older state than one seen before,
// whatever is being committed meanwhile.
import t, { type Test } from 'tap'
import { openStore, type Store } from '../../store/index.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  scalar,
  stage,
  temporaryFolder,
  valueOfVariable,
  write,
} from '../helper/store.ts'

async function opened(t: Test, clock: () => number = () => 7): Promise<Store> {
  const store = await openStore({ directory: temporaryFolder(t), clock })
  t.teardown(() => store.close())
  return store
}

/** The variable as the cache and as the catalogue have it; a list is never answered from memory. */
async function both(store: Store, container = '', name = 'v') {
  const { items } = await store.catalogue.listVariables({ container, prefix: name }, { limit: 1 })
  return { kept: await store.catalogue.variable(container, name), stored: items[0] }
}

t.test('after each kind of change, memory has what the catalogue has', async (t) => {
  let now = 1
  const store = await opened(t, () => now)
  const { commit } = store.catalogue
  const steps = [
    async () => commit([create('v', await stage(store, contentOf(8, 1)))]),
    async () => commit([write('v', await stage(store, contentOf(9, 2)))]),
    async () => commit([write('v', await stage(store, contentOf(9, 3)), { redeclareShape: true })]),
    async () => commit([write('v', { valueId: (await valueOfVariable(store, 'v')).valueId })]),
    async () => commit([write('v', await stage(store, contentOf(9, 4))), write('v', null)]),
    async () =>
      commit([{ kind: 'update_variable', container: '', name: 'v', device: '/device:CPU:0' }]),
    async () => commit([{ kind: 'delete_variable', container: '', name: 'v' }]),
    async () => commit([create('v', null, { collections: ['c'] })]),
    async () => commit([{ kind: 'delete_container', container: '' }]),
  ]
  for (const [index, step] of steps.entries()) {
    now += 1
    await step()
    const { kept, stored } = await both(store)
    t.same(kept, stored, `step ${index}`)
    // Now it is certainly in memory, where it exists at all.
    t.same((await both(store)).kept, stored, `step ${index} again`)
  }
})

t.test('a write that is refused leaves what was there', async (t) => {
  const store = await opened(t)
  await store.catalogue.commit([create('v', await stage(store, contentOf(8, 1)))])
  const before = await store.catalogue.variable('', 'v')
  const refused = stage(store, contentOf(8, 2)).then((value) =>
    store.catalogue.commit([write('v', value, { expect: { version: 99 } })]),
  )
  await t.rejects(refused, { code: 'FAILED_PRECONDITION' })
  t.same(await store.catalogue.variable('', 'v'), before)
})

t.test('containers and names that join to the same text are kept apart', async (t) => {
  const store = await opened(t)
  await store.catalogue.commit([
    create('bc', await stage(store, contentOf(1, 1)), { container: 'a' }),
    create('c', await stage(store, contentOf(2, 1)), { container: 'ab' }),
    create('1:c', await stage(store, contentOf(3, 1)), { container: '' }),
  ])
  const places = [
    ['a', 'bc'],
    ['ab', 'c'],
    ['', '1:c'],
  ] as const
  for (let round = 0; round < 2; round++) {
    for (const [index, [container, name]] of places.entries()) {
      const found = await store.catalogue.variable(container, name)
      t.equal(found?.value?.byteLength, index + 1)
    }
  }
})

t.test('no read goes back behind what any read has seen, while writers write', async (t) => {
  const store = await opened(t)
  const names = ['a', 'b']
  await store.catalogue.commit(names.map((name) => create(name, null)))
  let isOver = false
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    for (let round = 0; round < 25; round++) {
      const value = await stage(store, scalar(writer * 1000 + round))
      // Always both, so their versions are equal in every state that was committed.
      await store.catalogue.commit(names.map((name) => write(name, value)))
    }
  })
  let seen = 0
  const read = async (): Promise<number> => {
    for (let reads = 0; ; reads++) {
      if (isOver) return reads
      const versions =
        reads % 3 === 0
          ? (await store.catalogue.variables('', names)).map(({ version }) => version)
          : [(await store.catalogue.variable('', names[reads % 2]))?.version ?? -1]
      for (const version of versions) {
        if (version < seen) t.fail(`version ${version} was read after ${seen}`)
        seen = Math.max(seen, version)
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const reading = read()
  await Promise.all(writers)
  isOver = true
  t.ok((await reading) > 20)
  t.equal((await store.catalogue.variable('', 'a'))?.version, 100)
})

t.test('bytes that a caller changes or gives away stay whole for the next', async (t) => {
  const store = await opened(t)
  const content = contentOf(64, 3)
  await store.catalogue.commit([create('v', await stage(store, content))])
  for (let round = 0; round < 3; round++) {
    const bytes = await bytesOfVariable(store, 'v')
    t.same(bytes, content)
    bytes.fill(0)
    structuredClone(bytes, { transfer: [bytes.buffer] })
  }
})

t.test('a value that was swept is gone from memory too', async (t) => {
  const store = await opened(t)
  await store.catalogue.commit([create('v', await stage(store, contentOf(64, 5)))])
  const { valueId } = await valueOfVariable(store, 'v')
  await store.values.bytes(valueId)
  await store.catalogue.commit([write('v', null)])
  await store.sweep()
  await t.rejects(store.values.bytes(valueId), { code: 'NOT_FOUND', reason: 'value/unknown' })
})
