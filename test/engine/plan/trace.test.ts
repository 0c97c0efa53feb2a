import t from 'tap'
import {
  bool,
  constant,
  f32,
  func,
  functionDef,
  graphDef,
  i32,
  int,
  node,
  placeholder,
  shape,
  tensor,
  text,
  type,
  types,
  variable,
} from '../graph-def.ts'
import { openTestSession, refusalOf } from '../session.ts'

const T = { T: type('float32') }

t.test('a variable is read as it is when the reader runs', async (t) => {
  const session = await openTestSession(
    graphDef([
      variable('v', 'float32', []),
      constant('one', f32([], [1])),
      constant('ten', f32([], [10])),
      node('init', 'Assign', ['v', 'one'], T),
      node('before', 'AddV2', ['v', 'ten'], T),
      node('more', 'AssignAdd', ['v', 'ten', '^before'], T),
      node('after', 'AddV2', ['v', 'ten', '^more'], T),
    ]),
  )
  t.teardown(() => session.close())
  await session.run([], {}, ['init'])
  t.same(await session.values(['before', 'after']), [[11], [21]])
  t.same(await session.values(['v']), [[11]])
})

t.test('a thousand runs of a read and a write in one graph count to a thousand', async (t) => {
  const session = await openTestSession(
    graphDef([
      variable('v', 'float32', []),
      constant('one', f32([], [1])),
      constant('zero', f32([], [0])),
      node('init', 'Assign', ['v', 'zero'], T),
      node('more', 'AssignAdd', ['v', 'one'], T),
      node('now', 'Identity', ['v', '^more'], T),
    ]),
  )
  t.teardown(() => session.close())
  await session.run([], {}, ['init'])
  let last: unknown
  for (let one = 0; one < 1000; one++) [last] = await session.values(['now'])
  t.same(last, [1000])
})

t.test('reading an uninitialized variable is refused in TensorFlow’s words', async (t) => {
  const session = await openTestSession(
    graphDef([
      variable('v', 'float32', []),
      node('read', 'Neg', ['v'], T),
      node('handle', 'VarHandleOp', [], {
        dtype: type('float32'),
        shape: shape([]),
        shared_name: text('w'),
      }),
      node('value', 'ReadVariableOp', ['handle'], { dtype: type('float32') }),
      node('is', 'IsVariableInitialized', ['v'], { dtype: type('float32') }),
    ]),
  )
  t.teardown(() => session.close())
  const byReference = await refusalOf(session.run(['read']))
  t.equal(byReference.code, 'FAILED_PRECONDITION')
  t.equal(byReference.names.variable, 'v')
  t.match(byReference.message, 'Attempting to use uninitialized value v')
  const byHandle = await refusalOf(session.run(['value']))
  t.equal(byHandle.code, 'FAILED_PRECONDITION')
  t.match(byHandle.message, 'Error while reading resource variable w')
  t.same(await session.values(['is']), [[false]])
})

t.test('handles go through calls, and functions that are called by name work', async (t) => {
  const add = functionDef(
    'add_to',
    { handle: 'resource', x: 'float32' },
    { now: ['float32', 'read:value:0'] },
    [
      node('add', 'AssignAddVariableOp', ['handle', 'x'], { dtype: type('float32') }),
      node('read', 'ReadVariableOp', ['handle', '^add'], { dtype: type('float32') }),
    ],
  )
  const session = await openTestSession(
    graphDef(
      [
        node('v', 'VarHandleOp', [], { dtype: type('float32'), shape: shape([]) }),
        constant('two', f32([], [2])),
        node('init', 'AssignVariableOp', ['v', 'two'], { dtype: type('float32') }),
        node('call', 'StatefulPartitionedCall', ['v', 'two'], {
          f: func('add_to'),
          Tin: types('resource', 'float32'),
          Tout: types('float32'),
        }),
        node('direct', 'add_to', ['v', 'two', '^call']),
      ],
      [add],
    ),
  )
  t.teardown(() => session.close())
  await session.run([], {}, ['init'])
  t.same(await session.values(['call', 'direct']), [[4], [6]])
  const effects = await session.engine.effects({
    graph: 'g',
    fetches: ['call'],
    targets: [],
    feeds: [],
    container: 'c',
  })
  t.same(effects.writes, [{ container: 'c', name: 'v' }])
  t.same(effects.reads, [{ container: 'c', name: 'v' }])
})

t.test('a shape that is fed cuts the plan, and each shape seen has its own way on', async (t) => {
  const session = await openTestSession(
    graphDef([
      placeholder('x', 'float32'),
      placeholder('wanted', 'int32'),
      node('y', 'Reshape', ['x', 'wanted'], { ...T, Tshape: type('int32') }),
      node('z', 'Neg', ['y'], T),
    ]),
  )
  t.teardown(() => session.close())
  const x = f32([4], [1, 2, 3, 4])
  const shapeOf = async (wanted: readonly number[]): Promise<readonly number[]> =>
    (await session.run(['z'], { x, wanted: i32([wanted.length], wanted) })).fetches[0].shape
  t.same(await shapeOf([2, 2]), [2, 2])
  t.same(await shapeOf([4, -1]), [4, 1])
  const { report } = await session.run(['z'], { x, wanted: i32([2], [2, 2]) })
  t.equal(report?.planned, false, 'a shape seen before is planned already')
  const refused = await refusalOf(session.run(['z'], { x, wanted: i32([1], [3]) }))
  t.equal(refused.code, 'INVALID_ARGUMENT')
  t.equal(refused.names.node, 'y')
})

t.test('a branch is taken by what a run computes', async (t) => {
  const branch = (name: string, op: string) =>
    functionDef(name, { x: 'float32' }, { y: ['float32', 'n:y:0'] }, [node('n', op, ['x'], T)])
  const session = await openTestSession(
    graphDef(
      [
        placeholder('x', 'float32'),
        constant('zero', f32([], [0])),
        node('positive', 'Greater', ['x', 'zero'], T),
        node('y', 'If', ['positive', 'x'], {
          Tcond: type('bool'),
          Tin: types('float32'),
          Tout: types('float32'),
          then_branch: func('root'),
          else_branch: func('turn'),
        }),
      ],
      [branch('root', 'Sqrt'), branch('turn', 'Neg')],
    ),
  )
  t.teardown(() => session.close())
  t.same(await session.values(['y'], { x: f32([], [9]) }), [[3]])
  t.same(await session.values(['y'], { x: f32([], [-9]) }), [[9]])
})

t.test('a loop runs as often as its values say, and known loops are unrolled', async (t) => {
  const condition = functionDef(
    'below',
    { i: 'int32', limit: 'int32', x: 'float32' },
    { more: ['bool', 'less:z:0'] },
    [node('less', 'Less', ['i', 'limit'], { T: type('int32') })],
  )
  const body = functionDef(
    'double',
    { i: 'int32', limit: 'int32', x: 'float32' },
    { i: ['int32', 'next:z:0'], limit: ['int32', 'limit'], x: ['float32', 'twice:z:0'] },
    [
      constant('one', i32([], [1])),
      node('next', 'AddV2', ['i', 'one:output:0'], { T: type('int32') }),
      node('twice', 'AddV2', ['x', 'x'], T),
    ],
  )
  const session = await openTestSession(
    graphDef(
      [
        constant('start', i32([], [0])),
        constant('ten', i32([], [10])),
        placeholder('limit', 'int32'),
        placeholder('x', 'float32'),
        ...['limit', 'ten'].map((limit) =>
          node(`loop_${limit}`, 'While', ['start', limit, 'x'], {
            T: types('int32', 'int32', 'float32'),
            cond: func('below'),
            body: func('double'),
          }),
        ),
      ],
      [condition, body],
    ),
  )
  t.teardown(() => session.close())
  const x = f32([], [1])
  t.same(await session.values(['loop_ten:2'], { x }), [[1024]])
  for (const limit of [0, 1, 5]) {
    const got = await session.values(['loop_limit:2'], { x, limit: i32([], [limit]) })
    t.same(got, [[2 ** limit]])
  }
})

t.test('what is behind a branch not taken cannot be fetched', async (t) => {
  const session = await openTestSession(
    graphDef([
      placeholder('p', 'bool'),
      placeholder('x', 'float32'),
      node('switch', 'Switch', ['x', 'p'], T),
      node('no', 'Neg', ['switch:0'], T),
      node('yes', 'Abs', ['switch:1'], T),
      node('y', 'Merge', ['no', 'yes'], { ...T, N: int(2) }),
    ]),
  )
  t.teardown(() => session.close())
  const feeds = { x: f32([], [-2]), p: tensor('bool', [], [true]) }
  t.same(await session.values(['y', 'y:1'], feeds), [[2], [1]])
  const { reason } = await refusalOf(session.run(['no'], feeds))
  t.equal(reason, 'run/dead-fetch')
})

t.test('an unknown op is refused with its node, only if it is needed', async (t) => {
  const session = await openTestSession(
    graphDef([
      node('strange', 'NoSuchOp'),
      node('writer', 'WriteFile', ['name', 'name']),
      constant('name', f32([], [0])),
      constant('fine', f32([], [7])),
      node('uses', 'Neg', ['strange'], T),
    ]),
  )
  t.teardown(() => session.close())
  t.same(await session.values(['fine']), [[7]])
  const unknown = await refusalOf(session.run(['uses']))
  t.equal(unknown.code, 'UNIMPLEMENTED')
  t.equal(unknown.reason, 'op/unknown')
  t.same(unknown.names, { op: 'NoSuchOp', node: 'strange' })
  const host = await refusalOf(session.run([], {}, ['writer']))
  t.equal(host.code, 'PERMISSION_DENIED')
  t.equal(host.reason, 'op/not-allowed')
})

t.test('a failing check names its element and leaves no trace', async (t) => {
  const session = await openTestSession(
    graphDef([
      variable('v', 'float32', []),
      constant('one', f32([], [1])),
      constant('axis', i32([], [0])),
      placeholder('x', 'float32'),
      placeholder('at', 'int32'),
      node('init', 'Assign', ['v', 'one'], T),
      node('more', 'AssignAdd', ['v', 'one'], T),
      node('pick', 'GatherV2', ['x', 'at', 'axis'], {
        Tparams: type('float32'),
        Tindices: type('int32'),
        Taxis: type('int32'),
      }),
    ]),
  )
  t.teardown(() => session.close())
  await session.run([], {}, ['init'])
  const feeds = { x: f32([5], [0, 1, 2, 3, 4]), at: i32([1, 2], [3, 7]) }
  const { code, message, names } = await refusalOf(session.run(['pick'], feeds, ['more']))
  t.equal(code, 'INVALID_ARGUMENT')
  t.match(message, 'indices[0,1] = 7 is not in [0, 5)')
  t.equal(names.node, 'pick')
  t.same(await session.values(['v']), [[1]], 'the assignment of the failed run does not count')
  t.same(await session.values(['pick'], { ...feeds, at: i32([2], [4, 0]) }), [[4, 0]])
})

t.test('a function that calls itself is refused', async (t) => {
  const again = functionDef('f', { x: 'float32' }, { y: ['float32', 'c:output:0'] }, [
    node('c', 'PartitionedCall', ['x'], {
      f: func('f'),
      Tin: types('float32'),
      Tout: types('float32'),
    }),
  ])
  const session = await openTestSession(
    graphDef([placeholder('x', 'float32'), node('y', 'f', ['x'])], [again]),
  )
  t.teardown(() => session.close())
  const { reason } = await refusalOf(session.run(['y'], { x: f32([], [1]) }))
  t.equal(reason, 'graph/recursion')
})

t.test('a loop that never ends is refused, not followed for ever', async (t) => {
  const always = functionDef('always', { x: 'float32' }, { more: ['bool', 'yes:output:0'] }, [
    constant('yes', tensor('bool', [], [true])),
  ])
  const same = functionDef('same', { x: 'float32' }, { x: ['float32', 'x'] }, [])
  const session = await openTestSession(
    graphDef(
      [
        placeholder('x', 'float32'),
        node('y', 'While', ['x'], {
          T: types('float32'),
          cond: func('always'),
          body: func('same'),
        }),
      ],
      [always, same],
    ),
  )
  t.teardown(() => session.close())
  const { code } = await refusalOf(session.run(['y'], { x: f32([], [1]) }))
  t.equal(code, 'RESOURCE_EXHAUSTED')
})

t.test('feeds are checked by name, type and shape', async (t) => {
  const session = await openTestSession(
    graphDef([placeholder('x', 'float32', [-1, 2]), node('y', 'Neg', ['x'], T)]),
  )
  t.teardown(() => session.close())
  const reasonOf = async (feeds: Parameters<typeof session.run>[1]): Promise<string> =>
    (await refusalOf(session.run(['y'], feeds))).reason
  t.equal(await reasonOf({}), 'run/not-fed')
  t.equal(await reasonOf({ gone: f32([], [1]) }), 'run/unknown-tensor')
  t.equal(await reasonOf({ 'x:3': f32([], [1]) }), 'run/unknown-tensor')
  t.equal(await reasonOf({ x: i32([1, 2], [1, 2]) }), 'run/feed-dtype')
  t.equal(await reasonOf({ x: f32([3], [1, 2, 3]) }), 'run/feed-shape')
  t.equal(await reasonOf({ x: f32([1, 2], [1, 2]), 'x:0': f32([1, 2], [1, 2]) }), 'run/fed-twice')
  t.equal((await refusalOf(session.run(['gone']))).reason, 'run/unknown-tensor')
  t.equal((await refusalOf(session.run([], {}, ['gone']))).reason, 'run/unknown-operation')
})

t.test('any tensor may be fed, and one may be fetched twice', async (t) => {
  const session = await openTestSession(
    graphDef([placeholder('x', 'float32'), node('y', 'Neg', ['x'], T), node('z', 'Neg', ['y'], T)]),
  )
  t.teardown(() => session.close())
  t.same(await session.values(['z', 'z', 'y'], { y: f32([2], [1, 2]) }), [
    [-1, -2],
    [-1, -2],
    [1, 2],
  ])
})

t.test('tensors without elements go through', async (t) => {
  const session = await openTestSession(
    graphDef([
      placeholder('x', 'float32'),
      constant('axis', i32([1], [0])),
      node('y', 'Exp', ['x'], T),
      node('sum', 'Sum', ['y', 'axis'], { ...T, Tidx: type('int32'), keep_dims: bool(true) }),
    ]),
  )
  t.teardown(() => session.close())
  const { fetches } = await session.run(['y', 'sum'], { x: f32([0, 3], []) })
  t.same(fetches[0].shape, [0, 3])
  t.same(fetches[1].shape, [1, 3])
  t.same(await session.values(['sum'], { x: f32([0, 3], []) }), [[0, 0, 0]])
})

t.test(
  'a type that the preferred device lacks runs on the CPU, and the report says so',
  async (t) => {
    const { referenceDevice } = await import('../../../engine/device/reference/index.ts')
    const gpu = referenceDevice({ types: ['float32', 'int32', 'bool'] })
    const devices = [{ ...gpu, facts: { ...gpu.facts, name: '/device:GPU:0' } }, referenceDevice()]
    const session = await openTestSession(
      graphDef([
        placeholder('x', 'float32'),
        node('wide', 'Cast', ['x'], { SrcT: type('float32'), DstT: type('int64') }),
        node('twice', 'AddV2', ['wide', 'wide'], { T: type('int64') }),
        node('back', 'Cast', ['twice'], { SrcT: type('int64'), DstT: type('float32') }),
        node('y', 'Neg', ['back'], T),
      ]),
      { devices },
    )
    t.teardown(() => session.close())
    const { fetches, report } = await session.run(['y', 'twice'], { x: f32([2], [1, 2]) })
    t.same(fetches[0].shape, [2])
    t.same(await session.values(['y', 'twice'], { x: f32([2], [1, 2]) }), [
      [-2, -4],
      [2n, 4n],
    ])
    t.ok(report?.softPlaced.some(({ device }) => device === '/device:CPU:0'))
    t.match(report?.softPlaced[0].reason, 'int64')
  },
)
