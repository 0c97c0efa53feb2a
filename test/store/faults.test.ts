// Faults of the storage by their numbers, as far as no other file has them: disks that are full, files that are
// not what they were, too few descriptors, readers from outside, clocks that jump, kills during backups.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, cpSync, existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import t from 'tap'
import { openStore, restoreBackup, type Store } from '../../store/index.ts'
import { chanceFrom, seedOf } from '../helper/chance.ts'
import { flipByte } from '../helper/flip.ts'
import { folderSet } from '../helper/folder-set.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  save,
  stage,
  temporaryFolder,
  write,
} from '../helper/store.ts'
import {
  acknowledgedOf,
  type Line,
  linesOf,
  problemsOfCheckpoints,
  problemsOfPairs,
} from './pair.ts'

const clock = (): number => 1
const seed = seedOf(process.argv, 1)
/** How often a process is killed; more by argument: `--kills=1000`. */
const kills = Number(process.argv.find((one) => one.startsWith('--kills='))?.slice(8) ?? 5)

const childFile = fileURLToPath(new URL('./child.ts', import.meta.url))
const backupChildFile = fileURLToPath(new URL('./backup-child.ts', import.meta.url))
const fullDiskFile = fileURLToPath(new URL('./full-disk.ts', import.meta.url))

/** What a child told until its end. */
async function told(child: ChildProcess): Promise<Line[]> {
  let output = ''
  child.stdout?.setEncoding('utf8')
  child.stdout?.on('data', (text) => {
    output += text
  })
  await once(child, 'close')
  return linesOf(output)
}

function canMount(): string | false {
  const probe = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'])
  if (probe.error !== undefined) return 'unshare is not installed'
  return probe.status === 0 ? false : 'nothing can be mounted here'
}

t.test('70, 71: a full disk', { skip: canMount() }, async (t) => {
  const mount = temporaryFolder(t)
  const shell = 'mount -t tmpfs -o size=12m tmpfs "$1" && exec "$2" "$3" "$1"'
  const child = spawn(
    'unshare',
    ['-rm', 'bash', '-c', shell, '-', mount, process.execPath, fullDiskFile],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const lines = (await told(child)) as unknown as Readonly<Record<string, unknown>>[]
  const of = (kind: string) => lines.filter((line) => line.kind === kind)
  const full = 'RESOURCE_EXHAUSTED store/disk-full'
  t.same(
    of('refused').map(({ outcome }) => outcome),
    [full, full],
    'what no longer fits is refused',
  )
  t.match(of('backup'), [{ backup: full, left: [] }], 'a backup that does not fit leaves nothing')
  t.match(of('full'), [{ writable: true, damaged: 0 }])
  const [{ whole, of: count }] = of('full')
  t.equal(whole, count, 'everything acknowledged is there')
  const starts = of('start')
  t.match(starts[0], { outcome: full }, 'where not even opening fits, it says why')
  t.match(starts.at(-1), {
    outcome: 'read-only',
    reason: /^the disk was full when the store was opened/,
    whole,
    of: count,
  })
  t.match(of('write without room'), [{ outcome: full }])
  t.match(of('write with room'), [{ outcome: 'acknowledged' }], 'it goes on once there is room')
  t.match(of('status'), [{ writable: true }])
  t.match(of('freed'), [{ large: 'acknowledged', checkpoint: '1', whole: 1, writable: true }])
  t.equal(of('closed').length, 1)
})

/** A directory whose log was not brought into the catalogue, and what was acknowledged. */
async function killed(t: { teardown(callback: () => void): void }): Promise<{
  readonly directory: string
  readonly acknowledged: ReadonlyMap<string, number>
}> {
  const directory = temporaryFolder(t)
  const child = spawn(process.execPath, [childFile, directory, 'faults', '1000000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const telling = told(child)
  let lines = 0
  child.stdout.on('data', (text: string) => {
    lines += text.split('\n').length - 1
    if (lines > 20) child.kill('SIGKILL')
  })
  return { directory, acknowledged: acknowledgedOf(await telling) }
}

t.test('74: a flipped byte of the log ends it there, and what came before is whole', async (t) => {
  const { directory, acknowledged } = await killed(t)
  let lost = 0
  // Of the 32 bytes of the log's head, and frames of 24 and 4,096.
  for (const frame of [0, 7, 30]) {
    const copy = temporaryFolder(t)
    cpSync(directory, copy, { recursive: true })
    flipByte(join(copy, 'catalog.db-wal'), 32 + frame * 4_120 + 1_000)
    const store = await openStore({ directory: copy, clock })
    t.same(await problemsOfPairs(store, new Map()), [], `pairs with frame ${frame} spoiled`)
    const version = (await store.catalogue.variable('', 'pair0/a'))?.version ?? 0
    if (version < (acknowledged.get('pair0') ?? 0)) lost += 1
    await store.close()
  }
  t.ok(lost > 0, `${lost} of 3 lost what was in the log`)
  const store = await openStore({ directory, clock })
  t.same(await problemsOfPairs(store, acknowledged), [], 'and without it nothing is lost')
  await store.close()
})

t.test('75: the log of another catalogue gives no wrong bytes', async (t) => {
  const { directory } = await killed(t)
  const other = temporaryFolder(t)
  const made = await openStore({ directory: other, clock })
  await made.catalogue.commit([create('pair0/a', await stage(made, contentOf(10, 77)))])
  await made.close()
  copyFileSync(join(directory, 'catalog.db-wal'), join(other, 'catalog.db-wal'))
  const outcome = await openStore({ directory: other, clock }).catch((error) => error)
  if (outcome instanceof Error) {
    t.match(outcome, { code: /^(DATA_LOSS|FAILED_PRECONDITION|UNAVAILABLE)$/ })
    t.notMatch(outcome.message, /\n/, 'one line')
    return
  }
  const store = outcome as Store
  t.teardown(() => store.close())
  const known = await store.catalogue.variable('', 'pair0/a').catch((error) => {
    t.match(error, { code: 'DATA_LOSS' })
    return undefined
  })
  if (known?.value === undefined) return
  const read = store.values.bytes(known.value.valueId)
  const bytes = await read.catch((error) => t.match(error, { code: 'DATA_LOSS' }))
  if (typeof bytes === 'object') t.equal(bytes.byteLength, known.value.byteLength)
})

const isRoot = process.getuid?.() === 0

t.test('75: a directory that may not be written is refused with one line', async (t) => {
  const directory = temporaryFolder(t)
  await (await openStore({ directory, clock })).close()
  chmodSync(join(directory, 'catalog.db'), 0o444)
  chmodSync(directory, 0o555)
  t.teardown(() => chmodSync(directory, 0o755))
  // Root may write everything; nobody may not.
  const nobody = isRoot ? { uid: 65_534, gid: 65_534 } : {}
  const child = spawn(process.execPath, [childFile, directory, 'faults', '1'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    ...nobody,
  })
  const lines = await told(child)
  if (lines.length === 0) {
    t.pass('another user cannot run this program here')
    return
  }
  t.match(lines, [{ kind: 'failed', code: 'UNAVAILABLE', reason: 'store/disk-failed' }])
})

t.test('77: a reader from outside holds the log up, not the writers', async (t) => {
  const directory = temporaryFolder(t)
  const store = await openStore({ directory, clock })
  t.teardown(() => store.close())
  const log = join(directory, 'catalog.db-wal')
  await store.catalogue.commit([create('v', await stage(store, contentOf(60_000, 0)))])
  const outside = new Database(join(directory, 'catalog.db'), { readonly: true })
  outside.exec('BEGIN')
  const before = outside.prepare('SELECT sequence FROM store_state').get()
  const writeMany = async (from: number): Promise<void> => {
    for (let index = from; index < from + 300; index++) {
      await store.catalogue.commit([write('v', await stage(store, contentOf(60_000, index)))])
    }
  }
  await writeMany(1)
  t.same(outside.prepare('SELECT sequence FROM store_state').get(), before, 'it sees what it saw')
  const held = statSync(log).size
  t.ok(held > 16 * 2 ** 20, `the log has ${held} bytes`)
  outside.exec('COMMIT')
  outside.close()
  await writeMany(301)
  await writeMany(601)
  t.ok(statSync(log).size <= held + 2 ** 20, 'then its room is used again')
  t.same(await bytesOfVariable(store, 'v'), contentOf(60_000, 900))
})

t.test('79: the order of commits is their own, whatever the clock says', async (t) => {
  const directory = temporaryFolder(t)
  const day = 24 * 60 * 60 * 1000
  let now = 100 * day
  let store = await openStore({ directory, clock: () => now })
  await store.catalogue.commit([create('v', await stage(store, contentOf(9, 1)))])
  const made: string[] = []
  for (const jump of [0, -day, 2 * day, -5 * day]) {
    now += jump
    const { checkpoints } = await store.catalogue.commit([save({ labels: ['newest'] })])
    made.push(...checkpoints)
  }
  const idempotency = { key: 'k', digest: 'd', keepMs: day }
  const first = await store.catalogue.commit([write('v', null)], idempotency)
  now -= 10 * day
  t.equal((await store.catalogue.commit([write('v', null)], idempotency)).replayed, true)
  await store.close()
  store = await openStore({ directory, clock: () => now })
  t.teardown(() => store.close())
  const { items } = await store.catalogue.listCheckpoints({}, { limit: 10 })
  t.same(
    items.map(({ id }) => id),
    made.toReversed(),
  )
  t.equal((await store.catalogue.checkpoint('newest'))?.id, made.at(-1))
  t.equal((await store.catalogue.checkpoint('latest'))?.id, made.at(-1))
  const { sequence } = await store.catalogue.commit([write('v', null)])
  t.equal(sequence, first.sequence + 1)
})

t.test('80: too few file descriptors refuse what needs more, and lose nothing', async (t) => {
  const directory = temporaryFolder(t)
  let refused = 0
  for (const most of [24, 28, 32, 36, 40, 48]) {
    const shell = `ulimit -n ${most}; exec "$1" "$2" "$3" faults 3`
    const child = spawn('bash', ['-c', shell, '-', process.execPath, childFile, directory], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const lines = await told(child)
    const bad = lines.filter(({ kind }) => kind === 'refused' || kind === 'failed')
    refused += lines.length === 0 ? 1 : bad.length
    for (const { code } of bad) t.match(code, /^(UNAVAILABLE|none)$/, `${most} descriptors`)
    const store = await openStore({ directory, clock })
    t.same(await problemsOfPairs(store, acknowledgedOf(lines)), [], `after ${most} descriptors`)
    t.equal(readdirSync(join(directory, 'packs')).length, (await store.status()).packCount)
    await store.close()
  }
  t.ok(refused > 0, `${refused} refusals`)
})

t.test(`68: ${kills} kills during backups leave whole backups only (seed ${seed})`, async (t) => {
  const directory = temporaryFolder(t)
  const chance = chanceFrom(seed)
  let made = 0
  for (let time = 0; time < kills; time++) {
    const child = spawn(process.execPath, [backupChildFile, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const telling = told(child)
    await once(child.stdout as NonNullable<typeof child.stdout>, 'data')
    await new Promise((resolve) => setTimeout(resolve, 100 + chance.whole(500)))
    child.kill('SIGKILL')
    const lines = await telling
    made += lines.filter(({ kind }) => kind === 'saved').length
    const store = await openStore({ directory, clock })
    t.same(await problemsOfPairs(store, acknowledgedOf(lines)), [], `pairs after kill ${time}`)
    const backups = await store.backups.list()
    t.same(
      readdirSync(join(directory, 'backups')).sort(),
      backups.map(({ id }) => id).sort(),
      'no half of a backup is left',
    )
    t.equal(readdirSync(join(directory, 'packs')).length, (await store.status()).packCount)
    await store.close()
    if (backups.length === 0) continue
    const target = temporaryFolder(t)
    await restoreBackup(folderSet(join(directory, 'backups', backups[0].id)), target)
    const restored = await openStore({ directory: target, clock })
    t.same(await problemsOfPairs(restored, new Map()), [], `pairs of backup ${backups[0].id}`)
    t.same(await problemsOfCheckpoints(restored), [])
    await restored.close()
  }
  t.ok(made > 0, `${made} backups were made`)
})

t.test('68: a restore that is killed opens whole or not at all', async (t) => {
  const source = temporaryFolder(t)
  const store = await openStore({ directory: source, clock })
  const content = contentOf(6_000_000, 1)
  await store.catalogue.commit([create('v', await stage(store, content))])
  const { id } = await store.backups.create({ copy: true })
  await store.close()
  const backup = join(source, 'backups', id)
  const command = join(import.meta.dirname, '../../scripts/restore.ts')
  const outcomes = new Set<string>()
  for (const afterFile of ['restoring', 'catalog.db', 'packs', undefined]) {
    const target = temporaryFolder(t)
    const child = spawn(process.execPath, [command, backup, '--data', target], { stdio: 'ignore' })
    const ended = once(child, 'close')
    while (afterFile !== undefined && !existsSync(join(target, afterFile))) {
      await new Promise(setImmediate)
    }
    if (afterFile !== undefined) child.kill('SIGKILL')
    await ended
    const opened = await openStore({ directory: target, clock }).catch((error) => {
      t.match(error, { code: 'FAILED_PRECONDITION', reason: 'store/half-restored' })
      outcomes.add('refused')
    })
    if (opened === undefined) continue
    outcomes.add('whole')
    t.ok(Buffer.from(await bytesOfVariable(opened, 'v')).equals(content))
    await opened.close()
  }
  t.ok(outcomes.has('whole'), 'one that was not killed is whole')
  t.ok(outcomes.has('refused'), 'one that was is refused')
})
