// Regular expressions: that they match as RE2 does, and never take long.
import t from 'tap'
import { codesOf, Matcher, PatternError, parsePattern } from '../../../engine/text/index.ts'

/** Texts of the match and its groups, null for a group without a part; undefined without a match. */
function found(pattern: string, text: string, whole = false): (string | null)[] | undefined {
  const { codes } = codesOf(new TextEncoder().encode(text))
  const match = new Matcher(parsePattern(pattern)).find(codes, 0, whole)
  if (match === undefined) return undefined
  const characters = [...text]
  return Array.from({ length: match.length / 2 }, (_, group) =>
    match[2 * group] < 0 ? null : characters.slice(match[2 * group], match[2 * group + 1]).join(''),
  )
}

/** Whether the pattern is refused as none. */
function isRefused(pattern: string): boolean {
  try {
    new Matcher(parsePattern(pattern))
    return false
  } catch (error) {
    return error instanceof PatternError
  }
}

t.test('where JavaScript knows the syntax, the same is found', async (t) => {
  const patterns = [
    'a*',
    '(a|b)*c',
    '(a+)(b?)',
    'a{2,3}?',
    '^ab|cd$',
    '[^a-c]+',
    '(a|ab)(c|bcd)(d*)',
  ]
  const more = ['\\bfoo\\b', '(?:a|b)+?c', '([a-z]+)\\.([0-9]+)', '.', '(|a)+', '(a?)*?b', 'x{2}']
  const texts = ['', 'aaa', 'abcd', 'aababc', 'foo bar', 'a.12 b.34', 'xxfoox foo', 'é日本 a']
  for (const pattern of [...patterns, ...more]) {
    for (const text of texts) {
      const match = new RegExp(pattern, 'u').exec(text)
      const wanted = match === null ? undefined : [...match].map((part) => part ?? null)
      t.same(found(pattern, text), wanted, `${pattern} in ${JSON.stringify(text)}`)
    }
  }
})

t.test('the syntax that only RE2 has', async (t) => {
  t.same(found('(?i)straße', 'STRAßE'), ['STRAßE'])
  t.same(found('(?P<name>a+)', 'baa'), ['aa', 'aa'])
  t.same(found('[[:alpha:]]+', '12ab3'), ['ab'])
  t.same(found('[[:^alpha:]\\d]+', 'ab12-c'), ['12-'])
  t.same(found('\\pL+\\p{Greek}', '1aβγ2'), ['aβγ'])
  t.same(found('\\Q.*\\E+', 'a.**b'), ['.**'])
  t.same(found('(?s)a.b', 'a\nb'), ['a\nb'])
  t.same(found('a.b', 'a\nb'), undefined)
  t.same(found('(?m)^b$', 'a\nb\nc'), ['b'])
  t.same(found('(?U)a+', 'aaa'), ['a'])
  t.same(found('\\x{65E5}', '日'), ['日'])
  t.same(found('a{,2}', 'a{,2}'), ['a{,2}'])
})

t.test('a whole match spans all of the text, whichever way is preferred', async (t) => {
  t.same(found('a|ab', 'ab'), ['a'])
  t.same(found('a|ab', 'ab', true), ['ab'])
  t.same(found('.*o.*', 'wörld', true), undefined)
  t.same(found('', '', true), [''])
})

t.test('bytes that are no UTF-8 are matched by nothing', async (t) => {
  const { codes } = codesOf(Uint8Array.of(0x61, 0xff, 0x62))
  t.same([...(new Matcher(parsePattern('[^x]+')).find(codes) ?? [])], [0, 1])
  t.equal(new Matcher(parsePattern('a.b')).find(codes), undefined)
})

t.test('what is no pattern is refused', async (t) => {
  for (const pattern of [
    '(',
    ')',
    'a**',
    '*',
    '[a',
    '[b-a]',
    '\\',
    '\\1',
    '(?=a)',
    'a{1001}',
    '\\p{X1}',
  ]) {
    t.ok(isRefused(pattern), pattern)
  }
  t.ok(isRefused('((a{1000}){1000})'))
  t.ok(isRefused('('.repeat(10_000)))
})

t.test('patterns that other engines choke on take linear time', async (t) => {
  const text = 'a'.repeat(5000)
  t.equal(found('(a*)*b', text), undefined)
  t.equal(found('(a|aa)+$', `${text}!`), undefined)
  t.same(found(`${'a?'.repeat(200)}${'a'.repeat(200)}`, 'a'.repeat(200), true), ['a'.repeat(200)])
})
