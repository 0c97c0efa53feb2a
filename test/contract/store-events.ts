// What every driver of the store must keep of what commits did.
import type { Test } from 'tap'
import type { EventPlace, Store, StoreEvent } from '../../store/index.ts'
import { contentOf, create, save, stage, write } from '../helper/store.ts'
import type { Suite } from './store-suite.ts'

const beginning: EventPlace = { sequence: 0, ordinal: 0 }

async function allEvents(store: Store, limit: number): Promise<StoreEvent[]> {
  const events: StoreEvent[] = []
  for (;;) {
    const more = await store.catalogue.eventsAfter(events.at(-1) ?? beginning, limit)
    events.push(...more)
    if (more.length < limit) return events
  }
}

function said({ kind, action, container, name, version }: StoreEvent): string {
  return `${kind} ${action} ${container}:${name}${version === undefined ? '' : ` ${version}`}`
}

/** See the sentences of its tests. */
export function eventFacts(t: Test, { driver, opened }: Suite): void {
  t.test('an empty store has no events', async (t) => {
    const store = await opened(t)
    t.same(await store.catalogue.eventsKept(), { first: beginning, last: beginning })
    t.same(await store.catalogue.eventsAfter(beginning, 10), [])
  })

  t.test('each kind of change is told, with its place and time', async (t) => {
    let now = 10
    const store = await opened(t, () => now)
    const container = 'c'
    await store.catalogue.commit([
      create('v', await stage(store, contentOf(1, 1)), { container }),
      { kind: 'put_scope', container, path: 's', arguments: 1 },
      { kind: 'put_scope', container, path: 's', arguments: 2 },
      { kind: 'add_to_collection', container, collection: 'k', members: [{ variable: 'v' }] },
    ])
    now = 20
    await store.catalogue.commit([
      write('v', null, { container }),
      { kind: 'add_to_collection', container, collection: 'k', members: [{ value: 1 }] },
      { kind: 'clear_collection', container, collection: 'k' },
      { kind: 'delete_scope', container, path: 's' },
    ])
    await store.catalogue.commit([{ kind: 'delete_container', container }])
    await store.catalogue.commit([{ kind: 'delete_container', container: 'none' }])
    const events = await allEvents(store, 100)
    t.same(events.map(said), [
      'variable created c:v 1',
      'scope created c:s',
      'scope updated c:s',
      'variable updated c:v 1',
      'collection created c:k',
      'variable written c:v 2',
      'collection updated c:k',
      'variable updated c:v 2',
      'collection deleted c:k',
      'scope deleted c:s',
      'variable deleted c:v 2',
      'container deleted c:c',
    ])
    t.same(
      events.map(({ sequence, ordinal, at }) => [sequence, ordinal, at]),
      [
        ...[1, 2, 3, 4, 5].map((ordinal) => [1, ordinal, 10]),
        ...[1, 2, 3, 4, 5].map((ordinal) => [2, ordinal, 20]),
        ...[1, 2].map((ordinal) => [3, ordinal, 20]),
      ],
    )
  })

  t.test('a partitioned variable and its parts are told', async (t) => {
    const store = await opened(t)
    const slice = { fullName: 'w', fullShape: [1], offset: [0] }
    await store.catalogue.commit([
      create('w/part_0', null, { shape: [1], slice }),
      {
        kind: 'create_partitioned',
        container: '',
        name: 'w',
        dtype: 'uint8',
        shape: [1],
        partitions: [1],
        parts: ['w/part_0'],
      },
    ])
    await store.catalogue.commit([{ kind: 'delete_partitioned', container: '', name: 'w' }])
    t.same((await allEvents(store, 10)).map(said), [
      'variable created :w/part_0 0',
      'variable created :w',
      'variable deleted :w/part_0 0',
      'variable deleted :w',
    ])
  })

  t.test(
    'the log has what the bus told, from any place on, also after opening again',
    async (t) => {
      const place = driver.place(t)
      const store = await driver.open(place, () => 1)
      const told: StoreEvent[] = []
      store.bus.subscribe((event) => told.push(event))
      const names = Array.from({ length: 40 }, (_, index) => `v${index}`)
      // Together, so that several commits share a group; refused ones leave no trace.
      await Promise.allSettled([
        ...names.map((name) => store.catalogue.commit([create(name, null), write(name, null)])),
        store.catalogue.commit([create('x', null), create('x', null)]),
      ])
      await store.catalogue.commit([save({ labels: ['best'] })], {
        key: 'k',
        digest: 'd',
        keepMs: 1_000,
      })
      await store.catalogue.commit([save()], { key: 'k', digest: 'd', keepMs: 1_000 })
      await store.catalogue.commit(names.flatMap((name) => Array(30).fill(write(name, null))))
      t.equal(told.length, 80 + 2 + 1_200)
      for (const limit of [7, 80, 5_000]) t.same(await allEvents(store, limit), told)
      t.same(await store.catalogue.eventsKept(), {
        first: { sequence: 1, ordinal: 1 },
        last: { sequence: 42, ordinal: 1_200 },
      })
      await store.close()
      const again = await driver.open(place, () => 2)
      t.teardown(() => again.close())
      t.same(await allEvents(again, 333), told)
      const middle = { sequence: 42, ordinal: 700 }
      t.same(await again.catalogue.eventsAfter(middle, 3), told.slice(-500, -497))
      t.same(await again.catalogue.eventsAfter({ sequence: 42, ordinal: 1_200 }, 3), [])
      t.same(await again.catalogue.eventsAfter({ sequence: 41, ordinal: 99 }, 1), [told[82]])
      await again.catalogue.commit([write('v0', null)])
      t.match(await again.catalogue.eventsAfter({ sequence: 42, ordinal: 1_200 }, 3), [
        { sequence: 43, ordinal: 1, at: 2, name: 'v0', version: 32 },
      ])
    },
  )
}
