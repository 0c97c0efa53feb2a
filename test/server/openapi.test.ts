// The OpenAPI document: written from the running app, whole, and usable.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { documentText } from '../../openapi/write.ts'
import { buildApp } from '../../server/index.ts'
import { startServer } from './helper.ts'

type Json = Readonly<Record<string, unknown>>

t.test('openapi.json is what the app says of itself', async (t) => {
  const kept = readFileSync(join(import.meta.dirname, '../../openapi/openapi.json'), 'utf8')
  t.equal(await documentText(), kept, 'run `npm run openapi` after changing a route')
})

t.test('the document over HTTP', async (t) => {
  const { call, service } = await startServer(t)
  const document = (await call('GET /openapi.json')).json
  const operations = Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      path,
      method,
      operation: operation as {
        operationId: string
        summary: string
        tags: readonly string[]
        responses: Json
        requestBody?: { content: Readonly<Record<string, { example?: unknown }>> }
        parameters?: readonly { in: string; name: string }[]
      },
    })),
  )

  t.test('it is OpenAPI 3.1, and every reference in it leads somewhere', async (t) => {
    t.match(document.openapi, /^3\.1\./)
    t.match(document.info, { title: 'Holdfast', version: /\d/ })
    const schemas = Object.keys(document.components.schemas)
    t.ok(schemas.length > 20)
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)]
    t.ok(references.length > 100)
    for (const name of new Set(references.map(([, reference]) => reference))) {
      t.ok(schemas.includes(name.replace('#/components/schemas/', '')), name)
    }
  })

  t.test(
    'every operation has an id of its own, a summary, a tag, its parameters and replies',
    async (t) => {
      const ids = operations.map(({ operation }) => operation.operationId)
      t.equal(new Set(ids).size, ids.length, 'no id twice')
      const tags = document.tags.map((tag: { name: string }) => tag.name)
      for (const { path, method, operation } of operations) {
        const place = `${method} ${path}`
        t.match(operation.operationId, /^[a-z][A-Za-z]+$/, place)
        t.ok(operation.summary, place)
        t.ok(
          operation.tags.every((tag) => tags.includes(tag)),
          place,
        )
        const wanted = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name)
        const given = (operation.parameters ?? []).filter((one) => one.in === 'path')
        t.same(given.map(({ name }) => name).sort(), wanted.sort(), place)
        t.ok(
          Object.keys(operation.responses).some((status) => status.startsWith('2')),
          place,
        )
      }
    },
  )

  t.test('it covers every route of the app', async (t) => {
    const routes: string[] = []
    const app = await buildApp({
      service,
      logLevel: 'silent',
      onRoute: ({ method, url }) => routes.push(`${String(method).toLowerCase()} ${url}`),
    })
    await app.ready()
    await app.close()
    const listed = new Set(operations.map(({ path, method }) => `${method} ${path}`))
    const verb = '\u0001'
    const paths = routes
      .filter((route) => route.includes(' /v1/') && !/^head |\*/.test(route))
      .map((route) => route.replaceAll('::', verb).replace(/:(\w+)(\([^)]*\))?/g, '{$1}'))
      .map((route) => route.replaceAll(verb, ':'))
    t.ok(paths.length > 40)
    const missing = paths.filter((path) => !listed.has(path))
    t.same(missing, [])
  })

  t.test('the page to browse it works without reaching outside', async (t) => {
    const page = await call('GET /docs/')
    t.equal(page.status, 200)
    t.match(page.text, 'swagger-ui')
    const policy = page.headers.get('content-security-policy') ?? ''
    t.match(policy, "default-src 'self'")
    t.notMatch(policy, 'upgrade-insecure-requests')
    const initializer = await call('GET /docs/static/swagger-initializer.js')
    t.equal(initializer.status, 200)
    t.match(initializer.text, '"validatorUrl":null')
    t.match((await call('GET /docs/json')).json, { info: { title: 'Holdfast' } })
  })

  t.test('every named example of a body is taken as it stands', async (t) => {
    const example = (id: string): unknown => {
      const found = operations.find(({ operation }) => operation.operationId === id)
      const body = found?.operation.requestBody?.content['application/json']
      return body?.example
    }
    const made = await call('POST /v1/variables', { json: example('createVariable') })
    t.equal(made.status, 201)
    t.equal((await call('POST /v1/variables:initialize')).status, 200)
    t.equal((await call('POST /v1/checkpoints', { json: example('saveCheckpoint') })).status, 201)
    const json = example('restoreCheckpoint')
    t.equal((await call('POST /v1/checkpoints/best:restore', { json })).status, 200)
    t.same(example('predict'), { instances: [1, 2, 5] })
  })
})
