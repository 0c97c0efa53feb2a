// Large values that only a device holds: what a run leaves reaches the store whole, piece by piece.
import t from 'tap'
import { startServer } from './helper.ts'

/** Over two pieces of 4 MiB, and no whole number of them or of chunks. */
const count = 2_500_001

t.test('a large value that a run made is stored as it is', async (t) => {
  const { call } = await startServer(t, { device: '/device:CPU:0' })
  const headers = { 'content-type': 'application/octet-stream' }
  const json = { name: 'counts', dtype: 'int32', shape: [count] }
  t.equal((await call('POST /v1/variables', { json })).status, 201)
  const first = new Int32Array(count).map((_, place) => place)
  const more = new Int32Array(count).map((_, place) => 3 * place)
  const send = (verb: string, values: Int32Array<ArrayBuffer>) =>
    call(`POST /v1/variables/counts:${verb}`, { body: new Uint8Array(values.buffer), headers })
  t.equal((await send('assign', first)).status, 200)
  t.match(await send('assign_add', more), { status: 200, json: { version: 2 } })
  const accept = { accept: 'application/octet-stream' }
  const { bytes } = await call('GET /v1/variables/counts:read_value', { headers: accept })
  const stored = new Int32Array(bytes.slice().buffer)
  t.equal(stored.length, count)
  t.equal(
    stored.findIndex((value, place) => value !== 4 * place),
    -1,
  )
  const { bytes: before } = await call('GET /v1/variables/counts:read_value?slice=7', {
    headers: accept,
  })
  t.same([...new Int32Array(before.slice().buffer)], [28])
})

t.test('npy and safetensors are taken in as they come, and refused as early', async (t) => {
  const { call } = await startServer(t, { device: 'reference' })
  const json = { name: 'big', dtype: 'int32', shape: [count] }
  await call('POST /v1/variables', { json })
  const values = new Int32Array(count).map((_, place) => place)
  await call('POST /v1/variables/big:assign', {
    body: new Uint8Array(values.buffer),
    headers: { 'content-type': 'application/octet-stream' },
  })
  for (const type of ['application/x-npy', 'application/x-safetensors']) {
    const { bytes } = await call('GET /v1/variables/big:read_value', { headers: { accept: type } })
    const assign = (name: string, body: Uint8Array) =>
      call(`POST /v1/variables/${name}:assign`, {
        body: new Uint8Array(body),
        headers: { 'content-type': type },
      })
    const shorter = { name: `short/${type.slice(14)}`, dtype: 'int32', shape: [count - 1] }
    await call('POST /v1/variables', { json: shorter })
    t.match(await assign(shorter.name, bytes), { status: 422, json: { reason: 'shape/mismatch' } })
    const twin = { ...json, name: `twin/${type.slice(14)}` }
    await call('POST /v1/variables', { json: twin })
    t.match(await assign(twin.name, bytes.subarray(0, -1)), { status: 422 }, 'cut short')
    t.match((await call(`GET /v1/variables/${twin.name}`)).json, { version: 0 })
    t.match(await assign(twin.name, bytes), { status: 200, json: { version: 1 } })
    const again = await call(`GET /v1/variables/${twin.name}:read_value`, {
      headers: { accept: type },
    })
    // The files differ by the variable's name; the elements come last.
    const elements = Buffer.from(again.bytes.slice(-4 * count))
    t.ok(elements.equals(Buffer.from(values.buffer)), type)
  }
})
