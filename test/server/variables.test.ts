import t from 'tap'
import { floats, startServer } from './helper.ts'

t.test('variables over HTTP', async (t) => {
  const { call } = await startServer(t)

  t.test('a variable is made uninitialized, with the defaults of get_variable', async (t) => {
    const made = await call('POST /v1/variables', { json: { name: 'dense/kernel', shape: [2, 3] } })
    t.equal(made.status, 201)
    t.match(made.json, {
      name: 'dense/kernel',
      container: '',
      dtype: 'float32',
      shape: [2, 3],
      trainable: true,
      collections: ['variables', 'trainable_variables'],
      initializer: { kind: 'glorot_uniform' },
      initialized: false,
      version: 0,
      nbytes: 0,
      sha256: null,
    })
    const read = await call('GET /v1/variables/dense/kernel:read_value')
    t.equal(read.status, 409)
    t.equal(read.json.detail, 'Attempting to use uninitialized value dense/kernel')
    t.equal(read.json.code, 'FAILED_PRECONDITION')
  })

  t.test('reuse follows TensorFlow: false creates, true finds, auto does either', async (t) => {
    const create = (body: object) => call('POST /v1/variables', { json: { name: 'r', ...body } })
    const absent = await create({ shape: [2], reuse: true })
    t.equal(absent.status, 404)
    t.equal(absent.json.reason, 'variable/does-not-exist')
    t.match(
      absent.json.detail,
      'Variable r does not exist, or was not created with tf.get_variable()',
    )
    t.equal((await create({ shape: [2], reuse: 'auto' })).status, 201)
    t.equal((await create({ shape: [2], reuse: 'auto' })).status, 200)
    t.equal((await create({ shape: [2], reuse: true })).status, 200)
    const again = await create({ shape: [2] })
    t.equal(again.status, 409)
    t.equal(again.json.reason, 'variable/already-exists')
    t.match(again.json.detail, 'Variable r already exists, disallowed.')
    const otherShape = await create({ shape: [3, 1], reuse: true })
    t.equal(otherShape.status, 422)
    t.equal(otherShape.json.reason, 'variable/shape-mismatch')
    t.equal(
      otherShape.json.detail,
      'Trying to share variable r, but specified shape (3, 1) and found shape (2,).',
    )
    const otherType = await create({ shape: [2], dtype: 'int32', reuse: true })
    t.equal(
      otherType.json.detail,
      'Trying to share variable r, but specified dtype int32 and found dtype float32.',
    )
  })

  t.test('a shape that is not fully known is refused unless validate_shape is false', async (t) => {
    const create = (body: object) => call('POST /v1/variables', { json: body })
    const refused = await create({ name: 'p', shape: [-1, 2] })
    t.equal(refused.status, 422)
    t.equal(refused.json.reason, 'initializer/not-valid')
    const made = await create({ name: 'p', shape: [-1, 2], validate_shape: false })
    t.equal(made.status, 201)
    t.same(made.json.shape, [-1, 2])
    const fits = await call('POST /v1/variables/p:assign', { json: [[1, 2]] })
    t.equal(fits.status, 200)
    t.equal((await call('POST /v1/variables/p:assign', { json: [1, 2] })).status, 422)
    t.equal((await call('POST /v1/variables/p:initialize')).json.reason, 'variable/no-initializer')
  })

  t.test('a constant tensor fixes shape and dtype', async (t) => {
    const json = { name: 'c', initializer: { dtype: 'int64', value: [[1, '9007199254740993']] } }
    const made = await call('POST /v1/variables', { json })
    t.equal(made.status, 201)
    t.match(made.json, { dtype: 'int64', shape: [1, 2] })
    t.equal((await call('POST /v1/variables/c:initialize')).json.version, 1)
    const read = await call('GET /v1/variables/c:read_value')
    t.same(read.json.value, [[1, '9007199254740993']], 'no 64-bit integer loses a digit')
    const both = { name: 'd', shape: [1], initializer: { dtype: 'int64', value: [1] } }
    const refused = await call('POST /v1/variables', { json: both })
    t.equal(refused.json.detail, 'If initializer is a constant, do not specify shape.')
    const clash = { name: 'd', dtype: 'float32', initializer: { dtype: 'int64', value: [1] } }
    t.match(
      (await call('POST /v1/variables', { json: clash })).json.detail,
      "Initializer type '<dtype: 'int64'>' and explicit dtype '<dtype: 'float32'>' don't match.",
    )
  })

  t.test('initializing many is one commit, and can leave the initialized alone', async (t) => {
    const container = '?container=many'
    for (const [name, kind] of [
      ['z', 'zeros'],
      ['o', 'ones'],
    ]) {
      const json = { name, shape: [2], initializer: { kind } }
      await call(`POST /v1/variables${container}`, { json })
    }
    const listed = await call(`GET /v1/variables:uninitialized${container}`)
    t.same(listed.json.uninitialized.sort(), ['o', 'z'])
    await call(`POST /v1/variables/z:assign${container}`, { json: [5, 5] })
    const json = { only_uninitialized: true }
    const done = await call(`POST /v1/variables:initialize${container}`, { json })
    t.same(
      done.json.initialized.map((one: { name: string }) => one.name),
      ['o'],
    )
    t.same((await call(`GET /v1/variables/z:read_value${container}`)).json.value, [5, 5])
    await call(`POST /v1/variables:initialize${container}`)
    t.same((await call(`GET /v1/variables/z:read_value${container}`)).json.value, [0, 0])
    const unknown = await call(`POST /v1/variables:initialize${container}`, {
      json: { names: ['q'] },
    })
    t.equal(unknown.status, 404)
  })

  t.test('seeded draws are the same each time, unseeded ones are not', async (t) => {
    const value = async (name: string, initializer: object) => {
      await call('POST /v1/variables', { json: { name, shape: [8], initializer } })
      await call(`POST /v1/variables/${name}:initialize`)
      return (await call(`GET /v1/variables/${name}:read_value`)).json.value
    }
    const seeded = { kind: 'random_normal', seed: 7 }
    t.same(await value('s1', seeded), await value('s2', seeded))
    t.notSame(
      await value('s3', { kind: 'random_normal' }),
      await value('s4', { kind: 'random_normal' }),
    )
  })

  t.test('a listing is filtered and paged', async (t) => {
    for (const name of ['l/a', 'l/b', 'l/c', 'm/a']) {
      const json = {
        name,
        shape: [],
        dtype: name === 'l/c' ? 'int32' : 'float32',
        trainable: name !== 'l/b',
      }
      await call('POST /v1/variables?container=list', { json })
    }
    await call('POST /v1/variables/l/a:assign?container=list', { json: 1 })
    const names = async (query: string) =>
      (await call(`GET /v1/variables?container=list&${query}`)).json.variables.map(
        (one: { name: string }) => one.name,
      )
    t.same(await names('scope=l'), ['l/a', 'l/b', 'l/c'])
    t.same(await names('prefix=m'), ['m/a'])
    t.same(await names('dtype=DT_INT32'), ['l/c'])
    t.same(await names('trainable=false'), ['l/b'])
    t.same(await names('initialized=true'), ['l/a'])
    t.same(await names('collection=trainable_variables&scope=l'), ['l/a', 'l/c'])
    const first = await call('GET /v1/variables?container=list&limit=3')
    t.equal(first.json.variables.length, 3)
    t.type(first.json.cursor, 'string')
    const rest = await call(
      `GET /v1/variables?container=list&limit=3&cursor=${encodeURIComponent(first.json.cursor)}`,
    )
    t.equal(rest.json.variables.length, 1)
    t.equal(rest.json.cursor, null)
  })

  t.test('metadata changes, and a deleted variable never gives its versions again', async (t) => {
    await call('POST /v1/variables', { json: { name: 'w', shape: [1] } })
    const assigned = await call('POST /v1/variables/w:assign', { json: [1] })
    const changed = await call('PATCH /v1/variables/w', {
      json: { trainable: false, collections: ['variables', 'mine'], device: 'cpu:0' },
    })
    t.match(changed.json, {
      trainable: false,
      collections: ['variables', 'mine'],
      device: '/device:CPU:0',
    })
    t.equal((await call('DELETE /v1/variables/w')).status, 204)
    t.equal((await call('GET /v1/variables/w')).status, 404)
    await call('POST /v1/variables', { json: { name: 'w', shape: [1] } })
    const later = await call('POST /v1/variables/w:assign', { json: [1] })
    t.ok(later.json.version > assigned.json.version)
  })

  t.test('If-Match lets a write through only at the version that it names', async (t) => {
    await call('POST /v1/variables', { json: { name: 'm', shape: [1] } })
    const first = await call('POST /v1/variables/m:assign', { json: [1] })
    const write = (etag: string) =>
      call('POST /v1/variables/m:assign', { json: [2], headers: { 'if-match': etag } })
    const stale = await write('"999"')
    t.equal(stale.status, 412)
    t.equal(stale.json.reason, 'variable/version-mismatch')
    t.equal((await write(`W/${first.json.etag}`)).status, 412, 'a weak etag matches nothing')
    t.equal((await write('nonsense')).status, 400)
    t.equal((await write(`"0", ${first.json.etag}`)).status, 200)
    t.equal((await write(first.json.etag)).status, 412)
    t.equal((await write('*')).status, 200)
    const removal = await call('DELETE /v1/variables/m', { headers: { 'if-match': '"1"' } })
    t.equal(removal.status, 412)
  })

  t.test('of many writers with one etag exactly one gets through', async (t) => {
    await call('POST /v1/variables', { json: { name: 'race', shape: [] } })
    const { etag } = (await call('POST /v1/variables/race:assign', { json: 0 })).json
    const statuses = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const headers = { 'if-match': etag }
        return (await call('POST /v1/variables/race:assign', { json: index, headers })).status
      }),
    )
    t.same(statuses.sort(), [200, 412, 412, 412, 412, 412, 412, 412])
  })

  t.test('a repeated Idempotency-Key does not write twice', async (t) => {
    await call('POST /v1/variables', { json: { name: 'once', shape: [] } })
    await call('POST /v1/variables/once:assign', { json: 1 })
    const headers = { 'idempotency-key': 'k1' }
    const add = (json: unknown) => call('POST /v1/variables/once:assign_add', { json, headers })
    const first = await add(10)
    const again = await add(10)
    t.equal(first.status, 200)
    t.same(again.json, first.json)
    t.equal((await call('GET /v1/variables/once:read_value')).json.value, 11)
    const other = await add(20)
    t.equal(other.status, 422)
    t.equal(other.json.reason, 'idempotency/mismatch')
  })

  t.test('a creation sent again answers as the first time, whatever became of it', async (t) => {
    const creations = [
      { name: 'made_once', shape: [2], initializer: { kind: 'ones' } },
      { name: 'parts_once', shape: [4], partitions: [2], initializer: { kind: 'zeros' } },
    ]
    for (const json of creations) {
      const headers = { 'idempotency-key': `make ${json.name}` }
      const create = () => call('POST /v1/variables', { json, headers })
      const first = await create()
      t.equal(first.status, 201)
      await call(`POST /v1/variables/${json.name}:initialize`)
      const later = await create()
      t.same([later.status, later.json], [201, first.json])
      t.equal((await call(`DELETE /v1/variables/${json.name}`)).status, 204)
      const gone = await create()
      t.same([gone.status, gone.json], [201, first.json])
      t.equal((await call(`GET /v1/variables/${json.name}`)).status, 404)
    }
  })

  t.test('while the first request of a key is under way, another is told to wait', async (t) => {
    await call('POST /v1/variables', { json: { name: 'busy', shape: [] } })
    const headers = { 'idempotency-key': 'k2' }
    const statuses = await Promise.all(
      [1, 1, 1, 1].map(
        async (json) => (await call('POST /v1/variables/busy:assign', { json, headers })).status,
      ),
    )
    t.ok(statuses.includes(200))
    t.ok(statuses.every((status) => status === 200 || status === 409))
    t.equal((await call('GET /v1/variables/busy')).json.version, 1)
  })

  t.test('assign_add and assign_sub lose no update', async (t) => {
    await call('POST /v1/variables', { json: { name: 'sum', shape: [2] } })
    const early = await call('POST /v1/variables/sum:assign_add', { json: [1, 1] })
    t.equal(early.status, 409)
    t.equal(early.json.detail, 'Attempting to use uninitialized parameters: sum')
    await call('POST /v1/variables/sum:assign', { json: [0, 100] })
    await Promise.all([
      ...Array.from({ length: 5 }, () =>
        call('POST /v1/variables/sum:assign_add', { json: [1, 2] }),
      ),
      ...Array.from({ length: 3 }, () =>
        call('POST /v1/variables/sum:assign_sub', {
          body: floats(0.5, 1),
          headers: { 'content-type': 'application/octet-stream' },
        }),
      ),
    ])
    t.same((await call('GET /v1/variables/sum:read_value')).json.value, [3.5, 107])
    const shape = await call('POST /v1/variables/sum:assign_add', { json: [1] })
    t.equal(shape.status, 422)
  })

  t.test('several values are read from one snapshot', async (t) => {
    for (const name of ['pair/a', 'pair/b']) {
      await call('POST /v1/variables', { json: { name, shape: [1] } })
      await call(`POST /v1/variables/${name}:assign`, { json: [name.length] })
    }
    const read = await call('GET /v1/variables:read_values?names=pair/b,pair/a')
    t.same(Object.keys(read.json.values), ['pair/b', 'pair/a'])
    t.match(read.json.values['pair/a'], { version: 1, dtype: 'float32', value: [6] })
    t.equal((await call('GET /v1/variables:read_values?names=pair/a,none')).status, 404)
    t.equal((await call('GET /v1/variables:read_values?names=')).status, 400)
  })

  t.test('containers keep equal names apart and are listed', async (t) => {
    for (const container of ['', 'blue', 'models/x']) {
      await call(`POST /v1/variables?container=${container}`, { json: { name: 'same', shape: [] } })
      await call(`POST /v1/variables/same:assign?container=${container}`, {
        json: container.length,
      })
    }
    t.equal((await call('GET /v1/variables/same:read_value?container=models/x')).json.value, 8)
    t.equal((await call('GET /v1/variables/same:read_value')).json.value, 0)
    const { containers } = (await call('GET /v1/containers')).json
    t.ok(['', 'blue', 'models/x'].every((one) => containers.includes(one)))
    t.equal((await call('DELETE /v1/containers/models/x')).status, 204)
    t.equal((await call('GET /v1/variables/same?container=models/x')).status, 404)
    t.equal((await call('GET /v1/variables/same?container=blue')).status, 200)
    t.equal((await call('DELETE /v1/containers/models/x')).status, 404)
  })
})
