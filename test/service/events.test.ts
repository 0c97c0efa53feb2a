// Events and waits on a real store: what is told, in which order, and what happens to who is slow,
// late, or gone.
import t, { type Test } from 'tap'
import { createEvents, type EventFilter, type Events, placeOfText } from '../../service/events.ts'
import { defaultLimits, type Limits } from '../../service/limits.ts'
import { type EventPlace, openStore, type Store, type StoreEvent } from '../../store/index.ts'
import { refused } from '../helper/refused.ts'
import { create, save, scalar, stage, temporaryFolder, write } from '../helper/store.ts'

interface Opened {
  readonly store: Store
  readonly events: Events
  /** Commits a new value of a variable; its version. */
  readonly put: (name: string) => Promise<number>
}

async function open(
  t: Test,
  limits: Partial<Limits> = {},
  storeLimits: Parameters<typeof openStore>[0]['limits'] = {},
): Promise<Opened> {
  const directory = temporaryFolder(t)
  const store = await openStore({ directory, clock: Date.now, limits: storeLimits })
  const events = createEvents({ store, limits: { ...defaultLimits, ...limits } })
  t.teardown(async () => {
    events.end()
    await store.close()
  })
  let count = 0
  const put = async (name: string) => {
    const value = await stage(store, scalar(++count))
    const { variables } = await store.catalogue.commit([write(name, value)])
    return variables[0].version
  }
  return { store, events, put }
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** What a listener is told: `place kind.action name`, `gap a b`, or `quiet`. */
class Listener {
  readonly lines: string[] = []
  readonly #stop = new AbortController()
  readonly #told: AsyncIterator<readonly unknown[]>
  #done = false

  constructor(events: Events, filter: EventFilter, after?: EventPlace) {
    this.#told = events.follow(filter, after, this.#stop.signal)[Symbol.asyncIterator]()
  }

  /** Reads on until a line ends so; all lines. */
  async until(end: string): Promise<readonly string[]> {
    while (!this.#done && !this.lines.some((line) => line.endsWith(end))) await this.next()
    return this.lines
  }

  async next(): Promise<void> {
    const { done, value } = await this.#told.next()
    this.#done = done === true
    if (done !== true) for (const one of value) this.lines.push(lineOf(one))
  }

  get isDone(): boolean {
    return this.#done
  }

  stop(): void {
    this.#stop.abort()
  }
}

function lineOf(one: unknown): string {
  const told = one as
    | { kind: 'event'; event: StoreEvent }
    | { kind: 'gap'; after: EventPlace; resumesAfter: EventPlace }
    | { kind: 'quiet'; place: EventPlace }
  const text = ({ sequence, ordinal }: EventPlace) => `${sequence}-${ordinal}`
  if (told.kind === 'gap') return `gap ${text(told.after)} ${text(told.resumesAfter)}`
  if (told.kind === 'quiet') return `quiet ${text(told.place)}`
  const { kind, action, name } = told.event
  return `${text(told.event)} ${kind}.${action} ${name}`
}

t.test(
  'a wait ends at once where the version is there, and with the write that brings it',
  async (t) => {
    const { store, events, put } = await open(t)
    await store.catalogue.commit([create('w', null)])
    await events.waitForVersions('', ['w'], 0)
    await events.waitForVersions('', [], 5)
    let hasEnded = false
    const wait = events.waitForVersions('', ['w'], 2).then(() => {
      hasEnded = true
    })
    t.equal(await put('w'), 1)
    await later(20)
    t.notOk(hasEnded, 'version 1 is not enough')
    t.equal(await put('w'), 2)
    await wait
    t.same(events.size(), { streams: 0, waits: 0 })
  },
)

t.test('a wait for several variables ends when the last of them is there', async (t) => {
  const { store, events, put } = await open(t)
  await store.catalogue.commit([create('a', null), create('b', null)])
  const order: string[] = []
  const wait = events.waitForVersions('', ['a', 'b', 'a'], 1).then(() => order.push('both'))
  await put('b')
  await later(20)
  order.push('a is next')
  await put('a')
  await wait
  t.same(order, ['a is next', 'both'])
})

t.test('no wait misses the write that comes while it begins', async (t) => {
  const { store, events, put } = await open(t)
  await store.catalogue.commit([create('w', null)])
  for (let version = 1; version <= 40; version++) {
    const writing = put('w')
    if (version % 2) await later(0)
    const waits = [1, 2, 3].map(() =>
      events.waitForVersions('', ['w'], version, { timeoutMs: 5_000 }),
    )
    await Promise.all([writing, ...waits])
  }
  t.equal(events.size().waits, 0)
})

t.test(
  'the version of a partitioned variable is the sum of its parts, and any part wakes',
  async (t) => {
    const { store, events, put } = await open(t)
    const part = (index: number) =>
      create(`w/part_${index}`, null, {
        shape: [4],
        slice: { fullName: 'w', fullShape: [8], offset: [4 * index] },
      })
    await store.catalogue.commit([
      part(0),
      part(1),
      {
        kind: 'create_partitioned',
        container: '',
        name: 'w',
        dtype: 'uint8',
        shape: [8],
        partitions: [2],
        parts: ['w/part_0', 'w/part_1'],
      },
    ])
    const wait = events.waitForVersions('', ['w'], 3, { timeoutMs: 5_000 })
    await put('w/part_0')
    await put('w/part_1')
    await t.rejects(
      events.waitForVersions('', ['w'], 3, { timeoutMs: 20 }),
      refused({ message: 'Variable w has version 2; version 3 did not come within 20 ms.' }),
    )
    await put('w/part_1')
    await wait
    t.equal(events.size().waits, 0)
  },
)

t.test('a wait is refused for what is not there, and when it is deleted', async (t) => {
  const { store, events } = await open(t)
  const unknown = refused({ code: 'NOT_FOUND', reason: 'variable/unknown' })
  await t.rejects(events.waitForVersions('', ['w'], 0), unknown)
  await store.catalogue.commit([create('w', null), create('v', null, { container: 'c' })])
  await t.rejects(events.waitForVersions('', ['w', 'x'], 1), unknown)
  const deleted = t.rejects(events.waitForVersions('', ['w'], 1), unknown)
  const dropped = t.rejects(events.waitForVersions('c', ['v'], 1), unknown)
  await store.catalogue.commit([{ kind: 'delete_variable', container: '', name: 'w' }])
  await store.catalogue.commit([{ kind: 'delete_container', container: 'c' }])
  await Promise.all([deleted, dropped])
})

t.test('a wait ends after its time, with its client, and with the service', async (t) => {
  const { store, events } = await open(t, { waits: 2, waitMostMs: 1_000 })
  await store.catalogue.commit([create('w', null)])
  const late = refused({ code: 'DEADLINE_EXCEEDED', reason: 'variable/version-not-reached' })
  await t.rejects(events.waitForVersions('', ['w'], 1, { timeoutMs: 10 }), late)
  await t.rejects(events.waitForVersions('', ['w'], 1, { timeoutMs: 0 }), late)
  for (const timeoutMs of [-1, 1_001, 1.5, Number.NaN]) {
    await t.rejects(
      events.waitForVersions('', ['w'], 1, { timeoutMs }),
      refused({ code: 'INVALID_ARGUMENT', reason: 'wait/invalid' }),
    )
  }
  await t.rejects(events.waitForVersions('', ['w'], -1), refused({ reason: 'wait/invalid' }))
  const client = new AbortController()
  const options = { timeoutMs: 1_000, signal: client.signal }
  const gone = t.rejects(
    events.waitForVersions('', ['w'], 1, options),
    refused({ code: 'CANCELLED' }),
  )
  const closed = t.rejects(
    events.waitForVersions('', ['w'], 1, { timeoutMs: 1_000 }),
    refused({ code: 'UNAVAILABLE', reason: 'server/closing' }),
  )
  await t.rejects(
    events.waitForVersions('', ['w'], 1),
    refused({ code: 'RESOURCE_EXHAUSTED', reason: 'wait/too-many' }),
  )
  client.abort()
  await gone
  await t.rejects(events.waitForVersions('', ['w'], 1, options), refused({ code: 'CANCELLED' }))
  events.end()
  await closed
  await t.rejects(events.waitForVersions('', ['w'], 0), refused({ reason: 'server/closing' }))
  t.equal(events.size().waits, 0)
})

t.test(
  'a listener is told from now on, or from a place on, in the order of the commits',
  async (t) => {
    const { store, events, put } = await open(t)
    await store.catalogue.commit([create('a', null)])
    const live = new Listener(events, {})
    t.same(await live.until('quiet 1-1'), ['quiet 1-1'], 'it says where it begins')
    await put('a')
    await store.catalogue.commit([save({ labels: ['best'] })])
    await live.until(' best')
    t.equal(live.lines[1], '2-1 variable.written a')
    const replayed = new Listener(events, {}, placeOfText('0-0'))
    const all = await replayed.until(' best')
    t.same(all.slice(0, 2), ['1-1 variable.created a', '2-1 variable.written a'])
    t.same(all.slice(1), live.lines.slice(1), 'the log says what was said live')
  },
)

t.test(
  'between what is replayed and what comes live nothing is lost and nothing comes twice',
  async (t) => {
    const { store, events, put } = await open(t)
    await store.catalogue.commit([create('w', null)])
    for (let index = 0; index < 30; index++) await put('w')
    let isWriting = true
    const writing = (async () => {
      for (let index = 0; index < 150; index++) await put('w')
      isWriting = false
    })()
    const listeners: Listener[] = []
    while (isWriting) {
      const after = { sequence: 1 + (listeners.length % 20), ordinal: 1 }
      const listener = new Listener(events, { names: ['w'] }, after)
      listeners.push(listener)
      void listener.until('181-1 variable.written w')
      await later(2)
    }
    await writing
    t.ok(listeners.length > 3)
    for (const [index, listener] of listeners.entries()) {
      await listener.until('181-1 variable.written w')
      const first = 2 + (index % 20)
      const wanted = Array.from(
        { length: 182 - first },
        (_, number) => `${first + number}-1 variable.written w`,
      )
      t.same(
        listener.lines.filter((line) => !line.startsWith('quiet')),
        wanted,
      )
    }
  },
)

t.test(
  'a listener that does not read holds little, and is told everything from the log',
  async (t) => {
    const { store, events, put } = await open(t, { eventsQueued: 4 })
    await store.catalogue.commit([create('w', null)])
    const slow = new Listener(events, {})
    await slow.next()
    for (let index = 0; index < 50; index++) await put('w')
    await slow.until('51-1 variable.written w')
    const wanted = Array.from({ length: 50 }, (_, index) => `${index + 2}-1 variable.written w`)
    t.same(slow.lines, ['quiet 1-1', ...wanted])
    await put('w')
    await slow.until('52-1 variable.written w')
    t.equal(slow.lines.length, 52, 'and goes on live')
  },
)

t.test('where the log has been cut, a gap says so before the rest', async (t) => {
  const { store, events, put } = await open(t, {}, { eventCommitCount: 10 })
  await store.catalogue.commit([create('w', null)])
  for (let index = 0; index < 40; index++) await put('w')
  await store.sweep()
  const { first, last } = await store.catalogue.eventsKept()
  t.ok(first.sequence > 2, `the log begins at ${first.sequence}`)
  const cut = new Listener(events, {}, placeOfText('2-1'))
  await cut.until('41-1 variable.written w')
  t.equal(cut.lines[0], `gap 2-1 ${first.sequence}-0`)
  t.equal(cut.lines[1], `${first.sequence}-1 variable.written w`)
  t.equal(cut.lines.filter((line) => line.startsWith('gap')).length, 1)
  const whole = new Listener(events, {}, { sequence: first.sequence - 1, ordinal: 1 })
  await whole.until('41-1 variable.written w')
  t.equal(whole.lines[0], `${first.sequence}-1 variable.written w`, 'nothing is missing here')
  const foreign = new Listener(events, {}, placeOfText('999-1'))
  await foreign.until('quiet 41-1')
  t.same(foreign.lines, [`gap 999-1 ${last.sequence}-1`, 'quiet 41-1'])
})

t.test('filters let through what every list names', async (t) => {
  const { store, events } = await open(t)
  await store.catalogue.commit([
    create('dense/kernel', null),
    create('dense/bias', null),
    create('dense/kernel', null, { container: 'c' }),
  ])
  await store.catalogue.commit([write('dense/bias', await stage(store, scalar(1)))])
  await store.catalogue.commit([save()])
  const told = async (filter: EventFilter) => {
    const listener = new Listener(events, filter, placeOfText('0-0'))
    await listener.until('quiet 3-1')
    return listener.lines.slice(0, -1)
  }
  t.same(await told({ kinds: ['checkpoint'] }), ['3-1 checkpoint.created 1'])
  t.same(await told({ containers: ['c'] }), ['1-3 variable.created dense/kernel'])
  t.same(await told({ containers: [''], names: ['dense/kernel'] }), [
    '1-1 variable.created dense/kernel',
  ])
  t.same(await told({ prefixes: ['dense/b'], actions: ['written', 'deleted'] }), [
    '2-1 variable.written dense/bias',
  ])
  t.same(await told({ names: ['1'], prefixes: ['dense/b'] }), [
    '1-2 variable.created dense/bias',
    '2-1 variable.written dense/bias',
    '3-1 checkpoint.created 1',
  ])
})

t.test('the name of a partitioned variable stands for its parts', async (t) => {
  const { store, events } = await open(t)
  const names = ['w/part_0', 'w/part_12', 'w/part_', 'w/other', 'v/w/part_0', 'w']
  await store.catalogue.commit(names.map((name) => create(name, null)))
  const listener = new Listener(events, { names: ['w'] }, placeOfText('0-0'))
  await listener.until('quiet 1-6')
  t.same(listener.lines.slice(0, -1), [
    '1-1 variable.created w/part_0',
    '1-2 variable.created w/part_12',
    '1-6 variable.created w',
  ])
})

t.test('a silent list says that it is alive, and how far it has come', async (t) => {
  const { store, events } = await open(t, { eventHeartbeatMs: 20 })
  const listener = new Listener(events, { kinds: ['model'] })
  await listener.until('quiet 0-0')
  await store.catalogue.commit([create('w', null)])
  await listener.until('quiet 1-1')
  t.ok(listener.lines.every((line) => line.startsWith('quiet')))
})

t.test(
  'a list ends with its client and with the service, and there are only so many',
  async (t) => {
    const { events } = await open(t, { eventStreams: 2 })
    const [one, two] = [new Listener(events, {}), new Listener(events, {})]
    await Promise.all([one.next(), two.next()])
    const tooMany = refused({ code: 'RESOURCE_EXHAUSTED', reason: 'events/too-many-streams' })
    t.throws(() => new Listener(events, {}), tooMany)
    const waiting = one.until('never')
    one.stop()
    await waiting
    t.ok(one.isDone)
    t.equal(events.size().streams, 1)
    const ending = two.until('never')
    events.end()
    await ending
    t.equal(events.size().streams, 0)
    t.throws(() => new Listener(events, {}), refused({ reason: 'server/closing' }))
  },
)

t.test('the id of an event is two numbers, and nothing else is taken for one', async (t) => {
  t.same(placeOfText('12-3'), { sequence: 12, ordinal: 3 })
  for (const text of ['', '12', '-1-1', '1-1-1', ' 1-1', '1e3-1', '1234567890123456-1']) {
    t.throws(() => placeOfText(text), refused({ reason: 'events/invalid-id' }))
  }
})
