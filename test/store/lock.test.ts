// Who may open a data directory, and what must be in it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import t from 'tap'
import { openStore } from '../../store/index.ts'
import { bytesOfVariable, contentOf, create, stage, temporaryFolder } from '../helper/store.ts'

const clock = (): number => Date.UTC(2026, 0, 2, 3, 4, 5)
const childFile = fileURLToPath(new URL('./child.ts', import.meta.url))

t.test('a second store on a directory is refused and told who holds it', async (t) => {
  const directory = temporaryFolder(t)
  const store = await openStore({ directory, clock })
  await t.rejects(openStore({ directory, clock }), {
    code: 'FAILED_PRECONDITION',
    reason: 'store/locked',
    message: `The data directory is in use by process ${process.pid} on ${hostname()}, since 2026-01-02T03:04:05.000Z.`,
  })
  const child = spawn(process.execPath, [childFile, directory, 'faults', '1'])
  let output = ''
  child.stdout.on('data', (text) => {
    output += text
  })
  await once(child, 'close')
  t.match(output, /"kind":"failed","code":"FAILED_PRECONDITION","reason":"store\/locked"/)
  await store.catalogue.commit([create('v', await stage(store, contentOf(9, 1)))])
  t.same(await bytesOfVariable(store, 'v'), contentOf(9, 1), 'the first goes on')
  await store.close()
  await (await openStore({ directory, clock })).close()
})

t.test('the lock of a killed process is taken over', async (t) => {
  const directory = temporaryFolder(t)
  const child = spawn(process.execPath, [childFile, directory, 'kill', '1000000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  await t.rejects(openStore({ directory, clock }), {
    reason: 'store/locked',
    message: new RegExp(`process ${child.pid} `),
    code: 'FAILED_PRECONDITION',
  })
  child.kill('SIGKILL')
  await once(child, 'close')
  t.match(readFileSync(join(directory, 'owner.json'), 'utf8'), `${child.pid}`, 'a stale owner file')
  await (await openStore({ directory, clock })).close()
})

t.test('a file that is not a catalogue is refused and left as it is', async (t) => {
  const text = temporaryFolder(t)
  writeFileSync(
    join(text, 'catalog.db'),
    'this is no database, only text that is long enough\n'.repeat(99),
  )
  const before = readFileSync(join(text, 'catalog.db'))
  const foreign = { code: 'FAILED_PRECONDITION', reason: 'store/foreign-file' }
  await t.rejects(openStore({ directory: text, clock }), {
    ...foreign,
    message: 'catalog.db is not a SQLite database.',
  })
  t.same(readFileSync(join(text, 'catalog.db')), before)

  const other = temporaryFolder(t)
  const database = new Database(join(other, 'catalog.db'))
  database.pragma('application_id = 1234')
  database.close()
  const otherBefore = readFileSync(join(other, 'catalog.db'))
  await t.rejects(openStore({ directory: other, clock }), {
    ...foreign,
    message: /application id is 1234/,
  })
  t.same(readFileSync(join(other, 'catalog.db')), otherBefore)

  const plain = temporaryFolder(t)
  const tables = new Database(join(plain, 'catalog.db'))
  tables.exec('CREATE TABLE notes (text)')
  tables.close()
  await t.rejects(openStore({ directory: plain, clock }), {
    ...foreign,
    message: /application id is 0/,
  })
})

t.test('a directory in the place of a file is refused with one line', async (t) => {
  const directory = temporaryFolder(t)
  mkdirSync(join(directory, 'catalog.db'))
  await t.rejects(openStore({ directory, clock }), {
    code: 'UNAVAILABLE',
    reason: 'store/disk-failed',
  })
  const file = join(temporaryFolder(t), 'file')
  writeFileSync(file, '')
  await t.rejects(openStore({ directory: file, clock }), {
    code: 'UNAVAILABLE',
    reason: 'store/disk-failed',
  })
})

t.test('the catalogue of a later release is refused and left as it is', async (t) => {
  const directory = temporaryFolder(t)
  await (await openStore({ directory, clock })).close()
  const database = new Database(join(directory, 'catalog.db'))
  database.pragma('user_version = 99')
  database.close()
  await t.rejects(openStore({ directory, clock }), {
    code: 'FAILED_PRECONDITION',
    reason: 'store/newer',
    message: /^catalog\.db has version 99; this release knows versions up to \d+\.$/,
  })
  const after = new Database(join(directory, 'catalog.db'))
  t.equal(after.pragma('user_version', { simple: true }), 99)
  after.close()
})

t.test('a refused directory can be opened once the cause is gone', async (t) => {
  const directory = temporaryFolder(t)
  mkdirSync(join(directory, 'catalog.db'))
  await t.rejects(openStore({ directory, clock }))
  rmdirSync(join(directory, 'catalog.db'))
  await (await openStore({ directory, clock })).close()
})

t.test('a store needs at least one bulk worker', async (t) => {
  await t.rejects(openStore({ directory: temporaryFolder(t), clock, bulkWorkers: 0 }), {
    code: 'INVALID_ARGUMENT',
    reason: 'store/number',
  })
})
