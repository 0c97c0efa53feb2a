import t, { type Test } from 'tap'
import { elementsOf, type Tensor } from '../../../tensor/index.ts'
import {
  bool,
  constant,
  f32,
  graphDef,
  i32,
  int,
  ints,
  type Node,
  node,
  placeholder,
  text,
  type,
  variable,
} from '../graph-def.ts'
import { openTestSession } from '../session.ts'

const T = { T: type('float32') }

/** Kernels of a run, and its values with and without fusion, which must be the same. */
async function bothWays(
  t: Test,
  nodes: readonly Node[],
  fetches: readonly string[],
  feeds: Readonly<Record<string, Tensor>> = {},
): Promise<{ readonly kernels: number; readonly values: unknown[] }> {
  const fused = await openTestSession(graphDef(nodes))
  const plain = await openTestSession(graphDef(nodes), { fuse: false })
  t.teardown(() => Promise.all([fused.close(), plain.close()]))
  const reply = await fused.run(fetches, feeds)
  const values = reply.fetches.map((one) => (one.dtype === 'string' ? [] : elementsOf(one)))
  t.same(values, await plain.values(fetches, feeds), 'fusion changes no bit')
  return { kernels: reply.report?.kernels ?? -1, values }
}

t.test('a chain of elementwise ops is one kernel', async (t) => {
  const { kernels, values } = await bothWays(
    t,
    [
      placeholder('x', 'float32'),
      constant('two', f32([], [2])),
      node('double', 'Mul', ['x', 'two'], T),
      node('plus', 'AddV2', ['double', 'x'], T),
      node('root', 'Square', ['plus'], T),
    ],
    ['root'],
    { x: f32([3], [1, 2, 3]) },
  )
  t.equal(kernels, 1)
  t.same(values, [[9, 36, 81]])
})

t.test('a value used twice at the same place is still computed in the one kernel', async (t) => {
  const nodes = [placeholder('v0', 'float32')]
  for (let one = 0; one < 20; one++) {
    nodes.push(node(`l${one}`, 'Neg', [`v${one}`], T))
    nodes.push(node(`r${one}`, 'Abs', [`v${one}`], T))
    nodes.push(node(`v${one + 1}`, 'AddV2', [`l${one}`, `r${one}`], T))
  }
  const { kernels, values } = await bothWays(t, nodes, ['v20'], { v0: f32([2], [1, -1]) })
  t.equal(kernels, 1)
  t.same(values, [[0, 0]])
})

t.test('a matrix product takes bias and activation along', async (t) => {
  const { kernels, values } = await bothWays(
    t,
    [
      placeholder('x', 'float32'),
      constant('w', f32([2, 2], [1, 2, 3, 4])),
      constant('b', f32([2], [-20, 1])),
      node('product', 'MatMul', ['x', 'w'], T),
      node('biased', 'BiasAdd', ['product', 'b'], T),
      node('y', 'Relu', ['biased'], T),
    ],
    ['y'],
    { x: f32([2, 2], [1, 1, 2, 5]) },
  )
  t.equal(kernels, 1)
  t.same(values, [[0, 7, 0, 25]])
})

t.test('so does a convolution, through a reshape', async (t) => {
  const { kernels, values } = await bothWays(
    t,
    [
      placeholder('x', 'float32'),
      constant('w', f32([1, 1, 1, 2], [1, -1])),
      constant('flat', i32([2], [4, 2])),
      node('conv', 'Conv2D', ['x', 'w'], {
        ...T,
        strides: ints(1, 1, 1, 1),
        padding: text('VALID'),
      }),
      node('rows', 'Reshape', ['conv', 'flat'], { ...T, Tshape: type('int32') }),
      node('y', 'Relu', ['rows'], T),
    ],
    ['y'],
    { x: f32([1, 2, 2, 1], [1, 2, -3, 4]) },
  )
  t.equal(kernels, 1)
  t.same(values, [[1, 0, 2, 0, 0, 3, 4, 0]])
})

t.test('moving elements costs no kernel of its own', async (t) => {
  const { kernels, values } = await bothWays(
    t,
    [
      placeholder('x', 'float32'),
      constant('perm', i32([2], [1, 0])),
      constant('pads', i32([2, 2], [0, 0, 1, 0])),
      node('turned', 'Transpose', ['x', 'perm'], { ...T, Tperm: type('int32') }),
      node('padded', 'Pad', ['turned', 'pads'], { ...T, Tpaddings: type('int32') }),
      node('y', 'Exp', ['padded'], T),
    ],
    ['y'],
    { x: f32([2, 2], [0, 0, 0, 0]) },
  )
  t.equal(kernels, 1)
  t.same(values, [[1, 1, 1, 1, 1, 1]], 'padding is 0 before the exponential, not after')
})

t.test('softmax is at most three kernels', async (t) => {
  const { kernels } = await bothWays(
    t,
    [placeholder('x', 'float32'), node('y', 'Softmax', ['x'], T)],
    ['y'],
    { x: f32([2, 3], [1, 2, 3, 1, 1, 1]) },
  )
  t.ok(kernels <= 3)
})

t.test('an expensive value that many rows need is computed once', async (t) => {
  const { kernels } = await bothWays(
    t,
    [
      placeholder('x', 'float32'),
      placeholder('w', 'float32'),
      node('e', 'Exp', ['w'], T),
      node('y', 'MatMul', ['x', 'e'], T),
    ],
    ['y'],
    { x: f32([3, 2], [1, 2, 3, 4, 5, 6]), w: f32([2, 2], [0, 1, 2, 3]) },
  )
  t.equal(kernels, 2)
})

t.test('a sum of forty arrays keeps each kernel within what a device binds', async (t) => {
  const names = Array.from({ length: 40 }, (_, place) => `x${place}`)
  const nodes = [
    ...names.map((name) => placeholder(name, 'float32')),
    node('sum', 'AddN', names, { ...T, N: int(40) }),
    constant('axis', i32([], [0])),
    node('all', 'ConcatV2', [...names, 'axis'], { ...T, N: int(40), Tidx: type('int32') }),
  ]
  const feeds = Object.fromEntries(names.map((name, place) => [name, f32([1], [place])]))
  const { referenceDevice } = await import('../../../engine/device/reference/index.ts')
  const device = referenceDevice()
  const narrow = { ...device, facts: { ...device.facts, maxBuffersPerKernel: 8 } }
  const session = await openTestSession(graphDef(nodes), { devices: [narrow] })
  t.teardown(() => session.close())
  t.same(await session.values(['sum', 'all'], feeds), [[780], names.map((_, place) => place)])
})

t.test('a second run compiles nothing and makes no new buffer', async (t) => {
  const session = await openTestSession(
    graphDef([
      placeholder('x', 'float32'),
      variable('w', 'float32', [2, 2]),
      constant('start', f32([2, 2], [1, 2, 3, 4])),
      node('init', 'Assign', ['w', 'start'], T),
      node('product', 'MatMul', ['x', 'w'], { ...T, transpose_b: bool(true) }),
      node('y', 'Softmax', ['product'], T),
    ]),
  )
  t.teardown(() => session.close())
  await session.run([], {}, ['init'])
  await session.run(['y'], { x: f32([1, 2], [1, 1]) })
  const before = { ...session.asked }
  const { report } = await session.run(['y'], { x: f32([1, 2], [3, 1]) })
  t.equal(session.asked.compiled, before.compiled)
  t.equal(session.asked.allocated, before.allocated)
  t.equal(report?.planned, false)
  await session.run(['y'], { x: f32([3, 2], [3, 1, 0, 0, 1, 1]) })
  t.ok(session.asked.compiled > before.compiled, 'another shape is another plan')
})

t.test('assigning again and again takes turns with two buffers', async (t) => {
  const session = await openTestSession(
    graphDef([
      variable('v', 'float32', [3]),
      constant('one', f32([3], [1, 1, 1])),
      node('init', 'Assign', ['v', 'one'], T),
      node('more', 'AssignAdd', ['v', 'one'], T),
    ]),
  )
  t.teardown(() => session.close())
  await session.run([], {}, ['init'])
  await session.run([], {}, ['more'])
  await session.run([], {}, ['more'])
  const { allocated } = session.asked
  for (let one = 0; one < 5; one++) await session.run([], {}, ['more'])
  t.equal(session.asked.allocated, allocated)
  t.same(await session.values(['v']), [[8, 8, 8]])
})

t.test('constants are folded while planning', async (t) => {
  const { kernels, values } = await bothWays(
    t,
    [
      placeholder('x', 'float32'),
      constant('zero', i32([], [0])),
      node('shape', 'Shape', ['x'], { ...T, out_type: type('int32') }),
      node('rows', 'GatherV2', ['shape', 'zero', 'zero'], {
        Tparams: type('int32'),
        Tindices: type('int32'),
        Taxis: type('int32'),
      }),
      node('twice', 'AddV2', ['rows', 'rows'], { T: type('int32') }),
    ],
    ['twice'],
    { x: f32([3, 2], [0, 0, 0, 0, 0, 0]) },
  )
  t.equal(kernels, 0)
  t.same(values, [[6]])
})

t.test('an update of a variable and its slot is one kernel', async (t) => {
  const session = await openTestSession(
    graphDef([
      variable('v', 'float32', [3]),
      variable('slot', 'float32', [3]),
      placeholder('gradient', 'float32'),
      constant('half', f32([], [0.5])),
      constant('start', f32([3], [1, 2, 3])),
      node('init_v', 'Assign', ['v', 'start'], T),
      node('init_slot', 'Assign', ['slot', 'start'], T),
      node('decayed', 'Mul', ['slot', 'half'], T),
      node('momentum', 'AddV2', ['decayed', 'gradient'], T),
      node('keep', 'Assign', ['slot', 'momentum'], T),
      node('step', 'Mul', ['momentum', 'half', '^keep'], T),
      node('update', 'AssignSub', ['v', 'step'], T),
    ]),
  )
  t.teardown(() => session.close())
  await session.run([], {}, ['init_v', 'init_slot'])
  const { report } = await session.run([], { gradient: f32([3], [0, 1, 2]) }, ['update'])
  t.equal(report?.kernels, 1)
  t.same(await session.values(['v', 'slot']), [
    [0.75, 1, 1.25],
    [0.5, 2, 3.5],
  ])
})

t.test('kernels that a later one needs at other places are not joined with it', async (t) => {
  const { values } = await bothWays(
    t,
    [
      placeholder('x', 'float32'),
      constant('axis', i32([1], [0])),
      node('a', 'Exp', ['x'], T),
      node('turned', 'ReverseV2', ['a', 'axis'], { ...T, Tidx: type('int32') }),
      node('b', 'Log', ['turned'], T),
    ],
    ['a', 'b'],
    { x: f32([2], [0, 1]) },
  )
  t.equal((values[1] as number[])[1], 0)
  t.ok(Math.abs((values[1] as number[])[0] - 1) < 1e-6)
})
