// Refusals: the one table, the form of every problem, and the odd corners of HTTP.
import { type AddressInfo, connect } from 'node:net'
import t from 'tap'
import { problemOf, refusalOf, statusOf } from '../../server/errors.ts'
import { buildApp } from '../../server/index.ts'
import { type Code, Refusal } from '../../tensor/index.ts'
import { startServer } from './helper.ts'

t.test('every code has its status, and its exceptions by reason', async (t) => {
  const rows: readonly (readonly [Code, string, number])[] = [
    ['INVALID_ARGUMENT', 'name/invalid', 400],
    ['INVALID_ARGUMENT', 'shape/mismatch', 422],
    ['INVALID_ARGUMENT', 'idempotency/mismatch', 422],
    ['INVALID_ARGUMENT', 'http/not-acceptable', 406],
    ['INVALID_ARGUMENT', 'http/unsupported-media-type', 415],
    ['UNAUTHENTICATED', 'token/missing', 401],
    ['PERMISSION_DENIED', 'op/not-allowed', 403],
    ['NOT_FOUND', 'variable/unknown', 404],
    ['NOT_FOUND', 'bundle/not-found', 422],
    ['ALREADY_EXISTS', 'variable/already-exists', 409],
    ['ABORTED', 'idempotency/in-flight', 409],
    ['FAILED_PRECONDITION', 'variable/uninitialized', 409],
    ['FAILED_PRECONDITION', 'variable/version-mismatch', 412],
    ['FAILED_PRECONDITION', 'http/if-match-needed', 428],
    ['OUT_OF_RANGE', 'run/limit', 400],
    ['OUT_OF_RANGE', 'http/range', 416],
    ['RESOURCE_EXHAUSTED', 'body/too-large', 413],
    ['RESOURCE_EXHAUSTED', 'queue/full', 429],
    ['RESOURCE_EXHAUSTED', 'store/full', 507],
    ['RESOURCE_EXHAUSTED', 'device/memory', 507],
    ['DATA_LOSS', 'bundle/crc-mismatch', 422],
    ['DATA_LOSS', 'store/chunk-damaged', 500],
    ['UNIMPLEMENTED', 'op/unknown', 501],
    ['INTERNAL', 'internal', 500],
    ['UNKNOWN', 'unknown', 500],
    ['CANCELLED', 'http/aborted', 499],
    ['DEADLINE_EXCEEDED', 'run/deadline', 504],
    ['UNAVAILABLE', 'device/lost', 503],
  ]
  for (const [code, reason, status] of rows) t.equal(statusOf(code, reason), status, reason)
})

t.test('a problem says what the refusal says and no more', async (t) => {
  const refusal = new Refusal('NOT_FOUND', 'variable/unknown', 'There is no variable w.', {
    fix: 'Make it.',
    names: { variable: 'w' },
    cause: new Error('SELECT secret FROM /data'),
  })
  t.same(problemOf(refusal, '/v1/variables/w'), {
    type: 'urn:holdfast:variable/unknown',
    title: 'Not found',
    status: 404,
    detail: 'There is no variable w.',
    instance: '/v1/variables/w',
    code: 'NOT_FOUND',
    reason: 'variable/unknown',
    fix: 'Make it.',
    names: { variable: 'w' },
  })
  const internal = problemOf(refusalOf(new Error('at /home/x: SQLITE_CORRUPT')), '/x')
  t.equal(internal.status, 500)
  t.notMatch(JSON.stringify(internal), /SQLITE|home/)
  const full = Object.assign(new Error('write'), { code: 'ENOSPC' })
  t.equal(problemOf(refusalOf(full), '/x').status, 507)
})

t.test('refusals over HTTP', async (t) => {
  const { call, base } = await startServer(t, { limits: { jsonBodyBytes: 2000 } })
  await call('POST /v1/variables', { json: { name: 'w', shape: [] } })
  await call('POST /v1/variables/w:assign', { json: 1 })
  const json = { 'content-type': 'application/json' }

  t.test('every refusal is a problem with all its parts', async (t) => {
    const deep = `${'['.repeat(900)}1${']'.repeat(900)}`
    const requests: readonly (readonly [string, string | undefined, object, number, string])[] = [
      ['GET /nowhere', undefined, {}, 404, 'http/unknown-route'],
      ['POST /v1/variables/w:explode', undefined, {}, 404, 'http/unknown-route'],
      ['GET /v1/variables/%zz', undefined, {}, 400, 'http/bad-url'],
      ['GET /v1/variables/%00', undefined, {}, 404, 'variable/unknown'],
      ['GET /v1/variables/%2e%2e%2fetc', undefined, {}, 404, 'variable/unknown'],
      [`GET /v1/variables/${'n'.repeat(5000)}`, undefined, {}, 400, 'name/invalid'],
      ['GET /v1/variables?limit=0', undefined, {}, 400, 'http/invalid-querystring'],
      ['GET /v1/variables?limit=1001', undefined, {}, 400, 'http/invalid-querystring'],
      ['GET /v1/variables?limit=1&limit=2', undefined, {}, 400, 'http/invalid-querystring'],
      ['GET /v1/variables?dtype=float99', undefined, {}, 422, 'dtype/unknown'],
      ['GET /v1/variables?cursor=forged', undefined, {}, 400, ''],
      ['POST /v1/variables', undefined, {}, 400, 'http/empty-body'],
      ['POST /v1/variables', '', json, 400, 'http/empty-body'],
      ['POST /v1/variables', '{"name":"x"', json, 400, 'http/malformed-json'],
      ['POST /v1/variables', '\ufeff{"name":"x"}', json, 400, 'http/malformed-json'],
      ['POST /v1/variables', 'null', json, 400, 'http/invalid-body'],
      ['POST /v1/variables', '[]', json, 400, 'http/invalid-body'],
      ['POST /v1/variables', '{}', json, 400, 'http/invalid-body'],
      ['POST /v1/variables', '{"name":"x","shape":"2"}', json, 400, 'http/invalid-body'],
      ['POST /v1/variables', '{"name":"x","shap":[2]}', json, 400, 'http/invalid-body'],
      ['POST /v1/variables', '{"name":"x","__proto__":{}}', json, 400, 'http/malformed-json'],
      ['POST /v1/variables', '{"name":"a:b","shape":[]}', json, 400, 'name/invalid'],
      ['POST /v1/variables', '{"name":"../etc","shape":[]}', json, 201, ''],
      ['POST /v1/variables', '{"name":"","shape":[]}', json, 400, 'name/invalid'],
      [
        'POST /v1/variables',
        `{"name":"${'n'.repeat(1500)}","shape":[]}`,
        json,
        400,
        'name/invalid',
      ],
      [
        'POST /v1/variables',
        '{"name":"x","shape":[4294967296,4294967296]}',
        json,
        422,
        'shape/invalid',
      ],
      ['POST /v1/variables', '{"name":"x","shape":[65536,65536]}', json, 413, 'tensor/too-large'],
      [
        'POST /v1/variables',
        '{"name":"x","shape":[2],"dtype":"float99"}',
        json,
        422,
        'dtype/unknown',
      ],
      [
        'POST /v1/variables',
        '{"name":"x","shape":[2],"device":"/bus:1"}',
        json,
        400,
        'device/invalid',
      ],
      [
        'POST /v1/variables',
        '{"name":"x","shape":[2],"initializer":{"kind":"magic"}}',
        json,
        501,
        'initializer/unknown',
      ],
      [
        'POST /v1/variables',
        '{"name":"x","shape":[2],"initializer":{"kind":"ones","seed":1}}',
        json,
        422,
        'initializer/invalid',
      ],
      [
        'POST /v1/variables',
        '{"name":"x"}',
        { 'content-type': 'text/json' },
        415,
        'http/unsupported-media-type',
      ],
      [
        'POST /v1/variables',
        '{"name":"x"}',
        { 'content-type': 'application/jsonx' },
        415,
        'http/unsupported-media-type',
      ],
      ['POST /v1/variables', `"${'x'.repeat(3000)}"`, json, 413, 'body/too-large'],
      ['POST /v1/variables/w:assign', deep, json, 422, 'tensor/ragged'],
      ['POST /v1/variables/none:assign', '1', json, 404, 'variable/unknown'],
      [
        'POST /v1/variables/w:assign',
        '1',
        { ...json, 'if-match': '"9"' },
        412,
        'variable/version-mismatch',
      ],
      [
        'POST /v1/variables/w:assign',
        '1',
        { ...json, 'idempotency-key': 'k'.repeat(300) },
        400,
        'idempotency/invalid-key',
      ],
      ['GET /v1/graphs/none', undefined, {}, 404, 'graph/unknown'],
      ['GET /v1/checkpoints/none', undefined, {}, 404, 'checkpoint/unknown'],
      [
        'POST /v1/checkpoints',
        '{"names":["w"],"collection":"variables"}',
        json,
        422,
        'checkpoint/ambiguous-selection',
      ],
      ['POST /v1/checkpoints', '{"names":["none"]}', json, 404, 'variable/unknown'],
      ['POST /v1/checkpoints?container=a%00b', undefined, {}, 400, 'name/invalid'],
      ['POST /v1/devices/TPU:0:load', '{"names":[]}', json, 404, ''],
      ['GET /v1/operations/none', undefined, {}, 404, 'operation/unknown'],
    ]
    for (const [request, body, headers, status, reason] of requests) {
      const reply = await call(request, {
        ...(body === undefined ? {} : { body }),
        headers: { ...headers },
      })
      t.equal(
        reply.status,
        status,
        `${request.slice(0, 80)} ${(body ?? '').slice(0, 80)} ${reply.text.slice(0, 200)}`,
      )
      if (status < 400) continue
      t.equal(reply.headers.get('content-type'), 'application/problem+json; charset=utf-8')
      for (const part of ['type', 'title', 'detail', 'instance', 'code', 'reason']) {
        t.type(reply.json[part], 'string', part)
      }
      t.equal(reply.json.status, status)
      if (reason !== '') t.equal(reply.json.reason, reason)
      t.notMatch(reply.text, /\.ts:|node_modules|SQLITE|SELECT |holdfast-server-/)
    }
    t.equal((await call('GET /v1/variables/w:read_value')).json.value, 1)
  })

  t.test('a wrong content type names the right ones', async (t) => {
    const reply = await call('POST /v1/variables/w:assign', {
      body: '1',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
    t.equal(reply.status, 415)
    t.match(reply.json.detail, 'application/x-npy')
    t.match(reply.json.fix, "-H 'content-type: application/json'")
  })

  t.test('malformed HTTP ends its own connection only', async (t) => {
    const { hostname, port } = new URL(base)
    const send = (text: string) =>
      new Promise<string>((resolve) => {
        let answer = ''
        const socket = connect(Number(port), hostname, () => socket.write(text))
        socket.setTimeout(2000, () => socket.destroy())
        socket.on('data', (data) => {
          answer += data
        })
        socket.on('error', () => resolve(answer))
        socket.on('close', () => resolve(answer))
      })
    const head =
      'POST /v1/variables/w:assign HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
    t.match(await send('nonsense\r\n\r\n'), /^HTTP\/1\.1 400/)
    t.match(
      await send(`GET /healthz HTTP/1.1\r\nhost: x\r\nlong: ${'h'.repeat(17_000)}\r\n\r\n`),
      /^HTTP\/1\.1 431/,
    )
    const both = `${head}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n5\r\n0\r\n\r\n`
    t.match(await send(both), /^HTTP\/1\.1 400/)
    t.match(
      await send(`${head}content-length: 5000\r\nconnection: close\r\n\r\n1`),
      /^HTTP\/1\.1 413/,
    )
    t.equal((await call('GET /healthz')).status, 200)
    t.equal((await call('GET /v1/variables/w:read_value')).json.value, 1)
  })

  t.test('refusals are counted by their reason', async (t) => {
    const { text } = await call('GET /metrics')
    t.match(text, /holdfast_refusals_total\{reason="variable\/unknown"\} \d+/)
    t.match(text, /holdfast_request_duration_seconds_count\{/)
    t.match(text, /holdfast_store_bytes\{part="catalogue"\} \d+/)
  })

  t.test('health, readiness, limits and devices answer', async (t) => {
    t.same((await call('GET /healthz')).json, { status: 'ok' })
    const ready = await call('GET /readyz')
    t.equal(ready.status, 200)
    t.match(ready.json, { ready: true, store: { writable: true, reason: null } })
    t.equal((await call('GET /v1/limits')).json.json_body_bytes, 2000)
    t.match((await call('GET /v1/limits')).json, {
      header_bytes: 16_384,
      json_depth: 1000,
      json_keys: 10_000,
      idempotency_key_length: 255,
      event_log_commits: 100_000,
      event_log_bytes: 256 * 2 ** 20,
    })
    const { devices } = (await call('GET /v1/devices')).json
    t.same(
      fieldsOf(devices).filter((field) => !/^[a-z0-9_]+$/.test(field)),
      [],
      'all snake_case',
    )
    t.ok(fieldsOf(devices).includes('live_buffers'))
    t.match(devices, [{ state: 'ready', default: true }])
    t.equal((await call('HEAD /healthz')).status, 200)
  })
})

t.test(
  'the root sends a browser to the documentation and tells others what there is',
  async (t) => {
    const { base, call } = await startServer(t)
    const root = await call('GET /')
    t.match(root.json, { docs: '/docs', openapi: '/openapi.json', variables: '/v1/variables' })
    for (const path of Object.values<string>(root.json).filter((one) => one.startsWith('/'))) {
      t.equal((await call(`GET ${path}`)).status, 200, path)
    }
    const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
    const browser = await fetch(`${base}/`, { headers: { accept }, redirect: 'manual' })
    t.equal(browser.status, 302)
    t.equal(browser.headers.get('location'), '/docs')
  },
)

t.test('a thread that has too much to do says so', async (t) => {
  const { service } = await startServer(t)
  const app = await buildApp({ service, logLevel: 'silent', mostEventLoopDelayMs: 20 })
  t.teardown(() => app.close())
  let reply = await app.inject('/healthz')
  for (let tries = 0; tries < 100 && reply.statusCode === 200; tries++) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    await new Promise((resolve) => setTimeout(resolve, 1))
    reply = await app.inject('/healthz')
  }
  t.match(reply.json(), { status: 503, code: 'UNAVAILABLE', reason: 'server/overloaded' })
  t.equal(reply.headers['retry-after'], '1')
})

t.test('a server that ends refuses what still comes as a problem', async (t) => {
  const { base, service } = await startServer(t)
  // Other processes must not make a test's server refuse requests.
  const app = await buildApp({ service, logLevel: 'silent', mostEventLoopDelayMs: 0 })
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  app.get('/held', async () => {
    await held
    return { held: true }
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const replies = await new Promise<string>((resolve) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () => {
      socket.write('GET /held HTTP/1.1\r\nhost: x\r\n\r\n')
    })
    socket.on('data', (data) => {
      text += data
    })
    socket.on('close', () => resolve(text))
    setTimeout(() => {
      void app.close()
      setTimeout(() => {
        socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n')
        setTimeout(release, 50)
      }, 50)
    }, 100)
  })
  const [, first, second] = replies.split('HTTP/1.1 ')
  t.match(first, /^200 /)
  t.match(second, /^503 /)
  t.match(second, /retry-after: 1/)
  t.match(second, /application\/problem\+json/)
  t.match(second, /"reason":"server\/closing"/)
  t.equal((await fetch(`${base}/healthz`)).status, 200, 'another app on the service goes on')
})

/** The names of all fields, at every depth. */
function fieldsOf(json: unknown): readonly string[] {
  if (Array.isArray(json)) return json.flatMap(fieldsOf)
  if (typeof json !== 'object' || json === null) return []
  return Object.entries(json).flatMap(([key, value]) => [key, ...fieldsOf(value)])
}
