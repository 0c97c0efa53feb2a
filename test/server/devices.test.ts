import t from 'tap'
import { floats, startServer } from './helper.ts'

const cpu = '/device:CPU:0'
const raw = { 'content-type': 'application/octet-stream' }
const elementCount = 65_536
const byteLength = 4 * elementCount

t.test('values are brought to a device, told by name, and dropped there', async (t) => {
  const { call } = await startServer(t, { device: cpu })
  for (const [place, name] of ['a/w', 'b'].entries()) {
    await call('POST /v1/variables', { json: { name, shape: [2] } })
    await call(`POST /v1/variables/${name}:assign`, { body: floats(place, 2), headers: raw })
  }
  const loaded = await call('POST /v1/devices/CPU:0:load', { json: { names: ['a/w', 'b'] } })
  t.equal(loaded.status, 200)
  t.same(
    loaded.json.resident.map(({ name, version, nbytes }: never) => [name, version, nbytes]),
    [
      ['a/w', 1, 8],
      ['b', 1, 8],
    ],
  )
  t.same((await call('GET /v1/variables/a/w')).json.resident_on, [cpu])
  const { memory } = loaded.json
  t.match(memory, { value_bytes: 16, live_bytes: 16 })
  t.ok(memory.reserved_bytes >= 16 && memory.budget_bytes > 2 ** 30)
  const path = `POST /v1/devices/${cpu}:evict`
  const evicted = await call(path, { json: { names: ['b'] } })
  t.same(
    evicted.json.resident.map(({ name }: never) => name),
    ['a/w'],
    'also by its full name',
  )
  t.same((await call('GET /v1/variables/b')).json.resident_on, [])
  const unknown = await call('POST /v1/devices/CPU:3:load', { json: { names: [] } })
  t.match(unknown.json, { status: 404, reason: 'device/unknown' })
})

t.test('within a memory budget, the values that were used least recently make room', async (t) => {
  const { call } = await startServer(t, { device: cpu, cpuMemoryBytes: 4 * byteLength })
  const names = ['v0', 'v1', 'v2', 'v3', 'v4', 'v5']
  for (const [place, name] of names.entries()) {
    await call('POST /v1/variables', { json: { name, shape: [elementCount] } })
    const body = new Uint8Array(new Float32Array(elementCount).fill(place).buffer)
    await call(`POST /v1/variables/${name}:assign`, { body, headers: raw })
    t.equal((await call('POST /v1/devices/CPU:0:load', { json: { names: [name] } })).status, 200)
  }
  const { devices } = (await call('GET /v1/devices')).json
  const [{ memory, resident }] = devices
  t.ok(memory.live_bytes <= memory.budget_bytes)
  t.same(
    resident.map(({ name }: never) => name),
    ['v2', 'v3', 'v4', 'v5'],
  )
  const added = await call('POST /v1/variables/v0:assign_add', {
    json: { value: new Array(elementCount).fill(1) },
  })
  t.equal(added.status, 200, added.text)
  const read = await call('GET /v1/variables/v0:read_value?slice=:2')
  t.same(read.json.value, [1, 1], 'what was evicted comes again from the store')
})

t.test('a device that is asked for and not there is kept, and placed softly', async (t) => {
  const { call } = await startServer(t, { device: cpu })
  const made = await call('POST /v1/variables', {
    json: { name: 'w', shape: [2], device: '/job:ps/task:1' },
  })
  t.equal(made.json.device, '/job:ps/task:1')
  const changed = await call('PATCH /v1/variables/w', { json: { device: '/gpu:7' } })
  t.match(changed.json, { device: '/job:ps/task:1/device:GPU:7', actual_device: cpu })
  t.match(changed.json.device_note, /soft placement/)
})
