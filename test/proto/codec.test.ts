import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import protobuf from 'protobufjs'
import t from 'tap'
import { enums } from '../../proto/enums.ts'
import {
  decode,
  decodeGraphDef,
  decodeSavedModel,
  encode,
  encodeGraphDef,
  encodeSavedModel,
  type MessageName,
  WireError,
  WireWriter,
} from '../../proto/index.ts'
import { schema } from '../../proto/schema.ts'
import { readWire } from '../../proto/wire.ts'
import { sharedFolder } from '../helper/shared.ts'

/** The schema as protobufjs' own codec, which has rules for messages of its own, understands it. */
function otherRoot(): protobuf.Root {
  const nested: Record<string, object> = {}
  for (const [name, values] of Object.entries(enums)) nested[name] = { values }
  for (const [name, rows] of Object.entries<Rows>(schema)) {
    const fields: Record<string, object> = {}
    const oneof: string[] = []
    for (const [field, [id, rowType, label]] of Object.entries(rows)) {
      const type = rowType === 'int53' ? 'int64' : rowType
      if (label === 'map') fields[field] = { keyType: 'string', type, id }
      else if (label === 'map_uint32') fields[field] = { keyType: 'uint32', type, id }
      else if (label === 'repeated') fields[field] = { rule: 'repeated', type, id }
      else fields[field] = { type, id }
      if (label === 'oneof') oneof.push(field)
    }
    nested[name] = oneof.length === 0 ? { fields } : { fields, oneofs: { kind: { oneof } } }
  }
  return protobuf.Root.fromJSON({ options: { syntax: 'proto3' }, nested } as protobuf.INamespace)
}

type Rows = Readonly<Record<string, readonly [number, string, string?]>>

const node = {
  name: 'add',
  op: 'AddV2',
  input: ['a', 'b:1', '^c'],
  attr: new Map([
    ['T', { type: 1 }],
    ['shape', { shape: { dim: [{ size: -1 }, { size: 3 }] } }],
    ['big', { i: -(2n ** 63n) }],
    ['none', { b: false }],
    ['text', { s: Uint8Array.of(0, 255) }],
    ['list', { list: { i: [1n, -1n, 2n ** 62n], f: [0.5], s: [Uint8Array.of(1)] } }],
    ['f', { func: { name: 'body', attr: new Map([['N', { i: 2n }]]) } }],
  ]),
}

t.test('a message decodes to what was encoded', async (t) => {
  const graph = decodeGraphDef(encodeGraphDef({ node: [node], versions: { producer: 27 } }))
  t.equal(graph.versions?.producer, 27)
  t.equal(graph.library, undefined)
  const [read] = graph.node
  t.strictSame(read.input, node.input)
  t.equal(read.device, '')
  t.strictSame([...read.attr.keys()], ['T', 'big', 'f', 'list', 'none', 'shape', 'text'])
  t.equal(read.attr.get('T')?.type, 1)
  t.equal(read.attr.get('T')?.i, undefined)
  t.equal(read.attr.get('big')?.i, -(2n ** 63n))
  t.equal(read.attr.get('none')?.b, false)
  t.strictSame(read.attr.get('list')?.list?.i, [1n, -1n, 2n ** 62n])
  t.strictSame(
    read.attr.get('shape')?.shape?.dim.map(({ size }) => size),
    [-1, 3],
  )
  t.equal(read.attr.get('f')?.func?.attr.get('N')?.i, 2n)
})

t.test('the codec of protobufjs reads our bytes, and we read its', async (t) => {
  const root = otherRoot()
  const samples: readonly [MessageName, Uint8Array][] = [
    ['GraphDef', encodeGraphDef({ node: [node], versions: { producer: 27 } })],
    [
      'TensorProto',
      encode('TensorProto', {
        dtype: 9,
        tensor_shape: { dim: [{ size: 2 }] },
        int64_val: [-1n, 2n ** 40n],
        uint64_val: [2n ** 64n - 1n],
        float_val: [1.5, -0],
        double_val: [Math.PI],
        half_val: [0x3c00],
        bool_val: [true, false],
      }),
    ],
    [
      'BundleEntryProto',
      encode('BundleEntryProto', { dtype: 1, offset: 2 ** 40, size: 7, crc32c: 0xfedcba98 }),
    ],
    [
      'SavedModel',
      encodeSavedModel({
        saved_model_schema_version: 1,
        meta_graphs: [
          {
            meta_info_def: { tags: ['serve'] },
            collection_def: new Map([['c', { node_list: { value: ['a'] } }]]),
            signature_def: new Map([
              ['s', { inputs: new Map([['x', { name: 'x:0', dtype: 1 }]]) }],
            ]),
          },
        ],
      }),
    ],
  ]
  for (const [name, bytes] of samples) {
    const type = root.lookupType(name)
    const theirs = new Uint8Array(type.encode(type.decode(bytes)).finish())
    t.strictSame(decode(name, theirs), decode(name, bytes), name)
    t.strictSame(encode(name, decode(name, theirs)), bytes, name)
  }
})

t.test('equal messages give equal bytes, whatever the order of their maps', async (t) => {
  const reversed = { ...node, attr: new Map([...node.attr].reverse()) }
  t.strictSame(encodeGraphDef({ node: [node] }), encodeGraphDef({ node: [reversed] }))
})

t.test('packed and unpacked lists, repeated and split fields are all read', async (t) => {
  const unpacked = Uint8Array.of(0x38, 1, 0x38, 2)
  const packed = Uint8Array.of(0x3a, 2, 1, 2)
  t.strictSame(decode('TensorProto', unpacked).int_val, [1, 2])
  t.strictSame(decode('TensorProto', packed).int_val, [1, 2])
  const twice = Uint8Array.of(0x0a, 2, 0x08, 1, 0x0a, 2, 0x10, 1)
  const merged = decode('BundleHeaderProto', Uint8Array.of(0x1a, 2, 8, 1, 0x1a, 2, 16, 5))
  t.match(merged.version, { producer: 1, min_consumer: 5 })
  t.throws(() => decode('BundleHeaderProto', twice), WireError)
  const lastCounts = decode('AttrValue', Uint8Array.of(0x18, 3, 0x30, 1))
  t.equal(lastCounts.i, undefined)
  t.equal(lastCounts.type, 1)
})

t.test('fields that the schema leaves out are skipped, groups too', async (t) => {
  const unknown = [0xb8, 0x3e, 1, 0xba, 0x3e, 2, 9, 9, 0xbd, 0x3e, 1, 2, 3, 4]
  const group = [0xbb, 0x3e, 0x08, 5, 0x13, 0x14, 0xbc, 0x3e]
  const bytes = Uint8Array.from([...unknown, ...group, 0x0a, 1, 0x78])
  t.equal(decode('NodeDef', bytes).name, 'x')
  t.throws(() => decode('NodeDef', Uint8Array.of(0xbb, 0x3e, 0xc4, 0x3e)), WireError)
  t.throws(() => decode('NodeDef', Uint8Array.of(0xbb, 0x3e)), WireError)
  t.throws(() => decode('NodeDef', new Uint8Array(5000).fill(0x13)), WireError)
})

/** Decodes `bytes` and tells what came of it. */
function outcomeOf(name: MessageName, bytes: Uint8Array): string {
  try {
    decode(name, bytes)
    return 'read'
  } catch (error) {
    return error instanceof WireError ? 'refused' : String(error)
  }
}

t.test(
  '36: bytes cut anywhere or changed anywhere are read or refused, nothing else',
  async (t) => {
    const bytes = encodeGraphDef({ node: [node, node], versions: { producer: 1 } })
    const outcomes = new Set<string>()
    for (let length = 0; length < bytes.byteLength; length++) {
      outcomes.add(outcomeOf('GraphDef', bytes.subarray(0, length)))
    }
    for (let bit = 0; bit < 8 * bytes.byteLength; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3] ^= 1 << (bit & 7)
      outcomes.add(outcomeOf('GraphDef', flipped))
    }
    t.strictSame([...outcomes].sort(), ['read', 'refused'])
    // A cut inside the only node leaves no message.
    const one = encodeGraphDef({ node: [node] })
    for (let length = 1; length < one.byteLength; length++) {
      if (outcomeOf('GraphDef', one.subarray(0, length)) !== 'refused') t.fail(`${length} bytes`)
    }
  },
)

t.test('37: deep, long and overlong things are refused cleanly', async (t) => {
  t.equal(outcomeOf('NodeDef', Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07)), 'refused')
  t.equal(outcomeOf('TensorProto', Uint8Array.of(0x3a, 0x80, 0x80, 0x80, 0x80, 0x08)), 'refused')
  t.equal(outcomeOf('TensorProto', Uint8Array.from([0x38, ...Array(10).fill(0x80), 1])), 'refused')
  t.equal(outcomeOf('TensorProto', Uint8Array.from([0x38, ...Array(9).fill(0xff), 2])), 'refused')
  const minusOne = Uint8Array.from([0x38, ...Array(9).fill(0xff), 1])
  t.strictSame(decode('TensorProto', minusOne).int_val, [-1])
  t.equal(outcomeOf('NodeDef', Uint8Array.of(0x0a, 1, 0xff)), 'refused', 'not UTF-8')
  t.equal(
    outcomeOf('Dim', Uint8Array.from([0x08, ...Array(8).fill(0xff), 0x7f])),
    'refused',
    '2^63',
  )
  t.equal(outcomeOf('NodeDef', Uint8Array.of(0x00, 1)), 'refused', 'field 0')
})

t.test('messages nested beyond 100 levels are refused, and not written either', async (t) => {
  const chain = (depth: number) => {
    let func: object = { name: 'f' }
    for (let level = 0; level < depth; level++) func = { attr: new Map([['a', { func }]]) }
    return { node: [{ attr: new Map([['a', { func }]]) }] }
  }
  t.ok(decodeGraphDef(encodeGraphDef(chain(30))))
  t.throws(() => encodeGraphDef(chain(60)), WireError)
  t.equal(decodingOf(variants(98)), 'read')
  t.match(decodingOf(variants(100)), /nested deeper than 100/)
})

/** A variant that holds a tensor that holds a variant, and so on: `depth` messages within it. */
function variants(depth: number): Uint8Array {
  let bytes: Uint8Array = new Uint8Array()
  for (let level = 0; level < depth; level++) {
    const writer = new WireWriter()
    writer.tag(level % 2 === 0 ? 15 : 3, 2)
    writer.bytes(bytes)
    bytes = writer.finish()
  }
  return bytes
}

function decodingOf(bytes: Uint8Array): string {
  try {
    decode('VariantTensorDataProto', bytes)
    return 'read'
  } catch (error) {
    return error instanceof WireError ? error.message : String(error)
  }
}

t.test('a small input that would fill the memory is refused', async (t) => {
  const emptyNodes = new Uint8Array(200_000).map((_, index) => (index % 2 === 0 ? 0x0a : 0))
  t.equal(decodeGraphDef(emptyNodes).node.length, 100_000)
  t.throws(() => decodeGraphDef(emptyNodes, { maxCells: 100_000 }), WireError)
})

t.test('every recorded model survives decoding and encoding', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  for (const name of ['linear_tf1', 'convnet_tf1', 'keras_mlp', 'module_tf2', 'keras_lstm']) {
    const path = join(shared, 'conformance/saved_models', name, 'saved_model.pb')
    const model = decodeSavedModel(readFileSync(path))
    const again = encodeSavedModel(model)
    t.strictSame(encodeSavedModel(decodeSavedModel(again)), again, name)
    t.equal(model.meta_graphs.length, 1)
  }
})

t.test('100,000 nodes decode in seconds', async (t) => {
  const many = Array.from({ length: 100_000 }, (_, index) => ({ ...node, name: `node_${index}` }))
  const bytes = encodeGraphDef({ node: many })
  const start = performance.now()
  t.equal(decodeGraphDef(bytes).node.length, 100_000)
  t.ok(performance.now() - start < 20_000)
})

t.test('varints of every length read back', async (t) => {
  for (let bits = 0n; bits < 64n; bits++) {
    for (const value of [2n ** bits, 2n ** bits - 1n, -(2n ** bits)]) {
      const writer = new WireWriter()
      writer.int64(value)
      const bytes = writer.finish()
      const wanted = BigInt.asIntN(64, value)
      t.equal(
        readWire(bytes, (reader) => reader.int64()),
        wanted,
      )
    }
  }
})

t.test('the examples of the wire format that its authors give have their bytes', async (t) => {
  const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  t.equal(hexOf(encode('VersionDef', { producer: 150 })), '089601')
  t.equal(hexOf(encode('NodeDef', { op: 'testing' })), '120774657374696e67')
  t.equal(hexOf(encode('AttrValue', { list: { i: [3n, 270n, 86942n] } })), '0a081a06038e029ea705')
  t.equal(hexOf(encode('VersionDef', { producer: -2 })), '08feffffffffffffffff01')
  t.equal(hexOf(encode('AttrValue', { i: -1n })), '18ffffffffffffffffff01')
  t.equal(hexOf(encode('AttrValue', { f: 1 })), '250000803f')
})

t.test('nothing is read past the end of the message that holds it', async (t) => {
  // A version of one byte in a graph that goes on: its varint, its tag, a length, a float.
  for (const inner of [
    [0x08, 0x80],
    [0x88],
    [0x1a, 0x02, 0x01],
    [0x08],
    [0x9d, 0x01, 0, 0, 0],
    [0x99, 0x01, 0, 0, 0, 0, 0],
  ]) {
    const bytes = Uint8Array.from([0x22, inner.length, ...inner, 0x22, 0, 0x22, 0, 0x22, 0])
    t.equal(outcomeOf('GraphDef', bytes), 'refused', `${inner}`)
  }
})

t.test('an error says at which byte it was noticed', async (t) => {
  try {
    decode('NodeDef', Uint8Array.of(0x0a, 1, 0x78, 0x12, 9, 0x78))
    t.fail('it was read')
  } catch (error) {
    t.ok(error instanceof WireError)
    t.match(error, { offset: 5, message: /^At byte 5 a value runs past the end\.$/ })
  }
})

t.test('a mistake in the code that reads is not taken for a malformed message', async (t) => {
  const mistake = () => readWire(Uint8Array.of(1), () => Object(undefined).missing.field)
  t.throws(mistake, TypeError)
})

t.test('text that has half a surrogate pair is written as UTF-8 that can be read', async (t) => {
  const long = 'x'.repeat(200)
  for (const name of ['\ud800', `${long}\udc00`]) {
    t.equal(
      decode('NodeDef', encode('NodeDef', { name })).name,
      name.replace(/[\ud800-\udfff]/g, '\ufffd'),
    )
  }
  t.equal(decode('NodeDef', encode('NodeDef', { name: `${long}🙂é` })).name, `${long}🙂é`)
})

t.test('encoded bytes share no memory, decoded byte fields are views', async (t) => {
  const bytes = encode('TensorProto', { tensor_content: Uint8Array.of(1, 2, 3) })
  t.equal(bytes.buffer.byteLength, bytes.byteLength)
  t.equal(decode('TensorProto', bytes).tensor_content.buffer, bytes.buffer)
})
