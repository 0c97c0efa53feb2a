// Saving over HTTP: what is chosen, what is refused, and what a snapshot holds while others write.
import assert from 'node:assert/strict'
import t from 'tap'
import { startServer, type TestServer } from './helper.ts'
import { roomOf } from './room.ts'

const shared = await startServer(t)

type Wanted = Readonly<Record<string, unknown>>

/** Makes a variable, with a value unless `value` is undefined. */
async function make(
  server: TestServer,
  name: string,
  value?: readonly number[],
  json: Wanted = {},
) {
  const shape = [value?.length ?? 1]
  const made = await server.call('POST /v1/variables', { json: { name, shape, ...json } })
  assert.equal(made.status, 201, made.text)
  if (value === undefined) return
  const written = await server.call(`POST /v1/variables/${name}:assign`, { json: value })
  assert.equal(written.status, 200, written.text)
}

async function save(server: TestServer, json: Wanted = {}): Promise<readonly string[]> {
  const saved = await server.call('POST /v1/checkpoints', { json })
  assert.equal(saved.status, 201, saved.text)
  return namesIn(server, saved.json.id)
}

async function namesIn(server: TestServer, id: string): Promise<readonly string[]> {
  const { json } = await server.call(`GET /v1/checkpoints/${id}`)
  return json.tensors.map(({ name }: { name: string }) => name)
}

t.test('the global variables are saved unless told otherwise, with their slots', async (t) => {
  const server = roomOf(shared)
  await make(server, 'layer/w', [1])
  await make(server, 'layer/w/Adam', [2], { trainable: false })
  await make(server, 'layer2/w', [3])
  await make(server, 'total', [4], { collections: ['local_variables'], trainable: false })
  await make(server, 'layer/count', [5], { collections: ['mine'], trainable: false })
  t.same(await save(server), ['layer/w', 'layer/w/Adam', 'layer2/w'])
  t.same(await save(server, { collection: 'local_variables' }), ['total'])
  t.same(await save(server, { collection: ['local_variables', 'mine'] }), ['layer/count', 'total'])
  t.same(await save(server, { collection: 'trainable_variables' }), ['layer/w', 'layer2/w'])
  t.same(await save(server, { collection: 'global_variables', scope: 'layer2' }), ['layer2/w'])
  t.same(await save(server, { scope: 'layer' }), ['layer/w', 'layer/w/Adam'], 'not layer2')
  t.same(await save(server, { scope: 'layer/', all: true }), [
    'layer/count',
    'layer/w',
    'layer/w/Adam',
  ])
  t.equal((await save(server, { all: true })).length, 5)
  t.same(await save(server, { names: ['total', 'total'] }), ['total'])
  t.same(await save(server, { rename: { sum: 'total', first: 'layer/w' } }), ['first', 'sum'])
})

t.test('what cannot be saved is refused, and leaves no checkpoint', async (t) => {
  const server = roomOf(shared)
  const refused = async (json: Wanted, wanted: Wanted) => {
    const { status, json: problem } = await server.call('POST /v1/checkpoints', { json })
    t.match({ status, ...problem }, wanted, JSON.stringify(json))
  }
  const none = { status: 409, reason: 'checkpoint/empty', detail: 'No variables to save' }
  await refused({}, none)
  await make(server, 'w', [1])
  await make(server, 'part', [1, 2], { partitions: 2 })
  for (const json of [{ names: [] }, { rename: {} }, { collection: [] }, { scope: 'x' }]) {
    await refused(json, none)
  }
  await refused({ collection: 'local_variables' }, none)
  await refused({ names: ['w', 'x'] }, { status: 404, names: { variable: 'x' } })
  for (const json of [
    { names: ['w'], rename: { a: 'w' } },
    { names: ['w'], collection: 'variables' },
    { names: ['w'], scope: 'w' },
    { rename: { a: 'w' }, all: true },
    { all: true, collection: 'variables' },
    { names: ['w'], only_initialized: true },
    { rename: { a: 'w', b: 'w' } },
  ]) {
    await refused(json, { status: 422, reason: 'checkpoint/ambiguous-selection' })
  }
  await refused(
    { names: ['part', 'part/part_1'] },
    { status: 422, reason: 'checkpoint/duplicate-name' },
  )
  await refused({ labels: ['7'] }, { status: 400, reason: 'name/invalid' })
  await refused({ rename: { ['x'.repeat(1025)]: 'w' } }, { status: 400, reason: 'name/invalid' })
  await refused({ step: -1 }, { status: 400 })
  t.same((await server.call('GET /v1/checkpoints')).json.checkpoints, [])
})

t.test('variables without a value are refused by name, or left out when asked', async (t) => {
  const server = roomOf(shared)
  await make(server, 'w', [1])
  await make(server, 'a')
  await make(server, 'b')
  await make(server, 'local', undefined, { collections: ['local_variables'] })
  const detail = 'Attempting to use uninitialized value a; also without a value: b'
  for (const json of [{}, { names: ['b', 'w', 'a'].sort() }, { rename: { x: 'a', y: 'b' } }]) {
    const refused = await server.call('POST /v1/checkpoints', { json })
    t.match(
      { status: refused.status, ...refused.json },
      { status: 409, reason: 'variable/uninitialized', detail, names: { variables: ['a', 'b'] } },
    )
  }
  t.same(await save(server, { only_initialized: true }), ['w'])
  const nothing = await server.call('POST /v1/checkpoints', {
    json: { collection: 'local_variables', only_initialized: true },
  })
  t.equal(nothing.json.reason, 'checkpoint/empty')
})

t.test('saving again what did not change costs rows, no bytes', async (t) => {
  const server = roomOf(shared)
  await make(
    server,
    'w',
    Array.from({ length: 50_000 }, (_, index) => index),
  )
  await save(server)
  const before = await server.service.storeStatus()
  await save(server, { labels: ['again'] })
  const { looseBytes, packBytes } = await server.service.storeStatus()
  t.match(before, { looseBytes, packBytes })
})

t.test('a save is of one moment: no variable that comes or goes meanwhile splits it', async (t) => {
  const server = roomOf(shared)
  // The parts of each come and go by one commit: a save sees both, or neither.
  await make(server, 'always', [1])
  let isOver = false
  const churn = async (pair: string) => {
    while (!isOver) {
      const json = { name: `${pair}/w`, shape: [2], partitions: 2, initializer: { kind: 'ones' } }
      await server.call('POST /v1/variables', { json })
      await server.call(`POST /v1/variables/${pair}/w:initialize`)
      await server.call(`DELETE /v1/variables/${pair}/w`)
    }
  }
  const churning = [churn('p'), churn('q')]
  let whole = 0
  for (let time = 0; time < 60; time++) {
    const { status, json, text } = await server.call('POST /v1/checkpoints', {
      json: { only_initialized: true },
    })
    t.equal(status, 201, text)
    if (status !== 201) break
    const detail = await server.call(`GET /v1/checkpoints/${json.id}`)
    for (const tensor of detail.json.tensors) {
      if (tensor.name === 'always') continue
      t.equal(tensor.parts?.length, 2, tensor.name)
      whole++
    }
  }
  isOver = true
  await Promise.all(churning)
  t.ok(whole > 0, `${whole} pairs were seen`)
})

t.test('a save sent again with its key is done once, at once or as an operation', async (t) => {
  const server = roomOf(shared)
  await make(server, 'w', [1])
  const send = (key: string, json: Wanted) =>
    server.call('POST /v1/checkpoints', { json, headers: { 'idempotency-key': key } })
  const key = `save ${Math.random()}`
  const first = await send(key, { step: 1 })
  t.same((await send(key, { step: 1 })).json, first.json)
  t.equal((await send(key, { step: 2 })).json.reason, 'idempotency/mismatch')
  const begun = await send(`${key} later`, { step: 3, async: true })
  const again = await send(`${key} later`, { step: 3, async: true })
  t.same([begun.status, again.status], [202, 202])
  t.equal(again.json.id, begun.json.id, 'the same operation')
  t.equal(again.headers.get('location'), `/v1/operations/${begun.json.id}`)
  const other = await send(`${key} later`, { step: 4, async: true })
  t.equal(other.json.reason, 'idempotency/mismatch')
  await server.service.operations.idle()
  const now = await send(`${key} later`, { step: 3 })
  t.equal(now.json.step, 3, 'at once, the checkpoint that the operation made')
  t.equal((await server.call('GET /v1/checkpoints')).json.checkpoints.length, 2)
  t.equal((await send('', { step: 3, async: true })).json.reason, 'idempotency/invalid-key')
})

t.test('what can be refused at once is, also of operations; the rest fails as one', async (t) => {
  const server = roomOf(shared)
  const refused = await server.call('POST /v1/checkpoints', {
    json: { async: true, names: ['w'], all: true },
  })
  t.equal(refused.status, 422)
  const begun = await server.call('POST /v1/checkpoints', { json: { async: true, names: ['w'] } })
  t.equal(begun.status, 202)
  await server.service.operations.idle()
  const { json } = await server.call(`GET /v1/operations/${begun.json.id}`)
  t.match(json, { state: 'failed', error: { reason: 'variable/unknown', status: 404 } })
})
