// Bits that flip on the disk are noticed, named and kept from everybody; the rest is served, and
// the same content sent again mends what was damaged.
import {
  closeSync,
  cpSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { openStore, type Store } from '../../store/index.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  gather,
  stage,
  temporaryFolder,
  valueOfVariable,
  write,
} from '../helper/store.ts'

const mebibyte = 1024 * 1024
const contents = {
  inline: contentOf(1_000, 1),
  loose: contentOf(1_500_000, 2),
  packed: contentOf(4 * mebibyte + 5, 3),
  whole: contentOf(4 * mebibyte + 5, 4),
}

const clock = (): number => 1

/** A directory with one value of each kind, closed. */
async function filled(t: { teardown(callback: () => void): void }): Promise<string> {
  const directory = temporaryFolder(t)
  const store = await openStore({ directory, clock })
  for (const [name, content] of Object.entries(contents)) {
    await store.catalogue.commit([create(name, await stage(store, content))])
  }
  await store.close()
  return directory
}

/** Flips one bit of a blob, found by SQL, in a database that nobody has open. */
function flip(file: string, table: string, column: string, where = '1'): void {
  const database = new Database(file)
  const row = database
    .prepare(`SELECT rowid AS id, ${column} AS bytes FROM ${table} WHERE ${where} LIMIT 1`)
    .get() as { id: number; bytes: Buffer }
  row.bytes[Math.floor(row.bytes.length / 2)] ^= 4
  database.prepare(`UPDATE ${table} SET ${column} = ? WHERE rowid = ?`).run(row.bytes, row.id)
  database.close()
}

/** The pack in which the value `packed` lies: the first one made. */
function packFile(directory: string): string {
  const packs = readdirSync(join(directory, 'packs'))
  const catalogue = new Database(join(directory, 'catalog.db'))
  const { name } = catalogue
    .prepare(
      `SELECT pack.name FROM pack JOIN chunk USING (pack_id) JOIN value_chunk USING (chunk_id)
       JOIN variable USING (value_id) WHERE variable.name = 'packed' LIMIT 1`,
    )
    .get() as { name: string }
  catalogue.close()
  if (!packs.includes(`${name}.pack`)) throw new Error(`${name} is not among ${packs}`)
  return join(directory, 'packs', `${name}.pack`)
}

/** Everything but `damaged` reads as it was written; that one is refused; sent again it is whole. */
async function checkDamage(
  t: Test,
  store: Store,
  damaged: keyof typeof contents,
  problem: RegExp,
): Promise<void> {
  for (const [name, content] of Object.entries(contents)) {
    if (name === damaged) continue
    t.ok(Buffer.from(await bytesOfVariable(store, name)).equals(content), `${name} is served`)
  }
  const { valueId } = await valueOfVariable(store, damaged)
  const loss = { code: 'DATA_LOSS', reason: 'store/chunk-damaged', message: problem }
  await t.rejects(store.values.bytes(valueId), loss)
  await t.rejects(gather(store.values.read(valueId)), loss)
  const { chunks, damaged: found } = await store.values.verify(valueId)
  t.equal(chunks, (await store.values.chunks(valueId)).length)
  t.ok(found.length > 0, 'verify finds it')
  for (const { ordinal, digest } of found) {
    t.equal((await store.values.chunks(valueId))[ordinal].digest, digest)
  }
  await store.catalogue.commit([create(`${damaged} again`, await stage(store, contents[damaged]))])
  t.ok(
    Buffer.from(await bytesOfVariable(store, damaged)).equals(contents[damaged]),
    'the same content, sent again, mends it',
  )
  t.same((await store.values.verify(valueId)).damaged, [])
}

t.test('a flipped bit of an inline value', async (t) => {
  const directory = await filled(t)
  flip(join(directory, 'catalog.db'), 'inline_content', 'bytes')
  const store = await openStore({ directory, clock })
  t.teardown(() => store.close())
  await checkDamage(t, store, 'inline', /its crc32c differs/)
})

t.test('a flipped bit of a loose chunk', async (t) => {
  const directory = await filled(t)
  flip(join(directory, 'catalog.db'), 'loose_chunk', 'bytes')
  const store = await openStore({ directory, clock })
  t.teardown(() => store.close())
  await checkDamage(
    t,
    store,
    'loose',
    /is damaged: chunk \d \(SHA-256 [0-9a-f]{64}\): its crc32c differs/,
  )
})

t.test('a flipped bit of a chunk in a pack', async (t) => {
  const directory = await filled(t)
  flip(packFile(directory), 'chunk', 'bytes')
  const store = await openStore({ directory, clock })
  t.teardown(() => store.close())
  await checkDamage(t, store, 'packed', /its crc32c differs/)
})

t.test('the header of a pack overwritten', async (t) => {
  const directory = await filled(t)
  const file = openSync(packFile(directory), 'r+')
  writeSync(file, Buffer.alloc(100, 0xff), 0, 100, 0)
  closeSync(file)
  const store = await openStore({ directory, clock })
  t.teardown(() => store.close())
  await checkDamage(t, store, 'packed', /the file that holds it is damaged/)
})

t.test('a pack cut short', async (t) => {
  const directory = await filled(t)
  const path = packFile(directory)
  const file = openSync(path, 'r+')
  const half = Buffer.alloc(mebibyte)
  readSync(file, half, 0, half.length, 0)
  closeSync(file)
  rmSync(path)
  const cut = openSync(path, 'w')
  writeSync(cut, half)
  closeSync(cut)
  const store = await openStore({ directory, clock })
  t.teardown(() => store.close())
  await checkDamage(t, store, 'packed', /damaged/)
})

t.test('a missing pack is told of at the start', async (t) => {
  const directory = await filled(t)
  rmSync(packFile(directory))
  const told: string[] = []
  const store = await openStore({ directory, clock, log: (message) => told.push(message) })
  t.teardown(() => store.close())
  t.match(told, [/the pack .+ is missing/])
  await checkDamage(t, store, 'packed', /its pack is missing/)
})

t.test('a damaged chunk does not keep the sweep or a merge from its work', async (t) => {
  const directory = await filled(t)
  flip(join(directory, 'catalog.db'), 'loose_chunk', 'bytes')
  const limits = { mergeLooseByteLength: 1, mergePackCount: 2 }
  const store = await openStore({ directory, clock, limits, log: () => undefined })
  t.teardown(() => store.close())
  const { mergedChunks } = await store.sweep()
  t.ok(mergedChunks > 0)
  for (const name of ['inline', 'packed', 'whole'] as const) {
    t.ok(Buffer.from(await bytesOfVariable(store, name)).equals(contents[name]))
  }
  await t.rejects(bytesOfVariable(store, 'loose'), { code: 'DATA_LOSS' })
  await store.catalogue.commit([write('loose', null), { kind: 'delete_container', container: '' }])
  await store.sweep()
  t.match(await store.status(), { looseBytes: 0, packCount: 0 })
})

t.test(
  'flipped bytes at twelve places of the catalogue are refused or leave the values whole',
  async (t) => {
    const clean = await filled(t)
    const { size } = statSync(join(clean, 'catalog.db'))
    let refused = 0
    for (let attempt = 0; attempt < 12; attempt++) {
      const directory = temporaryFolder(t)
      cpSync(clean, directory, { recursive: true })
      const file = openSync(join(directory, 'catalog.db'), 'r+')
      const place =
        100 + ((attempt * 7_919 * 4_096 + attempt * 131) % Math.min(size - 100, 150_000))
      const byte = Buffer.alloc(1)
      readSync(file, byte, 0, 1, place)
      byte[0] ^= 0x55
      writeSync(file, byte, 0, 1, place)
      closeSync(file)
      const store = await openStore({ directory, clock }).catch((error: { code: string }) => {
        t.match(error.code, /DATA_LOSS|FAILED_PRECONDITION|UNAVAILABLE/)
        refused += 1
      })
      if (store === undefined) continue
      for (const [name, content] of Object.entries(contents)) {
        const bytes = await bytesOfVariable(store, name).catch(() => undefined)
        if (bytes !== undefined)
          t.ok(Buffer.from(bytes).equals(content), `${name} with byte ${place} flipped`)
      }
      await store.close()
    }
    t.comment(`${refused} of 12 were refused at the start`)
  },
)
