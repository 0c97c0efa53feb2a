// Restoring over HTTP: what goes where, the report, refusals in TensorFlow's words, races and operations.
import assert from 'node:assert/strict'
import t from 'tap'
import { startServer, type TestServer } from './helper.ts'
import { roomOf } from './room.ts'

const shared = await startServer(t)

type Wanted = Readonly<Record<string, unknown>>

async function make(server: TestServer, name: string, value: unknown, json: Wanted = {}) {
  const initializer = { dtype: 'float32', value }
  const made = await server.call('POST /v1/variables', { json: { name, initializer, ...json } })
  assert.equal(made.status, 201, made.text)
  await server.call(`POST /v1/variables/${name}:initialize`)
}

async function save(server: TestServer, json: Wanted = {}): Promise<string> {
  const saved = await server.call('POST /v1/checkpoints', { json })
  assert.equal(saved.status, 201, saved.text)
  return saved.json.id
}

const restore = (server: TestServer, id: string, json: Wanted, headers = {}) =>
  server.call(`POST /v1/checkpoints/${id}:restore`, { json, headers })

async function shownOf(server: TestServer, name: string): Promise<unknown> {
  return (await server.call(`GET /v1/variables/${name}:read_value`)).json.value
}

/** The checkpoint of a room that holds these, and another room to restore it into. */
async function savedIn(tensors: Readonly<Record<string, unknown>>) {
  const from = roomOf(shared)
  for (const [name, value] of Object.entries(tensors)) await make(from, name, value)
  return { id: await save(from), to: roomOf(shared) }
}

t.test('prefix and pattern rules send tensors to other names', async (t) => {
  const { id, to } = await savedIn({ 'old/a/w': [1], 'old/b/w': [2], 'old/b/w/Adam': [3], x: [4] })
  const rules = [
    { pattern: '.*/Adam', to: [] },
    { pattern: 'old/(.)/w', to: '$1/weights' },
    { from: 'x', to: ['y', 'z'] },
  ]
  const { json } = await restore(to, id, { rules, create: true, scope: 'new' })
  t.match(json, {
    created: ['new/a/weights', 'new/b/weights', 'new/y', 'new/z'],
    skipped: ['old/b/w/Adam'],
    unexpected: [],
    sources: [
      { name: 'new/a/weights', tensor: 'old/a/w', slice: null },
      { name: 'new/b/weights', tensor: 'old/b/w', slice: null },
      { name: 'new/y', tensor: 'x', slice: null },
      { name: 'new/z', tensor: 'x', slice: null },
    ],
  })
  t.same(await shownOf(to, 'new/b/weights'), [2])
  t.same(await shownOf(to, 'new/z'), [4])
  const wrong = await restore(to, id, { rules: [{ pattern: '(', to: 'a' }] })
  t.match({ status: wrong.status, ...wrong.json }, { status: 422, reason: 'checkpoint/rule' })
  const none = await restore(to, id, { rules: [{ to: 'a' }] })
  t.equal(none.json.detail, 'Rule 0 has neither from nor pattern.')
})

t.test('one stored tensor goes into several variables, and only what is mapped', async (t) => {
  const { id, to } = await savedIn({ w: [1, 2], other: [3] })
  await make(to, 'a', [0, 0])
  await make(to, 'b', [0, 0])
  const rename = { w: ['a', 'b'] }
  const strict = await restore(to, id, { rename })
  t.match(strict.json, { reason: 'checkpoint/restore-mismatch', names: { unexpected: ['other'] } })
  const { json } = await restore(to, id, { rename, only_mapped: true })
  t.match(json, { restored: ['a', 'b'], unexpected: [], missing: [] })
  t.same(
    [await shownOf(to, 'a'), await shownOf(to, 'b')],
    [
      [1, 2],
      [1, 2],
    ],
  )
  const digests = await Promise.all(
    ['a', 'b'].map(async (name) => (await to.call(`GET /v1/variables/${name}`)).json.sha256),
  )
  t.equal(digests[0], digests[1])
  const twice = await restore(to, id, { rename: { w: 'a', other: 'a' } })
  t.match(
    { status: twice.status, ...twice.json },
    { status: 422, names: { variable: 'a', tensors: ['other', 'w'] } },
  )
})

t.test('slices of a larger tensor become variables, whole or partitioned', async (t) => {
  const table = [
    [0, 1],
    [2, 3],
    [4, 5],
    [6, 7],
  ]
  const { id, to } = await savedIn({ table, bias: [9] })
  await make(to, 'shard', [
    [0, 0],
    [0, 0],
  ])
  const part = { shape: [3, 2], partitions: 3 }
  await to.call('POST /v1/variables', { json: { name: 'parts', ...part } })
  const slices = {
    shard: { tensor: 'table', slice: '1:3,:' },
    parts: { tensor: 'table', slice: '::-1' },
    column: { tensor: 'table', slice: ':,1' },
  }
  const misfit = await restore(to, id, { slices, names: [], create: true, strict: false })
  t.match(misfit.json, {
    restored: ['shard', 'column'],
    shape_mismatches: [{ name: 'parts', tensor: 'table', expected: '[3,2]', found: '[4,2]' }],
    sources: [
      { name: 'shard', slice: '1:3,:' },
      { name: 'parts', slice: '::-1' },
      { name: 'column', tensor: 'table', slice: ':,1' },
    ],
  })
  t.same(await shownOf(to, 'shard'), [
    [2, 3],
    [4, 5],
  ])
  t.same(await shownOf(to, 'column'), [1, 3, 5, 7])
  const fitting = { parts: { tensor: 'table', slice: ':0:-1' } }
  t.equal((await restore(to, id, { slices: fitting, names: [] })).status, 200)
  t.same(await shownOf(to, 'parts'), [
    [6, 7],
    [4, 5],
    [2, 3],
  ])
  const all = await restore(to, id, {
    slices: { whole: { tensor: 'table', slice: '...' } },
    create: true,
  })
  t.same(all.json.created, ['bias', 'whole'], 'the table goes nowhere else')
  for (const [slice, reason] of [
    ['1:x', 'slice/invalid'],
    ['9', 'slice/out-of-bounds'],
  ]) {
    const refused = await restore(to, id, { slices: { s: { tensor: 'table', slice } } })
    t.match({ status: refused.status, ...refused.json }, { status: 400, reason })
  }
  const absent = await restore(to, id, { slices: { s: { tensor: 'no', slice: ':' } }, names: [] })
  t.match(absent.json.names, { missing: ['no'] })
})

t.test("what does not fit is refused in TensorFlow's words, both sides named", async (t) => {
  const { id, to } = await savedIn({ w: [1, 2], b: [3] })
  await make(to, 'w', [[5]])
  await make(to, 'kernel', [7])
  const fail = async (json: Wanted, detail: RegExp) => {
    const refused = await restore(to, id, json)
    t.equal(refused.status, 409)
    t.match(refused.json.detail, detail)
    t.same([await shownOf(to, 'w'), await shownOf(to, 'kernel')], [[[5]], [7]])
  }
  await fail(
    { names: ['w', 'gone'] },
    /^Restoring from checkpoint failed\. This is most likely due to a Variable name or other graph key that is missing from the checkpoint\. .* Original error: Key gone not found in checkpoint\. /,
  )
  await fail(
    { names: ['w'] },
    /most likely due to a mismatch between the current graph and the graph from the checkpoint\. .* Assign requires shapes of both tensors to match\. lhs shape= \[1,1\] rhs shape= \[2\]\..* of another shape: w \(expected \[1,1\], found \[2\]\)\. Nothing was restored\.$/,
  )
  await fail({ names: [], rename: { w: 'kernel' } }, /kernel \(expected \[1\], w has \[2\]\)/)
  await fail(
    { names: ['b'], rename: { b: 'x/b' } },
    /^Checkpoint \d+ does not fit .* without a variable: b \(for x\/b\)\. Nothing was restored\.$/,
  )
  await to.call('POST /v1/variables', { json: { name: 'b', shape: [1], dtype: 'float64' } })
  await fail(
    { names: ['b'] },
    /tensor_name = b; expected dtype float64 does not equal original dtype float32/,
  )
})

t.test('variables that a checkpoint lacks stay, or are refused when that is asked', async (t) => {
  const from = roomOf(shared)
  await make(from, 'w', [1])
  const id = await save(from)
  await make(from, 'later', [2])
  await make(from, 'count', [3], { collections: ['local_variables'], trainable: false })
  const kept = await restore(from, id, {})
  t.match(kept.json, { restored: ['w'], missing: ['later'] }, 'local variables are not missed')
  const refused = await restore(from, id, { allow_missing: false })
  t.match(refused.json, { names: { missing: ['later'] } })
  t.match(refused.json.detail, /Key later not found in checkpoint/)
  t.equal((await restore(from, id, { allow_missing: false, names: ['w'] })).status, 200)
})

t.test('a dry run tells all and changes nothing', async (t) => {
  const { id, to } = await savedIn({ w: [1], b: [2] })
  await make(to, 'w', [5])
  const { version } = (await to.call('GET /v1/variables/w')).json
  const { status, json } = await restore(to, id, { dry_run: true, names: ['w', 'b', 'c'] })
  t.match(
    { status, ...json },
    {
      status: 200,
      dry_run: true,
      restored: ['w'],
      unexpected: ['b'],
      missing: ['c'],
      versions: {},
    },
  )
  t.equal((await to.call('GET /v1/variables/w')).json.version, version)
  t.equal((await to.call('GET /v1/variables/b')).status, 404)
})

t.test('a restore sent again with its key is told again, whatever came between', async (t) => {
  const { id, to } = await savedIn({ w: [1] })
  const headers = { 'idempotency-key': `restore ${Math.random()}` }
  const first = await restore(to, id, { create: true }, headers)
  await to.call('POST /v1/variables/w:assign', { json: [8] })
  t.same((await restore(to, id, { create: true }, headers)).json, first.json)
  t.same(await shownOf(to, 'w'), [8])
  await to.call('DELETE /v1/variables/w')
  t.same((await restore(to, id, { create: true }, headers)).json, first.json)
  t.equal((await to.call('GET /v1/variables/w')).status, 404)
  t.equal((await restore(to, id, {}, headers)).json.reason, 'idempotency/mismatch')
})

t.test('a restore as an operation tells its bytes, and is done once for a key', async (t) => {
  const { id, to } = await savedIn({ w: [1, 2, 3, 4], v: [5] })
  const headers = { 'idempotency-key': `later ${Math.random()}` }
  const json = {
    async: true,
    create: true,
    slices: { cut: { tensor: 'w', slice: '1:' } },
    names: ['v'],
  }
  const begun = await restore(to, id, json, headers)
  t.equal(begun.status, 202)
  t.equal(begun.headers.get('location'), `/v1/operations/${begun.json.id}`)
  t.equal((await restore(to, id, json, headers)).json.id, begun.json.id)
  await to.service.operations.idle()
  const { json: done } = await to.call(`GET /v1/operations/${begun.json.id}`)
  t.match(done, {
    kind: 'restore_checkpoint',
    state: 'done',
    progress: { bytes_done: 16, bytes_total: 16 },
    result: { restored: ['v', 'cut'], versions: { v: 1, cut: 1 } },
  })
  t.same(await shownOf(to, 'cut'), [2, 3, 4])
  t.equal((await restore(to, '777', { async: true })).status, 404, 'refused at once')
  t.equal((await restore(to, id, { async: true, rules: [{ to: 'a' }] })).status, 422)
  const late = await restore(to, id, { async: true, names: ['gone'] })
  await to.service.operations.idle()
  t.match((await to.call(`GET /v1/operations/${late.json.id}`)).json, {
    state: 'failed',
    error: { reason: 'checkpoint/restore-mismatch', names: { missing: ['gone'] } },
  })
})

t.test('a cancelled restore leaves nothing: no value, no variable, no bytes', async (t) => {
  const server = await startServer(t)
  const big = { shape: [16, 2 ** 20], initializer: { kind: 'ones' } }
  await server.call('POST /v1/variables', { json: { name: 'big', ...big } })
  await server.call('POST /v1/variables/big:initialize')
  const id = await save(server)
  await make(server, 'w', [1])
  const slices = { w: { tensor: 'big', slice: '0,0:1' }, half: { tensor: 'big', slice: ':,::2' } }
  const { packBytes } = await server.service.storeStatus()
  const begun = await restore(server, id, { async: true, names: [], slices, create: true })
  let progress = 0
  while (progress === 0) {
    progress = (await server.call(`GET /v1/operations/${begun.json.id}`)).json.progress.bytes_done
  }
  const { json } = await server.call(`POST /v1/operations/${begun.json.id}:cancel`)
  t.match(json, { state: 'cancelled', result: null })
  t.ok(json.progress.bytes_done < json.progress.bytes_total, JSON.stringify(json.progress))
  t.same(await shownOf(server, 'w'), [1])
  t.equal((await server.call('GET /v1/variables/half')).status, 404)
  await server.service.operations.idle()
  t.equal((await server.service.storeStatus()).packBytes, packBytes)
  const again = await restore(server, id, { names: [], slices, create: true })
  t.equal(again.status, 200, 'nothing is left in the way')
  t.same(await shownOf(server, 'w'), [1])
})

t.test('a restore that races with assigns and deletes is seen whole, or not at all', async (t) => {
  const server = roomOf(shared)
  const names = ['a', 'b', 'c', 'd']
  for (const name of names) await make(server, name, [0])
  const id = await save(server)
  const batchOf = (number: number) => ({
    operations: names.map((name) => ({ op: 'assign', name, value: [number] })),
  })
  let isOver = false
  const writer = async () => {
    for (let number = 1; !isOver; number++) {
      const { status, text } = await server.call('POST /v1/variables:batch', {
        json: batchOf(number),
      })
      if (status !== 200 && status !== 404) t.equal(status, 200, text)
    }
  }
  const reader = async () => {
    while (!isOver) {
      const { status, json } = await server.call('GET /v1/variables:read_values?names=a,b,c')
      if (status === 404) continue
      t.equal(status, 200)
      const values = ['a', 'b', 'c'].map((name) => json.values[name].value[0])
      t.equal(new Set(values).size, 1, `${values}`)
    }
  }
  const deleter = async () => {
    while (!isOver) {
      await server.call('DELETE /v1/variables/d')
      await make(server, 'd', [0]).catch(() => undefined)
    }
  }
  const seen = new Map<number, number>()
  const restorer = async () => {
    for (let time = 0; time < 60; time++) {
      const { status, json } = await restore(server, id, {})
      seen.set(status, (seen.get(status) ?? 0) + 1)
      if (status === 200) t.equal(json.restored.length, 4)
      else t.same(json.names.unexpected, ['d'], JSON.stringify(json))
    }
  }
  await Promise.all([
    restorer().finally(() => {
      isOver = true
    }),
    writer(),
    reader(),
    deleter(),
  ])
  t.ok(seen.has(200), JSON.stringify([...seen]))
  t.same(
    [...seen.keys()].filter((status) => status !== 200 && status !== 409),
    [],
  )
  const { status, text } = await restore(server, id, { create: true })
  t.equal(status, 200, text)
  for (const name of names) t.same(await shownOf(server, name), [0])
})
