import t from 'tap'
import { writeSafetensors } from '../../formats/index.ts'
import { contentOfTensor } from '../../service/index.ts'
import { type NumericTensor, numericTensor, tensorOfElements } from '../../tensor/index.ts'
import { floats, startServer, type TestServer } from './helper.ts'

type Call = TestServer['call']

async function make(call: Call, name: string, value: unknown, dtype = 'float32'): Promise<void> {
  const made = await call('POST /v1/variables', { json: { name, initializer: { dtype, value } } })
  if (made.status !== 201) throw new Error(made.text)
  await call(`POST /v1/variables/${name}:initialize`)
}

const url = 'POST /v1/variables:batch'

function batch(call: Call, operations: readonly unknown[], headers: Record<string, string> = {}) {
  return call(url, { json: { operations }, headers })
}

async function readValue(call: Call, name: string): Promise<unknown> {
  return (await call(`GET /v1/variables/${name}:read_value`)).json.value
}

async function fileOf(
  tensors: Readonly<Record<string, NumericTensor>>,
  metadata: Readonly<Record<string, string>>,
): Promise<Uint8Array> {
  const streams = Object.entries(tensors).map(([name, tensor]) => ({
    name,
    ...contentOfTensor(tensor),
  }))
  const pieces: Uint8Array[] = []
  for await (const piece of writeSafetensors(streams, new Map(Object.entries(metadata))).chunks())
    pieces.push(piece)
  return new Uint8Array(Buffer.concat(pieces))
}

t.test('batches over HTTP', async (t) => {
  const { call, spooled } = await startServer(t)

  t.test('operations run in order, and later ones see what earlier ones wrote', async (t) => {
    await make(call, 'w', [1, 2])
    await make(call, 'step', 4, 'int64')
    await make(call, 'other', 7)
    const done = await batch(call, [
      { op: 'read_value', name: 'w' },
      { op: 'assign', name: 'w', value: [10, 20] },
      { op: 'scatter_add', name: 'w', indices: [1, 1], updates: [1, 2] },
      { op: 'read_value', name: 'w' },
      { op: 'assign_slice', name: 'w', slice: '0', value: 5 },
      { op: 'count_up_to', name: 'step', limit: 9 },
      { op: 'count_up_to', name: 'step', limit: 9 },
      { op: 'read_value', name: 'w' },
      { op: 'read_value', name: 'w', slice: '1:' },
      { op: 'read_value', name: 'other' },
    ])
    t.equal(done.status, 200, done.text)
    t.same(done.json, {
      results: [
        {
          op: 'read_value',
          name: 'w',
          version: 1,
          value: { dtype: 'float32', shape: [2], value: [1, 2] },
        },
        { op: 'assign', name: 'w', version: 2, etag: '"2"' },
        { op: 'scatter_add', name: 'w', version: 2, etag: '"2"' },
        {
          op: 'read_value',
          name: 'w',
          version: null,
          value: { dtype: 'float32', shape: [2], value: [10, 23] },
        },
        { op: 'assign_slice', name: 'w', version: 2, etag: '"2"' },
        {
          op: 'count_up_to',
          name: 'step',
          version: 2,
          etag: '"2"',
          output: { dtype: 'int64', shape: [], value: 4 },
        },
        {
          op: 'count_up_to',
          name: 'step',
          version: 2,
          etag: '"2"',
          output: { dtype: 'int64', shape: [], value: 5 },
        },
        {
          op: 'read_value',
          name: 'w',
          version: 2,
          value: { dtype: 'float32', shape: [2], value: [5, 23] },
        },
        {
          op: 'read_value',
          name: 'w',
          version: 2,
          value: { dtype: 'float32', shape: [1], value: [23] },
        },
        {
          op: 'read_value',
          name: 'other',
          version: 1,
          value: { dtype: 'float32', shape: [], value: 7 },
        },
      ],
      durable: true,
    })
    t.same(await readValue(call, 'w'), [5, 23])
    t.equal(await readValue(call, 'step'), 6)
    t.match((await call('GET /v1/variables/step')).json, { version: 2 }, 'one new version each')
  })

  t.test('a refused operation is named, and nothing of the batch is seen', async (t) => {
    await make(call, 'a', [1, 2])
    await make(call, 'b', 2, 'int32')
    const first = { op: 'assign', name: 'a', value: [9, 9] }
    const refusals = [
      [
        { op: 'scatter_add', name: 'a', indices: [5], updates: [1] },
        422,
        'INVALID_ARGUMENT',
        /indices\[0\] = 5 is not in \[0, 2\)/,
      ],
      [{ op: 'count_up_to', name: 'b', limit: 2 }, 400, 'OUT_OF_RANGE', /Reached limit of 2/],
      [
        { op: 'assign', name: 'b', value: 3, if_version: 7 },
        412,
        'FAILED_PRECONDITION',
        /if_version asked for 7/,
      ],
      [{ op: 'assign', name: 'b', value: [3] }, 422, 'INVALID_ARGUMENT', /Assign requires shapes/],
      [{ op: 'assign', name: 'b', value: 3.5 }, 422, 'INVALID_ARGUMENT', /int32/],
      [{ op: 'assign_add', name: 'b' }, 422, 'INVALID_ARGUMENT', /wants "value"/],
      [{ op: 'assign_add', name: 'b', value: 1, axis: 1 }, 400, 'INVALID_ARGUMENT', /"axis"/],
      [{ op: 'read_value', name: 'b', limit: 1 }, 422, 'INVALID_ARGUMENT', /"limit"/],
      [{ op: 'read_value', name: 'a', slice: '0,0' }, 400, 'INVALID_ARGUMENT', /too many indices/],
      [{ op: 'assign_add', name: 'absent', value: 1 }, 404, 'NOT_FOUND', /absent/],
      [{ op: 'drop', name: 'b' }, 400, 'INVALID_ARGUMENT', /op/],
      [{ op: 'assign', name: 'b', value: { tensor: 'x' } }, 422, 'INVALID_ARGUMENT', /"x"/],
    ] as const
    for (const [second, status, code, detail] of refusals) {
      const refused = await batch(call, [first, second])
      t.match(refused.json, { status, code, detail }, JSON.stringify(second))
      if (!refused.json.reason.startsWith('http/')) {
        t.equal(refused.json.names.operation, 1, `names the operation: ${refused.json.detail}`)
        t.match(refused.json.detail, /^Operation 1 \(/)
      }
    }
    t.match((await call('GET /v1/variables/a')).json, { version: 1 })
    t.same(await readValue(call, 'a'), [1, 2])
  })

  t.test('a batch has operations, and not too many', async (t) => {
    t.match((await batch(call, [])).json, { status: 400, reason: 'batch/empty' })
    const many = Array.from({ length: 1001 }, () => ({ op: 'read_value', name: 'a' }))
    t.match((await batch(call, many)).json, { status: 413, reason: 'tensor/batch-too-large' })
    const limits = (await call('GET /v1/limits')).json
    t.match(limits, { batch_operations: 1000, batch_bytes: 67108864 })
    t.equal((await batch(call, [], { 'if-match': '"1"' })).status, 400)
  })

  t.test('variables are initialized in a batch from what it wrote before', async (t) => {
    await make(call, 'source', [1, 2])
    const json = { name: 'copy', initializer: { initialized_value: 'source', mul: 2 } }
    t.equal((await call('POST /v1/variables', { json })).status, 201)
    const done = await batch(call, [
      { op: 'assign', name: 'source', value: [3, 4] },
      { op: 'initialize', name: 'copy' },
      { op: 'assign_add', name: 'copy', value: [1, 1] },
      { op: 'read_value', name: 'copy' },
    ])
    t.equal(done.status, 200, done.text)
    t.same(done.json.results[3].value.value, [7, 9])
    t.match((await call('GET /v1/variables/copy')).json, { version: 1 })
    await call('POST /v1/variables', { json: { name: 'bare', shape: [2] } })
    const unread = await batch(call, [{ op: 'read_value', name: 'bare' }])
    t.match(unread.json, { status: 409, reason: 'variable/uninitialized', names: { operation: 0 } })
    const given = await batch(call, [
      { op: 'assign', name: 'bare', value: [1, 1] },
      { op: 'assign_sub', name: 'bare', value: [1, 2] },
    ])
    t.same([given.status, await readValue(call, 'bare')], [200, [0, -1]])
  })

  t.test('a shape declared anew counts for the operations after it', async (t) => {
    await make(call, 'free', [1, 2])
    const done = await batch(call, [
      { op: 'assign', name: 'free', value: [[1, 2, 3]], validate_shape: false },
      { op: 'assign_add', name: 'free', value: [[1, 1, 1]] },
      { op: 'assign', name: 'free', value: [[4, 5, 6]] },
      { op: 'scatter_nd_sub', name: 'free', indices: [[0, 2]], updates: [6] },
    ])
    t.equal(done.status, 200, done.text)
    t.match((await call('GET /v1/variables/free')).json, { shape: [1, 3], version: 2 })
    t.same(await readValue(call, 'free'), [[4, 5, 0]])
  })

  t.test('tensors travel in a safetensors file, the operations in its metadata', async (t) => {
    await make(call, 'table', [
      [1, 2],
      [3, 4],
    ])
    await make(call, 'bias', [0])
    const updates = numericTensor('float32', [1, 2], floats(10, 20))
    const rows = tensorOfElements('int64', [1], [1n])
    const operations = JSON.stringify([
      { op: 'scatter_add', name: 'table', indices: { tensor: 'rows' }, updates: { tensor: 'new' } },
      { op: 'assign', name: 'bias', value: [0.5] },
      { op: 'read_value', name: 'table' },
    ])
    const send = async (tensors: Record<string, NumericTensor>, metadata: Record<string, string>) =>
      call(url, {
        body: await fileOf(tensors, metadata),
        headers: { 'content-type': 'application/x-safetensors' },
      })
    const done = await send({ rows, new: updates }, { operations })
    t.equal(done.status, 200, done.text)
    t.same(done.json.results[2].value.value, [
      [1, 2],
      [13, 24],
    ])
    t.same(await readValue(call, 'bias'), [0.5])
    const refused = async (...given: Parameters<typeof send>) => (await send(...given)).json
    t.match(await refused({ rows }, {}), { status: 422, detail: /"operations" .* is missing/ })
    t.match(await refused({ rows }, { operations: '[' }), {
      status: 400,
      reason: 'http/malformed-json',
    })
    t.match(await refused({ rows }, { operations: '[{"op":"x","name":"a"}]' }), {
      status: 422,
      reason: 'json/operations',
    })
    t.match(await refused({ rows, new: updates, more: rows }, { operations }), {
      status: 422,
      detail: /No operation uses the tensor "more"/,
    })
    t.match(await refused({ rows }, { operations }), { status: 422, detail: /no tensor "new"/ })
    t.same(await readValue(call, 'table'), [
      [1, 2],
      [13, 24],
    ])
    t.same(await spooled(), [], 'nothing of the bodies is left')
  })

  t.test('values are shown as base64 where that is asked', async (t) => {
    await make(call, 'raw', [1])
    const json = { operations: [{ op: 'read_value', name: 'raw' }] }
    const { results, durable } = (await call(`${url}?encoding=b64`, { json })).json
    t.equal(results[0].value.b64, Buffer.from(floats(1)).toString('base64'))
    t.equal(durable, undefined, 'nothing was written')
  })

  t.test('a batch sent again with its key is answered as before, reads and all', async (t) => {
    await make(call, 'k', 1)
    await make(call, 'l', 5)
    const operations = [
      { op: 'read_value', name: 'l' },
      { op: 'assign_add', name: 'k', value: 1 },
      { op: 'read_value', name: 'k' },
    ]
    const send = (list: readonly unknown[]) => batch(call, list, { 'idempotency-key': 'batch-1' })
    const first = await send(operations)
    await call('POST /v1/variables/k:assign', { json: 100 })
    await call('POST /v1/variables/l:assign', { json: 100 })
    const again = await send(operations)
    t.equal(again.text, first.text)
    t.equal(await readValue(call, 'k'), 100)
    const other = await send([{ op: 'assign_add', name: 'k', value: 2 }])
    t.match(other.json, { status: 422, reason: 'idempotency/mismatch' })
  })

  t.test('pairs that are written together are never seen apart', async (t) => {
    await make(call, 'left', 0)
    await make(call, 'right', 0)
    const writers = Array.from({ length: 4 }, async () => {
      for (let round = 0; round < 8; round++) {
        const done = await batch(call, [
          { op: 'assign_add', name: 'left', value: 1 },
          { op: 'assign_add', name: 'right', value: 1 },
          { op: 'read_value', name: 'left' },
          { op: 'read_value', name: 'right' },
        ])
        const [, , left, right] = done.json.results
        t.equal(left.value.value, right.value.value)
        const seen = await batch(call, [
          { op: 'read_value', name: 'right' },
          { op: 'read_value', name: 'left' },
        ])
        const [one, two] = seen.json.results
        t.same([one.value, one.version], [two.value, two.version])
      }
    })
    await Promise.all(writers)
    t.equal(await readValue(call, 'left'), 32)
    t.equal(await readValue(call, 'right'), 32)
  })

  t.test('of batches with one condition exactly one gets through', async (t) => {
    await make(call, 'once', 0)
    await make(call, 'also', 0)
    const operations = [
      { op: 'assign_add', name: 'also', value: 1 },
      { op: 'assign_add', name: 'once', value: 1, if_version: 1 },
    ]
    const replies = await Promise.all(Array.from({ length: 8 }, () => batch(call, operations)))
    t.same(replies.map(({ status }) => status).sort(), [200, ...new Array(7).fill(412)])
    t.equal(await readValue(call, 'also'), 1)
  })

  t.test(
    'a partitioned variable is read and written as one, and by the names of its parts',
    async (t) => {
      const json = { name: 'whole', shape: [4], partitions: [2], initializer: { kind: 'zeros' } }
      const made = await call('POST /v1/variables', { json })
      t.equal(made.status, 201, made.text)
      await call('POST /v1/variables/whole:initialize')
      const reshaped = { op: 'assign', name: 'whole/part_0', value: [1], validate_shape: false }
      t.equal((await batch(call, [reshaped])).status, 422)
      const done = await batch(call, [
        { op: 'assign', name: 'whole/part_0', value: [1, 2] },
        { op: 'assign_add', name: 'whole/part_1', value: [3, 4] },
      ])
      t.equal(done.status, 200, done.text)
      t.same(await readValue(call, 'whole'), [1, 2, 3, 4])
      const { version } = (await call('GET /v1/variables/whole')).json
      const mixed = await batch(call, [
        { op: 'read_value', name: 'whole', slice: '1:3', if_version: version },
        { op: 'assign_add', name: 'whole', value: [10, 10, 10, 10] },
        { op: 'scatter_add', name: 'whole/part_0', indices: [1], updates: [100] },
        { op: 'read_value', name: 'whole' },
        { op: 'assign_sub', name: 'whole/part_1', value: [3, 4] },
        { op: 'read_value', name: 'whole' },
      ])
      t.equal(mixed.status, 200, mixed.text)
      const seen = mixed.json.results.map(
        (one: { version: number; value?: { value: unknown } }) => [one.version, one.value?.value],
      )
      t.same(seen, [
        [version, [2, 3]],
        [version + 2, undefined],
        [3, undefined],
        [null, [11, 112, 13, 14]],
        [3, undefined],
        [version + 2, [11, 112, 10, 10]],
      ])
      t.match((await call('GET /v1/variables/whole')).json, { version: version + 2 })
      const operations = [
        { op: 'initialize', name: 'whole' },
        { op: 'read_value', name: 'whole' },
      ]
      t.same((await batch(call, operations)).json.results[1].value.value, [0, 0, 0, 0])
      const whole = { op: 'assign', name: 'whole', value: [5, 6, 7, 8] }
      t.equal((await batch(call, [whole])).status, 200)
      const stale = await batch(call, [whole, { op: 'read_value', name: 'whole', if_version: 1 }])
      t.match(stale.json, { status: 412, names: { operation: 1 } })
      const scattered = { op: 'scatter_add', name: 'whole', indices: [0], updates: [1] }
      const refused = await batch(call, [whole, scattered])
      t.match(refused.json, { reason: 'partition/not-one', names: { operation: 1 } })
      t.same(await readValue(call, 'whole'), [5, 6, 7, 8])
    },
  )
})
