// Labels over HTTP: turned by compare-and-set, listed with who turned them, and turned back.
import t from 'tap'
import { startServer, type TestServer } from './helper.ts'

async function withVariable(t: Parameters<typeof startServer>[0]): Promise<TestServer> {
  const server = await startServer(t)
  const initializer = { dtype: 'float32', value: [1, 2] }
  await server.call('POST /v1/variables', { json: { name: 'w', initializer } })
  await server.call('POST /v1/variables/w:initialize')
  return server
}

t.test('labels over HTTP', async (t) => {
  const { call } = await withVariable(t)
  const save = async (labels: readonly string[] = []): Promise<string> =>
    (await call('POST /v1/checkpoints', { json: { labels } })).json.id
  const by = (actor: string) => ({ headers: { 'x-holdfast-actor': actor } })

  t.test('a label is turned only from where it is expected to be', async (t) => {
    const [a, b] = [await save(), await save()]
    const made = await call(`PUT /v1/checkpoints/${a}/labels/prod?expect=none`, by('ann'))
    t.same([made.status, made.json.labels], [200, ['prod']])
    const stale = await call(`PUT /v1/checkpoints/${b}/labels/prod?expect=none`)
    t.equal(stale.status, 412)
    t.match(stale.json, {
      reason: 'label/mismatch',
      detail: `The label "prod" points to checkpoint ${a}; nothing was expected.`,
      names: { label: 'prod', checkpoint: a },
    })
    t.equal((await call(`PUT /v1/checkpoints/${b}/labels/prod?expect=${b}`)).status, 412)
    t.equal((await call(`PUT /v1/checkpoints/${b}/labels/prod?expect=${a}`, by('bob'))).status, 200)
    t.equal((await call('GET /v1/checkpoints/prod')).json.id, b)
    const bad = await call(`PUT /v1/checkpoints/${b}/labels/prod?expect=prod`)
    t.equal(bad.status, 400)
  })

  t.test('of many who turn a label from one place, one does', async (t) => {
    const from = await save(['race'])
    const ids = await Promise.all(Array.from({ length: 8 }, () => save()))
    const replies = await Promise.all(
      ids.map((id) => call(`PUT /v1/checkpoints/${id}/labels/race?expect=${from}`)),
    )
    t.same(replies.map(({ status }) => status).sort(), [200, ...Array(7).fill(412)])
    const winner = ids[replies.findIndex(({ status }) => status === 200)]
    t.equal((await call('GET /v1/checkpoints/labels/race')).json.checkpoint, winner)
  })

  t.test('its history says where it pointed, when, and turned by whom', async (t) => {
    const { json } = await call('GET /v1/checkpoints/labels/prod')
    t.match(json, { label: 'prod', container: '', changed_by: 'bob', cursor: null })
    t.same(
      json.history.map((turn: { changed_by: string }) => turn.changed_by),
      ['bob', 'ann'],
    )
    t.equal(json.checkpoint, json.history[0].checkpoint)
    t.match(json.history[1].changed_at, /^\d{4}-\d\d-\d\dT/)
    const first = (await call('GET /v1/checkpoints/labels/prod?limit=1')).json
    const second = (await call(`GET /v1/checkpoints/labels/prod?limit=1&cursor=${first.cursor}`))
      .json
    t.same([...first.history, ...second.history], json.history)
    t.equal(second.cursor, null)
    const unknown = await call('GET /v1/checkpoints/labels/nope')
    t.same([unknown.status, unknown.json.reason], [404, 'label/unknown'])
  })

  t.test('a label goes back one turn, and says where there is nothing to go back to', async (t) => {
    const [a, b] = [await save(['back']), await save(['back'])]
    const back = await call('POST /v1/checkpoints/labels/back:rollback', by('eve'))
    t.match(back.json, { label: 'back', checkpoint: a, changed_by: 'eve' })
    const stale = await call(`POST /v1/checkpoints/labels/back:rollback?expect=${b}`)
    t.equal(stale.status, 412)
    const forth = await call(`POST /v1/checkpoints/labels/back:rollback?expect=${a}`)
    t.equal(forth.json.checkpoint, b)
    t.equal((await call(`DELETE /v1/checkpoints/${a}`)).status, 204)
    const gone = await call('POST /v1/checkpoints/labels/back:rollback')
    t.same([gone.status, gone.json.reason], [409, 'label/checkpoint-gone'])
    t.match(gone.json.detail, new RegExp(`checkpoint ${a} before, which has been deleted`))
    await save(['fresh'])
    const nothing = await call('POST /v1/checkpoints/labels/fresh:rollback')
    t.same([nothing.status, nothing.json.reason], [409, 'label/nothing-before'])
    t.equal((await call('POST /v1/checkpoints/labels/nope:rollback')).status, 404)
  })

  t.test('who saved, imported and deleted turned the labels', async (t) => {
    const headers = { 'x-holdfast-actor': 'cron' }
    const saved = await call('POST /v1/checkpoints', { json: { labels: ['nightly'] }, headers })
    const { id } = saved.json
    const { bytes } = await call(`GET /v1/checkpoints/${id}:download?format=safetensors`)
    const imported = await call('POST /v1/checkpoints:upload?label=nightly', {
      body: bytes,
      headers: { 'content-type': 'application/x-safetensors', 'x-holdfast-actor': 'ann' },
    })
    await call(`DELETE /v1/checkpoints/${imported.json.id}`, by('bob'))
    const { json } = await call('GET /v1/checkpoints/labels/nightly')
    t.match(json, { checkpoint: null, changed_by: 'bob' })
    t.match(json.history, [
      { checkpoint: null, changed_by: 'bob' },
      { checkpoint: imported.json.id, changed_by: 'ann' },
      { checkpoint: id, changed_by: 'cron' },
    ])
    const long = await call(`PUT /v1/checkpoints/${id}/labels/x`, by('x'.repeat(201)))
    t.equal(long.status, 400)
  })

  t.test('a label that was taken off points nowhere, and can be had back', async (t) => {
    const id = await save(['off'])
    const other = await save()
    const wrong = await call(`DELETE /v1/checkpoints/${other}/labels/off`)
    t.same([wrong.status, wrong.json.reason], [404, 'checkpoint/unknown-label'])
    t.equal((await call(`DELETE /v1/checkpoints/${id}/labels/off?expect=${other}`)).status, 412)
    t.equal((await call(`DELETE /v1/checkpoints/${id}/labels/off`, by('ann'))).status, 204)
    const view = (await call('GET /v1/checkpoints/labels/off')).json
    t.match(view, { checkpoint: null, container: null, changed_by: 'ann' })
    const back = await call('POST /v1/checkpoints/labels/off:rollback?expect=none')
    t.equal(back.json.checkpoint, id)
  })

  t.test('labels are listed by name, in pages, and may hold slashes', async (t) => {
    const id = await save()
    t.equal((await call(`PUT /v1/checkpoints/${id}/labels/runs/7/best`)).status, 200)
    t.equal((await call('GET /v1/checkpoints/labels/runs/7/best')).json.checkpoint, id)
    t.equal((await call('GET /v1/checkpoints/runs%2F7%2Fbest')).json.id, id)
    const rolled = await call('POST /v1/checkpoints/labels/runs/7/best:rollback')
    t.equal(rolled.json.reason, 'label/nothing-before')
    const names: string[] = []
    let cursor = ''
    do {
      const page = (await call(`GET /v1/checkpoints/labels?limit=2${cursor}`)).json
      names.push(...page.labels.map(({ label }: { label: string }) => label))
      cursor = page.cursor === null ? '' : `&cursor=${page.cursor}`
    } while (cursor !== '')
    t.same(names, ['back', 'fresh', 'off', 'prod', 'race', 'runs/7/best'])
    for (const label of ['12', 'latest', 'labels', 'a b']) {
      const refused = await call(`PUT /v1/checkpoints/${id}/labels/${encodeURIComponent(label)}`)
      t.same([refused.status, refused.json.reason], [400, 'name/invalid'], label)
    }
  })
})
