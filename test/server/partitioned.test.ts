import t from 'tap'
import { floats, startServer, type TestServer } from './helper.ts'
import { roomOf } from './room.ts'

const shared = await startServer(t)

const raw = { accept: 'application/octet-stream' }

async function make(server: TestServer, json: object) {
  return server.call('POST /v1/variables', { json })
}

async function shownOf(server: TestServer, name: string, query = '') {
  const reply = await server.call(`GET /v1/variables/${name}:read_value${query}`)
  return reply.json.value
}

t.test('a partitioned variable is its parts and a name over them', async (t) => {
  const server = roomOf(shared)
  const made = await make(server, {
    name: 'emb',
    shape: [5, 2],
    partitions: 2,
    device: '/cpu:0',
    initializer: { kind: 'zeros' },
  })
  t.equal(made.status, 201)
  t.match(made.json, {
    name: 'emb',
    shape: [5, 2],
    partitions: [2, 1],
    parts: ['emb/part_0', 'emb/part_1'],
    version: 0,
    initialized: false,
    nbytes: 0,
    sha256: null,
    device: '/device:CPU:0',
  })
  const { json: part } = await server.call('GET /v1/variables/emb/part_1')
  t.match(part, { shape: [2, 2], part_of: { name: 'emb', shape: [5, 2], offset: [3, 0] } })
  const whole = await server.call('GET /v1/variables/emb')
  t.match(whole.json, { actual_device: '/device:CPU:0', resident_on: [] })
  t.equal(whole.headers.get('etag'), '"0"')
  const unread = await server.call('GET /v1/variables/emb:read_value')
  t.equal(unread.status, 409)
  t.match(unread.json, { reason: 'variable/uninitialized', names: { part: 'emb/part_0' } })
  const initialized = await server.call('POST /v1/variables/emb:initialize')
  t.match(initialized.json, { name: 'emb', version: 2 })
  t.match((await server.call('GET /v1/variables/emb')).json, { initialized: true, nbytes: 40 })
  const { variables } = (await server.call('GET /v1/variables')).json
  t.same(
    variables.map(({ name }: { name: string }) => name),
    ['emb/part_0', 'emb/part_1'],
  )
  const listed = await server.call('GET /v1/variables?partitioned=true')
  t.same(
    listed.json.variables.map(({ name }: { name: string }) => name),
    ['emb'],
  )
  t.equal((await server.call('GET /v1/variables?partitioned=true&dtype=int8')).status, 400)
})

t.test('the whole is read in every media type, in ranges and in slices', async (t) => {
  const server = roomOf(shared)
  await make(server, { name: 'w', shape: [2, 5], partitions: { count: 3, axis: 1 } })
  const written = await server.call('POST /v1/variables/w:assign', {
    json: [
      [0, 1, 2, 3, 4],
      [5, 6, 7, 8, 9],
    ],
  })
  t.match(written.json, { name: 'w', version: 3, etag: '"3"' })
  t.same(await shownOf(server, 'w/part_0'), [
    [0, 1],
    [5, 6],
  ])
  t.same(await shownOf(server, 'w/part_2'), [[4], [9]])
  t.same(await shownOf(server, 'w'), [
    [0, 1, 2, 3, 4],
    [5, 6, 7, 8, 9],
  ])
  t.same(await shownOf(server, 'w', '?slice=:,1:4:2'), [
    [1, 3],
    [6, 8],
  ])
  const path = 'GET /v1/variables/w:read_value'
  const bytes = floats(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
  t.same((await server.call(path, { headers: raw })).bytes, bytes)
  for (let first = 0; first < 40; first += 7) {
    const range = await server.call(path, {
      headers: { ...raw, range: `bytes=${first}-${first + 8}` },
    })
    t.equal(range.status, 206)
    t.same(range.bytes, bytes.slice(first, first + 9))
  }
  const npy = await server.call(path, { headers: { accept: 'application/x-npy' } })
  t.same(npy.bytes.slice(-40), bytes)
  const safe = await server.call(path, { headers: { accept: 'application/x-safetensors' } })
  t.same(safe.bytes.slice(-40), bytes)
  const proto = await server.call(path, { headers: { accept: 'application/x-protobuf' } })
  t.equal(proto.status, 200)
  const fresh = await server.call(path, {
    headers: { ...raw, 'if-none-match': safe.headers.get('etag') ?? '' },
  })
  t.equal(fresh.status, 304)
})

t.test('several names are one snapshot, wholes among them', async (t) => {
  const server = roomOf(shared)
  await make(server, { name: 'w', shape: [3], partitions: 3 })
  await make(server, { name: 'v', shape: [] })
  await server.call('POST /v1/variables/w:assign', { json: [1, 2, 3] })
  await server.call('POST /v1/variables/v:assign', { json: 7 })
  const { json } = await server.call('GET /v1/variables:read_values?names=v,w,w/part_1')
  t.match(json.values, {
    v: { value: 7 },
    w: { value: [1, 2, 3], version: 3 },
    'w/part_1': { value: [2] },
  })
  const none = await server.call('GET /v1/variables:read_values?names=v,nothing')
  t.match(none.json, { reason: 'variable/unknown', names: { variable: 'nothing' } })
})

t.test('assign takes a stream of raw bytes, along any axis, and any type', async (t) => {
  const server = roomOf(shared)
  for (const [name, shape, axis] of [
    ['first', [7, 3, 2], 0],
    ['middle', [7, 3, 2], 1],
    ['last', [7, 3, 5], -1],
  ] as const) {
    await make(server, { name, shape, dtype: 'int64', partitions: { count: 3, axis } })
    const count = shape.reduce((product, size) => product * size, 1)
    const bytes = new Uint8Array(
      BigInt64Array.from({ length: count }, (_, n) => BigInt(n) << 33n).buffer,
    )
    const reply = await server.call(`POST /v1/variables/${name}:assign`, {
      body: bytes,
      headers: { 'content-type': 'application/octet-stream' },
    })
    t.equal(reply.status, 200, reply.text)
    const read = await server.call(`GET /v1/variables/${name}:read_value`, { headers: raw })
    t.same(read.bytes, bytes, name)
  }
  await make(server, { name: 's', shape: [2, 2], dtype: 'string', partitions: [1, 2] })
  await server.call('POST /v1/variables/s:assign', {
    json: [
      ['a', 'bb'],
      ['', 'dddd'],
    ],
  })
  t.same(await shownOf(server, 's'), [
    ['a', 'bb'],
    ['', 'dddd'],
  ])
  t.same(await shownOf(server, 's/part_1'), [['bb'], ['dddd']])
  t.same(await server.spooled(), [])
})

t.test('a value that does not fit the whole changes nothing', async (t) => {
  const server = roomOf(shared)
  await make(server, {
    name: 'w',
    shape: [2, 2],
    partitions: [1, 2],
    initializer: { kind: 'ones' },
  })
  await server.call('POST /v1/variables/w:initialize')
  const shape = await server.call('POST /v1/variables/w:assign', { json: [1, 2] })
  t.equal(shape.json.reason, 'shape/mismatch')
  const type = await server.call('POST /v1/variables/w:assign', {
    json: {
      dtype: 'int32',
      value: [
        [1, 2],
        [3, 4],
      ],
    },
  })
  t.equal(type.json.reason, 'dtype/mismatch')
  const stale = await server.call('POST /v1/variables/w:assign', {
    json: [
      [1, 2],
      [3, 4],
    ],
    headers: { 'if-match': '"1"' },
  })
  t.equal(stale.status, 412)
  t.match(stale.json, { names: { variable: 'w', version: 2 } })
  const short = await server.call('POST /v1/variables/w:assign', {
    body: floats(1, 2, 3),
    headers: { 'content-type': 'application/octet-stream' },
  })
  t.equal(short.status, 422)
  t.same(await shownOf(server, 'w'), [
    [1, 1],
    [1, 1],
  ])
  t.equal((await server.call('GET /v1/variables/w')).json.version, 2)
  const fits = await server.call('POST /v1/variables/w:assign?return=value', {
    json: [
      [1, 2],
      [3, 4],
    ],
    headers: { 'if-match': '"2"' },
  })
  t.match(fits.json, {
    version: 4,
    value: [
      [1, 2],
      [3, 4],
    ],
  })
})

t.test('assign_add and assign_sub work on the whole, other verbs name the parts', async (t) => {
  const server = roomOf(shared)
  await make(server, {
    name: 'w',
    shape: [2, 3],
    partitions: [1, 3],
    initializer: { kind: 'ones' },
  })
  const early = await server.call('POST /v1/variables/w:assign_add', {
    json: [
      [1, 2, 3],
      [4, 5, 6],
    ],
  })
  t.equal(early.json.reason, 'variable/uninitialized')
  await server.call('POST /v1/variables/w:initialize')
  const headers = { 'idempotency-key': 'whole-once' }
  for (let time = 0; time < 2; time++) {
    const added = await server.call('POST /v1/variables/w:assign_add?return=value', {
      json: [
        [1, 2, 3],
        [4, 5, 6],
      ],
      headers,
    })
    t.match(added.json, {
      version: 6,
      value: [
        [2, 3, 4],
        [5, 6, 7],
      ],
    })
  }
  await server.call('POST /v1/variables/w:assign_sub', {
    json: [
      [1, 1, 1],
      [1, 1, 1],
    ],
  })
  t.same(await shownOf(server, 'w'), [
    [1, 2, 3],
    [4, 5, 6],
  ])
  const scatter = await server.call('POST /v1/variables/w:scatter_add', {
    json: { indices: [0], updates: [[1, 1, 1]] },
  })
  t.equal(scatter.status, 422)
  t.match(scatter.json, {
    reason: 'partition/not-one',
    names: { variable: 'w', parts: ['w/part_0', 'w/part_1', 'w/part_2'] },
  })
})

t.test('one key assigns to the whole once', async (t) => {
  const server = roomOf(shared)
  await make(server, { name: 'w', shape: [2], partitions: 2 })
  const headers = { 'idempotency-key': 'whole-a' }
  const first = await server.call('POST /v1/variables/w:assign', { json: [1, 2], headers })
  await server.call('POST /v1/variables/w:assign', { json: [3, 4] })
  const again = await server.call('POST /v1/variables/w:assign', { json: [1, 2], headers })
  t.same(again.json, first.json)
  t.same(await shownOf(server, 'w'), [3, 4])
  const other = await server.call('POST /v1/variables/w:assign', { json: [1, 3], headers })
  t.equal(other.json.reason, 'idempotency/mismatch')
})

t.test('writers of a whole and of its parts do not lose updates', async (t) => {
  const server = roomOf(shared)
  await make(server, { name: 'w', shape: [4], partitions: 2, initializer: { kind: 'zeros' } })
  await server.call('POST /v1/variables/w:initialize')
  const adds = Array.from({ length: 12 }, (_, index) =>
    index % 3 === 0
      ? server.call('POST /v1/variables/w/part_1:assign_add', { json: [10, 10] })
      : server.call('POST /v1/variables/w:assign_add', { json: [1, 1, 1, 1] }),
  )
  await Promise.all(adds)
  t.same(await shownOf(server, 'w'), [8, 8, 48, 48])
})

t.test('constants are cut, and drawn parts have the scale of the whole', async (t) => {
  const server = roomOf(shared)
  const value = [
    [1, 2, 3],
    [4, 5, 6],
  ]
  const made = await make(server, { name: 'c', partitions: [1, 3], initializer: { value } })
  t.match(made.json.initializer, { dtype: 'float32', shape: [2, 3] })
  await make(server, { name: 'e', partitions: 2, initializer: { initialized_value: 'd', mul: 2 } })
  t.equal((await server.call('GET /v1/variables/e')).status, 404)
  await make(server, { name: 'd', initializer: { dtype: 'int32', value: [1, 2, 3] } })
  await make(server, { name: 'e', partitions: 2, initializer: { initialized_value: 'd', mul: 2 } })
  await make(server, {
    name: 'i',
    shape: [3, 3],
    partitions: [1, 2],
    initializer: { kind: 'identity' },
  })
  const draw = { kind: 'glorot_uniform', seed: 3 }
  await make(server, { name: 'g', shape: [100, 4], partitions: 50, initializer: draw })
  const names = ['c', 'e', 'i', 'g']
  const { json } = await server.call('POST /v1/variables:initialize', { json: { names } })
  t.same(
    json.initialized.map(({ name }: { name: string }) => name),
    names,
  )
  t.same(await shownOf(server, 'c'), value)
  t.same(await shownOf(server, 'e'), [2, 4, 6])
  t.same(await shownOf(server, 'i'), [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ])
  const drawn = (await shownOf(server, 'g')).flat() as number[]
  const limit = Math.sqrt(6 / 104)
  t.ok(
    drawn.every((number) => Math.abs(number) <= limit),
    'by the fans of [100,4], not of [2,4]',
  )
  t.same(drawn.slice(0, 8), drawn.slice(8, 16), 'parts of one seed and shape are alike')
})

t.test('an expression takes the values of variables, not of wholes', async (t) => {
  const server = roomOf(shared)
  await make(server, { name: 'w', shape: [4], partitions: 2 })
  const refused = await make(server, { name: 'x', initializer: { initialized_value: 'w' } })
  t.match(refused.json, {
    reason: 'partition/not-one',
    names: { variable: 'w', parts: ['w/part_0', 'w/part_1'] },
  })
  await make(server, { name: 'x', initializer: { initialized_value: 'w/part_1', mul: 0 } })
  await server.call('POST /v1/variables/x:initialize')
  t.same(await shownOf(server, 'x'), [0, 0])
  t.same((await server.call('GET /v1/variables:uninitialized')).json.uninitialized, [
    'w/part_0',
    'w/part_1',
  ])
})

t.test(
  'the uninitialized are told in the order in which they joined their collections',
  async (t) => {
    const server = roomOf(shared)
    const local = { collections: ['local_variables'], trainable: false }
    await make(server, { name: 'b', shape: [], ...local })
    await make(server, { name: 'z', shape: [] })
    await make(server, { name: 'a', shape: [] })
    await make(server, { name: 'other', shape: [], collections: ['mine'] })
    const { json } = await server.call('GET /v1/variables:uninitialized')
    t.same(json.uninitialized, ['z', 'a', 'b'])
  },
)

t.test('reuse follows the rules for partitioned variables', async (t) => {
  const server = roomOf(shared)
  const ask = (json: object) => make(server, { name: 'w', shape: [4], ...json })
  await ask({ partitions: 2 })
  t.match((await ask({ partitions: 2, reuse: true })).json, { name: 'w', partitions: [2] })
  t.equal((await ask({ reuse: true })).status, 200)
  t.equal((await ask({ partitions: 2 })).json.reason, 'variable/already-exists')
  t.equal((await ask({ partitions: 4, reuse: 'auto' })).json.reason, 'variable/partitions-mismatch')
  t.equal((await ask({ reuse: 'auto' })).json.reason, 'variable/partitioned')
  t.equal((await ask({})).json.reason, 'variable/partitioned')
  await make(server, { name: 'plain', shape: [4] })
  const mixed = await make(server, { name: 'plain', shape: [4], partitions: 2 })
  t.equal(mixed.json.reason, 'variable/not-partitioned')
  t.equal(
    (await make(server, { name: 's', shape: [], partitions: 2 })).status,
    201,
    'scalars are whole',
  )
  t.equal((await make(server, { name: 'z', shape: [2, 2], partitions: [2, 2] })).status, 422)
})

t.test('PATCH changes all parts, DELETE deletes them, a part alone stays', async (t) => {
  const server = roomOf(shared)
  await make(server, { name: 'w', shape: [2], partitions: 2, device: '/job:ps/task:1' })
  const patched = await server.call('PATCH /v1/variables/w', {
    json: { trainable: false, collections: ['mine'], device: '/cpu:0' },
  })
  t.match(patched.json, {
    trainable: false,
    collections: ['mine'],
    device: '/job:ps/task:1/device:CPU:0',
    device_note: /kept as requested/,
  })
  t.match((await server.call('GET /v1/variables/w/part_1')).json, { collections: ['mine'] })
  const lone = await server.call('DELETE /v1/variables/w/part_0')
  t.equal(lone.status, 409)
  t.match(lone.json.names, { variable: 'w/part_0' })
  const stale = await server.call('DELETE /v1/variables/w', { headers: { 'if-match': '"9"' } })
  t.equal(stale.status, 412)
  const headers = { 'idempotency-key': 'whole-gone' }
  t.equal((await server.call('DELETE /v1/variables/w', { headers })).status, 204)
  t.equal((await server.call('DELETE /v1/variables/w', { headers })).status, 204)
  t.equal((await server.call('GET /v1/variables/w')).status, 404)
  t.same((await server.call('GET /v1/variables')).json.variables, [])
  const again = await make(server, { name: 'w', shape: [2], partitions: 2 })
  t.equal(again.status, 201)
})
