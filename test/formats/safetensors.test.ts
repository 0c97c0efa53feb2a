import fc from 'fast-check'
import t from 'tap'
import { byteSourceOf, openSafetensors, writeSafetensors } from '../../formats/index.ts'
import { safetensorsTypes } from '../../formats/safetensors-reader.ts'
import {
  byteLengthOf,
  type DType,
  packStrings,
  stringTensor,
  type TensorStream,
} from '../../tensor/index.ts'
import { bytesOfChunks, refusalOf } from '../helper/tools.ts'

/** A file with that header text (or bytes) and body. */
function fileOf(header: string | Uint8Array, body: Uint8Array = new Uint8Array(8)): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header
  const length = new Uint8Array(BigUint64Array.of(BigInt(text.byteLength)).buffer)
  return Uint8Array.from([...length, ...text, ...body])
}

async function reasonOf(header: string | Uint8Array, body?: Uint8Array): Promise<string> {
  const source = byteSourceOf(fileOf(header, body))
  const { code, reason } = await refusalOf(() => openSafetensors(source))
  return code === 'DATA_LOSS' ? reason.replace('safetensors/', '') : code
}

const one = '{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'

t.test('a file is read: tensors in the order of their bytes, and metadata', async (t) => {
  const file = fileOf(
    `{"__metadata__":{"k":"v"},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   `,
    Uint8Array.of(0, 0, 128, 63, 1, 2, 3, 4),
  )
  const { tensors, metadata } = await openSafetensors(byteSourceOf(file))
  t.strictSame([...metadata], [['k', 'v']])
  t.match(tensors, [
    { name: 'a', dtype: 'float32', shape: [], byteLength: 4 },
    { name: 'b', dtype: 'uint8', shape: [4], byteLength: 4 },
  ])
  t.strictSame(await bytesOfChunks(tensors[1].chunks()), Uint8Array.of(1, 2, 3, 4))
})

t.test('24: header lengths that cannot be are refused', async (t) => {
  const good = fileOf(`{"a":${one}}`)
  for (const length of [0n, 1n, 2n ** 63n, 100_000_001n, BigInt(good.byteLength - 7)]) {
    const file = good.slice()
    new DataView(file.buffer).setBigUint64(0, length, true)
    const { reason } = await refusalOf(() => openSafetensors(byteSourceOf(file)))
    t.equal(reason, 'safetensors/bad-length', String(length))
  }
})

t.test('24: a file cut at any byte is refused', async (t) => {
  const good = fileOf(`{"a":${one}}`)
  const codes = new Set<string>()
  for (let length = 0; length < good.byteLength; length++) {
    const cut = byteSourceOf(good.subarray(0, length))
    codes.add((await refusalOf(() => openSafetensors(cut))).code)
  }
  t.strictSame([...codes], ['DATA_LOSS'])
})

t.test('25, 26: a header that is no plain JSON object is refused', async (t) => {
  const bad = [
    Uint8Array.of(0x7b, 0xff, 0x7d),
    ' {}',
    '[]',
    '{  ',
    '{"a"}',
    '{"a":}',
    `{"a":${one}}x`,
    `{"a":${one},}`,
    `{"a":${one},"a":${one}}`,
    `{"a":${one},"\\u0061":${one}}`,
    '{"a":"\n"}',
    '{"a":01}',
    "{'a':1}",
    `{"a":${'['.repeat(100)}`,
    '\ufeff{}',
  ]
  for (const header of bad)
    t.equal(await reasonOf(header), 'bad-header', String(header).slice(0, 40))
})

t.test('27, 28: bytes that are not covered exactly once are refused', async (t) => {
  const at = (begin: unknown, end: unknown, shape = '[2]') =>
    `{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`
  const eight = new Uint8Array(8)
  t.equal(await reasonOf(`{"a":${at(0, 8)},"b":${at(4, 12)}}`, new Uint8Array(12)), 'overlap')
  t.equal(await reasonOf(`{"a":${at(0, 8)},"b":${at(0, 8)}}`), 'overlap')
  t.equal(await reasonOf(`{"a":${at(0, 8)},"b":${at(12, 20)}}`, new Uint8Array(20)), 'hole')
  t.equal(await reasonOf(`{"a":${at(4, 12)}}`, new Uint8Array(12)), 'hole')
  t.equal(await reasonOf(`{"a":${at(8, 0)}}`), 'bad-tensor')
  t.equal(await reasonOf(`{"a":${at(0, 8)}}`, eight.subarray(1)), 'bad-tensor')
  t.equal(await reasonOf(`{"a":${at(0, 8)}}`, new Uint8Array(9)), 'trailing-bytes')
  t.equal(await reasonOf('{}', Uint8Array.of(1)), 'trailing-bytes')
  for (const offset of ['8.5', '1e400', '"8"', '-1', '9007199254740993', '1e1', 'null']) {
    t.equal(await reasonOf(`{"a":${at(0, offset)}}`), 'bad-tensor', offset)
  }
  t.equal(await reasonOf('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}'), 'bad-tensor')
})

t.test('29: shapes that do not fit are refused', async (t) => {
  const shaped = (shape: string) => `{"a":{"dtype":"F32","shape":${shape},"data_offsets":[0,8]}}`
  t.equal(await reasonOf(shaped('[3]')), 'size-mismatch')
  t.equal(await reasonOf(shaped('[4294967296,4294967296]')), 'size-mismatch')
  for (const shape of ['[-2]', '[2.0]', '2', '["2"]', 'null', '[[2]]']) {
    t.equal(await reasonOf(shaped(shape)), 'bad-tensor', shape)
  }
  t.equal(
    await reasonOf('{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,8]}}'),
    'unsupported-dtype',
  )
  t.equal(await reasonOf('{"a":{"dtype":1,"shape":[2],"data_offsets":[0,8]}}'), 'bad-tensor')
  t.equal(await reasonOf(`{"a":{"x":1,${one.slice(1)}}`), 'bad-tensor')
})

t.test('30, 31: metadata holds strings only, and no name is special', async (t) => {
  t.equal(await reasonOf('{"__metadata__":{"a":1}}', new Uint8Array()), 'bad-header')
  t.equal(await reasonOf(`{"__metadata__":${one}}`), 'bad-header')
  const file = byteSourceOf(fileOf(`{"__proto__":${one}}`))
  t.strictSame(
    (await openSafetensors(file)).tensors.map(({ name }) => name),
    ['__proto__'],
  )
})

function streamOf(name: string, dtype: DType, bytes: Uint8Array): TensorStream {
  const shape = [bytes.byteLength / byteLengthOf(dtype)]
  return {
    name,
    dtype,
    shape,
    byteLength: bytes.byteLength,
    async *chunks() {
      yield bytes.subarray(0, 3)
      yield bytes.subarray(3)
    },
  }
}

t.test('what is written is read back; equal tensors give equal bytes', async (t) => {
  const types = fc.constantFrom(...(Object.keys(safetensorsTypes) as DType[]))
  const tensor = fc.record({ dtype: types, count: fc.nat(5), fill: fc.nat(255) })
  const named = fc.dictionary(fc.string({ minLength: 1 }), tensor, { maxKeys: 6 })
  await fc.assert(
    fc.asyncProperty(named, async (described) => {
      const tensors = Object.entries(described).map(([name, { dtype, count, fill }]) =>
        streamOf(name, dtype, new Uint8Array(count * byteLengthOf(dtype)).fill(fill)),
      )
      const metadata = new Map([['step', '7']])
      const file = writeSafetensors(tensors, metadata)
      const bytes = await bytesOfChunks(file.chunks())
      t.equal(bytes.byteLength, file.byteLength)
      const again = writeSafetensors([...tensors].reverse(), metadata)
      t.equal(Buffer.compare(await bytesOfChunks(again.chunks()), bytes), 0)
      const read = await openSafetensors(byteSourceOf(bytes))
      t.strictSame(read.metadata, metadata)
      t.equal(read.tensors.length, tensors.length)
      for (const one of read.tensors) {
        const { dtype, count, fill } = described[one.name]
        t.equal(one.dtype, dtype)
        t.strictSame(
          await bytesOfChunks(one.chunks()),
          new Uint8Array(count * byteLengthOf(dtype)).fill(fill),
        )
      }
    }),
    { numRuns: 60 },
  )
})

t.test('the header is a multiple of eight bytes', async (t) => {
  for (const name of ['a', 'ab', 'abc', 'abcd']) {
    const bytes = await bytesOfChunks(
      writeSafetensors([streamOf(name, 'uint8', new Uint8Array(3))]).chunks(),
    )
    t.equal(new DataView(bytes.buffer).getUint32(0, true) % 8, 0)
  }
})

t.test('names that are given twice or reserved are not written', async (t) => {
  const reason = async (...tensors: readonly TensorStream[]) =>
    (await refusalOf(() => writeSafetensors(tensors))).reason
  const bytes = new Uint8Array(16)
  t.equal(await reason(streamOf('__metadata__', 'uint8', bytes)), 'safetensors/bad-name')
  const twice = streamOf('a', 'uint8', bytes)
  t.equal(await reason(twice, twice), 'safetensors/bad-name')
})

t.test(
  'types without a name in the format travel as bytes and come back as they were',
  async (t) => {
    const strings = stringTensor([2], [new Uint8Array(0), Uint8Array.of(104, 105)])
    const given: readonly TensorStream[] = [
      { ...streamOf('s', 'string', packStrings(strings)), shape: [2] },
      { ...streamOf('z', 'complex128', new Uint8Array(32).fill(7)), shape: [2, 1] },
      streamOf('plain', 'uint8', Uint8Array.of(5)),
    ]
    const file = await bytesOfChunks(writeSafetensors(given, new Map([['k', 'v']])).chunks())
    const header = new TextDecoder().decode(file)
    t.ok(header.includes('"s":{"dtype":"U8","shape":[10]'))
    const { tensors, metadata } = await openSafetensors(byteSourceOf(file))
    t.strictSame([...metadata], [['k', 'v']])
    for (const want of given) {
      const got = tensors.find(({ name }) => name === want.name)
      t.match(got, { dtype: want.dtype, shape: want.shape })
      t.strictSame(await bytesOfChunks(got!.chunks()), await bytesOfChunks(want.chunks()))
    }
  },
)

t.test('a text of carried types that does not fit the tensors is refused', async (t) => {
  const texts = [
    '[]',
    '{',
    '{"b":{"dtype":"string","shape":[]}}',
    '{"a":{"dtype":"string","shape":[3]}}',
    '{"a":{"dtype":"complex128","shape":[1]}}',
    '{"a":{"dtype":"variant","shape":[]}}',
    '{"a":{"dtype":"string","shape":[-1]}}',
    '{"a":7}',
  ]
  const entry = '"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}'
  for (const text of texts) {
    const metadata = `"__metadata__":{"holdfast.carried_types":${JSON.stringify(text)}}`
    t.equal(await reasonOf(`{${metadata},${entry}}`), 'bad-carried-type', text)
  }
})
