// Disks that fill up or fail: the commit at hand is refused, nothing is half applied, what was
// acknowledged stays, and after a failed sync nothing more is acknowledged.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openStore } from '../../store/index.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  stage,
  temporaryFolder,
  write,
} from '../helper/store.ts'
import { acknowledgedOf, type Line, linesOf, problemsOfPairs } from './pair.ts'

/** Every call up to this one is made to fail in turn; 0: only chosen ones. */
const depth = Number(process.env.HOLDFAST_FAULT_DEPTH ?? 0)

const clock = (): number => 1

t.test('a full catalogue refuses what is too much and goes on with the rest', async (t) => {
  const directory = temporaryFolder(t)
  const limits = { catalogueByteLength: 2_000_000 }
  const store = await openStore({ directory, clock, limits })
  const full = { code: 'RESOURCE_EXHAUSTED', reason: 'store/disk-full' }
  await store.catalogue.commit([create('keep', await stage(store, contentOf(60_000, 0)))])
  const names: string[] = []
  let refusals = 0
  for (let index = 0; index < 40; index++) {
    const value = await stage(store, contentOf(60_000, index + 1))
    await store.catalogue.commit([create(`v${index}`, value)]).then(
      () => names.push(`v${index}`),
      (error) => {
        t.match(error, full)
        refusals += 1
      },
    )
  }
  t.ok(names.length > 10 && refusals > 5, `${names.length} fitted, ${refusals} did not`)
  const tooMuch = await stage(store, contentOf(60_000, 99))
  const outcomes = await Promise.allSettled([
    store.catalogue.commit([create('large', tooMuch)]),
    store.catalogue.commit([write('keep', null)]),
  ])
  t.same(
    outcomes.map(({ status }) => status),
    ['rejected', 'fulfilled'],
    'neighbours in one batch',
  )
  for (const name of names) {
    const content = contentOf(60_000, Number(name.slice(1)) + 1)
    t.ok(Buffer.from(await bytesOfVariable(store, name)).equals(content), name)
  }
  t.match(await store.status(), { writable: true })
  await store.catalogue.commit([{ kind: 'delete_container', container: '' }])
  await store.sweep()
  await store.catalogue.commit([create('large', await stage(store, contentOf(60_000, 99)))])
  const large = await bytesOfVariable(store, 'large')
  t.ok(Buffer.from(large).equals(contentOf(60_000, 99)), 'space came back')
  await store.close()
})

function canTrace(): string | undefined {
  const probe = spawnSync('strace', ['-f', '-o', '/dev/null', '-e', 'trace=fsync', 'true'])
  if (probe.error !== undefined) return 'strace is not installed'
  return probe.status === 0 ? undefined : 'ptrace is not allowed here'
}

const obstacle = canTrace()

/** Runs the child with the n-th call in each of its threads failing. */
async function writeWithFault(directory: string, fault: string): Promise<Line[]> {
  const trace = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${fault.split(':')[0]}`]
  const child = spawn(
    'strace',
    [
      ...trace,
      '-e',
      `inject=${fault}`,
      process.execPath,
      fileURLToPath(new URL('./child.ts', import.meta.url)),
      directory,
      'faults',
      '4',
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  )
  let output = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (text) => {
    output += text
  })
  await once(child, 'close')
  return linesOf(output)
}

// Counted in each thread by itself. The first calls open the store, later ones write packs and
// commit; which is which is not minded here, only what must hold after any of them.
const faults = [
  ['fsync,fdatasync', 'EIO', [1, 3, 10, 12, 15], /^UNAVAILABLE$/],
  ['pwrite64', 'ENOSPC', [10, 60, 200, 400], /^(RESOURCE_EXHAUSTED|UNAVAILABLE)$/],
  ['pwrite64', 'EIO', [40, 300], /^UNAVAILABLE$/],
  ['ftruncate', 'EIO', [1, 2], /^UNAVAILABLE$/],
  ['rename', 'EIO', [1, 3], /^UNAVAILABLE$/],
] as const

for (const [call, error, chosen, codes] of faults) {
  const name = `the n-th ${call} failing with ${error} loses nothing that was acknowledged`
  t.test(name, { skip: obstacle ?? false }, async (t) => {
    let refused = 0
    const every = Array.from({ length: depth }, (_, index) => index + 1)
    for (const when of depth === 0 ? chosen : every) {
      const directory = temporaryFolder(t)
      const lines = await writeWithFault(directory, `${call}:error=${error}:when=${when}`)
      const at = `${call} ${when}`
      t.ok(lines.length > 0, `${at}: the process told something`)
      const bad = lines.filter(({ kind }) => kind === 'refused' || kind === 'failed')
      refused += bad.length
      for (const { code } of bad) t.match(code, codes, `${at}: a clear refusal`)
      const lost = lines.some(({ kind, reason }) => kind === 'status' && reason?.includes('sync'))
      const isCommitSync = lines.some(({ reason }) => reason === 'store/read-only')
      if (isCommitSync) t.ok(lost, `${at}: the status says why nothing is written`)
      const store = await openStore({ directory, clock })
      t.same(await problemsOfPairs(store, acknowledgedOf(lines)), [], `${at}: pairs`)
      t.equal(readdirSync(join(directory, 'packs')).length, (await store.status()).packCount)
      const value = await stage(store, contentOf(3_000_000, when))
      await store.catalogue.commit([create('after', value)])
      t.match(await store.status(), { writable: true })
      await store.close()
    }
    t.ok(refused > 0, `${refused} refusals`)
  })
}

t.test(
  'after a failed sync the store says so and takes no more writes',
  { skip: obstacle ?? false },
  async (t) => {
    let seen = 0
    for (const when of [11, 13]) {
      const directory = temporaryFolder(t)
      const lines = await writeWithFault(directory, `fsync,fdatasync:error=EIO:when=${when}`)
      const status = lines.find(({ kind }) => kind === 'status')
      if (status?.writable !== false) continue
      seen += 1
      t.match(status.reason, /a sync of the catalogue failed \(SQLITE_IOERR_FSYNC\)/)
      t.ok(lines.some(({ kind }) => kind === 'refused'))
      t.ok(
        lines.some(({ kind }) => kind === 'closed'),
        'and it still closes in order',
      )
    }
    t.ok(seen > 0, `${seen} syncs of the catalogue failed`)
  },
)
