import t, { type Test } from 'tap'
import { createEngine, type Engine, type EngineOptions } from '../../../engine/index.ts'
import { elementsOf, type NumericTensor, Refusal, type Tensor } from '../../../tensor/index.ts'
import {
  constant,
  f32,
  func,
  functionDef,
  graphDef,
  node,
  placeholder,
  type,
  types,
  variable,
} from '../graph-def.ts'
import { refusalOf } from '../session.ts'

const T = { T: type('float32') }

const counter = graphDef([
  variable('v', 'float32', [2]),
  placeholder('x', 'float32'),
  constant('one', f32([2], [1, 1])),
  node('more', 'AssignAdd', ['v', 'one'], T),
  node('y', 'Mul', ['v', 'x'], T),
])

interface Store {
  readonly values: Uint8Array[]
  reads: number
}

async function started(
  t: Test,
  options: Partial<EngineOptions> = {},
): Promise<{ readonly engine: Engine; readonly store: Store }> {
  const store: Store = { values: [], reads: 0 }
  const engine = await createEngine({
    device: 'reference',
    threads: 1,
    readValue: async (value) => {
      store.reads++
      const bytes = store.values[value]
      if (bytes === undefined) throw new Refusal('DATA_LOSS', 'value/lost', `no value ${value}`)
      return bytes.slice()
    },
    ...options,
  })
  t.teardown(() => engine.close())
  return { engine, store }
}

const v = { container: '', name: 'v' }
const type2 = { dtype: 'float32', shape: [2] } as const

function numbers(...values: number[]): Uint8Array {
  return new Uint8Array(new Float32Array(values).buffer)
}

function run(
  engine: Engine,
  fetches: readonly string[],
  targets: readonly string[],
  binding: { readonly value: number } | { readonly handle: number } | null,
  deadlineMs?: number,
): ReturnType<Engine['run']> {
  const feeds: Record<string, Tensor> = fetches.includes('y') ? { x: f32([], [10]) } : {}
  const variables = [{ ...v, binding: binding === null ? null : { ...type2, ...binding } }]
  const request = { graph: 'g', feeds, fetches, targets, container: '', variables, device: '' }
  return engine.run({ ...request, deadlineMs, report: true })
}

for (const device of ['reference', '/device:CPU:0']) {
  t.test(`on ${device} a stored value is read once and stays`, async (t) => {
    const { engine, store } = await started(t, { device })
    store.values.push(numbers(1, 2))
    await engine.load('g', counter)
    for (let one = 0; one < 3; one++) {
      const { fetches } = await run(engine, ['y'], [], { value: 0 })
      t.same(elementsOf(fetches[0] as NumericTensor), [10, 20])
    }
    t.equal(store.reads, 1)
    const [{ resident }] = await engine.devices()
    t.same(resident, [{ value: 0, byteLength: 8 }])
    await engine.evict('/device:CPU:0')
    t.same((await engine.devices())[0].resident, [])
    await run(engine, ['y'], [], { value: 0 })
    t.equal(store.reads, 2)
  })

  t.test(
    `on ${device} assigned values stay there until they are adopted or released`,
    async (t) => {
      const { engine, store } = await started(t, { device })
      store.values.push(numbers(1, 2))
      await engine.load('g', counter)
      const first = await run(engine, [], ['more'], { value: 0 })
      t.match(first.assigned, [{ name: 'v', dtype: 'float32', shape: [2] }])
      const [{ handle }] = first.assigned
      t.same(elementsOf((await engine.read(handle)) as NumericTensor), [2, 3])
      const second = await run(engine, ['y'], ['more'], { handle })
      t.same(
        elementsOf((await engine.read(second.assigned[0].handle)) as NumericTensor),
        [3, 4],
        'a run may start on an uncommitted value',
      )
      await engine.adopt(handle, 7)
      const third = await run(engine, ['y'], [], { value: 7 })
      t.same(elementsOf(third.fetches[0] as NumericTensor), [20, 30], 'adopted: not read again')
      t.equal(store.reads, 1)
      t.equal((await refusalOf(engine.read(handle))).reason, 'engine/handle')
      await engine.release(second.assigned[0].handle)
      t.equal((await refusalOf(engine.release(second.assigned[0].handle))).reason, 'engine/handle')
    },
  )
}

t.test('a value that cannot be read fails the run with the owner’s words', async (t) => {
  const { engine } = await started(t)
  await engine.load('g', counter)
  const { code, reason } = await refusalOf(run(engine, ['y'], [], { value: 3 }))
  t.same([code, reason], ['DATA_LOSS', 'value/lost'])
  await engine.load('g', counter)
})

t.test('bytes that are no graph are refused, and the graph before them stays', async (t) => {
  const { engine, store } = await started(t)
  store.values.push(numbers(1, 2))
  await engine.load('g', counter)
  for (let length = 1; length < counter.byteLength; length += 7) {
    await engine.load('cut', counter.slice(0, length)).catch((error: unknown) => {
      if (!(error instanceof Refusal)) throw error
      t.match(error.reason, /^graph\//)
    })
  }
  const wire = await refusalOf(engine.load('g', Uint8Array.of(10, 255, 255, 255, 255, 15)))
  t.equal(wire.reason, 'graph/wire')
  t.same(
    elementsOf((await run(engine, ['y'], [], { value: 0 })).fetches[0] as NumericTensor),
    [10, 20],
  )
})

t.test('a summary tells inputs, outputs, variables and what is not supported', async (t) => {
  const { engine } = await started(t)
  const summary = await engine.load(
    'g',
    graphDef([placeholder('x', 'float32', [-1, 2]), variable('v', 'int32', [3]), node('s', 'Odd')]),
  )
  t.match(summary, {
    nodeCount: 3,
    ops: { Odd: 1, Placeholder: 1, VariableV2: 1 },
    unsupported: [{ op: 'Odd', node: 's' }],
    inputs: [{ name: 'x:0', dtype: 'float32', shape: [-1, 2] }],
    variables: [{ name: 'v', node: 'v', dtype: 'int32', shape: [3], reference: true }],
  })
})

t.test('an edge to an output that does not exist is refused at load', async (t) => {
  const { engine } = await started(t)
  const nodes = [placeholder('x', 'float32'), node('y', 'Neg', ['x:7'], T)]
  t.equal((await refusalOf(engine.load('g', graphDef(nodes)))).reason, 'graph/port')
})

t.test('a run over its deadline ends, and the engine comes back', async (t) => {
  const { engine, store } = await started(t)
  store.values.push(numbers(1, 2))
  const always = functionDef('always', { x: 'float32' }, { more: ['bool', 'less:z:0'] }, [
    node('less', 'LessEqual', ['x', 'x'], T),
  ])
  const next = functionDef('next', { x: 'float32' }, { x: ['float32', 'n:y:0'] }, [
    node('n', 'Tanh', ['x'], T),
  ])
  await engine.load('g', counter)
  await engine.load(
    'endless',
    graphDef(
      [
        placeholder('x', 'float32'),
        node('y', 'While', ['x'], {
          T: types('float32'),
          cond: func('always'),
          body: func('next'),
        }),
      ],
      [always, next],
    ),
  )
  const endless = engine.run({
    graph: 'endless',
    feeds: { x: f32([], [1]) },
    fetches: ['y'],
    targets: [],
    container: '',
    variables: [],
    device: '',
    deadlineMs: 300,
  })
  const behind = run(engine, ['y'], [], { value: 0 })
  t.equal((await refusalOf(endless)).code, 'DEADLINE_EXCEEDED')
  t.equal((await refusalOf(behind)).code, 'UNAVAILABLE')
  const { fetches } = await run(engine, ['y'], [], { value: 0 })
  t.same(elementsOf(fetches[0] as NumericTensor), [10, 20], 'graphs are loaded again by themselves')
})

t.test(
  'an unknown device is refused at the start, and one that is not there in a run',
  async (t) => {
    const readValue = (): Promise<never> => Promise.reject(new Error('none'))
    const wrong = await refusalOf(createEngine({ device: '/device:TPU:0', threads: 1, readValue }))
    t.equal(wrong.reason, 'device/unknown')
    const { engine } = await started(t)
    await engine.load('g', counter)
    const request = { graph: 'g', feeds: {}, fetches: ['one'], targets: [], container: '' }
    const gone = engine.run({ ...request, variables: [], device: '/device:GPU:3' })
    t.equal((await refusalOf(gone)).reason, 'device/unknown')
  },
)

t.test('a graph that was unloaded is unknown', async (t) => {
  const { engine } = await started(t)
  await engine.load('g', counter)
  await engine.unload('g')
  t.equal((await refusalOf(run(engine, ['one'], [], null))).reason, 'graph/unknown')
})
