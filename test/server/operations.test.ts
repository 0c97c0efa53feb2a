// Operations over HTTP: their progress in bytes, asked for and followed.
import t from 'tap'
import { EventClient } from './event-client.ts'
import { startServer } from './helper.ts'

t.test('an asynchronous save tells its bytes and its end', async (t) => {
  const server = await startServer(t)
  const value = { value: [1, 2, 3], dtype: 'float32', shape: [3] }
  await server.call('POST /v1/variables', { json: { name: 'w', initializer: value } })
  await server.call('POST /v1/variables/w:initialize')
  const { status, json } = await server.call('POST /v1/checkpoints', { json: { async: true } })
  t.match({ status, json }, { status: 202, json: { state: /running|done/ } })
  const client = await EventClient.open(server, '', {}, `/v1/operations/${json.id}/events`)
  t.equal(client.headers['content-type'], 'text/event-stream; charset=utf-8')
  await client.until(() => false)
  const last = client.events.at(-1)
  t.match(last, {
    event: 'done',
    id: 'end',
    data: {
      id: json.id,
      kind: 'save_checkpoint',
      progress: { bytes_done: 12, bytes_total: 12 },
      result: { id: '1' },
      error: null,
    },
  })
  t.same((await server.call(`GET /v1/operations/${json.id}`)).json, last?.data)
  const again = await server.call(`GET /v1/operations/${json.id}/events`, {
    headers: { 'last-event-id': 'end' },
  })
  t.equal(again.status, 204, 'a client that comes back is told to stop')
})

t.test('progress comes as it is made; clients leave, and the server ends', async (t) => {
  let stop = async () => {}
  const server = await startServer(
    {
      teardown: (work) => {
        stop = work
      },
    },
    { limits: { eventHeartbeatMs: 50 } },
  )
  const steps = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const { id } = server.service.operations.start('copy', async (report) => {
    await steps.promise
    report({ bytesDone: 5, bytesTotal: 9 })
    await end.promise
    throw new Error('/secret/path')
  })
  const path = `/v1/operations/${id}/events`
  const [client, other] = [
    await EventClient.open(server, '', {}, path),
    await EventClient.open(server, '', {}, path),
  ]
  await client.until(() => client.events.length === 1)
  t.match(client.events[0], { event: 'running', data: { progress: { bytes_total: null } } })
  steps.resolve()
  await client.until(() => client.events.length === 2)
  t.match(client.events[1].data.progress, { bytes_done: 5, bytes_total: 9 })
  client.leave()
  t.equal((await server.call(`HEAD ${path}`)).status, 200)
  t.equal((await server.call('GET /v1/operations/77/events')).status, 404)
  const json = { headers: { accept: 'application/json' } }
  t.equal((await server.call(`GET ${path}`, json)).status, 406)
  const stopped = stop()
  await other.until(() => false)
  t.ok(other.isDone, 'a stream does not hold up the end')
  end.resolve()
  await stopped
})

t.test('an operation is cancelled by its verb, and tells that it was', async (t) => {
  const server = await startServer(t)
  const started = Promise.withResolvers<void>()
  const { id } = server.service.operations.start('copy', async (report, signal) => {
    report({ bytesDone: 1, bytesTotal: 9 })
    started.resolve()
    await new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  })
  await started.promise
  const client = await EventClient.open(server, '', {}, `/v1/operations/${id}/events`)
  const cancelled = await server.call(`POST /v1/operations/${id}:cancel`)
  t.match(
    { status: cancelled.status, ...cancelled.json },
    { status: 200, state: 'cancelled', cancelling: false, error: null, result: null },
  )
  await client.until(() => false)
  t.match(client.events.at(-1), { event: 'cancelled', id: 'end', data: cancelled.json })
  t.same((await server.call(`POST /v1/operations/${id}:cancel`)).json, cancelled.json, 'twice')
  const done = server.service.operations.start('copy', async () => 'copied')
  await server.service.operations.idle()
  const late = await server.call(`POST /v1/operations/${done.id}:cancel`)
  t.match({ status: late.status, ...late.json }, { status: 409, reason: 'operation/ended' })
  t.equal((await server.call('POST /v1/operations/77:cancel')).status, 404)
})

t.test('a save that is cancelled at once leaves a whole checkpoint or none', async (t) => {
  const server = await startServer(t)
  const value = { value: [1, 2, 3], dtype: 'float32', shape: [3] }
  await server.call('POST /v1/variables', { json: { name: 'w', initializer: value } })
  await server.call('POST /v1/variables/w:initialize')
  for (let time = 0; time < 10; time++) {
    const before = (await server.call('GET /v1/checkpoints')).json.checkpoints.length
    const { json } = await server.call('POST /v1/checkpoints', { json: { async: true } })
    await server.call(`POST /v1/operations/${json.id}:cancel`)
    await server.service.operations.idle()
    const { state, result } = (await server.call(`GET /v1/operations/${json.id}`)).json
    const { checkpoints } = (await server.call('GET /v1/checkpoints')).json
    t.equal(checkpoints.length - before, state === 'done' ? 1 : 0, state)
    if (state === 'done') t.same(checkpoints[0], result)
    else t.equal(state, 'cancelled')
  }
})
