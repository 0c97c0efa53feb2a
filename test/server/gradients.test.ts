// Gradients and train ops over HTTP: a forward graph is uploaded, differentiated and trained.
import t from 'tap'
import { protoOfTensor } from '../../formats/index.ts'
import { type Draft, encodeGraphDef } from '../../proto/index.ts'
import { type Tensor, tensorOfElements } from '../../tensor/index.ts'
import { startServer, type TestServer } from './helper.ts'

const float = { type: 1 }
const integer = { type: 3 }
const resource = (name: string, sizes: readonly number[]) =>
  node(name, 'VarHandleOp', [], {
    dtype: float,
    shape: { shape: { dim: sizes.map((size) => ({ size })) } },
    shared_name: { s: new TextEncoder().encode(name) },
  })

function node(
  name: string,
  op: string,
  input: readonly string[],
  attr: Readonly<Record<string, Draft<'AttrValue'>>> = {},
): Draft<'NodeDef'> {
  return { name, op, input, attr: new Map(Object.entries(attr)) }
}

function constant(name: string, tensor: Tensor): Draft<'NodeDef'> {
  const dtype = tensor.dtype === 'int32' ? integer : float
  return node(name, 'Const', [], { dtype, value: { tensor: protoOfTensor(tensor) } })
}

const read = (name: string) => node(`${name}/read`, 'ReadVariableOp', [name], { dtype: float })
const T = { T: float }
const unknown = { dtype: float, shape: { shape: { unknown_rank: true } } }

/** Exclusive or by two layers: 2 inputs, 4 hidden, 1 output; the loss is the mean square error. */
const network: Draft<'GraphDef'> = {
  node: [
    node('x', 'Placeholder', [], unknown),
    node('y', 'Placeholder', [], unknown),
    node('learning_rate', 'Placeholder', [], unknown),
    resource('hidden/kernel', [2, 4]),
    resource('hidden/bias', [4]),
    resource('out/kernel', [4, 1]),
    ...['hidden/kernel', 'hidden/bias', 'out/kernel'].map(read),
    node('hidden/product', 'MatMul', ['x', 'hidden/kernel/read'], T),
    node('hidden/sum', 'BiasAdd', ['hidden/product', 'hidden/bias/read'], T),
    node('hidden', 'Tanh', ['hidden/sum'], T),
    node('out', 'MatMul', ['hidden', 'out/kernel/read'], T),
    node('error', 'SquaredDifference', ['out', 'y'], T),
    constant('axes', tensorOfElements('int32', [2], [0, 1])),
    node('loss', 'Mean', ['error', 'axes'], { ...T, Tidx: integer }),
    node('strange', 'Sort', ['x'], T),
    node('strange_loss', 'NoSuchOp', ['out'], T),
    node('strange_mean', 'Mean', ['strange_loss', 'axes'], { ...T, Tidx: integer }),
  ],
  versions: { producer: 27 },
}

const feeds = {
  x: {
    dtype: 'float32',
    value: [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ],
  },
  y: { dtype: 'float32', value: [[0], [1], [1], [0]] },
}

const first: Readonly<Record<string, unknown>> = {
  'hidden/kernel': [
    [1, -1, 0.5, -0.5],
    [-1, 1, 0.5, -0.3],
  ],
  'hidden/bias': [0.1, -0.1, 0.2, 0],
  'out/kernel': [[0.5], [0.4], [-0.3], [0.2]],
}

async function upload({ call }: TestServer, graph: Draft<'GraphDef'>): Promise<string> {
  const headers = { 'content-type': 'application/x-protobuf' }
  const made = await call('POST /v1/graphs', { body: encodeGraphDef(graph), headers })
  return made.json.id
}

t.test('gradients over HTTP', async (t) => {
  const server = await startServer(t)
  const { call } = server
  const id = await upload(server, network)
  for (const [name, value] of Object.entries(first)) {
    const made = await call('POST /v1/variables', {
      json: { name, initializer: { dtype: 'float32', value } },
    })
    t.equal(made.status, 201, made.text)
  }
  await call('POST /v1/variables:initialize', { json: { names: Object.keys(first) } })
  const run = async (graph: string, json: unknown) => {
    const reply = await call(`POST /v1/graphs/${graph}:run`, { json })
    t.equal(reply.status, 200, reply.text)
    return reply.json
  }

  t.test('gradients by variables agree with differences of the loss', async (t) => {
    const xs = ['hidden/kernel', 'hidden/bias:0', 'x']
    const made = await call(`POST /v1/graphs/${id}:gradients`, { json: { ys: ['loss'], xs } })
    t.equal(made.status, 201, made.text)
    t.equal(made.headers.get('location'), `/v1/graphs/${made.json.graph.id}`)
    t.same(made.json.graph.unsupported.map((one: { op: string }) => one.op).sort(), [
      'NoSuchOp',
      'Sort',
    ])
    t.same(
      made.json.gradients.map((one: { x: string }) => one.x),
      xs,
    )
    const names = made.json.gradients.map((one: { gradient: string }) => one.gradient)
    const { fetches } = await run(made.json.graph.id, { feeds, fetches: names })
    const slope = fetches[names[2]].value[0][1]
    const step = 1e-2
    const lossAt = async (change: number): Promise<number> => {
      const moved = [
        [0, change],
        [0, 1],
        [1, 0],
        [1, 1],
      ]
      const x = { dtype: 'float32', value: moved }
      return (await run(id, { feeds: { ...feeds, x }, fetches: ['loss'] })).fetches.loss.value
    }
    const difference = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step)
    t.ok(Math.abs(slope - difference) < 1e-3, `${slope} is near ${difference}`)
    t.same(fetches[names[0]].shape, [2, 4])
    t.same(fetches[names[1]].shape, [4])
    const again = await call(`POST /v1/graphs/${id}:gradients`, { json: { ys: ['loss'], xs } })
    t.match(again, { status: 200, json: { graph: { id: made.json.graph.id } } })
  })

  t.test(
    'a train op makes the loss smaller, and what it keeps are variables of the store',
    async (t) => {
      const optimizer = { kind: 'Adam', learning_rate: 'learning_rate:0' }
      const json = { loss: 'loss', optimizer, global_step: 'global_step' }
      const made = await call(`POST /v1/graphs/${id}:minimize`, { json })
      t.equal(made.status, 201, made.text)
      t.match(made.json, { train_op: 'Adam', global_step: 'global_step' })
      t.same(
        made.json.slot_variables.map(({ name, slot, variable }: Record<string, unknown>) => [
          name,
          slot,
          variable,
        ]),
        [
          ['global_step', 'global_step', null],
          ['beta1_power', 'beta1_power', null],
          ['beta2_power', 'beta2_power', null],
          ['hidden/kernel/Adam', 'm', 'hidden/kernel'],
          ['hidden/kernel/Adam_1', 'v', 'hidden/kernel'],
          ['hidden/bias/Adam', 'm', 'hidden/bias'],
          ['hidden/bias/Adam_1', 'v', 'hidden/bias'],
          ['out/kernel/Adam', 'm', 'out/kernel'],
          ['out/kernel/Adam_1', 'v', 'out/kernel'],
        ],
      )
      const graph = made.json.graph.id
      await run(graph, { targets: [made.json.init_op] })
      const before = (await run(graph, { feeds, fetches: ['loss'] })).fetches.loss.value
      const rate = { learning_rate: { dtype: 'float32', shape: [], value: 0.1 } }
      for (let step = 0; step < 60; step++) {
        await run(graph, { feeds: { ...feeds, ...rate }, targets: [made.json.train_op] })
      }
      const after = (await run(graph, { feeds, fetches: ['loss', 'out'] })).fetches
      t.ok(before > 0.1, `the loss was ${before}`)
      t.ok(after.loss.value < 0.02, `the loss is ${after.loss.value}`)
      const steps = await call('GET /v1/variables/global_step:read_value')
      t.equal(steps.json.value, 60)
      const slot = await call('GET /v1/variables/hidden/kernel/Adam_1')
      t.match(slot.json, { shape: [2, 4], initialized: true, dtype: 'float32' })
    },
  )

  t.test('an embedding is trained in the rows that were looked up', async (t) => {
    const table = await upload(server, {
      node: [
        node('ids', 'Placeholder', [], { ...unknown, dtype: integer }),
        resource('table', [5, 2]),
        node('rows', 'ResourceGather', ['table', 'ids'], { dtype: float, Tindices: integer }),
        constant('axes', tensorOfElements('int32', [2], [0, 1])),
        node('loss', 'Sum', ['rows', 'axes'], { ...T, Tidx: integer }),
      ],
      versions: { producer: 27 },
    })
    await call('POST /v1/variables', {
      json: { name: 'table', shape: [5, 2], initializer: { kind: 'zeros' } },
    })
    await call('POST /v1/variables/table:initialize', { json: {} })
    const optimizer = { kind: 'GradientDescent', learning_rate: 1 }
    const made = await call(`POST /v1/graphs/${table}:minimize`, {
      json: { loss: 'loss', optimizer, variables: ['table'] },
    })
    t.equal(made.status, 201, made.text)
    t.match(made.json.gradients, [{ variable: 'table', indexed_slices: { values: /^gradients/ } }])
    const ids = { dtype: 'int32', value: [3, 1, 3] }
    const whole = made.json.gradients[0].gradient
    const { fetches } = await run(made.json.graph.id, { feeds: { ids }, fetches: [whole] })
    t.same(fetches[whole].value, [
      [0, 0],
      [1, 1],
      [0, 0],
      [2, 2],
      [0, 0],
    ])
    await run(made.json.graph.id, { feeds: { ids }, targets: [made.json.train_op] })
    const { value } = (await call('GET /v1/variables/table:read_value')).json
    t.same(value, [
      [0, 0],
      [-1, -1],
      [0, 0],
      [-2, -2],
      [0, 0],
    ])
  })

  t.test('what cannot be differentiated is refused in words that say why', async (t) => {
    const gradients = (json: unknown) => call(`POST /v1/graphs/${id}:gradients`, { json })
    const minimize = (json: unknown) => call(`POST /v1/graphs/${id}:minimize`, { json })
    const descent = { kind: 'GradientDescent', learning_rate: 1 }
    const cases: readonly (readonly [Promise<unknown>, number, string, RegExp])[] = [
      [
        gradients({ ys: ['strange_mean'], xs: ['x'] }),
        501,
        'gradient/unknown',
        /^No gradient defined for operation 'strange_loss' \(op type: NoSuchOp\)/,
      ],
      [
        gradients({ ys: ['nothing'], xs: ['x'] }),
        400,
        'gradient/unknown-tensor',
        /no node "nothing"/,
      ],
      [gradients({ ys: ['loss:1'], xs: ['x'] }), 400, 'gradient/unknown-tensor', /has 1 outputs/],
      [gradients({ ys: ['^loss'], xs: ['x'] }), 422, 'graph/tensor-name', /"\^loss"/],
      [gradients({ ys: ['loss'], xs: ['x'], grad_ys: [] }), 400, 'gradient/grad-ys', /0 grad_ys/],
      [gradients({ ys: [], xs: ['x'] }), 400, 'http/invalid-body', /ys/],
      [
        minimize({ loss: 'loss', optimizer: { kind: 'Sgd' } }),
        400,
        'optimizer/unknown',
        /no optimizer "Sgd"; there are GradientDescent, /,
      ],
      [
        minimize({ loss: 'loss', optimizer: { kind: 'GradientDescent' } }),
        400,
        'optimizer/setting',
        /needs "learning_rate"/,
      ],
      [
        minimize({ loss: 'loss', optimizer: { ...descent, momentum: 1 } }),
        400,
        'optimizer/setting',
        /no setting "momentum"; it has learning_rate/,
      ],
      [
        minimize({
          loss: 'loss',
          optimizer: { kind: 'Momentum', learning_rate: 'rate', momentum: 0 },
        }),
        400,
        'optimizer/setting',
        /"learning_rate" names the tensor "rate", which the graph does not have/,
      ],
      [
        minimize({ loss: 'loss', optimizer: descent, variables: ['x'] }),
        404,
        'optimizer/variable',
        /"x" \(op Placeholder\) is no variable/,
      ],
      [
        minimize({ loss: 'y', optimizer: descent }),
        400,
        'optimizer/no-gradient',
        /^No gradients provided for any variable/,
      ],
      [minimize({ loss: 'axes', optimizer: descent }), 400, 'optimizer/loss', /of type int32/],
      [
        call(`POST /v1/graphs/${'0'.repeat(64)}:minimize`, {
          json: { loss: 'a', optimizer: descent },
        }),
        404,
        'graph/unknown',
        /There is no graph/,
      ],
    ]
    for (const [reply, status, reason, detail] of cases) {
      const { json, text } = (await reply) as { json: { detail: string }; text: string }
      t.match(json, { status, reason, detail }, text)
    }
  })
})
