// What every driver of the store must promise of a commit, of the sweep and of closing.
import type { Test } from 'tap'
import type { StoreEvent } from '../../store/index.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  save,
  stage,
  valueOfVariable,
  write,
} from '../helper/store.ts'
import type { Suite } from './store-suite.ts'

const mebibyte = 1024 * 1024

/** See the sentences of its tests. */
export function commitFacts(t: Test, { driver, opened }: Suite): void {
  t.test('a commit is all or nothing', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', await stage(store, contentOf(1, 1)))])
    const before = await store.catalogue.variable('', 'v')
    await t.rejects(
      store.catalogue.commit([
        write('v', await stage(store, contentOf(1, 2))),
        create('w', await stage(store, contentOf(3_000_000, 2))),
        save({ labels: ['x'] }),
        { kind: 'delete_checkpoint', id: '999' },
      ]),
      { code: 'NOT_FOUND' },
    )
    t.same(await store.catalogue.variable('', 'v'), before)
    t.equal(await store.catalogue.variable('', 'w'), undefined)
    t.equal(await store.catalogue.checkpoint('x'), undefined)
    t.equal((await store.status()).sequence, 1)
  })

  t.test('a refused commit leaves its neighbours alone', async (t) => {
    const store = await opened(t)
    const values = await Promise.all(
      Array.from({ length: 20 }, (_, index) => stage(store, contentOf(8, index))),
    )
    const results = await Promise.allSettled(
      values.map((value, index) =>
        store.catalogue.commit([
          index % 4 === 3 ? write(`v${index}`, value) : create(`v${index}`, value),
        ]),
      ),
    )
    for (const [index, { status }] of results.entries()) {
      t.equal(status, index % 4 === 3 ? 'rejected' : 'fulfilled')
      const variable = await store.catalogue.variable('', `v${index}`)
      t.equal(variable === undefined, index % 4 === 3)
    }
  })

  t.test('commits refused half way leave nothing, and their neighbours whole', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('shared', null, { collections: ['c'] })])
    const rounds = Array.from({ length: 60 }, (_, index) => index)
    const values = await Promise.all(rounds.map((index) => stage(store, contentOf(8, index))))
    // Every third fails at its last change, after it has written all kinds of rows.
    const results = await Promise.allSettled(
      rounds.map((index) =>
        store.catalogue.commit([
          create(`v${index}`, values[index], { collections: ['c'] }),
          write('shared', null),
          save({ names: [`v${index}`], labels: ['newest'] }),
          ...(index % 3 === 1 ? [create('shared', null)] : []),
        ]),
      ),
    )
    const done = rounds.filter((index) => index % 3 !== 1)
    t.same(
      rounds.filter((index) => results[index].status === 'fulfilled'),
      done,
    )
    const sequences = results.flatMap((one) =>
      one.status === 'fulfilled' ? [one.value.sequence] : [],
    )
    t.same(
      sequences,
      done.map((_, place) => place + 2),
    )
    t.match(await store.catalogue.variable('', 'shared'), { version: done.length })
    const { items } = await store.catalogue.collectionMembers('', 'c', { limit: 1000 })
    t.same(items, [{ variable: 'shared' }, ...done.map((index) => ({ variable: `v${index}` }))])
    const saved = await store.catalogue.listCheckpoints({}, { limit: 1000 })
    t.equal(saved.items.length, done.length)
    t.same(saved.items[0].labels, ['newest'])
    await store.sweep()
    for (const index of done) t.same(await bytesOfVariable(store, `v${index}`), contentOf(8, index))
  })

  t.test('commits of one variable keep the order in which they were asked for', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', null)])
    const sizes = [4_000_000, 8, 200_000, 8, 3_000_000, 8]
    const values = await Promise.all(sizes.map((size, seed) => stage(store, contentOf(size, seed))))
    const committed = await Promise.all(
      values.map((value) => store.catalogue.commit([write('v', value)])),
    )
    t.same(
      committed.map(({ variables }) => variables[0].version),
      [1, 2, 3, 4, 5, 6],
    )
    t.same(await bytesOfVariable(store, 'v'), contentOf(8, 5))
  })

  t.test('what was committed is there after closing and opening again', async (t) => {
    const place = driver.place(t)
    const store = await driver.open(place, () => 1)
    const content = contentOf(3_000_000, 1)
    await store.catalogue.commit([
      create('v', await stage(store, content)),
      save({ labels: ['x'] }),
    ])
    const before = [await store.catalogue.variable('', 'v'), await store.catalogue.checkpoint('x')]
    await store.close()
    const again = await driver.open(place, () => 2)
    t.teardown(() => again.close())
    t.same([await again.catalogue.variable('', 'v'), await again.catalogue.checkpoint('x')], before)
    t.ok(Buffer.from(await bytesOfVariable(again, 'v')).equals(content))
    t.ok((await again.catalogue.commit([write('v', null)])).sequence > 1)
  })

  t.test('an idempotency key applies its commit once', async (t) => {
    let now = 1_000
    const store = await opened(t, () => now)
    const once = (digest = 'd'): Promise<{ sequence: number; replayed: boolean }> =>
      store.catalogue.commit([save()], { key: 'k', digest, keepMs: 100 })
    t.equal(await store.catalogue.idempotent('k'), undefined)
    const [first, second] = await Promise.all([once(), once()])
    t.same([first.replayed, second.replayed], [false, true])
    t.same({ ...second, replayed: false }, first)
    t.match(await store.catalogue.idempotent('k'), {
      digest: 'd',
      committed: { sequence: first.sequence },
    })
    await t.rejects(once('other'), { code: 'INVALID_ARGUMENT', reason: 'idempotency/mismatch' })
    t.equal((await store.catalogue.listCheckpoints({}, { limit: 9 })).items.length, 1)
    now += 100
    t.equal(await store.catalogue.idempotent('k'), undefined)
    t.equal((await once('other')).replayed, false)
  })

  t.test('a note is kept with an outcome and given back with it, whatever it is', async (t) => {
    const store = await opened(t)
    const notes = [undefined, null, false, { text: 'x', list: [1, null] }] as const
    for (const [index, note] of notes.entries()) {
      const idempotency = { key: `k${index}`, digest: 'd', keepMs: 100, note }
      const first = await store.catalogue.commit([save()], idempotency)
      t.same(first.note, note)
      const again = await store.catalogue.commit([save()], { ...idempotency, note: 'another' })
      t.match(again, { replayed: true, sequence: first.sequence })
      t.strictSame(again.note, note)
      t.strictSame((await store.catalogue.idempotent(`k${index}`))?.committed.note, note)
    }
  })

  t.test('a refused commit does not use its idempotency key up', async (t) => {
    const store = await opened(t)
    const idempotency = { key: 'k', digest: 'd', keepMs: 100 }
    await t.rejects(store.catalogue.commit([write('v', null)], idempotency))
    const { replayed } = await store.catalogue.commit([create('v', null)], idempotency)
    t.equal(replayed, false)
  })

  t.test('the bus tells every change once, in commit order, after it can be read', async (t) => {
    const store = await opened(t)
    const seen: StoreEvent[] = []
    const readable: Promise<unknown>[] = []
    const end = store.bus.subscribe((event) => {
      seen.push(event)
      if (event.kind === 'variable') readable.push(store.catalogue.variable('', event.name))
    })
    store.bus.subscribe(() => {
      throw new Error('a listener of others')
    })
    await Promise.all([1, 2, 3].map((seed) => store.catalogue.commit([create(`v${seed}`, null)])))
    await store.catalogue.commit([
      write('v1', await stage(store, contentOf(1, 1))),
      save({ labels: ['x'] }),
    ])
    t.same(
      seen.map(({ kind, action, name }) => `${kind} ${action} ${name}`),
      [
        'variable created v1',
        'variable created v2',
        'variable created v3',
        'variable written v1',
        'checkpoint created 1',
        'label created x',
      ],
    )
    t.same(
      seen.map(({ sequence }) => sequence),
      [1, 2, 3, 4, 4, 4],
    )
    t.equal(seen[3].version, 1)
    t.ok((await Promise.all(readable)).every((variable) => variable !== undefined))
    end()
    await store.catalogue.commit([create('v4', null)])
    t.equal(seen.length, 6)
  })
}

/** See the sentences of its tests. */
export function sweepFacts(t: Test, { opened }: Suite): void {
  t.test('what nothing names is freed, and only that', async (t) => {
    const store = await opened(t)
    const shared = contentOf(3 * mebibyte, 1)
    const own = contentOf(3 * mebibyte, 2)
    await store.catalogue.commit([
      create('a', await stage(store, shared)),
      create('b', await stage(store, own)),
      create('c', await stage(store, contentOf(5, 3))),
    ])
    await store.catalogue.commit([save({ names: ['a'] })])
    const ids = await Promise.all(
      ['a', 'b', 'c'].map(async (name) => (await valueOfVariable(store, name)).valueId),
    )
    await store.catalogue.commit([{ kind: 'delete_container', container: '' }])
    await store.sweep()
    t.ok(await store.values.record(ids[0]))
    t.equal(await store.values.record(ids[1]), undefined)
    t.equal(await store.values.record(ids[2]), undefined)
    t.ok(Buffer.from(await store.values.bytes(ids[0])).equals(shared))
    await store.catalogue.commit([create('b', await stage(store, own))])
    t.not((await valueOfVariable(store, 'b')).valueId, ids[1], 'a number is never used again')
    await store.catalogue.commit([
      { kind: 'delete_container', container: '' },
      { kind: 'delete_checkpoint', id: '1' },
    ])
    await store.sweep()
    t.match(await store.status(), { packCount: 0, packBytes: 0, looseBytes: 0 })
  })

  t.test(
    'staged content that was in the store already survives the sweep until it is committed',
    async (t) => {
      const store = await opened(t)
      for (const byteLength of [5, 100_000, 3 * mebibyte]) {
        const content = contentOf(byteLength, byteLength)
        const name = `v${byteLength}`
        await store.catalogue.commit([create(name, await stage(store, content))])
        const again = await stage(store, content)
        await store.catalogue.commit([{ kind: 'delete_variable', container: '', name }])
        await store.sweep()
        await store.catalogue.commit([create(name, again)])
        await store.sweep()
        t.ok(Buffer.from(await bytesOfVariable(store, name)).equals(content), `${byteLength} bytes`)
      }
    },
  )

  t.test('a value that is being read survives the sweep until the reader is done', async (t) => {
    const store = await opened(t)
    const content = contentOf(12 * mebibyte, 1)
    await store.catalogue.commit([create('v', await stage(store, content))])
    const { valueId } = await valueOfVariable(store, 'v')
    const pieces: Uint8Array[] = []
    for await (const piece of store.values.read(valueId)) {
      if (pieces.length === 0) {
        await store.catalogue.commit([{ kind: 'delete_variable', container: '', name: 'v' }])
        await store.sweep()
      }
      pieces.push(piece)
    }
    t.ok(Buffer.concat(pieces).equals(content))
    await store.sweep()
    t.equal(await store.values.record(valueId), undefined)
  })
}

/** See the sentences of its tests. */
export function closeFacts(t: Test, { driver }: Suite): void {
  t.test('close finishes what is queued and ends every call after it', async (t) => {
    const place = driver.place(t)
    const store = await driver.open(place, () => 1)
    const value = await stage(store, contentOf(3_000_000, 1))
    const queued = [
      store.catalogue.commit([create('v', value)]),
      store.catalogue.commit([create('w', null)]),
    ]
    await store.close()
    await store.close()
    const done = await Promise.allSettled(queued)
    t.same(
      done.map(({ status }) => status),
      ['fulfilled', 'fulfilled'],
    )
    await t.rejects(store.catalogue.commit([save()]), { code: 'UNAVAILABLE' })
    await t.rejects(store.catalogue.variable('', 'v'), { code: 'UNAVAILABLE' })
    const again = await driver.open(place, () => 1)
    t.same((await again.catalogue.variables('', ['v', 'w'])).length, 2)
    await again.close()
  })
}
