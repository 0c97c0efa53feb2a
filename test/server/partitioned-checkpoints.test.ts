import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  byteSourceOf,
  type OutputFile,
  openTar,
  writeBundle,
  writeTar,
} from '../../formats/index.ts'
import { bytesOfChunks, tools } from '../helper/tools.ts'
import { startServer, type TestServer } from './helper.ts'
import { roomOf } from './room.ts'

const shared = await startServer(t)

type Wanted = Readonly<Record<string, unknown>>

async function make(server: TestServer, name: string, json: Wanted, value?: unknown) {
  const made = await server.call('POST /v1/variables', { json: { name, ...json } })
  assert.equal(made.status, 201, made.text)
  if (value === undefined) return
  const written = await server.call(`POST /v1/variables/${name}:assign`, { json: value })
  assert.equal(written.status, 200, written.text)
}

async function shownOf(server: TestServer, name: string): Promise<unknown> {
  return (await server.call(`GET /v1/variables/${name}:read_value`)).json.value
}

async function save(server: TestServer, json: Wanted = {}): Promise<string> {
  const saved = await server.call('POST /v1/checkpoints', { json })
  assert.equal(saved.status, 201, saved.text)
  return saved.json.id
}

async function namesIn(server: TestServer, id: string, query = ''): Promise<readonly string[]> {
  const { json } = await server.call(`GET /v1/checkpoints/${id}${query}`)
  return json.tensors.map(({ name }: { name: string }) => name)
}

const matrix = [
  [0, 1, 2],
  [3, 4, 5],
]
const columns = { shape: [2, 3], partitions: [1, 2] }

t.test('a checkpoint shows the whole, and keeps the parts', async (t) => {
  const server = roomOf(shared)
  await make(server, 'w', columns, matrix)
  await make(server, 'x', { shape: [1] }, [7])
  const id = await save(server)
  const { json } = await server.call(`GET /v1/checkpoints/${id}`)
  t.equal(json.tensor_count, 3)
  t.match(json.tensors, [
    {
      name: 'w',
      shape: [2, 3],
      nbytes: 24,
      sha256: null,
      parts: [
        { name: 'w/part_0', offset: [0, 0], shape: [2, 2], nbytes: 16 },
        { name: 'w/part_1', offset: [0, 2], shape: [2, 1], nbytes: 8 },
      ],
    },
    { name: 'x', sha256: /^[0-9a-f]{64}$/ },
  ])
  const paged = await server.call(`GET /v1/checkpoints/${id}?limit=1`)
  t.equal(paged.json.tensors.length, 1)
  t.same(await namesIn(server, id, `?limit=1&cursor=${encodeURIComponent(paged.json.cursor)}`), [
    'x',
  ])
  const whole = await server.call(`GET /v1/checkpoints/${id}/tensors/w`)
  t.same(whole.json.value, matrix)
  const part = await server.call(`GET /v1/checkpoints/${id}/tensors/w/part_1`)
  t.same(part.json.value, [[2], [5]])
  const cut = await server.call(`GET /v1/checkpoints/${id}/tensors/w?slice=1`)
  t.same(cut.json.value, [3, 4, 5])
  const past = await server.call(`GET /v1/variables/w:read_value?checkpoint=${id}`)
  t.same(past.json.value, matrix)
})

t.test('names and rename take the whole; a part saved alone is a tensor of its own', async (t) => {
  const server = roomOf(shared)
  await make(server, 'w', columns, matrix)
  t.same(await namesIn(server, await save(server, { names: ['w'] })), ['w'])
  const renamed = await save(server, { rename: { other: 'w' } })
  t.same(await namesIn(server, renamed), ['other'])
  const tensor = await server.call(`GET /v1/checkpoints/${renamed}/tensors/other`)
  t.same(tensor.json.value, matrix)
  t.same(await namesIn(server, await save(server, { names: ['w/part_1'] })), ['w/part_1'])
})

t.test(
  'stored wholes and slices fit whole and partitioned variables in any combination',
  async (t) => {
    const server = roomOf(shared)
    await make(server, 'a', columns, matrix)
    await make(server, 'b', { shape: [2, 3] }, matrix)
    const id = await save(server)
    await server.call('DELETE /v1/variables/a')
    await server.call('DELETE /v1/variables/b')
    for (const form of [
      columns,
      { shape: [2, 3] },
      { shape: [2, 3], partitions: 2 },
      { shape: [2, 3], partitions: [1, 3] },
    ]) {
      await make(server, 'a', form)
      await make(server, 'b', form)
      const restored = await server.call(`POST /v1/checkpoints/${id}:restore`, { json: {} })
      t.equal(restored.status, 200, restored.text)
      t.same(restored.json.restored, ['a', 'b'])
      t.same(restored.json.missing, [])
      t.same(Object.keys(restored.json.versions).sort(), ['a', 'b'])
      t.same(await shownOf(server, 'a'), matrix)
      t.same(await shownOf(server, 'b'), matrix)
      const { json } = await server.call('GET /v1/variables/a')
      t.equal(restored.json.versions.a, json.version)
      await server.call('DELETE /v1/variables/a')
      await server.call('DELETE /v1/variables/b')
    }
  },
)

t.test('restoring into the same partitions only points: no bytes are written', async (t) => {
  const server = roomOf(shared)
  const big = { shape: [64, 1024], partitions: 2, initializer: { kind: 'ones' } }
  await make(server, 'w', big)
  await server.call('POST /v1/variables/w:initialize')
  const before = await digests(server)
  const id = await save(server)
  await server.call('POST /v1/variables/w:assign', {
    body: new Uint8Array(64 * 1024 * 4).fill(63),
    headers: { 'content-type': 'application/octet-stream' },
  })
  t.notSame(await digests(server), before)
  const { looseBytes, packBytes } = await server.service.storeStatus()
  await server.call(`POST /v1/checkpoints/${id}:restore`, { json: {} })
  t.same(await digests(server), before)
  t.match(await server.service.storeStatus(), { looseBytes, packBytes })
})

async function digests(server: TestServer): Promise<readonly string[]> {
  const parts = ['w/part_0', 'w/part_1'].map((name) => server.call(`GET /v1/variables/${name}`))
  return (await Promise.all(parts)).map(({ json }) => json.sha256)
}

t.test(
  'what does not fit is reported under the name of the whole, and nothing is restored',
  async (t) => {
    const server = roomOf(shared)
    await make(server, 'w', columns, matrix)
    await make(server, 'u', { shape: [2], partitions: 2 }, [1, 2])
    const id = await save(server)
    await server.call('DELETE /v1/variables/w')
    await make(server, 'w', { shape: [3, 3], partitions: 3 })
    const strict = await server.call(`POST /v1/checkpoints/${id}:restore`, { json: {} })
    t.equal(strict.status, 409)
    t.same(strict.json.names.shape_mismatches, ['w'])
    const dry = await server.call(`POST /v1/checkpoints/${id}:restore`, { json: { dry_run: true } })
    t.match(dry.json, {
      restored: ['u'],
      shape_mismatches: [{ name: 'w', expected: '[3,3]', found: '[2,3]' }],
    })
    await make(server, 'new', { shape: [2], partitions: 2 })
    await make(server, 'plain', { shape: [2] })
    const lenient = await server.call(`POST /v1/checkpoints/${id}:restore`, {
      json: { strict: false },
    })
    t.match(lenient.json, { restored: ['u'], missing: ['new', 'plain'] })
  },
)

t.test(
  'create makes a partitioned variable of slices, and restores it under another name',
  async (t) => {
    const server = roomOf(shared)
    await make(server, 'w', columns, matrix)
    const id = await save(server)
    const made = await server.call(`POST /v1/checkpoints/${id}:restore`, {
      json: { rename: { w: 'copy' }, scope: 'there', create: true },
    })
    t.match(made.json, { created: ['there/copy'], versions: { 'there/copy': 2 } })
    const { json } = await server.call('GET /v1/variables/there/copy')
    t.match(json, { partitions: [1, 2], parts: ['there/copy/part_0', 'there/copy/part_1'] })
    t.same(await shownOf(server, 'there/copy'), matrix)
    const parts = await server.call(`POST /v1/checkpoints/${id}:restore`, {
      json: { names: ['w/part_0'], rename: { 'w/part_0': 'alone' }, create: true },
    })
    t.same(parts.json.created, ['alone'])
    t.same(await shownOf(server, 'alone'), [
      [0, 1],
      [3, 4],
    ])
  },
)

t.test('strings in parts are saved and restored, cut otherwise too', async (t) => {
  const server = roomOf(shared)
  const words = [
    ['a', 'bb'],
    ['', 'dddd'],
  ]
  await make(server, 's', { shape: [2, 2], dtype: 'string', partitions: 2 }, words)
  const id = await save(server)
  await server.call('DELETE /v1/variables/s')
  await make(server, 's', { shape: [2, 2], dtype: 'string', partitions: [1, 2] })
  await server.call(`POST /v1/checkpoints/${id}:restore`, { json: {} })
  t.same(await shownOf(server, 's'), words)
  const file = await server.call(`GET /v1/checkpoints/${id}:download?format=tensorflow`)
  const again = await upload(server, file.bytes)
  t.same((await server.call(`GET /v1/checkpoints/${again}/tensors/s`)).json.value, words)
})

async function upload(server: TestServer, body: Uint8Array): Promise<string> {
  const headers = { 'content-type': 'application/x-tar' }
  const reply = await server.call('POST /v1/checkpoints:upload', { body, headers })
  assert.equal(reply.status, 201, reply.text)
  return reply.json.id
}

const golden = join(import.meta.dirname, '../golden/checkpoints/partitioned')
const goldenNames = ['model.ckpt-7.data-00000-of-00001', 'model.ckpt-7.index', 'checkpoint']

async function goldenTar(): Promise<Uint8Array> {
  const files = goldenNames.map((name): OutputFile => {
    const bytes = new Uint8Array(readFileSync(join(golden, name)))
    return {
      name,
      byteLength: bytes.byteLength,
      async *chunks() {
        yield bytes
      },
    }
  })
  return bytesOfChunks(writeTar(files).chunks())
}

t.test(
  'what TensorFlow saved in slices comes in as slices and goes out byte for byte',
  async (t) => {
    const server = roomOf(shared)
    const id = await upload(server, await goldenTar())
    t.same(await namesIn(server, id), ['p/emb', 'plain', 'q/w'])
    const made = await shared.call(`POST /v1/checkpoints/${id}:restore?container=c`, {
      json: { create: true },
    })
    t.equal(made.status, 200, made.text)
    const { json } = await shared.call('GET /v1/variables/p/emb?container=c')
    t.match(json, { shape: [10, 4], initialized: true })
    t.ok(json.parts.length > 1)
    const saved = await shared.call('POST /v1/checkpoints?container=c', { json: { step: 7 } })
    const file = await server.call(
      `GET /v1/checkpoints/${saved.json.id}:download?format=tensorflow`,
    )
    const files = await openTar(byteSourceOf(file.bytes), { maxMembers: 10, maxUnpackedBytes: 1e6 })
    for (const name of goldenNames.slice(0, 2)) {
      const source = files.open(name)
      const bytes = await source.read(0, source.byteLength)
      t.same(Buffer.from(bytes), readFileSync(join(golden, name)), name)
    }
  },
)

/** A bundle of `w`, [[0, 1], [2, 3]], in four slices of one element each. */
async function tiledTar(): Promise<Uint8Array> {
  const bytes = Uint8Array.of(0, 1, 2, 3)
  const streamOf = (shape: readonly number[], piece: Uint8Array) => ({
    name: 'w',
    dtype: 'uint8' as const,
    shape,
    byteLength: piece.byteLength,
    async *chunks() {
      yield piece
    },
  })
  const slices = [0, 1, 2, 3].map((place) => ({
    starts: [place >> 1, place & 1],
    ...streamOf([1, 1], bytes.subarray(place, place + 1)),
  }))
  const bundle = await writeBundle('m', [{ ...streamOf([2, 2], bytes), slices }], tools)
  return bytesOfChunks(writeTar(bundle).chunks())
}

t.test('slices along two axes are one tensor too, though no partitioning gives them', async (t) => {
  const server = roomOf(shared)
  const id = await upload(server, await tiledTar())
  const { json } = await server.call(`GET /v1/checkpoints/${id}`)
  t.match(json.tensors, [{ name: 'w', shape: [2, 2], nbytes: 4 }])
  t.equal(json.tensors[0].parts.length, 4)
  const made = await server.call(`POST /v1/checkpoints/${id}:restore`, { json: { create: true } })
  t.same(made.json.created, ['w'])
  t.notOk('parts' in (await server.call('GET /v1/variables/w')).json)
  t.same(await shownOf(server, 'w'), [
    [0, 1],
    [2, 3],
  ])
  await server.call('DELETE /v1/variables/w')
  await make(server, 'w', { shape: [2, 2], dtype: 'uint8', partitions: 2 })
  await server.call(`POST /v1/checkpoints/${id}:restore`, { json: {} })
  t.same(await shownOf(server, 'w/part_1'), [[2, 3]])
})

t.test('safetensors and npz hold the whole', async (t) => {
  const server = roomOf(shared)
  await make(server, 'w', columns, matrix)
  const id = await save(server)
  for (const format of ['safetensors', 'npz']) {
    const file = await server.call(`GET /v1/checkpoints/${id}:download?format=${format}`)
    const headers = { 'content-type': `application/x-${format}` }
    const again = await server.call('POST /v1/checkpoints:upload', { body: file.bytes, headers })
    t.same(await namesIn(server, again.json.id), ['w'])
    const tensor = await server.call(`GET /v1/checkpoints/${again.json.id}/tensors/w`)
    t.same(tensor.json.value, matrix, format)
  }
})
