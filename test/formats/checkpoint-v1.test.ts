// Checkpoints of TensorFlow's first format, as it wrote them and put together here.
import { join } from 'node:path'
import t from 'tap'
import { openCheckpoint, openCheckpointV1, readSavedModel } from '../../formats/index.ts'
import type { SliceExtent } from '../../formats/ordered-code.ts'
import type { Draft } from '../../proto/index.ts'
import { type DType, numberOfDType, tensorflowNameOf, unpackStrings } from '../../tensor/index.ts'
import { sharedFolder } from '../helper/shared.ts'
import {
  bytesOfChunks,
  fileSetOf,
  filesOfFolder,
  refusalOf,
  sha256OfChunks,
  tools,
} from '../helper/tools.ts'
import { shapeOf } from './bundle-parts.ts'
import { fileOf, floats, readFiles, type SlicePart, type TensorPart, whole } from './v1-parts.ts'

const text = (value: string) => new TextEncoder().encode(value)

t.test('the recorded V1 checkpoint holds the recorded tensors', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const files = filesOfFolder(join(shared, 'conformance/checkpoints/v1_format'))
  const { tensors } = JSON.parse(Buffer.from(files['expected.json']).toString())
  const opened = await openCheckpoint(fileSetOf(files), undefined, tools)
  t.match(opened, { format: 'v1', prefix: 'model.ckpt-7' })
  const described: Record<string, unknown> = {}
  for (const { name, dtype, shape, chunks } of opened.tensors) {
    const sha256 = await sha256OfChunks(chunks())
    described[name] = { dtype: tensorflowNameOf(dtype), shape, sha256 }
  }
  t.strictSame(described, tensors)
})

interface Recorded {
  readonly format?: string
  readonly tensors: readonly {
    readonly name: string
    readonly dtype: string
    readonly shape: readonly number[]
    readonly sha256_dense_le: string
  }[]
}

t.test('every collected V1 checkpoint has the recorded tensors', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  let count = 0
  for (const name of [
    'magenta_rl_tuner',
    'savedmodel_v1_variables_sharded',
    'session_bundle_half_plus_two',
    'tensorboard_linear_1_1000',
  ]) {
    const files = filesOfFolder(join(shared, 'fixtures/checkpoints_v1', name))
    const expected = JSON.parse(Buffer.from(files['expected.json']).toString())
    for (const [file, one] of Object.entries<Recorded>(expected)) {
      if (one.format !== 'V1') continue
      const { tensors } = await openCheckpointV1(fileSetOf(files), file, tools)
      t.same(
        tensors.map((tensor) => tensor.name),
        one.tensors.map((tensor) => tensor.name).sort(),
      )
      for (const tensor of tensors) {
        const wanted = one.tensors.find((recorded) => recorded.name === tensor.name)
        t.strictSame([tensor.dtype, tensor.shape], [wanted?.dtype, wanted?.shape])
        t.equal(await sha256OfChunks(tensor.chunks()), wanted?.sha256_dense_le, tensor.name)
        await tensor.verify()
        count++
      }
    }
  }
  t.equal(count, 33)
})

t.test('a SavedModel of 2016 has its variables in a V1 checkpoint', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const folder = join(shared, 'fixtures/checkpoints_v1/savedmodel_v1_variables_sharded')
  const files = fileSetOf(filesOfFolder(folder))
  const { variables, metaGraphs } = await readSavedModel(files)
  t.strictSame(variables, { format: 'v1', prefix: 'variables/variables' })
  const { tensors } = await openCheckpoint(files, variables?.prefix, tools)
  const found = await openCheckpoint(files, undefined, tools)
  t.strictSame([found.format, found.prefix], ['v1', 'variables/variables'])
  t.strictSame(
    metaGraphs[0].restore?.variables.map(({ checkpointKey }) => checkpointKey),
    tensors.map(({ name }) => name),
  )
})

t.test('every element type has its list', async (t) => {
  const bits = (...values: readonly number[]) => [
    ...new Uint8Array(Uint16Array.from(values).buffer),
  ]
  const cases: readonly [DType, Draft<'TensorProto'>, readonly number[]][] = [
    ['float32', { float_val: [1, -0] }, [0, 0, 128, 63, 0, 0, 0, 128]],
    ['float64', { double_val: [1, 0] }, [0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['complex64', { scomplex_val: [1, 0, 0, 1] }, [0, 0, 128, 63, ...Array(10).fill(0), 128, 63]],
    ['complex128', { dcomplex_val: [0, 0, 0, 0] }, Array(32).fill(0)],
    ['float16', { half_val: [0x3c00, 1] }, bits(0x3c00, 1)],
    ['bfloat16', { half_val: [0x3f80, 0xffff] }, bits(0x3f80, 0xffff)],
    ['bool', { bool_val: [true, false] }, [1, 0]],
    ['int8', { int_val: [-1, 127] }, [255, 127]],
    ['uint8', { int_val: [255, 1] }, [255, 1]],
    ['int16', { int_val: [-2, 1] }, bits(0xfffe, 1)],
    ['uint16', { int_val: [65_535, 1] }, bits(0xffff, 1)],
    ['int32', { int_val: [-1, 1] }, [255, 255, 255, 255, 1, 0, 0, 0]],
    ['uint32', { uint32_val: [2 ** 32 - 1, 1] }, [255, 255, 255, 255, 1, 0, 0, 0]],
    ['int64', { int64_val: [-1n, 1n] }, [...Array(8).fill(255), 1, 0, 0, 0, 0, 0, 0, 0]],
    ['uint64', { uint64_val: [2n ** 64n - 1n, 0n] }, [...Array(8).fill(255), ...Array(8).fill(0)]],
    ['qint8', { int_val: [-1, 2] }, [255, 2]],
    ['quint16', { int_val: [65_535, 2] }, bits(0xffff, 2)],
    ['float8_e5m2', { float8_val: Uint8Array.of(1, 2) }, [1, 2]],
    ['string', { string_val: [text('ab'), text('')] }, [2, 0, 0, 0, 0, 0, 0, 0, 97, 98]],
  ]
  const tensors = cases.map(([dtype, values]) => ({
    name: dtype,
    type: numberOfDType(dtype),
    shape: shapeOf(2),
    slices: [{ extents: whole(1), values }],
  }))
  const read = await readFiles({ m: fileOf(tensors) })
  for (const [dtype, , bytes] of cases) t.strictSame([...read[dtype]], bytes, dtype)
})

t.test('scalars, empty tensors and strings keep their shape', async (t) => {
  const tensors: readonly TensorPart[] = [
    { name: 'none', shape: shapeOf(0, 5), slices: [{ extents: whole(2), values: {} }] },
    { name: 'one', shape: {}, slices: [{ extents: [], values: { float_val: [2] } }] },
    {
      name: 'words',
      type: 7,
      shape: shapeOf(1, 2),
      slices: [{ extents: whole(2), values: { string_val: [text('é'), text('a\0')] } }],
    },
  ]
  const opened = await openCheckpoint(fileSetOf({ m: fileOf(tensors) }), 'm', tools)
  t.strictSame(
    opened.tensors.map(({ name, dtype, shape, byteLength }) => [name, dtype, shape, byteLength]),
    [
      ['none', 'float32', [0, 5], 0],
      ['one', 'float32', [], 4],
      ['words', 'string', [1, 2], 12],
    ],
  )
  const bytes = await bytesOfChunks(opened.tensors[2].chunks())
  t.strictSame(unpackStrings([1, 2], bytes).strings, [text('é'), text('a\0')])
  t.strictSame(await bytesOfChunks(opened.tensors[0].chunks()), new Uint8Array())
})

/** Slices of the numbers 0 to 11 as a [3, 4] tensor: rows and columns from, and how many. */
function cut(row: number, rows: number, column: number, columns: number): SlicePart {
  const extents: readonly SliceExtent[] = [
    rows === 3 ? { start: 0, length: -1 } : { start: row, length: rows },
    columns === 4 ? { start: 0, length: -1 } : { start: column, length: columns },
  ]
  const indices = (start: number, count: number) =>
    Array.from({ length: count }, (_, index) => start + index)
  const values = indices(row, rows).flatMap((at) => indices(4 * at + column, columns))
  return { extents, values: { float_val: values } }
}

t.test('slices are joined, of one file or of several, along any axis', async (t) => {
  const part = (...slices: readonly SlicePart[]): TensorPart => {
    return { name: 'p', shape: shapeOf(3, 4), slices }
  }
  const rows = { m: fileOf([part(cut(1, 2, 0, 4), cut(0, 1, 0, 4))]) }
  const columns = { m: fileOf([part(cut(0, 3, 0, 1), cut(0, 3, 1, 3))]) }
  const shards = {
    'm-00000-of-00002': fileOf([part(cut(0, 1, 0, 4)), floats('q', [7])]),
    'm-00001-of-00002': fileOf([part(cut(1, 2, 2, 2), cut(1, 2, 0, 2))]),
  }
  const wanted = Array.from({ length: 12 }, (_, index) => index)
  for (const files of [rows, columns, shards]) {
    const { p } = await readFiles(files)
    t.strictSame([...new Float32Array(p.buffer)], wanted, Object.keys(files)[0])
  }
  // A slice may spell out that it is all of the tensor.
  const spelled = [
    { start: 0, length: 3 },
    { start: 0, length: 4 },
  ]
  const all = part({ extents: spelled, values: cut(0, 3, 0, 4).values })
  t.strictSame([...new Float32Array((await readFiles({ m: fileOf([all]) })).p.buffer)], wanted)
})

t.test('shards are meant by their prefix, by a pattern, or by the name of one', async (t) => {
  const files = {
    'd/m-00000-of-00002': fileOf([floats('a', [1])]),
    'd/m-00001-of-00002': fileOf([floats('b', [2])]),
  }
  for (const name of ['d/m', 'm', 'd/m-?????-of-00002', 'm-?????-of-00002', 'm-00001-of-00002']) {
    t.strictSame(Object.keys(await readFiles(files, name)), ['a', 'b'], name)
  }
  const { 'd/m-00001-of-00002': _, ...lacking } = files
  t.match(await refusalOf(() => readFiles(lacking, 'm')), {
    code: 'DATA_LOSS',
    reason: 'bundle/missing-shard',
    names: { shard: 'd/m-00001-of-00002' },
  })
  const several = { ...files, 'd/m-00000-of-00001': fileOf([floats('c', [3])]) }
  const { reason } = await refusalOf(() => readFiles(several, 'm'))
  t.equal(reason, 'checkpoint/ambiguous-prefix')
  t.strictSame(Object.keys(await readFiles(several, 'm-?????-of-00001')), ['c'])
})

t.test('a large tensor comes in chunks, small ones share blocks', async (t) => {
  const large = Array.from({ length: 700_000 }, (_, index) => index)
  const small = Array.from({ length: 3000 }, (_, index) => floats(`s${index}`, [index]))
  const file = fileOf([floats('large', large), ...small])
  const { tensors } = await openCheckpoint(fileSetOf({ m: file }), 'm', tools)
  t.equal(tensors.length, 3001)
  for (const { name, chunks } of tensors.toReversed()) {
    const lengths: number[] = []
    const parts: Uint8Array[] = []
    for await (const chunk of chunks()) {
      lengths.push(chunk.byteLength)
      parts.push(chunk)
    }
    const numbers = new Float32Array(new Uint8Array(Buffer.concat(parts)).buffer)
    if (name === 'large') {
      t.strictSame(lengths, [1_048_576, 1_048_576, 702_848])
      t.ok(numbers.every((number, index) => number === index))
    } else if (numbers[0] !== Number(name.slice(1))) t.fail(name)
  }
})
