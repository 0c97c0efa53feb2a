import t from 'tap'
import {
  defaultInitializer,
  type ExistingPartitioned,
  type ExistingVariable,
  type GetVariable,
  type Initializer,
  localVariable,
  namesLookedUp,
  openScope,
  type Resolution,
  type Reuse,
  resolveGetVariable,
  rootScope,
  type ScopeArguments,
  scopeAt,
  scopePaths,
  type VariableScope,
} from '../../../graph/index.ts'

type Request = GetVariable<string>

const zeros: Initializer<string> = { form: 'function', initializer: 'zeros' }
const pair: Initializer<string> = {
  form: 'constant',
  initializer: '[23, 42]',
  dtype: 'int32',
  shape: [2],
}

/** Resolves against what is there, and holds it to its word about what it looks up. */
function resolve(
  request: Request,
  scope: VariableScope<string> = rootScope(),
  variables: Readonly<Record<string, ExistingVariable>> = {},
  partitioned: Readonly<Record<string, ExistingPartitioned>> = {},
): Resolution<string> {
  const names = namesLookedUp(request, scope)
  const lookIn =
    <V>(record: Readonly<Record<string, V>>) =>
    (name: string): V | undefined => {
      if (!names.includes(name)) throw new Error(`${name} is looked up without notice`)
      return record[name]
    }
  return resolveGetVariable(request, scope, {
    variable: lookIn(variables),
    partitioned: lookIn(partitioned),
  })
}

function created(request: Request, scope?: VariableScope<string>) {
  const resolution = resolve(request, scope)
  if (resolution.action !== 'create') throw new Error(resolution.action)
  return resolution.variable
}

const under = (given: ScopeArguments<string>): VariableScope<string> =>
  openScope(rootScope<string>(), 'a', 'a/', given)
const float: ExistingVariable = { dtype: 'float32', shape: [2, 3] }

t.test('a variable is float32, trainable and global, with the default of its type', async (t) => {
  t.same(created({ name: 'v', shape: [2, 3] }), {
    name: 'v',
    dtype: 'float32',
    shape: [2, 3],
    initializer: { form: 'default', kind: 'glorot_uniform' },
    trainable: true,
    collections: ['variables', 'trainable_variables'],
    device: '',
    useResource: undefined,
  })
})

t.test('floats begin with glorot_uniform, numbers, booleans and strings with zeros', async (t) => {
  t.equal(defaultInitializer('v', 'bfloat16'), 'glorot_uniform')
  for (const dtype of ['int8', 'uint64', 'bool', 'string'] as const) {
    t.equal(defaultInitializer('v', dtype), 'zeros')
  }
  for (const dtype of ['complex64', 'qint8', 'variant'] as const) {
    t.throws(() => defaultInitializer('v', dtype), {
      reason: 'initializer/required',
      message: `An initializer for variable v of <dtype: '${dtype}'> is required`,
    })
  }
})

t.test('what a request leaves open comes from the scope', async (t) => {
  const scope = under({
    initializer: zeros,
    dtype: 'float64',
    useResource: false,
    device: '/job:ps/gpu:1',
  })
  const variable = created({ name: 'v', shape: [1], device: '/cpu' }, scope)
  t.match(variable, {
    name: 'a/v',
    dtype: 'float64',
    initializer: zeros,
    useResource: false,
    device: '/job:ps/device:CPU:1',
  })
  const other = { form: 'function' as const, initializer: 'ones' }
  const own = created({ name: 'v', shape: [1], dtype: 'int64', initializer: other }, scope)
  t.match(own, { dtype: 'int64', initializer: other })
})

t.test('a constant fixes shape and type, also against the type of the scope', async (t) => {
  t.match(created({ name: 'v', initializer: pair }), { dtype: 'int32', shape: [2] })
  const scope = under({ initializer: pair, dtype: 'float64' })
  t.match(created({ name: 'v' }, scope), { dtype: 'int32', shape: [2] })
  t.throws(() => created({ name: 'v', shape: [2] }, scope), {
    reason: 'initializer/constant-with-shape',
    message: 'If initializer is a constant, do not specify shape.',
  })
  t.throws(() => created({ name: 'v', dtype: 'float32', initializer: pair }), {
    reason: 'initializer/dtype-mismatch',
    message:
      "Initializer type '<dtype: 'int32'>' and explicit dtype '<dtype: 'float32'>' don't match.",
  })
})

t.test(
  'without a known shape there is no variable, unless one without initializer is wanted',
  async (t) => {
    t.throws(() => created({ name: 'v' }), {
      reason: 'variable/shape-required',
      message: 'Variable v did not get an initializer, so its `shape` argument must be specified.',
    })
    t.throws(() => created({ name: 'v', shape: [-1, 2] }), {
      code: 'INVALID_ARGUMENT',
      reason: 'initializer/not-valid',
    })
    t.throws(() => created({ name: 'v', initializer: zeros }), {
      code: 'INVALID_ARGUMENT',
      reason: 'initializer/not-valid',
    })
    const open = created({ name: 'v', shape: [-1, 2], withoutInitializer: true })
    t.match(open, { shape: [-1, 2], initializer: { form: 'none' } })
    const known = created({ name: 'v', shape: [1], withoutInitializer: true })
    t.match(known, { initializer: { form: 'default' } })
    t.throws(
      () => created({ name: 'v', shape: [-1], withoutInitializer: true, initializer: zeros }),
      { code: 'INVALID_ARGUMENT', reason: 'initializer/not-valid' },
    )
  },
)

t.test('reuse decides between making and sharing', async (t) => {
  const table: readonly (readonly [Reuse, string, string])[] = [
    [false, 'create', 'ALREADY_EXISTS'],
    [true, 'NOT_FOUND', 'reuse'],
    ['auto', 'create', 'reuse'],
  ]
  for (const [reuse, absent, present] of table) {
    for (const [variables, wanted] of [
      [{}, absent],
      [{ v: float }, present],
    ] as const) {
      let outcome: string
      try {
        outcome = resolve({ name: 'v', shape: [2, 3], reuse }, rootScope(), variables).action
      } catch (error) {
        outcome = (error as { readonly code: string }).code
      }
      t.equal(outcome, wanted, `reuse ${reuse}`)
    }
  }
})

t.test('refusals of reuse are in the words of TensorFlow', async (t) => {
  t.throws(() => resolve({ name: 'v', shape: [2, 3] }, rootScope(), { v: float }), {
    reason: 'variable/already-exists',
    message:
      'Variable v already exists, disallowed. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope?',
    names: { variable: 'v' },
  })
  t.throws(() => resolve({ name: 'v', reuse: true }), {
    reason: 'variable/does-not-exist',
    message:
      'Variable v does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=tf.AUTO_REUSE in VarScope?',
  })
})

t.test('a shared variable must fit in shape, where both are known, and in type', async (t) => {
  const share = (request: Partial<Request>, found: ExistingVariable = float) =>
    resolve({ name: 'v', reuse: true, ...request }, rootScope(), { v: found }).action
  t.equal(share({}), 'reuse')
  t.equal(share({ shape: [-1, 3] }), 'reuse')
  t.equal(share({ shape: [9, 9] }, { dtype: 'float32', shape: undefined }), 'reuse')
  t.equal(share({ shape: [2, 3] }, { dtype: 'float32', shape: [2, -1] }), 'reuse')
  t.throws(() => share({ shape: [2, -1, 3] }), {
    reason: 'variable/shape-mismatch',
    message: 'Trying to share variable v, but specified shape (2, None, 3) and found shape (2, 3).',
  })
  t.throws(() => share({ shape: [] }, { dtype: 'float32', shape: [2] }), {
    message: 'Trying to share variable v, but specified shape () and found shape (2,).',
  })
  t.throws(() => share({}, { dtype: 'int32', shape: [2] }), {
    reason: 'variable/dtype-mismatch',
    message: 'Trying to share variable v, but specified dtype float32 and found dtype int32.',
  })
  t.throws(() => share({ dtype: 'int32' }, { ...float, isReference: true }), {
    message: 'Trying to share variable v, but specified dtype int32 and found dtype float32_ref.',
  })
})

t.test(
  'a name that cannot be is refused where a variable would be made, and only there',
  async (t) => {
    t.throws(() => created({ name: 'a b', shape: [1] }), {
      code: 'INVALID_ARGUMENT',
      reason: 'name/invalid',
    })
    t.throws(() => created({ name: '', shape: [1] }), { message: "'' is not a valid node name" })
    t.throws(() => resolve({ name: 'a b', reuse: true }), {
      code: 'NOT_FOUND',
      reason: 'variable/does-not-exist',
    })
    t.throws(() => created({ name: 'a b', shape: [2], partitions: 2 }), {
      message: /^'a b\/part_0\/PartitionedInitializer' is not a valid root scope name/,
    })
    t.equal(created({ name: '_v', shape: [1] }, under({})).name, 'a/_v')
  },
)

t.test('a partitioned variable is made in parts that know their place', async (t) => {
  const resolution = resolve({ name: 'v', shape: [5, 2], partitions: 2, initializer: zeros })
  t.match(resolution, { action: 'create-partitioned', name: 'v', partitions: [2, 1] })
  if (resolution.action !== 'create-partitioned') return
  t.match(resolution.parts, [
    {
      action: 'create',
      variable: {
        name: 'v/part_0',
        shape: [3, 2],
        initializer: zeros,
        slice: { fullName: 'v', fullShape: [5, 2], offset: [0, 0], shape: [3, 2] },
      },
    },
    { action: 'create', variable: { name: 'v/part_1', slice: { offset: [3, 0], shape: [2, 2] } } },
  ])
})

t.test('a constant is cut along with its variable; a scalar is never cut', async (t) => {
  const cut = resolve({ name: 'v', partitions: 2, initializer: pair })
  t.match(cut, {
    shape: [2],
    dtype: 'int32',
    parts: [{ variable: { shape: [1], dtype: 'int32', initializer: pair } }, {}],
  })
  t.throws(() => resolve({ name: 'v', shape: [3], partitions: 2, initializer: pair }), {
    message: 'Shapes (3,) and (2,) are not compatible',
  })
  t.equal(resolve({ name: 'v', shape: [], partitions: 2 }).action, 'create')
})

t.test('a partitioned variable is shared whole, and has to fit', async (t) => {
  const whole = { dtype: 'float32', shape: [5, 2], partitions: [2, 1] } as const
  const parts = {
    'v/part_0': { dtype: 'float32', shape: [3, 2] },
    'v/part_1': { dtype: 'float32', shape: [2, 2] },
  } as const
  const share = (request: Partial<Request>) =>
    resolve({ name: 'v', shape: [5, 2], ...request }, rootScope(), parts, { v: whole }).action
  t.equal(share({ reuse: true }), 'reuse-partitioned')
  t.equal(share({ reuse: true, shape: undefined }), 'reuse-partitioned')
  t.equal(share({ reuse: 'auto', partitions: 2 }), 'reuse-partitioned')
  const refusals: readonly (readonly [Partial<Request>, string, string])[] = [
    [
      { reuse: 'auto' },
      'variable/partitioned',
      'No partitioner was provided, but a partitioned version of the variable was found: v/part_0. Perhaps a variable of the same name was already created with partitioning?',
    ],
    [
      { partitions: 2 },
      'variable/already-exists',
      'Partitioned variable with name v already exists. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope?',
    ],
    [
      { reuse: true, shape: [6, 2] },
      'variable/shape-mismatch',
      'Trying to reuse partitioned variable v, but specified shape (6, 2) and found shape (5, 2).',
    ],
    [
      { reuse: true, dtype: 'int32' },
      'variable/dtype-mismatch',
      'Trying to reuse partitioned variable v, but specified dtype int32 and found dtype float32.',
    ],
    [
      { reuse: true, partitions: 3 },
      'variable/partitions-mismatch',
      'Trying to reuse partitioned variable v, but specified partitions [3, 1] and found partitions [2, 1].',
    ],
    [
      { reuse: true, partitions: 2, shape: undefined },
      'partition/shape-unknown',
      'Shape of a new partitioned variable must be fully defined, but instead was <unknown>.',
    ],
  ]
  for (const [request, reason, message] of refusals)
    t.throws(() => share(request), { reason, message })
})

t.test('a whole variable is no partitioned one, and parts alone are none either', async (t) => {
  const request = { name: 'v', shape: [4], partitions: 2 }
  const part = { dtype: 'float32', shape: [2] } as const
  t.throws(() => resolve(request, rootScope(), { v: { dtype: 'float32', shape: [4] } }), {
    code: 'INVALID_ARGUMENT',
    reason: 'variable/not-partitioned',
  })
  t.throws(() => resolve({ ...request, reuse: true }), {
    code: 'NOT_FOUND',
    message:
      'PartitionedVariable v does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=False or reuse=tf.AUTO_REUSE in VarScope?',
  })
  t.throws(() => resolve(request, rootScope(), { 'v/part_0': part }), {
    message: /2 shards, and shard v\/part_0 was found, but v\/part_1 was not\.$/,
  })
  const three = { 'v/part_0': part, 'v/part_1': part, 'v/part_2': part }
  t.throws(() => resolve(request, rootScope(), three), {
    message: /v\/part_0 was found, but so was the extra shard v\/part_2\.$/,
  })
  const { 'v/part_2': _, ...two } = three
  t.throws(() => resolve(request, rootScope(), two), {
    message: /^Variable v\/part_0 already exists/,
  })
  const shared = resolve({ ...request, reuse: 'auto' }, rootScope(), two)
  t.match(shared, { parts: [{ action: 'reuse', name: 'v/part_0' }, { action: 'reuse' }] })
})

t.test('a local variable is local and not trained', async (t) => {
  const variable = created(localVariable({ name: 'v', shape: [1], collections: ['mine'] }))
  t.match(variable, { trainable: false, collections: ['mine', 'local_variables'] })
})

t.test('reuse, once set, holds for all scopes inside; auto inside it is auto', async (t) => {
  const inside = (outer: Reuse | undefined, inner: Reuse | undefined): Reuse =>
    openScope(under({ reuse: outer }), 'b', 'a/b/', { reuse: inner }).reuse
  t.equal(inside(undefined, undefined), false)
  t.equal(inside(true, false), true)
  t.equal(inside(true, undefined), true)
  t.equal(inside(true, 'auto'), 'auto')
  t.equal(inside('auto', true), true)
  t.equal(inside('auto', false), 'auto')
})

t.test('kept scopes hand down along their path, those never kept too', async (t) => {
  const kept: Readonly<Record<string, ScopeArguments<string>>> = {
    '': { dtype: 'float16', device: '/job:ps' },
    a: { reuse: 'auto', partitions: 2, device: '/gpu:0' },
    'a/b/c': { dtype: 'int8', reuse: false, device: '/cpu:1' },
    'a/bad': { dtype: 'bool' },
  }
  t.same(scopePaths('a/b/c'), ['', 'a', 'a/b', 'a/b/c'])
  t.same(
    scopeAt('a/b/c', (path) => kept[path]),
    {
      name: 'a/b/c',
      originalNameScope: 'a/b/c/',
      reuse: 'auto',
      initializer: undefined,
      dtype: 'int8',
      partitions: 2,
      useResource: undefined,
      device: '/job:ps/device:CPU:1',
    },
  )
  t.match(
    scopeAt('', (path) => kept[path]),
    { name: '', dtype: 'float16', reuse: false },
  )
  t.equal(scopeAt('a//b', () => undefined).name, 'a//b')
})
