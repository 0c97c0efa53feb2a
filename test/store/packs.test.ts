// Where bytes go and how they move: inline, loose, packs; merging, rewriting, and few open files.
import { readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { openStore, type Store, type StoreLimits } from '../../store/index.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  stage,
  streamOf,
  temporaryFolder,
  valueOfVariable,
} from '../helper/store.ts'

const mebibyte = 1024 * 1024
const clock = (): number => 1

async function opened(
  t: { teardown(callback: () => unknown): void },
  limits: Partial<StoreLimits> = {},
): Promise<{ readonly store: Store; readonly directory: string }> {
  const directory = temporaryFolder(t)
  const store = await openStore({
    directory,
    clock,
    limits: { maintenanceIntervalMs: 60_000, ...limits },
  })
  t.teardown(() => store.close())
  return { store, directory }
}

function packsOf(directory: string): string[] {
  return readdirSync(join(directory, 'packs'))
}

t.test(
  'small values lie inline, middling ones loose, large ones in a pack for each bulk worker',
  async (t) => {
    const { store, directory } = await opened(t)
    await store.catalogue.commit([create('inline', await stage(store, contentOf(65_536, 1)))])
    t.match(await store.status(), { packCount: 0, looseBytes: 0 })
    await store.catalogue.commit([
      create('loose', await stage(store, contentOf(2 * mebibyte - 1, 2))),
    ])
    t.match(await store.status(), { packCount: 0, looseBytes: 2 * mebibyte - 1 })
    await store.catalogue.commit([create('packed', await stage(store, contentOf(8 * mebibyte, 3)))])
    const { packCount, packBytes, looseBytes } = await store.status()
    t.ok(packCount >= 1 && packCount <= 2)
    t.same([packBytes, looseBytes], [8 * mebibyte, 2 * mebibyte - 1])
    t.equal(packsOf(directory).length, packCount)
  },
)

t.test(
  'a sealed pack is a SQLite file of its own kind with its chunks and nothing else',
  async (t) => {
    const { store, directory } = await opened(t)
    await store.catalogue.commit([create('packed', await stage(store, contentOf(3 * mebibyte, 3)))])
    const { valueId } = await valueOfVariable(store, 'packed')
    const wanted = (await store.values.chunks(valueId)).map(({ digest }) => digest).sort()
    const found: string[] = []
    for (const name of packsOf(directory)) {
      t.match(name, /^\d+-\d+\.pack$/)
      const pack = new Database(join(directory, 'packs', name), { readonly: true })
      t.equal(pack.pragma('application_id', { simple: true }), 0x484f4c50)
      t.equal(pack.pragma('page_size', { simple: true }), 65_536)
      t.equal(pack.pragma('integrity_check', { simple: true }), 'ok')
      found.push(
        ...(pack.prepare('SELECT lower(hex(digest)) FROM chunk').pluck().all() as string[]),
      )
      pack.close()
    }
    t.same(found.sort(), wanted)
  },
)

t.test('a pack is sealed when it is full and the next one begun', async (t) => {
  const { store } = await opened(t, { packByteLength: 2 * mebibyte })
  const content = contentOf(12 * mebibyte, 1)
  await store.catalogue.commit([create('v', await stage(store, content))])
  t.ok((await store.status()).packCount >= 4)
  t.ok(Buffer.from(await bytesOfVariable(store, 'v')).equals(content))
})

t.test('repeated content is taken in once, within a value and across commits', async (t) => {
  const { store } = await opened(t)
  const zeros = new Uint8Array(16 * mebibyte)
  await store.catalogue.commit([create('zeros', await stage(store, zeros))])
  t.match(await store.status(), { packCount: 0, looseBytes: mebibyte })
  const content = contentOf(4 * mebibyte, 1)
  await store.catalogue.commit([create('a', await stage(store, content))])
  const before = (await store.status()).packBytes
  const changed = content.slice()
  changed[0] ^= 1
  await store.catalogue.commit([create('b', await stage(store, changed))])
  t.match(await store.status(), { packBytes: before, looseBytes: 2 * mebibyte })
  const [a, b] = await Promise.all(
    ['a', 'b'].map(async (name) =>
      store.values.chunks((await valueOfVariable(store, name)).valueId),
    ),
  )
  t.same(
    a.map(({ digest }, index) => digest === b[index].digest),
    [false, true, true, true],
  )
})

t.test('loose chunks are merged into a pack once there are many', async (t) => {
  const { store } = await opened(t, { mergeLooseByteLength: 3 * mebibyte })
  const contents = [1, 2, 3].map((seed) => contentOf(mebibyte + 200_000, seed))
  for (const [index, content] of contents.entries()) {
    await store.catalogue.commit([create(`v${index}`, await stage(store, content))])
  }
  t.match(await store.status(), { packCount: 0, looseBytes: 3 * (mebibyte + 200_000) })
  t.equal((await store.sweep()).mergedChunks, 6)
  t.match(await store.status(), { packCount: 1, looseBytes: 0 })
  for (const [index, content] of contents.entries()) {
    t.ok(Buffer.from(await bytesOfVariable(store, `v${index}`)).equals(content))
  }
})

t.test('many small packs become one, and the old files go', async (t) => {
  const { store, directory } = await opened(t, { mergePackCount: 6 })
  const contents = Array.from({ length: 6 }, (_, seed) => contentOf(2 * mebibyte, seed))
  for (const [index, content] of contents.entries()) {
    await store.catalogue.commit([create(`v${index}`, await stage(store, content))])
    await bytesOfVariable(store, `v${index}`)
  }
  t.ok((await store.status()).packCount >= 6)
  await store.sweep()
  t.ok((await store.status()).packCount < 6)
  t.equal(packsOf(directory).length, (await store.status()).packCount)
  for (const [index, content] of contents.entries()) {
    t.ok(Buffer.from(await bytesOfVariable(store, `v${index}`)).equals(content))
  }
})

t.test('a pack that is mostly dead is rewritten', async (t) => {
  const { store } = await opened(t)
  const staging = store.values.stage()
  const contents = Array.from({ length: 8 }, (_, seed) => contentOf(mebibyte, seed))
  const values = await Promise.all(contents.map((content) => staging.add(streamOf(content))))
  await store.catalogue.commit(values.map((value, index) => create(`v${index}`, value)))
  t.equal((await store.status()).packBytes, 8 * mebibyte)
  for (const index of [1, 2, 3, 4, 5, 6, 7]) {
    await store.catalogue.commit([{ kind: 'delete_variable', container: '', name: `v${index}` }])
  }
  await store.sweep()
  t.match(await store.status(), { packBytes: mebibyte, packCount: 1 })
  t.ok(Buffer.from(await bytesOfVariable(store, 'v0')).equals(contents[0]))
})

t.test('merging comes to an end although a staging keeps what nothing names', async (t) => {
  const { store } = await opened(t, { mergePackCount: 2, smallPackByteLength: 4 * mebibyte })
  const contents = [1, 2, 3].map((seed) => contentOf(2 * mebibyte, seed))
  for (const [index, content] of contents.entries()) {
    await store.catalogue.commit([create(`v${index}`, await stage(store, content))])
  }
  const staging = store.values.stage()
  const values = await Promise.all(contents.map((content) => staging.add(streamOf(content))))
  await store.catalogue.commit([{ kind: 'delete_variable', container: '', name: 'v0' }])
  await store.sweep()
  t.equal((await store.status()).packBytes, 6 * mebibyte)
  await store.catalogue.commit([create('v0', values[0])])
  await store.sweep()
  for (const [index, content] of contents.entries()) {
    t.ok(Buffer.from(await bytesOfVariable(store, `v${index}`)).equals(content))
  }
})

t.test('reading goes on while packs are merged under it', async (t) => {
  const { store } = await opened(t, { mergePackCount: 4, maintenanceIntervalMs: 1 })
  const contents = Array.from({ length: 8 }, (_, seed) => contentOf(2 * mebibyte + 9, seed))
  let isWriting = true
  const reader = (async () => {
    let reads = 0
    while (isWriting || reads === 0) {
      await new Promise((resolve) => setImmediate(resolve))
      const { items } = await store.catalogue.listVariables({ container: '' }, { limit: 100 })
      for (const { name, value } of items) {
        if (value === undefined) continue
        const bytes = await store.values.bytes(value.valueId)
        if (!Buffer.from(bytes).equals(contents[Number(name.slice(1))])) return -1
        reads += 1
      }
    }
    return reads
  })()
  for (const [index, content] of contents.entries()) {
    await store.catalogue.commit([create(`v${index}`, await stage(store, content))])
  }
  await store.sweep()
  isWriting = false
  t.ok((await reader) > 0)
})

t.test('few packs are open at a time', async (t) => {
  const { store, directory } = await opened(t, { openPackCount: 4, mergePackCount: 1_000 })
  for (let seed = 0; seed < 8; seed++) {
    await store.catalogue.commit([
      create(`v${seed}`, await stage(store, contentOf(2 * mebibyte, seed))),
    ])
    await bytesOfVariable(store, `v${seed}`)
  }
  t.ok((await store.status()).packCount >= 8)
  const isOpen = (descriptor: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(join(directory, 'packs'))
    } catch {
      return false
    }
  }
  const count = readdirSync('/proc/self/fd').filter(isOpen).length
  t.ok(count > 0 && count <= 4, `${count} packs are open`)
})

t.test('what was staged and not committed leaves no file', async (t) => {
  const { store, directory } = await opened(t)
  const staging = store.values.stage()
  await staging.add(streamOf(contentOf(5 * mebibyte, 1)))
  t.ok(packsOf(directory).some((name) => name.endsWith('.tmp')))
  await staging.discard()
  t.same(packsOf(directory), [])
  const refused = store.values.stage()
  const value = await refused.add(streamOf(contentOf(5 * mebibyte, 2)))
  await t.rejects(store.catalogue.commit([create('\ud800', value)]))
  t.ok(packsOf(directory).every((name) => name.endsWith('.pack')))
  await refused.discard()
  t.same(packsOf(directory), [])
  const replayed = { key: 'k', digest: 'd', keepMs: 1_000 }
  await store.catalogue.commit([create('v', null)], replayed)
  const again = await stage(store, contentOf(5 * mebibyte, 3))
  t.ok((await store.catalogue.commit([create('v', again)], replayed)).replayed)
  t.same(packsOf(directory), [], 'neither does a replayed commit')
})

t.test('what a crash left is removed at the next start', async (t) => {
  const directory = temporaryFolder(t)
  const store = await openStore({ directory, clock })
  await store.catalogue.commit([create('v', await stage(store, contentOf(5 * mebibyte, 1)))])
  const before = packsOf(directory)
  await store.close()
  for (const stray of ['9-1.tmp', '9-2.pack', '9-1.tmp-journal']) {
    new Database(join(directory, 'packs', stray)).exec('CREATE TABLE chunk (x)').close()
  }
  const again = await openStore({ directory, clock })
  t.same(packsOf(directory), before)
  await again.close()
})
