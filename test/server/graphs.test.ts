// Graphs over HTTP: upload in three forms, runs that read and write variables, refusals without a trace.
import t from 'tap'
import {
  byteSourceOf,
  collect,
  openSafetensors,
  protoOfTensor,
  writeSafetensors,
} from '../../formats/index.ts'
import {
  type Draft,
  decodeGraphDef,
  encodeGraphDef,
  formatText,
  jsonOfMessage,
} from '../../proto/index.ts'
import { contentOfTensor } from '../../service/index.ts'
import { numericTensor, tensorOfElements } from '../../tensor/index.ts'
import { floats, startServer } from './helper.ts'

const float = { type: 1 }
const node = (
  name: string,
  op: string,
  input: readonly string[],
  attr: Readonly<Record<string, Draft<'AttrValue'>>>,
) => ({ name, op, input, attr: new Map(Object.entries(attr)) })

/** counter <- counter + x, and y = counter * x; a variable, its initializer, and an op nobody has. */
const graph: Draft<'GraphDef'> = {
  node: [
    node('x', 'Placeholder', [], { dtype: float, shape: { shape: { unknown_rank: true } } }),
    node('zero', 'Const', [], {
      dtype: float,
      value: { tensor: protoOfTensor(tensorOfElements('float32', [], [0])) },
    }),
    node('counter', 'VariableV2', [], { dtype: float, shape: { shape: { dim: [] } } }),
    node('init', 'Assign', ['counter', 'zero'], { T: float }),
    node('step', 'AssignAdd', ['counter', 'x'], { T: float }),
    node('read', 'Identity', ['counter'], { T: float }),
    node('y', 'Mul', ['read', 'x'], { T: float }),
    node('strange', 'NoSuchOp', ['x'], {}),
  ],
  versions: { producer: 27 },
}

t.test('graphs over HTTP', async (t) => {
  const { call } = await startServer(t)
  const bytes = encodeGraphDef(graph)
  const upload = (body: Uint8Array | string, type: string) =>
    call('POST /v1/graphs', { body, headers: { 'content-type': type } })
  const made = await upload(bytes, 'application/x-protobuf')
  const { id } = made.json
  const run = (json: unknown, headers = {}) => call(`POST /v1/graphs/${id}:run`, { json, headers })

  t.test('an upload says what is in the graph', async (t) => {
    t.equal(made.status, 201, made.text)
    t.match(made.json, {
      node_count: 8,
      ops: { VariableV2: 1, AssignAdd: 1 },
      unsupported: [{ op: 'NoSuchOp', node: 'strange' }],
      inputs: [{ name: /^x/, dtype: 'float32', shape: null }],
      variables: [{ name: 'counter', node: 'counter', dtype: 'float32', reference: true }],
    })
    t.match(id, /^[0-9a-f]{64}$/)
  })

  t.test('the three forms of one graph are one graph', async (t) => {
    const text = await upload(formatText('GraphDef', decodeGraphDef(bytes)), 'text/plain')
    t.match(text, { status: 200, json: { id } })
    const json = JSON.stringify(jsonOfMessage('GraphDef', decodeGraphDef(bytes)))
    t.match(await upload(json, 'application/json'), { status: 200, json: { id } })
    const { graphs } = (await call('GET /v1/graphs')).json
    t.same(
      graphs.map((one: { id: string }) => one.id),
      [id],
    )
    const accept = { accept: 'application/x-protobuf' }
    t.same((await call(`GET /v1/graphs/${id}`, { headers: accept })).bytes, bytes)
    const shown = await call(`GET /v1/graphs/${id}`, { headers: { accept: 'text/plain' } })
    t.match(shown.text, 'op: "AssignAdd"')
  })

  t.test('a run makes its variable, keeps what it assigns, and shows what it did', async (t) => {
    const early = await run({ fetches: ['read'] })
    t.equal(early.status, 409)
    t.match(early.json.detail, 'Attempting to use uninitialized value counter')
    const init = await run({ targets: ['init'] })
    t.match(init.json, {
      fetches: {},
      durable: true,
      written: [{ name: 'counter', container: '', version: 1, durable: true }],
    })
    const variable = await call('GET /v1/variables/counter')
    t.match(variable.json, { collections: ['variables'], initialized: true, dtype: 'float32' })
    const stepped = await run({ feeds: { x: 2.5 }, targets: ['step'], report: true })
    t.match(stepped.json.written, [{ name: 'counter' }])
    t.type(stepped.json.report.run_ms, 'number')
    const both = await run({ feeds: { 'x:0': [2, 4] }, fetches: ['y', 'read:0'] })
    t.same(both.json.fetches, {
      y: { dtype: 'float32', shape: [2], value: [5, 10] },
      'read:0': { dtype: 'float32', shape: [], value: 2.5 },
    })
    t.same(both.json.written, [])
  })

  t.test('containers give a graph other variables', async (t) => {
    await run({ targets: ['init'], container: 'other' })
    await run({ feeds: { x: 7 }, targets: ['step'], container: 'other' })
    const read = async (container: string) =>
      (await call(`GET /v1/variables/counter:read_value?container=${container}`)).json.value
    t.equal(await read('other'), 7)
    t.equal(await read(''), 2.5)
  })

  t.test('runs that write one variable lose nothing to each other', async (t) => {
    await run({ targets: ['init'], container: 'many' })
    const feeds = { x: 1 }
    const step = () => run({ feeds, targets: ['step'], container: 'many' })
    const replies = await Promise.all(Array.from({ length: 10 }, step))
    t.ok(replies.every(({ status }) => status === 200))
    const read = await run({ fetches: ['read'], container: 'many' })
    t.equal(read.json.fetches.read.value, 10)
  })

  t.test('tensors come and go as safetensors', async (t) => {
    const tensor = numericTensor('float32', [2], floats(1, 2))
    const file = writeSafetensors([{ name: 'x', ...contentOfTensor(tensor) }])
    const reply = await call(`POST /v1/graphs/${id}:run?fetches=y,read`, {
      body: await collect(file.chunks(), file.byteLength),
      headers: {
        'content-type': 'application/x-safetensors',
        accept: 'application/x-safetensors',
      },
    })
    t.equal(reply.status, 200, reply.text)
    const { tensors } = await openSafetensors(byteSourceOf(reply.bytes))
    t.same(tensors.map(({ name }) => name).sort(), ['read', 'y'])
  })

  t.test('a run with an Idempotency-Key is done once', async (t) => {
    const wishes = { feeds: { x: 1 }, targets: ['step'], container: 'many' }
    const headers = { 'idempotency-key': 'run-1' }
    const first = await run(wishes, headers)
    const again = await run(wishes, headers)
    t.equal(again.json.written[0].version, first.json.written[0].version)
    t.equal(again.json.replayed, true)
    const read = await run({ fetches: ['read'], container: 'many' })
    t.equal(read.json.fetches.read.value, 11)
  })

  t.test('refused runs name what is wrong and leave no trace', async (t) => {
    const before = (await call('GET /v1/variables/counter')).json
    const cases: readonly (readonly [object, number, string])[] = [
      [{ fetches: ['none'] }, 422, 'run/unknown-tensor'],
      [{ targets: ['none'] }, 422, 'run/unknown-operation'],
      [
        { feeds: { q: { dtype: 'float32', value: 1 } }, fetches: ['read'] },
        422,
        'run/unknown-tensor',
      ],
      [{ feeds: { x: { dtype: 'int32', value: 1 } }, fetches: ['y'] }, 422, 'run/feed-dtype'],
      [{ feeds: { x: ['a'] }, fetches: ['y'] }, 422, 'tensor/bad-value'],
      [{ feeds: { x: [[1], [2, 3]] }, fetches: ['y'] }, 422, 'tensor/ragged'],
      [{ feeds: { x: 1 }, fetches: ['strange'] }, 501, 'op/unknown'],
      [{ feeds: { x: 1 } }, 422, 'run/nothing-wanted'],
      [{ feeds: { x: [1, 2] }, targets: ['step'] }, 422, ''],
      [{ fetch: ['y'] }, 400, 'http/invalid-body'],
    ]
    for (const [json, status, reason] of cases) {
      const reply = await run(json)
      t.equal(reply.status, status, JSON.stringify(json) + reply.text)
      if (reason !== '') t.equal(reply.json.reason, reason)
    }
    t.same((await call('GET /v1/variables/counter')).json.version, before.version)
  })

  t.test('structures that cannot be are refused at the upload', async (t) => {
    const cycle = encodeGraphDef({
      node: [
        node('a', 'Identity', ['b'], { T: float }),
        node('b', 'Identity', ['a'], { T: float }),
      ],
    })
    t.match(await upload(cycle, 'application/x-protobuf'), { status: 422 })
    const dangling = encodeGraphDef({ node: [node('a', 'Identity', ['nowhere'], { T: float })] })
    t.match(await upload(dangling, 'application/x-protobuf'), { status: 422 })
    const cut = bytes.subarray(0, bytes.byteLength - 3)
    t.match(await upload(cut, 'application/x-protobuf'), {
      status: 422,
      json: { reason: 'graph/wire' },
    })
    t.match(await upload('node { name: ', 'text/plain'), { status: 422 })
    t.equal((await upload(bytes, 'image/png')).status, 415)
    t.equal((await call('POST /v1/graphs')).status, 400)
  })

  t.test('a deleted graph is gone', async (t) => {
    t.equal((await call(`DELETE /v1/graphs/${id}`)).status, 204)
    t.equal((await run({ fetches: ['read'] })).status, 404)
    t.equal((await call(`DELETE /v1/graphs/${id}`)).status, 404)
  })
})
