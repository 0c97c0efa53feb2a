// The log of events of the SQLite driver: how much of it is kept, and that it says which.
import t, { type Test } from 'tap'
import { openStore, type Store, type StoreLimits } from '../../store/index.ts'
import { create, temporaryFolder, write } from '../helper/store.ts'

async function opened(t: Test, limits: Partial<StoreLimits>): Promise<Store> {
  const store = await openStore({
    directory: temporaryFolder(t),
    clock: () => 1,
    limits: { maintenanceIntervalMs: 60_000, ...limits },
  })
  t.teardown(() => store.close())
  return store
}

const beginning = { sequence: 0, ordinal: 0 }

t.test(
  'the oldest events go once a tenth more than wanted is there, in bounded steps',
  async (t) => {
    const store = await opened(t, { eventCommitCount: 20, sweepStepCount: 3 })
    const { catalogue } = store
    await catalogue.commit([create('v', null)])
    for (let index = 0; index < 20; index++) await catalogue.commit([write('v', null)])
    await store.sweep()
    t.match(await catalogue.eventsKept(), { first: { sequence: 1 }, last: { sequence: 21 } })
    for (let index = 0; index < 4; index++) await catalogue.commit([write('v', null)])
    await store.sweep()
    t.same(await catalogue.eventsKept(), {
      first: { sequence: 6, ordinal: 1 },
      last: { sequence: 25, ordinal: 1 },
    })
    const kept = await catalogue.eventsAfter(beginning, 100)
    t.same(
      kept.map(({ sequence }) => sequence),
      Array.from({ length: 20 }, (_, index) => index + 6),
    )
  },
)

t.test('events that are larger than wanted go too, but never the newest', async (t) => {
  const store = await opened(t, { eventByteLength: 2_000 })
  const { catalogue } = store
  await catalogue.commit([create('v', null)])
  for (let index = 0; index < 100; index++) await catalogue.commit([write('v', null)])
  await store.sweep()
  const { first, last } = await catalogue.eventsKept()
  t.equal(last.sequence, 101)
  t.ok(first.sequence > 50 && first.sequence < 101, `first ${first.sequence}`)
  t.equal((await catalogue.eventsAfter(beginning, 1_000)).length, 102 - first.sequence)
  await catalogue.commit(Array.from({ length: 400 }, () => write('v', null)))
  await store.sweep()
  t.match(await catalogue.eventsKept(), {
    first: { sequence: 102, ordinal: 1 },
    last: { sequence: 102, ordinal: 400 },
  })
})
