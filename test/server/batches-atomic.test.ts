// Writers that flip pairs in batches, while others read, save, restore and delete: whoever looks sees
// both of a pair or neither, old or new and never mixed.
import t from 'tap'
import { chanceFrom, seedOf } from '../helper/chance.ts'
import { askPatiently, type Connection, connectionTo } from '../helper/connection.ts'
import { type Ground, layGround } from '../helper/ground.ts'

const seed = seedOf(process.argv, Date.now() % 1_000_000)
const pair = ['pair/a', 'pair/b']
const rounds = 25

/** A ground with the pair [0, 0] of int64. */
async function layPair(t: Parameters<typeof layGround>[0]): Promise<Ground> {
  const ground = await layGround(t)
  for (const name of pair) {
    const json = { name, shape: [], dtype: 'int64' }
    await ground.ask('POST /v1/variables', { json })
  }
  await ground.ask('POST /v1/variables:batch', { json: flip(0) })
  return ground
}

/** A batch that gives both the same value, one in two steps. */
function flip(value: number): unknown {
  return {
    operations: [
      { op: 'assign', name: pair[0], value: value - 1 },
      { op: 'assign', name: pair[1], value },
      { op: 'assign_add', name: pair[0], value: 1 },
    ],
  }
}

/** Does the work of several clients at once, each that often. */
async function atOnce(
  { base }: Ground,
  works: readonly ((connection: Connection, round: number) => Promise<void>)[],
): Promise<void> {
  await Promise.all(
    works.map(async (work) => {
      const connection = connectionTo(base)
      for (let round = 1; round <= rounds; round++) await work(connection, round)
      connection.close()
    }),
  )
}

t.test('every snapshot, batch of reads and checkpoint of a pair holds both alike', async (t) => {
  const ground = await layPair(t)
  const torn: string[] = []
  const alike = (where: string, [a, b]: readonly unknown[]): void => {
    if (a === undefined || a !== b) torn.push(`${where}: ${a} and ${b}`)
  }
  const flipper = (offset: number) => async (connection: Connection, round: number) => {
    const json = flip(offset * 1_000 + round)
    const { status, text } = await askPatiently(connection, 'POST /v1/variables:batch', { json })
    if (status !== 200) torn.push(text)
  }
  await atOnce(ground, [
    ...[1, 2, 3, 4].map(flipper),
    async (connection) => {
      const path = `GET /v1/variables:read_values?names=${pair}`
      const { json } = await askPatiently(connection, path)
      alike(
        'read',
        pair.map((name) => json.values[name].value),
      )
      alike(
        'read versions',
        pair.map((name) => json.values[name].version),
      )
    },
    async (connection) => {
      const operations = pair.map((name) => ({ op: 'read_value', name }))
      const body = { json: { operations } }
      const { json } = await askPatiently(connection, 'POST /v1/variables:batch', body)
      alike(
        'batch',
        json.results.map((one: { value: { value: unknown } }) => one.value.value),
      )
    },
    async (connection) => {
      await askPatiently(connection, 'POST /v1/checkpoints', { json: { names: pair } })
    },
  ])
  const { json } = await ground.ask('GET /v1/checkpoints?limit=1000')
  t.equal(json.checkpoints.length, rounds)
  for (const { id } of json.checkpoints) {
    const values: unknown[] = []
    for (const name of pair) {
      values.push((await ground.ask(`GET /v1/checkpoints/${id}/tensors/${name}`)).json.value)
    }
    alike(`checkpoint ${id}`, values)
  }
  t.same(torn, [])
  const { json: last } = await ground.ask('GET /v1/variables/pair/a')
  t.equal(last.version, 1 + 4 * rounds, 'each batch made one version')
})

t.test('of batches that cannot be done whole nothing is done', async (t) => {
  const ground = await layPair(t)
  const before = await ground.digest()
  const good = { op: 'assign', name: 'pair/a', value: 9 }
  const bad: readonly (readonly [unknown, number])[] = [
    [{ op: 'assign', name: 'none', value: 1 }, 404],
    [{ op: 'assign', name: 'pair/b', value: [1] }, 422],
    [{ op: 'assign', name: 'pair/b', value: 0.5 }, 422],
    [{ op: 'assign', name: 'pair/b', value: 1, if_version: 77 }, 412],
    [{ op: 'count_up_to', name: 'pair/b', limit: 0 }, 400],
    [{ op: 'count_up_to', name: 'matrix', limit: 5 }, 422],
    [{ op: 'scatter_add', name: 'known', indices: [3], updates: [1] }, 422],
    [{ op: 'scatter_add', name: 'known', indices: [-1], updates: [1] }, 422],
    [{ op: 'read_value', name: 'none' }, 404],
    [{ op: 'explode', name: 'pair/b' }, 400],
    [{ op: 'assign', name: 'pair/b', value: 1, other: 1 }, 400],
    [{ op: 'assign', value: 1 }, 400],
    [{}, 400],
  ]
  for (const [operation, status] of bad) {
    for (const operations of [
      [good, operation],
      [operation, good],
    ]) {
      const answer = await ground.ask('POST /v1/variables:batch', { json: { operations } })
      const message = `${JSON.stringify(operations)}: ${answer.text}`
      t.equal(answer.status, status, message)
      t.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8', message)
    }
  }
  await ground.stands(t, before, 'after all')
})

t.test(`readers see old or new while restores and deletions go on (seed ${seed})`, async (t) => {
  const ground = await layPair(t)
  const chance = chanceFrom(seed)
  await ground.ask('POST /v1/checkpoints', { json: { names: pair, labels: ['zero'] } })
  const odd: string[] = []
  const look = async (connection: Connection): Promise<void> => {
    const path = `GET /v1/variables:read_values?names=${pair}`
    const { status, json, text } = await askPatiently(connection, path)
    if (status === 404) return
    if (status !== 200) return void odd.push(text)
    const [a, b] = pair.map((name) => json.values[name].value)
    if (a !== b) odd.push(text)
  }
  const single = async (connection: Connection): Promise<void> => {
    const path = `GET /v1/variables/${chance.one(pair)}:read_value`
    const { status, text } = await askPatiently(connection, path)
    if (![200, 404].includes(status)) odd.push(text)
  }
  await atOnce(ground, [
    look,
    look,
    single,
    async (connection, round) => {
      const json = flip(round)
      const { status, text } = await askPatiently(connection, 'POST /v1/variables:batch', { json })
      if (![200, 404].includes(status)) odd.push(text)
    },
    async (connection) => {
      const json = { create: true }
      const answer = await askPatiently(connection, 'POST /v1/checkpoints/zero:restore', { json })
      if (answer.status !== 200) odd.push(answer.text)
    },
    async (connection, round) => {
      if (round % 5 !== 0) return single(connection)
      // The second deletion is refused where the first was overtaken by a restore; that is fine.
      for (const name of pair) await askPatiently(connection, `DELETE /v1/variables/${name}`)
    },
  ])
  t.same(odd, [], `seed ${seed}`)
})
