// Tensors in bodies, both ways, in every media type.
import { connect } from 'node:net'
import t from 'tap'
import {
  byteSourceOf,
  collect,
  openNpy,
  openSafetensors,
  protoOfTensor,
  tensorOfProto,
  writeNpy,
  writeSafetensors,
} from '../../formats/index.ts'
import { decodeTensorProto, encodeTensorProto } from '../../proto/index.ts'
import { contentOfTensor } from '../../service/index.ts'
import { numericTensor } from '../../tensor/index.ts'
import { floats, startServer } from './helper.ts'

const matrix = numericTensor('float32', [2, 2], floats(1, 2, 3, 4))
const stream = { name: 'value', ...contentOfTensor(matrix) }

t.test('tensors in bodies', async (t) => {
  const limits = { jsonElements: 1000, tensorBytes: 200_000 }
  const { call, spooled, base } = await startServer(t, { limits })
  await call('POST /v1/variables', { json: { name: 'v', shape: [2, 2] } })
  const assign = (type: string, body: Uint8Array | string, headers = {}) =>
    call('POST /v1/variables/v:assign?return=value', {
      body,
      headers: { 'content-type': type, ...headers },
    })
  const read = (accept: string, headers = {}) =>
    call('GET /v1/variables/v:read_value', { headers: { accept, ...headers } })
  const whole = async (file: { byteLength: number; chunks(): AsyncIterable<Uint8Array> }) =>
    collect(file.chunks(), file.byteLength)

  t.test('every form of the same value is taken', async (t) => {
    const bodies: readonly (readonly [string, Uint8Array | string])[] = [
      ['application/json', '[[1,2],[3,4]]'],
      ['application/json', '{"value":[[1,2],[3,4]]}'],
      ['application/json', '{"dtype":"DT_FLOAT","shape":[2,2],"value":[[1,2],[3,4]]}'],
      ['application/json; charset=utf-8', '{"b64":"AACAPwAAAEAAAEBAAACAQA=="}'],
      ['application/octet-stream', matrix.bytes],
      ['application/x-npy', await whole(writeNpy(stream))],
      ['application/x-safetensors', await whole(writeSafetensors([stream]))],
      ['application/x-protobuf', encodeTensorProto(protoOfTensor(matrix))],
    ]
    for (const [type, body] of bodies) {
      await call('POST /v1/variables/v:assign', {
        json: [
          [0, 0],
          [0, 0],
        ],
      })
      const reply = await assign(type, body)
      t.equal(reply.status, 200, type)
      t.same(reply.json.value, [
        [1, 2],
        [3, 4],
      ])
    }
  })

  t.test('every form is given, by Accept', async (t) => {
    t.same((await read('application/json')).json.value, [
      [1, 2],
      [3, 4],
    ])
    const encoded = await call('GET /v1/variables/v:read_value?encoding=b64')
    t.equal(encoded.json.b64, 'AACAPwAAAEAAAEBAAACAQA==')
    const raw = await read('application/octet-stream')
    t.same(raw.bytes, matrix.bytes)
    t.equal(raw.headers.get('x-tensor-dtype'), 'float32')
    t.equal(raw.headers.get('x-tensor-shape'), '[2,2]')
    const npy = await openNpy(byteSourceOf((await read('application/x-npy')).bytes), 'v')
    t.match(npy, { dtype: 'float32', shape: [2, 2] })
    t.same(await whole(npy), matrix.bytes)
    const file = await openSafetensors(
      byteSourceOf((await read('application/x-safetensors')).bytes),
    )
    t.equal(file.tensors[0].name, 'v')
    t.same(await whole(file.tensors[0]), matrix.bytes)
    const proto = await read('application/x-protobuf')
    t.same(tensorOfProto(decodeTensorProto(proto.bytes)), matrix)
    const preferred = await read('image/png, application/x-npy;q=0.5, application/json;q=0.4')
    t.equal(preferred.headers.get('content-type'), 'application/x-npy')
    const none = await read('image/png')
    t.equal(none.status, 406)
    t.match(none.json.detail, /application\/x-safetensors/)
  })

  t.test('an unchanged value is not sent again', async (t) => {
    const { headers } = await read('application/json')
    const again = await read('application/json', { 'if-none-match': headers.get('etag') })
    t.equal(again.status, 304)
    t.equal(again.bytes.byteLength, 0)
  })

  t.test('ranges give the bytes asked for, or 416', async (t) => {
    const range = (text: string) => read('application/octet-stream', { range: text })
    const middle = await range('bytes=4-7')
    t.equal(middle.status, 206)
    t.same(middle.bytes, floats(2))
    t.equal(middle.headers.get('content-range'), 'bytes 4-7/16')
    t.same((await range('bytes=12-')).bytes, floats(4))
    t.same((await range('bytes=-4')).bytes, floats(4))
    t.same((await range('bytes=8-999')).bytes, floats(3, 4))
    const past = await range('bytes=16-20')
    t.equal(past.status, 416)
    t.equal(past.headers.get('content-range'), 'bytes */16')
    t.equal((await range('bytes=7-4')).status, 200, 'a reversed range is none')
    t.equal((await range('bytes=0-1,4-5')).status, 200, 'of several ranges all is sent')
  })

  t.test('what does not fit is refused and changes nothing', async (t) => {
    const before = (await read('application/json')).json
    const cases: readonly (readonly [string, Uint8Array | string, number, string])[] = [
      ['application/json', '[[1,2],[3]]', 422, 'tensor/ragged'],
      ['application/json', '[1,2,3,4]', 422, 'shape/mismatch'],
      ['application/json', '[["x",2],[3,4]]', 422, 'tensor/bad-value'],
      ['application/json', '[[1e400,2],[3,4]]', 422, 'tensor/bad-value'],
      ['application/json', '[[1e39,2],[3,4]]', 422, 'tensor/bad-value'],
      ['application/json', '[[NaN,2],[3,4]]', 400, 'http/malformed-json'],
      ['application/json', '[[1,2],[3,4]', 400, 'http/malformed-json'],
      ['application/json', '', 400, 'http/empty-body'],
      ['application/json', '{"__proto__":{"value":1}}', 400, 'http/malformed-json'],
      ['application/json', '{"\\u005f_proto__":1}', 400, 'http/malformed-json'],
      ['application/json', '{"value":[[1,2],[3,4]],"other":1}', 422, 'tensor/bad-json'],
      ['application/json', '{"dtype":"float64","value":[[1,2],[3,4]]}', 422, 'dtype/mismatch'],
      ['application/json', '{"dtype":"float99","value":1}', 422, 'tensor/unknown-dtype'],
      ['application/json', '{"value":1,"b64":""}', 422, 'tensor/bad-json'],
      ['application/octet-stream', floats(1, 2, 3), 422, 'tensor/size-mismatch'],
      ['application/octet-stream', floats(1, 2, 3, 4, 5), 422, 'tensor/size-mismatch'],
      ['application/x-npy', 'no array', 422, 'npy/bad-magic'],
      ['application/x-safetensors', 'no tensors at all', 422, 'safetensors/bad-length'],
      ['application/x-protobuf', new Uint8Array([8, 255]), 422, 'proto/unreadable'],
      ['text/csv', '1,2', 415, 'http/unsupported-media-type'],
      ['application/x-npz', 'PK', 415, 'http/unsupported-media-type'],
    ]
    for (const [type, body, status, reason] of cases) {
      const reply = await assign(type, body)
      t.match({ status: reply.status, ...reply.json }, { status, reason }, `${type} ${reason}`)
    }
    const squeezed = await assign('application/json', '[[1,2],[3,4]]', {
      'content-encoding': 'gzip',
    })
    t.equal(squeezed.status, 415)
    t.same((await read('application/json')).json, before)
    t.same(await spooled(), [])
  })

  t.test("raw bytes may bring their own type, which must be the variable's", async (t) => {
    const raw = (headers: object) => assign('application/octet-stream', matrix.bytes, headers)
    t.equal((await raw({ 'x-tensor-dtype': 'float32', 'x-tensor-shape': '2,2' })).status, 200)
    t.equal((await raw({ 'x-tensor-shape': '[4]' })).json.reason, 'shape/mismatch')
    t.equal((await raw({ 'x-tensor-dtype': 'int32' })).json.reason, 'dtype/mismatch')
    t.equal((await raw({ 'x-tensor-dtype': 'nothing' })).json.reason, 'dtype/invalid')
    t.equal((await raw({ 'x-tensor-shape': 'two' })).json.reason, 'shape/invalid')
  })

  t.test('strings, bytes, complex numbers and NaN survive JSON', async (t) => {
    const values: readonly (readonly [string, unknown])[] = [
      ['string', ['plain', { b64: '//4=' }]],
      [
        'complex64',
        [
          [1, -2],
          ['NaN', 'Infinity'],
        ],
      ],
      ['float64', ['-Infinity', 1.5]],
      ['bool', [true, false]],
      ['bfloat16', [1.5, -2]],
      ['uint64', ['18446744073709551615', 1]],
    ]
    for (const [dtype, value] of values) {
      const initializer = { kind: 'zeros' }
      await call('POST /v1/variables', { json: { name: dtype, shape: [2], dtype, initializer } })
      const written = await call(`POST /v1/variables/${dtype}:assign`, { json: value })
      t.equal(written.status, 200, dtype)
      t.same((await call(`GET /v1/variables/${dtype}:read_value`)).json.value, value, dtype)
    }
    const accept = { accept: 'application/octet-stream' }
    t.equal((await call('GET /v1/variables/string:read_value', { headers: accept })).status, 406)
  })

  t.test('a large value goes in and out in binary, and JSON names the binary types', async (t) => {
    const count = 20_000
    const bytes = new Uint8Array(Float32Array.from({ length: count }, (_, index) => index).buffer)
    await call('POST /v1/variables', { json: { name: 'big', shape: [count] } })
    const headers = { 'content-type': 'application/octet-stream' }
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.byteLength; at += 7000) {
          controller.enqueue(bytes.subarray(at, at + 7000))
        }
        controller.close()
      },
    })
    t.equal((await call('POST /v1/variables/big:assign', { body, headers })).status, 200)
    const raw = await call('GET /v1/variables/big:read_value', {
      headers: { accept: 'application/octet-stream' },
    })
    t.ok(Buffer.from(raw.bytes).equals(bytes))
    const json = await call('GET /v1/variables/big:read_value')
    t.equal(json.status, 413)
    t.match(json.json.fix, 'application/x-npy')
    const many = await call('POST /v1/variables/big:assign', { json: Array(2000).fill(0) })
    t.equal(many.status, 413)
    t.match(many.json.fix, 'application/octet-stream')
    const huge = await call('POST /v1/variables', { json: { name: 'huge', shape: [60_000] } })
    t.equal(huge.status, 413, 'a variable that no body could fill')
    const over = await call('POST /v1/variables/big:assign', {
      body: new Uint8Array(240_000),
      headers,
    })
    t.equal(over.status, 413)
  })

  t.test('an upload that breaks off leaves nothing', async (t) => {
    const before = (await call('GET /v1/variables/v')).json
    const { hostname, port } = new URL(base)
    for (const type of ['application/octet-stream', 'application/x-npy']) {
      await new Promise<void>((resolve) => {
        const socket = connect(Number(port), hostname, () => {
          socket.write(
            `POST /v1/variables/v:assign HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: 16\r\n\r\n12345`,
          )
          setTimeout(() => socket.destroy(), 100)
        })
        socket.on('close', () => resolve())
      })
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
    t.same((await call('GET /v1/variables/v')).json, before)
    t.same(await spooled(), [])
    t.equal((await call('GET /healthz')).status, 200)
  })
})
