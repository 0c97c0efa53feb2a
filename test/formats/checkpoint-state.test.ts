import t from 'tap'
import { findPrefix, formatCheckpointState, parseCheckpointState } from '../../formats/index.ts'
import { fileSetOf, refusalOf } from '../helper/tools.ts'

const empty = new Uint8Array()
const text = (value: string) => new TextEncoder().encode(value)

/** A set of empty files, and a state file naming `newest`. */
function setOf(names: readonly string[], newest?: string, folder = '') {
  const files = Object.fromEntries(names.map((name) => [name, empty]))
  if (newest === undefined) return fileSetOf(files)
  return fileSetOf({ ...files, [`${folder}checkpoint`]: text(formatCheckpointState([newest])) })
}

t.test('a state file lists its paths, the newest last', async (t) => {
  t.strictSame(parseCheckpointState(formatCheckpointState(['a', 'b'])), {
    newest: 'b',
    all: ['a', 'b'],
  })
  t.equal(parseCheckpointState('model_checkpoint_path: "a'), undefined)
})

t.test('22: a path in a state file never leads out of its folder', async (t) => {
  const names = ['d/a.index', 'd/b.index', 'etc/x/passwd.index']
  for (const path of ['../../etc/x/passwd', '/etc/x/passwd', 'passwd', '', '..']) {
    const { reason } = await refusalOf(() => findPrefix(setOf(names, path, 'd/')))
    t.equal(reason, 'checkpoint/ambiguous-prefix', path)
  }
  t.equal(await findPrefix(setOf(names, '/somewhere/else/b', 'd/')), 'd/b')
})

t.test('without a state file the only checkpoint of the shallowest folder is meant', async (t) => {
  t.equal(await findPrefix(setOf(['d/a.index', 'd/e/b.index'])), 'd/a')
  t.equal((await refusalOf(() => findPrefix(setOf(['a', '.index', 'd/.index'])))).code, 'NOT_FOUND')
  const { names } = await refusalOf(() => findPrefix(setOf(['a.index', 'b.index'])))
  t.strictSame(names, { prefixes: ['a', 'b'] })
})

t.test('a wanted prefix is found by its whole or by its last part', async (t) => {
  const set = setOf(['d/a.index', 'e/a.index', 'e/b.index'])
  t.equal(await findPrefix(set, 'd/a'), 'd/a')
  t.equal(await findPrefix(set, 'b'), 'e/b')
  t.equal((await refusalOf(() => findPrefix(set, 'a'))).reason, 'checkpoint/ambiguous-prefix')
  t.equal((await refusalOf(() => findPrefix(set, 'c'))).reason, 'checkpoint/not-found')
})
