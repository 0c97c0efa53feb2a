// The OpenAPI document against the running app: refusals that it names have the form of problems, and
// refusals that happen are named. The requests are made from the document itself.
import t from 'tap'
import { type Ground, isProblem, layGround } from '../helper/ground.ts'
import { exchange, requestText } from '../helper/raw.ts'

interface Documented {
  readonly path: string
  readonly method: string
  readonly statuses: readonly number[]
  /** Its reply when refused is TensorFlow Serving's. */
  readonly isServing: boolean
  readonly takesBody: boolean
  readonly takesHeader: (name: string) => boolean
  readonly queries: readonly string[]
}

interface Operation {
  readonly responses: Readonly<
    Record<string, { content?: Record<string, { schema: { $ref?: string } }> }>
  >
  readonly requestBody?: unknown
  readonly parameters?: readonly { readonly in: string; readonly name: string }[]
}

const servingPath =
  /^\/v1\/models\/\{[^}]+\}($|\/(versions|labels)\/|:(predict|classify|regress)$|\/metadata$)/

async function documented({ ask }: Ground): Promise<readonly Documented[]> {
  const { json } = await ask('GET /openapi.json')
  const paths: Record<string, Record<string, Operation>> = json.paths
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { responses, requestBody, parameters = [] }]) => ({
      path,
      method: method.toUpperCase(),
      statuses: Object.keys(responses).map(Number),
      isServing: servingPath.test(path),
      takesBody: requestBody !== undefined,
      takesHeader: (name: string) =>
        parameters.some((one) => one.in === 'header' && one.name === name),
      queries: parameters.filter((one) => one.in === 'query').map(({ name }) => name),
    })),
  )
}

t.test('every refusal that is documented has the form of a problem', async (t) => {
  const ground = await layGround(t)
  const { json } = await ground.ask('GET /openapi.json')
  let count = 0
  for (const [path, methods] of Object.entries<Record<string, Operation>>(json.paths)) {
    for (const [method, { responses }] of Object.entries(methods)) {
      for (const [status, { content = {} }] of Object.entries(responses)) {
        if (Number(status) < 400 || path === '/readyz') continue
        const forms = Object.entries(content).map(([type, { schema }]) => `${type} ${schema.$ref}`)
        const problem = 'application/problem+json #/components/schemas/Problem'
        const serving = 'application/json #/components/schemas/ServingError'
        const wanted = servingPath.test(path) && forms[0] === serving ? serving : problem
        t.same(forms, [wanted], `${method} ${path} ${status}`)
        count += 1
      }
    }
  }
  t.ok(count > 300, `${count} refusals are documented`)
})

/** Bad requests to an operation: what is wrong, the query, headers, and a body. */
function* badRequests(one: Documented): Generator<readonly [string, string, string[], string]> {
  const json = 'content-type: application/json'
  yield ['names that are not there', '', one.takesBody ? [json] : [], one.takesBody ? '{}' : '']
  for (const query of one.queries) yield [`a bad ${query}`, `?${query}=%00`, [], '']
  yield ['a container that cannot be', '?container=a%20b', [], '']
  if (one.takesHeader('if-match')) yield ['a broken If-Match', '', ['if-match: 3'], '']
  if (one.takesHeader('idempotency-key')) yield ['an empty key', '', ['idempotency-key: '], '']
  if (!one.takesBody) return
  yield ['no body', '', [], '']
  yield ['a type that nobody takes', '', ['content-type: text/html'], '<p>']
  yield ['broken JSON', '', [json], '{"a":']
  yield ['a key twice', '', [json], '{"a":1,"a":2}']
  yield ['unknown members', '', [json], '{"\\"nobody":1}']
  yield ['a list', '', [json], '[[],{}]']
  yield ['too much', '', [json], `"${'x'.repeat(3_000)}"`]
  yield ['a content coding', '', [json, 'content-encoding: gzip'], '{}']
}

t.test('every refusal that happens is documented', async (t) => {
  const ground = await layGround(t, { jsonBodyBytes: 2_000 })
  const before = await ground.digest()
  const operations = (await documented(ground)).filter(
    ({ path, isServing }) => path.startsWith('/v1/') && !isServing && !path.endsWith('/events'),
  )
  t.ok(operations.length > 40, `${operations.length} operations`)
  let refusals = 0
  for (const one of operations) {
    const path = one.path.replace(/\{[^}]+\}/g, 'none')
    for (const [what, query, headers, body] of badRequests(one)) {
      const length = body === '' ? [] : [`content-length: ${Buffer.byteLength(body)}`]
      const line = `${one.method} ${path}${query}`
      const [reply] = await exchange(ground.base, [
        requestText(line, [...headers, ...length], body),
      ])
      const message = `${line}: ${what}: ${reply?.status} ${reply?.body.slice(0, 200)}`
      if (reply === undefined || reply.status >= 500) t.fail(message)
      if (reply === undefined || reply.status < 400) continue
      refusals += 1
      t.ok(one.statuses.includes(reply.status), message)
      if (one.method !== 'HEAD') isProblem(t, reply, message)
    }
  }
  t.ok(refusals > 200, `${refusals} refusals`)
  t.ok(before.length > 0)
})
