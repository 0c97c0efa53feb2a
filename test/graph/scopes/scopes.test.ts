// The recorded programs: a third of them kept here, all of them where the recordings are beside.
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { runScopes } from '../../../conformance/scope-case.ts'
import { sharedFolder } from '../../helper/shared.ts'

const golden = resolve(import.meta.dirname, '../../golden/scopes.json')

async function notPassed(path: string): Promise<readonly unknown[]> {
  const { cases } = await runScopes(path, () => true)
  return cases.filter(({ outcome }) => outcome.kind !== 'passed')
}

t.test('programs under scopes make what TensorFlow made', async (t) => {
  const { cases } = await runScopes(golden, () => true)
  t.equal(cases.length, 25)
  t.same(await notPassed(golden), [])
})

t.test('all recorded programs under scopes make what TensorFlow made', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const path = join(shared, 'conformance/scopes.json')
  const { cases } = await runScopes(path, () => true)
  t.ok(cases.length >= 63)
  t.same(await notPassed(path), [])
})

t.test('a recording that is wrong in any one place does not pass', async (t) => {
  const recordings = JSON.parse(readFileSync(golden, 'utf8')) as readonly {
    readonly name: string
    readonly made: readonly Record<string, unknown>[]
  }[]
  const [first] = recordings.filter(({ made }) => made.length > 0)
  const changes: readonly Record<string, unknown>[] = [
    { made: [{ ...first.made[0], name: 'x:0' }, ...first.made.slice(1)] },
    { made: [{ ...first.made[0], device: '/device:CPU:0' }, ...first.made.slice(1)] },
    { same_as: [0, 0] },
    { collections: {} },
    { error: { type: 'ValueError', message: 'Variable a/v already exists' } },
    { program: [{ scope: null, body: [] }] },
    { program: [{ jump: 'a' }] },
  ]
  for (const change of changes) {
    const path = join(
      t.testdir({ 'scopes.json': JSON.stringify([{ ...first, ...change }]) }),
      'scopes.json',
    )
    t.equal((await notPassed(path)).length, 1, JSON.stringify(change))
  }
})
