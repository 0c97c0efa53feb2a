// What every driver of the store must do to look at checkpoints and to keep them: lists by filters, the
// history of a name, what a checkpoint takes, labels turned and turned back, rules, figures, deleting.
import type { Test } from 'tap'
import type { Change, CheckpointFilter, Store } from '../../store/index.ts'
import { contentOf, create, save, stage, valueOfVariable, write } from '../helper/store.ts'
import type { Suite } from './store-suite.ts'

/** Every id that a filter lets through, page by page. */
async function listed(store: Store, filter: CheckpointFilter, limit = 2): Promise<string[]> {
  const ids: string[] = []
  let cursor: string | undefined
  do {
    const page = await store.catalogue.listCheckpoints(filter, { limit, cursor })
    ids.push(...page.items.map(({ id }) => id))
    cursor = page.cursor
  } while (cursor !== undefined)
  return ids
}

/** See the sentences of its tests. */
export function lookingFacts(t: Test, { opened }: Suite): void {
  t.test('filters let through what all of them let through, newest first', async (t) => {
    let now = 0
    const store = await opened(t, () => now)
    const steps = [1, 2, undefined, 2, 3, 5]
    for (const [index, step] of steps.entries()) {
      now = (index + 1) * 10
      const container = index % 2 === 0 ? 'even' : ''
      const metadata = { run: index < 3 ? 'a' : 'b', loss: index / 4, ok: index === 4, none: null }
      await store.catalogue.commit([save({ container, step, metadata, labels: [`l${index}`] })])
    }
    const cases: readonly (readonly [CheckpointFilter, readonly string[]])[] = [
      [{}, ['6', '5', '4', '3', '2', '1']],
      [{ container: 'even' }, ['5', '3', '1']],
      [{ step: 2 }, ['4', '2']],
      [{ step: 2, container: 'even' }, []],
      [{ step: 7 }, []],
      [{ minStep: 2 }, ['6', '5', '4', '2']],
      [{ maxStep: 2 }, ['4', '2', '1']],
      [{ minStep: 2, maxStep: 3 }, ['5', '4', '2']],
      [{ createdFrom: 30 }, ['6', '5', '4', '3']],
      [{ createdBefore: 30 }, ['2', '1']],
      [{ createdFrom: 20, createdBefore: 40, container: '' }, ['2']],
      [{ label: 'l3' }, ['4']],
      [{ label: 'l3', step: 1 }, []],
      [{ label: 'l9' }, []],
      [{ metadata: { run: 'a' } }, ['3', '2', '1']],
      [{ metadata: { run: 'a', loss: '0.250' } }, ['2']],
      [{ metadata: { loss: '0' } }, ['1']],
      [{ metadata: { loss: '' } }, []],
      [{ metadata: { ok: 'true' } }, ['5']],
      [{ metadata: { none: 'null' }, step: 5 }, ['6']],
      [{ metadata: { toString: 'x' } }, []],
    ]
    for (const [filter, ids] of cases) {
      for (const limit of [1, 2, 100]) {
        t.same(await listed(store, filter, limit), ids, `${JSON.stringify(filter)} by ${limit}`)
      }
    }
  })

  t.test('the history of a name is what checkpoints hold under it, newest first', async (t) => {
    const store = await opened(t)
    const [one, two] = [await stage(store, contentOf(4, 1)), await stage(store, contentOf(4, 2))]
    await store.catalogue.commit([create('w', one), create('b', one)])
    const first = await valueOfVariable(store, 'w')
    await store.catalogue.commit([save({ step: 1 })])
    await store.catalogue.commit([save({ names: ['b'] }), write('w', two)])
    const second = await valueOfVariable(store, 'w')
    await store.catalogue.commit([save({ step: 3 }), save({ container: 'other' })])
    await store.catalogue.commit([save({ rename: { w: 'b', b: 'w' } })])
    const history = async (name: string, container?: string): Promise<unknown> => {
      const items: unknown[] = []
      let cursor: string | undefined
      do {
        const page = await store.catalogue.entryHistory({ name, container }, { limit: 1, cursor })
        for (const { checkpoint, entries } of page.items) {
          const { id, step, byteLength } = checkpoint
          items.push([id, step, byteLength, entries.map((entry) => entry.value.valueId)])
        }
        cursor = page.cursor
      } while (cursor !== undefined)
      return items
    }
    t.same(await history('w'), [
      ['5', undefined, 8, [first.valueId]],
      ['3', 3, 8, [second.valueId]],
      ['1', 1, 8, [first.valueId]],
    ])
    t.same(await history('w', 'other'), [])
    t.same(await history('nope'), [])
    await store.catalogue.commit([{ kind: 'delete_checkpoint', id: '3' }])
    t.equal(((await history('w')) as unknown[]).length, 2, 'a deleted checkpoint is in no history')
  })

  t.test('the history of a whole gives its parts', async (t) => {
    const store = await opened(t)
    const slice = (at: number) => ({ fullName: 'p', fullShape: [4], offset: [at] })
    await store.catalogue.commit([
      create('p/part_0', await stage(store, contentOf(2, 1)), { shape: [2], slice: slice(0) }),
      create('p/part_1', await stage(store, contentOf(2, 2)), { shape: [2], slice: slice(2) }),
      create('p/part_x', await stage(store, contentOf(2, 3))),
    ])
    await store.catalogue.commit([save()])
    const { items } = await store.catalogue.entryHistory({ name: 'p' }, { limit: 9 })
    t.same(
      items.map(({ entries }) => entries.map(({ name }) => name)),
      [['p/part_0', 'p/part_1']],
    )
    t.same(items[0].entries[1].slice, slice(2))
  })

  t.test('own bytes are what deleting frees; shared ones others hold', async (t) => {
    const store = await opened(t)
    const mebibyte = 1024 * 1024
    const large = contentOf(3 * mebibyte, 1)
    const changed = large.slice()
    changed[mebibyte + 5] ^= 1
    const small = contentOf(10, 1)
    await store.catalogue.commit([
      create('large', await stage(store, large)),
      create('small', await stage(store, small)),
      create('twin', await stage(store, small)),
    ])
    const [a] = (await store.catalogue.commit([save()])).checkpoints
    const use = (id: string) => store.catalogue.checkpointUse(id)
    t.same(await use(a), { ownBytes: 0, sharedBytes: 3 * mebibyte + 10 }, 'all is present')
    await store.catalogue.commit([
      write('large', await stage(store, changed)),
      write('small', await stage(store, contentOf(7, 3))),
    ])
    t.same(await use(a), { ownBytes: mebibyte, sharedBytes: 2 * mebibyte + 10 })
    await store.catalogue.commit([write('twin', await stage(store, contentOf(8, 4)))])
    t.same(await use(a), { ownBytes: mebibyte + 10, sharedBytes: 2 * mebibyte })
    const [b] = (await store.catalogue.commit([save()])).checkpoints
    t.same(await use(b), { ownBytes: 0, sharedBytes: 3 * mebibyte + 15 })
    for (const name of ['large', 'small', 'twin']) {
      await store.catalogue.commit([{ kind: 'delete_variable', container: '', name }])
    }
    t.same(await use(b), { ownBytes: mebibyte + 15, sharedBytes: 2 * mebibyte })
    await store.catalogue.commit([{ kind: 'delete_checkpoint', id: a }])
    await store.sweep()
    t.same(await use(b), { ownBytes: 3 * mebibyte + 15, sharedBytes: 0 })
    await t.rejects(use(a), { code: 'NOT_FOUND', reason: 'checkpoint/unknown' })
    await t.rejects(use('x'), { code: 'NOT_FOUND' })
  })

  t.test('a value that holds one chunk twice owns it once', async (t) => {
    const store = await opened(t)
    const chunk = contentOf(1024 * 1024, 1)
    const twice = new Uint8Array([...chunk, ...chunk])
    await store.catalogue.commit([create('w', await stage(store, twice))])
    const [id] = (await store.catalogue.commit([save()])).checkpoints
    await store.catalogue.commit([{ kind: 'delete_variable', container: '', name: 'w' }])
    t.same(await store.catalogue.checkpointUse(id), {
      ownBytes: chunk.byteLength,
      sharedBytes: 0,
    })
  })

  t.test('a deleted checkpoint shows nothing any more, and its space comes back', async (t) => {
    const store = await opened(t)
    const names = Array.from({ length: 1_300 }, (_, index) => `v${index}`)
    const value = await stage(store, contentOf(4 * 1024 * 1024, 1))
    await store.catalogue.commit(names.map((name) => create(name, value)))
    const [id] = (await store.catalogue.commit([save()])).checkpoints
    await store.catalogue.commit([{ kind: 'delete_container', container: '' }])
    await store.sweep()
    const before = await store.status()
    t.ok(before.packLiveBytes >= 4 * 1024 * 1024, 'the checkpoint holds the value')
    await store.catalogue.commit([{ kind: 'delete_checkpoint', id }])
    t.equal(await store.catalogue.checkpoint(id), undefined)
    t.equal(await store.catalogue.checkpointEntry(id, 'v0'), undefined)
    await t.rejects(store.catalogue.checkpointEntries(id), { code: 'NOT_FOUND' })
    t.match(await store.sweep(), { values: 1, chunks: 4 })
    const after = await store.status()
    t.equal(after.packBytes, 0)
    t.equal(after.packLiveBytes, 0)
    t.ok(after.catalogueFreeBytes > before.catalogueFreeBytes, 'the rows are gone too')
  })
}

/** See the sentences of its tests. */
export function keepingFacts(t: Test, { opened }: Suite): void {
  t.test('a label says who turned it, and is listed with its last turn', async (t) => {
    let now = 10
    const store = await opened(t, () => now)
    const [a] = (await store.catalogue.commit([save({ labels: ['best'], actor: 'ann' })]))
      .checkpoints
    const [b] = (await store.catalogue.commit([save({ container: 'c', labels: ['x/y'] })]))
      .checkpoints
    now = 20
    await store.catalogue.commit([
      { kind: 'set_label', label: 'best', checkpoint: b, expect: a, actor: 'bob' },
    ])
    const best = {
      label: 'best',
      checkpoint: b,
      container: 'c',
      sequence: 3,
      changedAt: 20,
      actor: 'bob',
    }
    t.same(await store.catalogue.label('best'), best)
    t.equal(await store.catalogue.label('none'), undefined)
    const first = await store.catalogue.listLabels({ limit: 1 })
    t.same(first.items, [best])
    const second = await store.catalogue.listLabels({ limit: 1, cursor: first.cursor })
    t.match(second.items, [{ label: 'x/y', checkpoint: b, actor: undefined }])
    t.equal(second.cursor, undefined)
    const { items } = await store.catalogue.labelHistory('best', { limit: 9 })
    t.match(items, [{ actor: 'bob' }, { checkpoint: a, actor: 'ann' }])
  })

  t.test('pointing a label where it points is no turn', async (t) => {
    const store = await opened(t)
    const [a] = (await store.catalogue.commit([save({ labels: ['l'] })])).checkpoints
    await store.catalogue.commit([{ kind: 'set_label', label: 'l', checkpoint: a, expect: a }])
    t.equal((await store.catalogue.labelHistory('l', { limit: 9 })).items.length, 1)
  })

  t.test('a label goes back by one turn, and by another one forth again', async (t) => {
    const store = await opened(t)
    const ids: string[] = []
    for (let index = 0; index < 3; index++) {
      ids.push(...(await store.catalogue.commit([save({ labels: ['l'] })])).checkpoints)
    }
    const back = (expect?: string | null): Change => ({
      kind: 'rollback_label',
      label: 'l',
      ...(expect === undefined ? {} : { expect }),
    })
    const at = async () => (await store.catalogue.label('l'))?.checkpoint
    await t.rejects(store.catalogue.commit([back(ids[1])]), {
      code: 'FAILED_PRECONDITION',
      reason: 'label/mismatch',
    })
    await t.rejects(store.catalogue.commit([back(null)]), {
      code: 'FAILED_PRECONDITION',
      reason: 'label/mismatch',
    })
    await store.catalogue.commit([back(ids[2])])
    t.equal(await at(), ids[1])
    await store.catalogue.commit([back()])
    t.equal(await at(), ids[2])
    await store.catalogue.commit([{ kind: 'set_label', label: 'l', checkpoint: null }])
    await store.catalogue.commit([back(null)])
    t.equal(await at(), ids[2], 'taking it off is undone too')
    t.equal((await store.catalogue.labelHistory('l', { limit: 9 })).items.length, 7)
  })

  t.test('a label cannot go back to nowhere, nor to what is gone', async (t) => {
    const store = await opened(t)
    const [a] = (await store.catalogue.commit([save({ labels: ['l'] })])).checkpoints
    const back: Change = { kind: 'rollback_label', label: 'l' }
    await t.rejects(store.catalogue.commit([back]), {
      code: 'FAILED_PRECONDITION',
      reason: 'label/nothing-before',
    })
    const [b] = (await store.catalogue.commit([save({ labels: ['l'] })])).checkpoints
    await store.catalogue.commit([{ kind: 'delete_checkpoint', id: a }])
    await t.rejects(store.catalogue.commit([back]), {
      code: 'FAILED_PRECONDITION',
      reason: 'label/checkpoint-gone',
      names: { label: 'l', checkpoint: a },
    })
    t.equal((await store.catalogue.label('l'))?.checkpoint, b)
    await t.rejects(store.catalogue.commit([{ kind: 'rollback_label', label: 'none' }]), {
      code: 'NOT_FOUND',
      reason: 'label/unknown',
    })
  })

  t.test('what is pinned or labelled is left alone where that is asked', async (t) => {
    const store = await opened(t)
    const remove = (id: string): Change => ({ kind: 'delete_checkpoint', id, unlessKept: true })
    await store.catalogue.commit([save({ labels: ['l'] }), save(), save()])
    await store.catalogue.commit([{ kind: 'update_checkpoint', id: '2', pinned: true }])
    await store.catalogue.commit(['1', '2', '3', '4', 'x'].map(remove))
    t.same(await listed(store, {}), ['2', '1'])
  })

  t.test('rules are kept by container, as they were given', async (t) => {
    const store = await opened(t)
    const put = (container: string, rules: unknown): Change => ({
      kind: 'put_retention',
      container,
      rules: rules as null,
    })
    t.equal(await store.catalogue.retention(''), undefined)
    await store.catalogue.commit([put('b', { a: [1] }), put('', 7), put('a', 'x')])
    await store.catalogue.commit([put('', { max: 5 }), put('a', null)])
    t.same(await store.catalogue.retention(''), { container: '', rules: { max: 5 } })
    t.equal(await store.catalogue.retention('a'), undefined)
    const first = await store.catalogue.listRetention({ limit: 1 })
    const second = await store.catalogue.listRetention({ limit: 1, cursor: first.cursor })
    t.same(
      [...first.items, ...second.items].map(({ container }) => container),
      ['', 'b'],
    )
  })

  t.test('figures stay beside a value and go with it', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([
      create('w', await stage(store, contentOf(3, 1))),
      create('b', await stage(store, contentOf(3, 2))),
    ])
    const { valueId } = await valueOfVariable(store, 'w')
    const other = (await valueOfVariable(store, 'b')).valueId
    t.same([...(await store.values.figures([valueId, other]))], [])
    const keep = (figures: string): Change => ({ kind: 'keep_figures', valueId, figures })
    await store.catalogue.commit([keep('old')])
    await store.catalogue.commit([keep('new'), { ...keep('x'), valueId: 999 } as Change])
    t.same([...(await store.values.figures([other, 999, valueId]))], [[valueId, 'new']])
    await store.catalogue.commit([{ kind: 'delete_variable', container: '', name: 'w' }])
    await store.sweep()
    t.same([...(await store.values.figures([valueId]))], [])
  })
}
