import t from 'tap'
import { createAdoptions } from '../../service/adoptions.ts'
import type { VariableRecord } from '../../store/index.ts'

const record = (name: string, version: number): VariableRecord =>
  ({ container: '', name, version }) as VariableRecord

t.test('readers of a value that is being committed', async (t) => {
  const adoptions = createAdoptions()
  const commit = Promise.withResolvers<string>()
  const committed = adoptions.during([record('v', 3)], () => commit.promise)
  let waited = false
  const newer = adoptions.settled([record('v', 4)]).then(() => {
    waited = true
  })

  await t.test('do not wait where they read the former one, or another variable', async (t) => {
    await adoptions.settled([record('v', 3), record('w', 9)])
    t.notOk(waited)
  })

  await t.test('wait where they read the new one, until its copy is known', async (t) => {
    commit.resolve('done')
    t.equal(await committed, 'done')
    await newer
    t.ok(waited)
    await adoptions.settled([record('v', 5)])
  })

  await t.test('go on where the commit fails', async (t) => {
    const failed = adoptions.during([record('v', 4)], () => Promise.reject(new Error('disk full')))
    const reader = adoptions.settled([record('v', 5)])
    await t.rejects(failed, /disk full/)
    await reader
  })
})
