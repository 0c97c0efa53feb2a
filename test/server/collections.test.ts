// Collections over HTTP, as TensorFlow keeps them: order, membership, filters, limits.
import t from 'tap'
import { workMs } from '../helper/work.ts'
import { type Reply, startServer, type TestServer } from './helper.ts'

async function make(server: TestServer, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await server.call('POST /v1/variables', { json: { name, shape: [2] } })
  }
}

function membersOf(reply: Reply): readonly unknown[] {
  return reply.json.members.map(
    (member: { variable?: string; value?: unknown }) => member.variable ?? member.value,
  )
}

const add = (server: TestServer, name: string, json: unknown, headers = {}) =>
  server.call(`POST /v1/collections/${name}`, { json, headers })

t.test(
  'variables join the collections that TensorFlow puts them in, in order of creation',
  async (t) => {
    const server = await startServer(t)
    await make(server, 'z', 'a')
    const rest = [
      { name: 'step', shape: [], dtype: 'int64', trainable: false },
      { name: 'local', shape: [], trainable: false, collections: ['local_variables'] },
      { name: 'model', shape: [], collections: ['global_variables', 'model_variables'] },
      { name: 'alone', shape: [], trainable: false, collections: [] },
    ]
    for (const json of rest) await server.call('POST /v1/variables', { json })
    const members = async (name: string) =>
      membersOf(await server.call(`GET /v1/collections/${name}`))
    t.same(await members('variables'), ['z', 'a', 'step', 'model'])
    t.same(await members('global_variables'), ['z', 'a', 'step', 'model'])
    t.same(await members('trainable_variables'), ['z', 'a', 'model'])
    t.same(await members('local_variables'), ['local'])
    t.same(await members('model_variables'), ['model'])
    t.same(await members('nobody/joined'), [], 'an unknown collection is empty')
    const { json } = await server.call('GET /v1/collections')
    t.same(json.collections, [
      { name: 'local_variables', member_count: 1 },
      { name: 'model_variables', member_count: 1 },
      { name: 'trainable_variables', member_count: 3 },
      { name: 'variables', member_count: 4 },
    ])
    const listed = await server.call('GET /v1/variables?collection=global_variables')
    t.equal(listed.json.variables.length, 4, 'both names mean one collection everywhere')
  },
)

t.test('any JSON value can be a member, as often as it joins', async (t) => {
  const server = await startServer(t)
  await make(server, 'w')
  const values = [null, false, 0, '', [], {}, 'w', [[{ a: 'ü' }]], 0.1]
  for (const value of values) t.equal((await add(server, 'things', { value })).status, 200)
  const both = await add(server, 'things', { members: [{ variable: 'w' }, { value: null }] })
  t.same(both.json, { name: 'things', container: '', added: 2, durable: true })
  await add(server, 'things', { variable: 'w' })
  const { json } = await server.call('GET /v1/collections/things')
  t.same(json.members, [
    ...values.map((value) => ({ value })),
    { variable: 'w' },
    { value: null },
    { variable: 'w' },
  ])
  const w = await server.call('GET /v1/variables/w')
  t.same(w.json.collections, ['variables', 'trainable_variables', 'things'])
})

t.test(
  'a scope filters by names that begin with a match, and leaves out what has no name',
  async (t) => {
    const server = await startServer(t)
    await make(server, 'dense/kernel', 'dense_1/kernel', 'other')
    await add(server, 'c', {
      members: [
        { variable: 'dense/kernel' },
        { value: { name: 'dense/l2' } },
        { value: 'dense/' },
        { value: { name: 7 } },
        { variable: 'dense_1/kernel' },
        { value: null },
        { variable: 'other' },
      ],
    })
    const filtered = async (scope: string, more = '') => {
      const path = `/v1/collections/c?scope=${encodeURIComponent(scope)}${more}`
      return server.call(`GET ${path}`)
    }
    t.same(membersOf(await filtered('dense/')), ['dense/kernel', { name: 'dense/l2' }])
    t.same(membersOf(await filtered('dense(_\\d)?/k')), ['dense/kernel', 'dense_1/kernel'])
    t.same(membersOf(await filtered('.*kernel:0$')), ['dense/kernel', 'dense_1/kernel'])
    t.same(membersOf(await filtered('kernel')), [], 'it matches at the beginning only')
    t.equal(membersOf(await filtered('')).length, 4, 'an empty scope still leaves out the nameless')
    for (const bad of ['(a', '(?=a)', '(a)\\1', '*', 'a{9999}', 'x'.repeat(1001)]) {
      const { status, json } = await filtered(bad)
      t.match({ status, json }, { status: 400, json: { reason: 'collection/scope' } })
    }
    const first = await filtered('dense', '&limit=2')
    t.equal(first.json.members.length, 2)
    const second = await filtered('dense', `&limit=2&cursor=${first.json.cursor}`)
    t.same(membersOf(second), ['dense_1/kernel'])
  },
)

t.test(
  'a filter that would backtrack forever elsewhere is done in time, and others are served',
  async (t) => {
    const server = await startServer(t)
    const name = 'a'.repeat(1000)
    const members = Array.from({ length: 300 }, () => ({ value: { name } }))
    await add(server, 'c', { members })
    const begun = process.cpuUsage()
    for (const scope of ['(a+)+$', '(a?){300}b', '(a|a)*c', '((a*)*)*b']) {
      let longest = 0
      let last = process.cpuUsage()
      const timer = setInterval(() => {
        longest = Math.max(longest, workMs(last))
        last = process.cpuUsage()
      }, 1)
      const reply = await server.call(`GET /v1/collections/c?scope=${encodeURIComponent(scope)}`)
      clearInterval(timer)
      t.equal(reply.status, 200)
      t.ok(longest < 500, `the longest pause was ${longest.toFixed()} ms`)
    }
    t.ok(workMs(begun) < 20_000)
  },
)

t.test('a collection is read page by page, and cleared as a whole', async (t) => {
  const server = await startServer(t)
  await make(server, 'w')
  const members = Array.from({ length: 25 }, (_, value) => ({ value }))
  await add(server, 'a/long:one'.replace(':', '%3A'), { members })
  await add(server, 'b', { variable: 'w' })
  const seen: unknown[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const from = cursor === '' ? '' : `&cursor=${cursor}`
    const page = await server.call(`GET /v1/collections/a/long%3Aone?limit=10${from}`)
    t.equal(page.json.name, 'a/long:one')
    seen.push(...membersOf(page))
    cursor = page.json.cursor
  }
  t.same(seen, [...Array(25).keys()])
  const names = await server.call('GET /v1/collections?limit=1')
  t.same(names.json.collections, [{ name: 'a/long:one', member_count: 25 }])
  const next = await server.call(`GET /v1/collections?limit=1&cursor=${names.json.cursor}`)
  t.equal(next.json.collections[0].name, 'b')
  t.equal((await server.call('DELETE /v1/collections/b')).status, 204)
  t.equal((await server.call('DELETE /v1/collections/b')).status, 204, 'again is no error')
  const w = await server.call('GET /v1/variables/w')
  t.same(w.json.collections, ['variables', 'trainable_variables'], 'the variable stays')
})

t.test('a deleted variable leaves its collections, and containers have their own', async (t) => {
  const server = await startServer(t)
  await make(server, 'w')
  await add(server, 'c', { members: [{ variable: 'w' }, { value: 1 }, { variable: 'w' }] })
  await add(server, 'c?container=other', { value: 2 })
  await server.call('DELETE /v1/variables/w')
  t.same(membersOf(await server.call('GET /v1/collections/c')), [1])
  t.same(membersOf(await server.call('GET /v1/collections/c?container=other')), [2])
  t.same((await server.call('GET /v1/collections')).json.collections, [
    { name: 'c', member_count: 1 },
  ])
})

t.test('a partitioned variable joins as its parts', async (t) => {
  const server = await startServer(t)
  await server.call('POST /v1/variables', { json: { name: 'p', shape: [4], partitions: [2] } })
  t.equal((await add(server, 'c', { members: [{ value: 0 }, { variable: 'p' }] })).status, 200)
  await add(server, 'c', { variable: 'p/part_0' })
  t.same(membersOf(await server.call('GET /v1/collections/c')), [
    0,
    'p/part_0',
    'p/part_1',
    'p/part_0',
  ])
})

t.test(
  'an addition sent twice with one key is done once; a refused one changes nothing',
  async (t) => {
    const server = await startServer(t, {
      limits: { collectionMembersPerRequest: 3, collectionMemberBytes: 20 },
    })
    await make(server, 'w')
    const key = { 'idempotency-key': 'k1' }
    for (const _ of [1, 2]) {
      const reply = await add(server, 'c', { members: [{ variable: 'w' }, { value: 1 }] }, key)
      t.match({ status: reply.status, json: reply.json }, { status: 200, json: { added: 2 } })
    }
    const other = await add(server, 'c', { value: 2 }, key)
    t.match(other, { status: 422, json: { reason: 'idempotency/mismatch' } })
    const clear = { headers: { 'idempotency-key': 'k2' } }
    const value = (number: number) => ({ value: number })
    const deep = JSON.parse(`${'['.repeat(150)}${']'.repeat(150)}`)
    const refusals: readonly (readonly [unknown, number, string])[] = [
      [{ members: [value(1), { variable: 'nope' }] }, 404, 'variable/unknown'],
      [{ members: [1, 2, 3, 4].map(value) }, 413, 'collection/too-large'],
      [{ value: 'x'.repeat(19) }, 413, 'collection/too-large'],
      [{ value: deep }, 400, 'collection/invalid-member'],
      [{ value: 1, variable: 'w' }, 400, 'http/invalid-body'],
      [{ members: [] }, 400, 'http/invalid-body'],
      [{ members: [{}] }, 400, 'http/invalid-body'],
      [{}, 400, 'http/invalid-body'],
      [[], 400, 'http/invalid-body'],
      [{ variable: 3 }, 400, 'http/invalid-body'],
    ]
    for (const [json, status, reason] of refusals) {
      const reply = await add(server, 'c', json)
      t.match({ status: reply.status, json: reply.json }, { status, json: { reason } })
    }
    const long = await add(server, 'x'.repeat(1025), { value: 1 })
    t.match(long, { status: 400, json: { reason: 'name/invalid' } })
    t.same(membersOf(await server.call('GET /v1/collections/c')), ['w', 1])
    t.equal((await server.call('DELETE /v1/collections/c', clear)).status, 204)
    await add(server, 'c', { value: 5 })
    t.equal((await server.call('DELETE /v1/collections/c', clear)).status, 204)
    t.same(
      membersOf(await server.call('GET /v1/collections/c')),
      [5],
      'the second was a repetition',
    )
  },
)
