// Rules of a restore: which names they send where, and which rules are none.
import t from 'tap'
import { rulesOf } from '../../service/restore-rules.ts'
import { refused } from '../helper/refused.ts'

t.test('a prefix goes to another, the rest of the name follows', async (t) => {
  const rules = rulesOf([{ from: 'old/', to: ['new/', 'copy/'] }])
  t.same(rules('old/a/w'), ['new/a/w', 'copy/a/w'])
  t.same(rules('old/'), ['new/', 'copy/'])
  t.equal(rules('older/w'), undefined)
  t.same(rulesOf([{ from: '', to: ['all/'] }])('w'), ['all/w'])
  t.same(rulesOf([{ from: 'drop/$1', to: ['$1'] }])('drop/$1w'), ['$1w'], 'no groups there')
})

t.test(
  'a pattern takes whole names, and its groups are put where they are asked for',
  async (t) => {
    const rules = rulesOf([{ pattern: '^(.*)/layer_([0-9]+)/w$', to: ['$1/$2/weights', '$0'] }])
    t.same(rules('net/layer_12/w'), ['net/12/weights', 'net/layer_12/w'])
    t.equal(rules('net/layer_12/w/Adam'), undefined)
    t.same(rulesOf([{ pattern: '(a)|(b)', to: ['x$1$2'] }])('b'), ['xb'], 'nothing, of no part')
    t.same(rulesOf([{ pattern: '(.)', to: ['$$1$x$'] }])('a'), ['$1$x$'], 'dollars as they are')
  },
)

t.test('the first rule that fits decides, and may send a name nowhere', async (t) => {
  const rules = rulesOf([
    { pattern: '.*/Adam(_1)?', to: [] },
    { from: 'a/', to: ['b/'] },
    { from: 'a/x', to: ['never'] },
  ])
  t.same(rules('a/w/Adam'), [])
  t.same(rules('a/x'), ['b/x'])
  t.equal(rules('c'), undefined)
})

t.test('what is no rule is refused, with its place', async (t) => {
  const wrong: readonly (readonly [Parameters<typeof rulesOf>[0][number], string])[] = [
    [{ to: ['a'] }, 'Rule 1 has neither from nor pattern.'],
    [{ from: 'a', pattern: 'a', to: ['a'] }, 'Rule 1 has from and pattern; it takes one of them.'],
    [{ pattern: '(a)', to: ['$2'] }, 'Rule 1 says $2, but its pattern has 1 group.'],
    [
      { pattern: '(a', to: ['b'] },
      '"(a" in rule 1 is no pattern for names: missing ), unterminated subpattern at position 2.',
    ],
  ]
  for (const [rule, message] of wrong) {
    const rules = [{ from: 'x', to: ['y'] }, rule]
    t.throws(() => rulesOf(rules), refused({ reason: 'checkpoint/rule', message }))
  }
})
