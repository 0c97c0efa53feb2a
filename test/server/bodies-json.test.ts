// JSON bodies that cannot be: each is refused with its status and reason, and nothing changes.
import t from 'tap'
import { isProblem, layGround } from '../helper/ground.ts'
import { exchange, requestText } from '../helper/raw.ts'
import { workMs } from '../helper/work.ts'

type Row = readonly [
  name: string,
  path: string,
  body: string | Uint8Array,
  status: number,
  reason: RegExp,
]

const deepest = 1_000_000
const deep = (inner: string): string => `${'['.repeat(deepest)}${inner}${']'.repeat(deepest)}`
const deepObjects = (count: number): string => `${'{"a":'.repeat(count)}1${'}'.repeat(count)}`
const keys = (count: number): string =>
  Array.from({ length: count }, (_, index) => `"k${index.toString(36)}":0`).join(',')
const utf16 = (text: string): Buffer => Buffer.from(`\ufeff${text}`, 'utf16le')

const rows: readonly Row[] = [
  ['NaN', 'known:assign', '[NaN,1,2]', 400, /^http\/malformed-json$/],
  ['Infinity', 'known:assign', '[Infinity,1,2]', 400, /^http\/malformed-json$/],
  ['1e400', 'known:assign', '[1e400,1,2]', 422, /^tensor\/bad-value$/],
  ['-1e400', 'known:assign', '[-1e400,1,2]', 422, /^tensor\/bad-value$/],
  ['more than float32 holds', 'known:assign', '[3.5e38,1,2]', 422, /^tensor\/bad-value$/],
  ['a ragged list', 'matrix:assign', '[[1,2],[3]]', 422, /^tensor\/ragged$/],
  ['a list among numbers', 'known:assign', '[1,[2],3]', 422, /^tensor\/ragged$/],
  ['a string among numbers', 'known:assign', '[1,"2",3]', 422, /^tensor\/bad-value$/],
  ['null among numbers', 'known:assign', '[1,null,3]', 422, /^tensor\/bad-value$/],
  ['a boolean among numbers', 'known:assign', '[1,true,3]', 422, /^tensor\/bad-value$/],
  ['an object among numbers', 'known:assign', '[1,{"b64":"AA=="},3]', 422, /^tensor\//],
  ['2^53+1 as a number', 'whole:assign', '9007199254740993', 422, /^tensor\/bad-value$/],
  ['2^63 as a string', 'whole:assign', '"9223372036854775808"', 422, /^tensor\/bad-value$/],
  ['half an integer', 'whole:assign', '1.5', 422, /^tensor\/bad-value$/],
  ['no digits', 'whole:assign', '"0x10"', 422, /^tensor\/bad-value$/],
  ['an empty body', 'known:assign', '', 400, /^http\/empty-body$/],
  ['blanks only', 'known:assign', ' \r\n', 400, /^http\/malformed-json$/],
  ['a byte order mark', 'known:assign', '\ufeff[1,2,3]', 400, /^http\/malformed-json$/],
  ['UTF-16', 'known:assign', utf16('[1,2,3]'), 400, /^http\/malformed-json$/],
  [
    'bytes that are not UTF-8',
    'text:assign',
    Buffer.from('"\xff"', 'latin1'),
    400,
    /^http\/malformed-json$/,
  ],
  [
    'an overlong encoding',
    'text:assign',
    Buffer.from('"\xc0\xaf"', 'latin1'),
    400,
    /^http\/malformed-json$/,
  ],
  ['half a pair of surrogates', 'text:assign', '"\\ud800"', 400, /^http\/malformed-json$/],
  ['two values', 'known:assign', '[1,2,3][4]', 400, /^http\/malformed-json$/],
  ['a comment', 'known:assign', '[1,2,3]//', 400, /^http\/malformed-json$/],
  ['a trailing comma', 'known:assign', '[1,2,3,]', 400, /^http\/malformed-json$/],
  ['single quotes', 'known:assign', "{'value':[1,2,3]}", 400, /^http\/malformed-json$/],
  ['a NUL', 'known:assign', '[1,2,3]\0', 400, /^http\/malformed-json$/],
  ['a million lists within each other', 'known:assign', deep('1'), 400, /^http\/json-depth$/],
  ['a million open brackets', 'known:assign', '['.repeat(deepest), 400, /^http\//],
  ['deep objects', 'known:assign', deepObjects(200_000), 400, /^http\/json-depth$/],
  [
    'a deep initializer',
    '',
    `{"name":"n","initializer":{"value":${deep('1')}}}`,
    400,
    /^http\/json-depth$/,
  ],
  [
    'a deep unknown member',
    '',
    `{"name":"n","x":${deepObjects(200_000)}}`,
    400,
    /^http\/json-depth$/,
  ],
  ['very many keys', 'known:assign', `{${keys(300_000)}}`, 400, /^http\/json-keys$/],
  ['very many keys where none is known', '', `{${keys(300_000)}}`, 400, /^http\/json-keys$/],
  [
    'one key twice',
    'known:assign',
    '{"value":[1,2,3],"value":[4,5,6]}',
    400,
    /^http\/duplicate-key$/,
  ],
  [
    'one key twice, written otherwise',
    'known:assign',
    '{"value":[1,2,3],"v\\u0061lue":[4,5,6]}',
    400,
    /^http\/duplicate-key$/,
  ],
  [
    'one key twice, far inside',
    '',
    '{"name":"n","shape":[1],"initializer":{"kind":"ones","kind":"zeros"}}',
    400,
    /^http\/duplicate-key$/,
  ],
  [
    '__proto__',
    '',
    '{"name":"n","shape":[],"__proto__":{"trainable":false}}',
    400,
    /^http\/malformed-json$/,
  ],
  [
    '__proto__, written otherwise',
    '',
    '{"name":"n","\\u005f\\u005fproto__":{}}',
    400,
    /^http\/malformed-json$/,
  ],
  [
    '__proto__, far inside',
    '',
    '{"name":"n","initializer":{"__proto__":{"kind":"ones"}}}',
    400,
    /^http\/malformed-json$/,
  ],
  [
    'constructor.prototype',
    '',
    '{"name":"n","constructor":{"prototype":{}}}',
    400,
    /^http\/malformed-json$/,
  ],
  [
    'a key of the prototype',
    '',
    '{"name":"n","shape":[],"toString":1}',
    400,
    /^http\/invalid-body$/,
  ],
  [
    'a kind of the prototype',
    '',
    '{"name":"n","shape":[1],"initializer":{"kind":"toString"}}',
    501,
    /^initializer\/unknown$/,
  ],
  [
    'a type of the prototype',
    '',
    '{"name":"n","shape":[1],"dtype":"constructor"}',
    422,
    /^dtype\/unknown$/,
  ],
]

t.test('JSON that cannot be is refused, and nothing changes', async (t) => {
  const ground = await layGround(t)
  const before = await ground.digest()
  for (const [name, verb, body, status, reason] of rows) {
    const path = verb === '' ? '/v1/variables' : `/v1/variables/${verb}`
    const bytes = Buffer.from(body)
    const head = requestText(`POST ${path}`, [
      'content-type: application/json',
      `content-length: ${bytes.byteLength}`,
    ])
    const before = process.cpuUsage()
    const [reply] = await exchange(ground.base, [head, bytes])
    const tookMs = workMs(before)
    t.equal(reply?.status, status, `${name}: ${reply?.body.slice(0, 300)}`)
    if (reply === undefined) continue
    isProblem(t, reply, name)
    t.match(JSON.parse(reply.body).reason, reason, name)
    t.ok(tookMs < 2_000, `${name}: took ${Math.round(tookMs)} ms`)
  }
  await ground.stands(t, before, 'after all')
  t.equal(({} as { trainable?: unknown }).trainable, undefined, 'no prototype was touched')
})

t.test('JSON that can be is taken', async (t) => {
  const ground = await layGround(t)
  const taken: readonly (readonly [string, string, unknown])[] = [
    ['known', ' [1,\t2.50,\r\n-0.0] ', [1, 2.5, -0]],
    ['known', '{"value":["NaN","Infinity","-Infinity"]}', ['NaN', 'Infinity', '-Infinity']],
    ['whole', '"9223372036854775807"', '9223372036854775807'],
    ['whole', '9007199254740991', 9_007_199_254_740_991],
    ['text', '"\\ud83d\\ude00 \\u0000 \\" {\\"a\\":1,\\"a\\":2}"', '😀 \0 " {"a":1,"a":2}'],
    ['text', '{"value":"constructor"}', 'constructor'],
    ['text', '"__proto__"', '__proto__'],
  ]
  for (const [name, body, value] of taken) {
    const head = requestText(`POST /v1/variables/${name}:assign`, [
      'content-type: application/json',
      `content-length: ${Buffer.byteLength(body)}`,
    ])
    const [reply] = await exchange(ground.base, [head, body])
    t.equal(reply.status, 200, `${body} ${reply.body}`)
    t.same((await ground.ask(`GET /v1/variables/${name}:read_value`)).json.value, value, body)
  }
})
