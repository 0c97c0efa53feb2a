// A catalogue of an earlier release is brought forward with all that is in it.
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { openStore } from '../../store/index.ts'
import { create, temporaryFolder } from '../helper/store.ts'

/** A catalogue as the first release left it, with these variables made in this order. */
function writeFirstCatalogue(
  directory: string,
  variables: readonly { readonly name: string; readonly collections: readonly string[] }[],
): void {
  mkdirSync(join(directory, 'packs'))
  const database = new Database(join(directory, 'catalog.db'))
  database.pragma('journal_mode = WAL')
  const first = new URL('../../migrations/0001_store.sql', import.meta.url)
  database.exec(readFileSync(first, 'utf8'))
  database.pragma(`application_id = ${0x484f4c44}`)
  database.pragma('user_version = 1')
  const variable = database.prepare(
    `INSERT INTO variable (container, name, dtype, trainable, version, last_version, value_id,
       created_at, updated_at, device, shape, collections, initializer)
     VALUES ('', ?, 'float32', 1, 0, 0, NULL, ?, 1, '', '[]', ?, 'null')`,
  )
  const member = database.prepare(`INSERT INTO collection_member VALUES ('', ?, ?)`)
  variables.forEach(({ name, collections }, index) => {
    variable.run(name, index, JSON.stringify(collections))
    for (const collection of collections) member.run(collection, name)
  })
  database.close()
}

t.test(
  'members of collections stand in the order in which their variables were made',
  async (t) => {
    const directory = temporaryFolder(t)
    writeFirstCatalogue(directory, [
      { name: 'c', collections: ['all', 'some'] },
      { name: 'a', collections: ['all'] },
      { name: 'b', collections: ['some', 'all'] },
    ])
    const { catalogue, close } = await openStore({ directory, clock: () => 1 }).then((store) => ({
      catalogue: store.catalogue,
      close: () => store.close(),
    }))
    t.teardown(close)
    const members = async (collection: string): Promise<unknown> =>
      (await catalogue.collectionMembers('', collection, { limit: 9 })).items
    t.same(await members('all'), [{ variable: 'c' }, { variable: 'a' }, { variable: 'b' }])
    t.same(await members('some'), [{ variable: 'c' }, { variable: 'b' }])
    t.same((await catalogue.collections('', { limit: 9 })).items, [
      { name: 'all', memberCount: 3 },
      { name: 'some', memberCount: 2 },
    ])
    await catalogue.commit([create('d', null, { collections: ['some'] })])
    t.same(await members('some'), [{ variable: 'c' }, { variable: 'b' }, { variable: 'd' }])
    await catalogue.commit([{ kind: 'delete_variable', container: '', name: 'c' }])
    t.same(await members('all'), [{ variable: 'a' }, { variable: 'b' }])
    t.same((await catalogue.variable('', 'a'))?.slice, undefined)
  },
)
