// Names in every place that takes one: a path, a body, a query. One rule holds everywhere, and no name
// reaches a file, a pattern or a prototype.
import { readdirSync } from 'node:fs'
import t from 'tap'
import { isProblem, layGround } from '../helper/ground.ts'
import { exchange, requestText } from '../helper/raw.ts'
import { workMs } from '../helper/work.ts'

/** Names as they stand in a path, none of which can be made. */
const impossible: Readonly<Record<string, string>> = {
  'a step up': '%2e%2e%2f%2e%2e%2fetc%2fpasswd',
  'a step up, encoded twice': '%252e%252e%252fetc',
  'an encoded percent sign': 'a%25b',
  'a NUL': 'a%00b',
  'a line feed': 'a%0ab',
  'a backslash': '%5c%5cserver%5cshare',
  'a blank': 'a%20b',
  'a colon': 'a%3ab',
  'a quote': '%22a%22',
  'a slash in front': '%2fa',
  'an umlaut': '%c3%a4',
  'an emoji': '%f0%9f%98%80',
  'a mark that turns the text around': 'a%e2%80%aeb',
  'a wildcard': '*',
  'a pattern': '(a%2b)%2b%24',
  'something of SQL': "'%20or%201=1--",
  '1,025 characters': 'n'.repeat(1_025),
  '1,500 characters': 'n'.repeat(1_500),
  '10,000 characters': 'n'.repeat(10_000),
}
/** Paths that are none. */
const broken: Readonly<Record<string, string>> = {
  'half of a surrogate pair': '%ed%a0%80',
  'an overlong slash': '%c0%af',
  'bytes that are not UTF-8': '%ff%fe',
  'half an escape': 'a%2',
}

t.test('a name that cannot be is refused alike by every route that takes one', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  const files = readdirSync(ground.directory).toSorted()
  const lines = (name: string): readonly (readonly [string, string])[] => [
    [`GET /v1/variables/${name}`, ''],
    [`PATCH /v1/variables/${name}`, '{"trainable":false}'],
    [`DELETE /v1/variables/${name}`, ''],
    [`GET /v1/variables/${name}:read_value`, ''],
    [`POST /v1/variables/${name}:initialize`, ''],
    [`POST /v1/variables/${name}:assign`, '1'],
    [`POST /v1/variables/${name}:assign_add`, '1'],
  ]
  for (const [what, name] of Object.entries({ ...impossible, ...broken })) {
    const wanted = what in broken ? [400] : [400, 404, 422]
    const statuses = new Set<number>()
    for (const [line, body] of lines(name)) {
      const headers =
        body === '' ? [] : ['content-type: application/json', `content-length: ${body.length}`]
      const [reply] = await exchange(ground.base, [requestText(line, headers, body)])
      const message = `${what}: ${line.slice(0, 60)}`
      if (reply === undefined) {
        t.fail(`${message} was not answered`)
        continue
      }
      statuses.add(reply.status)
      t.ok(wanted.includes(reply.status), `${message}: ${reply.status} ${reply.body}`)
      isProblem(t, reply, message)
    }
    t.equal(statuses.size, 1, `${what}: one answer everywhere: ${[...statuses]}`)
  }
  await ground.stands(t, before, 'after all')
  t.same(readdirSync(ground.directory).toSorted(), files, 'no file came')
})

t.test('a name that cannot be is not made, whichever body brings it', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  for (const [what, encoded] of Object.entries(impossible)) {
    const name = decodeURIComponent(encoded)
    if (/^(\.\.|[A-Za-z0-9.])[A-Za-z0-9_./-]*$/.test(name) && name.length <= 1_024) continue
    for (const [line, json] of [
      ['POST /v1/variables', { name, shape: [] }],
      ['POST /v1/variables:initialize', { names: [name] }],
      ['POST /v1/checkpoints', { names: [name] }],
      ['POST /v1/devices/CPU:0:load', { names: [name] }],
    ] as const) {
      const { status, headers, text } = await ground.ask(line, { json })
      t.ok([400, 404, 422].includes(status), `${line} ${what}: ${status} ${text}`)
      isProblem(t, { status, headers, body: text }, `${line} ${what}`)
    }
  }
  await ground.stands(t, before, 'after all')
})

t.test('names at the limits are taken, and mean only themselves', async (t) => {
  const ground = await layGround(t)
  const names = [
    'n'.repeat(101),
    'm'.repeat(1_024),
    '../../up',
    '.',
    '..',
    'a//b',
    'A',
    'constructor',
    'toString',
    'prototype',
  ]
  for (const name of names) {
    const made = await ground.ask('POST /v1/variables', { json: { name, shape: [] } })
    t.equal(made.status, 201, `${name.slice(0, 40)} ${made.text}`)
    const path = encodeURIComponent(name).replaceAll('.', '%2e')
    const assigned = await ground.ask(`POST /v1/variables/${path}:assign`, { json: name.length })
    t.equal(assigned.status, 200, `${name.slice(0, 40)} ${assigned.text}`)
    const read = await ground.ask(`GET /v1/variables/${path}:read_value`)
    t.same([read.json.name, read.json.value], [name, name.length])
  }
  t.equal((await ground.ask('GET /v1/variables/a')).status, 404, 'A is not a')
  t.equal((await ground.ask('GET /v1/variables/hasOwnProperty')).status, 404)
})

t.test('filters are literal, whatever they look like, and take no time', async (t) => {
  const ground = await layGround(t)
  for (const name of ['a_b/x', 'axb/x', 'a.b/x', `${'a'.repeat(200)}/x`]) {
    await ground.ask('POST /v1/variables', { json: { name, shape: [] } })
  }
  const found = async (query: string): Promise<readonly string[]> => {
    const { status, json, text } = await ground.ask(`GET /v1/variables?${query}`)
    t.equal(status, 200, `${query}: ${text}`)
    return json.variables.map(({ name }: { name: string }) => name)
  }
  t.same(await found('prefix=a_b'), ['a_b/x'], '_ is no wildcard')
  t.same(await found('prefix=a.b'), ['a.b/x'], '. is no wildcard')
  t.same(await found('scope=a_b'), ['a_b/x'])
  for (const pattern of [
    '(a+)+$',
    '%',
    '*',
    '?',
    '[a-z]',
    '.*',
    'a|b',
    '^a',
    "a' or 1=1 --",
    '\\',
  ]) {
    for (const filter of ['prefix', 'scope', 'collection']) {
      const before = process.cpuUsage()
      t.same(await found(`${filter}=${encodeURIComponent(pattern)}`), [], `${filter}=${pattern}`)
      t.ok(workMs(before) < 1_000, `${filter}=${pattern} takes no time`)
    }
  }
})

t.test('a filter or option that is misspelt is refused, not passed over', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  for (const [line, wishes] of [
    ['GET /v1/variables?prefx=known', {}],
    ['GET /v1/variables/known:read_value?slise=0:1', {}],
    ['POST /v1/variables/known:assign?retrun=value', { json: [4, 5, 6] }],
    ['DELETE /v1/variables/known?continer=other', {}],
    ['POST /v1/variables:initialize?names=whole', { json: {} }],
  ] as const) {
    const { status, json, headers, text } = await ground.ask(line, wishes)
    t.equal(status, 400, `${line}: ${text}`)
    isProblem(t, { status, headers, body: text }, line)
    t.equal(json.reason, 'http/invalid-querystring')
    t.match(
      json.detail,
      /^The query must not have "(prefx|slise|retrun|continer|names)"\. It takes .*container/,
    )
  }
  await ground.stands(t, before, 'after all')
})
