// Checkpoints over HTTP: saving, restoring, labels, and files in and out.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import {
  byteSourceOf,
  collect,
  openArchive,
  openBundle,
  openSafetensors,
  writeSafetensors,
  writeTar,
} from '../../formats/index.ts'
import { checksumTools } from '../../service/format-tools.ts'
import { contentOfTensor } from '../../service/index.ts'
import { numericTensor } from '../../tensor/index.ts'
import { sharedFolder } from '../helper/shared.ts'
import { floats, startServer } from './helper.ts'

const golden = join(import.meta.dirname, '../golden/checkpoints')

/** A tar of the files in a folder. */
async function tarOf(folder: string, without: readonly string[] = []): Promise<Uint8Array> {
  const names = readdirSync(folder).filter((name) => !without.includes(name))
  const tar = writeTar(
    names.map((name) => {
      const bytes = readFileSync(join(folder, name))
      return {
        name,
        byteLength: bytes.byteLength,
        async *chunks() {
          yield bytes
        },
      }
    }),
  )
  return collect(tar.chunks(), tar.byteLength)
}

const tarType = { 'content-type': 'application/x-tar' }

t.test('checkpoints over HTTP', async (t) => {
  const { call, spooled, base } = await startServer(t, { limits: { uploadBytes: 3_000_000 } })
  const make = async (name: string, value: unknown, container = '') => {
    const initializer = { dtype: 'float32', value }
    const json = { name, initializer }
    await call(`POST /v1/variables?container=${container}`, { json })
    await call(`POST /v1/variables/${name}:initialize?container=${container}`)
  }
  const value = async (name: string, container = '') =>
    (await call(`GET /v1/variables/${name}:read_value?container=${container}`)).json.value

  t.test("nothing to save is refused in TensorFlow's words", async (t) => {
    const refused = await call('POST /v1/checkpoints?container=none')
    t.equal(refused.status, 409)
    t.equal(refused.json.detail, 'No variables to save')
    t.equal((await call('GET /v1/checkpoints/latest')).status, 404)
  })

  t.test('a save holds the values of its moment, a restore brings them back', async (t) => {
    await make('w', [1, 2])
    await make('b', [3])
    const saved = await call('POST /v1/checkpoints', {
      json: { step: 7, labels: ['best'], metadata: { loss: 0.5 } },
    })
    t.equal(saved.status, 201)
    t.match(saved.json, {
      step: 7,
      labels: ['best'],
      metadata: { loss: 0.5 },
      tensor_count: 2,
      nbytes: 12,
      pinned: false,
    })
    t.equal(saved.headers.get('location'), `/v1/checkpoints/${saved.json.id}`)
    await call('POST /v1/variables/w:assign', { json: [9, 9] })
    const dry = await call('POST /v1/checkpoints/best:restore', { json: { dry_run: true } })
    t.same(dry.json.restored, ['b', 'w'])
    t.same(await value('w'), [9, 9])
    const restored = await call('POST /v1/checkpoints/latest:restore')
    t.match(restored.json, {
      checkpoint: saved.json.id,
      strict: true,
      restored: ['b', 'w'],
      missing: [],
      unexpected: [],
      shape_mismatches: [],
      dtype_mismatches: [],
    })
    t.same(await value('w'), [1, 2])
    const { version } = (await call('GET /v1/variables/w')).json
    t.equal(version, restored.json.versions.w)
  })

  t.test('its tensors can be listed and read one by one', async (t) => {
    const detail = await call('GET /v1/checkpoints/best')
    t.match(detail.json.tensors, [
      { name: 'b', dtype: 'float32', shape: [1], nbytes: 4 },
      { name: 'w', dtype: 'float32', shape: [2], nbytes: 8 },
    ])
    const digest = createHash('sha256').update(floats(1, 2)).digest('hex')
    t.equal(detail.json.tensors[1].sha256, digest)
    const tensor = await call('GET /v1/checkpoints/best/tensors/w')
    t.same(tensor.json.value, [1, 2])
    const raw = await call('GET /v1/checkpoints/best/tensors/w', {
      headers: { accept: 'application/octet-stream' },
    })
    t.same(raw.bytes, floats(1, 2))
    t.equal((await call('GET /v1/checkpoints/best/tensors/x')).status, 404)
    const paged = await call('GET /v1/checkpoints/best?limit=1')
    t.equal(paged.json.tensors.length, 1)
    t.type(paged.json.cursor, 'string')
  })

  t.test(
    'a strict restore does all or nothing, a lenient one what fits, and both report',
    async (t) => {
      await make('w', [1, 2], 'odd')
      await make('gone', [4], 'odd')
      await call('POST /v1/checkpoints?container=odd', { json: { labels: ['odd'] } })
      await call('DELETE /v1/variables/gone?container=odd')
      await make('new', [5], 'odd')
      await call('POST /v1/variables/w:assign?container=odd', { json: [8, 8] })
      const strict = await call('POST /v1/checkpoints/odd:restore')
      t.equal(strict.status, 409)
      t.match(strict.json, {
        reason: 'checkpoint/restore-mismatch',
        names: { unexpected: ['gone'] },
      })
      t.same(await value('w', 'odd'), [8, 8], 'nothing was restored')
      t.same(await value('new', 'odd'), [5], 'what the checkpoint does not have stays')
      const lenient = await call('POST /v1/checkpoints/odd:restore', { json: { strict: false } })
      t.match(lenient.json, { restored: ['w'], missing: ['new'], unexpected: ['gone'] })
      t.same(await value('w', 'odd'), [1, 2])
      const json = { names: ['gone'], create: true }
      const created = await call('POST /v1/checkpoints/odd:restore', { json })
      t.match(created.json, { restored: ['gone'], created: ['gone'], missing: [] })
      t.same(await value('gone', 'odd'), [4])
      const absent = await call('POST /v1/checkpoints/odd:restore', { json: { names: ['none'] } })
      t.match(absent.json.names, { missing: ['none'] })
    },
  )

  t.test('another shape or dtype is a mismatch, never a cast', async (t) => {
    await make('w', [[1], [2]], 'shapes')
    const json = { name: 'b', shape: [1], dtype: 'float64' }
    await call('POST /v1/variables?container=shapes', { json })
    const report = await call('POST /v1/checkpoints/best:restore?container=shapes', {
      json: { strict: false },
    })
    t.match(report.json, {
      restored: [],
      shape_mismatches: [{ name: 'w', expected: '[2,1]', found: '[2]' }],
      dtype_mismatches: [{ name: 'b', expected: 'float64', found: 'float32' }],
    })
    const strict = await call('POST /v1/checkpoints/best:restore?container=shapes')
    t.equal(strict.status, 409)
  })

  t.test('tensors go to other names by rename and scope', async (t) => {
    const renamed = await call('POST /v1/checkpoints/best:restore?container=other', {
      json: { create: true, scope: 'old', rename: { w: 'kernel' } },
    })
    t.same(renamed.json.created, ['old/b', 'old/kernel'])
    t.same(await value('old/kernel', 'other'), [1, 2])
    const saved = await call('POST /v1/checkpoints?container=other', {
      json: { rename: { short: 'old/b' } },
    })
    const detail = await call(`GET /v1/checkpoints/${saved.json.id}`)
    t.same(
      detail.json.tensors.map((one: { name: string }) => one.name),
      ['short'],
    )
  })

  t.test('labels move, point and come off; pinned checkpoints stay', async (t) => {
    const { id } = (await call('POST /v1/checkpoints')).json
    t.same((await call(`PUT /v1/checkpoints/${id}/labels/stable`)).json.labels, ['stable'])
    t.equal((await call('GET /v1/checkpoints/stable')).json.id, id)
    t.equal((await call(`PUT /v1/checkpoints/${id}/labels/12`)).status, 400)
    t.equal(
      (await call(`PATCH /v1/checkpoints/${id}`, { json: { pinned: true } })).json.pinned,
      true,
    )
    t.equal((await call(`DELETE /v1/checkpoints/${id}`)).json.reason, 'checkpoint/pinned')
    await call(`PATCH /v1/checkpoints/${id}`, { json: { pinned: false } })
    t.equal((await call(`DELETE /v1/checkpoints/${id}/labels/stable`)).status, 204)
    t.equal((await call(`DELETE /v1/checkpoints/${id}/labels/stable`)).status, 404)
    t.equal((await call(`DELETE /v1/checkpoints/${id}`)).status, 204)
    t.equal((await call(`GET /v1/checkpoints/${id}`)).status, 404)
  })

  t.test('an asynchronous save is an operation that ends with its checkpoint', async (t) => {
    const begun = await call('POST /v1/checkpoints', { json: { async: true, step: 9 } })
    t.equal(begun.status, 202)
    let operation = begun.json
    while (operation.state === 'running') {
      operation = (await call(`GET /v1/operations/${begun.json.id}`)).json
    }
    t.match(operation, { state: 'done', kind: 'save_checkpoint', result: { step: 9 }, error: null })
    const failing = await call('POST /v1/checkpoints?container=nil', { json: { async: true } })
    let failed = failing.json
    while (failed.state === 'running') {
      failed = (await call(`GET /v1/operations/${failing.json.id}`)).json
    }
    t.match(failed, { state: 'failed', error: { reason: 'checkpoint/empty' } })
    t.equal((await call('GET /v1/operations/999')).status, 404)
  })

  for (const name of ['every_dtype', 'adam_slots', 'sharded', 'partitioned', 'object_graph_tf2']) {
    t.test(`the recorded bundle ${name} comes in whole and goes out the same`, async (t) => {
      const folder = join(golden, name)
      const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'))
      const body = gzipSync(await tarOf(folder, ['expected.json']))
      const headers = { 'content-type': 'application/gzip' }
      const uploaded = await call(`POST /v1/checkpoints:upload?label=${name}&step=7`, {
        body,
        headers,
      })
      t.equal(uploaded.status, 201, uploaded.text)
      const file = await call(`GET /v1/checkpoints/${name}:download?format=tensorflow`)
      t.equal(Number(file.headers.get('content-length')), file.bytes.byteLength)
      const files = await openArchive(byteSourceOf(file.bytes), {} as never)
      t.ok(files.names.includes('checkpoint'))
      const bundle = await openBundle(files, 'model.ckpt-7', checksumTools)
      const wanted = Object.entries<{ dtype: string; sha256?: string }>(expected.tensors)
      t.equal(bundle.tensors.length, wanted.length)
      for (const [tensorName, { sha256 }] of wanted) {
        const tensor = bundle.tensors.find((one) => one.name === tensorName)
        if (sha256 === undefined || tensor === undefined || tensor.dtype === 'string') continue
        const bytes = await collect(tensor.chunks(), tensor.byteLength)
        t.equal(createHash('sha256').update(bytes).digest('hex'), sha256, tensorName)
      }
    })
  }

  t.test('safetensors go in and out, in ranges too', async (t) => {
    const tensor = numericTensor('float32', [2, 1], floats(5, 6))
    const written = writeSafetensors([{ name: 'a/b', ...contentOfTensor(tensor) }])
    const body = await collect(written.chunks(), written.byteLength)
    const headers = { 'content-type': 'application/x-safetensors' }
    const uploaded = await call('POST /v1/checkpoints:upload?container=st', { body, headers })
    t.equal(uploaded.status, 201)
    const path = `GET /v1/checkpoints/${uploaded.json.id}:download?format=safetensors`
    const file = await call(path)
    const { tensors } = await openSafetensors(byteSourceOf(file.bytes))
    t.match(tensors, [{ name: 'a/b', dtype: 'float32', shape: [2, 1] }])
    const tail = await call(path, { headers: { range: 'bytes=-8' } })
    t.equal(tail.status, 206)
    t.same(tail.bytes, floats(5, 6))
    t.same((await call(`GET /v1/checkpoints/${uploaded.json.id}/tensors/a/b`)).json.value, [
      [5],
      [6],
    ])
    t.same(await spooled(), [])
  })

  t.test('npz goes in by its type and as a plain zip, and comes out', async (t) => {
    await make('npz/w', [3, 4], 'npz')
    const { id } = (await call('POST /v1/checkpoints?container=npz')).json
    const file = await call(`GET /v1/checkpoints/${id}:download?format=npz`)
    t.equal(file.headers.get('content-type'), 'application/x-npz')
    for (const type of ['application/x-npz', 'application/zip', 'application/octet-stream']) {
      const headers = { 'content-type': type }
      const uploaded = await call('POST /v1/checkpoints:upload', { body: file.bytes, headers })
      t.equal(uploaded.status, 201, type)
      const tensor = await call(`GET /v1/checkpoints/${uploaded.json.id}/tensors/npz/w`)
      t.same(tensor.json.value, [3, 4])
    }
    const headers = { 'content-type': 'application/x-npz' }
    const refused = await call('POST /v1/checkpoints:upload', { body: 'no zip file', headers })
    t.equal(refused.status, 422)
    t.equal(refused.json.reason, 'archive/truncated')
  })

  t.test('a body that is called safetensors is refused as safetensors', async (t) => {
    const headers = { 'content-type': 'application/x-safetensors' }
    const upload = (body: Uint8Array | string) =>
      call('POST /v1/checkpoints:upload', { body, headers })
    t.equal((await upload('short')).json.reason, 'safetensors/bad-length')
    const tar = await tarOf(join(golden, 'adam_slots'))
    const refused = await upload(tar)
    t.equal(refused.status, 422)
    t.match(refused.json.reason, /^safetensors\//)
  })

  t.test("a checkpoint of TensorFlow's first format comes in", async (t) => {
    const shared = sharedFolder(t)
    if (shared === undefined) return
    const body = await tarOf(join(shared, 'conformance/checkpoints/v1_format'))
    const uploaded = await call('POST /v1/checkpoints:upload', { body, headers: tarType })
    t.equal(uploaded.status, 201, uploaded.text)
  })

  t.test('a damaged upload is refused, named, and imports nothing', async (t) => {
    const { checkpoints } = (await call('GET /v1/checkpoints?limit=1')).json
    const folder = join(golden, 'sharded')
    const upload = (body: Uint8Array | string, headers = tarType) =>
      call('POST /v1/checkpoints:upload', { body, headers })
    const shard = readdirSync(folder).find((name) => name.includes('.data-00001')) as string
    const missing = await upload(await tarOf(folder, ['expected.json', shard]))
    t.equal(missing.status, 422)
    t.match(missing.json.detail, /data-00001/)
    const tar = await tarOf(folder, ['expected.json'])
    const flipped = tar.slice()
    const at = Buffer.from(flipped).indexOf('.data-00000-of-00003') - 10
    flipped[at - (at % 512) + 512] ^= 1
    const damaged = await upload(flipped)
    t.equal(damaged.status, 422)
    t.equal(damaged.json.code, 'DATA_LOSS')
    const cut = await upload(tar.subarray(0, tar.byteLength - 9000))
    t.equal(cut.status, 422)
    t.equal((await upload('no archive')).status, 422)
    t.equal((await upload(new Uint8Array(4_000_000))).status, 413)
    t.equal((await upload('x', { 'content-type': 'text/plain' })).status, 415)
    t.equal((await call('POST /v1/checkpoints:upload')).status, 400)
    const after = (await call('GET /v1/checkpoints?limit=1')).json.checkpoints
    t.equal(after[0].id, checkpoints[0].id, 'no checkpoint came of it')
    t.same(await spooled(), [])
  })

  t.test('an upload that breaks off leaves nothing', async (t) => {
    const before = (await call('GET /v1/checkpoints?limit=1')).json
    const { hostname, port } = new URL(base)
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write(
          'POST /v1/checkpoints:upload HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-tar\r\ncontent-length: 100000\r\n\r\nabc',
        )
        setTimeout(() => socket.destroy(), 100)
      })
      socket.on('close', () => resolve())
    })
    await new Promise((resolve) => setTimeout(resolve, 200))
    t.same(await spooled(), [])
    t.same((await call('GET /v1/checkpoints?limit=1')).json, before)
  })
})
