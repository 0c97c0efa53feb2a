// Conditions and keys of writes, in every form that a header can have.
import t from 'tap'
import { isProblem, layGround } from '../helper/ground.ts'
import { exchange, requestText } from '../helper/raw.ts'

t.test('If-Match holds for exactly the etags that it lists', async (t) => {
  const ground = await layGround(t)
  const known = 'POST /v1/variables/known:assign'
  const version = async (): Promise<number> =>
    (await ground.ask('GET /v1/variables/known')).json.version
  const write = async (headers: readonly string[]): Promise<{ status: number; body: string }> => {
    const type = ['content-type: application/json', 'content-length: 7']
    const [reply] = await exchange(ground.base, [
      requestText(known, [...type, ...headers], '[1,2,3]'),
    ])
    return reply
  }
  const now = await version()
  const refused: readonly (readonly [string, number])[] = [
    ['"0"', 412],
    [`"${now + 1}"`, 412],
    [`W/"${now}"`, 412],
    [`"0${now}"`, 412],
    [`"${now}.0"`, 412],
    [`"+${now}"`, 412],
    [`" ${now}"`, 412],
    ['""', 412],
    ['"99999999999999999999"', 412],
    [`"x,y"`, 412],
    [`"${now}`, 400],
    [`${now}`, 400],
    [`'${now}'`, 400],
    [`w/"${now}"`, 400],
    [`"${now}" "${now}"`, 400],
    [`"${now}", *`, 400],
    ['* *', 400],
    ['**', 400],
    ['', 400],
    [',', 400],
    ['any', 400],
  ]
  const before = await ground.digest()
  for (const [tag, status] of refused) {
    const reply = await write([`if-match: ${tag}`])
    t.equal(reply.status, status, `${tag}: ${reply.body}`)
    isProblem(t, reply as never, tag)
  }
  await ground.stands(t, before, 'after all')
  const forms: readonly ((etag: string) => readonly string[])[] = [
    (etag) => [`if-match: ${etag}`],
    (etag) => [`IF-MATCH:\t${etag} `],
    (etag) => [`if-match: "0",${etag}`],
    (etag) => [`if-match: "x,y" , W/"7",\t${etag}`],
    (etag) => [`if-match: ,${etag},`],
    (etag) => ['if-match: "0"', `if-match: ${etag}`],
    () => ['if-match: *'],
    () => ['if-match:  * '],
    (etag) => [`if-match: ${'"0",'.repeat(500)}${etag}`],
  ]
  for (const form of forms) {
    const headers = form(`"${await version()}"`)
    const reply = await write(headers)
    t.equal(reply.status, 200, `${headers.join(' | ').slice(0, 80)}: ${reply.body}`)
  }
})

t.test('If-Match holds for every write of a variable alike', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  const writes: readonly (readonly [string, unknown])[] = [
    ['POST /v1/variables/known:assign', [4, 5, 6]],
    ['POST /v1/variables/known:assign_add', [4, 5, 6]],
    ['POST /v1/variables/known:assign_sub', [4, 5, 6]],
    ['POST /v1/variables/known:initialize', undefined],
    ['PATCH /v1/variables/known', { trainable: false }],
    ['DELETE /v1/variables/known', undefined],
  ]
  for (const [line, json] of writes) {
    const wishes = json === undefined ? {} : { json }
    const stale = await ground.ask(line, { ...wishes, headers: { 'if-match': '"77"' } })
    t.equal(stale.status, 412, `${line}: ${stale.text}`)
    isProblem(t, { ...stale, body: stale.text }, line)
    t.equal(stale.json.reason, 'variable/version-mismatch')
    const broken = await ground.ask(line, { ...wishes, headers: { 'if-match': '77' } })
    t.equal(broken.status, 400, `${line}: ${broken.text}`)
    const absent = line.replace('known', 'absent')
    const none = await ground.ask(absent, { ...wishes, headers: { 'if-match': '*' } })
    t.equal(none.status, 404, `${absent}: ${none.text}`)
  }
  await ground.stands(t, before, 'after all')
})

t.test('an Idempotency-Key has 1 to 255 characters', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  const type = ['content-type: application/json', 'content-length: 7']
  for (const [line, body] of [
    ['POST /v1/variables/known:assign', '[4,5,6]'],
    ['POST /v1/variables/known:assign_add', '[4,5,6]'],
    ['DELETE /v1/variables/known', '       '],
  ]) {
    for (const key of ['', 'k'.repeat(256), 'k'.repeat(5_000)]) {
      const headers = [...type, `idempotency-key: ${key}`]
      const [reply] = await exchange(ground.base, [requestText(line, headers, body)])
      t.equal(reply.status, 400, `${line} ${key.length}: ${reply.body}`)
      isProblem(t, reply, `${line} ${key.length}`)
    }
  }
  await ground.stands(t, before, 'after all')
  const key = 'k'.repeat(255)
  const headers = { 'idempotency-key': key }
  const done = await ground.ask('POST /v1/variables/whole:assign_add', { json: 1, headers })
  t.equal(done.status, 200)
})

t.test(
  'every write that is sent again with its key is done once, and answered as before',
  async (t) => {
    const ground = await layGround(t)
    const { version } = (await ground.ask('GET /v1/variables/known')).json
    const writes: readonly (readonly [string, unknown, Readonly<Record<string, string>>?])[] = [
      ['POST /v1/variables', { name: 'made', shape: [2], initializer: { kind: 'ones' } }],
      ['POST /v1/variables/made:initialize', undefined],
      ['POST /v1/variables:initialize', { names: ['made'] }],
      ['POST /v1/variables/known:assign', [4, 5, 6], { 'if-match': `"${version}"` }],
      ['POST /v1/variables/known:assign_add', [1, 1, 1], { 'if-match': `"${version + 1}"` }],
      ['POST /v1/variables/known:assign_sub', [1, 1, 1]],
      ['PATCH /v1/variables/made', { trainable: false }],
      ['POST /v1/checkpoints', { names: ['known'] }],
      ['DELETE /v1/variables/made', undefined, { 'if-match': '*' }],
    ]
    for (const [index, [line, json, more = {}]] of writes.entries()) {
      const headers = { ...more, 'idempotency-key': `key ${index}` }
      const wishes = json === undefined ? { headers } : { json, headers }
      const first = await ground.ask(line, wishes)
      t.ok(first.status < 300, `${line}: ${first.status} ${first.text}`)
      const after = await ground.digest()
      for (let time = 0; time < 2; time++) {
        const again = await ground.ask(line, wishes)
        t.equal(again.status, first.status, `${line} again: ${again.text}`)
        t.same(again.json, first.json, `${line} again`)
      }
      t.equal(await ground.digest(), after, `${line} was done once`)
    }
    for (const [index, [line, json]] of writes.entries()) {
      const headers = { 'idempotency-key': `key ${index}` }
      const other = line.includes('whole') ? line : 'POST /v1/variables/whole:assign'
      const answer = await ground.ask(other, { json: 1, headers })
      t.equal(answer.status, 422, `the key of ${line} for something else: ${answer.text} ${json}`)
      t.equal(answer.json.reason, 'idempotency/mismatch')
    }
  },
)

t.test('a refused write leaves its key free', async (t) => {
  const ground = await layGround(t)
  const headers = { 'idempotency-key': 'free' }
  const line = 'POST /v1/variables/known:assign'
  t.equal((await ground.ask(line, { json: [1], headers })).status, 422)
  const stale = { ...headers, 'if-match': '"77"' }
  t.equal((await ground.ask(line, { json: [1, 2, 3], headers: stale })).status, 412)
  t.equal((await ground.ask(line, { json: [1, 2, 3], headers })).status, 200)
})
