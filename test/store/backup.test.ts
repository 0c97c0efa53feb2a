// A backup is what one commit left, whatever goes on meanwhile; it stays when the store changes; and it comes
// back whole or not at all.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openStore, restoreBackup, type Store } from '../../store/index.ts'
import { flipBlob, flipByte, packOfVariable } from '../helper/flip.ts'
import { folderSet } from '../helper/folder-set.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  gather,
  save,
  stage,
  temporaryFolder,
  write,
} from '../helper/store.ts'
import { generation, pairContent, problemsOfCheckpoints, problemsOfPairs } from './pair.ts'

const january = Date.UTC(2026, 0, 2, 3, 4, 5)
const clock = (): number => january
const mebibyte = 1024 * 1024

interface Teardown {
  teardown(callback: () => void): void
}

/** A store with `small` inline and `large` in packs, saved as checkpoint 1. */
async function filled(t: Teardown): Promise<{ directory: string; store: Store }> {
  const directory = temporaryFolder(t)
  const store = await openStore({ directory, clock, limits: { scrubBytesPerSecond: 0 } })
  t.teardown(() => store.close())
  await store.catalogue.commit([create('small', await stage(store, contentOf(9, 1)))])
  const large = await stage(store, contentOf(3 * mebibyte, 2))
  await store.catalogue.commit([create('large', large), save()])
  return { directory, store }
}

/** A closed store's backup with packs of its own, made once. */
const sample = await (async () => {
  const { directory, store } = await filled(t)
  const { id } = await store.backups.create({ copy: true })
  await store.close()
  return join(directory, 'backups', id)
})()

/** A copy of the sample, to be spoiled. */
function backedUp(t: Teardown): string {
  const folder = join(temporaryFolder(t), 'backup')
  cpSync(sample, folder, { recursive: true })
  return folder
}

async function restoredFrom(t: Teardown, folder: string): Promise<Store> {
  const directory = temporaryFolder(t)
  await restoreBackup(folderSet(folder), directory)
  const store = await openStore({ directory, clock })
  t.teardown(() => store.close())
  return store
}

t.test('a backup has a name, a size, a digest and the files that it names', async (t) => {
  const { directory, store } = await filled(t)
  const told: number[] = []
  const made = await store.backups.create({ copy: false }, (done) => told.push(done))
  t.match(made, {
    id: '20260102T030405Z',
    state: 'done',
    createdAt: january,
    sequence: 2,
    packs: 'linked',
    damaged: 0,
    digest: /^[0-9a-f]{64}$/,
  })
  t.equal(told.at(-1), made.byteLength)
  const folder = join(directory, 'backups', made.id)
  const names = readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => statSync(join(folder, name)).isFile())
  t.equal(
    names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0),
    made.byteLength,
  )
  const files = (await store.backups.files(made.id)) ?? []
  t.same(files.map(({ name }) => name).sort(), names.sort())
  t.equal(files[0].name, 'backup.json')
  for (const { name, byteLength, chunks } of files) {
    const bytes = readFileSync(join(folder, name))
    t.ok(bytes.equals(await gather(chunks())), name)
    t.ok(bytes.subarray(2, 7).equals(await gather(chunks({ offset: 2, length: 5 }))))
    t.equal(byteLength, bytes.byteLength)
  }
  const second = await store.backups.create({ copy: true })
  t.match(second, { id: '20260102T030405Z-2', packs: 'copied' })
  t.same(
    (await store.backups.list()).map(({ id }) => id),
    [second.id, made.id],
    'newest first',
  )
  t.same(await store.backups.get(made.id), made)
  t.equal(await store.backups.get('20260102T030406Z'), undefined)
  t.equal(await store.backups.get('../packs'), undefined)
  t.equal(await store.backups.remove(made.id), true)
  t.equal(await store.backups.remove(made.id), false)
  t.same(readdirSync(join(directory, 'backups')), [second.id])
})

t.test('a restored backup is a store like the one that it was made of', async (t) => {
  const folder = backedUp(t)
  const directory = temporaryFolder(t)
  const told: number[] = []
  const report = (done: number, total: number): void => {
    told.push(done / total)
  }
  const restored = await restoreBackup(folderSet(folder), directory, { report })
  t.match(restored, { backup: { sequence: 2, packs: 'copied' }, chunks: 4, damaged: 0 })
  t.equal(told.at(-1), 1)
  t.same(readdirSync(directory).sort(), ['catalog.db', 'packs'])
  const store = await openStore({ directory, clock })
  t.teardown(() => store.close())
  t.same(await bytesOfVariable(store, 'small'), contentOf(9, 1))
  t.ok(Buffer.from(await bytesOfVariable(store, 'large')).equals(contentOf(3 * mebibyte, 2)))
  t.match(await store.catalogue.checkpoint('latest'), { id: '1', tensorCount: 2 })
  const value = await stage(store, contentOf(5 * mebibyte, 3))
  const { sequence } = await store.catalogue.commit([write('large', value)])
  t.equal(sequence, 3, 'and it goes on where the backup ended')
})

t.test('what the store forgets, a backup of links keeps', async (t) => {
  const { directory, store } = await filled(t)
  const { id } = await store.backups.create({ copy: false })
  await store.catalogue.commit([
    { kind: 'delete_container', container: '' },
    { kind: 'delete_checkpoint', id: '1' },
  ])
  await store.sweep()
  t.same(readdirSync(join(directory, 'packs')), [])
  const other = await restoredFrom(t, join(directory, 'backups', id))
  t.ok(Buffer.from(await bytesOfVariable(other, 'large')).equals(contentOf(3 * mebibyte, 2)))
})

t.test('78: a backup during heavy writes is what one commit left', async (t) => {
  const directory = temporaryFolder(t)
  const limits = { mergePackCount: 3, mergeLooseByteLength: 1_000_000, maintenanceIntervalMs: 5 }
  const store = await openStore({ directory, clock, limits: { ...limits, sweepGraceMs: 0 } })
  t.teardown(() => store.close())
  const versions = new Map<string, number>()
  let isOver = false
  let meanwhile = 0
  let wanted = Promise.resolve()
  const writing = [0, 1, 2, 3].map(async (index) => {
    for (let version = 1; !isOver; version++) {
      await wanted
      const value = await stage(store, pairContent(index, version))
      const twin = await stage(store, generation(index, version), { dtype: 'int32', shape: [2] })
      const change = version === 1 ? create : write
      await store.catalogue.commit([
        change(`pair${index}/a`, value),
        version === 1
          ? create(`pair${index}/b`, twin, { dtype: 'int32' })
          : write(`pair${index}/b`, twin),
        ...(version % 7 === 0 ? [save()] : []),
      ])
      versions.set(`pair${index}`, version)
    }
  })
  while (versions.size < 4) await new Promise((resolve) => setTimeout(resolve, 5))
  for (let round = 0; round < 4; round++) {
    const before = [...versions.values()].reduce((sum, version) => sum + version, 0)
    const acknowledged = new Map(versions)
    const { id, sequence } = await store.backups.create({ copy: round % 2 === 1 })
    const latest = new Map(versions)
    const sum = [...latest.values()].reduce((total, version) => total + version, 0)
    meanwhile += sum - before
    // Nobody writes while the copy is looked at: two processors are few.
    const { promise, resolve } = Promise.withResolvers<void>()
    wanted = promise
    const restored = await restoredFrom(t, join(directory, 'backups', id))
    t.equal((await restored.status()).sequence, sequence)
    t.same(await problemsOfPairs(restored, acknowledged), [], `pairs of backup ${id}`)
    t.same(await problemsOfCheckpoints(restored), [], `checkpoints of backup ${id}`)
    t.same((await restored.trust.scrub()).damaged, [])
    for (const [name, version] of latest) {
      const found = (await restored.catalogue.variable('', `${name}/a`))?.version ?? 0
      // One commit may have been done that its writer does not know of yet.
      t.ok(found <= version + 1, `${name} is not of the future`)
    }
    isOver = round === 3
    resolve()
  }
  await Promise.all(writing)
  t.ok(meanwhile > 4, `${meanwhile} commits while backups were made`)
})

t.test('a backup that is given up leaves nothing, and packs can go again', async (t) => {
  const { directory, store } = await filled(t)
  const stop = new AbortController()
  const reason = new Error('enough')
  await t.rejects(
    store.backups.create({ copy: true }, () => stop.abort(reason), stop.signal),
    reason,
  )
  t.same(readdirSync(join(directory, 'backups')), [])
  t.same(await store.backups.list(), [])
  await store.catalogue.commit([
    { kind: 'delete_container', container: '' },
    { kind: 'delete_checkpoint', id: '1' },
  ])
  await store.sweep()
  t.same(readdirSync(join(directory, 'packs')), [])
})

t.test('there is one backup at a time, and it is listed while it is made', async (t) => {
  const { store } = await filled(t)
  const first = store.backups.create({ copy: true })
  await t.rejects(store.backups.create({ copy: true }), {
    code: 'FAILED_PRECONDITION',
    reason: 'backup/running',
  })
  while ((await store.backups.list()).length === 0) await new Promise(setImmediate)
  const [shown] = await store.backups.list()
  if (shown.state === 'running') {
    await t.rejects(store.backups.remove(shown.id), {
      code: 'FAILED_PRECONDITION',
      reason: 'backup/running',
    })
  }
  t.equal((await first).id, shown.id)
})

t.test('closing the store gives a backup up', async (t) => {
  const { directory, store } = await filled(t)
  const made = store.backups.create({ copy: true })
  const refused = t.rejects(made, { code: 'UNAVAILABLE', reason: 'store/closed' })
  await store.close()
  await refused
  t.same(
    readdirSync(join(directory, 'backups')).filter((name) => name.endsWith('.partial')),
    [],
  )
})

t.test('what a killed process left of a backup goes at the next start', async (t) => {
  const { directory, store } = await filled(t)
  await store.close()
  const left = join(directory, 'backups', '20260101T000000Z.partial')
  mkdirSync(left, { recursive: true })
  writeFileSync(join(left, 'catalog.db'), 'half')
  const other = join(directory, 'backups', 'notes.txt')
  writeFileSync(other, 'somebody wrote this')
  const again = await openStore({ directory, clock })
  t.teardown(() => again.close())
  t.notOk(existsSync(left))
  t.ok(existsSync(other), 'what is no backup is left alone')
  t.same(await again.backups.list(), [])
})

t.test('backups can lie elsewhere', async (t) => {
  const directory = temporaryFolder(t)
  const backupDirectory = join(temporaryFolder(t), 'deep', 'down')
  const store = await openStore({ directory, backupDirectory, clock })
  t.teardown(() => store.close())
  t.same(await store.backups.list(), [], 'none yet, and no folder either')
  t.notOk(existsSync(backupDirectory))
  const { id } = await store.backups.create({ copy: false })
  t.same(readdirSync(backupDirectory), [id])
  t.notOk(existsSync(join(directory, 'backups')))
})

t.test('a missing pack is told of instead of being left out', async (t) => {
  const { directory, store } = await filled(t)
  await store.close()
  rmSync(packOfVariable(directory, 'large'))
  const again = await openStore({ directory, clock })
  t.teardown(() => again.close())
  await t.rejects(again.backups.create({ copy: false }), {
    code: 'DATA_LOSS',
    reason: 'store/pack-missing',
  })
  t.same(readdirSync(join(directory, 'backups')), [])
})

t.test('a directory with anything in it is refused and left as it is', async (t) => {
  const folder = backedUp(t)
  const directory = temporaryFolder(t)
  writeFileSync(join(directory, 'notes.txt'), 'mine')
  await t.rejects(restoreBackup(folderSet(folder), directory), {
    code: 'FAILED_PRECONDITION',
    reason: 'backup/directory-in-use',
    message: 'The directory is not empty: it holds notes.txt.',
  })
  t.same(readdirSync(directory), ['notes.txt'])
})

const spoiled: Record<string, readonly [(folder: string) => void, string, RegExp]> = {
  'a flipped byte of the catalogue': [
    (folder) => flipByte(join(folder, 'catalog.db'), 5_000),
    'backup/damaged',
    /^catalog\.db of the backup is damaged: its SHA-256 differs\.$/,
  ],
  'a catalogue cut short': [
    (folder) => truncateSync(join(folder, 'catalog.db'), 8_192),
    'backup/damaged',
    /^catalog\.db of the backup is damaged: it has 8192 bytes instead of \d+\.$/,
  ],
  'a missing pack': [
    (folder) => rmSync(packOf(folder)),
    'backup/damaged',
    /^packs\/.+\.pack of the backup is damaged: it is missing\.$/,
  ],
  'a flipped bit of a chunk': [
    (folder) => flipBlob(packOf(folder), 'chunk', 'bytes'),
    'backup/damaged',
    /^One chunk of the backup is damaged: variable large, tensor large of checkpoint 1\.$/,
  ],
  'no manifest': [
    (folder) => rmSync(join(folder, 'backup.json')),
    'backup/not-a-backup',
    /it has no backup\.json/,
  ],
  'a manifest that is no JSON': [
    (folder) => writeFileSync(join(folder, 'backup.json'), '{'),
    'backup/not-a-backup',
    /is not JSON/,
  ],
  'a manifest of a later release': [
    (folder) => edit(folder, /"version": 1/, '"version": 2'),
    'backup/not-a-backup',
    /its form is version 2; this release knows 1/,
  ],
  'a manifest that names a file outside': [
    (folder) => edit(folder, /packs\/\d+-\d+\.pack/, '../../escape'),
    'backup/not-a-backup',
    /names a file that no backup has/,
  ],
  'a manifest that leaves a pack out': [
    (folder) => edit(folder, /,\s*\{\s*"name": "packs[^}]*\}/, ''),
    'backup/damaged',
    /^packs\/.+\.pack of the backup is damaged: it is missing\.$/,
  ],
}

function packOf(folder: string): string {
  return join(folder, 'packs', readdirSync(join(folder, 'packs')).sort()[0])
}

function edit(folder: string, from: RegExp, to: string): void {
  const path = join(folder, 'backup.json')
  const text = readFileSync(path, 'utf8')
  const edited = text.replace(from, to)
  if (edited === text) throw new Error('nothing was changed')
  writeFileSync(path, edited)
}

for (const [name, [spoil, reason, message]] of Object.entries(spoiled)) {
  t.test(`${name} is refused, and nothing is restored`, async (t) => {
    const folder = backedUp(t)
    spoil(folder)
    const directory = temporaryFolder(t)
    await t.rejects(restoreBackup(folderSet(folder), directory), { reason, message })
    t.same(readdirSync(directory), [])
  })
}

t.test('the rest of a damaged backup can be had', async (t) => {
  const folder = backedUp(t)
  flipBlob(packOf(folder), 'chunk', 'bytes')
  const directory = temporaryFolder(t)
  const restored = await restoreBackup(folderSet(folder), directory, { acceptDamage: true })
  t.match(restored, { chunks: 4, damaged: 1 })
  const store = await openStore({ directory, clock })
  t.teardown(() => store.close())
  t.same(await bytesOfVariable(store, 'small'), contentOf(9, 1))
  await t.rejects(bytesOfVariable(store, 'large'), {
    code: 'DATA_LOSS',
    reason: 'store/chunk-damaged',
  })
})

t.test('half of a restore never opens, and is begun again', async (t) => {
  const folder = backedUp(t)
  const directory = temporaryFolder(t)
  const files = folderSet(folder)
  // A process that ends in the middle: the second file never comes, and nobody cleans up.
  const never = { ...files, open: (name: string) => ({ ...files.open(name), read: stalled(name) }) }
  function stalled(name: string) {
    return (offset: number, length: number): Promise<Uint8Array> =>
      name.endsWith('.pack') ? new Promise(() => undefined) : files.open(name).read(offset, length)
  }
  void restoreBackup(never, directory)
  while (!existsSync(join(directory, 'catalog.db'))) await new Promise(setImmediate)
  await t.rejects(openStore({ directory, clock }), {
    code: 'FAILED_PRECONDITION',
    reason: 'store/half-restored',
  })
  await restoreBackup(files, directory)
  const store = await openStore({ directory, clock })
  t.teardown(() => store.close())
  t.same(await bytesOfVariable(store, 'small'), contentOf(9, 1))
})
