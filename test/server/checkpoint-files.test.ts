import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import {
  byteSourceOf,
  openCheckpoint,
  openNpz,
  openSafetensors,
  openTar,
  type SlicedTensorStream,
  writeBundle,
  writeSafetensors,
  writeTar,
} from '../../formats/index.ts'
import { writeZip } from '../../formats/zip-writer.ts'
import { encode } from '../../proto/index.ts'
import { packStrings, stringTensor, type TensorStream, unpackStrings } from '../../tensor/index.ts'
import { entryOf, filesOf } from '../formats/bundle-parts.ts'
import { fileOf, floats as floats32 } from '../formats/v1-parts.ts'
import {
  describe,
  type RecordedCheckpoint,
  recordedCheckpoints,
} from '../helper/recorded-checkpoints.ts'
import { sharedFolder } from '../helper/shared.ts'
import { bytesOfChunks, sha256, sha256OfChunks, tools } from '../helper/tools.ts'
import { type Reply, startServer } from './helper.ts'

const server = await startServer(t)
const { call } = server

function outputsOf(files: Readonly<Record<string, Uint8Array>>) {
  return Object.entries(files).map(([name, bytes]) => ({
    ...{ name, byteLength: bytes.byteLength },
    async *chunks() {
      yield bytes
    },
  }))
}

/** The files packed one way or another. */
async function packed(files: Readonly<Record<string, Uint8Array>>, form: number) {
  const outputs = outputsOf(files)
  if (form === 2) return bytesOfChunks(writeZip(outputs, tools).chunks())
  const tar = await bytesOfChunks(writeTar(outputs).chunks())
  return form === 1 ? new Uint8Array(gzipSync(tar, { level: 1 })) : tar
}

function upload(body: Uint8Array, query = '', type = 'application/octet-stream'): Promise<Reply> {
  return call(`POST /v1/checkpoints:upload${query}`, { body, headers: { 'content-type': type } })
}

async function describedAll(tensors: readonly TensorStream[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const { name, dtype, shape, chunks } of tensors) {
    const hashes =
      dtype === 'string'
        ? unpackStrings(shape, await bytesOfChunks(chunks())).strings.map(sha256)
        : await sha256OfChunks(chunks())
    found[name] = describe(dtype, shape, hashes)
  }
  return found
}

const readers: Readonly<Record<string, (bytes: Uint8Array) => Promise<readonly TensorStream[]>>> = {
  tensorflow: async (bytes) =>
    (await openCheckpoint(await openTar(byteSourceOf(bytes)), undefined, tools)).tensors,
  safetensors: async (bytes) => (await openSafetensors(byteSourceOf(bytes))).tensors,
  npz: async (bytes) => (await openNpz(byteSourceOf(bytes), tools)).tensors,
}

/** Any of the names by which a checkpoint can be meant. */
function nameOf({ prefix, files }: RecordedCheckpoint, turn: number): string {
  const own = Object.keys(files).filter((name) => name.startsWith(`${prefix}.`))
  return [prefix, ...own][turn % (own.length + 1)]
}

function problemOf({ status, json }: Reply): string {
  return status < 300 ? '' : `: ${json?.detail}`
}

async function shownTensors(id: string): Promise<readonly unknown[]> {
  const shown: unknown[] = []
  let cursor = ''
  do {
    const { json } = await call(`GET /v1/checkpoints/${id}?limit=1000${cursor}`)
    shown.push(...json.tensors)
    cursor = json.cursor === null ? '' : `&cursor=${encodeURIComponent(json.cursor)}`
  } while (cursor !== '')
  return shown
}

t.test('every recorded checkpoint goes in and out in every form', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const all = recordedCheckpoints(shared)
  t.ok(all.length > 80, `${all.length} checkpoints`)
  const sameIndex: string[] = []
  for (const [turn, checkpoint] of all.entries()) {
    const { place, files, tensors, isPartial } = checkpoint
    const prefix = encodeURIComponent(nameOf(checkpoint, turn))
    const taken = await upload(await packed(files, turn % 3), `?prefix=${prefix}&step=7`)
    if (isPartial) {
      t.match([taken.status, taken.json], [422, { reason: 'bundle/missing-shard' }], place)
      continue
    }
    t.equal(taken.status, 201, `${place}${problemOf(taken)}`)
    const { id } = taken.json
    const shown = await shownTensors(id)
    for (const [format, read] of Object.entries(readers)) {
      const file = await call(`GET /v1/checkpoints/${id}:download?format=${format}`)
      t.equal(file.status, 200, `${place} as ${format}${problemOf(file)}`)
      t.strictSame(await describedAll(await read(file.bytes)), tensors, `${place} as ${format}`)
      if (format === 'tensorflow' && (await hasSameIndex(file.bytes, checkpoint))) {
        sameIndex.push(place)
      }
      // Each takes a while: of the small ones a third.
      if (place.includes('_small/') && turn % 3 > 0) continue
      const again = await upload(file.bytes)
      t.equal(again.status, 201, `${place} as ${format}, again${problemOf(again)}`)
      // Only TensorFlow's form keeps a partitioned variable in slices.
      if (format === 'tensorflow' || isWhole(shown)) {
        t.strictSame(await shownTensors(again.json.id), shown, `${place} as ${format}, again`)
      }
    }
  }
  const own = sameIndex.filter((place) => place.startsWith('conformance/'))
  t.same(
    own.map((place) => place.split(/[/ ]/)[2]),
    ['adam_slots', 'every_dtype', 'five_megabytes', 'many_small', 'max_to_keep', 'partitioned'],
    'the index is the one that TensorFlow wrote',
  )
  t.comment(`${sameIndex.length} of ${all.length} have the very index that TensorFlow wrote`)
})

/** Whether the index that we write is the one that TensorFlow wrote, byte for byte. */
async function hasSameIndex(tar: Uint8Array, { prefix, files }: RecordedCheckpoint) {
  const wanted = files[`${prefix}.index`]
  if (wanted === undefined) return false
  const members = await openTar(byteSourceOf(tar))
  const ours = members.open('model.ckpt-7.index')
  return Buffer.compare(await ours.read(0, ours.byteLength), wanted) === 0
}

const floats = (...values: readonly number[]): Uint8Array =>
  new Uint8Array(new Float32Array(values).buffer)

/** A checkpoint of a large tensor, strings and a partitioned variable; its id. */
async function mixedCheckpoint(): Promise<string> {
  const rows = [
    { starts: [0], shape: [2], ...chunksOf(floats(1, 2)) },
    { starts: [2], shape: [1], ...chunksOf(floats(3)) },
  ]
  const words = packStrings(stringTensor([2], [Buffer.from('one'), Buffer.from('')]))
  const large = Uint8Array.from({ length: 2 ** 21 + 5 }, (_, index) => index % 251)
  const tensors: SlicedTensorStream[] = [
    { name: 'large', dtype: 'uint8', shape: [large.byteLength], ...chunksOf(large) },
    { name: 'p', dtype: 'float32', shape: [3], ...chunksOf(floats(1, 2, 3)), slices: rows },
    { name: 'words', dtype: 'string', shape: [2], ...chunksOf(words) },
  ]
  const bundle = writeTar(await writeBundle('m', tensors, tools))
  const taken = await upload(await bytesOfChunks(bundle.chunks()), '?step=3')
  return taken.json.id
}

function chunksOf(bytes: Uint8Array) {
  return {
    byteLength: bytes.byteLength,
    async *chunks() {
      yield bytes
    },
  }
}

for (const format of Object.keys(readers)) {
  t.test(`${format}: a download that was cut off goes on anywhere`, async (t) => {
    const path = `GET /v1/checkpoints/${await mixedCheckpoint()}:download?format=${format}`
    const whole = await call(path)
    const etag = whole.headers.get('etag') ?? ''
    t.match(etag, /^"[\w-]{43}"$/, 'a strong tag')
    t.equal(whole.headers.get('accept-ranges'), 'bytes')
    t.equal(Number(whole.headers.get('content-length')), whole.bytes.byteLength)
    const { byteLength } = whole.bytes
    for (const offset of [0, 1, 511, 513, 1_000_000, byteLength - 3000, byteLength - 1]) {
      const rest = await call(path, {
        headers: { range: `bytes=${offset}-`, 'if-range': etag },
      })
      t.equal(rest.status, 206)
      t.equal(rest.headers.get('content-range'), `bytes ${offset}-${byteLength - 1}/${byteLength}`)
      t.equal(Buffer.compare(rest.bytes, whole.bytes.subarray(offset)), 0, `from ${offset}`)
    }
    const middle = await call(path, { headers: { range: 'bytes=700-1700', 'if-range': etag } })
    t.equal(Buffer.compare(middle.bytes, whole.bytes.subarray(700, 1701)), 0)
    const other = await call(path, { headers: { range: 'bytes=9-', 'if-range': '"other"' } })
    t.equal(other.status, 200, 'another file: all of it')
    t.equal(Buffer.compare(other.bytes, whole.bytes), 0, 'the same bytes again')
    const past = await call(path, { headers: { range: `bytes=${byteLength}-` } })
    t.equal(past.status, 416)
    t.equal((await call(path, { headers: { 'if-none-match': etag } })).status, 304)
    const head = await call(path.replace('GET', 'HEAD'))
    t.equal(Number(head.headers.get('content-length')), byteLength)
    t.equal(head.headers.get('etag'), etag)
  })
}

t.test('tags differ by format, content and step; equal files have equal tags', async (t) => {
  const [a, b] = [await mixedCheckpoint(), await mixedCheckpoint()]
  const tagOf = async (id: string, format: string) =>
    (await call(`HEAD /v1/checkpoints/${id}:download?format=${format}`)).headers.get('etag')
  t.equal(await tagOf(a, 'tensorflow'), await tagOf(a, 'tensorflow'))
  const tags = [await tagOf(a, 'tensorflow'), await tagOf(a, 'npz'), await tagOf(a, 'safetensors')]
  t.equal(new Set([...tags, await tagOf(b, 'safetensors')]).size, 4, 'safetensors name the id')
})

t.test('a bundle keeps slices, aliases and steps on its way through', async (t) => {
  const id = await mixedCheckpoint()
  const file = await call(`GET /v1/checkpoints/${id}:download?format=tensorflow`)
  const members = await openTar(byteSourceOf(file.bytes))
  t.same(members.names, ['model.ckpt-3.data-00000-of-00001', 'model.ckpt-3.index', 'checkpoint'])
  const { tensors } = await openCheckpoint(members, undefined, tools)
  const partitioned = tensors.find(({ name }) => name === 'p')
  t.same(
    partitioned?.slices?.map(({ starts }) => starts),
    [[0], [2]],
  )
  const names = ['a/first', 'a/second', 'b']
  const four = floats(1, 2)
  const aliased = filesOf({ entries: names.map((name) => [name, entryOf(four)]), shards: [four] })
  const taken = await upload(await packed(aliased, 0))
  const shown = await shownTensors(taken.json.id)
  t.same(
    shown.map((tensor) => (tensor as { readonly name: string }).name),
    names,
  )
  const stepped = await call(`GET /v1/checkpoints/${id}:download`)
  t.equal((await upload(stepped.bytes)).json.step, 3, 'our safetensors say the step')
  t.equal((await upload(stepped.bytes, '?step=9')).json.step, 9, 'who uploads knows better')
})

t.test('a checkpoint of objects restores by the names of its variables', async (t) => {
  const key = 'layer/kernel/.ATTRIBUTES/VARIABLE_VALUE'
  const other = 'layer/other/.ATTRIBUTES/VARIABLE_VALUE'
  const graphKey = '_CHECKPOINTABLE_OBJECT_GRAPH'
  const graph = encode('TrackableObjectGraph', {
    nodes: [
      { attributes: [{ name: 'VARIABLE_VALUE', full_name: 'dense/kernel', checkpoint_key: key }] },
      { attributes: [{ name: 'VARIABLE_VALUE', full_name: '', checkpoint_key: other }] },
    ],
  })
  const packedGraph = packStrings(stringTensor([], [graph]))
  const tensors: SlicedTensorStream[] = [
    { name: graphKey, dtype: 'string', shape: [], ...chunksOf(packedGraph) },
    { name: key, dtype: 'float32', shape: [2], ...chunksOf(floats(1, 2)) },
    { name: other, dtype: 'float32', shape: [1], ...chunksOf(floats(3)) },
  ]
  const file = writeTar(await writeBundle('m', tensors, tools))
  const { json } = await upload(await bytesOfChunks(file.chunks()), '?container=objects')
  const restore = `POST /v1/checkpoints/${json.id}:restore`
  await call('POST /v1/variables?container=objects', { json: { name: 'dense/kernel', shape: [2] } })
  const lenient = await call(restore, { json: { strict: false } })
  t.equal(lenient.status, 200, lenient.text)
  t.same(lenient.json.restored, ['dense/kernel'])
  t.same(lenient.json.unexpected, [other])
  t.same(lenient.json.skipped, [graphKey])
  const named = await call(restore, { json: { names: ['dense/kernel'] } })
  t.same(named.json.restored, ['dense/kernel'])
  const read = await call('GET /v1/variables/dense/kernel:read_value?container=objects')
  t.same(read.json.value, [1, 2])
  const renamed = await call(restore, {
    json: { names: [key], rename: { [key]: 'mine' }, create: true },
  })
  t.same(renamed.json.restored, ['mine'])
  const made = await call(restore, { json: { create: true } })
  t.same([...made.json.restored].sort(), ['dense/kernel', other])
})

t.test(
  'safetensors of unknown length wait for their end; V1 files come by themselves',
  async (t) => {
    const bytes = await bytesOfChunks(
      writeSafetensors([
        { name: 'w', dtype: 'float32', shape: [2], ...chunksOf(floats(1, 2)) },
      ]).chunks(),
    )
    const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream()
    const chunked = await call('POST /v1/checkpoints:upload', {
      body: stream,
      headers: { 'content-type': 'application/x-safetensors' },
    })
    t.equal(chunked.status, 201)
    const table = fileOf([floats32('v', [5, 6])])
    const lone = await upload(table)
    t.equal(lone.status, 201, lone.text)
    const { json } = await call(`GET /v1/checkpoints/${lone.json.id}/tensors/v`)
    t.same(json.value, [5, 6])
    t.same(await server.spooled(), [])
  },
)

t.test('an upload that ends early leaves nothing, however it is read', async (t) => {
  const id = await mixedCheckpoint()
  const { bytes } = await call(`GET /v1/checkpoints/${id}:download`)
  const before = await server.service.storeStatus()
  for (const length of [5, 100, 700_000]) {
    for (const isAnnounced of [true, false]) {
      await brokenUpload(server.base, bytes.subarray(0, length), isAnnounced && bytes.byteLength)
    }
  }
  for (let wait = 0; wait < 100 && (await server.spooled()).length > 0; wait++) await rest(20)
  t.same(await server.spooled(), [])
  const { sequence, packBytes, looseBytes } = await server.service.storeStatus()
  t.match(before, { sequence, packBytes, looseBytes })
})

const rest = (ms: number) => new Promise((done) => setTimeout(done, ms))

/** Sends part of a body and then goes away. */
async function brokenUpload(base: string, part: Uint8Array, announced: number | false) {
  const length = announced === false ? 'transfer-encoding: chunked' : `content-length: ${announced}`
  const { port, hostname } = new URL(base)
  const socket = connect(Number(port), hostname)
  const lines = [
    'POST /v1/checkpoints:upload HTTP/1.1',
    `host: ${hostname}`,
    'content-type: application/x-safetensors',
    length,
    '',
    '',
  ]
  socket.write(lines.join('\r\n'))
  if (announced === false) socket.write(`${part.byteLength.toString(16)}\r\n`)
  await new Promise((done) => socket.write(part, done))
  await rest(20)
  socket.destroy()
}

/** Whether no tensor is kept in slices. */
function isWhole(shown: readonly unknown[]): boolean {
  return shown.every((tensor) => !(tensor as { readonly parts?: unknown }).parts)
}
