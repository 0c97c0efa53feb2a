// Damaged and lying V1 checkpoints. Numbers are those of the list of faults that the product answers for.
import { compress } from 'snappyjs'
import t from 'tap'
import { openCheckpoint } from '../../formats/index.ts'
import { sliceKey } from '../../formats/ordered-code.ts'
import { writeTable } from '../../formats/table-writer.ts'
import { type Draft, encode } from '../../proto/index.ts'
import { bytesOfChunks, fileSetOf, refusalOf, tools } from '../helper/tools.ts'
import { shapeOf } from './bundle-parts.ts'
import { plainTable } from './table-parts.ts'
import {
  descriptionOf,
  fileOf,
  floats,
  readFiles,
  rowsOf,
  savedSliceOf,
  type TensorPart,
  whole,
} from './v1-parts.ts'

/** The reason for which such a file, or such shards, are refused. */
async function reasonOf(...files: readonly Uint8Array[]): Promise<string> {
  const count = String(files.length).padStart(5, '0')
  const shards = files.map((file, index) => [
    `m-${String(index).padStart(5, '0')}-of-${count}`,
    file,
  ])
  const { code, reason } = await refusalOf(() => readFiles(Object.fromEntries(shards)))
  return code === 'DATA_LOSS' ? reason : code
}

const two: TensorPart = {
  ...floats('w', [1, 2]),
  slices: [{ extents: [{ start: 0, length: 2 }], values: { float_val: [1, 2] } }],
}
const good = [floats('v', [3]), two]

t.test('1: a file cut at any byte is refused', async (t) => {
  const file = fileOf(good)
  t.strictSame(Object.keys(await readFiles({ m: file })), ['v', 'w'])
  const reasons = new Set<string>()
  for (let length = 0; length < file.byteLength; length++) {
    reasons.add(await reasonOf(file.subarray(0, length)))
  }
  t.strictSame([...reasons], ['bundle/bad-magic'])
})

t.test('2, 3, 13: a flipped bit anywhere in the file is refused', async (t) => {
  const file = fileOf(good)
  const reasons = new Set<string>()
  for (let bit = 0; bit < 8 * file.byteLength; bit++) {
    const flipped = file.slice()
    flipped[bit >> 3] ^= 1 << (bit & 7)
    reasons.add(await reasonOf(flipped))
  }
  t.ok(reasons.has('bundle/block-crc-mismatch'))
  t.notOk(reasons.has('NOT_FOUND'))
})

/** The file with another description. */
function described(description: Uint8Array, tensors: readonly TensorPart[] = good): Uint8Array {
  return fileOf(tensors, description)
}

t.test('7, 9: a description that is absent, no message or too new is refused', async (t) => {
  t.equal(await reasonOf(writeTable(rowsOf(good).slice(1), tools)), 'bundle/no-header')
  t.equal(await reasonOf(writeTable([], tools)), 'bundle/no-header')
  t.equal(await reasonOf(described(Uint8Array.of(0x0a, 9))), 'bundle/bad-header')
  t.equal(await reasonOf(described(new Uint8Array())), 'bundle/bad-header')
  for (const version of [{ min_consumer: 2 }, { producer: -1 }, { bad_consumers: [1] }]) {
    t.equal(await reasonOf(described(descriptionOf(good, version))), 'bundle/version')
  }
  const bundle = writeTable(
    [{ key: new Uint8Array(), value: encode('BundleHeaderProto', { num_shards: 1 }) }],
    tools,
  )
  t.equal(await reasonOf(bundle), 'bundle/bad-header', 'the index of a bundle')
})

/** The file of one tensor that is described otherwise than it is stored. */
function changed(changes: Partial<TensorPart>): Uint8Array {
  return described(descriptionOf([{ ...two, ...changes }]), [two])
}

t.test('15, 16, 17: shapes and types that cannot be are refused', async (t) => {
  for (const shape of [
    shapeOf(2 ** 31, 2 ** 31),
    shapeOf(-1),
    shapeOf(-5, 0),
    { unknown_rank: true },
    shapeOf(...Array.from({ length: 300 }, () => 1)),
  ]) {
    t.equal(await reasonOf(changed({ shape })), 'bundle/bad-shape')
  }
  for (const type of [0, 999, 101, 20, 21]) {
    t.equal(await reasonOf(changed({ type })), 'bundle/unsupported-dtype', String(type))
  }
})

/** A file of `w` with its slice's value replaced. */
function valued(value: Uint8Array, tensor: TensorPart = two): Uint8Array {
  const [description] = rowsOf([tensor])
  return writeTable([description, { key: sliceKey('w', tensor.slices[0].extents), value }], tools)
}

t.test('11, 36: a value with other elements than its slice is refused', async (t) => {
  const [{ extents }] = two.slices
  const lists: readonly Draft<'TensorProto'>[] = [
    { float_val: [1] },
    { float_val: [1, 2, 3] },
    { double_val: [1, 2] },
    { int_val: [1, 2] },
    { tensor_content: new Uint8Array(8) },
    {},
  ]
  for (const values of lists) {
    const value = savedSliceOf('w', { extents, values })
    t.equal(await reasonOf(valued(value)), 'bundle/size-mismatch', JSON.stringify(values))
  }
  const value = savedSliceOf('w', two.slices[0])
  const codes = new Set<string>()
  for (let length = 0; length < value.byteLength; length++) {
    codes.add(await reasonOf(valued(value.subarray(0, length))))
  }
  t.strictSame([...codes].sort(), ['bundle/bad-entry', 'bundle/size-mismatch'])
  const words: TensorPart = { ...two, type: 7 }
  for (const string_val of [[], [Uint8Array.of(1)], Array(3).fill(Uint8Array.of(1))]) {
    const saved = savedSliceOf('w', { extents, values: { string_val } })
    t.equal(await reasonOf(valued(saved, words)), 'bundle/size-mismatch')
  }
})

t.test('15: a small file that claims a large tensor is refused when it is opened', async (t) => {
  for (const [type, size] of [
    [1, 1000],
    [9, 1000],
    [7, 1000],
    [10, 2 ** 40],
  ]) {
    const extents = [{ start: 0, length: size }]
    const tensor = { ...two, type, shape: shapeOf(size), slices: [{ extents, values: {} }] }
    const opening = openCheckpoint(fileSetOf({ m: fileOf([tensor]) }), 'm', tools)
    t.equal((await refusalOf(() => opening)).reason, 'bundle/size-mismatch')
  }
})

t.test('19: slices that do not tile their tensor are refused', async (t) => {
  const part = (start: number, length: number, values: readonly number[] = [1, 2]) => ({
    extents: [{ start, length }],
    values: { float_val: values },
  })
  const sliced = (...slices: TensorPart['slices']) => ({ ...two, shape: shapeOf(4), slices })
  const read = await readFiles({ m: fileOf([sliced(part(2, 2), part(0, 2))]) })
  t.strictSame([...new Float32Array(read.w.buffer)], [1, 2, 1, 2])
  t.equal(await reasonOf(fileOf([sliced(part(0, 2))])), 'bundle/slice-hole')
  t.equal(await reasonOf(fileOf([sliced()])), 'bundle/slice-hole')
  t.equal(await reasonOf(fileOf([sliced(part(0, 3), part(2, 2))])), 'bundle/slice-overlap')
  t.equal(await reasonOf(fileOf([sliced(part(0, 2), part(3, 2))])), 'bundle/bad-slice')
  t.equal(await reasonOf(fileOf([sliced(part(-1, 2), part(2, 2))])), 'bundle/bad-slice')
  const flat = { ...part(0, 2), extents: whole(2) }
  t.equal(await reasonOf(fileOf([sliced(flat)])), 'bundle/bad-slice')
  const twice = [part(0, 2), part(2, 2), part(2, 2)]
  const description = descriptionOf([sliced(...twice)])
  const once = [sliced(...twice.slice(0, 2))]
  t.equal(await reasonOf(described(description, once)), 'bundle/slice-overlap')
  const words = { string_val: [Uint8Array.of(), Uint8Array.of()] }
  const strings = [part(0, 2), part(2, 2)].map(({ extents }) => ({ extents, values: words }))
  t.equal(await reasonOf(fileOf([{ ...sliced(...strings), type: 7 }])), 'bundle/bad-slice')
})

t.test('19: values that nothing describes, or that are not there, are refused', async (t) => {
  t.equal(await reasonOf(described(descriptionOf(good.slice(1)))), 'bundle/stray-slice')
  t.equal(await reasonOf(described(descriptionOf(good), [two])), 'bundle/missing-slice')
  t.equal(await reasonOf(described(descriptionOf([...good, two]))), 'bundle/bad-entry')
  const other = savedSliceOf('x', two.slices[0])
  t.equal(await reasonOf(valued(other)), 'bundle/bad-slice')
  const elsewhere = savedSliceOf('w', { ...two.slices[0], extents: [{ start: 1, length: 2 }] })
  t.equal(await reasonOf(valued(elsewhere)), 'bundle/bad-slice')
})

t.test('12, 19: shards that contradict each other are refused', async (t) => {
  const double = { ...two, type: 2, slices: [{ ...two.slices[0], values: { double_val: [1, 2] } }] }
  t.equal(await reasonOf(fileOf([two]), fileOf([double])), 'bundle/bad-entry')
  t.equal(
    await reasonOf(fileOf([two]), fileOf([{ ...two, shape: shapeOf(3) }])),
    'bundle/bad-entry',
  )
  t.equal(await reasonOf(fileOf([two]), fileOf([two])), 'bundle/slice-overlap')
  t.equal(await reasonOf(fileOf([two]), fileOf([two]).subarray(1)), 'bundle/block-crc-mismatch')
})

t.test('20: a snappy block is read', async (t) => {
  const rows = rowsOf([two])
  const block = rows.flatMap(({ key, value }) => [
    ...[0, key.byteLength, value.byteLength],
    ...[...key, ...value],
  ])
  const packed = compress(Uint8Array.from([...block, 0, 0, 0, 0, 1, 0, 0, 0]))
  const { w } = await readFiles({ m: plainTable(packed, 1) })
  t.strictSame([...new Float32Array(w.buffer)], [1, 2])
})

t.test('21: any name is an opaque key, but none', async (t) => {
  for (const name of ['..', '__proto__', '../../etc/passwd', 'a\u0000b', 'x'.repeat(65_536)]) {
    t.strictSame(Object.keys(await readFiles({ m: fileOf([floats(name, [1])]) })), [name])
  }
  t.equal(await reasonOf(fileOf([floats('', [1])])), 'bundle/bad-entry')
})

t.test('23: more names than the limit are refused, slices counted', async (t) => {
  const many = Array.from({ length: 11 }, (_, index) => floats(`e${index}`, []))
  const open = (tensors: readonly TensorPart[], maxEntries: number) =>
    openCheckpoint(fileSetOf({ m: fileOf(tensors) }), 'm', tools, { maxEntries })
  t.equal((await open(many, 11)).tensors.length, 11)
  const refusal = await refusalOf(() => open(many, 10))
  t.match(refusal, { code: 'RESOURCE_EXHAUSTED', reason: 'bundle/too-many-tensors' })
})

t.test('a file that changes after it was opened is found out', async (t) => {
  const file = fileOf(good)
  const { tensors } = await openCheckpoint(fileSetOf({ m: file }), 'm', tools)
  file[40] ^= 1
  const { reason } = await refusalOf(() => bytesOfChunks(tensors[0].chunks()))
  t.equal(reason, 'bundle/block-crc-mismatch')
})
