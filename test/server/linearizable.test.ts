// Histories of many clients on a real server are linearizable; those of servers with a planted bug
// are found not to be.
import t from 'tap'
import type { Change, Store } from '../../store/index.ts'
import { type Chance, seedOf } from '../helper/chance.ts'
import { openComposed } from '../helper/composed-server.ts'
import { type Crowd, historyOf } from '../helper/crowd.ts'
import { checkLinearizable } from '../helper/linearizable.ts'
import { temporaryFolder } from '../helper/store.ts'
import {
  type History,
  type Input,
  variablesOneAtATime,
  type Write,
} from '../helper/variable-history.ts'

const seed = seedOf(process.argv, Date.now() % 1_000_000)
const names = ['a', 'b/c']

type Seen = (name: string) => number | undefined

/** Writes of every kind, conditional ones among them, and reads. */
function anything(chance: Chance, seen: Seen): Input {
  const name = chance.one(names)
  const value = chance.whole(1_000)
  const verbs = ['read', 'assign', 'assign_add', 'snapshot'] as const
  const verb = chance.one(verbs)
  const ifVersion = chance.happens(0.3) ? seen(name) : undefined
  switch (verb) {
    case 'read':
      return { verb, name }
    case 'snapshot':
      return { verb, names: [name] }
    default:
      return { verb, name, value, ifVersion }
  }
}

/** Now and then the variable is deleted and made again. */
function comingAndGoing(chance: Chance, seen: Seen): Input {
  const verbs = ['create', 'create', 'delete', undefined, undefined, undefined, undefined] as const
  const verb = chance.one(verbs)
  return verb === undefined ? anything(chance, seen) : { verb, name: chance.one(names) }
}

const crowd: Crowd = {
  seed,
  clients: 12,
  operations: 60,
  names,
  abandoned: 0.02,
  choose: anything,
}

/** What the checker says of a crowd's history on a server whose store is wrapped. */
async function verdictOf(
  t: Parameters<typeof temporaryFolder>[0],
  one: Crowd,
  wrapStore?: (store: Store) => Store,
) {
  const server = await openComposed({ directory: temporaryFolder(t), wrapStore })
  try {
    const history = await historyOf(server.base, one)
    return { history, verdict: checkLinearizable(history.operations, variablesOneAtATime) }
  } finally {
    await server.close()
  }
}

function answers({ operations }: History, status: number): number {
  return operations.filter(({ output }) => output?.status === status).length
}

t.comment(`seed ${seed}`)

t.test('what a crowd does to few variables is linearizable', async (t) => {
  const { history, verdict } = await verdictOf(t, crowd)
  t.same(verdict, { kind: 'linearizable' }, `seed ${seed}`)
  t.ok(answers(history, 200) > 300, 'much was done')
  t.ok(answers(history, 412) > 10, 'stale writes were refused')
})

t.test('so it is while the variables are deleted and made again', async (t) => {
  const { history, verdict } = await verdictOf(t, { ...crowd, choose: comingAndGoing })
  t.same(verdict, { kind: 'linearizable' }, `seed ${seed}`)
  for (const status of [200, 201, 204, 404, 409]) t.ok(answers(history, status) > 0, `${status}`)
})

/** Counts, and batches that write one or both of the variables, and snapshots of both. */
function together(chance: Chance, seen: Seen): Input {
  const verbs = ['batch', 'batch', 'snapshot', 'snapshot', 'count_up_to', undefined] as const
  const verb = chance.one(verbs)
  switch (verb) {
    case 'batch': {
      const writes = Array.from({ length: 1 + chance.whole(3) }, () => aWrite(chance))
      return { verb, writes }
    }
    case 'snapshot':
      return { verb, names }
    case 'count_up_to':
      return { verb, name: chance.one(names), limit: 500 }
    default:
      return anything(chance, seen)
  }
}

function aWrite(chance: Chance): Write {
  const verb = chance.one(['assign', 'assign_add', 'count_up_to'] as const)
  const name = chance.one(names)
  if (verb === 'count_up_to') return { verb, name, limit: 500 }
  return { verb, name, value: chance.whole(1_000) }
}

t.test('batches and snapshots of several variables are linearizable as a whole', async (t) => {
  // All are of one key, so that the search is wider: a smaller crowd.
  const smaller = { ...crowd, clients: 8, abandoned: 0.01, keyOf: () => 'all' }
  const { history, verdict } = await verdictOf(t, { ...smaller, choose: together })
  t.same(verdict, { kind: 'linearizable' }, `seed ${seed}`)
  for (const status of [200, 400, 412]) t.ok(answers(history, status) > 0, `${status}`)
})

t.test('what many add is the sum, with any of what was never answered', async (t) => {
  const adding: Crowd = {
    ...crowd,
    names: ['sum'],
    abandoned: 0.1,
    choose: () => ({ verb: 'assign_add', name: 'sum', value: 1 }),
  }
  const server = await openComposed({ directory: temporaryFolder(t) })
  const { operations } = await historyOf(server.base, adding)
  const read = await fetch(`${server.base}/v1/variables/sum:read_value`)
  const { value } = (await read.json()) as { value: number }
  await server.close()
  const added = operations.filter(({ input }) => input.verb === 'assign_add')
  const known = added.filter(({ output }) => output?.status === 200).length
  const unknown = added.filter(({ output }) => output === undefined).length
  t.equal(known + unknown, crowd.clients * crowd.operations)
  t.ok(unknown > 10, `${unknown} were never answered`)
  t.ok(value >= known && value <= known + unknown, `${value} of ${known} and ${unknown}`)
})

/** The store with some of its catalogue done otherwise. */
function withCatalogue(store: Store, changed: Partial<Store['catalogue']>): Store {
  const catalogue = store.catalogue
  const bound = new Proxy(catalogue, {
    get(target, property) {
      const own =
        changed[property as keyof typeof changed] ?? target[property as keyof typeof target]
      return own.bind(target)
    },
  })
  return new Proxy(store, {
    get(target, property) {
      if (property === 'catalogue') return bound
      const own = target[property as keyof Store]
      return typeof own === 'function' ? own.bind(target) : own
    },
  })
}

/** Bug: what a commit asks of versions is forgotten, so of two writers with one etag both get through. */
function forgettingConditions(store: Store): Store {
  const unconditional = (change: Change): Change => ({ ...change, expect: undefined }) as Change
  return withCatalogue(store, {
    commit: (changes, idempotency) =>
      store.catalogue.commit(changes.map(unconditional), idempotency),
  })
}

/** Bug: a variable is looked up at most every few milliseconds. */
function readingStale(store: Store): Store {
  const kept = new Map<string, { readonly until: number; readonly record: unknown }>()
  return withCatalogue(store, {
    async variable(container, name) {
      const known = kept.get(name)
      if (known !== undefined && performance.now() < known.until) return known.record as never
      const record = await store.catalogue.variable(container, name)
      kept.set(name, { until: performance.now() + 5, record })
      return record
    },
  })
}

/** Bug: an assign is answered before it is done. */
function answeringEarly(store: Store): Store {
  return withCatalogue(store, {
    async commit(changes, idempotency) {
      const [change] = changes
      if (change.kind !== 'write_value') return store.catalogue.commit(changes, idempotency)
      const { container, name } = change
      const version = ((await store.catalogue.variable(container, name))?.version ?? 0) + 1
      const late = new Promise((resolve) => setTimeout(resolve, 3))
      void late.then(() => store.catalogue.commit(changes)).catch(() => undefined)
      return {
        sequence: 1,
        variables: [{ container, name, version, valueId: 1 }],
        at: 0,
        checkpoints: [],
        replayed: false,
      }
    },
  })
}

/** Conditional assigns of few etags, so that writers meet. */
function assignsOnly(chance: Chance, seen: Seen): Input {
  const name = chance.one(names)
  if (chance.happens(0.3)) return { verb: 'read', name }
  return { verb: 'assign', name, value: chance.whole(1_000), ifVersion: seen(name) }
}

const meeting: Crowd = { ...crowd, operations: 30, abandoned: 0, choose: assignsOnly }

const planted: Readonly<Record<string, (store: Store) => Store>> = {
  'forgets what If-Match asks': forgettingConditions,
  'reads what was true a moment ago': readingStale,
  'answers before the write is done': answeringEarly,
}
for (const [bug, wrap] of Object.entries(planted)) {
  t.test(`a server that ${bug} is found out`, async (t) => {
    // A race may be missed once, and hardly three times.
    let kind = 'linearizable'
    for (let attempt = 0; attempt < 3 && kind === 'linearizable'; attempt++) {
      const { verdict } = await verdictOf(t, { ...meeting, seed: seed + attempt }, wrap)
      kind = verdict.kind
    }
    t.equal(kind, 'not-linearizable', `seed ${seed}`)
  })
}

t.test('the same assigns on a server without a bug are linearizable', async (t) => {
  const { verdict } = await verdictOf(t, meeting)
  t.same(verdict, { kind: 'linearizable' }, `seed ${seed}`)
})
