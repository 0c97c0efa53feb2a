// The stream of events over a socket: its form, resuming, slow and leaving clients, and the end.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { EventClient, type SeenEvent } from './event-client.ts'
import { startServer, type TestServer } from './helper.ts'

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function make(server: TestServer, name: string): Promise<void> {
  await server.call('POST /v1/variables', {
    json: { name, shape: [2], initializer: { kind: 'zeros' } },
  })
}

async function assign(server: TestServer, name: string, times = 1): Promise<void> {
  for (let time = 0; time < times; time++) {
    const reply = await server.call(`POST /v1/variables/${name}:assign`, { json: [time, 1] })
    if (reply.status !== 200) throw new Error(reply.text)
  }
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

async function noStreams(server: TestServer): Promise<boolean> {
  for (let turn = 0; turn < 200 && server.service.events.size().streams > 0; turn++) await later(10)
  return server.service.events.size().streams === 0
}

t.test('changes come as events with a place, a kind and JSON, nothing held back', async (t) => {
  const server = await startServer(t)
  const client = await EventClient.open(server)
  t.equal(client.headers['content-type'], 'text/event-stream; charset=utf-8')
  t.match(client.headers['cache-control'] ?? '', /no-cache/)
  t.equal(client.headers['x-accel-buffering'], 'no')
  t.notOk(client.headers['content-encoding'])
  await client.until(() => client.lastId !== '')
  t.ok(client.retryMs > 0)
  await make(server, 'dense/w')
  await assign(server, 'dense/w')
  await server.call('POST /v1/checkpoints', { json: { labels: ['best'] } })
  await server.call('POST /v1/collections/c', { json: { value: 1 } })
  await server.call('PUT /v1/scopes/dense', { json: { dtype: 'float64' } })
  await server.call('DELETE /v1/variables/dense/w')
  await client.until(() => client.events.some(({ event }) => event === 'variable.deleted'))
  t.same(
    client.events.map(({ event, data }) => `${event} ${data.name}`),
    [
      'variable.created dense/w',
      'variable.written dense/w',
      'checkpoint.created 1',
      'label.created best',
      'collection.created c',
      'scope.created dense',
      'variable.deleted dense/w',
    ],
  )
  t.match(client.events[1], {
    id: /^\d+-1$/,
    data: {
      id: client.events[1].id,
      kind: 'variable',
      action: 'written',
      container: '',
      version: 1,
      at: /^\d{4}-\d\d-\d\dT/,
    },
  })
  client.leave()
  t.ok(await noStreams(server))
})

t.test('a client that comes back is told exactly what it missed', async (t) => {
  const server = await startServer(t)
  await make(server, 'w')
  const all: SeenEvent[] = []
  let lastId = '0-0'
  const writing = assign(server, 'w', 120)
  for (let turn = 0; (all.at(-1)?.data.version ?? 0) < 120; turn++) {
    const byHeader = turn % 2 === 0
    const client = await EventClient.open(
      server,
      byHeader ? '?action=written&last_event_id=0-0' : `?action=written&last_event_id=${lastId}`,
      byHeader ? { 'last-event-id': lastId } : {},
    )
    await client.until(
      () => client.events.length >= 7 || client.events.at(-1)?.data.version === 120,
    )
    client.leave()
    all.push(...client.events)
    lastId = client.lastId
  }
  await writing
  t.same(
    all.map(({ data }) => data.version),
    upTo(120),
  )
  t.ok(await noStreams(server))
})

t.test('a place that the log does not know is answered with a gap', async (t) => {
  const server = await startServer(t)
  await make(server, 'w')
  const client = await EventClient.open(server, '', { 'last-event-id': '99999-1' })
  await client.until(() => client.events.length > 0)
  const [gap] = client.events
  t.match(gap, { event: 'gap', data: { after: '99999-1', resumes_after: /^\d+-\d+$/ } })
  t.equal(gap.id, gap.data.resumes_after, 'a client that comes back has no second gap')
  await assign(server, 'w')
  await client.until(() => client.events.length > 1)
  t.equal(client.events[1].event, 'variable.written')
  client.leave()
})

t.test('filters narrow the stream, and what cannot be is refused', async (t) => {
  const server = await startServer(t, { limits: { eventStreams: 1 } })
  await make(server, 'a/w')
  await make(server, 'b/w')
  await server.call('POST /v1/variables?container=c', { json: { name: 'a/w', shape: [] } })
  await assign(server, 'a/w')
  await server.call('POST /v1/checkpoints', { json: { names: ['a/w'] } })
  const names = async (query: string) => {
    const client = await EventClient.open(server, `?last_event_id=0-0&${query}`)
    await client.until(() => client.lastId === '5-1')
    client.leave()
    await noStreams(server)
    return client.events.map(({ event, data }) => `${event} ${data.name}`)
  }
  t.same(await names('kind=checkpoint,label'), ['checkpoint.created 1'])
  t.same(await names('prefix=a/&container=&action=created'), ['variable.created a/w'])
  t.same(await names('container=c'), ['variable.created a/w'])
  t.same(await names('name=b/w,%201&action=created'), [
    'variable.created b/w',
    'checkpoint.created 1',
  ])
  for (const query of ['kind=vars', 'action=eaten', 'last_event_id=4', 'last_event_id=4-x']) {
    const { status } = await server.call(`GET /v1/events?${query}`)
    t.equal(status, 400, query)
  }
  const json = { headers: { accept: 'application/json' } }
  t.equal((await server.call('GET /v1/events', json)).status, 406)
  const one = await EventClient.open(server)
  const two = await server.call('GET /v1/events')
  t.match(two, { status: 429, json: { reason: 'events/too-many-streams' } })
  one.leave()
  t.ok(await noStreams(server))
  const three = await EventClient.open(server)
  three.leave()
})

t.test('HEAD tells the headers and opens no stream', async (t) => {
  const server = await startServer(t)
  const reply = await server.call('HEAD /v1/events')
  t.equal(reply.status, 200)
  t.match(reply.headers.get('content-type') ?? '', /^text\/event-stream/)
  t.equal(server.service.events.size().streams, 0)
})

t.test('a silent stream shows signs of life and moves the place on', async (t) => {
  const server = await startServer(t, { limits: { eventHeartbeatMs: 30 } })
  const client = await EventClient.open(server, '?kind=model')
  await client.until(() => client.lastId !== '')
  const before = client.lastId
  await make(server, 'w')
  await client.until(() => client.lastId !== before)
  t.same(client.events, [])
  client.leave()
})

/** A client that has sent its request and reads nothing. */
async function stalled({ base }: TestServer, path: string): Promise<Socket> {
  const socket = connect({ port: Number(new URL(base).port), host: '127.0.0.1' })
  await once(socket, 'connect')
  socket.pause()
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
  return socket
}

t.test(
  'a client that does not read costs little, holds nobody up, and loses nothing',
  async (t) => {
    const server = await startServer(t, { limits: { eventsQueued: 20 } })
    // Long names, so that the buffers of the sockets do not take them all.
    const names = Array.from({ length: 150 }, (_, index) => `${index}/${'n'.repeat(900)}`)
    const variables = names.map((name) => ({ name, shape: [], collections: [] }))
    for (const json of variables) await server.call('POST /v1/variables', { json })
    const socket = await stalled(server, '/v1/events')
    const quick = await EventClient.open(server)
    await quick.until(() => quick.lastId !== '')
    const members = names.map((variable) => ({ variable }))
    for (let round = 0; round < 20; round++) {
      await server.call('POST /v1/collections/c', { json: { members } })
      await server.call('DELETE /v1/collections/c')
    }
    await quick.until(() => quick.events.length === 20 * 2 * 151)
    let text = ''
    socket.on('data', (bytes) => {
      text += bytes
    })
    socket.resume()
    const end = `id: ${quick.lastId}\n`
    for (let turn = 0; turn < 500 && !text.includes(end); turn++) await later(10)
    const ids = [...text.matchAll(/id: (.*)\nevent: /g)].map(([, id]) => id)
    t.equal(ids.length, quick.events.length)
    t.ok(ids.every((id, index) => id === quick.events[index].id))
    socket.destroy()
    quick.leave()
    t.ok(await noStreams(server))
  },
)

t.test('a wait for a version answers with it, in time or not at all', async (t) => {
  const server = await startServer(t)
  await make(server, 'v')
  await make(server, 'w')
  const both = server.call('GET /v1/variables:read_values?names=v,w&min_version=2')
  await assign(server, 'v', 2)
  await assign(server, 'w', 2)
  t.match((await both).json, { values: { v: { version: 2, value: [1, 1] }, w: { version: 2 } } })
  const late = await server.call('GET /v1/variables/w:read_value?min_version=3&timeout_ms=30')
  t.match(late, { status: 504, json: { reason: 'variable/version-not-reached' } })
  t.same(late.json.names, { variable: 'w', container: '', version: 2, min_version: 3 })
  const unknown = await server.call('GET /v1/variables/x:read_value?min_version=1')
  t.equal(unknown.status, 404)
  const socket = await stalled(server, '/v1/variables/w:read_value?min_version=9')
  for (let turn = 0; turn < 100 && server.service.events.size().waits === 0; turn++) await later(5)
  t.equal(server.service.events.size().waits, 1)
  socket.destroy()
  for (let turn = 0; turn < 200 && server.service.events.size().waits > 0; turn++) await later(5)
  t.equal(server.service.events.size().waits, 0, 'nobody waits for a client that has gone')
})

t.test('streams and waits end with the server, and do not hold it up', async (t) => {
  let stop = async () => {}
  const server = await startServer({
    teardown: (work) => {
      stop = work
    },
  })
  await make(server, 'w')
  const client = await EventClient.open(server)
  await client.until(() => client.lastId !== '')
  const wait = server.call('GET /v1/variables/w:read_value?min_version=5')
  const open = await stalled(server, '/v1/events')
  const silent = connect({ port: Number(new URL(server.base).port), host: '127.0.0.1' })
  await once(silent, 'connect')
  for (let turn = 0; turn < 100 && server.service.events.size().waits === 0; turn++) await later(5)
  const begun = performance.now()
  await stop()
  t.ok(performance.now() - begun < 5_000)
  t.match(await wait, { status: 503, json: { reason: 'server/closing' } })
  await client.until(() => false)
  t.ok(client.isDone)
  open.destroy()
  silent.destroy()
})
