import t from 'tap'
import { startServer } from './helper.ts'
import { roomOf } from './room.ts'

const shared = await startServer(t)

t.test('a scope hands its defaults to the variables that are made in it', async (t) => {
  const { call } = roomOf(shared)
  const made = await call('PUT /v1/scopes/tower/layer', {
    json: {
      dtype: 'float64',
      initializer: { kind: 'constant', value: 2 },
      device: '/cpu:0',
    },
  })
  t.equal(made.status, 201)
  const variable = await call('POST /v1/variables', {
    json: { scope: 'tower/layer', name: 'w', shape: [2] },
  })
  t.equal(variable.status, 201)
  t.match(variable.json, {
    name: 'tower/layer/w',
    dtype: 'float64',
    device: '/device:CPU:0',
    initializer: { kind: 'constant', value: 2 },
  })
  await call('POST /v1/variables/tower/layer/w:initialize')
  t.same((await call('GET /v1/variables/tower/layer/w:read_value')).json.value, [2, 2])
})

t.test('only scope selects the defaults of a scope, not the slashes of a name', async (t) => {
  const { call } = roomOf(shared)
  await call('PUT /v1/scopes/a', { json: { dtype: 'int32' } })
  const { json } = await call('POST /v1/variables', { json: { name: 'a/v', shape: [] } })
  t.equal(json.dtype, 'float32')
  const inside = await call('POST /v1/variables', { json: { scope: 'a', name: 'u', shape: [] } })
  t.match(inside.json, { name: 'a/u', dtype: 'int32', initializer: { kind: 'zeros' } })
})

t.test('scopes inherit downwards, and merge devices field by field', async (t) => {
  const { call } = roomOf(shared)
  await call('PUT /v1/scopes/', { json: { dtype: 'float16' } })
  await call('PUT /v1/scopes/a', { json: { device: '/job:ps/task:1', partitions: 2 } })
  await call('PUT /v1/scopes/a/b', { json: { device: '/cpu:0', reuse: 'auto' } })
  const { json } = await call('GET /v1/scopes/a/b')
  const { container: _, ...rest } = json
  t.same(rest, {
    path: 'a/b',
    device: '/cpu:0',
    reuse: 'auto',
    effective: {
      reuse: 'auto',
      dtype: 'float16',
      device: '/job:ps/task:1/device:CPU:0',
      initializer: null,
      partitions: 2,
    },
  })
  t.match((await call('GET /v1/scopes/')).json, { path: '', dtype: 'float16' })
  const deeper = await call('POST /v1/variables', {
    json: { scope: 'a/b/c', name: 'w', shape: [3], device: '/gpu:*' },
  })
  t.match(deeper.json, {
    name: 'a/b/c/w',
    dtype: 'float16',
    device: '/job:ps/task:1/device:GPU:0',
    parts: ['a/b/c/w/part_0', 'a/b/c/w/part_1'],
  })
})

t.test('reuse true shares only, false makes only, auto does either, absent inherits', async (t) => {
  const { call } = roomOf(shared)
  const ask = (json: object) =>
    call('POST /v1/variables', { json: { name: 'v', shape: [1], ...json } })
  const first = await ask({ scope: 's' })
  t.equal(first.status, 201)
  const twice = await ask({ scope: 's' })
  t.equal(twice.status, 409)
  t.match(twice.json, {
    reason: 'variable/already-exists',
    detail:
      'Variable s/v already exists, disallowed. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope?',
  })
  t.equal((await ask({ scope: 's', reuse: true })).status, 200)
  t.equal((await ask({ scope: 's', reuse: 'auto' })).status, 200)
  const none = await ask({ scope: 'other', reuse: true })
  t.equal(none.status, 404)
  t.equal(none.json.reason, 'variable/does-not-exist')
  const turned = await call('POST /v1/scopes/s:reuse_variables')
  t.match(turned.json, { path: 's', reuse: true, effective: { reuse: true } })
  t.equal((await ask({ scope: 's' })).status, 200)
  t.equal((await ask({ scope: 's/below', name: 'w' })).status, 404)
  t.equal((await ask({ scope: 's', reuse: false })).status, 409)
})

t.test('reuse_variables keeps the other defaults, and works on the root', async (t) => {
  const { call } = roomOf(shared)
  await call('PUT /v1/scopes/s', { json: { dtype: 'int64', device: '/cpu:0' } })
  const { json } = await call('POST /v1/scopes/s:reuse_variables')
  t.match(json, { dtype: 'int64', device: '/cpu:0', reuse: true })
  const root = await call('POST /v1/scopes/:reuse_variables')
  t.match(root.json, { path: '', reuse: true })
  const refused = await call('POST /v1/variables', { json: { name: 'v', shape: [] } })
  t.equal(refused.status, 404)
})

t.test('PUT replaces all defaults, DELETE takes them away and leaves the variables', async (t) => {
  const { call } = roomOf(shared)
  await call('PUT /v1/scopes/s', { json: { dtype: 'int32', reuse: 'auto' } })
  await call('POST /v1/variables', { json: { scope: 's', name: 'v', shape: [] } })
  const again = await call('PUT /v1/scopes/s', { json: { device: '/cpu:0' } })
  t.equal(again.status, 200)
  t.notOk('dtype' in again.json)
  t.equal(again.json.effective.dtype, 'float32')
  t.equal((await call('DELETE /v1/scopes/s')).status, 204)
  const gone = await call('GET /v1/scopes/s')
  t.equal(gone.status, 404)
  t.equal(gone.json.reason, 'scope/unknown')
  t.equal((await call('DELETE /v1/scopes/s')).status, 404)
  t.equal((await call('GET /v1/variables/s/v')).status, 200)
  t.match((await call('GET /v1/scopes/')).json, { path: '', effective: { reuse: false } })
})

t.test('the list of scopes is by path, in pages, and can begin below one', async (t) => {
  const { call } = roomOf(shared)
  for (const path of ['b', 'a/x', 'a', 'ab']) {
    await call(`PUT /v1/scopes/${path}`, { json: { reuse: 'auto' } })
  }
  const paths = ({ json }: { json: { scopes: readonly { path: string }[] } }) =>
    json.scopes.map(({ path }) => path)
  const first = await call('GET /v1/scopes?limit=3')
  t.same(paths(first), ['a', 'a/x', 'ab'])
  t.same(paths(await call(`GET /v1/scopes?cursor=${encodeURIComponent(first.json.cursor)}`)), ['b'])
  t.same(paths(await call('GET /v1/scopes?scope=a')), ['a', 'a/x'])
})

t.test('what no variable could have is refused when it is put', async (t) => {
  const { call } = roomOf(shared)
  const refusalOf = async (json: object, path = 's') => {
    const reply = await call(`PUT /v1/scopes/${path}`, { json })
    return [reply.status, reply.json.reason]
  }
  t.same(await refusalOf({ dtype: 'float17' }), [422, 'dtype/unknown'])
  t.same(await refusalOf({ device: '/gpu:0/cpu:0' }), [400, 'device/invalid'])
  t.same(await refusalOf({ initializer: { kind: 'magic' } }), [501, 'initializer/unknown'])
  t.same(await refusalOf({ initializer: { kind: 'zeros', seed: 1 } }), [422, 'initializer/invalid'])
  t.same(await refusalOf({ initializer: { initialized_value: 'v' } }), [404, 'variable/unknown'])
  t.same(await refusalOf({ partitions: [2, 2] }), [422, 'partition/axes'])
  t.same(await refusalOf({ partitions: 0 }), [400, 'http/invalid-body'])
  t.same(await refusalOf({ partitions: 20_000 }), [422, 'partition/too-many'])
  t.same(await refusalOf({ regularizer: 'l2' }), [400, 'http/invalid-body'])
  t.same(await refusalOf({}, '_s'), [400, 'name/invalid'])
  t.same(await refusalOf({}, 'a//b'), [400, 'name/invalid'])
  t.same(await refusalOf({}, 'a%20b'), [400, 'name/invalid'])
  t.same((await call('GET /v1/scopes')).json.scopes, [])
})

t.test('a scope can hand down a tensor, and values of other variables', async (t) => {
  const { call } = roomOf(shared)
  await call('PUT /v1/scopes/c', { json: { dtype: 'int32', initializer: { value: [1, 2] } } })
  const made = await call('POST /v1/variables', { json: { scope: 'c', name: 'v' } })
  t.match(made.json, { dtype: 'int32', shape: [2] })
  const shaped = await call('POST /v1/variables', { json: { scope: 'c', name: 'u', shape: [2] } })
  t.equal(shaped.json.reason, 'initializer/constant-with-shape')
  const put = await call('PUT /v1/scopes/d', {
    json: { initializer: { initialized_value: 'c/v', mul: 3 } },
  })
  t.equal(put.status, 201)
  await call('POST /v1/variables', { json: { scope: 'd', name: 'w' } })
  await call('POST /v1/variables:initialize')
  t.same((await call('GET /v1/variables/d/w:read_value')).json.value, [3, 6])
  await call('DELETE /v1/variables/c/v')
  const orphan = await call('POST /v1/variables', { json: { scope: 'd', name: 'x' } })
  t.match(orphan.json, { reason: 'variable/unknown', names: { variable: 'c/v' } })
  const own = await call('POST /v1/variables', {
    json: { scope: 'd', name: 'x', shape: [], initializer: { kind: 'ones' } },
  })
  t.equal(own.status, 201)
})

t.test('a PUT and creates in the scope do not interleave', async (t) => {
  const { call } = roomOf(shared)
  await call('PUT /v1/scopes/s', { json: { dtype: 'int32' } })
  const asked: Promise<{ json: { dtype?: string } }>[] = []
  for (let index = 0; index < 20; index++) {
    asked.push(call('POST /v1/variables', { json: { scope: 's/t', name: `v${index}`, shape: [] } }))
    if (index === 9) asked.push(call('PUT /v1/scopes/s', { json: { dtype: 'int64' } }))
  }
  await Promise.all(asked)
  const { json } = await call('POST /v1/variables', {
    json: { scope: 's/t', name: 'z', shape: [] },
  })
  t.equal(json.dtype, 'int64')
  const { variables } = (await call('GET /v1/variables?limit=100')).json
  t.equal(variables.length, 21)
  t.ok(variables.every(({ dtype }: { dtype: string }) => dtype === 'int32' || dtype === 'int64'))
})

t.test('scopes go with their container', async (t) => {
  await shared.call('PUT /v1/scopes/s?container=c', { json: { dtype: 'int32' } })
  t.equal((await shared.call('GET /v1/scopes/s?container=d')).status, 404, 'others have their own')
  t.equal((await shared.call('DELETE /v1/containers/c')).status, 204)
  t.equal((await shared.call('GET /v1/scopes/s?container=c')).status, 404)
  t.equal((await shared.call('DELETE /v1/containers/c')).status, 404)
})

t.test('the same key does a PUT once', async (t) => {
  const { call } = roomOf(shared)
  const headers = { 'idempotency-key': 'k1' }
  await call('PUT /v1/scopes/s', { json: { dtype: 'int32' }, headers })
  await call('PUT /v1/scopes/s', { json: { dtype: 'int64' } })
  t.equal((await call('PUT /v1/scopes/s', { json: { dtype: 'int32' }, headers })).status, 200)
  t.equal((await call('GET /v1/scopes/s')).json.dtype, 'int64')
  const other = await call('PUT /v1/scopes/s', { json: { dtype: 'int8' }, headers })
  t.equal(other.json.reason, 'idempotency/mismatch')
})
