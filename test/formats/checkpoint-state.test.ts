import t from 'tap'
import { findCheckpoint, formatCheckpointState, parseCheckpointState } from '../../formats/index.ts'
import { fileSetOf, refusalOf } from '../helper/tools.ts'
import { fileOf, floats } from './v1-parts.ts'

/** The prefix of the checkpoint that is meant. */
async function findPrefix(...given: Parameters<typeof findCheckpoint>): Promise<string> {
  return (await findCheckpoint(...given)).prefix
}

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

t.test('a V1 checkpoint is known by its end, or by what the state file says', async (t) => {
  const table = fileOf([floats('a', [1])])
  const plain = { 'd/m': table, 'd/m.meta': text('x'), 'd/notes': text('no table at all') }
  t.strictSame(await findCheckpoint(fileSetOf(plain)), { format: 'v1', prefix: 'd/m' })
  const pattern = 'd/m-?????-of-00001'
  const sharded = { 'd/m-00000-of-00001': table, 'd/x-00000-of-00001': text('train') }
  t.strictSame(await findCheckpoint(fileSetOf(sharded)), { format: 'v1', prefix: pattern })
  const two = { 'd/m': table, 'd/n': table, 'd/e/o': table }
  const { names } = await refusalOf(() => findCheckpoint(fileSetOf(two)))
  t.strictSame(names, { prefixes: ['d/m', 'd/n'] })
  const stated = (path: string) => ({ 'd/checkpoint': text(formatCheckpointState([path])) })
  const found = await findCheckpoint(fileSetOf({ ...two, ...stated('/elsewhere/n') }))
  t.strictSame(found, { format: 'v1', prefix: 'd/n' })
  const newest = { ...sharded, 'd/n': table, ...stated('/elsewhere/m-?????-of-00001') }
  t.strictSame(await findCheckpoint(fileSetOf(newest)), { format: 'v1', prefix: pattern })
  // Damaged beyond knowing: the state file still tells what it was.
  const cut = fileSetOf({ 'd/m': table.subarray(1, 20), ...stated('m') })
  t.strictSame(await findCheckpoint(cut), { format: 'v1', prefix: 'd/m' })
  t.equal((await refusalOf(() => findCheckpoint(fileSetOf({ a: text('x') })))).code, 'NOT_FOUND')
})

t.test('bundles go before V1 files, unless one is named', async (t) => {
  const table = fileOf([floats('a', [1])])
  const files = { 'm.index': empty, 'm.data-00000-of-00001': empty, m: table, n: table }
  t.strictSame(await findCheckpoint(fileSetOf(files)), { format: 'v2', prefix: 'm' })
  t.strictSame(await findCheckpoint(fileSetOf(files), 'm'), { format: 'v2', prefix: 'm' })
  t.strictSame(await findCheckpoint(fileSetOf(files), 'n'), { format: 'v1', prefix: 'n' })
  const stated = { ...files, checkpoint: text(formatCheckpointState(['n'])) }
  t.strictSame(await findCheckpoint(fileSetOf(stated)), { format: 'v1', prefix: 'n' })
  const { names, code } = await refusalOf(() => findCheckpoint(fileSetOf(files), 'o'))
  t.strictSame([code, names], ['NOT_FOUND', { prefixes: ['m'] }])
})

t.test(
  'any file of a checkpoint stands for it, and so do its folder and what lists it',
  async (t) => {
    const empties = ['a.index', 'a.data-00000-of-00001', 'a.meta', 'b.index'].map(
      (name) => `d/${name}`,
    )
    const set = setOf([...empties, 'd/e/c.index', '._x.index'])
    for (const wanted of ['a', 'a.index', 'd/a.index', 'd/a.data-00000-of-00001', 'a.meta']) {
      t.equal(await findPrefix(set, wanted), 'd/a', wanted)
    }
    for (const wanted of ['d/e', 'd/e/', 'c.index']) {
      t.equal(await findPrefix(set, wanted), 'd/e/c', wanted)
    }
    t.equal((await refusalOf(() => findPrefix(set, 'd'))).reason, 'checkpoint/ambiguous-prefix')
    const stated = fileSetOf({
      ...Object.fromEntries(empties.map((name) => [name, empty])),
      'd/checkpoint': text(formatCheckpointState(['b'])),
      'm/saved_model.pb': empty,
      'm/variables/variables.index': empty,
    })
    t.equal(await findPrefix(stated, 'd/checkpoint'), 'd/b')
    t.equal(await findPrefix(stated, 'checkpoint'), 'd/b')
    t.equal(await findPrefix(stated, 'm/saved_model.pb'), 'm/variables/variables')
    t.equal(await findPrefix(stated, 'variables.index'), 'm/variables/variables')
    const table = fileOf([floats('a', [1])])
    const shards = { 'v-00000-of-00002': table, 'v-00001-of-00002': table }
    for (const wanted of ['v', 'v-00001-of-00002', 'v-?????-of-00002']) {
      const pattern = 'v-?????-of-00002'
      t.strictSame(await findCheckpoint(fileSetOf(shards), wanted), {
        format: 'v1',
        prefix: pattern,
      })
    }
  },
)
