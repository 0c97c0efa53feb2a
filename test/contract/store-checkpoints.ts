// What every driver of the store must do with checkpoints, labels, graphs and models.
import type { Test } from 'tap'
import type { Change, SavedAmong } from '../../store/index.ts'
import {
  contentOf,
  create,
  save,
  stage,
  streamOf,
  valueOfVariable,
  write,
} from '../helper/store.ts'
import type { Suite } from './store-suite.ts'

/** See the sentences of its tests. */
export function checkpointFacts(t: Test, { opened }: Suite): void {
  t.test('a checkpoint keeps values while variables go on', async (t) => {
    const store = await opened(t, () => 5)
    await store.catalogue.commit([
      create('w', await stage(store, contentOf(3, 1))),
      create('b', await stage(store, contentOf(2, 2))),
      create('empty', null),
      create('w', await stage(store, contentOf(9, 9)), { container: 'other' }),
    ])
    const { checkpoints } = await store.catalogue.commit([
      save({ step: 7, metadata: { loss: 0.5 } }),
    ])
    t.match(await store.catalogue.checkpoint(checkpoints[0]), {
      id: checkpoints[0],
      container: '',
      step: 7,
      metadata: { loss: 0.5 },
      labels: [],
      pinned: false,
      tensorCount: 2,
      byteLength: 5,
      createdAt: 5,
    })
    await store.catalogue.commit([
      write('w', await stage(store, contentOf(3, 3))),
      { kind: 'delete_variable', container: '', name: 'b' },
    ])
    const { items } = await store.catalogue.checkpointEntries(checkpoints[0])
    t.same(
      items.map(({ name }) => name),
      ['b', 'w'],
    )
    for (const item of items) {
      t.same(await store.catalogue.checkpointEntry(checkpoints[0], item.name), item)
    }
    t.equal(await store.catalogue.checkpointEntry(checkpoints[0], 'a'), undefined)
    t.equal(await store.catalogue.checkpointEntry('77', 'b'), undefined)
    t.same(await store.values.bytes(items[0].value.valueId), contentOf(2, 2))
    t.same(await store.values.bytes(items[1].value.valueId), contentOf(3, 1))
  })

  t.test('restoring is pointing: the value is the same and the version grows', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('w', await stage(store, contentOf(3, 1)))])
    const before = await valueOfVariable(store, 'w')
    const { checkpoints } = await store.catalogue.commit([save()])
    await store.catalogue.commit([write('w', await stage(store, contentOf(3, 2)))])
    const { items } = await store.catalogue.checkpointEntries(checkpoints[0])
    await store.catalogue.commit([write('w', { valueId: items[0].value.valueId })])
    t.match(await store.catalogue.variable('', 'w'), { version: 3, value: before })
  })

  t.test('a save sees the changes before it in its commit and no others', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('w', await stage(store, contentOf(3, 1)))])
    const { checkpoints } = await store.catalogue.commit([
      write('w', await stage(store, contentOf(3, 2))),
      save(),
      write('w', await stage(store, contentOf(3, 3))),
    ])
    const { items } = await store.catalogue.checkpointEntries(checkpoints[0])
    t.same(await store.values.bytes(items[0].value.valueId), contentOf(3, 2))
  })

  t.test('names choose and rename what is saved', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit(
      await Promise.all(
        [1, 2, 3].map(async (seed) => create(`v${seed}`, await stage(store, contentOf(1, seed)))),
      ),
    )
    await store.catalogue.commit([create('none', null)])
    const saved = async (more: Parameters<typeof save>[0]): Promise<string[]> => {
      const { checkpoints } = await store.catalogue.commit([save(more)])
      return (await store.catalogue.checkpointEntries(checkpoints[0])).items.map(({ name }) => name)
    }
    t.same(await saved({ names: ['v3', 'v1'] }), ['v1', 'v3'])
    t.same(await saved({ names: ['v3', 'v1'], rename: { v3: 'a' } }), ['a', 'v1'])
    t.same(await saved({ rename: { v1: 'v2', v2: 'v1' } }), ['v1', 'v2', 'v3'])
    await t.rejects(saved({ names: ['nope'] }), { code: 'NOT_FOUND', names: { variable: 'nope' } })
    await t.rejects(saved({ names: ['none'] }), {
      code: 'FAILED_PRECONDITION',
      message: 'Attempting to use uninitialized value none',
    })
    await t.rejects(saved({ rename: { v1: 'v2' } }), {
      code: 'INVALID_ARGUMENT',
      reason: 'checkpoint/duplicate-name',
    })
    await t.rejects(saved({ names: ['v1'], rename: { v2: 'x' } }), {
      code: 'INVALID_ARGUMENT',
      reason: 'checkpoint/rename-unused',
    })
    t.equal((await store.catalogue.listCheckpoints({}, { limit: 10 })).items.length, 3)
  })

  t.test('a save chooses by collection and prefix inside its commit', async (t) => {
    const store = await opened(t)
    const value = await stage(store, contentOf(1, 1))
    await store.catalogue.commit([
      create('a/v', value, { collections: ['variables'] }),
      create('a/w', value, { collections: ['variables', 'x'] }),
      create('ab', value, { collections: ['x'] }),
      create('a/none', null, { collections: ['x'] }),
      create('a/w', value, { container: 'other', collections: ['variables'] }),
    ])
    const saved = async (among: SavedAmong): Promise<string[]> => {
      const { checkpoints } = await store.catalogue.commit([save({ among })])
      return (await store.catalogue.checkpointEntries(checkpoints[0])).items.map(({ name }) => name)
    }
    const onlyInitialized = true
    t.same(await saved({ onlyInitialized }), ['a/v', 'a/w', 'ab'])
    t.same(await saved({ collections: ['variables'], onlyInitialized: false }), ['a/v', 'a/w'])
    t.same(await saved({ collections: ['x', 'variables'], prefix: 'a/', onlyInitialized }), [
      'a/v',
      'a/w',
    ])
    t.same(await saved({ collections: ['x'], onlyInitialized }), ['a/w', 'ab'])
    await t.rejects(saved({ collections: ['x'], onlyInitialized: false }), {
      code: 'FAILED_PRECONDITION',
      reason: 'variable/uninitialized',
      names: { variables: ['a/none'] },
    })
    for (const among of [{ collections: ['y'] }, { collections: [] }, { prefix: 'b' }]) {
      await t.rejects(saved({ ...among, onlyInitialized }), { message: 'No variables to save' })
    }
    const deleted: Change = { kind: 'delete_variable', container: '', name: 'ab' }
    const late = save({ among: { collections: ['x'], onlyInitialized } })
    const { checkpoints } = await store.catalogue.commit([deleted, late])
    t.equal((await store.catalogue.checkpoint(checkpoints[0]))?.tensorCount, 1)
    t.equal((await store.catalogue.listCheckpoints({}, { limit: 10 })).items.length, 5)
  })

  t.test('an imported checkpoint holds values from outside under any names', async (t) => {
    const store = await opened(t)
    const staging = store.values.stage()
    const entries = await Promise.all(
      ['z', '', '__proto__', '../..'].map(async (name, seed) => ({
        name,
        value: await staging.add(streamOf(contentOf(100_000, seed))),
      })),
    )
    const { checkpoints } = await store.catalogue.commit([
      { kind: 'import_checkpoint', container: 'c', entries, metadata: {}, labels: [] },
    ])
    const { items } = await store.catalogue.checkpointEntries(checkpoints[0])
    t.same(
      items.map(({ name }) => name),
      ['', '../..', '__proto__', 'z'],
    )
    t.ok(
      Buffer.from(await store.values.bytes(items[3].value.valueId)).equals(contentOf(100_000, 0)),
    )
    const twice = [entries[0], entries[0]].map(({ name }) => ({ name, value: items[0].value }))
    await t.rejects(
      store.catalogue.commit([
        { kind: 'import_checkpoint', container: '', entries: twice, metadata: {}, labels: [] },
      ]),
      { code: 'INVALID_ARGUMENT', reason: 'checkpoint/duplicate-name' },
    )
  })

  t.test('lists are newest first, by container, in pages; latest is the newest', async (t) => {
    const store = await opened(t)
    const ids: string[] = []
    for (let index = 0; index < 7; index++) {
      const container = index % 3 === 0 ? 'c' : ''
      ids.unshift(...(await store.catalogue.commit([save({ container })])).checkpoints)
    }
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await store.catalogue.listCheckpoints({}, { limit: 3, cursor })
      seen.push(...page.items.map(({ id }) => id))
      cursor = page.cursor
    } while (cursor !== undefined)
    t.same(seen, ids)
    const inC = await store.catalogue.listCheckpoints({ container: 'c' }, { limit: 10 })
    t.same(
      inC.items.map(({ id }) => id),
      [ids[0], ids[3], ids[6]],
    )
    t.equal((await store.catalogue.checkpoint('latest', ''))?.id, ids[1])
    t.equal((await store.catalogue.checkpoint('latest', 'c'))?.id, ids[0])
    t.equal(await store.catalogue.checkpoint('latest', 'none'), undefined)
    for (const ref of ['0', '99', '01', '-1', '1e3', '99999999999999999999', '']) {
      t.equal(await store.catalogue.checkpoint(ref), undefined, ref)
    }
  })

  t.test(
    'entries come in pages, sorted by bytes; those of no checkpoint are refused',
    async (t) => {
      const store = await opened(t)
      const value = await stage(store, contentOf(1, 1))
      const names = ['b', 'a', '😀', '\uffff', 'a/b', 'a.b']
      await store.catalogue.commit(names.map((name) => create(name, value)))
      const { checkpoints } = await store.catalogue.commit([save()])
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = await store.catalogue.checkpointEntries(checkpoints[0], { limit: 2, cursor })
        seen.push(...page.items.map(({ name }) => name))
        cursor = page.cursor
      } while (cursor !== undefined)
      t.same(seen, ['a', 'a.b', 'a/b', 'b', '\uffff', '😀'])
      await t.rejects(store.catalogue.checkpointEntries('12345'), { code: 'NOT_FOUND' })
      await t.rejects(store.catalogue.checkpointEntries('x', { limit: 1 }), { code: 'NOT_FOUND' })
    },
  )

  t.test('a deleted checkpoint is gone for good; a pinned one cannot be deleted', async (t) => {
    const store = await opened(t)
    const id = (await store.catalogue.commit([save()])).checkpoints[0]
    await store.catalogue.commit([
      { kind: 'update_checkpoint', id, pinned: true, metadata: { a: [1] } },
    ])
    t.match(await store.catalogue.checkpoint(id), { pinned: true, metadata: { a: [1] } })
    const remove: Change = { kind: 'delete_checkpoint', id }
    await t.rejects(store.catalogue.commit([remove]), {
      code: 'FAILED_PRECONDITION',
      reason: 'checkpoint/pinned',
    })
    await store.catalogue.commit([{ kind: 'update_checkpoint', id, pinned: false }])
    t.match(await store.catalogue.checkpoint(id), { pinned: false, metadata: { a: [1] } })
    await store.catalogue.commit([remove])
    t.equal(await store.catalogue.checkpoint(id), undefined)
    await t.rejects(store.catalogue.commit([remove]), {
      code: 'NOT_FOUND',
      reason: 'checkpoint/unknown',
    })
    t.not((await store.catalogue.commit([save()])).checkpoints[0], id)
  })
}

/** See the sentences of its tests. */
export function labelFacts(t: Test, { opened }: Suite): void {
  t.test('a label points to one checkpoint and moves', async (t) => {
    const store = await opened(t)
    const [a] = (await store.catalogue.commit([save({ labels: ['best', 'a', 'best'] })]))
      .checkpoints
    t.same((await store.catalogue.checkpoint('best'))?.labels, ['a', 'best'])
    const [b] = (await store.catalogue.commit([save({ labels: ['best'] })])).checkpoints
    t.equal((await store.catalogue.checkpoint('best'))?.id, b)
    t.same((await store.catalogue.checkpoint(a))?.labels, ['a'])
    const move = (expect: string | null | undefined): Change => ({
      kind: 'set_label',
      label: 'best',
      checkpoint: a,
      ...(expect === undefined ? {} : { expect }),
    })
    const mismatch = { code: 'FAILED_PRECONDITION', reason: 'label/mismatch' }
    await t.rejects(store.catalogue.commit([move(a)]), mismatch)
    await t.rejects(store.catalogue.commit([move(null)]), mismatch)
    await store.catalogue.commit([move(b)])
    t.equal((await store.catalogue.checkpoint('best'))?.id, a)
    t.same(
      (await store.catalogue.listCheckpoints({ label: 'best' }, { limit: 5 })).items.map(
        ({ id }) => id,
      ),
      [a],
    )
    await store.catalogue.commit([{ kind: 'set_label', label: 'best', checkpoint: null }])
    t.equal(await store.catalogue.checkpoint('best'), undefined)
    await t.rejects(
      store.catalogue.commit([{ kind: 'set_label', label: 'best', checkpoint: null }]),
      { code: 'NOT_FOUND' },
    )
    await t.rejects(store.catalogue.commit([{ kind: 'set_label', label: 'x', checkpoint: '99' }]), {
      code: 'NOT_FOUND',
    })
    await store.catalogue.commit([{ kind: 'delete_checkpoint', id: a }])
    t.equal(await store.catalogue.checkpoint('a'), undefined)
  })

  t.test('the history of a label is kept, also when its checkpoints are gone', async (t) => {
    let now = 10
    const store = await opened(t, () => now)
    const [a] = (await store.catalogue.commit([save({ labels: ['best'] })])).checkpoints
    now = 20
    const [b] = (await store.catalogue.commit([save({ labels: ['best'] })])).checkpoints
    now = 30
    await store.catalogue.commit([{ kind: 'delete_checkpoint', id: b }])
    const first = await store.catalogue.labelHistory('best', { limit: 2 })
    t.same(first.items, [
      { sequence: 3, checkpoint: undefined, changedAt: 30, actor: undefined },
      { sequence: 2, checkpoint: b, changedAt: 20, actor: undefined },
    ])
    const { cursor } = first
    const second = await store.catalogue.labelHistory('best', { limit: 2, cursor })
    t.same(second.items, [{ sequence: 1, checkpoint: a, changedAt: 10, actor: undefined }])
    t.same((await store.catalogue.labelHistory('none', { limit: 2 })).items, [])
  })

  t.test('what means something else is no label', async (t) => {
    const store = await opened(t)
    for (const label of ['', 'latest', '17']) {
      await t.rejects(store.catalogue.commit([save({ labels: [label] })]), {
        code: 'INVALID_ARGUMENT',
        reason: 'label/reserved',
      })
    }
    t.equal((await store.catalogue.listCheckpoints({}, { limit: 1 })).items.length, 0)
  })
}

/** See the sentences of its tests. */
export function graphFacts(t: Test, { opened }: Suite): void {
  t.test('graphs are kept by their id, with what is known of them', async (t) => {
    const store = await opened(t)
    const put = async (id: string, seed: number, summary: string): Promise<unknown> =>
      store.catalogue.commit([
        { kind: 'put_graph', id, value: await stage(store, contentOf(9, seed)), summary },
      ])
    await put('b', 1, 'one')
    await put('a', 2, 'two')
    await put('b', 1, 'three')
    t.match(await store.catalogue.graph('b'), {
      id: 'b',
      summary: 'three',
      value: { byteLength: 9 },
    })
    const first = await store.catalogue.listGraphs({ limit: 1 })
    t.same(
      first.items.map(({ id }) => id),
      ['a'],
    )
    const second = await store.catalogue.listGraphs({ limit: 1, cursor: first.cursor })
    t.same(
      second.items.map(({ id }) => id),
      ['b'],
    )
    t.equal(second.cursor, undefined)
    await store.catalogue.commit([{ kind: 'delete_graph', id: 'b' }])
    t.equal(await store.catalogue.graph('b'), undefined)
    await t.rejects(store.catalogue.commit([{ kind: 'delete_graph', id: 'b' }]), {
      code: 'NOT_FOUND',
      reason: 'graph/unknown',
    })
  })

  t.test('model versions keep their files by path', async (t) => {
    const store = await opened(t)
    const value = await stage(store, contentOf(9, 1))
    const put = (model: string, version: number, paths: readonly string[]): Change => ({
      kind: 'put_model_version',
      model,
      version,
      files: paths.map((path) => ({ path, value })),
      description: { version },
    })
    await store.catalogue.commit([put('m', 10, ['b', 'a']), put('m', 9, []), put('k', 1, ['x'])])
    t.match(await store.catalogue.modelVersion('m', 10), {
      model: 'm',
      version: 10,
      description: { version: 10 },
    })
    t.same(
      (await store.catalogue.modelVersion('m', 10))?.files.map(({ path }) => path),
      ['a', 'b'],
    )
    t.same(
      (await store.catalogue.modelVersions('m')).map(({ version }) => version),
      [9, 10],
    )
    t.same(
      (await store.catalogue.modelVersions()).map(({ model }) => model),
      ['k', 'm', 'm'],
    )
    await t.rejects(store.catalogue.commit([{ ...put('m', 10, []) }]), { code: 'ALREADY_EXISTS' })
    await t.rejects(store.catalogue.commit([put('n', 1.5, [])]), {
      code: 'INVALID_ARGUMENT',
      reason: 'store/number',
    })
    await store.catalogue.commit([
      { kind: 'update_model_version', model: 'm', version: 9, description: 'new' },
      { kind: 'delete_model_version', model: 'm', version: 10 },
    ])
    t.equal(await store.catalogue.modelVersion('m', 10), undefined)
    t.match(await store.catalogue.modelVersion('m', 9), { description: 'new' })
    await t.rejects(
      store.catalogue.commit([{ kind: 'delete_model_version', model: 'm', version: 10 }]),
      { code: 'NOT_FOUND' },
    )
  })
}
