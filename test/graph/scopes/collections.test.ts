import fc from 'fast-check'
import t from 'tap'
import { Collections, collectionsOfVariable, scopeFilter } from '../../../graph/index.ts'
import { workMs } from '../../helper/work.ts'

t.test('a variable joins the global variables, and the trainable ones where it is', async (t) => {
  t.same(collectionsOfVariable(undefined, true), ['variables', 'trainable_variables'])
  t.same(collectionsOfVariable(undefined, false), ['variables'])
  t.same(collectionsOfVariable(['mine', 'mine'], true), ['mine', 'trainable_variables'])
  t.same(collectionsOfVariable([], false), [])
})

t.test('members are in order of joining, as often as they joined', async (t) => {
  const collections = new Collections<{ readonly name?: string }>(({ name }) => name)
  const [a, b, nameless] = [{ name: 'a/v:0' }, { name: 'ab/v:0' }, {}]
  for (const member of [b, a, b, nameless]) collections.add('c', member)
  t.same(collections.get('c'), [b, a, b, nameless])
  t.same(collections.get('c', 'a'), [b, a, b], 'by prefix; nameless ones are left out')
  t.same(collections.get('c', 'a/'), [a])
  t.same(collections.get('c', '.*/v'), [b, a, b])
  t.same(collections.get('c', 'v'), [])
  t.same(collections.get('none'), [])
  t.same(collections.keys(), ['c'])
  collections.clear('c')
  t.same(collections.keys(), [])
})

t.test('a filter matches what a regular expression matches at the start', async (t) => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['', 'v', true],
    ['a|b', 'bc', true],
    ['(?:a|b)+c', 'abac', true],
    ['layer[0-9]+/w', 'layer12/w:0', true],
    ['layer[0-9]+/w', 'layer/w:0', false],
    ['[^a]', 'a', false],
    ['[]a]', ']', true],
    ['[a\\]-]x', '-x', true],
    ['v:0$', 'v:0', true],
    ['v:0$', 'v:01', false],
    ['^v', 'v', true],
    ['a^v', 'av', false],
    ['\\d\\w\\.', '1_.', true],
    ['a{2,3}$', 'aa', true],
    ['a{2,3}$', 'aaaa', false],
    ['a{2}$', 'aaa', false],
    ['a{,2}$', '', true],
    ['a{', 'a{', true],
    ['a*?b', 'aab', true],
    ['(a|)+$', 'aa', true],
  ]
  for (const [pattern, text, wanted] of cases) {
    t.equal(scopeFilter(pattern)(text), wanted, `${pattern} on ${text}`)
  }
})

t.test('a filter agrees with a backtracking matcher on random patterns', async () => {
  const part = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '(a|b)', '(?:ab)', '^', '$')
  const times = fc.constantFrom('', '*', '+', '?', '{1,2}', '*?')
  const piece = fc
    .tuple(part, times)
    .map(([one, many]) => (one === '^' || one === '$' ? one : one + many))
  const pattern = fc
    .array(fc.array(piece, { maxLength: 4 }), { minLength: 1, maxLength: 3 })
    .map((choices) => choices.map((one) => one.join('')).join('|'))
  fc.assert(
    fc.property(pattern, fc.stringMatching(/^[abc]{0,6}$/), (one, text) => {
      return scopeFilter(one)(text) === new RegExp(`^(?:${one})`).test(text)
    }),
    { numRuns: 2000 },
  )
})

t.test('what is no pattern, or more than is known of patterns, is refused', async (t) => {
  const bad = ['(', ')', '(a', '[', '[a', '*', 'a**', 'a\\', '[b-a]', '(?=a)', '(a)\\1', 'a{3,2}']
  for (const pattern of [
    ...bad,
    'a'.repeat(1001),
    '(((a{99}){99}){99}){99}',
    '(((a{0}){999}){999}){999}',
    'a{99999999}',
  ]) {
    const wanted = { code: 'INVALID_ARGUMENT', reason: 'collection/scope' }
    t.throws(() => scopeFilter(pattern), wanted, pattern.slice(0, 40))
  }
})

t.test('a pattern that is slow for backtracking is fast here', async (t) => {
  const matches = scopeFilter('(a+)+$')
  const before = process.cpuUsage()
  t.equal(matches(`${'a'.repeat(20_000)}!`), false)
  t.ok(workMs(before) < 1_000)
})
