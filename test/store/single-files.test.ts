// A checkpoint in a single SQLite file comes back as it was, and whatever else is sent in its place is refused.
import { createHash } from 'node:crypto'
import { appendFileSync, copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { openStore, type Store } from '../../store/index.ts'
import { chanceFrom, seedOf } from '../helper/chance.ts'
import { flipByte } from '../helper/flip.ts'
import { contentOf, create, gather, save, stage, temporaryFolder } from '../helper/store.ts'

const mebibyte = 1024 * 1024
const clock = (): number => 1
const limits = { tensors: 100, byteLength: 100 * mebibyte }
const contents = {
  alias: contentOf(2 * mebibyte + 3, 1),
  empty: new Uint8Array(),
  large: contentOf(2 * mebibyte + 3, 1),
  small: contentOf(12, 2),
}

const folder = temporaryFolder(t)
const store: Store = await openStore({ directory: join(folder, 'data'), clock })
t.teardown(() => store.close())
for (const [name, content] of Object.entries(contents)) {
  await store.catalogue.commit([create(name, await stage(store, content))])
}
const slice = { fullName: 'whole', fullShape: [24], offset: [12] }
await store.catalogue.commit([
  create('whole/part_1', await stage(store, contentOf(12, 3)), { shape: [12], slice }),
])
const { checkpoints } = await store.catalogue.commit([
  save({ step: 7, metadata: { accuracy: 0.5, text: 'é' } }),
])
const sample = join(folder, 'sample.sqlite')
await store.singleFiles.write(checkpoints[0], sample)

let copies = 0
/** A copy of the sample, to be spoiled. */
function copied(): string {
  const path = join(folder, `copy-${++copies}.sqlite`)
  copyFileSync(sample, path)
  return path
}

t.test('a file holds every tensor with its type, part and bytes', async (t) => {
  const file = await store.singleFiles.open(sample, limits)
  t.same(file.head, {
    id: '1',
    step: 7,
    metadata: { accuracy: 0.5, text: 'é' },
    createdAt: 1,
  })
  t.same(
    file.tensors.map(({ name }) => name),
    ['alias', 'empty', 'large', 'small', 'whole/part_1'],
  )
  const { items } = await store.catalogue.checkpointEntries('1')
  for (const [place, tensor] of file.tensors.entries()) {
    const { value } = items[place]
    t.match(tensor, { dtype: value.dtype, shape: value.shape, digest: value.digest })
    t.same(tensor.slice, items[place].slice)
    const bytes = await gather(file.chunks(tensor))
    t.ok(Buffer.from(bytes).equals(await store.values.bytes(value.valueId)), tensor.name)
  }
  await file.close()
})

t.test('equal content is there once, and equal checkpoints give equal files', async (t) => {
  const database = new Database(sample, { readonly: true })
  t.same(database.prepare('SELECT count(*) AS count FROM chunk').get(), { count: 5 })
  t.same(database.prepare('SELECT count(*) AS count FROM tensor_chunk').get(), { count: 8 })
  database.close()
  const again = join(folder, 'again.sqlite')
  await store.singleFiles.write('1', again)
  t.ok(readFileSync(again).equals(readFileSync(sample)))
})

t.test('a checkpoint that is not there has no file', async (t) => {
  await t.rejects(store.singleFiles.write('99', join(folder, 'none.sqlite')), {
    code: 'NOT_FOUND',
    reason: 'checkpoint/unknown',
  })
})

/** Runs SQL on a copy with every guard off, as a stranger would. */
function changed(...statements: readonly string[]): string {
  const path = copied()
  const database = new Database(path)
  database.unsafeMode()
  for (const sql of statements) database.exec(sql)
  database.close()
  return path
}

const foreign: Record<string, readonly [() => string, RegExp]> = {
  'text instead of a database': [
    () => {
      const path = copied()
      writeFileSync(path, 'no database at all, but long enough to be one\n'.repeat(50))
      return path
    },
    /it is no SQLite database/,
  ],
  'an empty file': [
    () => {
      const path = copied()
      truncateSync(path, 0)
      return path
    },
    /it is no SQLite database/,
  ],
  "another program's database": [
    () => changed('PRAGMA application_id = 7'),
    /its application id is 7/,
  ],
  'a later version': [() => changed('PRAGMA user_version = 2'), /its version is 2/],
  'the write-ahead mode': [() => changed('PRAGMA journal_mode = WAL'), /in write-ahead mode/],
  'a table more': [() => changed('CREATE TABLE more (a)'), /it has other tables/],
  'a table less': [() => changed('DROP TABLE chunk'), /it has other tables/],
  'a trigger': [
    () => changed('CREATE TRIGGER x AFTER INSERT ON chunk BEGIN SELECT 1; END'),
    /it has other tables/,
  ],
  'an index': [() => changed('CREATE INDEX x ON chunk (bytes)'), /it has other tables/],
  'a view in the place of a table': [
    () =>
      changed(
        'DROP TABLE tensor_chunk',
        `CREATE VIEW tensor_chunk AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
         SELECT i AS tensor_id, i AS ordinal, i AS chunk_id FROM n`,
      ),
    /it has other tables/,
  ],
  'a table with another check': [
    () =>
      changed(
        'PRAGMA writable_schema = ON',
        `UPDATE sqlite_schema SET sql = replace(sql, 'singleton = 1', 'singleton > 0')`,
      ),
    /it has other tables/,
  ],
}

for (const [name, [spoil, message]] of Object.entries(foreign)) {
  t.test(`${name} is refused`, async (t) => {
    await t.rejects(store.singleFiles.open(spoil(), limits), {
      code: 'INVALID_ARGUMENT',
      reason: 'checkpoint/foreign-file',
      message,
    })
  })
}

const bad: Record<string, readonly [readonly string[], RegExp]> = {
  'no checkpoint': [['DELETE FROM checkpoint'], /does not say what it is a checkpoint of/],
  'metadata that is no JSON': [[`UPDATE checkpoint SET metadata = '{'`], /metadata is not JSON/],
  'metadata that is a list': [[`UPDATE checkpoint SET metadata = '[]'`], /metadata is no object/],
  'a negative step': [['UPDATE checkpoint SET step = -1'], /its step is -1/],
  'metadata too long to be': [
    [`UPDATE checkpoint SET metadata = printf('%.*c', 5000000, ' ')`],
    /does not say/,
  ],
  'an unknown dtype': [[`UPDATE tensor SET dtype = 'float7'`], /has the dtype float7/],
  'a dtype without bytes': [[`UPDATE tensor SET dtype = 'resource'`], /has the dtype resource/],
  'a shape that is no JSON': [[`UPDATE tensor SET shape = '[1'`], /shape of \w+ is not JSON/],
  'a negative size': [[`UPDATE tensor SET shape = '[-1]'`], /a shape that cannot be/],
  'a shape of another length': [[`UPDATE tensor SET shape = '[13]'`], /has \d+ bytes; uint8 of/],
  'sizes whose product overflows': [
    [`UPDATE tensor SET shape = '[4294967296, 4294967296]', byte_length = 0`],
    /has 0 bytes; uint8 of shape/,
  ],
  'a shape of 300 dimensions': [
    [`UPDATE tensor SET shape = '[' || trim(printf('%.*c', 300, '1'), ' ') || ']'`],
    /a shape that cannot be|has \d+ bytes/,
  ],
  'a negative length': [['UPDATE tensor SET byte_length = -1'], /a column that cannot be so long/],
  'a short checksum': [[`UPDATE tensor SET sha256 = x'00'`], /a column that cannot be so long/],
  'a name too long to be': [
    [`UPDATE tensor SET name = printf('%.*c', 300000, 'n') WHERE tensor_id = 1`],
    /a column that cannot be so long/,
  ],
  'another checksum': [
    [`UPDATE tensor SET sha256 = zeroblob(32) WHERE name = 'small'`],
    /the tensor small has another SHA-256/,
  ],
  'a chunk less': [
    [`DELETE FROM tensor_chunk WHERE ordinal = 1`],
    /the chunks of the tensor alias do not make up its bytes/,
  ],
  'a chunk more': [
    [`INSERT INTO tensor_chunk SELECT tensor_id, 9, 1 FROM tensor WHERE name = 'large'`],
    /the chunks of the tensor large do not make up its bytes/,
  ],
  'a chunk of another length': [
    ['UPDATE chunk SET bytes = zeroblob(5)'],
    /do not make up its bytes/,
  ],
  'a huge chunk': [
    ['UPDATE chunk SET bytes = zeroblob(300000000) WHERE chunk_id = 1'],
    /do not make up its bytes/,
  ],
  'a part of nothing': [[`UPDATE tensor SET slice = '{}'`], /does not say of what it is one/],
}

for (const [name, [statements, message]] of Object.entries(bad)) {
  t.test(`${name} is refused`, async (t) => {
    await t.rejects(store.singleFiles.open(changed(...statements), limits), {
      code: 'DATA_LOSS',
      reason: 'checkpoint/damaged-file',
      message,
    })
  })
}

t.test('a chunk with other bytes is refused when it is read', async (t) => {
  const path = changed(
    `UPDATE chunk SET bytes = zeroblob(12) WHERE chunk_id IN (SELECT chunk_id FROM tensor_chunk
     JOIN tensor USING (tensor_id) WHERE name = 'small')`,
  )
  const file = await store.singleFiles.open(path, limits)
  t.teardown(() => file.close())
  const small = file.tensors.find(({ name }) => name === 'small')
  if (small === undefined) throw new Error('small is there')
  await t.rejects(gather(file.chunks(small)), {
    code: 'DATA_LOSS',
    message: /chunk 0 of the tensor small has another SHA-256/,
  })
})

t.test('more than the limits allow is refused', async (t) => {
  const tooLarge = { code: 'RESOURCE_EXHAUSTED', reason: 'file/too-large' }
  await t.rejects(store.singleFiles.open(sample, { ...limits, tensors: 4 }), tooLarge)
  await t.rejects(store.singleFiles.open(sample, { ...limits, byteLength: 4_000_000 }), tooLarge)
})

t.test('a file cut short or with something behind it is refused', async (t) => {
  const { length } = readFileSync(sample)
  for (const cut of [1, 99, 4_096, length - 4_096, length - 1]) {
    const path = copied()
    truncateSync(path, cut)
    await t.rejects(
      store.singleFiles.open(path, limits),
      /no SQLite database|its header speaks of|application id is/,
      `${cut} bytes`,
    )
  }
  const longer = copied()
  appendFileSync(longer, 'x')
  await t.rejects(store.singleFiles.open(longer, limits), {
    code: 'DATA_LOSS',
    reason: 'checkpoint/damaged-file',
  })
})

const seed = seedOf(process.argv, 1)
t.test(`flipped bytes never give other content (seed ${seed})`, async (t) => {
  const chance = chanceFrom(seed)
  const { length } = readFileSync(sample)
  const wanted = new Map(Object.entries(contents).map(([name, bytes]) => [name, hashOf(bytes)]))
  let refused = 0
  for (let attempt = 0; attempt < 16; attempt++) {
    const path = copied()
    // Every other one in the first pages, where the tables are.
    const place = chance.whole(attempt % 2 === 0 ? 40_000 : length)
    flipByte(path, place, 1 + chance.whole(255))
    try {
      const file = await store.singleFiles.open(path, limits)
      try {
        for (const tensor of file.tensors) {
          const bytes = await gather(file.chunks(tensor))
          const hash = wanted.get(tensor.name)
          if (hash !== undefined) t.equal(hashOf(bytes), hash, `${tensor.name}, byte ${place}`)
        }
      } finally {
        await file.close()
      }
    } catch (error) {
      refused += 1
      t.match(error, { code: /^(INVALID_ARGUMENT|DATA_LOSS|RESOURCE_EXHAUSTED)$/ }, `byte ${place}`)
    }
  }
  t.ok(refused > 4, `${refused} of 16 were refused`)
})

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
