// Checkpoints stay index lookups however many there are: every query of a list, of a history and of a
// checkpoint's use visits by an index, and sorts nothing.
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { openStore } from '../../store/index.ts'
import {
  checkpointListQuery,
  heldQuery,
  stretchQuery,
} from '../../store/sqlite/read-checkpoints.ts'
import { contentOf, create, save, stage, temporaryFolder } from '../helper/store.ts'

const clock = (): number => 1

interface Query {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

async function plansIn(directory: string): Promise<(query: Query) => readonly string[]> {
  await (await openStore({ directory, clock })).close()
  const database = new Database(join(directory, 'catalog.db'), { readonly: true })
  return ({ sql, parameters }) => {
    const rows = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...parameters)
    return (rows as { detail: string }[]).map(({ detail }) => detail)
  }
}

t.test('a list of checkpoints walks by one index, whatever filters it', async (t) => {
  const planOf = await plansIn(temporaryFolder(t))
  const cases = [
    [{}, 'rowid>? AND rowid<?'],
    [{ container: 'c' }, 'container=? AND checkpoint_id>? AND checkpoint_id<?'],
    [{ step: 5 }, 'step=? AND checkpoint_id>? AND checkpoint_id<?'],
    [{ step: 5, container: 'c' }, 'step=? AND checkpoint_id>? AND checkpoint_id<?'],
    [{ minStep: 1, createdBefore: 9 }, 'rowid>? AND rowid<?'],
  ] as const
  for (const [filter, visited] of cases) {
    for (const query of [
      checkpointListQuery(filter, { before: 9, from: 3, limit: 5 }),
      stretchQuery(filter, 9, 5),
    ]) {
      const plan = planOf(query)
      t.notOk(
        plan.some((step) => /TEMP B-TREE FOR (ORDER|GROUP)|SCAN (checkpoint|label)\b/.test(step)),
        `${plan}`,
      )
      const walk = plan.find((step) => step.includes(' checkpoint ')) ?? ''
      const shown = query.sql.includes('min(')
        ? visited.replace(/(rowid|checkpoint_id)>\? AND /, '')
        : visited
      t.ok(walk.endsWith(`(${shown})`), `${JSON.stringify(filter)}: ${walk}`)
    }
  }
})

t.test('a history asks each checkpoint by its key', async (t) => {
  const planOf = await plansIn(temporaryFolder(t))
  for (const isOfParts of [false, true]) {
    for (const container of [undefined, 'c']) {
      const plan = planOf(heldQuery({ name: 'w', container }, { before: 9, from: 3 }, isOfParts))
      t.match(plan[0], /^SEARCH checkpoint USING/)
      t.match(plan[1], /^SEARCH checkpoint_entry USING PRIMARY KEY \(checkpoint_id=\? AND name/)
      t.match(plan[2], /^SEARCH value USING INTEGER PRIMARY KEY/)
      t.notOk(
        plan.some((step) => /TEMP B-TREE FOR (ORDER|GROUP)/.test(step)),
        `${plan}`,
      )
    }
  }
})

t.test('ten thousand checkpoints are listed, filtered and looked through', async (t) => {
  const store = await openStore({ directory: temporaryFolder(t), clock })
  t.teardown(() => store.close())
  await store.catalogue.commit([create('w', await stage(store, contentOf(4, 1)))])
  const count = 10_000
  for (let begin = 0; begin < count; begin += 1_000) {
    await store.catalogue.commit(
      Array.from({ length: 1_000 }, (_, index) => {
        const step = begin + index
        return save({ step, metadata: { tenth: step % 10, only: step === 3 } })
      }),
    )
  }
  const { listCheckpoints, entryHistory } = store.catalogue
  t.match((await listCheckpoints({ step: 17 }, { limit: 9 })).items, [{ id: '18' }])
  const old = await listCheckpoints({ maxStep: 9 }, { limit: 100 })
  t.equal(old.items.length, 10, 'the oldest ones, beyond many stretches')
  t.match((await listCheckpoints({ metadata: { only: 'true' } }, { limit: 9 })).items, [
    { id: '4' },
  ])
  let seen = 0
  let cursor: string | undefined
  do {
    const page = await listCheckpoints({ metadata: { tenth: '7' } }, { limit: 300, cursor })
    seen += page.items.length
    cursor = page.cursor
  } while (cursor !== undefined)
  t.equal(seen, count / 10)
  let held = 0
  do {
    const page = await entryHistory({ name: 'w' }, { limit: 1_000, cursor })
    held += page.items.length
    cursor = page.cursor
  } while (cursor !== undefined)
  t.equal(held, count)
})
