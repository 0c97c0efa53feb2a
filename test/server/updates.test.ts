import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { byteSourceOf, openNpy, writeNpz, writeSafetensors } from '../../formats/index.ts'
import { zipTools } from '../../service/format-tools.ts'
import { contentOfTensor } from '../../service/index.ts'
import { type NumericTensor, numericTensor, tensorOfElements } from '../../tensor/index.ts'
import { floats, startServer, type TestServer } from './helper.ts'

type Call = TestServer['call']

/** Makes a variable with a value; `dtype` is float32 unless given. */
async function make(call: Call, name: string, value: unknown, dtype = 'float32'): Promise<void> {
  const made = await call('POST /v1/variables', {
    json: { name, initializer: { dtype, value } },
  })
  if (made.status !== 201) throw new Error(made.text)
  await call(`POST /v1/variables/${name}:initialize`)
}

async function readValue(call: Call, name: string): Promise<unknown> {
  return (await call(`GET /v1/variables/${name}:read_value`)).json.value
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of chunks) pieces.push(piece)
  return new Uint8Array(Buffer.concat(pieces))
}

const named = (tensors: Readonly<Record<string, NumericTensor>>) =>
  Object.entries(tensors).map(([name, tensor]) => ({ name, ...contentOfTensor(tensor) }))

t.test('updates over HTTP', async (t) => {
  const { call } = await startServer(t)

  t.test(
    'every scatter does to rows what its name says, and replies with the version',
    async (t) => {
      const rows = [
        [
          'update',
          [9, 8],
          [
            [9, 9],
            [3, 4],
            [8, 8],
          ],
        ],
        [
          'add',
          [1, 2],
          [
            [2, 3],
            [3, 4],
            [7, 8],
          ],
        ],
        [
          'sub',
          [1, 2],
          [
            [0, 1],
            [3, 4],
            [3, 4],
          ],
        ],
        [
          'mul',
          [2, 3],
          [
            [2, 4],
            [3, 4],
            [15, 18],
          ],
        ],
        [
          'div',
          [2, 5],
          [
            [0.5, 1],
            [3, 4],
            [1, 1.2000000476837158],
          ],
        ],
        [
          'min',
          [0, 9],
          [
            [0, 0],
            [3, 4],
            [5, 6],
          ],
        ],
        [
          'max',
          [0, 9],
          [
            [1, 2],
            [3, 4],
            [9, 9],
          ],
        ],
      ] as const
      for (const [verb, [first, second], wanted] of rows) {
        const name = `rows/${verb}`
        await make(call, name, [
          [1, 2],
          [3, 4],
          [5, 6],
        ])
        const done = await call(`POST /v1/variables/${name}:scatter_${verb}`, {
          json: {
            indices: [0, 2],
            updates: [
              [first, first],
              [second, second],
            ],
          },
        })
        t.match(done, { status: 200, json: { name, version: 2, etag: '"2"', durable: true } }, verb)
        t.equal(done.headers.get('etag'), '"2"')
        const got = (await readValue(call, name)) as number[][]
        t.same(got.flat().map(Math.fround), wanted.flat().map(Math.fround), verb)
      }
    },
  )

  t.test('scatter_nd reaches elements, and slices where the vectors are shorter', async (t) => {
    const cases = [
      ['update', [10, 20]],
      ['add', [12, 24]],
      ['sub', [-8, -16]],
      ['min', [2, 4]],
      ['max', [10, 20]],
    ] as const
    for (const [verb, [first, second]] of cases) {
      await make(call, `nd/${verb}`, [
        [1, 2],
        [3, 4],
      ])
      const json = {
        indices: [
          [0, 1],
          [1, 1],
        ],
        updates: [10, 20],
      }
      t.equal(
        (await call(`POST /v1/variables/nd/${verb}:scatter_nd_${verb}`, { json })).status,
        200,
      )
      t.same(await readValue(call, `nd/${verb}`), [
        [1, first],
        [3, second],
      ])
    }
    await make(call, 'nd/slice', [
      [1, 2],
      [3, 4],
    ])
    const json = { indices: [[1]], updates: [[7, 8]] }
    await call('POST /v1/variables/nd/slice:scatter_nd_update', { json })
    t.same(await readValue(call, 'nd/slice'), [
      [1, 2],
      [7, 8],
    ])
  })

  t.test(
    'duplicate indices apply one after the other; of replacements the last stays',
    async (t) => {
      await make(call, 'twice', [8, 1])
      const send = (verb: string, updates: unknown) =>
        call(`POST /v1/variables/twice:scatter_${verb}?return=value`, {
          json: { indices: [0, 0, 0], updates },
        })
      t.same((await send('add', [1, 2, 4])).json.value, [15, 1])
      t.same((await send('div', [3, 5, 2])).json.value, [0.5, 1])
      t.same((await send('update', [1, 2, 3])).json.value, [3, 1])
      t.same((await send('mul', 2)).json.value, [24, 1], 'one scalar for all of them')
    },
  )

  t.test(
    'an index out of range is refused in the words of TensorFlow, and nothing is written',
    async (t) => {
      await make(call, 'range', [1, 2, 3, 4])
      const refused = await call('POST /v1/variables/range:scatter_update', {
        json: { indices: [0, 9], updates: [7, 7] },
      })
      t.equal(refused.status, 422)
      t.match(refused.json, { code: 'INVALID_ARGUMENT', names: { variable: 'range' } })
      t.equal(refused.json.detail, 'indices[1] = 9 is not in [0, 4)')
      const huge = { indices: ['9007199254740993'], updates: [7] }
      const beyond = await call('POST /v1/variables/range:scatter_add', { json: huge })
      t.match(beyond.json.detail, /indices\[0\] = 900719925474099\d is not in \[0, 4\)/)
      const nd = await call('POST /v1/variables/range:scatter_nd_add', {
        json: { indices: [[4]], updates: [1] },
      })
      t.equal(nd.json.detail, 'indices[0] = [4] does not index into shape [4]')
      t.match((await call('GET /v1/variables/range')).json, { version: 1 })
      t.same(await readValue(call, 'range'), [1, 2, 3, 4])
    },
  )

  t.test('shapes that do not go together are refused as TensorFlow refuses them', async (t) => {
    await make(call, 'shapes', [
      [1, 2],
      [3, 4],
    ])
    const send = (verb: string, json: unknown) =>
      call(`POST /v1/variables/shapes:${verb}`, { json })
    t.match((await send('scatter_add', { indices: [0], updates: [1, 2] })).json, {
      status: 422,
      detail:
        /Must have updates\.shape = indices\.shape \+ params\.shape\[1:\] or updates\.shape = \[\], got updates\.shape \[2\], indices\.shape \[1\], params\.shape \[2,2\]/,
    })
    t.match((await send('assign_add', [1, 2])).json, {
      status: 422,
      detail: /Parameters and update must be the same size/,
    })
    t.match((await send('assign_slice', { slice: '0', value: [1, 2, 3] })).json, {
      status: 422,
      detail: /sliced l-value shape \[2\] does not match r-value shape \[3\]/,
    })
    t.match(
      (await send('assign_slice', { slice: '0:1:0', value: [1] })).json.reason,
      'slice/invalid',
    )
    t.equal(
      (await send('assign_slice', { slice: '7', value: [1, 2] })).json.reason,
      'slice/out-of-bounds',
    )
    await make(call, 'scalar', 3)
    const onScalar = await call('POST /v1/variables/scalar:scatter_add', {
      json: { indices: [0], updates: [1] },
    })
    t.match(onScalar.json.detail, 'params must be at least 1-D, got shape []')
    t.same(await readValue(call, 'shapes'), [
      [1, 2],
      [3, 4],
    ])
  })

  t.test('empty indices change no element', async (t) => {
    await make(call, 'nothing', [
      [1, 2],
      [3, 4],
    ])
    const done = await call('POST /v1/variables/nothing:scatter_add?return=value', {
      json: { indices: [], updates: [] },
    })
    t.same(
      [done.status, done.json.value],
      [
        200,
        [
          [1, 2],
          [3, 4],
        ],
      ],
    )
  })

  t.test('64-bit integers stay exact', async (t) => {
    await make(call, 'wide', ['9007199254740993', '-9223372036854775808'], 'int64')
    const json = { indices: [0, 1], updates: ['9007199254740993', 1] }
    const done = await call('POST /v1/variables/wide:scatter_add?return=value', { json })
    t.same(done.json.value, ['18014398509481986', '-9223372036854775807'])
    await make(call, 'unsigned', ['18446744073709551614'], 'uint64')
    const added = await call('POST /v1/variables/unsigned:assign_add?return=value', { json: [1] })
    t.same(added.json.value, ['18446744073709551615'])
  })

  t.test('all element types that TensorFlow has the op for are taken, and no others', async (t) => {
    const numbers = ['float64', 'float16', 'bfloat16', 'int8', 'int16', 'int32', 'int64']
    const more = ['uint8', 'uint16', 'uint32', 'uint64']
    for (const dtype of [...numbers, ...more]) {
      await make(call, `types/${dtype}`, [1, 2], dtype)
      const json = { indices: [1], updates: [5] }
      for (const verb of ['scatter_add', 'scatter_mul', 'scatter_nd_sub', 'scatter_update']) {
        const nd = verb.includes('nd') ? { indices: [[1]], updates: [5] } : json
        const done = await call(`POST /v1/variables/types/${dtype}:${verb}`, { json: nd })
        t.equal(done.status, 200, `${verb} of ${dtype}: ${done.text}`)
      }
      t.same(await readValue(call, `types/${dtype}`), [1, 5], dtype)
    }
    for (const dtype of ['complex64', 'complex128']) {
      await make(
        call,
        `types/${dtype}`,
        [
          [1, 1],
          [2, 0],
        ],
        dtype,
      )
      const json = { indices: [1], updates: [[0, 3]] }
      const done = await call(`POST /v1/variables/types/${dtype}:scatter_mul?return=value`, {
        json,
      })
      t.same(
        done.json.value,
        [
          [1, 1],
          [0, 6],
        ],
        dtype,
      )
      const refused = await call(`POST /v1/variables/types/${dtype}:scatter_min`, { json })
      t.match(refused.json, { status: 422, reason: 'dtype/not-allowed' })
    }
    await make(call, 'types/bool', [true, false], 'bool')
    const flip = { indices: [0], updates: [false] }
    const flipped = await call('POST /v1/variables/types/bool:scatter_update?return=value', {
      json: flip,
    })
    t.same(flipped.json.value, [false, false])
    t.equal((await call('POST /v1/variables/types/bool:scatter_add', { json: flip })).status, 422)
    await make(call, 'types/string', ['a', 'b'], 'string')
    const text = { indices: [1], updates: ['é'] }
    const put = await call('POST /v1/variables/types/string:scatter_update?return=value', {
      json: text,
    })
    t.same(put.json.value, ['a', 'é'])
    const sliced = await call('POST /v1/variables/types/string:assign_slice?return=value', {
      json: { slice: '0', value: 'z' },
    })
    t.same(sliced.json.value, ['z', 'é'])
    const refused = await call('POST /v1/variables/types/string:assign_add', { json: ['x', 'y'] })
    t.match(refused.json, {
      status: 422,
      reason: 'dtype/not-allowed',
      detail: /^Value for attr 'T' of string is not in the list of allowed values: /,
    })
  })

  t.test('tensors come as safetensors and as npz, by name', async (t) => {
    await make(call, 'files', [
      [1, 2],
      [3, 4],
    ])
    const indices = tensorOfElements('int32', [1], [1])
    const updates = numericTensor('float32', [1, 2], floats(10, 20))
    const body = await bytesOf(writeSafetensors(named({ indices, updates })).chunks())
    const type = 'application/x-safetensors'
    const send = (body: Uint8Array, type: string) =>
      call('POST /v1/variables/files:scatter_add', { body, headers: { 'content-type': type } })
    t.equal((await send(body, type)).status, 200)
    t.same(await readValue(call, 'files'), [
      [1, 2],
      [13, 24],
    ])
    const npz = await bytesOf(writeNpz(named({ indices, updates }), zipTools).chunks())
    t.equal((await send(npz, 'application/x-npz')).status, 200)
    t.same(await readValue(call, 'files'), [
      [1, 2],
      [23, 44],
    ])
    const halved = await bytesOf(writeSafetensors(named({ indices })).chunks())
    t.match((await send(halved, type)).json, { status: 422, detail: /wants "updates"/ })
    const stray = await bytesOf(
      writeSafetensors(named({ indices, updates, extra: updates })).chunks(),
    )
    t.match((await send(stray, type)).json, { status: 422, reason: 'tensor/unknown-name' })
    const floating = await bytesOf(writeSafetensors(named({ indices: updates, updates })).chunks())
    t.match((await send(floating, type)).json, {
      status: 422,
      reason: 'dtype/mismatch',
      detail: /Indices are int32 or int64; "indices" is float32/,
    })
    t.equal((await send(floats(1), 'application/octet-stream')).status, 415)
    t.same(await readValue(call, 'files'), [
      [1, 2],
      [23, 44],
    ])
  })

  t.test('members that are missing or not known are refused by name', async (t) => {
    await make(call, 'members', [1, 2])
    const send = (verb: string, json: unknown) =>
      call(`POST /v1/variables/members:${verb}`, { json })
    t.match((await send('scatter_add', { indices: [0] })).json, { status: 400, detail: /updates/ })
    t.match((await send('scatter_add', { indices: [0], updates: [1], axis: 0 })).json, {
      status: 400,
      detail: /"axis"/,
    })
    t.match((await send('assign_slice', { value: [1] })).json, { status: 422, detail: /"slice"/ })
    t.match((await send('assign_slice?slice=0', { slice: '0', value: 1 })).json, {
      reason: 'slice/given-twice',
    })
    t.equal((await send('count_up_to', {})).status, 400)
  })

  t.test('a slice is assigned where NumPy would put it', async (t) => {
    const put = async (slice: string, value: unknown) => {
      await make(call, `slices/${slice.replace(/\W/g, '_')}`, [
        [1, 2, 3],
        [4, 5, 6],
      ])
      const name = `slices/${slice.replace(/\W/g, '_')}`
      const done = await call(`POST /v1/variables/${name}:assign_slice?return=value`, {
        json: { slice, value },
      })
      return done.json.value ?? done.json.detail
    }
    t.same(await put('0', [7, 8, 9]), [
      [7, 8, 9],
      [4, 5, 6],
    ])
    t.same(await put('-1,0', 0), [
      [1, 2, 3],
      [0, 5, 6],
    ])
    t.same(
      await put(':,1:', [
        [7, 8],
        [9, 0],
      ]),
      [
        [1, 7, 8],
        [4, 9, 0],
      ],
    )
    t.same(
      await put('...,::2', [
        [7, 8],
        [9, 0],
      ]),
      [
        [7, 2, 8],
        [9, 5, 0],
      ],
    )
    t.same(await put('1,::-1', [7, 8, 9]), [
      [1, 2, 3],
      [9, 8, 7],
    ])
    t.same(await put('0,None,:', [[7, 8, 9]]), [
      [7, 8, 9],
      [4, 5, 6],
    ])
  })

  t.test(
    'the value of a slice may be a tensor object or any binary form, the slice in the query',
    async (t) => {
      await make(call, 'part', [
        [1, 2],
        [3, 4],
      ])
      const url = 'POST /v1/variables/part:assign_slice'
      const wrapped = { slice: '0', value: { dtype: 'float32', shape: [2], value: [5, 6] } }
      t.equal((await call(url, { json: wrapped })).status, 200)
      t.equal(
        (await call(url, { json: { slice: '1', dtype: 'float32', value: [7, 8] } })).status,
        200,
      )
      t.same(await readValue(call, 'part'), [
        [5, 6],
        [7, 8],
      ])
      t.equal((await call(`${url}?slice=0`, { json: [1, 2] })).status, 200)
      const headers = { 'content-type': 'application/octet-stream' }
      const raw = await call(`${url}?slice=%3A,1`, { body: floats(9, 9), headers })
      t.equal(raw.status, 200, 'the shape of raw bytes follows from the slice')
      t.same(await readValue(call, 'part'), [
        [1, 9],
        [7, 9],
      ])
      const short = await call(`${url}?slice=%3A,1`, { body: floats(9), headers })
      t.equal(short.status, 422)
    },
  )

  t.test('count_up_to replies with the value before, and stops at its limit', async (t) => {
    await make(call, 'count', 1, 'int64')
    const count = (json: unknown) => call('POST /v1/variables/count:count_up_to', { json })
    const first = await count({ limit: 3 })
    t.match(first.json, { version: 2, output: { dtype: 'int64', shape: [], value: 1 } })
    t.match((await count({ limit: 3 })).json.output, { value: 2 })
    const refused = await count({ limit: 3 })
    t.match(refused.json, { status: 400, code: 'OUT_OF_RANGE' })
    t.equal(refused.json.detail, 'Reached limit of 3')
    t.match((await call('GET /v1/variables/count')).json, { version: 3 })
    await make(call, 'far', '9007199254740993', 'int64')
    const far = await call('POST /v1/variables/far:count_up_to?return=value', {
      json: { limit: '9007199254740995' },
    })
    t.equal(far.json.value, '9007199254740994')
    await make(call, 'vector', [1], 'int32')
    const vector = await call('POST /v1/variables/vector:count_up_to', { json: { limit: 3 } })
    t.match(vector.json, { status: 422, detail: /input is not a scalar: \[1\]/ })
    const large = await call('POST /v1/variables/vector:count_up_to', { json: { limit: 2 ** 31 } })
    t.match(large.json, { status: 422, detail: /int32/ })
    t.match((await call('POST /v1/variables/part:count_up_to', { json: { limit: 3 } })).json, {
      reason: 'dtype/not-allowed',
    })
  })

  t.test('an uninitialized variable is named in the words of TensorFlow', async (t) => {
    await call('POST /v1/variables', { json: { name: 'empty', shape: [2] } })
    await call('POST /v1/variables', { json: { name: 'zero', shape: [], dtype: 'int32' } })
    const detail = async (path: string, json: unknown) => {
      const refused = await call(`POST /v1/variables/${path}`, { json })
      t.match(refused.json, {
        status: 409,
        code: 'FAILED_PRECONDITION',
        reason: 'variable/uninitialized',
      })
      return refused.json.detail
    }
    const rows = { indices: [0], updates: [1] }
    t.equal(
      await detail('empty:assign_add', [1, 2]),
      'Attempting to use uninitialized parameters: empty',
    )
    t.equal(await detail('empty:scatter_add', rows), 'Null ref for params: empty')
    t.equal(
      await detail('zero:count_up_to', { limit: 3 }),
      'Attempting to use uninitialized value zero',
    )
    t.equal((await call('POST /v1/variables/absent:scatter_add', { json: rows })).status, 404)
  })

  t.test('assign without validate_shape declares the shape anew, and says so', async (t) => {
    await make(call, 'free', [1, 2])
    const assign = (query: string, json: unknown) =>
      call(`POST /v1/variables/free:assign${query}`, { json })
    const refused = await assign('', [[1, 2, 3]])
    t.match(refused.json, { status: 422, detail: /lhs shape= \[2\] rhs shape= \[1,3\]/ })
    const done = await assign('?validate_shape=false', [[1, 2, 3]])
    t.match(done.json, { version: 2, shape: [1, 3] })
    t.match((await call('GET /v1/variables/free')).json, { shape: [1, 3] })
    t.equal((await assign('', [1, 2])).status, 422, 'from now on the new shape counts')
    const shown = await assign('?validate_shape=false&return=value', [5])
    t.match(shown.json, { shape: [1], value: [5] })
    t.equal((await assign('?validate_shape=false', { dtype: 'int32', value: [5] })).status, 422)
  })

  t.test('what the reply could not carry is refused before anything is written', async (t) => {
    await make(call, 'reply', ['a'], 'string')
    const send = (accept: string) =>
      call('POST /v1/variables/reply:assign?return=value', { json: ['b'], headers: { accept } })
    for (const accept of ['application/octet-stream', 'text/html']) {
      t.equal((await send(accept)).status, 406)
    }
    t.equal((await send('application/x-npy')).status, 422)
    t.match((await call('GET /v1/variables/reply')).json, { version: 1 })
    await make(call, 'npy', [1, 2])
    const got = await call('POST /v1/variables/npy:assign_sub?return=value', {
      json: [1, 1],
      headers: { accept: 'application/x-npy' },
    })
    const tensor = await openNpy(byteSourceOf(got.bytes), 'npy')
    t.same(await bytesOf(tensor.chunks()), floats(0, 1))
    t.equal(got.headers.get('x-variable-version'), '2')
  })
})

t.test('a client that goes away in the middle of a small body has written nothing', async (t) => {
  const { call, base } = await startServer(t)
  await make(call, 'cut', [1, 2])
  for (const sent of [0, 4, 7]) {
    const socket = connect(Number(new URL(base).port), '127.0.0.1')
    await once(socket, 'connect')
    socket.write(
      'POST /v1/variables/cut:assign HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 8\r\n\r\n',
    )
    socket.write(floats(7, 7).subarray(0, sent))
    await setTimeout(20)
    socket.destroy()
    await once(socket, 'close')
  }
  t.match((await call('GET /v1/variables/cut')).json, { version: 1 })
  const headers = { 'content-type': 'application/octet-stream' }
  const whole = await call('POST /v1/variables/cut:assign', { body: floats(7, 7), headers })
  t.same([whole.status, await readValue(call, 'cut')], [200, [7, 7]])
})

t.test('conditions and repetitions of updates', async (t) => {
  const { call } = await startServer(t)

  t.test('If-Match holds for every verb: exact, a list, a star, never a weak tag', async (t) => {
    await make(call, 'm', [1, 2])
    const rows = { indices: [0], updates: [1] }
    const send = (tag: string) =>
      call('POST /v1/variables/m:scatter_add', { json: rows, headers: { 'if-match': tag } })
    t.equal((await send('"7"')).status, 412)
    t.equal((await send('W/"1"')).status, 412)
    t.equal((await send('"01"')).status, 412, 'another spelling is another tag')
    t.equal((await send('"a,b", "8"')).status, 412, 'a comma may stand in a tag')
    t.equal((await send('1')).status, 400)
    t.equal((await send('"0",, "1"')).status, 200, 'empty elements of a list count for nothing')
    t.equal((await send('*')).status, 200)
    t.match((await send('"1"')).json, { status: 412, reason: 'variable/version-mismatch' })
    t.match((await call('GET /v1/variables/m')).json, { version: 3 })
    const absent = await call('POST /v1/variables/none:scatter_add', {
      json: rows,
      headers: { 'if-match': '*' },
    })
    t.equal(absent.status, 404)
  })

  t.test('of many writers with one etag exactly one gets through', async (t) => {
    await make(call, 'race', [0])
    const json = { indices: [0], updates: [1] }
    const headers = { 'if-match': '"1"' }
    const all = Array.from({ length: 12 }, () =>
      call('POST /v1/variables/race:scatter_add', { json, headers }),
    )
    const statuses = (await Promise.all(all)).map(({ status }) => status).sort()
    t.same(statuses, [200, ...new Array(11).fill(412)])
    t.same(await readValue(call, 'race'), [1])
  })

  t.test('no update of many clients at once is lost', async (t) => {
    await make(call, 'sum', [0, 0])
    await make(call, 'steps', 0, 'int64')
    const clients = Array.from({ length: 8 }, async () => {
      for (let round = 0; round < 10; round++) {
        await call('POST /v1/variables/sum:assign_add', { json: [1, 0] })
        await call('POST /v1/variables/sum:scatter_add', { json: { indices: [1], updates: [2] } })
        await call('POST /v1/variables/steps:count_up_to', { json: { limit: 1000 } })
      }
    })
    await Promise.all(clients)
    t.same(await readValue(call, 'sum'), [80, 160])
    t.equal(await readValue(call, 'steps'), 80)
  })

  t.test(
    'a request sent again with its key is answered as before and not done again',
    async (t) => {
      await make(call, 'again', 5, 'int32')
      const count = (key: string, limit = 9) =>
        call('POST /v1/variables/again:count_up_to', {
          json: { limit },
          headers: { 'idempotency-key': key },
        })
      const first = await count('one')
      t.match(first.json.output, { value: 5 })
      await count('two')
      const replayed = await count('one')
      t.same(replayed.json, first.json, 'output and version of the first time')
      t.equal(await readValue(call, 'again'), 7)
      const other = await count('one', 10)
      t.match(other.json, { status: 422, reason: 'idempotency/mismatch' })
      await make(call, 'slow', [1])
      const json = { indices: [0], updates: [1] }
      const both = await Promise.all(
        [0, 1].map(() =>
          call('POST /v1/variables/slow:scatter_add', {
            json,
            headers: { 'idempotency-key': 'k' },
          }),
        ),
      )
      for (const { status, json: reply } of both) {
        t.ok(status === 200 || reply.reason === 'idempotency/in-flight', `${status}`)
      }
      t.same(await readValue(call, 'slow'), [2])
    },
  )

  t.test('a key whose first request is under way is refused meanwhile', async (t) => {
    const { service } = await startServer(t)
    await service.variables.create({
      container: '',
      name: 'w',
      shape: [],
      initializer: { kind: 'zeros' },
      validateShape: true,
    })
    await service.writes.assign(
      '',
      'w',
      async () => contentOfTensor(numericTensor('float32', [], floats(1))),
      {},
    )
    const add = () =>
      service.writes.update({
        verb: 'assign_add',
        container: '',
        name: 'w',
        input: async () => ({
          tensors: new Map([['value', numericTensor('float32', [], floats(1))]]),
        }),
        options: { idempotencyKey: 'same' },
      })
    const [first, second] = await Promise.allSettled([add(), add()])
    t.equal(first.status, 'fulfilled')
    t.match(second, {
      status: 'rejected',
      reason: { code: 'ABORTED', reason: 'idempotency/in-flight' },
    })
    const { value } = await service.reads.read('', 'w')
    t.same(new Uint8Array(await service.stored.of(value).bytes()), floats(2), 'it is done once')
  })
})
