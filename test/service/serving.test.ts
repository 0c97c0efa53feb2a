// TensorFlow Serving's JSON: the cases of its own unit tests, and hostile input.
import t from 'tap'
import { decodeExample } from '../../proto/index.ts'
import {
  classifyReply,
  decimalText,
  exampleInputs,
  parseRequest,
  predictInputs,
  predictReply,
  regressReply,
} from '../../service/serving/index.ts'
import { parseServingJson } from '../../service/serving/json.ts'
import {
  type DType,
  elementsOf,
  numericTensor,
  stringTensor,
  tensorOfElements,
} from '../../tensor/index.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const inputs = async (body: string, types: Readonly<Record<string, DType>>) =>
  predictInputs(parseRequest(body), new Map(Object.entries(types)))
const only = async (body: string, dtype: DType) => {
  const tensor = (await inputs(body, { x: dtype })).tensors.get('x')
  if (tensor === undefined || tensor.dtype === 'string') throw new Error('numbers are wanted')
  return { shape: tensor.shape, values: elementsOf(tensor) }
}

t.test('whole numbers and decimals are told apart', async (t) => {
  t.same(parseServingJson('[1, 1.0, 1e2, -0, 9007199254740993]'), [
    1n,
    1,
    100,
    0n,
    9007199254740993n,
  ])
  t.same(
    parseServingJson(' {"a": [true, null, "x\\n\\u0041"]} '),
    new Map([['a', [true, null, 'x\nA']]]),
  )
  t.same(parseServingJson('[NaN, Infinity, -Infinity, Inf]'), [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  ])
  t.equal((parseServingJson('{"a":1,"a":2}') as Map<string, unknown>).get('a'), 1n)
  t.equal((parseServingJson('{"__proto__":1}') as Map<string, unknown>).get('__proto__'), 1n)
})

t.test('what is no JSON is refused with its place', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['', 'The document is empty. at offset: 0'],
    ['x', 'Invalid value. at offset: 0'],
    ['[1', 'Missing a comma or ] after an array element. at offset: 2'],
    ['[1,]', 'Invalid value. at offset: 3'],
    ['{"a":1', 'Missing a comma or } after an object member. at offset: 6'],
    ['{a:1}', 'Missing a name for object member. at offset: 1'],
    ['{"a" 1}', 'Missing a colon after a name of object member. at offset: 5'],
    ['{"a":1,}', 'Missing a name for object member. at offset: 7'],
    ['"a', 'Missing a closing quotation mark in string. at offset: 0'],
    ['"\\x"', 'Invalid escape character in string. at offset: 4'],
    ['1 2', 'The document root must not be followed by other values. at offset: 2'],
    ['1e999', 'Number too big to be stored in double. at offset: 5'],
  ]
  for (const [body, problem] of cases) {
    t.throws(() => parseServingJson(body), { message: `JSON Parse error: ${problem}` }, body)
  }
})

t.test('half a million levels of nesting exhaust no stack', async (t) => {
  const deep = `${'['.repeat(500_000)}1${']'.repeat(500_000)}`
  t.ok(Array.isArray(parseServingJson(deep)))
  await t.rejects(() => inputs(`{"instances": ${deep}}`, { x: 'float32' }), {
    code: 'INVALID_ARGUMENT',
  })
  const unrelated = `{"other": ${deep}, "instances": [1]}`
  t.ok(await inputs(unrelated, { x: 'float32' }))
  const objects = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
  t.throws(() => parseRequest(`{"signature_name": ${objects}}`.slice(0, -1)), {
    message: /JSON Parse/,
  })
})

t.test('rows become tensors with the batch in front', async (t) => {
  t.same(await only('{"instances": [[1,2],[3,4],[5,6]]}', 'int32'), {
    shape: [3, 2],
    values: [1, 2, 3, 4, 5, 6],
  })
  t.same((await only('{"instances": [1, 2.0, 3, 5.003]}', 'float32')).shape, [4])
  t.same((await only('{"instances": [9007199254740993]}', 'int64')).values, [9007199254740993n])
  t.same((await only('{"instances": [true, false]}', 'bool')).values, [true, false])
  t.same((await only('{"instances": [1e39, -1e39]}', 'float32')).values, [
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ])
  const named = await inputs(
    '{"instances": [{"a": 1, "b": ["x", {"b64": "eQ=="}]}, {"a": 2, "b": ["z", "w"]}]}',
    {
      a: 'int32',
      b: 'string',
    },
  )
  t.equal(named.form, 'row')
  t.same(named.tensors.get('b'), stringTensor([2, 2], ['x', 'y', 'z', 'w'].map(bytes)))
  t.same(named.tensors.get('a')?.shape, [2])
})

t.test('columns become tensors as they stand', async (t) => {
  t.same(await only('{"inputs": 5}', 'float32'), { shape: [], values: [5] })
  t.same((await only('{"inputs": {"x": [[1],[2]]}}', 'float32')).shape, [2, 1])
  const text = await inputs('{"inputs": {"b64": "eQ=="}}', { x: 'string' })
  t.same(text.tensors.get('x'), stringTensor([], [bytes('y')]))
  const many = await inputs('{"inputs": {"a": [1], "b": 2, "extra": 3}}', {
    a: 'int32',
    b: 'int32',
  })
  t.same([...many.tensors.keys()], ['a', 'b'])
  t.equal(many.form, 'column')
})

t.test("requests that do not fit are refused in TensorFlow Serving's words", async (t) => {
  const two = { a: 'int32', b: 'int32' } as const
  const cases: readonly (readonly [string, Readonly<Record<string, DType>>, RegExp])[] = [
    ['{"instances": [[1,2],[3,4],[5,6,7]]}', { x: 'int32' }, /Expecting tensor size: 2 but got: 3/],
    [
      '{"instances": [[1,2],[3,4],[[5,6]]]}',
      { x: 'int32' },
      /Expecting shape \[2\] but got: \[1,2\]/,
    ],
    ['{"instances": [1,[1]]}', { x: 'int32' }, /Expecting shape \[\] but got: \[1\]/],
    ['{"instances": [[1,2],["a","b"]]}', { x: 'int32' }, /not of expected type: int32/],
    ['{"instances": [1.5]}', { x: 'int32' }, /Type: Number is not of expected type: int32/],
    ['{"instances": [300]}', { x: 'uint8' }, /not of expected type: uint8/],
    ['{"instances": [{"a":1,"b":2}, [1,20,30]]}', two, /Expecting object but got list at item 1/],
    [
      '{"instances": [1, {"x": 2}]}',
      { x: 'int32' },
      /Expecting value\/list but got object at item 1/,
    ],
    ['{"instances": [1, 2]}', two, /instances is a plain list, but expecting list of objects/],
    ['{"inputs": [1, 2]}', two, /inputs is a plain value\/list, but expecting an object/],
    ['{"instances": [{"a":1}]}', two, /keys must be equal to: a,b/],
    ['{"instances": [{"a":1,"c":1}]}', two, /does not have named input: c/],
    ['{"inputs": {"a": 1}}', two, /Missing named input: b in 'inputs' object/],
    ['{"instances": [[[1],2]]}', { x: 'int32' }, /found at incorrect level: 2 in the JSON DOM/],
    ['{"instances": 5}', { x: 'int32' }, /Excepting 'instances' to be an list\/array/],
    ['{"instances": [1]}', { x: 'complex64' }, /to type: complex64/],
    ['{"instances": [{"b64": 5}]}', { x: 'string' }, /./],
    ['{"inputs": {"b64": "***"}}', { x: 'string' }, /Unable to base64 decode/],
  ]
  for (const [body, types, message] of cases)
    await t.rejects(() => inputs(body, types), { message }, body)
})

t.test('decimals are spelled as TensorFlow Serving spells them', async (t) => {
  const spelled = (value: number) => decimalText(Math.fround(value), 'float32')
  const cases: readonly (readonly [number, string])[] = [
    [9000000, '9e+06'],
    [999999, '999999.0'],
    [0.5, '0.5'],
    [0.0003, '0.0003'],
    [0.00003, '3e-05'],
    [555557.5, '555557.5'],
    [0.2, '0.2'],
    [-1, '-1.0'],
    [0, '0.0'],
    [1 / 3, '0.333333343'],
    [1e30, '1e+30'],
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
    [Number.NEGATIVE_INFINITY, '-Infinity'],
  ]
  for (const [value, text] of cases) t.equal(spelled(value), text)
  t.equal(decimalText(-0, 'float32'), '-0.0')
  t.equal(decimalText(0.1, 'float64'), '0.1')
  t.equal(decimalText(1 / 3, 'float64'), '0.33333333333333331')
})

t.test('every spelled float32 reads back as itself', async (t) => {
  const view = new DataView(new ArrayBuffer(4))
  for (let step = 0; step < 20_000; step++) {
    view.setUint32(0, Math.imul(step, 2654435761) >>> 0)
    const value = view.getFloat32(0)
    if (!Number.isFinite(value)) continue
    const text = decimalText(value, 'float32')
    if (!Object.is(Math.fround(Number(text)), value)) t.fail(`${value} as ${text}`)
  }
})

t.test("replies have the request's form", async (t) => {
  const y = tensorOfElements('float32', [2, 2], [1, 2.5, 3, 4])
  const label = stringTensor([2], [bytes('a'), bytes('"b"')])
  const row = await predictReply(new Map([['y', y]]), 'row')
  t.equal(row, '{\n    "predictions": [[1.0, 2.5], [3.0, 4.0]\n    ]\n}')
  const rows = JSON.parse(
    await predictReply(
      new Map<string, never>([
        ['label', label],
        ['y', y],
      ] as never),
      'row',
    ),
  )
  t.same(rows, {
    predictions: [
      { label: 'a', y: [1, 2.5] },
      { label: '"b"', y: [3, 4] },
    ],
  })
  const raw = await predictReply(
    new Map([['image_bytes', stringTensor([1], [new Uint8Array([255])])]]),
    'column',
  )
  t.same(JSON.parse(raw), { outputs: [{ b64: '/w==' }] })
  t.same(
    JSON.parse(await predictReply(new Map([['y', tensorOfElements('int64', [], [5n])]]), 'column')),
    {
      outputs: 5,
    },
  )
  const nothing = tensorOfElements('float32', [0, 2], [])
  t.same(JSON.parse(await predictReply(new Map([['y', nothing]]), 'row')), { predictions: [] })
})

t.test('outputs that have no row form are refused', async (t) => {
  const scalar = tensorOfElements('float32', [], [1])
  const one = tensorOfElements('float32', [1], [1])
  const two = tensorOfElements('float32', [2], [1, 2])
  const complex = numericTensor('complex64', [1], new Uint8Array(8))
  await t.rejects(() => predictReply(new Map([['s', scalar]]), 'row'), {
    message: /no shape information/,
  })
  await t.rejects(
    () =>
      predictReply(
        new Map([
          ['a', one],
          ['b', two],
        ]),
        'row',
      ),
    { message: /inconsistent batch size: 2/ },
  )
  await t.rejects(() => predictReply(new Map(), 'row'), { message: /empty tensor map/ })
  await t.rejects(() => predictReply(new Map([['c', complex]]), 'row'), {
    message: /tensor type: complex64/,
  })
})

t.test('examples become serialized messages, context and all', async (t) => {
  const tensor = exampleInputs(
    parseRequest(
      '{"context": {"c": 1}, "examples": [{"n": ["foo", "bar"], "r": [8.0, 9.0]}, {"n": "baz", "c": true}]}',
    ),
  )
  if (tensor.dtype !== 'string') throw new Error('strings are wanted')
  const [first, second] = tensor.strings.map((one) => decodeExample(one).features?.feature)
  t.same(
    first?.get('n')?.bytes_list?.value.map((one) => new TextDecoder().decode(one)),
    ['foo', 'bar'],
  )
  t.same([...(first?.get('r')?.float_list?.value ?? [])], [8, 9])
  t.same([...(first?.get('c')?.int64_list?.value ?? [])], [1n])
  t.same([...(second?.get('c')?.int64_list?.value ?? [])], [1n])
})

t.test("examples that cannot be are refused in TensorFlow Serving's words", async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['{"context": [1], "examples": [{}]}', /Example must be JSON object but got JSON Array/],
    ['{"examples": {"a": 1}}', /list\/array/],
    ['{"examples": [[{}]]}', /Example must be JSON object/],
    ['{}', /key 'examples' is expected and was not found/],
    ['{"examples": []}', /empty array/],
    ['{"examples": [{"names": [10, null]}]}', /names has element with unexpected JSON type: Null/],
    ['{"examples": [{"names": [10, 10.0]}]}', /feature: names expecting type: int64/],
    ['{"examples": [{"names": [10, {"test": 10}]}]}', /unexpected JSON type: Object/],
    ['{"examples": [{"names": [[10], 20]}]}', /unexpected JSON type: Array/],
    ['{"examples": [{"names": 18446744073709551603}]}', /Only int64_t is supported/],
  ]
  for (const [body, message] of cases) {
    t.throws(() => exampleInputs(parseRequest(body)), { message }, body)
  }
})

t.test('regress and classify replies are lists of results', async (t) => {
  t.same(JSON.parse(regressReply(tensorOfElements('float32', [2, 1], [42, 0.5]), 2)), {
    results: [42, 0.5],
  })
  t.throws(() => regressReply(tensorOfElements('float32', [3], [1, 2, 3]), 2), {
    message: /batch size/,
  })
  t.throws(() => regressReply(tensorOfElements('float32', [1, 2], [1, 2]), 1), { message: /shape/ })
  const scores = tensorOfElements('float32', [1, 2], [0.25, 0.75])
  t.same(JSON.parse(classifyReply(stringTensor([1, 2], [bytes('a'), bytes('b')]), scores, 1)), {
    results: [
      [
        ['a', 0.25],
        ['b', 0.75],
      ],
    ],
  })
  t.same(JSON.parse(classifyReply(undefined, scores, 1)).results[0][0], ['', 0.25])
  t.throws(() => classifyReply(undefined, tensorOfElements('float32', [2], [1, 2]), 2), {
    message: /Expected Tensor shape: \[batch_size num_classes\] but got \[2\]/,
  })
})
