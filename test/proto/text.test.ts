import { globSync, readFileSync } from 'node:fs'
import t from 'tap'
import {
  base64OfBytes,
  bytesOfBase64,
  encode,
  formatText,
  type JsonValue,
  jsonOfMessage,
  type MessageName,
  messageOfJson,
  parseText,
  shortestFloat,
  WireError,
} from '../../proto/index.ts'
import { sharedFolder } from '../helper/shared.ts'

t.test('text with every kind of value is read', async (t) => {
  const node = parseText(
    'NodeDef',
    `# a comment
     name: "a" 'b'  op: "\\x41\\102\\n\\u00e9"; input: ["x", "y:1"],
     attr { key: "f" value { f: -1.5e3 } }
     attr: < key: "t" value: { type: DT_FLOAT } >
     attr { key: "u" value { type: 7 } }
     attr { key: "i" value { i: -0x10 } }
     attr { key: "o" value { i: 017 } }
     attr { key: "n" value { f: nan } }
     attr { key: "inf" value { f: -inf } }
     attr { key: "s" value { s: "\\377\\000" } }
     experimental_debug_info { original_node_names: "z" more { deep: [1, 2] } }
     experimental_type: { type_id: TFT_PRODUCT args { x: 1.5f } }`,
  )
  t.equal(node.name, 'ab')
  t.equal(node.op, 'AB\n\u00e9')
  t.strictSame(node.input, ['x', 'y:1'])
  t.equal(node.attr.get('f')?.f, -1500)
  t.equal(node.attr.get('t')?.type, 1)
  t.equal(node.attr.get('u')?.type, 7)
  t.equal(node.attr.get('i')?.i, -16n)
  t.equal(node.attr.get('o')?.i, 15n)
  t.ok(Number.isNaN(node.attr.get('n')?.f))
  t.equal(node.attr.get('inf')?.f, Number.NEGATIVE_INFINITY)
  t.strictSame(node.attr.get('s')?.s, Uint8Array.of(255, 0))
})

t.test('an Any is read by its type URL', async (t) => {
  const { value } = parseText(
    'AnyList',
    'value { [type.googleapis.com/tensorflow.AssetFileDef] { filename: "f.txt" } }',
  )
  t.equal(value[0].type_url, 'type.googleapis.com/tensorflow.AssetFileDef')
  t.strictSame(value[0].value, encode('AssetFileDef', { filename: 'f.txt' }))
})

t.test('text that is no message is refused with its line', async (t) => {
  const wrong: readonly [MessageName, string][] = [
    ['NodeDef', 'name "a"'],
    ['NodeDef', 'name: a'],
    ['NodeDef', 'name: "a'],
    ['NodeDef', 'name: "\\400"'],
    ['NodeDef', 'name: "\\q"'],
    ['NodeDef', 'attr { key: "a" value { i: 9223372036854775808 } }'],
    ['NodeDef', 'attr { key: "a" value { i: 1.5 } }'],
    ['NodeDef', 'attr { key: "a" value { type: DT_NONE } }'],
    ['NodeDef', 'attr { key: "a" value { b: maybe } }'],
    ['NodeDef', 'attr { key: "a"'],
    ['NodeDef', 'unknown'],
    ['NodeDef', 'unknown { a: }'],
    ['NodeDef', '}'],
    ['NodeDef', 'name: "a" @'],
    ['Dim', 'size: 9007199254740993'],
    ['GraphDef', 'node {'.repeat(200)],
    ['NodeDef', 'unknown {'.repeat(200)],
    ['AttrValue', 'list { func { attr { key: "a" value { '.repeat(60)],
  ]
  for (const [name, text] of wrong) {
    t.throws(() => parseText(name, text), WireError, text.slice(0, 50))
  }
  t.throws(() => parseText('NodeDef', 'name: "a"\nop: 5'), /line 2/)
})

t.test('a checkpoint state file is read and written as TensorFlow does', async (t) => {
  const text =
    'model_checkpoint_path: "b"\nall_model_checkpoint_paths: "a"\nall_model_checkpoint_paths: "b"\n'
  const state = parseText('CheckpointState', text)
  t.strictSame(state.all_model_checkpoint_paths, ['a', 'b'])
  t.equal(formatText('CheckpointState', state), text)
})

t.test('every recorded text file survives the text, JSON and binary forms', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const paths = [
    ...globSync(`${shared}/fixtures/**/*.pbtxt`),
    `${shared}/fixtures/meta_graphs/metrics_export_meta_graph/metrics_export_meta_graph.pb`,
  ]
  t.ok(paths.length > 15)
  for (const path of paths) {
    const kind = path.includes('saved_model') ? 'SavedModel' : 'GraphDef'
    const name: MessageName = path.includes('meta_graph') ? 'MetaGraphDef' : kind
    const message = parseText(name, readFileSync(path, 'utf8'))
    const bytes = encode(name, message)
    const fromText = parseText(name, formatText(name, message))
    const fromJson = messageOfJson(name, JSON.parse(JSON.stringify(jsonOfMessage(name, message))))
    t.ok(bytes.byteLength > 200)
    t.equal(Buffer.compare(encode(name, fromText), bytes), 0, path)
    t.equal(Buffer.compare(encode(name, fromJson), bytes), 0, path)
  }
})

t.test('JSON keys come in camelCase and snake_case; 64-bit integers exactly', async (t) => {
  const json: JsonValue = {
    dtype: 'DT_INT64',
    tensorShape: { dim: [{ size: '2' }, { size: 3 }] },
    int64_val: ['-9223372036854775808', 7],
    stringVal: ['AP8='],
    floatVal: ['NaN', '-Infinity', 1.5],
    half_val: null,
    unknown_key: { a: [1] },
  }
  const tensor = messageOfJson('TensorProto', json)
  t.strictSame(tensor.int64_val, [-(2n ** 63n), 7n])
  t.strictSame(tensor.string_val, [Uint8Array.of(0, 255)])
  t.strictSame(tensor.float_val, [Number.NaN, Number.NEGATIVE_INFINITY, 1.5])
  t.strictSame(jsonOfMessage('TensorProto', tensor), {
    dtype: 'DT_INT64',
    tensorShape: { dim: [{ size: '2' }, { size: '3' }] },
    floatVal: ['NaN', '-Infinity', 1.5],
    stringVal: ['AP8='],
    int64Val: ['-9223372036854775808', '7'],
  })
})

t.test('JSON of another form is refused with the path to it', async (t) => {
  const wrong: readonly [JsonValue, RegExp][] = [
    [[], /GraphDef is not an object/],
    [{ node: {} }, /GraphDef\.node is not a list/],
    [{ node: [{ name: 5 }] }, /node\[0\]\.name is not a string/],
    [{ node: [{ attr: { a: { i: 2 ** 53 } } }] }, /attr\.a\.i is not an exact whole number/],
    [{ node: [{ attr: { a: { i: '99999999999999999999' } } }] }, /does not fit/],
    [{ node: [{ attr: { a: { type: 'DT_NONE' } } }] }, /is no DataType/],
    [{ node: [{ attr: { a: { s: '*' } } }] }, /is not base64/],
  ]
  for (const [json, message] of wrong) t.throws(() => messageOfJson('GraphDef', json), message)
  let deep: JsonValue = {}
  for (let level = 0; level < 200; level++) deep = { func: { attr: { a: deep } } }
  t.throws(() => messageOfJson('AttrValue', deep), WireError)
  const own = messageOfJson('NodeDef', JSON.parse('{"attr": {"__proto__": {"i": 1}}}'))
  t.strictSame([...own.attr.keys()], ['__proto__'])
})

t.test('base64 is strict', async (t) => {
  for (let length = 0; length < 40; length++) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 89 + length) & 255)
    const text = base64OfBytes(bytes)
    t.equal(text, Buffer.from(bytes).toString('base64'))
    t.strictSame(bytesOfBase64(text), bytes)
  }
  t.strictSame(bytesOfBase64('-_8'), Uint8Array.of(0xfb, 0xff))
  for (const text of ['A', 'A===', 'AA=', 'AAA\n', 'AB==', '=', 'A=AA', 'AAAAA', 'é'.repeat(4)]) {
    t.equal(bytesOfBase64(text), undefined, text)
  }
})

t.test('a float32 is printed with the digits that it needs', async (t) => {
  t.equal(shortestFloat(Math.fround(0.1)), '0.1')
  t.equal(shortestFloat(Math.fround(16777215)), '16777215')
  t.equal(shortestFloat(Math.fround(1e-45)), '1.4013e-45')
})
