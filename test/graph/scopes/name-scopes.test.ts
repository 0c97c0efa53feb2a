import fc from 'fast-check'
import t from 'tap'
import { checkOperationName, checkScopeName, NameScopes } from '../../../graph/index.ts'

t.test('a name asked for again gets the next number, whatever its case', async (t) => {
  const names = new NameScopes()
  t.equal(names.uniqueName('v'), 'v')
  t.equal(names.uniqueName('v'), 'v_1')
  t.equal(names.uniqueName('V'), 'V_2')
  t.equal(names.uniqueName('v_1'), 'v_1_1')
  t.equal(names.uniqueName('v'), 'v_3')
})

t.test('a number that is taken by name is passed over', async (t) => {
  const names = new NameScopes()
  for (const name of ['v', 'V_1', 'v_2']) names.uniqueName(name)
  t.equal(names.uniqueName('v'), 'v_3')
})

t.test('no two names are alike but for their case', async () => {
  const name = fc.stringMatching(/^[aAb](_1)?(_2)?$/)
  fc.assert(
    fc.property(fc.array(name, { maxLength: 60 }), (asked) => {
      const names = new NameScopes()
      const made = asked.map((one) => names.uniqueName(one).toLowerCase())
      return new Set(made).size === made.length
    }),
  )
})

t.test('name scopes nest, come back whole with a slash, and are numbered like names', async (t) => {
  const names = new NameScopes()
  names.within('a', (outer) => {
    t.equal(outer, 'a/')
    names.within('b', (inner) => t.equal(inner, 'a/b/'))
    names.within('b', (inner) => t.equal(inner, 'a/b_1/'))
    names.within(null, (root) => {
      t.equal(root, '')
      t.equal(names.operation('add'), 'add')
    })
    t.equal(names.operation('add'), 'a/add')
  })
  names.within('a', (again) => t.equal(again, 'a_1/'))
  names.within('a/', (same) => {
    t.equal(same, 'a/')
    t.equal(names.operation('add'), 'a/add_1')
  })
})

t.test('a name scope is left when its body throws', async (t) => {
  const names = new NameScopes()
  t.throws(() =>
    names.within('a', () => {
      throw new Error('stop')
    }),
  )
  t.equal(names.current, '')
})

t.test('a scope may begin with an underscore only below another', async (t) => {
  t.throws(() => checkScopeName('_a', 'root'), {
    code: 'INVALID_ARGUMENT',
    reason: 'name/invalid',
    message:
      "'_a' is not a valid root scope name. A root scope name has to match the following pattern: ^[A-Za-z0-9.][A-Za-z0-9_.\\\\/>-]*$",
  })
  checkScopeName('_a', 'nested')
  t.throws(() => checkScopeName('a b', 'nested'), {
    message:
      "'a b' is not a valid scope name. A scope name has to match the following pattern: ^[A-Za-z0-9_.\\\\/>-]*$",
  })
})

t.test(
  'names with a slash, dot, dash, arrow or backslash inside are valid; others are not',
  async (t) => {
    for (const name of ['a', '0', '.a', 'a/b', 'a-b', 'a>b', 'a\\b', 'a//b'])
      checkOperationName(name)
    for (const name of ['', ' a', '_a', '/a', 'a:0', 'a\n', 'é', 'a\u0000', 'a b']) {
      t.throws(
        () => checkOperationName(name),
        { code: 'INVALID_ARGUMENT', reason: 'name/invalid' },
        JSON.stringify(name),
      )
    }
  },
)

t.test('an operation that is given a whole name which another has is refused', async (t) => {
  const names = new NameScopes()
  t.equal(names.operation('v/'), 'v')
  t.throws(() => names.operation('v/'), {
    code: 'ALREADY_EXISTS',
    message: "Duplicate node name in graph: 'v'",
  })
})
