import t from 'tap'
import { byteSourceOf, openNpz, openSafetensors, tensorOfProto } from '../../formats/index.ts'
import { decodeTensorProto } from '../../proto/index.ts'
import { elementsOf, type NumericTensor } from '../../tensor/index.ts'
import { tools } from '../helper/tools.ts'
import { floats, type Reply, startServer, type TestServer } from './helper.ts'

const raw = { accept: 'application/octet-stream' }

/** A variable that has the value as its version 1. */
async function put(
  { call }: TestServer,
  name: string,
  dtype: string,
  value: unknown,
): Promise<void> {
  const initializer = { dtype, value }
  const made = await call('POST /v1/variables', { json: { name, initializer } })
  if (made.status !== 201) throw new Error(made.text)
  await assign(call, name, value)
}

async function assign(call: TestServer['call'], name: string, value: unknown): Promise<void> {
  const set = await call(`POST /v1/variables/${name}:assign`, { json: value })
  if (set.status !== 200) throw new Error(set.text)
}

/** float32 0, 1, 2, .. of so many elements, sent as raw bytes. */
async function putLarge({ call }: TestServer, name: string, shape: readonly number[]) {
  const count = shape.reduce((product, size) => product * size, 1)
  const bytes = new Uint8Array(Float32Array.from({ length: count }, (_, index) => index).buffer)
  await call('POST /v1/variables', { json: { name, shape } })
  const headers = { 'content-type': 'application/octet-stream' }
  const set = await call(`POST /v1/variables/${name}:assign`, { body: bytes, headers })
  if (set.status !== 200) throw new Error(set.text)
  return bytes
}

function floatsOf(reply: Reply): readonly number[] {
  return [...new Float32Array(reply.bytes.slice().buffer)]
}

t.test('slices over HTTP', async (t) => {
  const server = await startServer(t)
  const { call } = server
  await put(server, 'm', 'float32', [
    [0, 1, 2],
    [3, 4, 5],
  ])
  const slice = (text: string, headers = {}) =>
    call(`GET /v1/variables/m:read_value?slice=${encodeURIComponent(text)}`, { headers })

  t.test('a slice has a shape of its own, in every media type', async (t) => {
    const json = await slice('1, ::-1')
    t.match(json.json, { name: 'm', version: 1, dtype: 'float32', shape: [3], value: [5, 4, 3] })
    const bytes = await slice(':, 1', raw)
    t.same(floatsOf(bytes), [1, 4])
    t.equal(bytes.headers.get('x-tensor-shape'), '[2]')
    const npy = await slice('..., -1:', { accept: 'application/x-npy' })
    t.match(npy.text, "'shape': (2, 1)")
    t.same([...new Float32Array(npy.bytes.slice(-8).buffer)], [2, 5])
    const file = await slice('0', { accept: 'application/x-safetensors' })
    const [tensor] = (await openSafetensors(byteSourceOf(file.bytes))).tensors
    t.match(tensor, { name: 'm', shape: [3] })
    const proto = await slice('None, 1, 2', { accept: 'application/x-protobuf' })
    const decoded = tensorOfProto(decodeTensorProto(proto.bytes)) as NumericTensor
    t.same(decoded.shape, [1])
    t.same(elementsOf(decoded), [5])
    const base64 = await call('GET /v1/variables/m:read_value?slice=1,0&encoding=b64')
    t.match(base64.json, { shape: [], b64: Buffer.from(floats(3)).toString('base64') })
  })

  t.test('a range of a slice is a range of its bytes', async (t) => {
    const reply = await slice('::-1, ::2', { ...raw, range: 'bytes=4-11' })
    t.equal(reply.status, 206)
    t.equal(reply.headers.get('content-range'), 'bytes 4-11/16')
    t.same(floatsOf(reply), [5, 0])
  })

  t.test('strings are sliced too', async (t) => {
    await put(server, 's', 'string', [
      ['a', 'bc'],
      ['', 'd'],
    ])
    const reply = await call('GET /v1/variables/s:read_value?slice=:,1')
    t.match(reply.json, { dtype: 'string', shape: [2], value: ['bc', 'd'] })
    t.same((await call('GET /v1/variables/s:read_value?slice=2:')).json.value, [])
  })

  t.test('what does not fit is refused as NumPy would say it', async (t) => {
    const outside = await slice('0, 3')
    t.equal(outside.status, 400)
    t.equal(outside.json.reason, 'slice/out-of-bounds')
    t.match(outside.json.detail, 'index 3 is out of bounds for axis 1 with size 3')
    t.match((await slice('0,0,0')).json.detail, 'too many indices for array')
    const empty = await slice('')
    t.equal(empty.status, 400)
    t.equal(empty.json.reason, 'slice/invalid')
    t.match(empty.json.fix, 'slice=0:10')
  })

  t.test('a large value is sliced from its chunks', async (t) => {
    await putLarge(server, 'large', [1024, 1024])
    const row = await call('GET /v1/variables/large:read_value?slice=1023,-2:', { headers: raw })
    t.same(floatsOf(row), [1048574, 1048575])
    const column = await call('GET /v1/variables/large:read_value?slice=::-256,7', { headers: raw })
    t.same(
      floatsOf(column),
      [1023, 767, 511, 255].map((line) => line * 1024 + 7),
    )
    const refused = await call('GET /v1/variables/large:read_value')
    t.equal(refused.status, 413)
    t.match(refused.json.fix, '?slice=')
  })
})

t.test('the past', async (t) => {
  const server = await startServer(t)
  const { call } = server
  await put(server, 'w', 'int32', [1, 2])
  const saved = await call('POST /v1/checkpoints', { json: { labels: ['first'] } })
  await assign(call, 'w', [3, 4])
  await put(server, 'later', 'int32', 5)

  t.test('a value is read from a checkpoint by id, label and latest', async (t) => {
    for (const ref of [saved.json.id, 'first', 'latest']) {
      const reply = await call(`GET /v1/variables/w:read_value?checkpoint=${ref}`)
      t.match(reply.json, { name: 'w', checkpoint: saved.json.id, value: [1, 2] })
      t.notOk('version' in reply.json)
    }
    t.same((await call('GET /v1/variables/w:read_value')).json.value, [3, 4])
    const part = await call('GET /v1/variables/w:read_value?checkpoint=first&slice=-1')
    t.match(part.json, { shape: [], value: 2 })
    const tensor = await call('GET /v1/checkpoints/first/tensors/w?slice=:1')
    t.match(tensor.json, { name: 'w', checkpoint: saved.json.id, shape: [1], value: [1] })
    const both = await call('GET /v1/variables:read_values?names=w&checkpoint=first')
    t.match(both.json.values.w, { checkpoint: saved.json.id, value: [1, 2] })
  })

  t.test('what a checkpoint does not hold is said so', async (t) => {
    const missing = await call('GET /v1/variables/later:read_value?checkpoint=first')
    t.equal(missing.status, 404)
    t.equal(missing.json.reason, 'checkpoint/unknown-tensor')
    t.match(missing.json.detail, `Key later not found in checkpoint ${saved.json.id}`)
    const unknown = await call('GET /v1/variables/w:read_value?checkpoint=none')
    t.equal(unknown.json.reason, 'checkpoint/unknown')
    const both = await call('GET /v1/variables/w:read_value?checkpoint=first&min_version=1')
    t.equal(both.status, 400)
    t.match(both.json.detail, 'nothing to wait for')
  })
})

t.test('a read waits for a version', async (t) => {
  const server = await startServer(t)
  const { call } = server
  await put(server, 'w', 'int32', [1])
  const started = performance.now()
  const reading = call('GET /v1/variables/w:read_value?min_version=2')
  const readingMany = call('GET /v1/variables:read_values?names=w&min_version=2')
  await new Promise((resolve) => setTimeout(resolve, 50))
  await assign(call, 'w', [2])
  t.match((await reading).json, { version: 2, value: [2] })
  t.match((await readingMany).json.values.w, { version: 2, value: [2] })
  t.ok(performance.now() - started > 49)
  const late = await call('GET /v1/variables/w:read_value?min_version=9&timeout_ms=20')
  t.equal(late.status, 504)
  t.equal(late.json.reason, 'variable/version-not-reached')
  const bad = await call('GET /v1/variables/w:read_value?min_version=-1')
  t.equal(bad.status, 400)
})

t.test('statistics over HTTP', async (t) => {
  const server = await startServer(t)
  const { call } = server
  await put(server, 'w', 'float32', [
    [0.1, 'NaN', 0],
    ['-Infinity', 0.3, 0.2],
  ])

  t.test('figures of a value are told without it', async (t) => {
    const reply = await call('GET /v1/variables/w:statistics?bins=2')
    t.match(reply.json, {
      name: 'w',
      version: 1,
      dtype: 'float32',
      shape: [2, 3],
      of: 'elements',
      count: 6,
      zeros: 1,
      nans: 1,
      infinities: 1,
      negative_infinities: 1,
      min: 0,
      max: 0.3,
      histogram: { counts: [2, 2] },
    })
    t.ok(Math.abs(reply.json.mean - 0.15) < 1e-7)
    const again = { headers: { 'if-none-match': reply.headers.get('etag') ?? '' } }
    t.equal((await call('GET /v1/variables/w:statistics', again)).status, 304)
  })

  t.test('of a part, of the past, and of several', async (t) => {
    const part = await call('GET /v1/variables/w:statistics?slice=1,1:')
    t.match(part.json, { shape: [2], count: 2, min: 0.2, max: 0.3 })
    t.equal(part.json.histogram.counts.length, 10)
    await call('POST /v1/checkpoints', { json: { labels: ['a'] } })
    await assign(call, 'w', Array(2).fill([7, 7, 7]))
    t.match((await call('GET /v1/variables/w:statistics?checkpoint=a')).json, { nans: 1 })
    await put(server, 'long', 'int64', ['9007199254740993', -1])
    const both = await call('GET /v1/variables:statistics?names=w,long&bins=1')
    t.match(both.json.statistics, {
      w: { version: 2, mean: 7, std: 0, histogram: { counts: [6], edges: [6.5, 7.5] } },
      long: { min: -1, max: '9007199254740993' },
    })
  })

  t.test('large values, and what cannot be', async (t) => {
    await putLarge(server, 'large', [300_000])
    const reply = await call('GET /v1/variables/large:statistics?bins=3')
    t.match(reply.json, {
      count: 300_000,
      zeros: 1,
      min: 0,
      max: 299_999,
      mean: 149_999.5,
      histogram: { counts: [100_000, 100_000, 100_000] },
    })
    const bins = await call('GET /v1/variables/large:statistics?bins=5000')
    t.equal(bins.status, 400)
    t.equal(bins.json.reason, 'statistics/invalid')
    t.equal((await call('GET /v1/variables/none:statistics')).status, 404)
  })
})

t.test('several values come as JSON, safetensors or npz', async (t) => {
  const server = await startServer(t)
  const { call } = server
  await put(server, 'a', 'float32', [1, 2])
  await put(server, 'b/c', 'int64', [['9007199254740993']])
  const url = 'GET /v1/variables:read_values?names=a,b/c'
  const json = await call(url)
  t.match(json.json.values, { a: { value: [1, 2] }, 'b/c': { value: [['9007199254740993']] } })
  const file = await call(url, { headers: { accept: 'application/x-safetensors' } })
  const named = (await openSafetensors(byteSourceOf(file.bytes))).tensors.map(({ name }) => name)
  t.same(named.sort(), ['a', 'b/c'])
  const npz = await call(url, { headers: { accept: 'application/x-npz' } })
  t.equal(npz.headers.get('content-type'), 'application/x-npz')
  const arrays = await openNpz(byteSourceOf(npz.bytes), tools)
  t.same(
    arrays.tensors.map(({ name, dtype, shape }) => [name, dtype, shape]),
    [
      ['a', 'float32', [2]],
      ['b/c', 'int64', [1, 1]],
    ],
  )
  const neither = await call(url, { headers: { accept: 'text/csv' } })
  t.equal(neither.status, 406)
})

t.test('ranges and conditions follow RFC 9110', async (t) => {
  const server = await startServer(t)
  const { call } = server
  await put(server, 'small', 'uint8', [10, 11, 12, 13, 14, 15, 16, 17])
  const large = await putLarge(server, 'large', [3 * 2 ** 18])
  const get = (headers: Readonly<Record<string, string>>, name = 'small') =>
    call(`GET /v1/variables/${name}:read_value`, { headers: { ...raw, ...headers } })

  t.test('one range gives exactly its bytes', async (t) => {
    const ranges: readonly (readonly [string, readonly number[], string])[] = [
      ['bytes=2-4', [12, 13, 14], 'bytes 2-4/8'],
      ['bytes=6-', [16, 17], 'bytes 6-7/8'],
      ['bytes=-3', [15, 16, 17], 'bytes 5-7/8'],
      ['bytes=-100', [10, 11, 12, 13, 14, 15, 16, 17], 'bytes 0-7/8'],
      ['bytes=7-99999999999999999999', [17], 'bytes 7-7/8'],
      ['BYTES=0-0', [10], 'bytes 0-0/8'],
      ['bytes=,1-1,', [11], 'bytes 1-1/8'],
    ]
    for (const [range, bytes, said] of ranges) {
      const reply = await get({ range })
      t.equal(reply.status, 206, range)
      t.same([...reply.bytes], bytes, range)
      t.equal(reply.headers.get('content-range'), said)
    }
    const across = await get({ range: `bytes=${2 ** 20 - 2}-${2 ** 20 + 1}` }, 'large')
    t.same(across.bytes, large.slice(2 ** 20 - 2, 2 ** 20 + 2), 'over the border of two chunks')
  })

  t.test('a range past the end is refused with the length', async (t) => {
    for (const range of ['bytes=8-', 'bytes=9-12', 'bytes=-0', 'bytes=99999999999999999999-']) {
      const reply = await get({ range })
      t.equal(reply.status, 416, range)
      t.equal(reply.headers.get('content-range'), 'bytes */8')
    }
  })

  t.test('several ranges, other units and what is no range give all', async (t) => {
    for (const range of [
      'bytes=0-1,3-4',
      'bytes=0-4,2-6',
      'items=0-1',
      'bytes=5-2',
      'bytes=',
      'x',
    ]) {
      const reply = await get({ range })
      t.equal(reply.status, 200, range)
      t.equal(reply.bytes.byteLength, 8)
    }
  })

  t.test('a range counts only while If-Range names the present etag', async (t) => {
    const range = 'bytes=0-1'
    t.equal((await get({ range, 'if-range': '"1"' })).status, 206)
    for (const other of ['"0"', 'W/"1"', 'Sun, 22 Nov 2026 20:00:00 GMT']) {
      const reply = await get({ range, 'if-range': other })
      t.equal(reply.status, 200, other)
      t.equal(reply.bytes.byteLength, 8)
    }
  })

  t.test('If-None-Match answers 304 to an etag that is listed, weak or strong', async (t) => {
    for (const tag of ['"1"', 'W/"1"', '"7", "1"', '*']) {
      const reply = await get({ 'if-none-match': tag })
      t.equal(reply.status, 304, tag)
      t.equal(reply.headers.get('etag'), '"1"')
      t.equal(reply.bytes.byteLength, 0)
    }
    t.equal((await get({ 'if-none-match': '"2"' })).status, 200)
    const first = await get({ 'if-none-match': '"1"', range: 'bytes=99-' })
    t.equal(first.status, 304, 'comes before the range')
  })

  t.test('HEAD says what GET would, and sends nothing', async (t) => {
    for (const name of ['small', 'large']) {
      const head = await call(`HEAD /v1/variables/${name}:read_value`, { headers: raw })
      const whole = await get({}, name)
      t.equal(head.status, 200)
      t.equal(head.bytes.byteLength, 0)
      for (const header of ['content-length', 'content-type', 'etag', 'x-tensor-shape', 'vary']) {
        t.equal(head.headers.get(header), whole.headers.get(header), `${name} ${header}`)
      }
      t.equal(whole.bytes.byteLength, Number(whole.headers.get('content-length')))
    }
  })

  t.test('a range of a file is a range of the file, head included', async (t) => {
    const accept = 'application/x-npy'
    const whole = await call('GET /v1/variables/small:read_value', { headers: { accept } })
    for (const [from, to] of [
      [0, 9],
      [120, 130],
      [130, 135],
    ]) {
      const range = `bytes=${from}-${to}`
      const part = await call('GET /v1/variables/small:read_value', { headers: { accept, range } })
      t.equal(part.status, 206)
      t.same(part.bytes, whole.bytes.slice(from, to + 1), range)
    }
  })

  t.test('a value in memory is sent with the same head as one that is not', async (t) => {
    const first = await get({})
    const second = await get({})
    t.same(second.bytes, first.bytes)
    const names = ['content-type', 'etag', 'vary', 'accept-ranges', 'x-variable-version']
    for (const name of [...names, 'x-tensor-dtype', 'x-tensor-shape', 'content-length']) {
      t.ok(first.headers.get(name), name)
      t.equal(second.headers.get(name), first.headers.get(name), name)
    }
    await assign(call, 'small', [9, 9, 9, 9, 9, 9, 9, 9])
    t.same([...(await get({})).bytes], [9, 9, 9, 9, 9, 9, 9, 9])
  })
})
