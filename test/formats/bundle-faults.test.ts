// Damaged and lying bundles. Numbers are those of the list of faults that the product answers for.
import { compress } from 'snappyjs'
import t from 'tap'
import { maskCrc, openBundle } from '../../formats/index.ts'
import { sliceKey } from '../../formats/ordered-code.ts'
import { writeTable } from '../../formats/table-writer.ts'
import { type Draft, encode } from '../../proto/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { fileSetOf, refusalOf, tools } from '../helper/tools.ts'
import { entryOf, filesOf, type Parts, readFiles, shapeOf } from './bundle-parts.ts'
import { plainTable, varint } from './table-parts.ts'

const four = new Uint8Array(new Float32Array([1, 2]).buffer)
const good: Parts = { entries: [['w', entryOf(four)]], shards: [four] }

/** The reason for which such a bundle is refused. */
async function reasonOf(parts: Parts): Promise<string> {
  return (await refusalOf(() => readFiles(filesOf(parts)))).reason
}

function withEntry(changes: Draft<'BundleEntryProto'>): Parts {
  return { ...good, entries: [['w', entryOf(four, 0, changes)]] }
}

t.test('a good bundle is read', async (t) => {
  t.strictSame((await readFiles(filesOf(good))).w, four)
})

t.test('1: an index cut at any byte is refused', async (t) => {
  const files = filesOf(good)
  const codes = new Set<string>()
  for (let length = 0; length < files['m.index'].byteLength; length++) {
    const cut = { ...files, 'm.index': files['m.index'].subarray(0, length) }
    codes.add((await refusalOf(() => readFiles(cut))).code)
  }
  t.strictSame([...codes], ['DATA_LOSS'])
})

t.test('2, 3: a flipped bit anywhere in the index is refused', async (t) => {
  const files = filesOf(good)
  const { byteLength } = files['m.index']
  const reasons = new Set<string>()
  for (let bit = 0; bit < 8 * byteLength; bit++) {
    const index = files['m.index'].slice()
    index[bit >> 3] ^= 1 << (bit & 7)
    reasons.add((await refusalOf(() => readFiles({ ...files, 'm.index': index }))).reason)
  }
  t.ok(reasons.has('bundle/bad-magic'))
  t.ok(reasons.has('bundle/block-crc-mismatch'))
})

async function indexReason(index: Uint8Array): Promise<string> {
  return (await refusalOf(() => readFiles({ ...filesOf(good), 'm.index': index }))).reason
}

t.test('4: a block handle past the end is refused', async (t) => {
  const index = filesOf(good)['m.index'].slice()
  const footer = index.byteLength - 48
  for (const handle of [varint(5_000_000), [255, 255, 255, 255, 255, 255, 255, 255, 127]]) {
    index.fill(0, footer, footer + 40)
    index.set([...handle, 8, ...handle, 8], footer)
    t.match(await indexReason(index), /^bundle\/bad-(handle|block)$/)
  }
})

t.test('5: restarts and shared prefixes that lie are refused', async (t) => {
  const header = [0, 0, 2, 8, 1]
  t.equal(
    await indexReason(plainTable(Uint8Array.from([...header, 255, 255, 255, 255]))),
    'bundle/bad-block',
  )
  t.equal(await indexReason(plainTable(Uint8Array.of(1, 0))), 'bundle/bad-block')
  const sharesTooMuch = [...header, 5, 1, 0, 0x61, 0, 0, 0, 0, 1, 0, 0, 0]
  t.equal(await indexReason(plainTable(Uint8Array.from(sharesTooMuch))), 'bundle/bad-block')
  const valueTooLong = [0, 0, 100, 8, 1, 0, 0, 0, 0, 1, 0, 0, 0]
  t.equal(await indexReason(plainTable(Uint8Array.from(valueTooLong))), 'bundle/bad-block')
  const restartBetween = [...header, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0]
  t.equal(await indexReason(plainTable(Uint8Array.from(restartBetween))), 'bundle/bad-block')
})

t.test('6: keys out of order or given twice are refused', async (t) => {
  const header = encode('BundleHeaderProto', { num_shards: 1 })
  const value = encode('BundleEntryProto', entryOf(four))
  const row = (key: number) => [0, 1, value.byteLength, key, ...value]
  for (const keys of [
    [0x62, 0x61],
    [0x61, 0x61],
  ]) {
    const block = [0, 0, header.byteLength, ...header, ...keys.flatMap(row), 0, 0, 0, 0, 1, 0, 0, 0]
    t.equal(await indexReason(plainTable(Uint8Array.from(block))), 'bundle/key-order')
  }
})

t.test('7, 9: a header that is missing or cannot be is refused', async (t) => {
  for (const num_shards of [0, -1, 2 ** 31 - 1, 100_000]) {
    const index = filesOf({ ...good, header: { num_shards } })['m.index']
    t.equal(await indexReason(index), 'bundle/bad-header', String(num_shards))
  }
  t.equal(
    await reasonOf({ ...good, header: { num_shards: 1, endianness: 7 } }),
    'bundle/bad-header',
  )
  const value = encode('BundleEntryProto', entryOf(four))
  const key = new TextEncoder().encode('w')
  t.equal(await indexReason(writeTable([{ key, value }], tools)), 'bundle/no-header')
  t.equal(await indexReason(writeTable([], tools)), 'bundle/no-header')
  const broken = { key: new Uint8Array(), value: Uint8Array.of(0xff) }
  t.equal(await indexReason(writeTable([broken], tools)), 'bundle/bad-header')
  const newer = { num_shards: 1, version: { producer: 9, min_consumer: 2 } }
  const refusal = await refusalOf(() => readFiles(filesOf({ ...good, header: newer })))
  t.equal(refusal.reason, 'bundle/version')
  t.match(refusal.message, /version 9 .* version 2 .* is 1/)
  const unwanted = { num_shards: 1, version: { producer: 1, bad_consumers: [1] } }
  t.equal(await reasonOf({ ...good, header: unwanted }), 'bundle/version')
})

t.test('8: big-endian numbers are swapped, a complex one by its halves', async (t) => {
  const header = { num_shards: 1, endianness: 1, version: { producer: 1 } }
  const big = Uint8Array.of(0x3f, 0x80, 0, 0, 0x40, 0, 0, 0)
  const parts = { ...good, header, shards: [big] }
  const asFloats = await readFiles(filesOf({ ...parts, entries: [['w', entryOf(big)]] }))
  t.strictSame(asFloats.w, four)
  const complex = entryOf(big, 0, { dtype: 8, shape: shapeOf(1) })
  t.strictSame((await readFiles(filesOf({ ...parts, entries: [['w', complex]] }))).w, four)
})

t.test('10, 11: offsets and sizes that do not fit are refused', async (t) => {
  t.equal(await reasonOf(withEntry({ offset: 1 })), 'bundle/truncated')
  t.equal(await reasonOf(withEntry({ offset: -8 })), 'bundle/bad-entry')
  t.equal(await reasonOf(withEntry({ offset: Number.MAX_SAFE_INTEGER })), 'bundle/bad-entry')
  t.equal(await reasonOf(withEntry({ size: 4 })), 'bundle/size-mismatch')
  t.equal(await reasonOf(withEntry({ size: -8 })), 'bundle/bad-entry')
  t.equal(await reasonOf(withEntry({ shard_id: -1 })), 'bundle/bad-entry')
  const shared = (changes: Parameters<typeof entryOf>[2], data = four): Parts => ({
    shards: [Uint8Array.of(...four, ...four)],
    entries: [
      ['v', entryOf(four)],
      ['w', entryOf(data, 0, changes)],
    ],
  })
  t.equal(await reasonOf(shared({ offset: 4 })), 'bundle/overlap')
  t.equal(await reasonOf(shared({}, four.subarray(0, 4))), 'bundle/overlap')
  t.equal(await reasonOf(shared({ dtype: 3 })), 'bundle/overlap')
  t.equal(await reasonOf(shared({ crc32c: 1 })), 'bundle/overlap')
})

t.test('two names for one tensor are kept, and it is opened once', async (t) => {
  const entries: Parts['entries'] = ['u', 'v', 'w'].map((name) => [name, entryOf(four)])
  const set = fileSetOf(filesOf({ entries, shards: [four] }))
  const { tensors } = await openBundle(set, 'm', tools)
  t.same(
    tensors.map(({ name, aliasOf }) => [name, aliasOf]),
    [
      ['u', undefined],
      ['v', 'u'],
      ['w', 'u'],
    ],
  )
  const read = await readFiles(filesOf({ entries, shards: [four] }))
  t.strictSame({ ...read }, { u: four, v: four, w: four })
})

t.test('12: a missing or short shard is named', async (t) => {
  const files = filesOf(good)
  const shard = 'm.data-00000-of-00001'
  const { [shard]: _, ...without } = files
  const missing = await refusalOf(() => readFiles(without))
  t.equal(missing.reason, 'bundle/missing-shard')
  t.equal(missing.names.shard, shard)
  for (const length of [0, 7]) {
    const short = await refusalOf(() => readFiles({ ...files, [shard]: four.subarray(0, length) }))
    t.equal(short.reason, 'bundle/truncated')
    t.equal(short.names.shard, shard)
  }
  t.equal(await reasonOf(withEntry({ shard_id: 1 })), 'bundle/missing-shard')
})

t.test('13, 14: a flipped bit is found in the tensor that has it, and only there', async (t) => {
  const data = Uint8Array.of(...four, ...four)
  const entries: Parts['entries'] = [
    ['v', entryOf(four)],
    ['w', entryOf(four, 8)],
  ]
  for (let bit = 0; bit < 64; bit++) {
    const shard = data.slice()
    shard[8 + (bit >> 3)] ^= 1 << (bit & 7)
    const bundle = await openBundle(fileSetOf(filesOf({ entries, shards: [shard] })), 'm', tools)
    await bundle.tensors[0].verify()
    const refusal = await refusalOf(() => bundle.tensors[1].verify())
    t.match(refusal, { reason: 'bundle/crc-mismatch', names: { tensor: 'w' } })
  }
  t.equal(await reasonOf(withEntry({ crc32c: 1 })), 'bundle/crc-mismatch')
  const empty = { shape: shapeOf(0), size: 0, crc32c: 5 }
  t.equal(await reasonOf(withEntry(empty)), 'bundle/crc-mismatch')
})

t.test('15, 16: shapes that cannot be are refused before anything is allocated', async (t) => {
  const huge = shapeOf(2 ** 31, 2 ** 31)
  t.equal(await reasonOf(withEntry({ shape: huge })), 'bundle/bad-shape')
  t.equal(await reasonOf(withEntry({ shape: shapeOf(-1) })), 'bundle/bad-shape')
  t.equal(await reasonOf(withEntry({ shape: shapeOf(-5, 0) })), 'bundle/bad-shape')
  t.equal(await reasonOf(withEntry({ shape: { unknown_rank: true } })), 'bundle/bad-shape')
  const rank300 = shapeOf(...Array.from({ length: 300 }, () => 1))
  t.equal(await reasonOf(withEntry({ shape: rank300 })), 'bundle/bad-shape')
  t.equal(await reasonOf(withEntry({ shape: shapeOf(2 ** 40) })), 'bundle/size-mismatch')
})

t.test('17: element types without bytes are refused', async (t) => {
  for (const dtype of [0, 999, 101, 20, 21]) {
    t.equal(await reasonOf(withEntry({ dtype })), 'bundle/unsupported-dtype', String(dtype))
  }
})

function stringParts(stored: Uint8Array, count: number, crc = tools.crc32c(stored)): Parts {
  const changes = { dtype: 7, shape: shapeOf(count), crc32c: maskCrc(crc) }
  return { entries: [['s', entryOf(stored, 0, changes)]], shards: [stored] }
}

t.test('18: strings whose lengths do not add up are refused', async (t) => {
  const lengthsCrc = maskCrc(tools.crc32c(Uint8Array.of(2, 0, 0, 0, 1, 0, 0, 0)))
  const sealed = [...new Uint8Array(Uint32Array.of(lengthsCrc).buffer)]
  const stored = Uint8Array.from([2, 1, ...sealed, 0x61, 0x62, 0x63])
  const hashed = Uint8Array.from([2, 0, 0, 0, 1, 0, 0, 0, ...sealed, 0x61, 0x62, 0x63])
  const crc = tools.crc32c(hashed)
  const { s } = await readFiles(filesOf(stringParts(stored, 2, crc)))
  t.strictSame(s, Uint8Array.of(2, 0, 0, 0, 1, 0, 0, 0, 0x61, 0x62, 0x63))
  t.equal(await reasonOf(stringParts(stored, 2, crc + 1)), 'bundle/crc-mismatch')
  t.equal(await reasonOf(stringParts(stored.subarray(0, 8), 2)), 'bundle/string-length')
  const wrongSeal = stored.slice()
  wrongSeal[3] ^= 1
  t.equal(await reasonOf(stringParts(wrongSeal, 2)), 'bundle/crc-mismatch')
  const tooLong = Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0])
  t.equal(await reasonOf(stringParts(tooLong, 1)), 'bundle/string-length')
  const endless = new Uint8Array(12).fill(0x80)
  t.equal(await reasonOf(stringParts(endless, 1)), 'bundle/string-length')
  t.equal(await reasonOf(stringParts(stored, 2 ** 40)), 'bundle/size-mismatch')
})

const whole = { start: 0, length: -1 }
type Extent = { readonly start: number; readonly length: number }

/** A partitioned [2, 2] tensor `p` whose slices hold `four` each. */
function sliced(
  slices: readonly (readonly Extent[])[],
  sliceShape = shapeOf(1, 2),
  dtype = 1,
): Parts {
  const protos = slices.map((slice) => ({
    extent: slice.map(({ start, length }) => (length === -1 ? { start } : { start, length })),
  }))
  const full = { dtype: 1, shape: shapeOf(2, 2), slices: protos }
  const stored = slices.map((slice, index) => {
    const changes = { shape: sliceShape, dtype }
    return [sliceKey('p', slice), entryOf(four, 8 * index, changes)] as const
  })
  const shard = new Uint8Array(8 * slices.length)
  slices.forEach((_, index) => {
    shard.set(four, 8 * index)
  })
  const unique = new Map(stored.map((row) => [row[0].join(), row]))
  return { entries: [['p', full], ...unique.values()], shards: [shard] }
}

t.test('19: slices that tile the tensor are joined, all others refused', async (t) => {
  const row = (start: number) => [{ start, length: 1 }, whole]
  const column = (start: number) => [whole, { start, length: 1 }]
  const [one, two] = [four.subarray(0, 4), four.subarray(4)]
  const rows = await readFiles(filesOf(sliced([row(1), row(0)])))
  t.strictSame(rows.p, Uint8Array.of(...one, ...two, ...one, ...two))
  const columns = await readFiles(filesOf(sliced([column(0), column(1)], shapeOf(2, 1))))
  t.strictSame(columns.p, Uint8Array.of(...one, ...one, ...two, ...two))
  t.equal(await reasonOf(sliced([row(0)])), 'bundle/slice-hole')
  t.equal(await reasonOf(sliced([row(0), row(0)])), 'bundle/missing-slice')
  const overlapping = [
    [{ start: 0, length: 1 }, whole],
    [whole, whole],
  ]
  t.match(await reasonOf(sliced(overlapping)), /^bundle\/(slice-overlap|bad-slice)$/)
  t.equal(await reasonOf(sliced([row(0), row(2)])), 'bundle/bad-slice')
  t.equal(await reasonOf(sliced([row(0), row(1)], shapeOf(2, 1))), 'bundle/bad-slice')
  t.equal(await reasonOf(sliced([row(0), row(1)], shapeOf(1, 2), 3)), 'bundle/bad-slice')
  const { entries, shards } = sliced([row(0), row(1)])
  t.equal(await reasonOf({ entries: entries.slice(1), shards }), 'bundle/stray-slice')
  t.equal(await reasonOf({ entries: entries.slice(0, 2), shards }), 'bundle/missing-slice')
})

t.test('20: a snappy block is read; one that claims 4 GB is not allocated', async (t) => {
  const header = encode('BundleHeaderProto', { num_shards: 1 })
  const value = encode('BundleEntryProto', entryOf(four))
  const rows = [0, 0, header.byteLength, ...header, 0, 1, value.byteLength, 0x61, ...value]
  const block = Uint8Array.from([...rows, 0, 0, 0, 0, 1, 0, 0, 0])
  const packed = compress(block)
  const files = { ...filesOf(good), 'm.index': plainTable(packed, 1) }
  t.strictSame((await readFiles(files)).a, four)
  const claims = Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0x0f, ...packed.subarray(1)])
  t.equal(await indexReason(plainTable(claims, 1)), 'bundle/bad-compression')
  for (let length = 0; length < packed.byteLength; length++) {
    t.match(await indexReason(plainTable(packed.subarray(0, length), 1)), /^bundle\/bad-/)
  }
  t.equal(await indexReason(plainTable(block, 2)), 'bundle/bad-compression')
})

t.test('21: any UTF-8 name is an opaque key; anything else is refused', async (t) => {
  const names = [
    '..',
    '__proto__',
    '../../etc/passwd',
    'a\u0000b',
    '\u202ename',
    'x'.repeat(65_536),
  ]
  for (const name of names) {
    const read = await readFiles(filesOf({ ...good, entries: [[name, entryOf(four)]] }))
    t.strictSame(Object.keys(read), [name])
  }
  const notText = Uint8Array.of(0x61, 0xff)
  t.equal(await reasonOf({ ...good, entries: [[notText, entryOf(four)]] }), 'bundle/bad-name')
})

t.test('23: more names than the limit are refused', async (t) => {
  const entries: Parts['entries'] = Array.from({ length: 11 }, (_, index) => [
    `e${index}`,
    entryOf(new Uint8Array()),
  ])
  const set = fileSetOf(filesOf({ entries, shards: [new Uint8Array()] }))
  t.equal((await openBundle(set, 'm', tools, { maxEntries: 11 })).tensors.length, 11)
  const refusal = await refusalOf(() => openBundle(set, 'm', tools, { maxEntries: 10 }))
  t.match(refusal, { code: 'RESOURCE_EXHAUSTED', reason: 'bundle/too-many-tensors' })
})

t.test('a bundle that is not there is not found', async (t) => {
  const refusal = await refusalOf(() => openBundle(fileSetOf({}), 'm', tools))
  t.ok(refusal instanceof Refusal)
  t.equal(refusal.code, 'NOT_FOUND')
})
