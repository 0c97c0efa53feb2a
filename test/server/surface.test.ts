// The surface of HTTP: lengths, encodings, content types and headers that lie, repeat or overflow.
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { type Ground, isProblem, layGround } from '../helper/ground.ts'
import { exchange, type RawReply, requestText } from '../helper/raw.ts'

const json = 'content-type: application/json'
const raw = 'content-type: application/octet-stream'
const known = 'POST /v1/variables/known:assign'

/** The first reply to a request with these headers and this body, its length said. */
async function send(
  { base }: Ground,
  line: string,
  headers: readonly string[],
  body: string | Uint8Array = '',
): Promise<RawReply> {
  const length = body.length === 0 ? [] : [`content-length: ${Buffer.byteLength(body)}`]
  const [reply] = await exchange(base, [requestText(line, [...headers, ...length]), body])
  if (reply === undefined) throw new Error(`${line} was not answered`)
  return reply
}

function chunked(line: string, headers: readonly string[], chunk: string, count: number): string[] {
  const head = requestText(line, [...headers, 'transfer-encoding: chunked'])
  const framed = `${chunk.length.toString(16)}\r\n${chunk}\r\n`
  const perPiece = 1_000
  const pieces = Array.from({ length: Math.ceil(count / perPiece) }, (_, index) =>
    framed.repeat(Math.min(perPiece, count - index * perPiece)),
  )
  return [head, ...pieces, '0\r\n\r\n']
}

t.test('a body of as many bytes as are taken is taken, and of one more refused', async (t) => {
  const ground = await layGround(t, { jsonBodyBytes: 1_000, tensorBytes: 1_000 })
  const body = (byteLength: number): string => `[1,2,3]${' '.repeat(byteLength - 7)}`
  t.equal((await send(ground, known, [json], body(1_000))).status, 200)
  await ground.ask('POST /v1/variables', {
    json: { name: 'bytes', shape: [1_000], dtype: 'uint8' },
  })
  const bytes = 'POST /v1/variables/bytes:assign'
  t.equal((await send(ground, bytes, [raw], new Uint8Array(1_000))).status, 200)
  const before = await ground.digest()
  const over = await send(ground, known, [json], body(1_001))
  t.equal(over.status, 413)
  isProblem(t, over, 'JSON')
  const streamed = await send(ground, bytes, [raw], new Uint8Array(1_001))
  t.ok([413, 422].includes(streamed.status), `${streamed.status}`)
  isProblem(t, streamed, 'raw')
  for (const [line, type] of [
    [known, json],
    [bytes, raw],
  ]) {
    // 6 bytes at a time, without a length: 600 kB.
    const [reply] = await exchange(ground.base, chunked(line, [type], ' '.repeat(6), 100_000))
    t.ok([413, 422].includes(reply?.status), `${line}: ${reply?.status}`)
    if (reply !== undefined) isProblem(t, reply, `${line} in chunks`)
  }
  await ground.stands(t, before, 'after all')
})

t.test('a body in chunks of six bytes is put together', async (t) => {
  const ground = await layGround(t)
  await ground.ask('POST /v1/variables', { json: { name: 'b', shape: [60_000], dtype: 'uint8' } })
  const [reply] = await exchange(
    ground.base,
    chunked('POST /v1/variables/b:assign', [raw], 'abcdef', 10_000),
  )
  t.equal(reply.status, 200)
  const read = await fetch(`${ground.base}/v1/variables/b:read_value`, {
    headers: { accept: 'application/octet-stream' },
  })
  t.equal(await read.text(), 'abcdef'.repeat(10_000))
})

t.test('a request that accepts no JSON is refused where there is nothing else', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  const calls = [
    'GET /v1/variables',
    'GET /v1/variables/w',
    'POST /v1/variables/w:initialize',
    'POST /v1/variables/w:assign',
    'POST /v1/variables:batch',
    'GET /v1/variables/w:statistics',
    'PUT /v1/scopes/s',
    'POST /v1/collections/c',
    'GET /v1/limits',
  ]
  for (const call of calls) {
    const json = call.startsWith('GET') ? undefined : {}
    for (const accept of ['text/html', 'application/json;q=0, */*', 'application/x-npy']) {
      const { status, json: problem } = await ground.ask(call, { json, headers: { accept } })
      t.match(
        { status, problem },
        { status: 406, problem: { reason: 'http/not-acceptable' } },
        call,
      )
    }
  }
  t.same(await ground.digest(), before)
  for (const accept of ['text/html, */*;q=0.1', 'application/*']) {
    const { status } = await ground.ask('GET /v1/variables', { headers: { accept } })
    t.equal(status, 200, accept)
  }
})

t.test('lengths that lie and framings that two readers could read differently', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  const cases: Readonly<Record<string, readonly [readonly string[], string]>> = {
    'length and chunks': [
      ['content-length: 7', 'transfer-encoding: chunked'],
      '7\r\n[4,5,6]\r\n0\r\n\r\n',
    ],
    'two lengths': [['content-length: 7', 'content-length: 8'], '[4,5,6] '],
    'one length twice': [['content-length: 7, 7'], '[4,5,6]'],
    'a length with a sign': [['content-length: +7'], '[4,5,6]'],
    'a negative length': [['content-length: -7'], '[4,5,6]'],
    'a length in hexadecimal': [['content-length: 0x7'], '[4,5,6]'],
    'a length of 2^64': [['content-length: 18446744073709551616'], '[4,5,6]'],
    'no length that is a number': [['content-length: seven'], '[4,5,6]'],
    'an unknown transfer encoding': [['transfer-encoding: xchunked'], '7\r\n[4,5,6]\r\n0\r\n\r\n'],
    'chunked and not last': [['transfer-encoding: chunked, identity'], '7\r\n[4,5,6]\r\n0\r\n\r\n'],
    'a blank before the colon': [['transfer-encoding : chunked'], '7\r\n[4,5,6]\r\n0\r\n\r\n'],
    'a chunk whose size is none': [['transfer-encoding: chunked'], 'zz\r\n[4,5,6]\r\n0\r\n\r\n'],
    'a chunk of 2^64 bytes': [
      ['transfer-encoding: chunked'],
      '10000000000000000\r\n[4,5,6]\r\n0\r\n\r\n',
    ],
    'a chunk longer than it says': [['transfer-encoding: chunked'], '3\r\n[4,5,6]\r\n0\r\n\r\n'],
    'a folded header': [['x-folded: a\r\n b', 'content-length: 7'], '[4,5,6]'],
    'a line that ends with LF only': [['x-bare: a\nx-more: b', 'content-length: 7'], '[4,5,6]'],
    'a NUL in a header': [['x-nul: a\0b', 'content-length: 7'], '[4,5,6]'],
    'a blank in the name of a header': [['x bad: a', 'content-length: 7'], '[4,5,6]'],
    'a header of 17 KiB': [[`x-long: ${'h'.repeat(17 * 1024)}`, 'content-length: 7'], '[4,5,6]'],
  }
  for (const [name, [headers, body]] of Object.entries(cases)) {
    const replies = await exchange(ground.base, [requestText(known, [json, ...headers], body)])
    const [reply] = replies
    t.equal(replies.length, 1, `${name}: one answer, then the connection ends`)
    t.equal(reply?.status, name.includes('17 KiB') ? 431 : 400, `${name}: ${reply?.body}`)
    if (reply !== undefined) isProblem(t, reply, name)
  }
  const [long] = await exchange(
    ground.base,
    [requestText(known, [json, 'content-length: 700'], '[4,5,6]')],
    300,
  )
  t.equal(long, undefined, 'a body that does not come is waited for')
  const more = requestText(known, [json, 'content-length: 7'], '[1,2,3]GET / HTTP/1.1\r\n\r\n')
  const replies = await exchange(ground.base, [more])
  t.equal(replies.length, 1, 'after the last request nothing more is read')
  t.equal(replies[0].status, 200, 'what came whole is answered, whatever follows it')
  t.equal((await ground.ask('GET /v1/variables/known')).json.version, 2)
  const kept = requestText(known, [json, 'content-length: 7'], '[1,2,3]?!\r\n\r\n')
  const [answer] = await exchange(ground.base, [kept.replace('connection: close\r\n', '')])
  t.equal(answer?.status, 200, 'on a connection that would go on as well')
  t.not(await ground.digest(), before, 'what came whole was done')
  await ground.stands(t, await ground.digest(), 'after all')
})

t.test('a target that is none, and methods that nothing answers', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  const cases: readonly (readonly [string, number])[] = [
    ['GET nowhere', 400],
    ['PROPFIND /v1/variables', 404],
    ['TRACE /v1/variables', 404],
    ['OPTIONS /v1/variables', 404],
    ['PUT /v1/variables/known:assign', 404],
    ['QUERY /v1/variables', 404],
    ['EXPLODE /v1/variables', 400],
    ['GET /v1/variables/known\x01', 400],
    ['GET /v1//variables', 404],
    ['GET /v1/variables/', 404],
    ['GET /V1/VARIABLES', 404],
    ['GET /v1/../v1/variables', 404],
    ['GET /v1/variables/%', 400],
    ['GET /v1/variables/%c3%28', 400],
  ]
  for (const [line, status] of cases) {
    const reply = await send(ground, line, [])
    t.equal(reply.status, status, `${line}: ${reply.body}`)
    isProblem(t, reply, line)
  }
  await ground.stands(t, before, 'after all')
})

t.test('no header is dropped however many there are', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  const many = Array.from({ length: 2_100 }, () => 'a:b')
  const reply = await send(ground, known, [json, ...many, 'if-match: "9"'], '[4,5,6]')
  t.ok(
    [412, 431].includes(reply.status),
    `the condition after 2,100 headers holds: ${reply.status}`,
  )
  isProblem(t, reply, '2,100 headers')
  await ground.stands(t, before, 'after all')
})

t.test(
  'a content type is the one that the route takes, or the body is not looked at',
  async (t) => {
    const ground = await layGround(t)
    const taken = [
      'Application/JSON',
      'application/json;charset=utf-8',
      'application/json ; charset=UTF-8',
      '\tapplication/json\t',
      '  application/json',
    ]
    for (const type of taken) {
      const reply = await send(ground, known, [`content-type: ${type}`], '[1,2,3]')
      t.equal(reply.status, 200, `${JSON.stringify(type)}: ${reply.body}`)
      const wrong = await send(ground, known, [`content-type: ${type}`], '{"value":')
      t.equal(wrong.status, 400, `${JSON.stringify(type)} is read as JSON`)
    }
    const before = await ground.digest()
    const refused: readonly (readonly string[])[] = [
      [],
      [''],
      ['application/jsonp'],
      ['application/json-patch+json'],
      ['application/json, application/json'],
      ['application/json text/plain'],
      ['application/json\ttext/plain'],
      ['application/json/x'],
      ['json'],
      ['*/*'],
      ['text/plain; application/json'],
      ['text/plain', 'application/json'],
      ['multipart/form-data; boundary=application/json'],
      ['application/x-www-form-urlencoded'],
      ['application/json\x0b'],
    ]
    for (const types of refused) {
      const headers = types.map((type) => `content-type: ${type}`)
      for (const [line, body] of [
        [known, '[4,5,6]'],
        ['POST /v1/variables', '{"name":"made","shape":[]}'],
        ['POST /v1/checkpoints', '{}'],
        ['POST /v1/variables:initialize', '{}'],
      ]) {
        const reply = await send(ground, line, headers, body)
        const message = `${line} ${JSON.stringify(types)}: ${reply.status} ${reply.body}`
        t.ok(reply.status === 415 || reply.status === 400, message)
        isProblem(t, reply, message)
      }
    }
    const two = await send(ground, known, [json, 'content-type: text/plain'], '[1,2,3]')
    t.ok([200, 400, 415].includes(two.status), `the first of two counts, or none: ${two.status}`)
    await ground.stands(t, two.status === 200 ? await ground.digest() : before, 'after all')
  },
)

t.test('a body in a content coding is refused before it is unpacked', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  const bomb = gzipSync(Buffer.alloc(4_000_000, ' '))
  for (const coding of [
    'gzip',
    'GZIP',
    'x-gzip',
    'br',
    'zstd',
    'deflate',
    'gzip, gzip',
    'nonsense',
  ]) {
    for (const type of [json, raw, 'content-type: application/x-npy']) {
      const reply = await send(ground, known, [type, `content-encoding: ${coding}`], bomb)
      t.equal(reply.status, 415, `${coding} ${type}: ${reply.body}`)
      isProblem(t, reply, coding)
    }
  }
  await ground.stands(t, before, 'after all')
  const plain = await send(ground, known, [json, 'content-encoding: identity'], '[1,2,3]')
  t.equal(plain.status, 200)
})
