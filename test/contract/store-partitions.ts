// What every driver of the store must do with scopes and with partitioned variables.
import type { Test } from 'tap'
import type { Change, Page, PageRequest, PartSlice } from '../../store/index.ts'
import { contentOf, create, save, stage, write } from '../helper/store.ts'
import type { Suite } from './store-suite.ts'

/** Everything that a list has, in pages of `limit`. */
async function allPages<T>(
  list: (page: PageRequest) => Promise<Page<T>>,
  limit: number,
): Promise<T[]> {
  const items: T[] = []
  let cursor: string | undefined
  do {
    const page = await list({ limit, cursor })
    items.push(...page.items)
    cursor = page.cursor
  } while (cursor !== undefined)
  return items
}

/** See the sentences of its tests. */
export function scopeFacts(t: Test, { driver, opened }: Suite): void {
  const put = (path: string, value: unknown, container = ''): Change => ({
    kind: 'put_scope',
    container,
    path,
    arguments: value as Extract<Change, { kind: 'put_scope' }>['arguments'],
  })

  t.test('a scope keeps what it was given last, also after opening again', async (t) => {
    const place = driver.place(t)
    const store = await driver.open(place, () => 1)
    await store.catalogue.commit([put('a/b', { dtype: 'int32' }), put('a', null), put('', [1])])
    await store.catalogue.commit([put('a/b', { reuse: true }), put('a', 7, 'other')])
    await store.close()
    const again = await driver.open(place, () => 1)
    t.teardown(() => again.close())
    t.same(await again.catalogue.scopes('', ['a/b', 'none', '', 'a']), [
      { container: '', path: 'a/b', arguments: { reuse: true } },
      { container: '', path: '', arguments: [1] },
      { container: '', path: 'a', arguments: null },
    ])
    t.same(await again.catalogue.scopes('other', ['a', 'a/b']), [
      { container: 'other', path: 'a', arguments: 7 },
    ])
  })

  t.test('a deleted scope is gone, those below it stay; an unknown one is refused', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([put('a', 1), put('a/b', 2)])
    const remove = { kind: 'delete_scope', container: '', path: 'a' } as const
    await store.catalogue.commit([remove])
    t.same(
      (await store.catalogue.scopes('', ['a', 'a/b'])).map(({ path }) => path),
      ['a/b'],
    )
    await t.rejects(store.catalogue.commit([remove]), {
      code: 'NOT_FOUND',
      reason: 'scope/unknown',
      names: { scope: 'a' },
    })
    await t.rejects(store.catalogue.commit([put('x\ud800', 1)]), { code: 'INVALID_ARGUMENT' })
  })

  t.test('lists are by path, bytewise, and hold what is at or below a path only', async (t) => {
    const store = await opened(t)
    const paths = ['', 'a', 'a b', 'a-b', 'a/', 'a/b', 'a/b/c', 'a0', 'ab', 'b', '😀', '\uffff']
    await store.catalogue.commit(paths.map((path) => put(path, path)))
    const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
    for (const below of [undefined, '', 'a', 'a/b', 'a/b/c', 'b', 'none']) {
      const wanted = paths
        .filter((path) => !below || path === below || path.startsWith(`${below}/`))
        .sort(byBytes)
      for (const limit of [1, 2, 1000]) {
        const seen = await allPages(
          (page) => store.catalogue.listScopes({ container: '', below }, page),
          limit,
        )
        t.same(
          seen.map(({ path }) => path),
          wanted,
          `below ${below} in pages of ${limit}`,
        )
      }
    }
  })

  t.test('scopes go with their container, which they keep alive until then', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([put('a', 1, 'c'), put('a', 1)])
    t.same(await store.catalogue.containers(), ['', 'c'])
    await store.catalogue.commit([{ kind: 'delete_container', container: 'c' }])
    t.same(await store.catalogue.containers(), [''])
    t.same(await store.catalogue.scopes('c', ['a']), [])
    t.equal((await store.catalogue.scopes('', ['a'])).length, 1)
  })
}

/** A 4 by 2 variable `w` of uint8 in two parts of 2 by 2, the first with a value of its seed. */
function sliceAt(row: number, fullName = 'w'): PartSlice {
  return { fullName, fullShape: [4, 2], offset: [row, 0] }
}

const whole = {
  kind: 'create_partitioned',
  container: '',
  name: 'w',
  dtype: 'uint8',
  shape: [4, 2],
  partitions: [2, 1],
  parts: ['w/part_0', 'w/part_1'],
} as const

const first = create('w/part_0', null, { shape: [2, 2], slice: sliceAt(0) })
const second = create('w/part_1', null, { shape: [2, 2], slice: sliceAt(2) })

/** See the sentences of its tests. */
export function partitionFacts(t: Test, { opened }: Suite): void {
  t.test('a partitioned variable is read with its parts, in order, and each part', async (t) => {
    const store = await opened(t)
    const value = await stage(store, contentOf(4, 1), { shape: [2, 2] })
    // The parts may come before their name or after it.
    await store.catalogue.commit([second, whole, first])
    await store.catalogue.commit([write('w/part_1', value)])
    const [found, ...others] = await store.catalogue.partitioned('', ['none', 'w', 'w/part_0'])
    t.same(others, [])
    const { parts, ...rest } = found
    t.same(rest, { container: '', name: 'w', dtype: 'uint8', shape: [4, 2], partitions: [2, 1] })
    t.same(parts, await store.catalogue.variables('', ['w/part_0', 'w/part_1']))
    t.same(
      parts.map(({ slice, version }) => [slice, version]),
      [
        [sliceAt(0), 0],
        [sliceAt(2), 1],
      ],
    )
    t.equal(await store.catalogue.variable('', 'w'), undefined)
    t.same((await store.catalogue.variable('', 'w/part_1'))?.slice, sliceAt(2))
  })

  t.test('partitioned variables are listed by name, in pages', async (t) => {
    const store = await opened(t)
    for (const name of ['b', 'a', 'c']) {
      const slice = { fullName: name, fullShape: [1], offset: [0] }
      await store.catalogue.commit([
        create(`${name}/part_0`, null, { shape: [1], slice }),
        { ...whole, name, shape: [1], partitions: [1], parts: [`${name}/part_0`] },
      ])
    }
    const seen = await allPages((page) => store.catalogue.listPartitioned('', page), 2)
    t.same(
      seen.map(({ name, parts }) => [name, parts[0].name]),
      [
        ['a', 'a/part_0'],
        ['b', 'b/part_0'],
        ['c', 'c/part_0'],
      ],
    )
    t.same((await store.catalogue.listPartitioned('other', { limit: 1 })).items, [])
  })

  t.test('a name stands for one thing only', async (t) => {
    const store = await opened(t)
    const exists = { code: 'ALREADY_EXISTS', reason: 'variable/exists' }
    await store.catalogue.commit([first, second, whole])
    await t.rejects(store.catalogue.commit([whole]), exists)
    await t.rejects(store.catalogue.commit([create('w', null)]), exists)
    await store.catalogue.commit([create('v', null)])
    await t.rejects(store.catalogue.commit([{ ...whole, name: 'v' }]), exists)
    await t.rejects(store.catalogue.commit([{ ...whole, name: 'x' }]), {
      code: 'ALREADY_EXISTS',
      reason: 'variable/bad-part',
    })
  })

  t.test('parts that are not there or do not fit are refused', async (t) => {
    const store = await opened(t)
    await t.rejects(store.catalogue.commit([first, whole]), {
      code: 'NOT_FOUND',
      reason: 'variable/unknown',
      names: { variable: 'w/part_1' },
    })
    const bad = { code: 'INVALID_ARGUMENT', reason: 'variable/bad-part' }
    const others = [
      create('w/part_1', null, { shape: [2, 2] }),
      create('w/part_1', null, { shape: [2, 2], slice: sliceAt(2, 'u') }),
      create('w/part_1', null, { shape: [2, 2], slice: sliceAt(2), dtype: 'int8' }),
    ]
    for (const other of others) {
      await t.rejects(store.catalogue.commit([first, other, whole]), bad)
    }
    const count = { code: 'INVALID_ARGUMENT', reason: 'variable/bad-partitions' }
    await t.rejects(
      store.catalogue.commit([first, second, { ...whole, partitions: [3, 1] }]),
      count,
    )
    await t.rejects(store.catalogue.commit([first, second, { ...whole, partitions: [2] }]), count)
    const outside = create('x', null, { shape: [3, 2], slice: sliceAt(2) })
    await t.rejects(store.catalogue.commit([outside]), {
      code: 'INVALID_ARGUMENT',
      reason: 'variable/bad-slice',
    })
    t.same(await store.catalogue.containers(), [])
  })

  t.test('parts go with the whole and never alone', async (t) => {
    const store = await opened(t)
    const four = () => stage(store, contentOf(4, 1), { shape: [2, 2] })
    await store.catalogue.commit([first, second, whole, write('w/part_0', await four())])
    t.ok(await store.catalogue.variable('', 'w/part_0'))
    await t.rejects(
      store.catalogue.commit([{ kind: 'delete_variable', container: '', name: 'w/part_0' }]),
      { code: 'FAILED_PRECONDITION', reason: 'variable/part', names: { whole: 'w' } },
    )
    const remove = { kind: 'delete_partitioned', container: '', name: 'w' } as const
    await store.catalogue.commit([remove])
    t.same(await store.catalogue.partitioned('', ['w']), [])
    t.equal(await store.catalogue.variable('', 'w/part_0'), undefined)
    await t.rejects(store.catalogue.commit([remove]), { code: 'NOT_FOUND' })
    await store.catalogue.commit([first, second, whole, write('w/part_0', await four())])
    t.match(await store.catalogue.variable('', 'w/part_0'), { version: 2 }, 'versions go on')
    await store.catalogue.commit([{ kind: 'delete_container', container: '' }])
    t.same(await store.catalogue.partitioned('', ['w']), [])
    await store.catalogue.commit([create('w', null)])
  })

  t.test('a checkpoint keeps the slices of parts, and a saved whole means its parts', async (t) => {
    const store = await opened(t)
    const value = await stage(store, contentOf(4, 1), { shape: [2, 2] })
    const bias = await stage(store, contentOf(1, 1))
    await store.catalogue.commit([first, second, whole, create('b', bias)])
    await t.rejects(store.catalogue.commit([save({ names: ['w'] })]), {
      code: 'FAILED_PRECONDITION',
      message: 'Attempting to use uninitialized value w/part_0',
    })
    await store.catalogue.commit([write('w/part_0', value), write('w/part_1', value)])
    const saved = async (more: Parameters<typeof save>[0]): Promise<unknown[]> => {
      const { checkpoints } = await store.catalogue.commit([save(more)])
      const { items } = await store.catalogue.checkpointEntries(checkpoints[0])
      return items.map(({ name, slice }) => [name, slice?.fullName, slice?.offset])
    }
    const parts = [
      ['w/part_0', 'w', [0, 0]],
      ['w/part_1', 'w', [2, 0]],
    ]
    const ownBias = ['b', undefined, undefined]
    t.same(await saved({}), [ownBias, ...parts])
    t.same(await saved({ names: ['w'] }), parts)
    t.same(await saved({ names: ['w/part_1'] }), [parts[1]])
    const renamed = [
      ['x/part_0', 'x', [0, 0]],
      ['x/part_1', 'x', [2, 0]],
    ]
    t.same(await saved({ names: ['w'], rename: { w: 'x' } }), renamed)
    t.same(await saved({ rename: { w: 'x' } }), [ownBias, ...renamed])
    await t.rejects(saved({ names: ['w', 'w/part_0'] }), {
      code: 'INVALID_ARGUMENT',
      reason: 'checkpoint/duplicate-name',
    })
    await store.catalogue.commit([{ kind: 'delete_partitioned', container: '', name: 'w' }])
    const { items } = await store.catalogue.checkpointEntries('1')
    t.same(items[1].slice, sliceAt(0), 'also when the variable is gone')
  })

  t.test('an imported checkpoint keeps the slices that it brings', async (t) => {
    const store = await opened(t)
    const value = await stage(store, contentOf(4, 1), { shape: [2, 2] })
    const entries = [
      { name: 'w/part_0', value, slice: sliceAt(0) },
      { name: 'b', value },
    ]
    const change = { kind: 'import_checkpoint', container: '', metadata: {}, labels: [] } as const
    const { checkpoints } = await store.catalogue.commit([{ ...change, entries }])
    const { items } = await store.catalogue.checkpointEntries(checkpoints[0])
    t.same(
      items.map(({ slice }) => slice),
      [undefined, sliceAt(0)],
    )
    const again = { valueId: items[0].value.valueId }
    const outside = [{ name: 'w', value: again, slice: sliceAt(3) }]
    await t.rejects(store.catalogue.commit([{ ...change, entries: outside }]), {
      code: 'INVALID_ARGUMENT',
      reason: 'variable/bad-slice',
    })
  })
}
