// Files that are wrong, sent to a server: each is refused by name, and nothing is left of it. What every
// parser does with each fault in all its forms, the tests of formats/ show.
import { deflateRawSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { writeTar } from '../../formats/index.ts'
import { writeZip } from '../../formats/zip-writer.ts'
import { encode } from '../../proto/index.ts'
import { entryOf, filesOf, type Parts, shapeOf } from '../formats/bundle-parts.ts'
import { plainTable } from '../formats/table-parts.ts'
import { isProblem, layGround } from '../helper/ground.ts'
import { bytesOfChunks, tools } from '../helper/tools.ts'

const limits = { checkpointTensors: 1000, unpackedBytes: 2 ** 22, archiveMembers: 100 }
const ground = await layGround(t, limits)

type Files = Readonly<Record<string, Uint8Array>>

async function tarOf(files: Files): Promise<Uint8Array> {
  return bytesOfChunks(writeTar(outputsOf(files)).chunks())
}

function outputsOf(files: Files) {
  return Object.entries(files).map(([name, bytes]) => ({
    ...{ name, byteLength: bytes.byteLength },
    async *chunks() {
      yield bytes
    },
  }))
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const four = new Uint8Array(new Float32Array([1, 2]).buffer)
const good: Parts = { entries: [['w', entryOf(four)]], shards: [four] }
const shard = 'm.data-00000-of-00001'

/** A tar of a bundle whose only entry has those fields. */
function withEntry(changes: Parameters<typeof entryOf>[2]): Promise<Uint8Array> {
  return tarOf(filesOf({ ...good, entries: [['w', entryOf(four, 0, changes)]] }))
}

function withIndex(index: Uint8Array): Promise<Uint8Array> {
  return tarOf({ ...filesOf(good), 'm.index': index })
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice()
  copy[at < 0 ? copy.byteLength + at : at] ^= 1
  return copy
}

const index = filesOf(good)['m.index']
const header = encode('BundleHeaderProto', { num_shards: 1 })
const entry = encode('BundleEntryProto', entryOf(four))

/** A block of the header and rows of those keys. */
function blockOf(...keys: readonly number[]): Uint8Array {
  const rows = keys.flatMap((key) => [0, 1, entry.byteLength, key, ...entry])
  return Uint8Array.from([0, 0, header.byteLength, ...header, ...rows, 0, 0, 0, 0, 1, 0, 0, 0])
}

function slicedParts(starts: readonly number[], length: number): Parts {
  const slices = starts.map((start) => ({ extent: [{ start, length }] }))
  return { ...good, entries: [['p', { dtype: 1, shape: shapeOf(2), slices }]] }
}

function safetensorsOf(json: string | Uint8Array, body = four, length?: bigint): Uint8Array {
  const head = typeof json === 'string' ? text(json) : json
  const bytes = new Uint8Array(8 + head.byteLength + body.byteLength)
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(head.byteLength), true)
  bytes.set(head, 8)
  bytes.set(body, 8 + head.byteLength)
  return bytes
}

function described(offsets: string, shape = '[2]'): string {
  return `{"dtype":"F32","shape":${shape},"data_offsets":${offsets}}`
}

const one = described('[0,8]')

function npyOf(descr: string, shape: string, body: Uint8Array, version = 1): Uint8Array {
  const dictionary = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }\n`
  const head = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0, dictionary.length, 0)
  return new Uint8Array(Buffer.concat([head, text(dictionary), body]))
}

async function zipOf(files: Files): Promise<Uint8Array> {
  return bytesOfChunks(writeZip(outputsOf(files), tools).chunks())
}

/** A tar header of that type for an empty member, and the end. */
async function tarMember(name: string, type: string): Promise<Uint8Array> {
  const tar = await tarOf({ [name]: new Uint8Array() })
  tar[156] = type.charCodeAt(0)
  tar.fill(0x20, 148, 156)
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  tar.set(text(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
  return tar
}

/** Kind, body, status, reason; by the number of the fault. */
type Fault = readonly [string, () => Promise<Uint8Array> | Uint8Array, number, RegExp | string]

const raw = 'application/octet-stream'
const safe = 'application/x-safetensors'
const npz = 'application/x-npz'
const tar = 'application/x-tar'

const faults: Readonly<Record<string, readonly Fault[]>> = {
  '1 an index that is cut off': [10, 60, index.byteLength - 1].map((length) => {
    return [tar, () => withIndex(index.slice(0, length)), 422, /^bundle\/bad-/]
  }),
  '2 a wrong magic number': [[tar, () => withIndex(flipped(index, -1)), 422, 'bundle/bad-magic']],
  '3 a wrong checksum of a block': [
    [tar, () => withIndex(flipped(index, 3)), 422, 'bundle/block-crc-mismatch'],
  ],
  '4 a block past the end': [
    [
      tar,
      () => {
        const copy = index.slice()
        copy.fill(0xff, copy.byteLength - 48, copy.byteLength - 40)
        copy[copy.byteLength - 40] = 0x7f
        return withIndex(copy)
      },
      422,
      /^bundle\/bad-/,
    ],
  ],
  '5 restarts and prefixes that lie': [
    [
      tar,
      () => withIndex(plainTable(Uint8Array.of(0, 0, 0, 255, 255, 255, 255))),
      422,
      'bundle/bad-block',
    ],
    [
      tar,
      () => withIndex(plainTable(Uint8Array.of(9, 1, 0, 0x61, 0, 0, 0, 0, 1, 0, 0, 0))),
      422,
      'bundle/bad-block',
    ],
  ],
  '6 keys out of order, or twice': [
    [tar, () => withIndex(plainTable(blockOf(0x62, 0x61))), 422, 'bundle/key-order'],
    [tar, () => withIndex(plainTable(blockOf(0x61, 0x61))), 422, 'bundle/key-order'],
  ],
  '7 a header that cannot be': [0, -1, 2 ** 31 - 1].map((num_shards) => {
    const files = filesOf({ ...good, header: { num_shards } })
    return [tar, () => withIndex(files['m.index']), 422, 'bundle/bad-header']
  }),
  '8 a byte order that is none': [
    [
      tar,
      () => tarOf(filesOf({ ...good, header: { num_shards: 1, endianness: 2 } })),
      422,
      'bundle/bad-header',
    ],
  ],
  '9 a version for newer readers': [
    [
      tar,
      () =>
        tarOf(
          filesOf({
            ...good,
            header: { num_shards: 1, version: { producer: 3, min_consumer: 2 } },
          }),
        ),
      422,
      'bundle/version',
    ],
  ],
  '10 an offset past the end, too large or negative': [
    [tar, () => withEntry({ offset: 1 }), 422, 'bundle/truncated'],
    [tar, () => withEntry({ offset: Number.MAX_SAFE_INTEGER }), 422, 'bundle/bad-entry'],
    [tar, () => withEntry({ offset: -8 }), 422, 'bundle/bad-entry'],
  ],
  '11 a size that is not the shape’s': [
    [tar, () => withEntry({ shape: shapeOf(3) }), 422, 'bundle/size-mismatch'],
  ],
  '12 data that is cut off or not there': [
    [tar, () => tarOf({ ...filesOf(good), [shard]: four.slice(0, 7) }), 422, 'bundle/truncated'],
    [tar, () => tarOf({ ...filesOf(good), [shard]: new Uint8Array() }), 422, 'bundle/truncated'],
    [tar, () => tarOf({ 'm.index': index }), 422, 'bundle/missing-shard'],
  ],
  '13 a flipped bit in the data': [
    [tar, () => tarOf({ ...filesOf(good), [shard]: flipped(four, 5) }), 422, 'bundle/crc-mismatch'],
  ],
  '14 a flipped checksum': [[tar, () => withEntry({ crc32c: 1 }), 422, 'bundle/crc-mismatch']],
  '15 a shape beyond counting': [
    [tar, () => withEntry({ shape: shapeOf(2 ** 31, 2 ** 31) }), 422, 'bundle/bad-shape'],
    [tar, () => withEntry({ shape: shapeOf(2 ** 40) }), 422, 'bundle/size-mismatch'],
  ],
  '16 a shape that is none': [
    [tar, () => withEntry({ shape: shapeOf(-1) }), 422, 'bundle/bad-shape'],
    [tar, () => withEntry({ shape: { unknown_rank: true } }), 422, 'bundle/bad-shape'],
    [tar, () => withEntry({ shape: shapeOf(...Array(300).fill(1)) }), 422, 'bundle/bad-shape'],
  ],
  '17 an element type without bytes': [0, 999, 101, 20, 21].map((dtype) => {
    return [tar, () => withEntry({ dtype }), 422, 'bundle/unsupported-dtype']
  }),
  '18 strings whose lengths lie': [
    [tar, () => withEntry({ dtype: 7 }), 422, /^bundle\/(string-length|crc-mismatch)$/],
  ],
  '19 slices that do not tile': [
    [tar, () => tarOf(filesOf(slicedParts([0], 1))), 422, 'bundle/missing-slice'],
    [tar, () => tarOf(filesOf(slicedParts([1], 2))), 422, 'bundle/bad-slice'],
  ],
  '20 a compressed block that claims 4 GB': [
    [
      tar,
      () => withIndex(plainTable(Uint8Array.of(255, 255, 255, 255, 15, 0, 0), 1)),
      422,
      'bundle/bad-compression',
    ],
  ],
  '21 names that cannot be': [
    [
      tar,
      () => tarOf(filesOf({ ...good, entries: [[Uint8Array.of(0x61, 0xff), entryOf(four)]] })),
      422,
      'bundle/bad-name',
    ],
    [
      tar,
      () => tarOf(filesOf({ ...good, entries: [['a\0b', entryOf(four)]] })),
      422,
      'checkpoint/bad-tensor-name',
    ],
    [safe, () => safetensorsOf(`{"\\ud800":${one}}`), 422, 'checkpoint/bad-tensor-name'],
    [safe, () => safetensorsOf(`{"":${one}}`), 422, 'checkpoint/bad-tensor-name'],
    [
      safe,
      () => safetensorsOf(`{"${'n'.repeat(65_537)}":${one}}`),
      422,
      'checkpoint/bad-tensor-name',
    ],
  ],
  '22 a state file that leads elsewhere': [
    [
      tar,
      () =>
        tarOf({
          'd/checkpoint': text('model_checkpoint_path: "../../etc/passwd"'),
          ...Object.fromEntries(['m', 'n'].flatMap((name) => [[`d/${name}.index`, index]])),
        }),
      422,
      'checkpoint/ambiguous-prefix',
    ],
  ],
  '23 more tensors than a checkpoint has': [
    [
      tar,
      () =>
        tarOf(
          filesOf({
            shards: [new Uint8Array()],
            entries: Array.from({ length: 1001 }, (_, place) => [
              `e${place}`,
              entryOf(new Uint8Array()),
            ]),
          }),
        ),
      413,
      'bundle/too-many-tensors',
    ],
  ],
  '24 a header length that cannot be': [0n, 2n ** 63n, 10_000n, 100_000_001n].map((length) => {
    return [safe, () => safetensorsOf(`{"w":${one}}`, four, length), 422, 'safetensors/bad-length']
  }),
  '25 a header that is no object of JSON': [
    Uint8Array.of(0x7b, 0xff, 0x7d),
    '[1]',
    ' {"w":1}',
    `{"w":${one}}junk`,
  ].map((json) => [safe, () => safetensorsOf(json), 422, 'safetensors/bad-header']),
  '26 a key that stands twice': [
    [safe, () => safetensorsOf(`{"w":${one},"\\u0077":${one}}`), 422, 'safetensors/bad-header'],
  ],
  '27 offsets that overlap, leave holes or are none': [
    [safe, () => safetensorsOf(`{"v":${one},"w":${one}}`), 422, 'safetensors/overlap'],
    [
      safe,
      () => safetensorsOf(`{"w":${described('[4,12]')}}`, new Uint8Array(12)),
      422,
      'safetensors/hole',
    ],
    ...['[8,0]', '[0,16]', '[0,8.5]', '[0,1e400]', '["0",8]'].map(
      (offsets): Fault => [
        safe,
        () => safetensorsOf(`{"w":${described(offsets)}}`),
        422,
        'safetensors/bad-tensor',
      ],
    ),
  ],
  '28 bytes after the last tensor': [
    [
      safe,
      () => safetensorsOf(`{"w":${one}}`, new Uint8Array(9)),
      422,
      'safetensors/trailing-bytes',
    ],
  ],
  '29 shapes that do not fit': [
    [
      safe,
      () => safetensorsOf(`{"w":${described('[0,8]', '[3]')}}`),
      422,
      'safetensors/size-mismatch',
    ],
    [
      safe,
      () => safetensorsOf(`{"w":${described('[0,8]', '[4294967296,4294967296]')}}`),
      422,
      'safetensors/size-mismatch',
    ],
    [
      safe,
      () => safetensorsOf(`{"w":${described('[0,8]', '[-2]')}}`),
      422,
      'safetensors/bad-tensor',
    ],
    [
      safe,
      () => safetensorsOf(`{"w":${described('[0,8]', '[2.5]')}}`),
      422,
      'safetensors/bad-tensor',
    ],
  ],
  '30 metadata that is no text': [
    [
      safe,
      () => safetensorsOf('{"__metadata__":{"a":1}}', new Uint8Array()),
      422,
      'safetensors/bad-header',
    ],
  ],
  '31 metadata that is a tensor': [
    [safe, () => safetensorsOf(`{"__metadata__":${one}}`), 422, 'safetensors/bad-header'],
  ],
  '32 arrays that are none': [
    [npz, () => zipOf({ 'a.npy': flipped(npyOf('<f4', '(2,)', four), 1) }), 422, 'npy/bad-magic'],
    [npz, () => zipOf({ 'a.npy': npyOf('<f4', '(2,)', four, 9) }), 422, 'npy/bad-version'],
    [npz, () => zipOf({ 'a.npy': npyOf('|O', '(1,)', four) }), 422, 'npy/unsupported-dtype'],
    [npz, () => zipOf({ 'a.npy': npyOf('<f4', "__import__('os')", four) }), 422, 'npy/bad-header'],
    [npz, () => zipOf({ 'a.npy': npyOf('<f4', '(3,)', four) }), 422, 'npy/size-mismatch'],
  ],
  '34 archives that lie, hide or climb': [
    [npz, () => zipOf({ '../a.npy': four }), 422, 'archive/bad-name'],
    [npz, () => zipOf({ '/a.npy': four }), 422, 'archive/bad-name'],
    [npz, () => zipOf({ 'a\\b.npy': four }), 422, 'archive/bad-name'],
    [
      npz,
      async () => flipped(await zipOf({ 'a.npy': npyOf('<f4', '(2,)', four) }), 100),
      422,
      'archive/crc-mismatch',
    ],
    [npz, async () => zipOf({ 'a.npz': await zipOf({ 'a.npy': four }) }), 422, 'npz/bad-member'],
    [npz, () => bombOf(10 * 1024 ** 3), 422, 'archive/bad-header'],
    [npz, () => bombOf(2 ** 23), 413, 'archive/too-large'],
    [npz, () => bombOf(1000), 413, 'archive/too-large'],
  ],
  '35 tars that link, hide or climb': [
    ...['1', '2', '3', '4', 'S'].map(
      (type): Fault => [tar, () => tarMember('a', type), 422, 'archive/unsupported-member'],
    ),
    [tar, () => tarMember('../a', '0'), 422, 'archive/bad-name'],
    [
      raw,
      async () => flipped(new Uint8Array(gzipSync(await tarOf(filesOf(good)))), -1),
      422,
      'archive/crc-mismatch',
    ],
    [
      raw,
      async () => {
        const packed = gzipSync(await tarOf(filesOf(good)))
        return new Uint8Array(Buffer.concat([packed, packed]))
      },
      422,
      'archive/bad-compression',
    ],
    [raw, async () => new Uint8Array(gzipSync(new Uint8Array(2 ** 23))), 413, 'archive/too-large'],
  ],
  'other files that are none': [
    [raw, () => text('no archive'), 422, 'archive/unknown-kind'],
    [raw, () => tarOf({ readme: text('nothing here') }), 422, 'checkpoint/not-found'],
    [safe, () => safetensorsOf('{}', new Uint8Array()), 422, 'checkpoint/no-tensors'],
    [raw, () => index, 422, 'checkpoint/lone-file'],
    [raw, () => text('SQLite format 3\0 and nothing else'), 422, 'checkpoint/foreign-file'],
  ],
}

/** A zip whose only member packs zeros and says that it holds so many bytes. */
async function bombOf(claimed: number): Promise<Uint8Array> {
  const zeros = new Uint8Array(deflateRawSync(new Uint8Array(2 ** 23)))
  const zip = Buffer.from(await zipOf({ 'a.npy': zeros }))
  const central = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 1, 2]))
  for (const [at, method] of [
    [0, 8],
    [central, 10],
  ] as const) {
    zip.writeUInt16LE(8, at + method)
  }
  // Lengths in the directory; the local header leaves them to the descriptor.
  zip.writeUInt32LE(Math.min(claimed, 0xfffffffe), central + 24)
  return new Uint8Array(zip)
}

async function send(type: string, body: Uint8Array, isChunked: boolean) {
  const stream = new Blob([body as Uint8Array<ArrayBuffer>]).stream()
  const sent = isChunked ? { body: stream, duplex: 'half' } : { body }
  const response = await fetch(`${ground.base}/v1/checkpoints:upload?label=taken`, {
    method: 'POST',
    headers: { 'content-type': type },
    ...sent,
  } as RequestInit)
  const headers = Object.fromEntries(response.headers)
  return { status: response.status, headers, body: await response.text() }
}

for (const [name, cases] of Object.entries(faults)) {
  t.test(name, async (t) => {
    const before = await ground.digest()
    for (const [place, [type, bodyOf, status, reason]] of cases.entries()) {
      const body = await bodyOf()
      // With its length and without: the one is read as it comes, the other waits for its end.
      for (const isChunked of [false, true]) {
        const message = `${name}, ${place}${isChunked ? ', of unknown length' : ''}`
        const reply = await send(type, body, isChunked)
        t.equal(reply.status, status, `${message}: ${JSON.parse(reply.body).detail}`)
        isProblem(t, reply, message)
        t.match(JSON.parse(reply.body).reason, reason, message)
      }
    }
    await ground.stands(t, before, name)
  })
}

t.test('33 an array of another byte order is read right', async (t) => {
  const big = Uint8Array.of(0x3f, 0x80, 0, 0, 0x40, 0, 0, 0)
  const taken = await send(npz, await zipOf({ 'a.npy': npyOf('>f4', '(2,)', big) }), false)
  t.equal(taken.status, 201)
  const { json } = await ground.ask('GET /v1/checkpoints/taken/tensors/a')
  t.same(json.value, [1, 2])
})
