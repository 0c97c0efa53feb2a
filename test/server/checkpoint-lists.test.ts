// Lists of checkpoints by filters, and what checkpoints and the store take on the disk, over HTTP.
import t from 'tap'
import { contentOf } from '../helper/store.ts'
import { startServer } from './helper.ts'

t.test('checkpoints are found by step, label, metadata, time and container', async (t) => {
  const { call } = await startServer(t)
  const initializer = { dtype: 'float32', value: [1, 2] }
  for (const container of ['', 'other']) {
    await call(`POST /v1/variables?container=${container}`, { json: { name: 'w', initializer } })
    await call(`POST /v1/variables/w:initialize?container=${container}`)
  }
  const made: { id: string; created_at: string }[] = []
  for (let step = 0; step < 6; step++) {
    const container = step < 4 ? '' : 'other'
    const metadata = { run: step % 2 === 0 ? 'even' : 'odd', 'a b': step / 2, 'x.y': [step] }
    const json = { ...(step === 5 ? {} : { step: step * 10 }), metadata, labels: [`s${step}`] }
    made.push((await call(`POST /v1/checkpoints?container=${container}`, { json })).json)
    await new Promise((resolve) => setTimeout(resolve, 3))
  }
  const found = async (query: string): Promise<readonly number[]> => {
    const { json, text } = await call(`GET /v1/checkpoints?${query}`)
    if (json?.checkpoints === undefined) throw new Error(text)
    return json.checkpoints.map((one: { id: string }) => made.findIndex(({ id }) => id === one.id))
  }
  const cases: readonly (readonly [string, readonly number[]])[] = [
    ['', [5, 4, 3, 2, 1, 0]],
    ['step=20', [2]],
    ['min_step=10&max_step=30', [3, 2, 1]],
    ['min_step=10&container=other', [4]],
    ['label=s3', [3]],
    ['metadata.run=odd', [5, 3, 1]],
    ['metadata.run=odd&container=', [3, 1]],
    ['metadata.a%20b=1.50', [3]],
    ['metadata.x.y=[2]', [2]],
    ['metadata.none=1', []],
    [`created_after=${made[3].created_at}`, [5, 4]],
    [`created_before=${made[2].created_at}`, [1, 0]],
    [`created_after=${made[0].created_at}&created_before=${made[2].created_at}`, [1]],
    ['created_after=2999-01-01', []],
    ['created_before=2999-01-01T00:00:00%2B02:00&limit=2', [5, 4]],
  ]
  for (const [query, wanted] of cases) t.same(await found(query), wanted, query)
  for (const query of [
    'created_after=yesterday',
    'step=-1',
    'steps=1',
    'metadata=1',
    'created_before=12',
  ]) {
    const refused = await call(`GET /v1/checkpoints?${query}`)
    t.same([refused.status, refused.json.reason], [400, 'http/invalid-querystring'], query)
    t.comment(refused.json.detail)
  }
})

t.test('own and shared bytes, and what the store takes before and after', async (t) => {
  const { call } = await startServer(t)
  const headers = { 'content-type': 'application/octet-stream' }
  const mebibyte = 2 ** 20
  await call('POST /v1/variables', { json: { name: 'w', shape: [3 * mebibyte], dtype: 'uint8' } })
  await call('POST /v1/variables/w:assign', { body: contentOf(3 * mebibyte, 1), headers })
  const { id } = (await call('POST /v1/checkpoints')).json
  const whole = 3 * mebibyte
  const shown = async (query: string) => (await call(`GET /v1/checkpoints${query}`)).json
  t.match(await shown(`/${id}?usage=true`), { nbytes: whole, own_bytes: 0, shared_bytes: whole })
  t.notOk('own_bytes' in (await shown(`/${id}`)))
  await call('POST /v1/variables/w:assign', { body: contentOf(3 * mebibyte, 2), headers })
  t.match((await shown('?usage=true')).checkpoints, [{ own_bytes: whole, shared_bytes: 0 }])
  await call('POST /v1/store:sweep')
  const before = (await call('GET /v1/store')).json
  t.equal(before.pack_live_bytes, 2 * whole)
  t.equal(before.disk_bytes, before.catalogue_bytes + before.pack_bytes)
  t.match(before, { writable: true, reason: null })
  t.equal((await call(`DELETE /v1/checkpoints/${id}`)).status, 204)
  // A sweep leaves alone what somebody still holds for a moment; the next one takes it.
  const freed = { values: 0, chunks: 0 }
  for (const end = Date.now() + 10_000; freed.values === 0 && Date.now() < end; ) {
    const { values, chunks } = (await call('POST /v1/store:sweep')).json
    freed.values += values
    freed.chunks += chunks
  }
  t.same(freed, { values: 1, chunks: 3 })
  const after = (await call('GET /v1/store')).json
  t.equal(after.pack_live_bytes, whole)
  t.ok(after.disk_bytes <= before.disk_bytes - whole, 'the bytes are gone from the disk')
})
