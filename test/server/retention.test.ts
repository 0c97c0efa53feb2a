// Retention over HTTP: rules set, tried, applied after saves and imports, and told.
import t from 'tap'
import { EventClient } from './event-client.ts'
import { startServer } from './helper.ts'

t.test('retention over HTTP', async (t) => {
  const server = await startServer(t)
  const { call, service } = server
  const initializer = { dtype: 'float32', value: [1, 2] }
  for (const container of ['', 'other']) {
    await call(`POST /v1/variables?container=${container}`, { json: { name: 'w', initializer } })
    await call(`POST /v1/variables/w:initialize?container=${container}`)
  }
  const save = async (json: object = {}, container = ''): Promise<string> =>
    (await call(`POST /v1/checkpoints?container=${container}`, { json })).json.id
  const present = async (container = ''): Promise<readonly string[]> => {
    const { json } = await call(`GET /v1/checkpoints?container=${container}`)
    return json.checkpoints.map(({ id }: { id: string }) => id)
  }
  const put = (json: unknown, query = '') => call(`PUT /v1/retention${query}`, { json })

  t.test('without rules everything stays', async (t) => {
    const { json } = await call('GET /v1/retention')
    t.same(json, {
      container: '',
      max_to_keep: null,
      keep_checkpoint_every_n_hours: null,
      best: null,
      since: null,
    })
    const dry = (await call('GET /v1/retention?dry_run=true')).json.report
    t.same(dry, { dry_run: true, deleted_count: 0, deleted: [], kept_count: 0, kept: [] })
  })

  t.test('a dry run tells what would go and why the rest stays, and deletes nothing', async (t) => {
    const ids = [
      await save({ metadata: { accuracy: 0.9 }, step: 1 }),
      await save({ metadata: { accuracy: 0.2 } }),
      await save({ labels: ['stable'] }),
      await save(),
    ]
    await call(`PATCH /v1/checkpoints/${ids[3]}`, { json: { pinned: true } })
    ids.push(await save())
    const rules = { max_to_keep: 1, best: { metadata: 'accuracy', mode: 'max', count: 1 } }
    const dry = await put(rules, '?dry_run=true')
    t.match(dry.json, { max_to_keep: 1, best: rules.best, since: null })
    t.same(
      dry.json.report.deleted.map(({ id }: { id: string }) => id),
      [ids[1]],
    )
    t.match(dry.json.report.kept, [
      { id: ids[4], because: ['newest'] },
      { id: ids[3], because: ['pinned'] },
      { id: ids[2], because: ['labelled'] },
      { id: ids[0], step: 1, because: ['best'] },
    ])
    t.equal((await present()).length, 5)
    t.equal((await call('GET /v1/retention')).json.max_to_keep, null)
    const set = await put(rules)
    t.match(set.json.report, { dry_run: false, deleted_count: 1, kept_count: 4 })
    t.same(await present(), [ids[4], ids[3], ids[2], ids[0]])
    t.match((await call('GET /v1/retention')).json, { max_to_keep: 1, best: rules.best })
  })

  t.test('after a save and an import the oldest are gone when the reply comes', async (t) => {
    await put({ max_to_keep: 2 }, '?container=other')
    const ids = [await save({}, 'other'), await save({}, 'other'), await save({}, 'other')]
    t.same(await present('other'), [ids[2], ids[1]])
    t.equal((await call(`GET /v1/checkpoints/${ids[0]}`)).status, 404)
    const { bytes } = await call(`GET /v1/checkpoints/${ids[2]}:download?format=safetensors`)
    const headers = { 'content-type': 'application/x-safetensors' }
    const uploaded = await call('POST /v1/checkpoints:upload?container=other', {
      body: bytes,
      headers,
    })
    t.same(await present('other'), [uploaded.json.id, ids[2]])
    t.equal((await present()).length, 4, 'other containers are left alone')
  })

  t.test('an operation that saves is done when the oldest are gone', async (t) => {
    const before = await present('other')
    let operation = (await call('POST /v1/checkpoints?container=other', { json: { async: true } }))
      .json
    while (operation.state === 'running') {
      operation = (await call(`GET /v1/operations/${operation.id}`)).json
    }
    t.same(await present('other'), [operation.result.id, before[0]])
  })

  t.test('what was let go of later goes with the next look', async (t) => {
    const kept = await present()
    const [last] = kept
    await call(`DELETE /v1/checkpoints/stable/labels/stable`)
    await service.retention.applyAll()
    const [pinned, best] = [kept[1], kept[3]]
    t.same(await present(), [last, pinned, best])
    await call(`PATCH /v1/checkpoints/${pinned}`, { json: { pinned: false } })
    const next = await save()
    t.same(await present(), [next, best])
  })

  t.test('every n hours one stays that leaves the newest', async (t) => {
    await put({ max_to_keep: 1, keep_checkpoint_every_n_hours: 1e-6 }, '?container=other')
    await new Promise((resolve) => setTimeout(resolve, 50))
    const [a, b] = [await save({}, 'other'), await save({}, 'other')]
    t.same((await present('other')).slice(0, 2), [b, a])
    const { report } = (await call('GET /v1/retention?container=other&dry_run=true')).json
    t.match(report.kept, [{ id: b }, { id: a, because: ['every_n_hours'] }])
    t.equal(report.deleted_count, 0)
    await put({ max_to_keep: 1 }, '?container=other')
    t.same(await present('other'), [b], 'without the rule nothing stays for it')
  })

  t.test('deletions are told', async (t) => {
    await put({}, '?container=other')
    t.equal((await call('GET /v1/retention?container=other')).json.since, null)
    await save({}, 'other')
    const [newest, ...older] = await present('other')
    t.equal(older.length, 1)
    const client = await EventClient.open(server)
    await client.until(() => client.lastId !== '')
    await put({ max_to_keep: 1 }, '?container=other')
    await client.until(() => client.events.length > 0)
    t.match(client.events[0], {
      event: 'checkpoint.deleted',
      data: { container: 'other', name: older[0] },
    })
    client.leave()
    t.same(await present('other'), [newest])
  })

  t.test('a save that is under way with others is never lost before its reply', async (t) => {
    const made = await Promise.all(Array.from({ length: 12 }, () => save({}, 'other')))
    t.ok(made.every((id) => typeof id === 'string'))
    t.same(await present('other'), [made.sort((a, b) => Number(b) - Number(a))[0]])
  })

  t.test('rules that cannot be are refused', async (t) => {
    const bad = [
      { max_to_keep: -1 },
      { max_to_keep: 1.5 },
      { max_to_keep: '5' },
      { keep_checkpoint_every_n_hours: 0 },
      { best: { metadata: 'a', mode: 'most', count: 1 } },
      { best: { metadata: 'a', mode: 'max', count: 0 } },
      { best: { metadata: '', mode: 'max', count: 1 } },
      { best: { mode: 'max', count: 1 } },
      { keep: 5 },
      [],
    ]
    for (const json of bad) {
      const refused = await put(json)
      t.same([refused.status, refused.json.reason], [400, 'http/invalid-body'], refused.text)
    }
    t.equal((await put({}, '?container=a%20b')).json.reason, 'name/invalid')
    t.equal((await call('PUT /v1/retention')).status, 400)
    t.same(await present('other').then(({ length }) => length), 1)
  })
})
