// Verification over HTTP: what has changed on the disk is named, and everything else goes on.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { flipByte } from '../helper/flip.ts'
import { contentOf } from '../helper/store.ts'
import { startServer, type TestServer } from './helper.ts'

const mebibyte = 1024 * 1024

/** Waits for the end of an operation. */
async function ended(server: TestServer, id: string) {
  for (;;) {
    const { json } = await server.call(`GET /v1/operations/${id}`)
    if (json.state !== 'running') return json
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function put(server: TestServer, name: string, bytes: Uint8Array): Promise<void> {
  const path = encodeURIComponent(name)
  const shape = [bytes.byteLength]
  const made = await server.call('POST /v1/variables', { json: { name, dtype: 'uint8', shape } })
  if (made.status !== 201) throw new Error(made.text)
  const written = await server.call(`POST /v1/variables/${path}:assign`, {
    body: bytes,
    headers: { 'content-type': 'application/octet-stream' },
  })
  if (written.status !== 200) throw new Error(written.text)
}

/** Spoils a chunk of the only pack that is larger than a mebibyte. */
function spoil(server: TestServer): void {
  const folder = join(server.directory, 'packs')
  const files = readdirSync(folder).map((name) => join(folder, name))
  const [largest] = files.sort((a, b) => statSync(b).size - statSync(a).size)
  flipByte(largest, statSync(largest).size - 100_000)
}

t.test('a checkpoint that is as it was saved is intact', async (t) => {
  const server = await startServer(t)
  await put(server, 'a', contentOf(3 * mebibyte, 1))
  await put(server, 'b', contentOf(10, 2))
  await server.call('POST /v1/checkpoints', { json: { labels: ['best'] } })
  const { status, json } = await server.call('POST /v1/checkpoints/best:verify')
  t.same(
    { status, json },
    {
      status: 200,
      json: {
        checkpoint: '1',
        intact: true,
        tensors: 2,
        chunks: 4,
        nbytes: 3 * mebibyte + 10,
        damaged: [],
      },
    },
  )
  const begun = await server.call('POST /v1/checkpoints/1:verify', { json: { async: true } })
  t.equal(begun.status, 202)
  t.equal(begun.headers.get('location'), `/v1/operations/${begun.json.id}`)
  t.match(await ended(server, begun.json.id), {
    kind: 'verify_checkpoint',
    state: 'done',
    progress: { bytes_done: 3 * mebibyte + 10, bytes_total: 3 * mebibyte + 10 },
    result: { intact: true },
  })
  t.match(await server.call('POST /v1/checkpoints/9:verify'), {
    status: 404,
    json: { reason: 'checkpoint/unknown' },
  })
  t.match(await server.call('POST /v1/checkpoints/1:verify', { json: { fast: true } }), {
    status: 400,
  })
})

t.test('74: damage is named, the rest is served, and the same content mends it', async (t) => {
  const server = await startServer(t)
  const content = contentOf(3 * mebibyte, 1)
  await put(server, 'scope/a', content)
  await put(server, 'b', contentOf(10, 2))
  await server.call('POST /v1/checkpoints')
  spoil(server)
  const { json: report } = await server.call('POST /v1/checkpoints/1:verify')
  t.match(report, {
    intact: false,
    damaged: [
      {
        tensor: 'scope/a',
        sha256: /^[0-9a-f]{64}$/,
        problem: /differs/,
        variables: [{ container: '', name: 'scope/a' }],
        tensors: [{ checkpoint: '1', tensor: 'scope/a' }],
      },
    ],
  })
  const [{ chunk, sha256 }] = report.damaged
  for (const request of [
    'GET /v1/variables/scope/a:read_value',
    'GET /v1/checkpoints/1/tensors/scope/a',
  ]) {
    const accept = 'application/octet-stream'
    const read = await server.call(`${request}?slice=${chunk * mebibyte}:${chunk * mebibyte + 9}`, {
      headers: { accept },
    })
    t.match(read, {
      status: 500,
      json: {
        code: 'DATA_LOSS',
        reason: 'store/chunk-damaged',
        detail: new RegExp(`^The value of variable scope/a is damaged: chunk ${chunk} `),
        names: { variable: 'scope/a', chunk, digest: sha256 },
      },
    })
    t.notMatch(read.text, /SELECT|\/tmp|\.pack|valueId/, 'nothing of the inside')
  }
  t.equal((await server.call('GET /v1/variables/b:read_value')).status, 200)
  t.match((await server.call('GET /readyz')).json, { ready: true, store: { damaged_chunks: 1 } })
  t.match((await server.call('GET /metrics')).text, /^holdfast_store_damaged_chunks 1$/m)
  t.match((await server.call('GET /v1/scrub')).json, {
    damaged_chunks: 1,
    damaged: [{ chunk, sha256, variables: [{ name: 'scope/a' }] }],
  })
  await server.call('POST /v1/variables/scope/a:assign', {
    body: content,
    headers: { 'content-type': 'application/octet-stream' },
  })
  t.match((await server.call('POST /v1/checkpoints/1:verify')).json, { intact: true })
  t.match((await server.call('GET /v1/scrub')).json, { damaged_chunks: 0, damaged: [] })
})

t.test('the scrub can be run now, and tells what it read', async (t) => {
  const server = await startServer(t)
  await put(server, 'a', contentOf(3 * mebibyte, 1))
  t.match((await server.call('GET /v1/scrub')).json, {
    state: 'waiting',
    bytes_per_second: 8 * mebibyte,
    last_pass: null,
    damaged_chunks: 0,
  })
  spoil(server)
  const { status, json } = await server.call('POST /v1/scrub')
  t.match({ status, json }, { status: 202, json: { kind: 'scrub' } })
  t.match(await ended(server, json.id), {
    state: 'done',
    result: { chunks: 3, nbytes: 3 * mebibyte, damaged: [{ variables: [{ name: 'a' }] }] },
  })
  t.match((await server.call('GET /v1/scrub')).json, {
    state: 'waiting',
    pass: null,
    last_pass: { chunks: 3, nbytes: 3 * mebibyte },
    damaged_chunks: 1,
  })
})
