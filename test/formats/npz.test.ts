import fc from 'fast-check'
import t from 'tap'
import { byteSourceOf, openNpy, openNpz, openZip, writeNpy, writeNpz } from '../../formats/index.ts'
import { writeZip } from '../../formats/zip-writer.ts'
import {
  type ByteSource,
  byteLengthOf,
  elementsOf,
  type NumericDType,
  numericTensor,
  Refusal,
  type TensorStream,
} from '../../tensor/index.ts'
import { bytesOfChunks, refusalOf, tools } from '../helper/tools.ts'

function streamOf(
  name: string,
  bytes: Uint8Array,
  dtype: TensorStream['dtype'] = 'uint8',
  shape: readonly number[] = [bytes.byteLength],
): TensorStream {
  return {
    ...{ name, dtype, shape, byteLength: bytes.byteLength },
    async *chunks() {
      yield bytes
    },
  }
}

/** Every array of a file: type, shape, elements. */
async function read(file: Uint8Array): Promise<Record<string, unknown>> {
  const arrays: Record<string, unknown> = Object.create(null)
  for (const { name, dtype, shape, chunks } of (await openNpz(byteSourceOf(file), tools)).tensors) {
    const bytes = await bytesOfChunks(chunks())
    arrays[name] = [dtype, shape, elementsOf(numericTensor(dtype as NumericDType, shape, bytes))]
  }
  return arrays
}

async function reasonOf(file: Uint8Array): Promise<string> {
  const { code, reason } = await refusalOf(() => read(file))
  return code === 'DATA_LOSS' ? reason : code
}

/** What `numpy.savez_compressed` made of two arrays, one of them in Fortran order and big-endian. */
const fromNumpy = [
  'UEsDBC0AAAAIAAAAIQBP6QAq//////////8FABQAYS5ucHkBABAAmAAAAAAAAABVAAAAAAAAAJvsF+obEMnIUMZQrZ',
  '6SWpxcpG6loG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GkY6CsaaOgq1CmQDLgYwaLAHEg5ABMQN',
  'QLzAAQBQSwMELQAAAAgAAAAhAOEe+qj//////////wcAFABiL2MubnB5AQAQAIwAAAAAAAAAUQAAAAAAAACb7BfqGx',
  'DJyFDGUK2eklqcXKRupaBul2mkrqOgnpZfVFKUmBefX5SSChIPKSpNBQoXZyQWpAK5GkY6CsaaOgq1CuQDLgYGBmYG',
  'RgYWBiYGVgBQSwECLQMtAAAACAAAACEAT+kAKlUAAACYAAAABQAAAAAAAAAAAAAAgAEAAAAAYS5ucHlQSwECLQMtAA',
  'AACAAAACEA4R76qFEAAACMAAAABwAAAAAAAAAAAAAAgAGMAAAAYi9jLm5weVBLBQYAAAAAAgACAGgAAAAWAQAAAAA=',
]

t.test('what NumPy compressed is read', async (t) => {
  const file = new Uint8Array(Buffer.from(fromNumpy.join(''), 'base64'))
  t.strictSame(
    { ...(await read(file)) },
    {
      a: ['float32', [2, 3], [0, 1, 2, 3, 4, 5]],
      'b/c': ['int16', [2, 3], [0, 1, 2, 3, 4, 5]],
    },
  )
})

t.test('what is written is read back, by name, and has the length that it says', async (t) => {
  const types = ['bool', 'uint8', 'float16', 'int32', 'float64', 'complex64'] as const
  const array = fc.record({
    dtype: fc.constantFrom(...types),
    shape: fc.array(fc.nat(3), { maxLength: 3 }),
  })
  const names = fc.stringMatching(/^[a-z_]{1,3}(\/[a-z0-9é.-]{1,3}[a-z])?$/)
  await fc.assert(
    fc.asyncProperty(fc.dictionary(names, array), async (arrays) => {
      const tensors = Object.entries(arrays).map(([name, { dtype, shape }]) => {
        const count = shape.reduce((product, size) => product * size, byteLengthOf(dtype))
        const bytes = Uint8Array.from({ length: count }, (_, index) => index % 2)
        return streamOf(name, bytes, dtype, shape)
      })
      const file = writeNpz(tensors, tools)
      const bytes = await bytesOfChunks(file.chunks())
      t.equal(bytes.byteLength, file.byteLength)
      const found = await openNpz(byteSourceOf(bytes), tools)
      t.strictSame(
        found.tensors.map(({ name }) => name),
        Object.keys(arrays).sort(),
      )
      for (const tensor of found.tensors) {
        const wanted = tensors.find(({ name }) => name === tensor.name)
        t.strictSame([tensor.dtype, tensor.shape], [wanted?.dtype, wanted?.shape])
        const content = await bytesOfChunks(tensor.chunks())
        t.strictSame(content, wanted && (await bytesOfChunks(wanted.chunks())))
      }
      const again = writeNpz(tensors.toReversed(), tools)
      t.equal(Buffer.compare(await bytesOfChunks(again.chunks()), bytes), 0)
    }),
    { numRuns: 50 },
  )
})

t.test('32, 34: a member that is no array is refused by its name', async (t) => {
  const member = (name: string, bytes: Uint8Array) => ({ ...streamOf(name, bytes), name })
  const zip = (name: string, bytes: Uint8Array) =>
    bytesOfChunks(writeZip([member(name, bytes)], tools).chunks())
  const inner = await bytesOfChunks(writeNpz([streamOf('a', Uint8Array.of(1))], tools).chunks())
  t.equal(await reasonOf(await zip('inner.npz', inner)), 'npz/bad-member')
  t.equal(await reasonOf(await zip('.npy', inner)), 'npz/bad-member')
  t.equal(await reasonOf(await zip('inner.npy', inner)), 'npy/bad-magic')
  t.equal(await reasonOf(await zip('../a.npy', inner)), 'archive/bad-name')
  const header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
  const pickled = Buffer.from(
    `\x93NUMPY\x01\x00${String.fromCharCode(header.length)}\0${header}`,
    'latin1',
  )
  const refusal = await refusalOf(async () => read(await zip('w/x.npy', new Uint8Array(pickled))))
  t.match(refusal, { reason: 'npy/unsupported-dtype', names: { tensor: 'w/x' }, message: /w\/x/ })
})

t.test('34: a file cut or changed anywhere is refused, or read as it was', async (t) => {
  const tensors = [streamOf('a', Uint8Array.of(1, 2)), streamOf('b', Uint8Array.of(3))]
  const file = await bytesOfChunks(writeNpz(tensors, tools).chunks())
  const wanted = JSON.stringify(await read(file))
  for (let length = 0; length < file.byteLength; length++) {
    t.equal((await refusalOf(() => read(file.subarray(0, length)))).code, 'DATA_LOSS')
  }
  let refused = 0
  for (let bit = 0; bit < 8 * file.byteLength; bit++) {
    const flipped = file.slice()
    flipped[bit >> 3] ^= 1 << (bit & 7)
    try {
      if (JSON.stringify(await read(flipped)) !== wanted) t.fail(`bit ${bit}`)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      refused++
    }
  }
  t.ok(refused > 6 * file.byteLength, `${refused} refused`)
})

t.test('34: more than the limit is refused before it is unpacked', async (t) => {
  const file = byteSourceOf(new Uint8Array(Buffer.from(fromNumpy.join(''), 'base64')))
  const inflate = () => t.fail('it was unpacked')
  const watched = { ...tools, inflate: inflate as never }
  const { code } = await refusalOf(() => openNpz(file, watched, { maxUnpackedBytes: 200 }))
  t.equal(code, 'RESOURCE_EXHAUSTED')
})

t.test('names that no archive should hold are not written', async (t) => {
  const one = Uint8Array.of(1)
  const reserved = 'holdfast.carried_types'
  for (const name of ['', '../a', '/a', 'a//b', 'a\\b', 'C:a', './a', 'a\0', '\ud800', reserved]) {
    const { code, reason } = await refusalOf(() => writeNpz([streamOf(name, one)], tools))
    t.strictSame([code, reason], ['INVALID_ARGUMENT', 'npz/bad-name'], JSON.stringify(name))
  }
  const twice = [streamOf('a', one), streamOf('b', one), streamOf('a', one)]
  t.equal((await refusalOf(() => writeNpz(twice, tools))).reason, 'npz/bad-name')
})

const packedWords = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0x61)

t.test('types that NumPy lacks travel as numbers of their width, and come back', async (t) => {
  const tensors = [
    streamOf('half', Uint8Array.of(0x80, 0x3f), 'bfloat16', [1]),
    streamOf('quantized', Uint8Array.of(1, 2, 3, 4), 'qint32', [1, 1]),
    streamOf('small', Uint8Array.of(7, 8), 'float8_e5m2', [2]),
    streamOf('words', packedWords, 'string', [2]),
    streamOf('plain', Uint8Array.of(5), 'int8', [1]),
  ]
  const bytes = await bytesOfChunks(writeNpz(tensors, tools).chunks())
  const members = await openZip(byteSourceOf(bytes), tools)
  const seen: Record<string, unknown> = {}
  for (const name of members.names) {
    const { dtype, shape } = await openNpy(members.open(name), name)
    seen[name] = [dtype, shape]
  }
  t.match(seen, {
    'half.npy': ['uint16', [1]],
    'quantized.npy': ['uint32', [1, 1]],
    'small.npy': ['uint8', [2]],
    'words.npy': ['uint8', [9]],
    'plain.npy': ['int8', [1]],
    'holdfast.carried_types.npy': ['uint8'],
  })
  const { tensors: found } = await openNpz(byteSourceOf(bytes), tools)
  for (const tensor of found) {
    const wanted = tensors.find(({ name }) => name === tensor.name)
    t.strictSame([tensor.dtype, tensor.shape], [wanted?.dtype, wanted?.shape])
    t.strictSame(
      await bytesOfChunks(tensor.chunks()),
      wanted && (await bytesOfChunks(wanted.chunks())),
    )
  }
  t.equal(found.length, tensors.length)
})

t.test('a text of carried types that does not fit the arrays is refused', async (t) => {
  const key = 'holdfast.carried_types'
  const zipOf = async (text: Uint8Array, array: TensorStream) => {
    const files = [streamOf(key, text), array].map((one) => ({
      name: `${one.name}.npy`,
      ...writeNpy(one),
    }))
    return byteSourceOf(await bytesOfChunks(writeZip(files, tools).chunks()))
  }
  const array = streamOf('w', Uint8Array.of(1, 2))
  const texts = [
    'no JSON',
    '[]',
    '{"v":{"dtype":"qint8","shape":[2]}}',
    '{"w":{"dtype":"qint8","shape":[3]}}',
    '{"w":{"dtype":"qint8","shape":[-2]}}',
    '{"w":{"dtype":"resource","shape":[2]}}',
    '{"w":{"dtype":"string","shape":[1]}}',
    '{"w":{"dtype":"qint8","shape":[9007199254740991,9007199254740991]}}',
    '{"w":{"dtype":"qint8","shape":[2]},"w":{"dtype":"quint8","shape":[2]}}',
  ]
  for (const text of texts) {
    const file = await zipOf(new TextEncoder().encode(text), array)
    const { code, reason } = await refusalOf(() => openNpz(file, tools))
    t.strictSame([code, reason], ['DATA_LOSS', 'npz/bad-carried-type'], text)
  }
  const good = new TextEncoder().encode('{"w":{"dtype":"qint8","shape":[2]}}')
  t.equal((await openNpz(await zipOf(good, array), tools)).tensors[0].dtype, 'qint8')
  const floats = streamOf('w', new Uint8Array(8), 'float32', [2])
  const eight = new TextEncoder().encode('{"w":{"dtype":"qint8","shape":[8]}}')
  const refusal = await refusalOf(async () => openNpz(await zipOf(eight, floats), tools))
  t.equal(refusal.reason, 'npz/bad-carried-type')
})

/** A source over chunks, which may be one array many times over. */
function sourceOf(chunks: readonly Uint8Array[]): ByteSource {
  const ends: number[] = []
  for (const { byteLength } of chunks) ends.push((ends.at(-1) ?? 0) + byteLength)
  return {
    byteLength: ends.at(-1) ?? 0,
    async read(offset, length) {
      const first = ends.findIndex((end) => end > offset)
      const start = offset - (ends[first] - chunks[first].byteLength)
      if (offset + length <= ends[first]) return chunks[first].subarray(start, start + length)
      const bytes = new Uint8Array(length)
      let at = 0
      for (let index = first; at < length; index++) {
        const from = index === first ? start : 0
        const part = chunks[index].subarray(from, from + length - at)
        bytes.set(part, at)
        at += part.byteLength
      }
      return bytes
    },
  }
}

t.test('a member over 4 GiB, and one after it, have their 64-bit fields', async (t) => {
  const piece = new Uint8Array(2 ** 26)
  const huge: TensorStream = {
    ...{ name: 'huge', dtype: 'uint8', shape: [2 ** 32 + 1], byteLength: 2 ** 32 + 1 },
    async *chunks() {
      for (let index = 0; index < 64; index++) yield piece
      yield Uint8Array.of(7)
    },
  }
  // The checksums of 4 GiB are another test's matter.
  const quick = { ...tools, crc32: () => 0 }
  const file = writeNpz([huge, streamOf('last', Uint8Array.of(9))], quick)
  const chunks: Uint8Array[] = []
  for await (const chunk of file.chunks()) chunks.push(chunk)
  const source = sourceOf(chunks)
  t.equal(source.byteLength, file.byteLength)
  const { tensors } = await openNpz(source, quick)
  t.strictSame(
    tensors.map(({ name, byteLength }) => [name, byteLength]),
    [
      ['huge', 2 ** 32 + 1],
      ['last', 1],
    ],
  )
  t.strictSame(await bytesOfChunks(tensors[1].chunks()), Uint8Array.of(9))
})

t.test('65,536 members have a 64-bit count', async (t) => {
  async function* chunks(): AsyncGenerator<Uint8Array> {}
  const many = Array.from({ length: 65_536 }, (_, index) => {
    return { name: `t${index}`, byteLength: 0, chunks }
  })
  const file = await bytesOfChunks(writeZip(many, tools).chunks())
  const { names } = await openZip(byteSourceOf(file), tools)
  t.equal(names.length, 65_536)
  t.equal(names[65_535], 't65535')
})
