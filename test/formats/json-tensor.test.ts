import fc from 'fast-check'
import t from 'tap'
import { jsonText, tensorOfJson, tensorToJson, type WantedTensor } from '../../formats/index.ts'
import type { JsonValue } from '../../proto/index.ts'
import {
  byteLengthOf,
  dtypes,
  elementArrayOf,
  isNumeric,
  kindOf,
  type NumericDType,
  numericTensor,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { refusalOf } from '../helper/tools.ts'

async function reasonOf(json: JsonValue, wanted?: WantedTensor): Promise<string> {
  return (await refusalOf(() => tensorOfJson(json, wanted))).reason.replace('tensor/', '')
}

t.test('a nested list is a tensor once the type is known', async (t) => {
  const wanted = tensorOfElements('float32', [2, 2], [1, 2, 3, 4])
  const list = [
    [1, 2],
    [3, 4],
  ]
  t.strictSame(tensorOfJson(list, { dtype: 'float32' }), wanted)
  t.strictSame(tensorOfJson({ dtype: 'float32', shape: [2, 2], value: list }), wanted)
  t.strictSame(tensorOfJson({ dtype: 'DT_FLOAT', value: list }), wanted)
  t.strictSame(tensorOfJson(7, { dtype: 'int8' }), tensorOfElements('int8', [], [7]))
  t.equal(await reasonOf(list), 'dtype-missing')
  t.equal(await reasonOf({ dtype: 'float31', value: 1 }), 'unknown-dtype')
  t.equal(await reasonOf({ dtype: 'resource', value: 1 }), 'unknown-dtype')
  t.equal(await reasonOf({ dtype: 'float32', value: 1 }, { dtype: 'int32' }), 'dtype-mismatch')
  t.equal(await reasonOf({ dtype: 'float32' }), 'bad-json')
  t.equal(await reasonOf({ dtype: 'float32', value: 1, b64: '' }), 'bad-json')
  t.equal(await reasonOf({ dtype: 'float32', value: 1, shapes: [] }), 'bad-json')
})

t.test('shapes are checked against what is wanted', async (t) => {
  const wanted = { dtype: 'float32', shape: [-1, 2] } as const
  t.strictSame(tensorOfJson([[1, 2]], wanted), tensorOfElements('float32', [1, 2], [1, 2]))
  t.equal(await reasonOf([1, 2], wanted), 'shape-mismatch')
  t.equal(await reasonOf({ shape: [2, 3], value: [] }, wanted), 'shape-mismatch')
  t.equal(await reasonOf({ dtype: 'float32', shape: [4], value: [[1, 2]] }), 'shape-mismatch')
  t.equal(await reasonOf({ dtype: 'float32', shape: [-4], value: [] }), 'shape/invalid')
  t.equal(await reasonOf({ dtype: 'float32', shape: 'x', value: [] }), 'bad-json')
  const empty = tensorOfJson({ dtype: 'float32', shape: [0, 5], value: [] })
  t.strictSame(empty, tensorOfElements('float32', [0, 5], []))
  t.strictSame(tensorOfJson([[], []], { dtype: 'int8' }).shape, [2, 0])
  t.strictSame(tensorOfJson([], { dtype: 'int8' }).shape, [0])
})

t.test('52: ragged lists and values of another kind are refused', async (t) => {
  for (const ragged of [
    [[1, 2], [3]],
    [[1], 2],
    [1, [2]],
    [[1], [2], []],
    [[[1]], [[1, 2]]],
  ]) {
    t.equal(await reasonOf(ragged, { dtype: 'float32' }), 'ragged', JSON.stringify(ragged))
  }
  const bad: readonly [NumericDType, JsonValue][] = [
    ['float32', 'x'],
    ['float32', null],
    ['float32', true],
    ['float32', Number.POSITIVE_INFINITY],
    ['float32', 1e39],
    ['float16', 70_000],
    ['int8', 128],
    ['int8', 1.5],
    ['uint8', -1],
    ['int32', '2147483648'],
    ['int64', 2 ** 53],
    ['int64', '9223372036854775808'],
    ['int64', '1e3'],
    ['uint64', '-1'],
    ['bool', 1],
    ['bool', 'true'],
    ['complex64', 1],
    ['complex64', [1, 'x']],
  ]
  for (const [dtype, json] of bad) {
    t.equal(await reasonOf(json, { dtype }), 'bad-value', `${dtype} ${JSON.stringify(json)}`)
  }
  t.equal(await reasonOf(5, { dtype: 'string' }), 'bad-value')
  t.equal(await reasonOf([{ b64: '*' }], { dtype: 'string' }), 'bad-value')
})

t.test('numbers that JSON cannot say have a form of their own', async (t) => {
  const exact = tensorOfElements('int64', [2], [2n ** 62n, -5n])
  t.strictSame(tensorToJson(exact), {
    dtype: 'int64',
    shape: [2],
    value: ['4611686018427387904', -5],
  })
  t.strictSame(tensorOfJson(['4611686018427387904', -5], { dtype: 'int64' }), exact)
  const odd = tensorOfElements('float32', [4], [Number.NaN, Infinity, -Infinity, -0])
  const { value } = tensorToJson(odd) as { readonly value: JsonValue }
  t.equal(jsonText(value), '["NaN","Infinity","-Infinity",-0]')
  t.strictSame(tensorOfJson(JSON.parse(jsonText(value)), { dtype: 'float32' }), odd)
  const complex = tensorOfElements(
    'complex64',
    [2],
    [
      [1, 2],
      [3, Number.NaN],
    ],
  )
  const pairs = [
    [1, 2],
    [3, 'NaN'],
  ]
  t.strictSame(tensorToJson(complex), { dtype: 'complex64', shape: [2], value: pairs })
  t.strictSame(tensorOfJson(pairs, { dtype: 'complex64' }), complex)
  t.strictSame(tensorToJson(tensorOfElements('float32', [], [0.1])), {
    dtype: 'float32',
    shape: [],
    value: 0.1,
  })
})

t.test('strings are text where they are UTF-8, base64 where not, in every encoding', async (t) => {
  const tensor = stringTensor([2], [new TextEncoder().encode('\ufeffé'), Uint8Array.of(255)])
  const json = { dtype: 'string', shape: [2], value: ['\ufeffé', { b64: '/w==' }] }
  t.strictSame(tensorToJson(tensor), json)
  t.strictSame(tensorToJson(tensor, { encoding: 'b64' }), json)
  t.strictSame(tensorOfJson(json), tensor)
  t.strictSame(
    tensorOfJson({ b64: '/w==' }, { dtype: 'string' }),
    stringTensor([], [Uint8Array.of(255)]),
  )
})

t.test('raw bytes come as base64, their length checked', async (t) => {
  const tensor = tensorOfElements('float32', [2], [1, 2])
  const json = { dtype: 'float32', shape: [2], b64: 'AACAPwAAAEA=' }
  t.strictSame(tensorToJson(tensor, { encoding: 'b64' }), json)
  t.strictSame(tensorOfJson(json), tensor)
  t.equal(await reasonOf({ ...json, shape: [3] }), 'size-mismatch')
  t.equal(await reasonOf({ dtype: 'float32', b64: '' }), 'shape-missing')
  t.equal(await reasonOf({ ...json, b64: 'x' }), 'bad-json')
  t.equal(await reasonOf({ dtype: 'string', shape: [1], b64: 'AAAA' }), 'bad-json')
})

t.test('too many elements are refused with the binary types named', async (t) => {
  const wanted = { dtype: 'int8', maxElements: 3 } as const
  t.ok(tensorOfJson([1, 2, 3], wanted))
  const { code, fix } = await refusalOf(() => tensorOfJson([1, 2, 3, 4], wanted))
  t.equal(code, 'RESOURCE_EXHAUSTED')
  t.match(fix, /application\/x-npy/)
  let deep: JsonValue = 1
  for (let depth = 0; depth < 10_000; depth++) deep = [deep]
  t.equal(await reasonOf(deep, { dtype: 'int8' }), 'ragged')
})

t.test('any tensor survives JSON', async (t) => {
  const numeric = fc
    .record({ dtype: fc.constantFrom(...dtypes.filter(isNumeric)), rows: fc.nat(2) })
    .chain(({ dtype, rows }) => {
      const byteLength = rows * 2 * byteLengthOf(dtype)
      return fc
        .uint8Array({ minLength: byteLength, maxLength: byteLength })
        .map((bytes) => numericTensor(dtype, [rows, 2], cleaned(dtype, bytes)))
    })
  fc.assert(
    fc.property(numeric, (tensor: Tensor) => {
      const text = jsonText(tensorToJson(tensor))
      t.strictSame(tensorOfJson(JSON.parse(text)), tensor, text)
      const raw = JSON.parse(jsonText(tensorToJson(tensor, { encoding: 'b64' })))
      t.strictSame(tensorOfJson(raw), tensor)
    }),
    { numRuns: 300 },
  )
})

/** Bytes without what JSON does not keep: which NaN it is, and bits that a bool or nibble lacks. */
function cleaned(dtype: NumericDType, bytes: Uint8Array): Uint8Array {
  if (dtype === 'bool') return bytes.map((byte) => byte & 1)
  if (dtype === 'uint4') return bytes.map((byte) => byte & 15)
  if (dtype === 'int4') return bytes.map((byte) => (byte << 28) >> 28)
  if (dtype === 'bfloat16') {
    const bits = new Uint16Array(bytes.slice().buffer)
    return new Uint8Array(bits.map((one) => ((one & 0x7f80) === 0x7f80 ? 0x7f80 : one)).buffer)
  }
  if (kindOf(dtype) !== 'float' && kindOf(dtype) !== 'complex') return bytes
  if (byteLengthOf(dtype) === 1) return bytes
  const copy = bytes.slice()
  const array = elementArrayOf(dtype, copy)
  array.forEach((value: number | bigint, index: number) => {
    if (Number.isNaN(value)) array[index] = Number.NaN
  })
  return copy
}
