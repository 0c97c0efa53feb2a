// Patterns: what they match, what their groups take, and how long that takes.
import fc from 'fast-check'
import t from 'tap'
import { patternOf } from '../../graph/index.ts'

const read = (text: string) =>
  patternOf(text, { reason: 'test/pattern', purpose: 'is no pattern', fix: 'Write another.' })

t.test('a whole match tells what its groups took, as a backtracking matcher would', async (t) => {
  const cases: readonly (readonly [string, string, readonly (string | undefined)[] | undefined])[] =
    [
      ['(.*)/w', 'a/b/w', ['a/b/w', 'a/b']],
      ['^(.*)/w$', 'a/w', ['a/w', 'a']],
      ['(.*)/w', 'a/w2', undefined],
      ['(.*)/(.*)', 'a/b/c', ['a/b/c', 'a/b', 'c']],
      ['(.*?)/(.*)', 'a/b/c', ['a/b/c', 'a', 'b/c']],
      ['(a)|(b)', 'b', ['b', undefined, 'b']],
      ['(a|ab)(c|bcd)?', 'abcd', ['abcd', 'a', 'bcd']],
      ['layer_([0-9]+)/(?:kernel|w)', 'layer_12/w', ['layer_12/w', '12']],
      ['((a)(b))', 'ab', ['ab', 'ab', 'a', 'b']],
      ['(a+?)(a*)', 'aaa', ['aaa', 'a', 'aa']],
      ['(?:(a)|b)*', 'ab', ['ab', 'a']],
      ['(x?)y{2}(z{1,2}?)z*', 'yyzz', ['yyzz', '', 'z']],
      ['', '', ['']],
      ['()', '', ['', '']],
    ]
  for (const [pattern, text, wanted] of cases) {
    t.same(read(pattern).whole(text), wanted, `${pattern} on ${text}`)
  }
  t.equal(read('(a)(?:b)((c))').groupCount, 3)
})

t.test('groups agree with a backtracking matcher on random patterns', async () => {
  const part = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '(?:a|b)', '(?:ab)')
  const times = fc.constantFrom('', '*', '+', '?', '{1,2}', '*?', '+?', '??')
  const run = fc
    .array(
      fc.tuple(part, times).map((both) => both.join('')),
      { maxLength: 3 },
    )
    .map((pieces) => pieces.join(''))
  const group = fc.array(run, { minLength: 1, maxLength: 2 }).map((runs) => `(${runs.join('|')})`)
  const pattern = fc.array(fc.oneof(run, group), { maxLength: 4 }).map((pieces) => pieces.join(''))
  fc.assert(
    fc.property(pattern, fc.stringMatching(/^[abc]{0,6}$/), (one, text) => {
      const wanted = new RegExp(`^(?:${one})$`, 's').exec(text)
      const found = read(one).whole(text)
      return JSON.stringify(found ?? null) === JSON.stringify(wanted && [...wanted])
    }),
    { numRuns: 3000 },
  )
})

t.test('a pattern that is slow for backtracking is fast here, groups and all', async (t) => {
  const started = performance.now()
  t.equal(read('((a+)+)+b').whole('a'.repeat(5_000)), undefined)
  t.ok(performance.now() - started < 1_000)
})

t.test('a refusal says what it is about', async (t) => {
  t.throws(() => read('(a'), {
    code: 'INVALID_ARGUMENT',
    reason: 'test/pattern',
    message: '"(a" is no pattern: missing ), unterminated subpattern at position 2.',
  })
})
