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
