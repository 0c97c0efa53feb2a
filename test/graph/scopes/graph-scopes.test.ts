import t from 'tap'
import {
  GraphScopes,
  type GraphVariable,
  type PartitionedGraphVariable,
  type ScopeObject,
} from '../../../graph/index.ts'

type Got = GraphVariable<string> | PartitionedGraphVariable<string>

function whole(got: Got): GraphVariable<string> {
  if (got.kind !== 'variable') throw new Error(`${got.name} is partitioned`)
  return got
}

const get = (graph: GraphScopes<string>, name: string): GraphVariable<string> =>
  whole(graph.getVariable({ name, shape: [1] }))
const make = (graph: GraphScopes<string>, name?: string): GraphVariable<string> =>
  graph.variable({ name, shape: [], dtype: 'float32', initializer: '1' })

t.test('the operations of a resource variable have the names that TensorFlow gives', async (t) => {
  t.match(get(new GraphScopes<string>(), 'v'), {
    operation: 'v',
    operationType: 'VarHandleOp',
    initializerScope: 'v/Initializer/',
    assignOperation: 'v/Assign',
    readOperation: 'v/Read/ReadVariableOp',
    isInitializedOperation: 'v/IsInitialized/VarIsInitializedOp',
  })
})

t.test('the operations of a reference variable have the names that TensorFlow gives', async (t) => {
  const graph = new GraphScopes<string>(false)
  t.match(get(graph, 'v'), {
    operation: 'v',
    operationType: 'VariableV2',
    initializerScope: 'v/Initializer/',
    assignOperation: 'v/Assign',
    readOperation: 'v/read',
    isInitializedOperation: undefined,
  })
  t.equal(make(graph, 'w').initializerScope, 'w/')
  t.throws(
    () =>
      graph.variableScope('', { reuse: true }, () =>
        graph.getVariable({ name: 'v', dtype: 'int32' }),
      ),
    {
      message: 'Trying to share variable v, but specified dtype int32 and found dtype float32_ref.',
    },
  )
})

t.test('a variable of get_variable may be called otherwise than its operation', async (t) => {
  const graph = new GraphScopes<string>()
  graph.operation('NoOp', 'V')
  const made = get(graph, 'v')
  t.equal(made.operation, 'v_1')
  graph.variableScope('', { reuse: true }, () => t.equal(get(graph, 'v'), made))
})

t.test('operations inside the name scope of a variable step aside', async (t) => {
  const graph = new GraphScopes<string>()
  get(graph, 'v')
  graph.nameScope('v/', () => t.equal(graph.operation('Identity', 'Read').operation, 'v/Read_1'))
  t.equal(get(graph, 'v/Assign').operation, 'v/Assign_1')
})

t.test('a scope opened again has a new name scope and the same variables', async (t) => {
  const graph = new GraphScopes<string>()
  const open = (): readonly string[] =>
    graph.variableScope('a', { reuse: 'auto' }, (scope) => [
      get(graph, 'v').operation,
      make(graph, 'u').operation,
      scope.scope.originalNameScope,
    ])
  t.same(open(), ['a/v', 'a/u', 'a/'])
  t.same(open(), ['a/v', 'a_1/u', 'a_1/'])
})

t.test('a scope object is entered from anywhere and keeps its first name scope', async (t) => {
  const graph = new GraphScopes<string>()
  const kept = graph.variableScope('a', {}, () => graph.variableScope('b', {}, (scope) => scope))
  graph.variableScope('z', {}, () => {
    graph.variableScope(kept, { dtype: 'int32' }, (scope) => {
      t.equal(scope.scope.originalNameScope, 'a/b/')
      t.equal(graph.currentNameScope, 'z/b')
      t.match(get(graph, 'v'), { operation: 'a/b/v', dtype: 'int32' })
    })
  })
  t.equal(kept.scope.dtype, 'float32', 'what it was entered with is not its own')
})

t.test('without auxiliary name scope one stays in the present one', async (t) => {
  const graph = new GraphScopes<string>()
  graph.nameScope('n', () => {
    graph.variableScope('a', { auxiliaryNameScope: false }, (scope) => {
      t.equal(graph.currentNameScope, 'n')
      t.equal(scope.scope.originalNameScope, 'n/')
      t.equal(get(graph, 'v').operation, 'a/v')
    })
  })
})

t.test(
  'reuse_variables holds from then on, inside, and on entering the object again',
  async (t) => {
    const graph = new GraphScopes<string>()
    const kept = graph.variableScope('a', {}, (scope) => {
      const made = get(graph, 'v')
      scope.reuseVariables()
      t.equal(get(graph, 'v'), made)
      graph.variableScope('b', {}, () => {
        t.throws(() => get(graph, 'v'), { code: 'NOT_FOUND', reason: 'variable/does-not-exist' })
      })
      return scope
    })
    graph.variableScope(kept, {}, () => t.throws(() => get(graph, 'w'), { code: 'NOT_FOUND' }))
    graph.variableScope('a', {}, () => t.throws(() => get(graph, 'v'), { code: 'ALREADY_EXISTS' }))
    graph.currentScope.reuseVariables()
    t.throws(() => get(graph, 'new'), { code: 'NOT_FOUND', reason: 'variable/does-not-exist' })
  },
)

t.test(
  'default names are counted below their scope, and from 0 when it is opened by name again',
  async (t) => {
    const graph = new GraphScopes<string>()
    const layer = (): string =>
      graph.variableScope(null, { defaultName: 'layer' }, ({ scope }) => scope.name)
    t.same([layer(), layer(), layer()], ['layer', 'layer_1', 'layer_2'])
    const inside = (): readonly string[] => graph.variableScope('m', {}, () => [layer(), layer()])
    t.same(inside(), ['m/layer', 'm/layer_1'])
    t.same(inside(), ['m/layer', 'm/layer_1'])
    graph.variableScope('layer_3', {}, () => {})
    t.equal(layer(), 'layer_4', 'names of scopes that were opened are passed over')
  },
)

t.test('entering an object leaves the counts of default names as they were', async (t) => {
  const graph = new GraphScopes<string>()
  const layer = (): string =>
    graph.variableScope(null, { defaultName: 'layer' }, ({ scope }) => scope.name)
  let kept: ScopeObject<string> | undefined
  graph.variableScope('m', {}, (scope) => {
    kept = scope
    layer()
    graph.variableScope(scope, {}, () => t.equal(layer(), 'm/layer_1'))
    t.equal(layer(), 'm/layer_1', 'again')
  })
  if (kept !== undefined) graph.variableScope(kept, {}, () => t.equal(layer(), 'm/layer'))
})

t.test('a default name is needed where there is none, and goes without reuse', async (t) => {
  const graph = new GraphScopes<string>()
  const open = (given: object) => () => graph.variableScope(null, given, () => {})
  t.throws(open({}), {
    reason: 'scope/name-required',
    message: 'If default_name is None then name_or_scope is required',
  })
  for (const reuse of [true, 'auto']) {
    t.throws(open({ defaultName: 'layer', reuse }), {
      message: 'reuse=True cannot be used without a name_or_scope',
    })
  }
  t.doesNotThrow(open({ defaultName: 'layer', reuse: false }))
})

t.test('tf.Variable takes its name from the name scope and is never shared', async (t) => {
  const graph = new GraphScopes<string>()
  graph.variableScope('a', { reuse: true }, () => {
    t.equal(make(graph).operation, 'a/Variable')
    t.equal(make(graph).operation, 'a/Variable_1')
  })
  t.throws(() => make(graph, 'a b'), { code: 'INVALID_ARGUMENT', reason: 'name/invalid' })
  graph.nameScope('n', () => {
    t.throws(() => make(graph, 'a b'), { message: /^'a b' is not a valid scope name/ })
  })
})

t.test('a scope is left when its body throws', async (t) => {
  const graph = new GraphScopes<string>()
  const stop = (): never => {
    throw new Error('stop')
  }
  t.throws(() => graph.variableScope('a', { dtype: 'int8' }, () => graph.device('/gpu:0', stop)))
  t.equal(graph.currentNameScope, '')
  t.match(get(graph, 'v'), { operation: 'v', dtype: 'float32', device: '' })
})

t.test(
  'the device of a scope is that of its variables only, inside any device scope',
  async (t) => {
    const graph = new GraphScopes<string>()
    graph.device('/job:ps/cpu:0', () => {
      graph.variableScope('a', { device: '/gpu:1' }, () => {
        t.equal(get(graph, 'v').device, '/job:ps/device:GPU:1')
        t.equal(graph.operation('NoOp', 'o').device, '/job:ps/device:CPU:0')
      })
    })
    t.throws(() => graph.device('/what:0', () => {}), {
      code: 'INVALID_ARGUMENT',
      reason: 'device/invalid',
    })
  },
)

t.test(
  'collections hold variables, parts and operations in order, and are filtered by scope',
  async (t) => {
    const graph = new GraphScopes<string>()
    const first = get(graph, 'ab')
    const parts = graph.variableScope('a', {}, () =>
      graph.getVariable({ name: 'v', shape: [3], partitions: 2, trainable: false }),
    )
    const operation = graph.operation('NoOp', 'a/o')
    graph.collections.add('variables', operation)
    graph.collections.add('variables', { kind: 'value', value: 'a' })
    if (parts.kind !== 'partitioned') throw new Error('not partitioned')
    const [left, right] = parts.parts
    t.same(graph.collections.get('trainable_variables'), [first])
    t.same(graph.collections.get('variables', 'a/'), [left, right, operation])
    t.equal(graph.collections.get('variables').length, 5)
  },
)

t.test('a refused partitioned variable leaves nothing behind', async (t) => {
  const graph = new GraphScopes<string>()
  get(graph, 'v/part_1')
  t.throws(() => graph.getVariable({ name: 'v', shape: [4], partitions: 2 }), {
    code: 'ALREADY_EXISTS',
  })
  t.same(graph.collections.get('variables').length, 1)
  t.equal(get(graph, 'v/part_0').operation, 'v/part_0')
})
